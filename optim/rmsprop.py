"""RMSprop."""

from typing import Any

from tapegrad.autograd.ops import abs, maximum, sqrt
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

    lr, rho, eps   0.001, 0.9, 1e-7; with form="torch" 0.01, 0.99, 1e-8. PyTorch calls rho alpha

    T. Tieleman, G. Hinton, "Neural networks for machine learning", lecture 6.5, 2012; centered: A. Graves, "Generating
    sequences with recurrent neural networks", 2013. The default form is Keras's, the other one PyTorch's.
    """

    options = {"rho": below_1, "momentum": up_to_1, "eps": above_0, "centered": yes_or_no}
    keras_defaults = {"lr": 0.001, "rho": 0.9, "eps": 1e-7}
    torch_defaults = {"lr": 0.01, "rho": 0.99, "eps": 1e-8}
    rho: float
    momentum: float
    eps: float
    centered: bool

    def __init__(
        self, params: Any = None, lr: float | None = None, rho: float | None = None, momentum: float = 0.0,
        eps: float | None = None, centered: bool = False, **others: Any,
    ) -> None:  # fmt: skip
        own = {"rho": rho, "momentum": momentum, "eps": eps, "centered": centered}
        super().__init__(params, lr, own, others)

    def slots(self, h: Any) -> dict[str, float]:
        centered, momentum = {"mean": 0.0} if h.centered else {}, {"momentum": 0.0} if h.momentum else {}
        return {"mean_square": 0.0, **centered, **momentum}

    def square_weight(self, h: Any) -> Any:
        return sqrt(1.0 - h.rho)

    def constants(self, h: Any) -> dict[str, Any]:
        return {
            "lr": h.lr, "rho": h.rho, "new": 1.0 - h.rho, "weight": self.square_weight(h), "eps": h.eps,
            "momentum": h.momentum,
        }  # fmt: skip

    def update(self, n: Any, p: Any, g: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
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
