"""Adamax."""

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.ops import abs, maximum, power
from tapegrad.optim.aliases import FirstLike, NumberLike, Numbers, OptionNames, Slots, Updated
from tapegrad.optim.base import Optimizer
from tapegrad.optim.options import above_0, below_1


class Adamax(Optimizer):
    """Adam with the largest gradient of late in place of the root mean square.

        m = beta_1 * m + (1 - beta_1) * g                     running mean of g
        u = max(beta_2 * u, |g|)                              with form="torch"   max(beta_2 * u, |g| + eps)
        p = p - lr / (1 - beta_1**t) * m / (u + eps)          with form="torch"   m / u;  at step t = 1, 2, …

    D. Kingma, J. Ba, "Adam: a method for stochastic optimization", 2015, section 7.1. The default form is Keras's, the
    other one PyTorch's.

    Args:
        params: A Module, tensors, a dict of tensors by name, or a list of groups, dicts with "params" and options of
            their own; None binds them later.
        lr: The learning rate; None is 0.001, or 0.002 with form="torch".
        beta_1: The share of m that stays, from 0 to below 1.
        beta_2: The share of u that stays, from 0 to below 1.
        eps: None is 1e-7, or 1e-8 with form="torch".
        others: Options of every optimizer: weight_decay, clipvalue, clipnorm, global_clipnorm, maximize, form (see
            `Optimizer`).
    """

    options = {"beta_1": below_1, "beta_2": below_1, "eps": above_0}
    keras_defaults = {"lr": 0.001, "eps": 1e-7}
    torch_defaults = {"lr": 0.002, "eps": 1e-8}
    beta_1: float
    beta_2: float
    eps: float

    def __init__(
        self, params: FirstLike = None, lr: NumberLike | None = None, beta_1: NumberLike = 0.9,
        beta_2: NumberLike = 0.999, eps: NumberLike | None = None, **others: object,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, {"beta_1": beta_1, "beta_2": beta_2, "eps": eps}, others)

    def slots(self, options: OptionNames) -> dict[str, float]:
        return {"m": 0.0, "u": 0.0}

    def constants(self, options: OptionNames) -> Numbers:
        return {
            "beta_1": options.beta_1,
            "beta_2": options.beta_2,
            "new": 1.0 - options.beta_1,
            "eps": options.eps,
        }

    def numbers(self, options: OptionNames, step: Value) -> Numbers:
        return {"rate": options.lr / (1.0 - power(options.beta_1, step))}

    def update(self, n: OptionNames, p: Value, g: Value, state: Slots) -> Updated:
        torch = n.form == "torch"
        m = n.beta_1 * state["m"] + n.new * g
        u = maximum(n.beta_2 * state["u"], abs(g) + n.eps if torch else abs(g))
        return p - n.rate * (m / (u if torch else u + n.eps)), {"m": m, "u": u}
