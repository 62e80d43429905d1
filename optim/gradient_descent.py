"""Plain gradient descent."""

from typing import Any

from tapegrad.optim.base import Optimizer


class GradientDescent(Optimizer):
    """p = p - lr * g: each step goes straight down the slope (up, with maximize=True).

    A. Cauchy, "Méthode générale pour la résolution des systèmes d'équations simultanées", 1847. Keras and PyTorch have
    it as SGD without momentum.
    """

    def __init__(self, params: Any = None, lr: float = 0.01, **others: Any) -> None:
        super().__init__(params, lr, {}, others)

    def update(self, h: Any, p: Any, g: Any, rate: Any, *state: Any) -> tuple[Any, ...]:
        return (p - rate * g,)
