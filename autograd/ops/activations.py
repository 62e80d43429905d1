"""Activation functions that are primitives: a forward of few calls, and a rule shorter than that of its parts.

All take floats, or make the default float dtype of integers. Slopes at kinks are those of `tapegrad.nn.activations`,
whose functions call these.
"""

import math

from tapegrad.autograd.aliases import Array, ArrayModule, DType, Value
from tapegrad.autograd.dtypes import finfo, name_of
from tapegrad.autograd.ops.elementwise import abs, clip_p, exp, scale, square, where_p
from tapegrad.autograd.ops.forwards import (
    astype_of,
    at_least,
    at_most,
    clip_of,
    exp_of_minus_abs,
    numbers,
    relu_of,
    where_of,
)
from tapegrad.autograd.primitive import Primitive

# From here on e**-x is nothing beside 1, to the last digit, and e**x is still finite.
SATURATED = {"float16": 11.0, "float32": 24.0, "float64": 45.0}


def saturated(dtype: DType) -> float:
    return SATURATED[name_of(dtype)]


# ---- of e**x ----
def sigmoid_of(xp: ArrayModule, x: Array) -> Array:
    """w / (1 + w) for w = e**x, which keeps the relative precision of tiny results; all larger x have the result 1."""
    y = xp.exp(at_most(xp, x, saturated(x.dtype)))
    y /= y + 1.0
    return y


sigmoid: Primitive = Primitive(
    "sigmoid", sigmoid_of, vjp=(lambda g, y, x: scale(g, y * (1.0 - y)),), promote="float", unread=(0,),
    doc="1 / (1 + e**-x)",
)  # fmt: skip


def _softplus(xp: ArrayModule, x: Array) -> Array:
    """ln(1 + e**x) as far as 1 counts beside e**x, then x."""
    return xp.maximum(xp.log1p(xp.exp(at_most(xp, x, saturated(x.dtype)))), x)


softplus = Primitive(
    "softplus", _softplus, promote="float", vjp=(lambda g, y, x: scale(g, sigmoid(x)),), doc="ln(1 + e**x)",
)  # fmt: skip
log_sigmoid: Primitive = Primitive(
    "log_sigmoid", lambda xp, x: xp.minimum(x, 0.0) - xp.log1p(exp_of_minus_abs(xp, x)), promote="float", unread=(-1,),
    vjp=(lambda g, y, x: scale(g, sigmoid(-x)),),
    doc="ln(sigmoid(x)) = -softplus(-x)",
)  # fmt: skip
# Its slope is 0 in float64 from 28 on; far beyond, x*x would overflow.
erf = Primitive(
    "erf", None, promote="float", doc="2/sqrt(pi) * integral of e**(-t*t) for t from 0 to x",
    vjp=(lambda g, y, x: scale(g, (2.0 / math.sqrt(math.pi)) * exp(-square(clip_p(x, min=-28.0, max=28.0)))),),
)  # fmt: skip


# ---- with a kink at 0 ----
relu = Primitive(
    "relu", relu_of, vjp=(lambda g, y, x: where_p(y != 0, g, 0.0),), unread=(0,), doc="max(x, 0); its slope at 0 is 0"
)  # fmt: skip


def _leaky_relu(xp: ArrayModule, x: Array, *, slope: float) -> Array:
    if 0 < slope <= 1:
        return xp.maximum(x, slope * x)
    return xp.where(x > 0, x, slope * x)


leaky_relu_p: Primitive = Primitive(
    "leaky_relu", _leaky_relu, promote="float", unread=(-1,),
    vjp=(lambda g, y, x, slope: where_p(x <= 0, scale(g, slope), g),),
    doc="x for x > 0, else slope * x",
)  # fmt: skip
relu6: Primitive = Primitive(
    "relu6", lambda xp, x: clip_of(xp, x, 0.0, 6.0), promote="float", unread=(-1,),
    vjp=(lambda g, y, x: where_p(~((x <= 0) | (x >= 6)), g, 0.0),),
    doc="min(max(x, 0), 6); its slope at 0 and 6 is 0",
)  # fmt: skip


def _elu(xp: ArrayModule, x: Array, *, right: float, left: float, width: float) -> Array:
    zero, high, low, wide = numbers(x, 0.0, right, left, width)
    below = xp.minimum(x, zero)
    y = xp.expm1(below if width == 1.0 else below / wide)
    if left != 1.0:
        y *= low
    above = xp.maximum(x, zero)
    y += above if right == 1.0 else high * above
    return y


def _elu_slope(xp: ArrayModule, x: Array, *, right: float, left: float, width: float) -> Array:
    zero, high, start, wide = numbers(x, 0.0, right, left / width, width)
    below = xp.minimum(x, zero)
    y = xp.exp(below if width == 1.0 else below / wide)
    if left != width:
        y *= start
    return y if left == right * width else where_of(xp, x > zero, high, y)


elu_slope: Primitive = Primitive(
    "elu_slope", _elu_slope, promote="float",
    vjp=(lambda g, y, x, right, left, width: scale(g, where_p(x > 0, 0.0, y / width)),),
    doc="right for x > 0, else left / width * e**(x / width)",
)  # fmt: skip
elu_p: Primitive = Primitive(
    "elu", _elu, promote="float", unread=(-1,),
    vjp=(lambda g, y, x, right, left, width: scale(g, elu_slope(x, right=right, left=left, width=width)),),
    doc="right * x for x > 0, else left * (e**(x / width) - 1)",
)  # fmt: skip


# ---- without exponentials ----
def _hard_sigmoid(xp: ArrayModule, x: Array) -> Array:
    six, half = numbers(x, 6.0, 0.5)
    y = clip_of(xp, x, -3.0, 3.0)
    y /= six
    y += half
    return y


hard_sigmoid: Primitive = Primitive(
    "hard_sigmoid", _hard_sigmoid, promote="float", unread=(-1,),
    vjp=(lambda g, y, x: where_p(~(abs(x) > 3), g, 0.0) / 6.0,),
    doc="x/6 + 1/2, brought into [0, 1]",
)  # fmt: skip


def _hard_silu_slope(xp: ArrayModule, x: Array) -> Array:
    """hard_sigmoid(x), and x/6 more where it rises."""
    six, half = numbers(x, 6.0, 0.5)
    sixth = clip_of(xp, x, -3.0, 3.0)
    rises = astype_of(xp, x == sixth, x.dtype)
    sixth /= six
    rises *= sixth
    rises += sixth
    rises += half
    return rises


hard_silu_slope: Primitive = Primitive(
    "hard_silu_slope", _hard_silu_slope, promote="float", unread=(-1,),
    vjp=(lambda g, y, x: where_p(~(abs(x) > 3), g, 0.0) / 3.0,),
    doc="x/3 + 1/2 from -3 to 3, 0 below, 1 above",
)  # fmt: skip
hard_silu: Primitive = Primitive(
    "hard_silu", lambda xp, x: at_least(xp, x, -3.0) * _hard_sigmoid(xp, x), promote="float", unread=(-1,),
    vjp=(lambda g, y, x: scale(g, hard_silu_slope(x)),),
    doc="x * hard_sigmoid(x)",
)  # fmt: skip
soft_shrink_p: Primitive = Primitive(
    "soft_shrink", lambda xp, x, threshold: x - clip_of(xp, x, -threshold, threshold), promote="float", unread=(-1,),
    vjp=(lambda g, y, x, threshold: where_p(~(abs(x) <= threshold), g, 0.0),),
    doc="x moved towards 0 by the threshold, and 0 between",
)  # fmt: skip
hard_shrink_p: Primitive = Primitive(
    "hard_shrink", lambda xp, x, threshold: x * astype_of(xp, xp.abs(x) > threshold, x.dtype), promote="float",
    vjp=(lambda g, y, x, threshold: where_p(~(abs(x) <= threshold), g, 0.0),), unread=(-1,),
    doc="x where |x| > threshold, else 0",
)  # fmt: skip


# By which infinity is replaced: there x / (1 + |x|) is 1.
LARGEST = {kind: float(finfo(kind).max) for kind in ("float16", "float32", "float64")}


def _softsign(xp: ArrayModule, x: Array) -> Array:
    most = LARGEST[name_of(x.dtype)]
    x = clip_of(xp, x, -most, most)
    below = xp.abs(x)
    below += 1.0
    return x / below


def _softsign_slope(g: Value, y: Value, x: Value) -> Value:
    factor = 1.0 / (1.0 + abs(x))
    return scale(scale(g, factor), factor)


softsign: Primitive = Primitive(
    "softsign", _softsign, promote="float", unread=(-1,), vjp=(_softsign_slope,), doc="x / (1 + |x|)"
)
