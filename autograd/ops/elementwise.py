"""Elementwise primitives, each with its gradient rule beside it.

Every rule keeps the conventions of docs/conventions.md at kinks, poles and NaN. A cotangent of exactly 0 stays 0
however steep the slope (`scale`, `over`): the branch that `where` did not take, were it log(0) or 1/0, adds nothing.
"""

import math

from tapegrad.autograd.aliases import Array, ArrayModule, TensorLike, Value
from tapegrad.autograd.dtypes import common_dtype, get_default_dtype, is_floating, refuse_unheld
from tapegrad.autograd.ops.forwards import astype_of, clip_of, numbers
from tapegrad.autograd.ops.shape import astype
from tapegrad.autograd.primitive import Primitive, to_tensors
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function
from tapegrad.backends.powers import power as power_of

SCALAR = (int, float)
BOUND: tuple[type, ...] = (*SCALAR, type(None))  # what limits `clip`, if it is no tensor


# ---- what the rules are made of ----
def _zero_where(xp: ArrayModule, zero: Array, result: Array) -> Array:
    return xp.where(zero, xp.zeros_like(result), result)


scale: Primitive = Primitive(
    "multiply_from_zero",
    lambda xp, g, s: _zero_where(xp, g == 0, g * s),
    vjp=(lambda g, y, a, s: scale(g, s), lambda g, y, a, s: scale_both(g, a)),
    promote="same",
    doc="a * s, but 0 wherever a is 0, even if s is infinite or NaN",
)
# In the slopes of `scale` and `over`, where both factors are cotangents, one of the derivative before. The slope for a
# factor that is 0 is the other factor, and not 0: third derivatives need it.
scale_both: Primitive = Primitive(
    "multiply_from_zeros",
    lambda xp, a, b: _zero_where(xp, (a == 0) | (b == 0), a * b),
    vjp=(lambda g, y, a, b: scale_both(g, b), lambda g, y, a, b: scale_both(g, a)),
    promote="same",
    doc="x1 * x2, but 0 wherever one of them is 0, even if the other one is infinite or NaN",
)
over: Primitive = Primitive(
    "divide_from_zero",
    lambda xp, g, x: _zero_where(xp, g == 0, g / x),
    vjp=(lambda g, y, a, x: over(g, x), lambda g, y, a, x: -scale_both(g, over(y, x))),
    promote="same",
    doc="a / x, but 0 wherever a is 0, even if x is 0 or NaN",
)

where_p: Primitive = Primitive(
    "where",
    lambda xp, c, a, b: xp.where(c, a, b),
    vjp=(None, lambda g, y, c, a, b: where_p(c, g, 0.0), lambda g, y, c, a, b: where_p(c, 0.0, g)),
    unread=(-1, 1, 2),
    doc="x1 where the condition holds, else x2.",
)


# ---- arithmetic ----
add = Primitive(
    "add", lambda xp, a, b: a + b, promote="same",
    vjp=(lambda g, y, a, b: g, lambda g, y, a, b: g), unread=(-1, 0, 1), doc="x1 + x2",
)  # fmt: skip
subtract = Primitive(
    "subtract", lambda xp, a, b: a - b, promote="same",
    vjp=(lambda g, y, a, b: g, lambda g, y, a, b: -g), unread=(-1, 0, 1),
    doc="x1 - x2",
)  # fmt: skip
multiply = Primitive(
    "multiply", lambda xp, a, b: a * b, promote="same", crossed=True,
    vjp=(lambda g, y, a, b: scale(g, b), lambda g, y, a, b: scale(g, a)), doc="x1 * x2",
)  # fmt: skip
divide = Primitive(
    "divide", lambda xp, a, b: a / b, promote="float", unread=(0,),
    vjp=(lambda g, y, a, b: g / b if isinstance(b, SCALAR) and (b < 0 or b > 0) else over(g, b),
         lambda g, y, a, b: -scale(g, y / b)),
    doc="x1 / x2",
)  # fmt: skip
negative: Primitive = Primitive(
    "negative", lambda xp, x: -x, vjp=(lambda g, y, x: -g,), unread=(-1, 0), doc="-x"
)
positive = Primitive("positive", lambda xp, x: +x, vjp=(lambda g, y, x: g,), unread=(-1, 0), doc="x")
square = Primitive("square", lambda xp, x: x * x, vjp=(lambda g, y, x: scale(g, 2.0 * x),), doc="x * x")


def _power_slope(a: Value, b: Value) -> Value:
    """d(a**b)/da = b * a**(b-1), and at a = 0 what sqrt has, 0, for 0 < b < 1."""
    if isinstance(b, SCALAR) and not 0 < b < 1:
        return b if b == 1 or b == 0 else b * a if b == 2 else b * power(a, b - 1)
    zero = _root_at_zero(a, b)
    return where_p(zero, 0.0, b * power(where_p(zero, 1.0, a), b - 1))


def _root_at_zero(a: Value, b: Value) -> Value:
    return a == 0 if isinstance(b, SCALAR) else (a == 0) & (b >= 0) & (b < 1)


def _to_base(g: Value, y: Value, a: Value, b: Value) -> Value:
    slope = scale(g, _power_slope(a, b))
    if isinstance(b, SCALAR) and not 0 < b < 1:
        return slope
    return where_p(_root_at_zero(a, b) & (slope != slope), g, slope)  # as in _root_slope


def _log_base(a: Value) -> Value:
    """log(a), and 0 at a = 0, where a**b does not change with b > 0."""
    if isinstance(a, SCALAR):
        return math.log(a) if a > 0 else 0.0 if a == 0 else math.nan
    return log(where_p(a == 0, 1.0, a))


power: Primitive = Primitive(
    "power", power_of, promote="same",
    vjp=(_to_base,
         lambda g, y, a, b: scale(g, scale(y, _log_base(a)))),
    doc="x1 ** x2",
)  # fmt: skip
remainder = Primitive(
    "remainder", lambda xp, a, b: a % b, promote="same",
    vjp=(lambda g, y, a, b: g, lambda g, y, a, b: -scale(g, floor_divide(a, b))),
    doc="x1 - x2 * floor(x1 / x2), of the sign of x2",
)  # fmt: skip


# ---- exponentials and logarithms ----
exp = Primitive(
    "exp", lambda xp, x: xp.exp(x), vjp=(lambda g, y, x: scale(g, y),), promote="float", unread=(0,), doc="e ** x"
)  # fmt: skip
# y + 1 would lose all digits of a small slope.
expm1 = Primitive(
    "expm1", lambda xp, x: xp.expm1(x), vjp=(lambda g, y, x: scale(g, exp(x)),), promote="float",
    doc="e ** x - 1",
)  # fmt: skip
log = Primitive(
    "log", lambda xp, x: xp.log(x), vjp=(lambda g, y, x: over(g, x),), promote="float", doc="ln(x)"
)
log1p = Primitive(
    "log1p", lambda xp, x: xp.log1p(x), vjp=(lambda g, y, x: over(g, 1.0 + x),), promote="float",
    doc="ln(1 + x)",
)  # fmt: skip
log2 = Primitive(
    "log2", lambda xp, x: xp.log2(x), vjp=(lambda g, y, x: over(g * (1 / math.log(2)), x),), promote="float",
    doc="log of x to base 2",
)  # fmt: skip
log10 = Primitive(
    "log10", lambda xp, x: xp.log10(x), vjp=(lambda g, y, x: over(g * (1 / math.log(10)), x),), promote="float",
    doc="log of x to base 10",
)  # fmt: skip


def _root_slope(g: Value, y: Value, x: Value) -> Value:
    """g / (2 sqrt(x)); at 0, 0 for a finite g, and an infinite one as it is, so that 1/sqrt(x) falls without end."""
    slope = scale(g, 0.5 / where_p(y == 0, math.inf, y))
    return where_p((y == 0) & (slope != slope), g, slope)


sqrt = Primitive(
    "sqrt", lambda xp, x: xp.sqrt(x), promote="float", vjp=(_root_slope,), unread=(0,),
    doc="the square root of x; its slope at 0 is 0",
)  # fmt: skip


# ---- trigonometric and hyperbolic ----
sin = Primitive(
    "sin", lambda xp, x: xp.sin(x), vjp=(lambda g, y, x: scale(g, cos(x)),), promote="float", doc="sin(x)"
)
cos: Primitive = Primitive(
    "cos", lambda xp, x: xp.cos(x), vjp=(lambda g, y, x: -scale(g, sin(x)),), promote="float", doc="cos(x)"
)


def _one_minus_square(x: Value) -> Value:
    """1 - x*x: near 1 without a digit lost, near 0 with a derivative of no digit lost."""
    return where_p(abs(x) < 0.5, 1.0 - x * x, (1.0 - x) * (1.0 + x))


tan = Primitive(
    "tan", lambda xp, x: xp.tan(x), vjp=(lambda g, y, x: scale(g, 1.0 + y * y),), promote="float", unread=(0,),
    doc="tan(x)",
)  # fmt: skip
asin = Primitive(
    "asin", lambda xp, x: xp.asin(x), vjp=(lambda g, y, x: over(g, sqrt(_one_minus_square(x))),),
    promote="float", doc="the inverse of sin",
)  # fmt: skip
acos = Primitive(
    "acos", lambda xp, x: xp.acos(x), vjp=(lambda g, y, x: -over(g, sqrt(_one_minus_square(x))),),
    promote="float", doc="the inverse of cos",
)  # fmt: skip
atan = Primitive(
    "atan",
    lambda xp, x: xp.atan(x),
    vjp=(lambda g, y, x: _over_twice(g, hypot(x, 1.0)),),  # 1 + x*x would overflow in float16
    promote="float",
    doc="the inverse of tan",
)


def _over_twice(g: Value, x: Value) -> Value:
    return over(over(g, x), x)


def _nonzero(x: Value) -> Value:
    return where_p(x == 0, math.inf, x)


def _share(xp: ArrayModule, a: Array, r: Array) -> Array:
    zero, infinite = numbers(a, 0.0, math.inf)
    quotient = a / (r + astype_of(xp, r == zero, r.dtype))
    return xp.where(xp.abs(a) == infinite, xp.sign(a), quotient)


share: Primitive = Primitive(
    "share", _share, promote="float",
    vjp=(lambda g, y, a, r: over(g, _nonzero(r)), lambda g, y, a, r: -scale(g, y / _nonzero(r))),
    doc="x1 / x2 for the longest side x2 of a triangle: 0 at the origin, 1 or -1 where x1 is infinite",
)  # fmt: skip
hypot: Primitive = Primitive(
    "hypot", lambda xp, a, b: xp.hypot(a, b), promote="float",
    vjp=(lambda g, y, a, b: scale(g, share(a, y)), lambda g, y, a, b: scale(g, share(b, y))),
    doc="sqrt(x1*x1 + x2*x2) without overflow; its slopes at the origin are 0",
)  # fmt: skip


def _turn(a: Value, b: Value) -> Value:
    """b / (a*a + b*b), without overflow, and 0 at the origin."""
    r = _nonzero(hypot(a, b))
    return b / r / r


atan2 = Primitive(
    "atan2", lambda xp, a, b: xp.atan2(a, b), promote="float",
    vjp=(lambda g, y, a, b: scale(g, _turn(a, b)), lambda g, y, a, b: -scale(g, _turn(b, a))),
    doc="the angle of the point (x2, x1); its slopes at the origin are 0",
)  # fmt: skip
sinh = Primitive(
    "sinh", lambda xp, x: xp.sinh(x), vjp=(lambda g, y, x: scale(g, cosh(x)),), promote="float", doc="sinh"
)
cosh: Primitive = Primitive(
    "cosh", lambda xp, x: xp.cosh(x), vjp=(lambda g, y, x: scale(g, sinh(x)),), promote="float", doc="cosh"
)
tanh = Primitive(
    "tanh", lambda xp, x: xp.tanh(x), vjp=(lambda g, y, x: scale(g, 1.0 - y * y),), promote="float",
    unread=(0,), doc="tanh(x)",
)  # fmt: skip
asinh = Primitive(
    "asinh", lambda xp, x: xp.asinh(x), vjp=(lambda g, y, x: over(g, hypot(x, 1.0)),), promote="float",
    doc="the inverse of sinh",
)  # fmt: skip
acosh = Primitive(
    "acosh", lambda xp, x: xp.acosh(x), vjp=(lambda g, y, x: over(over(g, sqrt(x - 1.0)), sqrt(x + 1.0)),),
    promote="float", doc="the inverse of cosh",
)  # fmt: skip
atanh = Primitive(
    "atanh", lambda xp, x: xp.atanh(x), vjp=(lambda g, y, x: over(g, _one_minus_square(x)),),
    promote="float", doc="the inverse of tanh",
)  # fmt: skip


# ---- choice, with kinks ----
def _larger(g: Value, winner: Value, loser: Value) -> Value:
    """g where `winner` is larger, 0 where it is smaller, g/2 where neither is: the two are equal, or one is NaN."""
    return where_p(winner > loser, g, where_p(winner < loser, 0.0, 0.5 * g))


maximum = Primitive(
    "maximum", lambda xp, a, b: xp.maximum(a, b), promote="same",
    vjp=(lambda g, y, a, b: _larger(g, a, b), lambda g, y, a, b: _larger(g, b, a)),
    doc="the larger of x1 and x2; equal ones share the gradient",
)  # fmt: skip
minimum = Primitive(
    "minimum", lambda xp, a, b: xp.minimum(a, b), promote="same",
    vjp=(lambda g, y, a, b: _larger(g, b, a), lambda g, y, a, b: _larger(g, a, b)),
    doc="the smaller of x1 and x2; equal ones share the gradient",
)  # fmt: skip
abs = Primitive(
    "abs", lambda xp, x: xp.abs(x), vjp=(lambda g, y, x: scale(g, sign(x)),), doc="|x|; its slope at 0 is 0"
)


def _clip(xp: ArrayModule, x: Array, *, min: float | None, max: float | None) -> Array:
    if min is not None and max is not None and max < min:
        min = max  # not all libraries give the upper bound then
    return xp.asarray(x, copy=True) if min is None is max else clip_of(xp, x, min, max)


def _within(g: Value, x: Value, low: float | None, high: float | None) -> Value:
    if low is None and high is None:
        return g
    if low is None or high is None:
        outside = x > high if low is None else x < low
    else:
        outside = (x < low) | (x > high)
    return where_p(~outside, g, 0.0)  # NaN is not outside


clip_p: Primitive = Primitive(
    "clip", _clip, vjp=(lambda g, y, x, min, max: _within(g, x, min, max),),
    doc="x brought into [min, max]; the gradient passes at the bounds",
)  # fmt: skip


# ---- piecewise constant: no gradient ----
def _integral(name: str) -> Function:
    """floor and its like: integers are copied as they are (NumPy 2.0 and CuPy make floats of them)."""
    return lambda xp, x: getattr(xp, name)(x) if is_floating(x.dtype) else xp.asarray(x, copy=True)


sign: Primitive = Primitive(
    "sign", lambda xp, x: xp.sign(x), doc="-1, 0 or 1, as x is negative, zero or positive"
)
floor = Primitive("floor", _integral("floor"), doc="the greatest integer not above x")
ceil = Primitive("ceil", _integral("ceil"), doc="the least integer not below x")
trunc = Primitive("trunc", _integral("trunc"), doc="x without its fraction")
round = Primitive("round", _integral("round"), doc="the nearest integer, halves to even")
floor_divide: Primitive = Primitive(
    "floor_divide", lambda xp, a, b: a // b, promote="same",
    doc="floor(x1 / x2); of infinities, what NumPy gives: NaN for inf // 2, -1 for 1 // -inf",
)  # fmt: skip
equal = Primitive("equal", lambda xp, a, b: a == b, promote="same", doc="x1 == x2")
not_equal = Primitive("not_equal", lambda xp, a, b: a != b, promote="same", doc="x1 != x2")
less = Primitive("less", lambda xp, a, b: a < b, promote="same", doc="x1 < x2")
less_equal = Primitive("less_equal", lambda xp, a, b: a <= b, promote="same", doc="x1 <= x2")
greater = Primitive("greater", lambda xp, a, b: a > b, promote="same", doc="x1 > x2")
greater_equal = Primitive("greater_equal", lambda xp, a, b: a >= b, promote="same", doc="x1 >= x2")


def where(condition: TensorLike, x1: TensorLike, x2: TensorLike, /) -> Tensor:
    """x1 where the condition holds, else x2. The one not chosen gets a gradient of 0, whatever it is.

    Args:
        condition: Booleans.
        x1: The values where it holds.
        x2: The values where it does not.

    Returns:
        A Tensor of the shape to which the three broadcast.
    """
    # Nothing to bring to one dtype, as is most frequent.
    if (
        type(x1) is Tensor is type(condition)
        and (type(x2) is float or (type(x2) is Tensor and x1._data.dtype is x2._data.dtype))
        and is_floating(x1._data.dtype)
    ):
        return where_p(condition, x1, x2)
    from tapegrad.autograd.creation import tensor

    condition, x1, x2 = to_tensors((condition, x1, x2))
    like = next((t for t in (x1, x2, condition) if isinstance(t, Tensor)), None)
    if not isinstance(condition, Tensor):
        condition = tensor(condition, device=None if like is None else like.device)
    dtype = common_dtype("where", [t.dtype if isinstance(t, Tensor) else t for t in (x1, x2)], "same")
    for value in (v for v in (x1, x2) if isinstance(v, SCALAR)):
        refuse_unheld("where", value, dtype)
    if not isinstance(x1, Tensor) and not isinstance(x2, Tensor):
        x1 = tensor(x1, dtype=dtype, device=condition.device)
    x1, x2 = (astype(t, dtype, copy=False) if isinstance(t, Tensor) else t for t in (x1, x2))
    return where_p(condition, x1, x2)


def clip(x: TensorLike, /, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
    """x brought into [min, max]: min(max(x, min), max). The gradient passes where min <= x <= max.

    min and max are numbers, None (no bound) or tensors; between tensor bounds, x equal to a bound shares the gradient
    with it, as for `maximum` and `minimum`. A min above max gives max everywhere.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        min: The lower bound: a number, a Tensor, or None.
        max: The upper bound: a number, a Tensor, or None.
    """
    if not isinstance(min, BOUND) or not isinstance(max, BOUND):
        bounded: Value = x if min is None else maximum(x, min)
        return bounded if max is None else minimum(bounded, max)
    t = x if type(x) is Tensor else to_tensors((x,), scalars=True)[0]
    bounds = (min, max)
    if not is_floating(t.dtype) and any(isinstance(b, float) for b in bounds):
        t = t.astype(get_default_dtype())
    low, high = (float(b) if isinstance(b, float) else b for b in bounds)  # NumPy's float64 is a float
    return clip_p(t, min=low, max=high)
