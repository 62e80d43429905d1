"""Variance and standard deviation, which do not overflow or vanish where the answer is an ordinary number.

The elements are multiplied by a power of two first, where their squares need it: that changes no digit. float16 is
computed in float32.
"""

import math

from tapegrad.autograd.aliases import Array, ArrayModule, Axis, TensorLike, Value
from tapegrad.autograd.arguments import at_least_0, truth
from tapegrad.autograd.diagnostics import warn_user
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.ops.elementwise import scale, sqrt, where_p
from tapegrad.autograd.ops.forwards import astype_of, center_of, is_half, mean_of
from tapegrad.autograd.ops.normalize import apart_of, apart_p
from tapegrad.autograd.ops.reductions import Axes, back, center_p, count, mean_p
from tapegrad.autograd.ops.shape import as_tensor, astype_p, some_axes
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import BY_TYPE, backend_of
from tapegrad.backends.aliases import Function

# Of the largest element: below which its square may vanish, and the factor then; above which it may overflow, likewise.
LIMITS = {
    "float16": (2.0**-5, 2.0**12, 2.0**5, 2.0**-10),
    "float32": (2.0**-60, 2.0**100, 2.0**40, 2.0**-80),
    "float64": (2.0**-450, 2.0**700, 2.0**400, 2.0**-600),
}


def _factor(xp: ArrayModule, x: Array, *, axis: Axes) -> Array:
    if count(x.shape, axis) == 0:
        return xp.sum(x, axis=axis, keepdims=True) + 1.0
    little, up, much, down = LIMITS[name_of(x.dtype)]
    top = xp.max(xp.abs(x), axis=axis, keepdims=True)
    one = xp.ones_like(top)
    return xp.where(top > much, one * down, xp.where(top < little, one * up, one))


square_factor: Primitive = Primitive(
    "square_factor", _factor, promote="float",
    doc="the power of two by which to multiply x, over axes, so that its squares neither overflow nor vanish",
)  # fmt: skip


def _variance(xp: ArrayModule, x: Array, axis: Axes, correction: float) -> tuple[Array, Array]:
    """The variance of x times a factor, its axes kept, and the factor."""
    factor = _factor(xp, x, axis=axis)
    x = x * factor
    apart = apart_of(xp, x, center_of(xp, x, axis=axis), axis)
    biased = mean_of(xp, apart * apart, axis=axis, keepdims=True)
    return (biased * _ratio(x, axis, correction) if correction else biased), factor


def _ratio(x: Value, axis: Axes, correction: float) -> float:
    n = count(x.shape, axis)
    return n / (n - correction) if n > correction else math.nan


def _variance_or_root(root: bool) -> Function:
    def forward(xp: ArrayModule, x: Array, *, axis: Axes, keepdims: bool, correction: float) -> Array:
        wide = astype_of(xp, x, xp.float32) if is_half(x) else x
        if count(x.shape, axis) == 0:
            y = xp.sum(wide, axis=axis, keepdims=True) + math.nan
        else:
            y, factor = _variance(xp, wide, axis, correction)
            y = xp.sqrt(y) / factor if root else y / factor / factor
        y = y if wide is x else astype_of(xp, y, x.dtype)
        if keepdims:
            return y
        return xp.reshape(y, tuple(n for i, n in enumerate(x.shape) if axis is not None and i not in axis))

    return forward


def _apart(x: Value, axis: Axes) -> tuple[Value, Value]:
    """What the elements, times the factor, differ by from their mean, and the factor."""
    if is_half(x):
        backend = backend_of(x if type(x) in BY_TYPE else x.data)
        x = astype_p(x, dtype=backend.dtype("float32"))
    factor = square_factor(x, axis=axis)
    x = x * factor
    return apart_p(x, center_p(x, axis=axis), axis), factor


def _var_slope(g: Value, y: Value, x: Value, axis: Axes, keepdims: bool, correction: float) -> Value:
    apart, factor = _apart(x, axis)
    return scale(back(g, x, axis), apart / factor * (2.0 * _share(x, axis, correction)))


def _std_slope(g: Value, y: Value, x: Value, axis: Axes, keepdims: bool, correction: float) -> Value:
    apart, _ = _apart(x, axis)
    root = sqrt(mean_p(apart * apart, axis=axis, keepdims=True) * _ratio(x, axis, correction))
    return scale(back(g, x, axis), apart / where_p(root == 0, math.inf, root) * _share(x, axis, correction))


def _share(x: Value, axis: Axes, correction: float) -> float:
    return _ratio(x, axis, correction) / (count(x.shape, axis) or 1)


var_p = Primitive(
    "var", _variance_or_root(root=False), promote="float", vjp=(_var_slope,), unread=(-1,),
    doc="the variance over axes: sum((x - mean(x))**2) / (n - correction)",
)  # fmt: skip
std_p = Primitive(
    "std", _variance_or_root(root=True), promote="float", vjp=(_std_slope,), unread=(-1,),
    doc="the square root of the variance over axes; its slopes are 0 where all elements are equal",
)  # fmt: skip


def _of_spread(primitive: Primitive, x: Value, axis: Axis, correction: float, keepdims: bool) -> Value:
    x = as_tensor(x)
    correction = at_least_0(f"{primitive.name}: correction", correction)
    keepdims = truth(f"{primitive.name}: keepdims", keepdims)
    axes = some_axes(primitive.name, axis, x.ndim)
    if count(x.shape, axes) <= correction:
        warn_user(
            f"{primitive.name}: {count(x.shape, axes)} element(s) along axis {axis} with correction={correction} "
            "leave nothing to divide by: the result is NaN"
        )
    return primitive(x, axis=axes, keepdims=keepdims, correction=correction)


def var(x: TensorLike, /, axis: Axis = None, *, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The variance over `axis`: sum((x - mean(x))**2) / (n - correction).

    Of no more elements than `correction` it is NaN, and a RuntimeWarning says so, as in NumPy. A program of `tg.jit`
    gives the NaN without the warning.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: One axis, a tuple of them, or None for all; negative ones count from the end.
        correction: What is subtracted from the number n of elements: 0 for the population, 1 for a sample.
        keepdims: Whether the reduced axes stay, with length 1.
    """
    return _of_spread(var_p, x, axis, correction, keepdims)


def std(x: TensorLike, /, axis: Axis = None, *, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The square root of `var`; its gradient is 0 where all elements are equal.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: One axis, a tuple of them, or None for all; negative ones count from the end.
        correction: What is subtracted from the number n of elements, as for `var`.
        keepdims: Whether the reduced axes stay, with length 1.
    """
    return _of_spread(std_p, x, axis, correction, keepdims)
