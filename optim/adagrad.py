"""Adagrad."""

from typing import Any

from tapegrad.autograd.ops import sqrt
from tapegrad.optim.base import Optimizer
from tapegrad.optim.params import above_0, at_least_0


class Adagrad(Optimizer):
    """The gradient over the root of the sum of all its squares so far.

        s = s + g**2                                          starts at initial_accumulator_value
        p = p - lr * g / sqrt(s + eps)

    J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods for online learning and stochastic optimization", 2011.
    As in Keras; in PyTorch eps (1e-10) stands outside the root, s starts at 0, and lr is 0.01.
    """

    options = {"initial_accumulator_value": at_least_0, "eps": above_0}

    def __init__(
        self, params: Any = None, lr: float = 0.001, initial_accumulator_value: float = 0.1, eps: float = 1e-7,
        **others: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, {"initial_accumulator_value": initial_accumulator_value, "eps": eps}, others
        )

    def slots(self, h: Any) -> dict[str, float]:
        return {"sum_of_squares": h.initial_accumulator_value}

    def update(self, h: Any, p: Any, g: Any, rate: Any, *state: Any) -> tuple[Any, ...]:
        s = state[0] + g * g
        return p - rate * g / sqrt(s + h.eps), s
