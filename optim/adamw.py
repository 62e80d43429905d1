"""Adam with weight decay beside the gradient, not in it."""

from typing import Any

from tapegrad.optim.adam import Adam


class AdamW(Adam):
    """Adam, after each weight has lost lr * weight_decay of itself: p = p - lr * weight_decay * p, then Adam's update.

    I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", 2019. The default of weight_decay is Keras's
    0.004; PyTorch's is 0.01.
    """

    def __init__(
        self, params: Any = None, lr: float = 0.001, weight_decay: float = 0.004, beta_1: float = 0.9,
        beta_2: float = 0.999, eps: float = 1e-7, amsgrad: bool = False, **others: Any,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, beta_1, beta_2, eps, amsgrad, weight_decay=weight_decay, **others)
