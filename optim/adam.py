"""Adam and AMSGrad."""

from typing import ClassVar

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.ops import maximum, power, sqrt
from tapegrad.optim.aliases import FirstLike, NumberLike, Numbers, OptionNames, Slots, Updated
from tapegrad.optim.base import Optimizer
from tapegrad.optim.options import above_0, below_1, yes_or_no


class Adam(Optimizer):
    """A step of about lr in each coordinate, less where the gradient is noisy.

        m = m + (1 - beta_1) * (g - m)                        running mean of g
        v = beta_2 * v + (sqrt(1 - beta_2) * g)**2            running mean of g**2
        p = p - lr * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + eps)      at step t = 1, 2, …

    With amsgrad v's largest value so far stands in place of v. With form="torch" eps becomes eps * sqrt(1 - beta_2**t),
    so that it weighs less in the first steps; PyTorch writes this as sqrt(v / (1 - beta_2**t)) + eps.

    D. Kingma, J. Ba, "Adam: a method for stochastic optimization", 2015, with the eps of section 2; S. Reddi et al.,
    "On the convergence of Adam and beyond", 2018. The default form is Keras's.

    Args:
        params: A Module, tensors, a dict of tensors by name, or a list of groups, dicts with "params" and options of
            their own; None binds them later.
        lr: The learning rate; None is 0.001.
        beta_1: The share of m that stays, from 0 to below 1.
        beta_2: The share of v that stays, from 0 to below 1.
        eps: None is 1e-7, or 1e-8 with form="torch". In float16 squares below 6e-8 vanish: give about 1e-4.
        amsgrad: Whether the largest v so far stands in place of v.
        others: Options of every optimizer: weight_decay, clipvalue, clipnorm, global_clipnorm, maximize, form (see
            `Optimizer`).
    """

    options = {"beta_1": below_1, "beta_2": below_1, "eps": above_0, "amsgrad": yes_or_no}
    keras_defaults: ClassVar[dict[str, float]] = {"lr": 0.001, "eps": 1e-7}
    torch_defaults: ClassVar[dict[str, float]] = {"lr": 0.001, "eps": 1e-8}
    beta_1: float
    beta_2: float
    eps: float
    amsgrad: bool

    def __init__(
        self, params: FirstLike = None, lr: NumberLike | None = None, beta_1: NumberLike = 0.9,
        beta_2: NumberLike = 0.999, eps: NumberLike | None = None, amsgrad: bool = False, **others: object,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, {"beta_1": beta_1, "beta_2": beta_2, "eps": eps, "amsgrad": amsgrad}, others
        )

    def slots(self, options: OptionNames) -> dict[str, float]:
        return {"m": 0.0, "v": 0.0, "v_max": 0.0} if options.amsgrad else {"m": 0.0, "v": 0.0}

    def square_weight(self, options: OptionNames) -> Value | None:
        return sqrt(1.0 - options.beta_2)

    def constants(self, options: OptionNames) -> Numbers:
        return {
            "beta_2": options.beta_2,
            "new": 1.0 - options.beta_1,
            "weight": self.square_weight(options),
            "eps": options.eps,
        }

    def numbers(self, options: OptionNames, step: Value) -> Numbers:
        root = sqrt(1.0 - power(options.beta_2, step))
        rate = {"rate": options.lr * root / (1.0 - power(options.beta_1, step))}
        return rate | {"eps": options.eps * root} if options.form == "torch" else rate

    def update(self, n: OptionNames, p: Value, g: Value, state: Slots) -> Updated:
        m = state["m"] + n.new * (g - state["m"])
        weighted = n.weight * g
        news = {"m": m, "v": n.beta_2 * state["v"] + weighted * weighted}
        if "v_max" in state:
            news["v_max"] = maximum(state["v_max"], news["v"])
        return p - n.rate * (m / (sqrt(news["v_max" if n.amsgrad else "v"]) + n.eps)), news
