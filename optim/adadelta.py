"""Adadelta."""

from typing import Any

from tapegrad.autograd.ops import sqrt
from tapegrad.optim.base import Optimizer
from tapegrad.optim.options import above_0, below_1


class Adadelta(Optimizer):
    """The gradient over its running root mean square, times that of the steps before.

        s = rho * s + (sqrt(1 - rho) * g)**2                  running mean of g**2
        d = sqrt(u + eps) / sqrt(s + eps) * g
        u = rho * u + (sqrt(1 - rho) * d)**2                  running mean of d**2
        p = p - lr * d

    lr, rho, eps   0.001, 0.95, 1e-7; with form="torch" 1.0, 0.9, 1e-6. The paper has no lr, so that 1.0 is its formula

    M. Zeiler, "ADADELTA: an adaptive learning rate method", 2012. Keras and PyTorch have the same formula.
    """

    options = {"rho": below_1, "eps": above_0}
    keras_defaults = {"lr": 0.001, "rho": 0.95, "eps": 1e-7}
    torch_defaults = {"lr": 1.0, "rho": 0.9, "eps": 1e-6}
    rho: float
    eps: float

    def __init__(
        self, params: Any = None, lr: float | None = None, rho: float | None = None, eps: float | None = None,
        **others: Any,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, {"rho": rho, "eps": eps}, others)

    def slots(self, h: Any) -> dict[str, float]:
        return {"mean_square": 0.0, "mean_square_step": 0.0}

    def square_weight(self, h: Any) -> Any:
        return sqrt(1.0 - h.rho)

    def constants(self, h: Any) -> dict[str, Any]:
        return {"lr": h.lr, "rho": h.rho, "weight": self.square_weight(h), "eps": h.eps}

    def update(self, n: Any, p: Any, g: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        weighted = n.weight * g
        s = n.rho * state["mean_square"] + weighted * weighted
        d = sqrt(state["mean_square_step"] + n.eps) * (g / sqrt(s + n.eps))
        move = n.weight * d
        u = n.rho * state["mean_square_step"] + move * move
        return p - n.lr * d, {"mean_square": s, "mean_square_step": u}
