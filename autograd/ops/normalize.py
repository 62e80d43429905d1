"""What all normalization layers share: one primitive, whose rule is shorter than that of its parts."""

from tapegrad.autograd.aliases import Array, ArrayModule, Value
from tapegrad.autograd.dtypes import float32
from tapegrad.autograd.ops.elementwise import scale, sqrt, subtract
from tapegrad.autograd.ops.forwards import astype_of, is_half, mean_of
from tapegrad.autograd.ops.reductions import Axes, mean_p
from tapegrad.autograd.ops.shape import astype_p
from tapegrad.autograd.primitive import Primitive
from tapegrad.backends import BY_TYPE, backend_of


def apart_of(xp: ArrayModule, x: Array, middle: Array, axis: Axes) -> Array:
    """What x differs by from its mean. That is given as rounded, far off for numbers far from 0: so the mean of the
    differences is taken off as well."""
    apart = x - middle
    return apart - mean_of(xp, apart, axis=axis, keepdims=True)


def apart_p(x: Value, middle: Value, axis: Axes) -> Value:
    """The same in a rule."""
    apart = subtract(x, middle)
    return subtract(apart, mean_p(apart, axis=axis, keepdims=True))


def _normalize(xp: ArrayModule, x: Array, *, axis: tuple[int, ...], epsilon: float, center: bool) -> Array:
    wide = astype_of(xp, x, xp.float32) if is_half(x) else x
    apart = apart_of(xp, wide, mean_of(xp, wide, axis=axis, keepdims=True), axis) if center else wide
    y = apart * (1.0 / xp.sqrt(mean_of(xp, apart * apart, axis=axis, keepdims=True) + epsilon))
    return y if wide is x else astype_of(xp, y, x.dtype)


def _in_float32(x: Value) -> Value:
    """A float16 array in float32, in which the forward computes too."""
    if not is_half(x):
        return x
    return astype_p(x, dtype=backend_of(x if type(x) in BY_TYPE else x.data).dtype(float32))


def _slope(g: Value, y: Value, x: Value, axis: tuple[int, ...], epsilon: float, center: bool) -> Value:
    # The parts of the forward again, in its order: a compiled step computes them once.
    g, x = _in_float32(g), _in_float32(x)
    apart = apart_p(x, mean_p(x, axis=axis, keepdims=True), axis) if center else x
    factor = 1.0 / sqrt(mean_p(apart * apart, axis=axis, keepdims=True) + epsilon)
    y = apart * factor
    inner = g - scale(mean_p(scale(g, y), axis=axis, keepdims=True), y)
    return scale(inner - mean_p(g, axis=axis, keepdims=True) if center else inner, factor)


normalize_p: Primitive = Primitive(
    "normalize", _normalize, promote="float", vjp=(_slope,), unread=(-1,),
    doc="(x - m) / sqrt(mean((x - m)**2) + epsilon) over axes, m being the mean over them, or 0 without center",
)  # fmt: skip
