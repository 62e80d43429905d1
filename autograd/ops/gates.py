"""Activations that are x times a gate, which goes from 0 to 1: silu, mish and gelu, each with its slope beside it.

A slope is a primitive, too: so a rule is two calls, and the backward pass of a backward pass has a rule of its own.
All take floats, or make the default float dtype of integers. At infinity they have their limits.
"""

import math

from tapegrad.autograd.aliases import Array, ArrayModule, Value
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.ops.activations import saturated, sigmoid
from tapegrad.autograd.ops.elementwise import clip_p, exp, scale_both
from tapegrad.autograd.ops.forwards import at_least, at_most, clip_of, erf_of, numbers
from tapegrad.autograd.primitive import Primitive

CLOSED = 1000.0  # at minus this all gates are 0
FLAT = 40.0  # here the slope of the exact gelu's gate is 0 in float64, too
# Between these limits e**(2u), u as in the approximate gelu, goes from 0 to where it is infinite beside 1.
FAR = 10.0
LOW, HIGH = -25.0, {"float16": 4.0, "float32": FAR, "float64": FAR}
_ROOT = math.sqrt(2 / math.pi)
_CUBIC = 0.044715 * _ROOT


# ---- silu ----
def _silu(xp: ArrayModule, x: Array, *, slope: bool = False) -> Array:
    """x * s for s = w / (1 + w) and w = e**x; its slope is s * (1 + x / (1 + w))."""
    x = at_least(xp, x, -CLOSED)
    bounded = at_most(xp, x, saturated(x.dtype))
    (one,) = numbers(x, 1.0)
    s = xp.exp(bounded)
    below = s + one
    s /= below
    x *= s
    if not slope:
        return x
    bounded /= below
    bounded += one
    bounded *= s
    return x, bounded


def _silu_bend(x: Value) -> Value:
    s, x = sigmoid(x), clip_p(x, min=-CLOSED, max=CLOSED)
    return s * (1.0 - s) * (2.0 + x * (1.0 - 2.0 * s))


silu_slope: Primitive = Primitive(
    "silu_slope", lambda xp, x: _silu(xp, x, slope=True)[1], promote="float", unread=(-1,),
    vjp=(lambda g, y, x: scale_both(g, _silu_bend(x)),), doc="s + x * s * (1 - s) for s = sigmoid(x)",
)  # fmt: skip
silu_p: Primitive = Primitive(
    "silu", _silu, promote="float", vjp=(lambda g, y, x: scale_both(g, silu_slope(x)),), unread=(-1,),
    keeps_slope=True, doc="x * sigmoid(x)",
)  # fmt: skip


# ---- mish: with w = e**x and n = w * (w + 2), tanh(ln(1 + w)) is n / (n + 2) ----
def _tanh_softplus(xp: ArrayModule, x: Array) -> Array:
    w = xp.exp(at_most(xp, x, saturated(x.dtype) / 2))
    n = w + 2.0
    n *= w
    n /= n + 2.0
    return n


tanh_softplus: Primitive = Primitive(
    "tanh_softplus", _tanh_softplus, promote="float",
    vjp=(lambda g, y, x: scale_both(g, (1.0 - y * y) * sigmoid(x)),),
    doc="tanh(ln(1 + e**x))",
)  # fmt: skip


def _mish(xp: ArrayModule, x: Array, *, slope: bool = False) -> Array:
    """x * n / (n + 2); its slope is (n + 4x * (w + 1) * w / (n + 2)) / (n + 2)."""
    x = at_least(xp, x, -CLOSED)
    bounded = at_most(xp, x, saturated(x.dtype) / 2)
    one, two, four = numbers(x, 1.0, 2.0, 4.0)
    w = xp.exp(bounded)
    n = w + two
    n *= w
    below = n + two
    x *= n / below
    if not slope:
        return x
    bounded *= four
    bounded *= w
    bounded /= below
    w += one
    bounded *= w
    bounded += n
    bounded /= below
    return x, bounded


def _mish_bend(x: Value) -> Value:
    t, s, x = tanh_softplus(x), sigmoid(x), clip_p(x, min=-CLOSED, max=CLOSED)
    return s * (1.0 - t * t) * (2.0 + x * (1.0 - s - 2.0 * t * s))


mish_slope: Primitive = Primitive(
    "mish_slope", lambda xp, x: _mish(xp, x, slope=True)[1], promote="float", unread=(-1,),
    vjp=(lambda g, y, x: scale_both(g, _mish_bend(x)),),
    doc="t + x * (1 - t * t) * sigmoid(x) for t = tanh(softplus(x))",
)  # fmt: skip
mish_p: Primitive = Primitive(
    "mish", _mish, promote="float", vjp=(lambda g, y, x: scale_both(g, mish_slope(x)),), unread=(-1,),
    keeps_slope=True, doc="x * tanh(softplus(x))",
)  # fmt: skip


# ---- gelu ----
def _normal_cdf(xp: ArrayModule, x: Array, *, approximate: bool) -> Array:
    if approximate:
        return _logistic(xp, _bounded(xp, x))[0]
    y = erf_of(xp, x * math.sqrt(0.5))
    y += 1.0
    y *= 0.5
    return y


def _bounded(xp: ArrayModule, x: Array) -> Array:
    return clip_of(xp, x, LOW, HIGH[name_of(x.dtype)])


def _logistic(xp: ArrayModule, x: Array) -> tuple[Array, Array, Array, Array]:
    """(1 + tanh(u)) / 2 = w / (1 + w) for u = sqrt(2/pi) * (x + 0.044715 * x**3) and w = e**(2u); with it, what a slope
    is made of: 1 + w, 2u, and the part of 2u with x**3."""
    one, root, cubic = numbers(x, 1.0, 2.0 * _ROOT, 2.0 * _CUBIC)
    third = x * x
    third *= x
    third *= cubic
    rise = x * root
    rise += third
    y = xp.exp(rise)
    below = y + one
    y /= below
    return y, below, rise, third


def _normal_density(x: Value, cdf: Value, approximate: bool) -> Value:
    """The slope of normal_cdf."""
    if approximate:
        x = clip_p(x, min=-FAR, max=FAR)
        return cdf * (1.0 - cdf) * (x * x * (6.0 * _CUBIC) + 2.0 * _ROOT)
    x = clip_p(x, min=-FLAT, max=FLAT)
    return exp(x * x * -0.5) * (0.5 * _ROOT)


normal_cdf_p: Primitive = Primitive(
    "normal_cdf", _normal_cdf, promote="float",
    vjp=(lambda g, y, x, approximate: scale_both(g, _normal_density(x, y, approximate)),),
    doc="P(Z <= x) for a standard normal Z: (1 + erf(x / sqrt 2)) / 2; approximate: (1 + tanh(sqrt(2/pi) * (x + "
        "0.044715 * x**3))) / 2",
)  # fmt: skip


def _gelu(xp: ArrayModule, x: Array, *, approximate: bool, slope: bool = False) -> Array:
    return (_gelu_of_tanh if approximate else _gelu_of_erf)(xp, x, slope)


def _gelu_of_erf(xp: ArrayModule, x: Array, slope: bool) -> Array:
    cdf = _normal_cdf(xp, x, approximate=False)
    result = at_least(xp, x, -CLOSED) * cdf
    if not slope:
        return result
    x = clip_of(xp, x, -FLAT, FLAT)
    y = x * x
    y *= -0.5
    y = xp.exp(y)
    y *= 0.5 * _ROOT
    y *= x
    y += cdf
    return result, y


def _gelu_of_tanh(xp: ArrayModule, x: Array, slope: bool) -> Array:
    bounded = _bounded(xp, x)
    cdf, below, rise, third = _logistic(xp, bounded)
    result = xp.maximum(x, bounded)
    result *= cdf
    if not slope:
        return result
    # 2x * u'
    rise += third
    rise += third
    rise /= below
    rise *= cdf
    rise += cdf
    return result, rise


def _gelu_bend(x: Value, approximate: bool) -> Value:
    if not approximate:
        x = clip_p(x, min=-FLAT, max=FLAT)
        return exp(x * x * -0.5) * (0.5 * _ROOT) * (2.0 - x * x)
    cdf, rest = normal_cdf_p(x, approximate=True), normal_cdf_p(-x, approximate=True)  # 1 - cdf loses digits
    x = clip_p(x, min=-FAR, max=FAR)
    rise = x * x * (6.0 * _CUBIC) + 2.0 * _ROOT
    return cdf * rest * (2.0 * rise + x * ((rest - cdf) * rise * rise + 12.0 * _CUBIC * x))


gelu_slope: Primitive = Primitive(
    "gelu_slope", lambda xp, x, approximate: _gelu(xp, x, approximate=approximate, slope=True)[1], promote="float",
    unread=(-1,),
    vjp=(lambda g, y, x, approximate: scale_both(g, _gelu_bend(x, approximate)),),
    doc="P(Z <= x) + x * p(x), for a standard normal Z of the density p",
)  # fmt: skip
gelu_p: Primitive = Primitive(
    "gelu", _gelu, promote="float", unread=(-1,),
    vjp=(lambda g, y, x, approximate: scale_both(g, gelu_slope(x, approximate=approximate)),), keeps_slope=True,
    doc="x * P(Z <= x) for a standard normal Z",
)  # fmt: skip
