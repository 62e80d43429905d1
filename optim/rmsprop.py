"""RMSprop."""

from typing import Any

from tapegrad.autograd.ops import maximum, sqrt
from tapegrad.optim.base import Optimizer
from tapegrad.optim.params import above_0, below_1, up_to_1, yes_or_no


class RMSprop(Optimizer):
    """The gradient over the root of its running mean square.

        s = rho * s + (1 - rho) * g**2                        running mean of g**2
        a = rho * a + (1 - rho) * g                           running mean of g, with centered
        d = lr * g / sqrt(s + eps)                            with centered   lr * g / sqrt(s - a**2 + eps)
        p = p - d                                             with momentum   b = momentum * b + d;  p = p - b

    T. Tieleman, G. Hinton, "Neural networks for machine learning", lecture 6.5, 2012; centered: A. Graves, "Generating
    sequences with recurrent neural networks", 2013. As in Keras, where eps stands inside the root; in PyTorch it
    stands outside, rho is called alpha and is 0.99, eps 1e-8, and lr is not part of b. s - a**2, a variance, is kept
    from falling below 0 by rounding.
    """

    options = {"rho": below_1, "momentum": up_to_1, "eps": above_0, "centered": yes_or_no}

    def __init__(
        self, params: Any = None, lr: float = 0.001, rho: float = 0.9, momentum: float = 0.0, eps: float = 1e-7,
        centered: bool = False, **others: Any,
    ) -> None:  # fmt: skip
        own = {"rho": rho, "momentum": momentum, "eps": eps, "centered": centered}
        super().__init__(params, lr, own, others)

    def slots(self, h: Any) -> dict[str, float]:
        centered, momentum = {"mean": 0.0} if h.centered else {}, {"momentum": 0.0} if h.momentum else {}
        return {"mean_square": 0.0, **centered, **momentum}

    def update(self, h: Any, p: Any, g: Any, rate: Any, *state: Any) -> tuple[Any, ...]:
        s = h.rho * state[0] + (1 - h.rho) * (g * g)
        new = [s]
        if h.centered:
            a = h.rho * state[1] + (1 - h.rho) * g
            new.append(a)
            s = maximum(s - a * a, 0.0)
        d = rate * g / sqrt(s + h.eps)
        if h.momentum:
            d = h.momentum * state[-1] + d
            new.append(d)
        return p - d, *new
