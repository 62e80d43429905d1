"""Losses of class numbers, and what they share with the other cross-entropies: smoothing, and the logits behind
probabilities."""

from tapegrad.autograd import writes
from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import number, probability, truth, whole_number
from tapegrad.autograd.dtypes import finfo, is_floating
from tapegrad.autograd.foreign import answering
from tapegrad.autograd.ops import (
    astype_p,
    clip_p,
    cross_entropy_p,
    log,
    not_equal,
    one_hot_p,
    reshape_p,
    sparse_cross_entropy_p,
    sum_p,
    where_p,
)
from tapegrad.autograd.tensor import Tensor
from tapegrad.nn.lengths import widened
from tapegrad.nn.loss_base import (
    as_target,
    class_numbers,
    reduce,
    refuse_numbers,
    refuse_swapped,
    require_float,
    same_shape,
)


def epsilon(p: Tensor) -> float:
    """What keeps probabilities off 0 and 1: Keras's 1e-7, or for float16 the gap below 1, if that is more."""
    gap = float(finfo(p.dtype).eps) / 2
    return gap if gap > 1e-7 else 1e-7


def smoothing(name: str, amount: float) -> float:
    return probability(f"{name}: label_smoothing", amount)


def logits_behind(p: Tensor, activation: str) -> Tensor | None:
    """The logits of which p is the sigmoid or softmax, if the graph still knows them: exact where p is rounded to 0 or
    1 and has lost both the loss and its gradient. (Keras does the same.)"""
    node = p.node
    if node is None or node.out is None or node.primitive.name != activation:
        return None
    if writes.last > node.serial and any(writes.since(a, node.serial) for a in (*node.arrays, node.out)):
        return None  # one of the two was written to, and is no more what the other was made of
    return node.recorded_inputs()[0] if node.params.get("axis", p.ndim - 1) == p.ndim - 1 else None


def logits_of(p: Tensor, from_logits: bool) -> Tensor:
    """Logits whose softmax is p / sum(p)."""
    logits = p if from_logits else logits_behind(p, "softmax")
    return log(clip_p(p, min=epsilon(p), max=1.0)) if logits is None else logits


def class_factors(name: str, option: str, given: float | TensorLike, p: Tensor) -> Tensor | float:
    """One factor for each class, or a number, in the prediction's dtype."""
    if isinstance(given, (int, float)):
        return number(f"{name}: {option}", given)
    w = as_target(p, given)
    if w.shape not in ((), (1,), p.shape[-1:]):
        raise ValueError(
            f"{name}: {option} must be a number, or of shape {p.shape[-1:]}, one for each class; got {w.shape}"
        )
    return w if w.dtype == p.dtype else w.astype(p.dtype)


def _kept(
    name: str, p: Tensor, labels: TensorLike, option: str, ignored: int | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The prediction and the class numbers, 0 for samples of the ignored class, and which are not: None if none is
    ignored."""
    if ignored is None:
        return p, class_numbers(name, p, labels), None
    t = as_target(p, labels)
    keep = not_equal(t, whole_number(f"{name}: {option}", ignored))
    numbers = class_numbers(name, p, where_p(keep, t, 0))
    return where_p(reshape_p(keep, shape=(*keep.shape, 1)), p, 0.0), numbers, keep


def _reduced(
    name: str, loss: Tensor, keep: Tensor | None, sample_weight: TensorLike | None, reduction: str
) -> Tensor:
    """The losses of the samples that are kept, reduced; their mean is over these alone."""
    if keep is None:
        return reduce(name, loss, sample_weight, reduction)
    loss = where_p(keep, loss, 0.0)
    if reduction != "mean":
        return reduce(name, loss, sample_weight, reduction)
    wide = widened(loss)
    total = reduce(name, wide, sample_weight, "sum")
    return (total / sum_p(astype_p(keep, dtype=wide.dtype), axis=None, keepdims=False)).astype(
        loss.dtype, copy=False
    )


@answering
def cross_entropy(
    prediction: TensorLike,
    labels: TensorLike,
    *,
    reduction: str = "mean",
    sample_weight: TensorLike | None = None,
    label_smoothing: float = 0.0,
    class_weight: TensorLike | None = None,
    ignore_index: int | None = None,
) -> Tensor:
    """-ln(softmax(p)[label]), or -sum(t * ln(softmax(p))); p being logits (…, classes), precise for any logits

    Args:
        prediction: Logits of shape (…, classes).
        labels: Class numbers, integers of shape (…), or a probability t for each class, floats of shape (…, classes).
        reduction: "mean" over the samples, "sum" of them, or "none" for the loss of each.
        sample_weight: One factor for each sample, of the shape of the unreduced loss or of its first axes; None is 1.
        label_smoothing: From 0 to 1: s makes the probabilities t * (1 - s) + s / classes.
        class_weight: One factor for each class, of shape (classes,); None is 1. The mean divides by the number of
            samples. `nn.CrossEntropyLoss(weight)` divides by the sum of their factors, as PyTorch does.
        ignore_index: A class number whose samples do not count; the mean is over the others, NaN of none. None counts
            all.

    Raises:
        ValueError: A label is no class number, or the shapes do not fit.
    """
    name = "cross_entropy"
    s = smoothing(name, label_smoothing)
    p = require_float(name, prediction)
    refuse_numbers(name, p)
    t = as_target(p, labels)
    if t.shape == p.shape and is_floating(t.dtype):
        p, t = same_shape(name, p, t)
        refuse_swapped(name, p, t)
        keep = None
        if ignore_index is not None:
            raise ValueError(
                "cross_entropy: ignore_index is for class numbers, and the labels are probabilities"
            )
    else:
        p, t, keep = _kept(name, p, t, "ignore_index", ignore_index)
        if not s and class_weight is None:
            return _reduced(name, sparse_cross_entropy_p(p, t), keep, sample_weight, reduction)
        t = one_hot_p(t, classes=p.shape[-1], dtype=p.dtype, checked=True)
    if s:
        t = t * (1.0 - s) + s / p.shape[-1]
    if class_weight is not None:
        t = t * class_factors(name, "class_weight", class_weight, p)
    return _reduced(name, cross_entropy_p(p, t), keep, sample_weight, reduction)


@answering
def sparse_categorical_crossentropy(
    prediction: TensorLike,
    labels: TensorLike,
    *,
    reduction: str = "mean",
    sample_weight: TensorLike | None = None,
    from_logits: bool = False,
    ignore_class: int | None = None,
) -> Tensor:
    """-ln(p[label] / sum(p)), p being probabilities of the classes, kept 1e-7 away from 0

    If p comes straight from `softmax` in a graph, the loss is computed from its logits.

    Args:
        prediction: Probabilities of shape (…, classes), or logits.
        labels: Class numbers, integers of shape (…).
        reduction: "mean" over the samples, "sum" of them, or "none" for the loss of each.
        sample_weight: One factor for each sample, of the shape of the unreduced loss or of its first axes; None is 1.
        from_logits: Whether the prediction holds logits.
        ignore_class: A class number whose samples do not count; the mean is over the others, NaN of none. None counts
            all.

    Raises:
        ValueError: A label is no class number, or the shapes do not fit.
    """
    name = "sparse_categorical_crossentropy"
    p = require_float(name, prediction)
    from_logits = truth(f"{name}: from_logits", from_logits)
    logits, t, keep = _kept(name, logits_of(p, from_logits), labels, "ignore_class", ignore_class)
    loss = sparse_cross_entropy_p(logits, t)
    return _reduced(name, loss, keep, sample_weight, reduction)


@answering
def nll_loss(
    prediction: TensorLike,
    labels: TensorLike,
    *,
    reduction: str = "mean",
    sample_weight: TensorLike | None = None,
    class_weight: TensorLike | None = None,
    ignore_index: int | None = None,
) -> Tensor:
    """-p[label], p being log-probabilities, as `log_softmax` gives them

    Args:
        prediction: Log-probabilities of shape (…, classes).
        labels: Class numbers, integers of shape (…).
        reduction: "mean" over the samples, "sum" of them, or "none" for the loss of each.
        sample_weight: One factor for each sample, of the shape of the unreduced loss or of its first axes; None is 1.
        class_weight: One factor for each class, of shape (classes,); None is 1. The mean divides by the number of
            samples. `nn.NLLLoss(weight)` divides by the sum of their factors, as PyTorch does.
        ignore_index: A class number whose samples do not count; the mean is over the others, NaN of none. None counts
            all.

    Raises:
        ValueError: A label is no class number, or the shapes do not fit.
    """
    p = require_float("nll_loss", prediction)
    p, t, keep = _kept("nll_loss", p, labels, "ignore_index", ignore_index)
    chosen = one_hot_p(t, classes=p.shape[-1], dtype=p.dtype, checked=True) == 1
    logs = p if class_weight is None else p * class_factors("nll_loss", "class_weight", class_weight, p)
    loss = -sum_p(where_p(chosen, logs, 0.0), axis=(p.ndim - 1,), keepdims=False)
    return _reduced("nll_loss", loss, keep, sample_weight, reduction)
