"""RMSprop."""

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.ops import abs, maximum, sqrt
from tapegrad.optim.aliases import FirstLike, NumberLike, Numbers, OptionNames, Slots, Updated
from tapegrad.optim.base import Optimizer
from tapegrad.optim.options import above_0, below_1, up_to_1, yes_or_no


class RMSprop(Optimizer):
    """The gradient over the root of its running mean square.

        s = rho * s + (sqrt(1 - rho) * g)**2                  running mean of g**2
        a = rho * a + (1 - rho) * g                           running mean of g, with centered
        d = lr * g / sqrt(s + eps)                            with centered   lr * g / sqrt(s - a**2 + eps)
        p = p - d                                             with momentum   b = momentum * b + d;  p = p - b

    s - a**2 is a variance, and kept from falling below 0 by rounding. With form="torch" eps stands outside the root,
    and lr is no part of b: d = g / (sqrt(s) + eps);  p = p - lr * d, or lr * b.

    T. Tieleman, G. Hinton, "Neural networks for machine learning", lecture 6.5, 2012; centered: A. Graves, "Generating
    sequences with recurrent neural networks", 2013. The default form is Keras's, the other one PyTorch's.

    Args:
        params: A Module, tensors, a dict of tensors by name, or a list of groups, dicts with "params" and options of
            their own; None binds them later.
        lr: The learning rate; None is 0.001, or 0.01 with form="torch".
        rho: The share of s that stays, from 0 to below 1, which PyTorch calls alpha; None is 0.9, or 0.99 with
            form="torch".
        momentum: The share of the last move that is added.
        eps: None is 1e-7, or 1e-8 with form="torch".
        centered: Whether to divide by the standard deviation instead of the root mean square.
        others: Options of every optimizer: weight_decay, clipvalue, clipnorm, global_clipnorm, maximize, form (see
            `Optimizer`).
    """

    options = {"rho": below_1, "momentum": up_to_1, "eps": above_0, "centered": yes_or_no}
    keras_defaults = {"lr": 0.001, "rho": 0.9, "eps": 1e-7}
    torch_defaults = {"lr": 0.01, "rho": 0.99, "eps": 1e-8}
    rho: float
    momentum: float
    eps: float
    centered: bool

    def __init__(
        self, params: FirstLike = None, lr: NumberLike | None = None, rho: NumberLike | None = None,
        momentum: NumberLike = 0.0, eps: NumberLike | None = None, centered: bool = False, **others: object,
    ) -> None:  # fmt: skip
        own = {"rho": rho, "momentum": momentum, "eps": eps, "centered": centered}
        super().__init__(params, lr, own, others)

    def slots(self, options: OptionNames) -> dict[str, float]:
        centered = {"mean": 0.0} if options.centered else {}
        momentum = {"momentum": 0.0} if options.momentum else {}
        return {"mean_square": 0.0, **centered, **momentum}

    def square_weight(self, options: OptionNames) -> Value | None:
        return sqrt(1.0 - options.rho)

    def constants(self, options: OptionNames) -> Numbers:
        return {
            "lr": options.lr, "rho": options.rho, "new": 1.0 - options.rho,
            "weight": self.square_weight(options), "eps": options.eps, "momentum": options.momentum,
        }  # fmt: skip

    def update(self, n: OptionNames, p: Value, g: Value, state: Slots) -> Updated:
        weighted = n.weight * g
        s = n.rho * state["mean_square"] + weighted * weighted
        news = {"mean_square": s}
        if "mean" in state:
            news["mean"] = n.rho * state["mean"] + n.new * g
        if n.centered:  # s - a**2, of which the square alone could overflow
            root, a = sqrt(s), abs(news["mean"])
            s = maximum((root - a) * (root + a), 0.0)
        torch = n.form == "torch"
        d = g / (sqrt(s) + n.eps if torch else sqrt(s + n.eps))
        move = d if torch else n.lr * d
        if "momentum" in state:
            move = news["momentum"] = n.momentum * state["momentum"] + move
        return p - (n.lr * move if torch else move), news
