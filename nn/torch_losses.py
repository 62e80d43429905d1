"""Losses of one prediction and one target under PyTorch's names, in its order and with its defaults."""

import math
from functools import partial

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import above_0, at_least_0, number, one_of, somewhere, truth, whole_number
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.filled import ones
from tapegrad.autograd.ops import (
    binary_cross_entropy_of_p,
    binary_cross_entropy_p,
    clip_p,
    exp,
    log,
    log1p,
    maximum,
    mean_p,
    poisson_p,
    softplus,
    square,
    take,
    where,
    where_p,
)
from tapegrad.autograd.tensor import Tensor
from tapegrad.nn.class_losses import nll_loss
from tapegrad.nn.loss_base import (
    as_target,
    class_numbers,
    refuse_numbers,
    require_float,
    same_shape,
)
from tapegrad.nn.losses import huber_of, smooth_l1_of
from tapegrad.nn.torch_names import TorchLoss, WeighedLoss, classes_last, ratio


class SmoothL1Loss(TorchLoss):
    """mean(e**2 / (2 * beta) where |e| < beta, else |e| - beta / 2), for e = input - target (Girshick 2015)

    Args:
        reduction: "mean", "sum" or "none", over all elements.
        beta: Where the parabola becomes a line, at least 0; 0 is `L1Loss`.
    """

    checks = {"beta": at_least_0}

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.beta = beta

    def forward(self, input: TensorLike, target: TensorLike) -> Tensor:
        p, t = same_shape("SmoothL1Loss", input, target)
        return self._reduced(smooth_l1_of(p - t, self.beta))


class HuberLoss(TorchLoss):
    """mean(e**2 / 2 where |e| <= delta, else delta * |e| - delta**2 / 2), for e = input - target (Huber 1964)

    Args:
        reduction: "mean", "sum" or "none", over all elements.
        delta: Where the parabola becomes a line, above 0.
    """

    checks = {"delta": above_0}

    def __init__(self, *, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: TensorLike, target: TensorLike) -> Tensor:
        p, t = same_shape("HuberLoss", input, target)
        return self._reduced(huber_of(p - t, self.delta))


class KLDivLoss(TorchLoss):
    """mean(t * (ln(t) - input)): the divergence of distributions, the input being log-probabilities

    `reduction="batchmean"` divides the sum by the number of rows, which is the divergence of its definition; "mean"
    divides by the number of elements. Where t is 0, the loss is 0.

    Args:
        reduction: "mean", "batchmean", "sum" or "none".
        log_target: Whether the target holds log-probabilities, too.
    """

    checks = {
        "reduction": partial(one_of, known=("mean", "sum", "none", "batchmean")), "log_target": truth,
    }  # fmt: skip

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        self.reduction, self.log_target = reduction, log_target

    def forward(self, input: TensorLike, target: TensorLike) -> Tensor:
        p, t = same_shape("KLDivLoss", input, target)
        if self.log_target:
            loss = exp(t) * (t - p)
        else:
            none = t == 0
            loss = where_p(none, 0.0, t * (log(where_p(none, 1.0, t)) - p))
        if self.reduction == "batchmean":
            return ratio(self._weighed(loss), ones(p.shape[:1], dtype=p.dtype, device=p.device))
        return self._reduced(loss)


class PoissonNLLLoss(TorchLoss):
    """mean(e**input - t * input): -ln of the Poisson probability of count t at the rate e**input

    Args:
        reduction: "mean", "sum" or "none", over all elements.
        log_input: Whether the input is the logarithm of the rate; False: input - t * ln(input + eps).
        full: Whether to add Stirling's approximation of ln(t!), where t > 1.
        eps: Keeps the logarithm of the rate off 0.
    """

    checks = {"log_input": truth, "full": truth, "eps": at_least_0}

    def __init__(
        self, *, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction=reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, input: TensorLike, target: TensorLike) -> Tensor:
        p, t = same_shape("PoissonNLLLoss", input, target)
        loss = exp(p) - t * p if self.log_input else poisson_p(p, t, epsilon=self.eps)
        if self.full:
            many = t > 1
            n = where_p(many, t, 1.0)
            loss = loss + where_p(many, n * log(n) - n + 0.5 * log(2 * math.pi * n), 0.0)
        return self._reduced(loss)


class GaussianNLLLoss(TorchLoss):
    """mean((ln(v) + (input - t)**2 / v) / 2): -ln of the normal density of t, v = max(var, eps) being the variance

    Called with three arrays: loss(input, target, var).

    Args:
        full: Whether to add ln(2 * pi) / 2.
        eps: The least variance, above 0. It keeps its gradient, as in PyTorch.
        reduction: "mean", "sum" or "none", over all elements.
    """

    checks = {"full": truth, "eps": above_0}

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full, self.eps = full, eps

    def forward(self, input: TensorLike, target: TensorLike, var: TensorLike) -> Tensor:
        p, t = same_shape("GaussianNLLLoss", input, target)
        v = as_target(p, var)
        if v.shape not in (p.shape, p.shape[:-1], (*p.shape[:-1], 1)):
            raise ValueError(
                f"GaussianNLLLoss: var must have the input's shape {p.shape}, or one number per row, got {v.shape}"
            )
        v = v if v.ndim == p.ndim else v.expand_dims(-1)
        if somewhere(v, lambda a: a < 0):
            raise ValueError("GaussianNLLLoss: var must not be negative")
        v = v + (clip_p(v, min=self.eps, max=None) - v).detach()
        loss = 0.5 * (log(v) + square(p - t) / v)
        return self._reduced(loss + 0.5 * math.log(2 * math.pi) if self.full else loss)


def _cross_entropy(p: Tensor, t: Tensor) -> Tensor:
    """-t * ln(p) - (1 - t) * ln(1 - p); a logarithm ends at -100, and where p * (1 - p) is below a limit, the slope is
    (p - t) / limit, as PyTorch has both."""
    limit = 2.0**-15 if name_of(p.dtype) == "float16" else 1e-12  # whose inverse is finite
    edge = p * (1.0 - p) < limit
    inside = where_p(edge, 0.5, p)
    at_edge = where_p(edge, p.detach(), 0.5)
    sure = where_p(at_edge == 0, -100.0, maximum(log(where_p(at_edge == 0, 0.5, at_edge)), -100.0))
    not_sure = where_p(at_edge == 1, -100.0, maximum(log1p(-where_p(at_edge == 1, 0.5, at_edge)), -100.0))
    flat = -(t * sure + (1.0 - t) * not_sure)
    # No number, only its slope.
    rising = (p - p.detach()) * ((p - t).detach() * (1.0 / limit))
    return where_p(edge, flat + rising, binary_cross_entropy_of_p(inside, t))


class BCELoss(WeighedLoss):
    """mean(-w * (t * ln(input) + (1 - t) * ln(1 - input))), the input being probabilities; a logarithm ends at -100

    `BCEWithLogitsLoss` takes logits, and is precise for any of them.

    Args:
        weight: The w of the formula, which broadcasts to the input; None is 1.
        reduction: "mean", "sum" or "none", over all elements.
    """

    def forward(self, input: TensorLike, target: TensorLike) -> Tensor:
        p, t = same_shape("BCELoss", input, target)
        if somewhere(p, lambda a: (a < 0) | (a > 1)):
            raise ValueError(
                "BCELoss: the input must be probabilities, from 0 to 1: nn.BCEWithLogitsLoss takes logits"
            )
        return self._reduced(self._times_weight(_cross_entropy(p, t)))


class NLLLoss(WeighedLoss):
    """-input[class] of log-probabilities of shape (N, C), (C,) or (N, C, d1, …): the classes are axis 1.

    Args:
        weight: A factor for each class, of shape (C,). The mean divides by the sum of the factors of the samples'
            classes.
        ignore_index: The class number of samples that do not count.
        reduction: "mean", "sum" or "none", over all elements.
    """

    checks = {"ignore_index": whole_number}

    def __init__(
        self, weight: TensorLike | None = None, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, reduction=reduction)
        self.ignore_index = ignore_index

    def forward(self, input: TensorLike, target: TensorLike) -> Tensor:
        x = require_float("NLLLoss", input)
        t = as_target(x, target)
        x = classes_last("NLLLoss", x, t)
        self._check_class_factors(x.shape[-1] if x.ndim else 0)
        keep = t != self.ignore_index
        labels = class_numbers("NLLLoss", x, where(keep, t, 0))
        factor = 1.0 if self.weight is None else take(self._factors(x), labels)
        share = where(keep, factor, 0.0).astype(x.dtype, copy=False)
        loss = where(keep, nll_loss(x, labels, reduction="none") * share, 0.0)
        return self._reduced(loss, share)


class SoftMarginLoss(TorchLoss):
    """mean(ln(1 + e**(-t * input))), t being -1 and 1

    Args:
        reduction: "mean", "sum" or "none", over all elements.
    """

    def forward(self, input: TensorLike, target: TensorLike) -> Tensor:
        p, t = same_shape("SoftMarginLoss", input, target)
        return self._reduced(softplus(-t * p))


class MultiLabelSoftMarginLoss(WeighedLoss):
    """For each row, mean(-w * (t * ln(sigmoid(input)) + (1 - t) * ln(1 - sigmoid(input)))) over its classes

    Args:
        weight: The w of the formula, one factor for each class; None is 1.
        reduction: "mean", "sum" or "none", over the rows.
    """

    def forward(self, input: TensorLike, target: TensorLike) -> Tensor:
        p, t = same_shape("MultiLabelSoftMarginLoss", input, target)
        refuse_numbers("MultiLabelSoftMarginLoss", p)
        loss = self._times_weight(binary_cross_entropy_p(p, t))
        return self._reduced(mean_p(loss, axis=(p.ndim - 1,), keepdims=False))


class HingeEmbeddingLoss(TorchLoss):
    """mean(input where t is 1, max(margin - input, 0) where t is -1), the input being distances

    Args:
        margin: From which distance on pairs with t = -1 cost nothing.
        reduction: "mean", "sum" or "none", over all elements.
    """

    checks = {"margin": number}

    def __init__(self, *, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, input: TensorLike, target: TensorLike) -> Tensor:
        p, t = same_shape("HingeEmbeddingLoss", input, target)
        check_signs("HingeEmbeddingLoss", t)
        return self._reduced(where_p(t == 1, p, clip_p(self.margin - p, min=0.0, max=None)))


def check_signs(name: str, t: Tensor) -> None:
    """Raise ValueError unless all are -1 or 1."""
    if somewhere(t, lambda a: (a != 1) & (a != -1)):
        raise ValueError(f"{name}: the target must be -1 and 1")
