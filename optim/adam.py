"""Adam and AMSGrad."""

from typing import Any

from tapegrad.autograd.ops import maximum, sqrt
from tapegrad.optim.base import Optimizer
from tapegrad.optim.params import above_0, below_1, yes_or_no


class Adam(Optimizer):
    """A step of about lr in each coordinate, less where the gradient is noisy.

        m = m + (1 - beta_1) * (g - m)                        running mean of g
        v = v + (1 - beta_2) * (g**2 - v)                     running mean of g**2
        p = p - lr * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + eps)      at step t = 1, 2, …

    With amsgrad v's largest value so far stands in place of v.

    D. Kingma, J. Ba, "Adam: a method for stochastic optimization", 2015, with the eps of section 2; S. Reddi et al.,
    "On the convergence of Adam and beyond", 2018. As in Keras; PyTorch divides v by 1 - beta_2**t before the root, so
    that its eps (1e-8) weighs more in the first steps, and takes AMSGrad's maximum over these. In float16 squares below
    6e-8 vanish: give an eps of 1e-4 or so.
    """

    options = {"beta_1": below_1, "beta_2": below_1, "eps": above_0, "amsgrad": yes_or_no}

    def __init__(
        self, params: Any = None, lr: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, eps: float = 1e-7,
        amsgrad: bool = False, **others: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, {"beta_1": beta_1, "beta_2": beta_2, "eps": eps, "amsgrad": amsgrad}, others
        )

    def slots(self, h: Any) -> dict[str, float]:
        return {"m": 0.0, "v": 0.0, "v_max": 0.0} if h.amsgrad else {"m": 0.0, "v": 0.0}

    def rate(self, h: Any, lr: Any, step: Any) -> Any:
        return lr * sqrt(1.0 - h.beta_2**step) / (1.0 - h.beta_1**step)

    def update(self, h: Any, p: Any, g: Any, rate: Any, *state: Any) -> tuple[Any, ...]:
        m = state[0] + (1 - h.beta_1) * (g - state[0])
        v = state[1] + (1 - h.beta_2) * (g * g - state[1])
        if not h.amsgrad:
            return p - rate * m / (sqrt(v) + h.eps), m, v
        v_max = maximum(state[2], v)
        return p - rate * m / (sqrt(v_max) + h.eps), m, v, v_max
