"""Adagrad."""

from typing import Any

from tapegrad.autograd.ops import minimum, sqrt
from tapegrad.optim.base import Optimizer
from tapegrad.optim.options import above_0, at_least_0


class Adagrad(Optimizer):
    """The gradient over the root of the sum of all its squares so far.

        s = s + g**2                                          starts at initial_accumulator_value
        p = p - lr * g / sqrt(s + eps)                        with form="torch"   lr * g / (sqrt(s) + eps)

    s stops at the dtype's largest number.

    lr, initial_accumulator_value, eps   0.001, 0.1, 1e-7; with form="torch" 0.01, 0, 1e-10. The second one cannot be
              changed once there are parameters

    J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods for online learning and stochastic optimization", 2011.
    The default form is Keras's, the other one PyTorch's.
    """

    options = {"initial_accumulator_value": at_least_0, "eps": above_0}
    keras_defaults = {"lr": 0.001, "initial_accumulator_value": 0.1, "eps": 1e-7}
    torch_defaults = {"lr": 0.01, "initial_accumulator_value": 0.0, "eps": 1e-10}
    fixed = ("form", "initial_accumulator_value")
    eps: float

    def __init__(
        self, params: Any = None, lr: float | None = None, initial_accumulator_value: float | None = None,
        eps: float | None = None, **others: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, {"initial_accumulator_value": initial_accumulator_value, "eps": eps}, others
        )

    def slots(self, h: Any) -> dict[str, float]:
        return {"sum_of_squares": h.initial_accumulator_value}

    def square_weight(self, h: Any) -> Any:
        return 1.0

    def constants(self, h: Any) -> dict[str, Any]:
        return {"lr": h.lr, "eps": h.eps}

    def update(self, n: Any, p: Any, g: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        s = state["sum_of_squares"] + minimum(g * g, n.largest - state["sum_of_squares"])
        root = sqrt(s) + n.eps if n.form == "torch" else sqrt(s + n.eps)
        return p - n.lr * (g / root), {"sum_of_squares": s}
