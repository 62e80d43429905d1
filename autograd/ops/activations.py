"""Activation functions that are primitives: a forward of few calls, and a rule shorter than that of its parts.

All take floats, or make the default float dtype of integers. Slopes at kinks are those of `tapegrad.nn.activations`,
whose functions call these.
"""

import math

from tapegrad.autograd.aliases import Array, ArrayModule, Value
from tapegrad.autograd.dtypes import finfo, name_of
from tapegrad.autograd.ops.elementwise import abs, clip_p, exp, scale, scale_both, sigmoid, where_p
from tapegrad.autograd.ops.forwards import astype_of, at_least, clip_of, erf_of, exp_of_minus_abs
from tapegrad.autograd.primitive import Primitive

FAR = 10.0  # here both forms of the normal distribution are 0 or 1 to the last digit, and x**3 does not overflow
CLOSED = 1000.0  # at minus this all gates are 0
FLAT = 40.0  # here the slope of the exact one is 0 in float64, too
_ROOT = math.sqrt(2 / math.pi)


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
    y = xp.expm1(xp.minimum(x, 0.0) if width == 1.0 else xp.minimum(x, 0.0) / width)
    y *= left
    y += xp.maximum(x, 0.0) if right == 1.0 else right * xp.maximum(x, 0.0)
    return y


def _elu_slope(x: Value, right: float, left: float, width: float) -> Value:
    return where_p(x > 0, right, (left / width) * exp(where_p(x > 0, 0.0, x) / width))


elu_p: Primitive = Primitive(
    "elu", _elu, promote="float", unread=(-1,),
    vjp=(lambda g, y, x, right, left, width: scale(g, _elu_slope(x, right, left, width)),),
    doc="right * x for x > 0, else left * (e**(x / width) - 1)",
)  # fmt: skip


# ---- gates: x times one of them is an activation ----
gated: Primitive = Primitive(
    "gated", lambda xp, x, gate: at_least(xp, x, -CLOSED) * gate, promote="float",
    vjp=(lambda g, y, x, gate: scale(g, gate), lambda g, y, x, gate: scale(g, x)),
    doc="x * gate, and 0 at -infinity, for a gate that is 0 from x = -1000 on",
)  # fmt: skip
# In gated(inf), g is inf: there the slope goes to 0 faster than x to infinity. sigmoid itself keeps inf * 0 as NaN.
sigmoid_gate: Primitive = Primitive(
    "sigmoid_gate", sigmoid.forward, promote="float", vjp=(lambda g, y, x: scale_both(g, y * (1.0 - y)),),
    doc="sigmoid(x), whose slope at infinity is 0 for an infinite cotangent, too",
)  # fmt: skip


def _normal(xp: ArrayModule, x: Array, *, approximate: bool) -> Array:
    if approximate:
        x = clip_of(xp, x, -FAR, FAR)
        y = x * x
        y *= 0.044715
        y += 1.0
        y *= x
        y *= _ROOT
        y = xp.tanh(y)
    else:
        y = erf_of(xp, x * math.sqrt(0.5))
    y += 1.0
    y *= 0.5
    return y


def _normal_slope(g: Value, y: Value, x: Value, approximate: bool) -> Value:
    if approximate:
        x = clip_p(x, min=-FAR, max=FAR)
        slope = y * (1.0 - y) * (x * x * (6 * 0.044715 * _ROOT) + 2 * _ROOT)
    else:
        x = clip_p(x, min=-FLAT, max=FLAT)
        slope = exp(x * x * -0.5) * (0.5 * _ROOT)
    return scale_both(g, slope)


normal_cdf_p: Primitive = Primitive(
    "normal_cdf", _normal, promote="float", vjp=(_normal_slope,),
    doc="P(Z <= x) for a standard normal Z: (1 + erf(x / sqrt 2)) / 2; approximate: (1 + tanh(sqrt(2/pi) * (x + "
        "0.044715 * x**3))) / 2",
)  # fmt: skip


def _tanh_softplus(xp: ArrayModule, x: Array) -> Array:
    """With e = e**-|x|: (1 + 2e) / (1 + 2e + 2e²) for x >= 0, else (e² + 2e) / (e² + 2e + 2)."""
    e = exp_of_minus_abs(xp, x)
    right = astype_of(xp, x >= 0, x.dtype)
    square = e * e
    above = xp.maximum(square, right) + 2.0 * e
    rest = xp.maximum(square, 1.0 - right)
    rest *= 2.0
    rest += above
    return above / rest


tanh_softplus: Primitive = Primitive(
    "tanh_softplus", _tanh_softplus, promote="float",
    vjp=(lambda g, y, x: scale_both(g, (1.0 - y * y) * sigmoid_gate(x)),),
    doc="tanh(ln(1 + e**x))",
)  # fmt: skip


# ---- without exponentials, but for one ----
def _hard_sigmoid(xp: ArrayModule, x: Array) -> Array:
    y = x / 6.0
    y += 0.5
    return clip_of(xp, y, 0.0, 1.0)


hard_sigmoid: Primitive = Primitive(
    "hard_sigmoid", _hard_sigmoid, promote="float", unread=(-1,),
    vjp=(lambda g, y, x: where_p(~(abs(x) > 3), g, 0.0) / 6.0,),
    doc="x/6 + 1/2, brought into [0, 1]",
)  # fmt: skip
hard_silu: Primitive = Primitive(
    "hard_silu", lambda xp, x: at_least(xp, x, -3.0) * _hard_sigmoid(xp, x), promote="float", unread=(-1,),
    vjp=(lambda g, y, x: scale(g, hard_sigmoid(x) + where_p(abs(x) <= 3, x / 6.0, 0.0)),),
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
log_sigmoid: Primitive = Primitive(
    "log_sigmoid", lambda xp, x: xp.minimum(x, 0.0) - xp.log1p(exp_of_minus_abs(xp, x)), promote="float", unread=(-1,),
    vjp=(lambda g, y, x: scale(g, sigmoid(-x)),),
    doc="ln(sigmoid(x)) = -softplus(-x)",
)  # fmt: skip
