"""Cross-entropies: primitives of their own, because log(softmax) and log(sigmoid) lose what these keep, and because a
slope that is the difference of two terms is only rounding errors where the prediction is almost right.
One loss per sample; `tapegrad.nn.functional` reduces and weighs them."""

from tapegrad.autograd.aliases import Array, ArrayModule, DType, Value
from tapegrad.autograd.ops.activations import sigmoid
from tapegrad.autograd.ops.elementwise import log, log1p, scale, subtract
from tapegrad.autograd.ops.forwards import astype_of, exp_of_minus_abs, numbers, relu_of, sum_of
from tapegrad.autograd.ops.reductions import less_share_p, log_softmax_of, log_softmax_p, softmax_p, sum_p
from tapegrad.autograd.ops.shape import broadcast_p, reshape_p
from tapegrad.autograd.primitive import Primitive
from tapegrad.backends import BY_TYPE, backend_of
from tapegrad.backends.indexing import check_labels


def _binary(xp: ArrayModule, x: Array, t: Array) -> Array:
    return relu_of(xp, x) - x * t + xp.log1p(exp_of_minus_abs(xp, x))


def _binary_slope(xp: ArrayModule, x: Array, t: Array) -> Array:
    """sigmoid(x) - t. Of a sure and right x above 0 both are almost 1: then it is (1 - t) - sigmoid(-x)."""
    zero, one = numbers(x, 0.0, 1.0)
    unsure = exp_of_minus_abs(xp, x)
    below = unsure + one
    unsure /= below
    right = one - t
    return xp.where(x >= zero, right - unsure, unsure - t)


binary_cross_entropy_slope = Primitive(
    "binary_cross_entropy_slope", _binary_slope, promote="float",
    vjp=(lambda g, y, x, t: scale(g, sigmoid(x) * sigmoid(-x)), lambda g, y, x, t: -g), unread=(-1, 1),
    doc="sigmoid(x) - t, of the precision of the smaller of sigmoid(x) and sigmoid(-x)",
)  # fmt: skip
binary_cross_entropy_p = Primitive(
    "binary_cross_entropy_with_logits", _binary, promote="float", unread=(-1,),
    vjp=(lambda g, y, x, t: scale(g, binary_cross_entropy_slope(x, t)), lambda g, y, x, t: -scale(g, x)),
    doc="-t*ln(sigmoid(x)) - (1-t)*ln(1-sigmoid(x)), elementwise and without overflow",
)  # fmt: skip
binary_cross_entropy_of_p = Primitive(
    "binary_cross_entropy", lambda xp, p, t: -(t * xp.log(p) + (1.0 - t) * xp.log1p(-p)), promote="float",
    # Not (1 - t) / (1 - p) - t / p: where p is almost t, the difference of the two would be rounding errors.
    vjp=(lambda g, y, p, t: scale(g, (p - t) / (p * (1.0 - p))), lambda g, y, p, t: scale(g, log1p(-p) - log(p))),
    doc="-t*ln(p) - (1-t)*ln(1-p), elementwise, for probabilities p between 0 and 1",
)  # fmt: skip


poisson_p = Primitive(
    "poisson", lambda xp, p, t, epsilon: p - t * xp.log(p + epsilon), promote="float",
    vjp=(lambda g, y, p, t, epsilon: scale(g, (p - t + epsilon) / (p + epsilon)),
         lambda g, y, p, t, epsilon: -scale(g, log(p + epsilon))),
    doc="p - t*ln(p + epsilon), elementwise",
)  # fmt: skip


def _as_column(g: Value) -> Value:
    return reshape_p(g, shape=(*g.shape, 1))


def _less_share(x: Value, t: Value) -> Value:
    t = t if t.ndim == x.ndim else broadcast_p(t, shape=x.shape)
    return less_share_p(t, softmax_p(x, axis=x.ndim - 1), axis=x.ndim - 1)


cross_entropy_p = Primitive(
    "cross_entropy_with_logits", lambda xp, x, t: -sum_of(
        xp, t * log_softmax_of(xp, x, axis=-1), axis=-1, keepdims=False
    ), promote="float",
    vjp=(lambda g, y, x, t: -scale(_as_column(g), _less_share(x, t)),
         lambda g, y, x, t: -scale(_as_column(g), log_softmax_p(x, axis=x.ndim - 1))),
    doc="-sum(t * log_softmax(x)) over the last axis: t holds a probability for each class",
)  # fmt: skip


def _of_shares(xp: ArrayModule, p: Array, t: Array) -> Array:
    shares = p / sum_of(xp, p, axis=-1, keepdims=True)
    return -sum_of(xp, t * xp.log(shares), axis=-1, keepdims=False)


def _total(x: Value) -> Value:
    return sum_p(x, axis=(x.ndim - 1,), keepdims=True)


def _shares_slope(p: Value, t: Value) -> Value:
    """sum(t) / sum(p) - t / p. Made of p - t it is exact where p is almost t; another p - c * t would give the same but
    for the rounding."""
    apart = subtract(p, t)
    return (_total(t) * apart - t * _total(apart)) / (p * _total(p))


cross_entropy_of_p = Primitive(
    "cross_entropy", _of_shares, promote="float",
    vjp=(lambda g, y, p, t: scale(_as_column(g), _shares_slope(p, t)),
         lambda g, y, p, t: scale(_as_column(g), log(_total(p)) - log(p))),
    doc="-sum(t * ln(p / sum(p))) over the last axis, for probabilities p above 0",
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


def _less_one(xp: ArrayModule, p: Array, labels: Array) -> Array:
    one_hot = backend_of(labels).kernels.get("one_hot", _one_hot) if type(labels) in BY_TYPE else _one_hot
    hot = one_hot(xp, labels, classes=p.shape[-1], dtype=xp.bool)
    others = xp.where(hot, xp.zeros_like(p), p)
    less = -sum_of(xp, others, axis=-1, keepdims=True)
    return xp.where(hot, less if less.dtype == p.dtype else astype_of(xp, less, p.dtype), others)


def _less_one_slope(g: Value, y: Value, p: Value, labels: Value) -> Value:
    hot = one_hot_p(labels, classes=p.shape[-1], dtype=p.dtype)
    return g - _total(scale(hot, g))


less_one_p = Primitive(
    "minus_one_at_label", _less_one, vjp=(_less_one_slope, None),
    doc="p - one_hot(labels) for probabilities p of the last axis, exact where p is almost 1: the sum of the others",
)  # fmt: skip


def _sparse(xp: ArrayModule, x: Array, labels: Array) -> Array:
    check_labels(xp, labels, x.shape[-1])
    at = xp.reshape(labels, (*labels.shape, 1))
    return -xp.reshape(xp.take_along_axis(log_softmax_of(xp, x, axis=-1), at, axis=-1), labels.shape)


sparse_cross_entropy_p = Primitive(
    "sparse_cross_entropy_with_logits", _sparse,
    vjp=(lambda g, y, x, labels: scale(
             _as_column(g), less_one_p(softmax_p(x, axis=x.ndim - 1), labels)), None),
    doc="-log_softmax(x)[label] over the last axis: labels are class numbers",
)  # fmt: skip
