"""Gradient descent with momentum."""

from typing import Any

from tapegrad.autograd.ops import minimum
from tapegrad.optim.base import Optimizer
from tapegrad.optim.options import up_to_1, yes_or_no


class SGD(Optimizer):
    """Gradient descent on mini-batches, with the momentum of a heavy ball where asked for.

        v = momentum * v - lr * g
        p = p + v                           or, with nesterov,   p = p + momentum * v - lr * g

    With form="torch", v does not contain lr, so that a change of lr scales all of the momentum:

        v = momentum * v + (1 - dampening) * g             at the first step v = g
        p = p - lr * v                      or, with nesterov,   p = p - lr * (g + momentum * v)

    lr          0.01; 0.001 with form="torch"
    dampening   with form="torch" only

    B. Polyak 1964; Y. Nesterov 1983; both as in I. Sutskever et al., "On the importance of initialization and momentum
    in deep learning", 2013. The default form is Keras's, the other one PyTorch's.
    """

    options = {"momentum": up_to_1, "nesterov": yes_or_no, "dampening": up_to_1}
    torch_defaults = {"lr": 0.001}
    momentum: float
    nesterov: bool
    dampening: float

    def __init__(
        self, params: Any = None, lr: float | None = None, momentum: float = 0.0, nesterov: bool = False,
        dampening: float = 0.0, **others: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, {"momentum": momentum, "nesterov": nesterov, "dampening": dampening}, others
        )

    def check(self, h: Any) -> None:
        super().check(h)
        if h.nesterov and not h.momentum:
            raise ValueError("nesterov=True looks ahead along the momentum: expected momentum above 0, got 0")
        if h.dampening and h.form != "torch":
            raise ValueError(
                f"dampening={h.dampening} is an option of form='torch': set form, or leave it out"
            )
        if h.dampening and h.nesterov:
            raise ValueError("expected either nesterov=True or dampening, as in PyTorch, got both")

    def slots(self, h: Any) -> dict[str, float]:
        return {"velocity": 0.0} if h.momentum else {}

    def constants(self, h: Any) -> dict[str, Any]:
        return {"lr": h.lr, "momentum": h.momentum}

    def numbers(self, h: Any, step: Any) -> dict[str, Any]:
        return {"new": 1.0 - h.dampening * minimum(step - 1.0, 1.0)} if h.form == "torch" else {}

    def update(self, n: Any, p: Any, g: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if "velocity" not in state:
            return p - n.lr * g, {}
        if n.form == "torch":
            v = n.momentum * state["velocity"] + n.new * g
            return p - n.lr * (g + n.momentum * v if n.nesterov else v), {"velocity": v}
        move = n.lr * g
        v = n.momentum * state["velocity"] - move
        return p + (n.momentum * v - move if n.nesterov else v), {"velocity": v}
