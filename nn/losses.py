"""Losses as functions: loss(prediction, target, *, reduction="mean", sample_weight=None, …). Prediction first.

prediction      floating-point; its first axes are the samples, and of several axes the last one is averaged over (or is
                the classes): predictions (N, D) give one loss per sample, (N,), and so do predictions (N,)
target          of the prediction's shape, exactly: (N,) against (N, 1) is an error, nothing is broadcast. Anything that
                `tg.tensor` takes; it is cast to the prediction's dtype. For losses over classes see each.
sample_weight   one weight per sample, of the shape of the unreduced loss or of its first axes
reduction       "none": weight * loss, one per sample; "sum": their sum; "mean": their sum divided by the number of
                samples (not by the sum of the weights), which Keras calls "sum_over_batch_size"

The loss has the prediction's dtype. A wrong shape, class number, option or reduction raises ValueError, a prediction
that is not floating-point TypeError. Definitions are Keras's; each docstring gives the loss of one sample, with p for
the prediction and t for the target.
"""

from math import prod
from typing import Any

from tapegrad.autograd.creation import tensor
from tapegrad.autograd.dtypes import is_floating
from tapegrad.autograd.ops import binary_cross_entropy_p, mean_p, reshape_p, square, sum_p
from tapegrad.autograd.tensor import Tensor


# ---- what all losses share ----
def _pair(name: str, prediction: Any, target: Any) -> tuple[Any, Any]:
    """Both as Tensors of one shape, dtype and device, or an error that says which is wrong."""
    if type(prediction) is not Tensor and not isinstance(prediction, Tensor):
        prediction = tensor(prediction)
    if not isinstance(target, Tensor):
        target = tensor(target, device=prediction.device)
    p, t = prediction.data, target.data
    if p.shape != t.shape:
        raise ValueError(f"{name}: {_mismatch(tuple(p.shape), tuple(t.shape))}")
    if p.dtype is not t.dtype and p.dtype != t.dtype:
        target = target.astype(p.dtype)
    if not is_floating(p.dtype):
        raise TypeError(f"{name}: the prediction must be floating-point, got {p.dtype}")
    return prediction, target


def _mismatch(prediction: tuple[int, ...], target: tuple[int, ...]) -> str:
    text = f"prediction and target must have one shape, got prediction {prediction} and target {target}"
    if prod(prediction) == prod(target):
        return f"{text}: reshape one of them, as in target.reshape{prediction}"
    return text


def _reduce(name: str, loss: Any, weight: Any, reduction: str) -> Any:
    """Weigh and reduce one loss per sample."""
    if weight is not None:
        weight = weight if isinstance(weight, Tensor) else tensor(weight, device=loss.device)
        if weight.ndim == 0 or weight.shape != loss.shape[: weight.ndim]:
            raise ValueError(
                f"{name}: sample_weight must have the shape of the unreduced loss, {loss.shape}, or of its first axes, "
                f"got {weight.shape}"
            )
        weight = weight if weight.dtype == loss.dtype else weight.astype(loss.dtype)
        loss = loss * reshape_p(weight, shape=weight.shape + (1,) * (loss.ndim - weight.ndim))
    if reduction == "mean":
        if loss.size == 0:
            raise ValueError(f"{name}: the mean over an empty batch, predictions of shape {loss.shape}")
        return mean_p(loss, axis=None, keepdims=False)
    if reduction == "sum":
        return sum_p(loss, axis=None, keepdims=False)
    if reduction == "none":
        return loss
    raise ValueError(f'{name}: reduction must be "mean", "sum" or "none", got {reduction!r}')


def _over_features(name: str, elements: Any, weight: Any, reduction: str) -> Any:
    """Average over the last axis of several, then weigh and reduce."""
    if weight is None and reduction == "mean":  # the mean of equally large means is the mean of all
        return _reduce(name, elements, None, "mean")
    if elements.ndim > 1:
        elements = mean_p(elements, axis=(elements.ndim - 1,), keepdims=False)
    return _reduce(name, elements, weight, reduction)


# ---- regression ----
def mse_loss(prediction: Any, target: Any, *, reduction: str = "mean", sample_weight: Any = None) -> Any:
    """Mean squared error: mean((p - t)**2)"""
    p, t = _pair("mse_loss", prediction, target)
    return _over_features("mse_loss", square(p - t), sample_weight, reduction)


# ---- binary classification ----
def binary_cross_entropy_with_logits(
    prediction: Any,
    target: Any,
    *,
    reduction: str = "mean",
    sample_weight: Any = None,
    label_smoothing: float = 0.0,
) -> Any:
    """mean(-t * ln(sigmoid(p)) - (1 - t) * ln(1 - sigmoid(p))), computed without overflow for any p

    prediction are logits, target probabilities (0 and 1, or between); label_smoothing s makes them t*(1-s) + s/2.
    """
    name = "binary_cross_entropy_with_logits"
    p, t = _pair(name, prediction, target)
    if label_smoothing:
        t = t * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return _over_features(name, binary_cross_entropy_p(p, t), sample_weight, reduction)
