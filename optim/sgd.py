"""Gradient descent with momentum."""

from typing import Any

from tapegrad.optim.base import Optimizer
from tapegrad.optim.params import up_to_1, yes_or_no


class SGD(Optimizer):
    """Gradient descent on (mini-)batches, with the momentum of a heavy ball if asked for.

        v = momentum * v - lr * g
        p = p + v                           or, with nesterov,   p = p + momentum * v - lr * g

    B. Polyak 1964; Y. Nesterov 1983; both as in I. Sutskever et al., "On the importance of initialization and momentum
    in deep learning", 2013. PyTorch keeps v without lr (v = momentum * v + g, p = p - lr * v): the same as long as lr
    stays, but after a change of lr its old momentum is scaled with it, ours is not.
    """

    options = {"momentum": up_to_1, "nesterov": yes_or_no}

    def __init__(
        self,
        params: Any = None,
        lr: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **others: Any,
    ) -> None:
        super().__init__(params, lr, {"momentum": momentum, "nesterov": nesterov}, others)

    def check(self, h: Any) -> None:
        super().check(h)
        if h.nesterov and not h.momentum:
            raise ValueError("nesterov=True looks ahead along the momentum: expected momentum above 0, got 0")

    def slots(self, h: Any) -> dict[str, float]:
        return {"velocity": 0.0} if h.momentum else {}

    def update(self, h: Any, p: Any, g: Any, rate: Any, *state: Any) -> tuple[Any, ...]:
        move = rate * g
        if not state:
            return (p - move,)
        v = h.momentum * state[0] - move
        return (p + (h.momentum * v - move) if h.nesterov else p + v), v
