"""Adadelta."""

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.ops import sqrt
from tapegrad.optim.aliases import FirstLike, NumberLike, Numbers, OptionNames, Slots, Updated
from tapegrad.optim.base import Optimizer
from tapegrad.optim.options import above_0, below_1


class Adadelta(Optimizer):
    """The gradient over its running root mean square, times that of the steps before.

        s = rho * s + (sqrt(1 - rho) * g)**2                  running mean of g**2
        d = sqrt(u + eps) / sqrt(s + eps) * g
        u = rho * u + (sqrt(1 - rho) * d)**2                  running mean of d**2
        p = p - lr * d

    M. Zeiler, "ADADELTA: an adaptive learning rate method", 2012. Keras and PyTorch have the same formula.

    Args:
        params: A Module, tensors, a dict of tensors by name, or a list of groups, dicts with "params" and options of
            their own; None binds them later.
        lr: The learning rate; None is 0.001, or 1.0 with form="torch", which is the paper's formula.
        rho: The share of s and u that stays; None is 0.95, or 0.9 with form="torch".
        eps: None is 1e-7, or 1e-6 with form="torch".
        others: Options of every optimizer: weight_decay, clipvalue, clipnorm, global_clipnorm, maximize, form (see
            `Optimizer`).
    """

    options = {"rho": below_1, "eps": above_0}
    keras_defaults = {"lr": 0.001, "rho": 0.95, "eps": 1e-7}
    torch_defaults = {"lr": 1.0, "rho": 0.9, "eps": 1e-6}
    rho: float
    eps: float

    def __init__(
        self, params: FirstLike = None, lr: NumberLike | None = None, rho: NumberLike | None = None,
        eps: NumberLike | None = None, **others: object,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, {"rho": rho, "eps": eps}, others)

    def slots(self, options: OptionNames) -> dict[str, float]:
        return {"mean_square": 0.0, "mean_square_step": 0.0}

    def square_weight(self, options: OptionNames) -> Value | None:
        return sqrt(1.0 - options.rho)

    def constants(self, options: OptionNames) -> Numbers:
        return {
            "lr": options.lr,
            "rho": options.rho,
            "weight": self.square_weight(options),
            "eps": options.eps,
        }

    def update(self, n: OptionNames, p: Value, g: Value, state: Slots) -> Updated:
        weighted = n.weight * g
        s = n.rho * state["mean_square"] + weighted * weighted
        d = sqrt(state["mean_square_step"] + n.eps) * (g / sqrt(s + n.eps))
        move = n.weight * d
        u = n.rho * state["mean_square_step"] + move * move
        return p - n.lr * d, {"mean_square": s, "mean_square_step": u}
