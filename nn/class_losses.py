"""Losses of class numbers, and what they share with the other cross-entropies: smoothing, and the logits behind
probabilities."""

from typing import Any

from tapegrad.autograd import writes
from tapegrad.autograd.arguments import probability, truth
from tapegrad.autograd.dtypes import finfo, is_floating
from tapegrad.autograd.foreign import answering
from tapegrad.autograd.ops import (
    clip_p,
    cross_entropy_p,
    log,
    one_hot_p,
    sparse_cross_entropy_p,
    sum_p,
    where_p,
)
from tapegrad.autograd.tensor import Tensor
from tapegrad.nn.loss_base import as_target, class_numbers, reduce, refuse_swapped, require_float, same_shape


def epsilon(p: Tensor) -> float:
    """What keeps probabilities off 0 and 1: Keras's 1e-7, or for float16 the gap below 1, if that is more."""
    gap = float(finfo(p.dtype).eps) / 2
    return gap if gap > 1e-7 else 1e-7


def smoothing(name: str, amount: float) -> float:
    return probability(f"{name}: label_smoothing", amount)


def logits_behind(p: Tensor, activation: str) -> Any:
    """The logits of which p is the sigmoid or softmax, if the graph still knows them: exact where p is rounded to 0 or
    1 and has lost both the loss and its gradient. (Keras does the same.)"""
    node = p.node
    if node is None or node.out is None or node.primitive.name != activation:
        return None
    if writes.last > node.serial and any(writes.since(a, node.serial) for a in (*node.arrays, node.out)):
        return None  # one of the two was written to, and is no more what the other was made of
    return node.recorded_inputs()[0] if node.params.get("axis", p.ndim - 1) == p.ndim - 1 else None


def logits_of(p: Any, from_logits: bool) -> Any:
    """Logits whose softmax is p / sum(p)."""
    logits = p if from_logits else logits_behind(p, "softmax")
    return log(clip_p(p, min=epsilon(p), max=1.0)) if logits is None else logits


@answering
def cross_entropy(
    prediction: Any,
    labels: Any,
    *,
    reduction: str = "mean",
    sample_weight: Any = None,
    label_smoothing: float = 0.0,
) -> Any:
    """-ln(softmax(p)[label]), or -sum(t * ln(softmax(p))); p being logits (…, classes), precise for any logits

    Args:
        prediction: Logits of shape (…, classes).
        labels: Class numbers, integers of shape (…), or a probability t for each class, floats of shape (…, classes).
        reduction: "mean" over the samples, "sum" of them, or "none" for the loss of each.
        sample_weight: One factor for each sample, of the shape of the unreduced loss or of its first axes; None is 1.
        label_smoothing: From 0 to 1: s makes the probabilities t * (1 - s) + s / classes.

    Raises:
        ValueError: A label is no class number, or the shapes do not fit.
    """
    name = "cross_entropy"
    s = smoothing(name, label_smoothing)
    p = require_float(name, prediction)
    t = as_target(p, labels)
    if t.shape == p.shape and is_floating(t.dtype):
        p, t = same_shape(name, p, t)
        refuse_swapped(name, p, t)
    else:
        t = class_numbers(name, p, t)
        if not s:
            return reduce(name, sparse_cross_entropy_p(p, t), sample_weight, reduction)
        t = one_hot_p(t, classes=p.shape[-1], dtype=p.dtype)
    if s:
        t = t * (1.0 - s) + s / p.shape[-1]
    return reduce(name, cross_entropy_p(p, t), sample_weight, reduction)


@answering
def sparse_categorical_crossentropy(
    prediction: Any,
    labels: Any,
    *,
    reduction: str = "mean",
    sample_weight: Any = None,
    from_logits: bool = False,
) -> Any:
    """-ln(p[label] / sum(p)), p being probabilities of the classes, kept 1e-7 away from 0

    If p comes straight from `softmax` in a graph, the loss is computed from its logits.

    Args:
        prediction: Probabilities of shape (…, classes), or logits.
        labels: Class numbers, integers of shape (…).
        reduction: "mean" over the samples, "sum" of them, or "none" for the loss of each.
        sample_weight: One factor for each sample, of the shape of the unreduced loss or of its first axes; None is 1.
        from_logits: Whether the prediction holds logits.

    Raises:
        ValueError: A label is no class number, or the shapes do not fit.
    """
    name = "sparse_categorical_crossentropy"
    p = require_float(name, prediction)
    t = class_numbers(name, p, labels)
    from_logits = truth(f"{name}: from_logits", from_logits)
    return reduce(name, sparse_cross_entropy_p(logits_of(p, from_logits), t), sample_weight, reduction)


@answering
def nll_loss(prediction: Any, labels: Any, *, reduction: str = "mean", sample_weight: Any = None) -> Any:
    """-p[label], p being log-probabilities, as `log_softmax` gives them

    Args:
        prediction: Log-probabilities of shape (…, classes).
        labels: Class numbers, integers of shape (…).
        reduction: "mean" over the samples, "sum" of them, or "none" for the loss of each.
        sample_weight: One factor for each sample, of the shape of the unreduced loss or of its first axes; None is 1.

    Raises:
        ValueError: A label is no class number, or the shapes do not fit.
    """
    p = require_float("nll_loss", prediction)
    t = one_hot_p(class_numbers("nll_loss", p, labels), classes=p.shape[-1], dtype=p.dtype)
    chosen = sum_p(where_p(t == 1, p, 0.0), axis=(p.ndim - 1,), keepdims=False)
    return reduce("nll_loss", -chosen, sample_weight, reduction)
