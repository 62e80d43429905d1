"""Losses of pairs and triples of vectors under PyTorch's names: distances, angles and ranks."""

import math

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import above_0, at_least_0, number, truth
from tapegrad.autograd.ops import clip_p, minimum, sum_p, where_p
from tapegrad.autograd.tensor import Tensor
from tapegrad.nn.lengths import direction, norm, widened
from tapegrad.nn.loss_base import as_target, refuse_numbers, same_shape
from tapegrad.nn.torch_losses import check_signs
from tapegrad.nn.torch_names import TorchLoss

VECTORS = "vectors of shape (N, D) or (D,)"


def _at_least_0(x: Tensor) -> Tensor:
    """max(x, 0) whose slope at 0 is 1, as PyTorch's clamp has it: with a margin of 0, equal scores are moved apart."""
    return clip_p(x, min=0.0, max=None)


def _order_of_norm(name: str, p: object) -> float:
    return math.inf if isinstance(p, float) and p == math.inf else above_0(name, p)


class TripletMarginLoss(TorchLoss):
    """mean(max(d(anchor, positive) - d(anchor, negative) + margin, 0)), d(a, b) = |a - b + eps| (Balntas 2016)

    Called with three arrays of shape (N, D) or (D,): loss(anchor, positive, negative).

    Args:
        margin: By how much the negative one must be farther, above 0.
        p: The norm, above 0; math.inf is the largest difference.
        eps: Added to each difference, so that equal vectors have a slope.
        swap: Whether d(positive, negative) counts where it is less than d(anchor, negative).
        reduction: "mean", "sum" or "none", over the rows.
    """

    checks = {"margin": above_0, "p": _order_of_norm, "eps": number, "swap": truth}

    def __init__(
        self, *, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False,
        reduction: str = "mean",
    ) -> None:  # fmt: skip
        super().__init__(reduction=reduction)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: TensorLike, positive: TensorLike, negative: TensorLike) -> Tensor:
        a, b = same_shape("TripletMarginLoss", anchor, positive)
        _, c = same_shape("TripletMarginLoss", anchor, negative)
        refuse_numbers("TripletMarginLoss", a, VECTORS)
        dtype, (a, b, c) = a.dtype, (widened(x) for x in (a, b, c))
        near, far = (norm(a - other + self.eps, self.p) for other in (b, c))
        if self.swap:
            far = minimum(far, norm(b - c + self.eps, self.p))
        return self._reduced(_at_least_0(near - far + self.margin)).astype(dtype, copy=False)


class CosineEmbeddingLoss(TorchLoss):
    """mean(1 - cos(x1, x2) where t is 1, max(cos(x1, x2) - margin, 0) where t is -1)

    Called with three arrays: loss(x1, x2, t), of shapes (N, D), (N, D) and (N,), or (D,), (D,) and (). The cosine with
    a vector of zeros is 0.

    Args:
        margin: Up to which cosine pairs with t = -1 cost nothing, from -1 to 1.
        reduction: "mean", "sum" or "none", over the pairs.
    """

    checks = {"margin": number}

    def __init__(self, *, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, x1: TensorLike, x2: TensorLike, target: TensorLike) -> Tensor:
        a, b = same_shape("CosineEmbeddingLoss", x1, x2)
        refuse_numbers("CosineEmbeddingLoss", a, VECTORS)
        t = as_target(a, target)
        if t.shape != a.shape[:-1]:
            raise ValueError(
                f"CosineEmbeddingLoss: vectors of shape {a.shape} need targets of shape {a.shape[:-1]}, got {t.shape}"
            )
        check_signs("CosineEmbeddingLoss", t)
        cosine = sum_p(direction(a) * direction(b), axis=(a.ndim - 1,), keepdims=False)
        loss = where_p(t == 1, 1.0 - cosine, _at_least_0(cosine - self.margin))
        return self._reduced(loss).astype(a.dtype, copy=False)


class MarginRankingLoss(TorchLoss):
    """mean(max(-t * (x1 - x2) + margin, 0)): t = 1 says that x1 ranks above x2, -1 the reverse

    Called with three arrays of one shape: loss(x1, x2, t).

    Args:
        margin: By how much the one must be above the other, at least 0.
        reduction: "mean", "sum" or "none", over all elements.
    """

    checks = {"margin": at_least_0}

    def __init__(self, *, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, x1: TensorLike, x2: TensorLike, target: TensorLike) -> Tensor:
        a, b = same_shape("MarginRankingLoss", x1, x2)
        _, t = same_shape("MarginRankingLoss", a, target)
        check_signs("MarginRankingLoss", t)
        return self._reduced(_at_least_0(-t * (a - b) + self.margin))
