"""Cross-entropies on logits: primitives of their own, because log(softmax) and log(sigmoid) lose what these keep.
One loss per sample; `tapegrad.nn.functional` reduces and weighs them."""

from tapegrad.autograd.aliases import Array, ArrayModule, DType, Value
from tapegrad.autograd.ops.activations import sigmoid
from tapegrad.autograd.ops.elementwise import scale, where_p
from tapegrad.autograd.ops.forwards import relu_of, sum_of
from tapegrad.autograd.ops.reductions import log_softmax_of, log_softmax_p, softmax_p, sum_p
from tapegrad.autograd.ops.shape import reshape_p
from tapegrad.autograd.primitive import Primitive
from tapegrad.backends.indexing import check_labels


def _binary(xp: ArrayModule, x: Array, t: Array) -> Array:
    return relu_of(xp, x) - x * t + xp.log1p(xp.exp(-xp.abs(x)))


def _binary_slope(x: Value, t: Value) -> Value:
    """sigmoid(x) - t. Of a sure and right x above 0 both are almost 1: then it is (1 - t) - sigmoid(-x)."""
    above = x >= 0
    unsure = sigmoid(where_p(above, -x, x))
    return where_p(above, (1.0 - t) - unsure, unsure - t)


binary_cross_entropy_p = Primitive(
    "binary_cross_entropy_with_logits", _binary, promote="float",
    vjp=(lambda g, y, x, t: scale(g, _binary_slope(x, t)), lambda g, y, x, t: -scale(g, x)),
    doc="-t*ln(sigmoid(x)) - (1-t)*ln(1-sigmoid(x)), elementwise and without overflow",
)  # fmt: skip


def _as_column(g: Value) -> Value:
    return reshape_p(g, shape=(*g.shape, 1))


cross_entropy_p = Primitive(
    "cross_entropy_with_logits", lambda xp, x, t: -sum_of(
        xp, t * log_softmax_of(xp, x, axis=-1), axis=-1, keepdims=False
    ), promote="float",
    vjp=(lambda g, y, x, t: scale(
             _as_column(g), softmax_p(x, axis=x.ndim - 1) * sum_p(t, axis=(t.ndim - 1,), keepdims=True) - t),
         lambda g, y, x, t: -scale(_as_column(g), log_softmax_p(x, axis=x.ndim - 1))),
    doc="-sum(t * log_softmax(x)) over the last axis: t holds a probability for each class",
)  # fmt: skip


def _one_hot(xp: ArrayModule, labels: Array, *, classes: int, dtype: DType, checked: bool = False) -> Array:
    if checked:
        check_labels(xp, labels, classes)
    numbers = xp.arange(classes, dtype=xp.int64, device=labels.device)
    return xp.astype(xp.astype(xp.reshape(labels, (*labels.shape, 1)), xp.int64) == numbers, dtype)


one_hot_p = Primitive(
    "one_hot", _one_hot,
    doc="1 at the label's place, else 0, along a new last axis",
)  # fmt: skip


def _sparse(xp: ArrayModule, x: Array, labels: Array) -> Array:
    check_labels(xp, labels, x.shape[-1])
    at = xp.reshape(labels, (*labels.shape, 1))
    return -xp.reshape(xp.take_along_axis(log_softmax_of(xp, x, axis=-1), at, axis=-1), labels.shape)


sparse_cross_entropy_p = Primitive(
    "sparse_cross_entropy_with_logits", _sparse,
    vjp=(lambda g, y, x, labels: scale(
             _as_column(g),
             softmax_p(x, axis=x.ndim - 1) - one_hot_p(labels, classes=x.shape[-1], dtype=x.dtype)), None),
    doc="-log_softmax(x)[label] over the last axis: labels are class numbers",
)  # fmt: skip
