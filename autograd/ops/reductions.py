"""Reductions over axes, and their gradient rules."""

import math

from tapegrad.autograd.aliases import Array, ArrayModule, Axis, DTypeLike, TensorLike, Value
from tapegrad.autograd.arguments import truth
from tapegrad.autograd.dtypes import float64
from tapegrad.autograd.ops.elementwise import exp, over, scale, scale_both, where_p
from tapegrad.autograd.ops.forwards import center_of, in_float32, mean_of, sum_of, where_of
from tapegrad.autograd.ops.shape import (
    as_tensor,
    astype_p,
    broadcast_p,
    concat_p,
    one_axis,
    permute_p,
    reshape_p,
    some_axes,
    zeros_like_p,
)
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import BY_TYPE, backend_of

Axes = tuple[int, ...] | None


def _kept(shape: tuple[int, ...], axis: Axes) -> tuple[int, ...]:
    """The shape with 1 in place of the reduced axes."""
    return tuple(1 if axis is None or i in axis else n for i, n in enumerate(shape))


def count(shape: tuple[int, ...], axis: Axes) -> int:
    return math.prod(shape if axis is None else [n for i, n in enumerate(shape) if i in axis])


def averaged(shape: tuple[int, ...], axis: Axes) -> int:
    """Of how many elements a mean is; 1 where there are none, and no cotangent is divided."""
    return count(shape, axis) or 1


def back(g: Value, x: Value, axis: Axes) -> Value:
    """A reduction's cotangent (or result) with its axes put back, of length 1."""
    kept = _kept(x.shape, axis)
    return g if g.shape == kept else reshape_p(g, shape=kept)


def _spread_cotangent(g: Value, x: Value, axis: Axes) -> Value:
    return broadcast_p(g if axis is None else back(g, x, axis), shape=x.shape)


sum_p = Primitive(
    "sum", sum_of,
    vjp=(lambda g, y, x, axis, keepdims: _spread_cotangent(g, x, axis),), unread=(-1, 0),
    doc="the sum over axes",
)  # fmt: skip
mean_p = Primitive(
    "mean", mean_of,
    vjp=(lambda g, y, x, axis, keepdims: _spread_cotangent(g * (1.0 / averaged(x.shape, axis)), x, axis),),
    promote="float", unread=(-1, 0),
    doc="the arithmetic mean over axes",
)  # fmt: skip

center_p = Primitive(
    "center", center_of,
    vjp=(lambda g, y, x, axis: _spread_cotangent(g * (1.0 / averaged(x.shape, axis)), x, axis),),
    promote="float", unread=(-1, 0),
    doc="the arithmetic mean over axes, whose length becomes 1: of equal elements it is exactly these",
)  # fmt: skip


def _shares_of_largest(g: Value, y: Value, x: Value, axis: Axes, keepdims: bool) -> Value:
    """The cotangent of max: shared equally by all elements than which the result is not larger. If that is NaN, these
    are all."""
    return _shares(g, ~(x < back(y, x, axis)), x, axis)


def _shares_of_smallest(g: Value, y: Value, x: Value, axis: Axes, keepdims: bool) -> Value:
    return _shares(g, ~(x > back(y, x, axis)), x, axis)


def _shares(g: Value, chosen: Value, x: Value, axis: Axes) -> Value:
    wide = backend_of(x if type(x) in BY_TYPE else x.data).dtype(float64)  # float16 cannot count beyond 2048
    ties = sum_p(astype_p(chosen, dtype=wide), axis=axis, keepdims=True)
    return where_p(chosen, back(g, x, axis) * astype_p(1.0 / ties, dtype=g.dtype), 0.0)


max_p = Primitive(
    "max", lambda xp, x, axis, keepdims: xp.max(x, axis=axis, keepdims=keepdims), vjp=(_shares_of_largest,),
    doc="the largest element over axes; ties share the gradient equally",
)  # fmt: skip
min_p = Primitive(
    "min", lambda xp, x, axis, keepdims: xp.min(x, axis=axis, keepdims=keepdims), vjp=(_shares_of_smallest,),
    doc="the smallest element over axes; ties share the gradient equally",
)  # fmt: skip


def _product_of_others(x: Value) -> Value:
    """For each element along the last axis, the product of all others, without a division, in linear time.

    Pair the first half with the second: the others of x[i] are its partner and the others of their pair.
    """
    n = x.shape[-1]
    if n == 1:
        return zeros_like_p(x) + 1.0
    half = n // 2
    first, second, odd = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    pairs = first * second
    others = _product_of_others(concat_p(pairs, odd, axis=x.ndim - 1) if n % 2 else pairs)
    of_pair = others[..., :half]
    parts = (of_pair * second, of_pair * first, *((others[..., half:],) if n % 2 else ()))
    return concat_p(*parts, axis=x.ndim - 1)


def _prod_vjp(g: Value, y: Value, x: Value, axis: Axes, keepdims: bool) -> Value:
    reduced = tuple(range(x.ndim)) if axis is None else axis
    order = (*(a for a in range(x.ndim) if a not in reduced), *reduced)
    moved = permute_p(x, axes=order)
    lead = moved.shape[: x.ndim - len(reduced)]
    flat = reshape_p(moved, shape=(*lead, count(x.shape, axis)))
    if 0 in flat.shape:
        return _spread_cotangent(g, x, axis)
    others = reshape_p(_product_of_others(flat), shape=moved.shape)
    return scale(back(g, x, axis), permute_p(others, axes=tuple(order.index(a) for a in range(x.ndim))))


prod_p = Primitive(
    "prod", lambda xp, x, axis, keepdims: xp.prod(x, axis=axis, keepdims=keepdims), vjp=(_prod_vjp,),
    doc="the product over axes; its gradient, the product of the others, never divides",
)  # fmt: skip


@in_float32
def _logsumexp(xp: ArrayModule, x: Array, *, axis: Axes, keepdims: bool) -> Array:
    top = xp.max(x, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    total = sum_of(xp, xp.exp(x - top), axis=axis, keepdims=True)
    y = xp.where(
        total == 0,
        xp.full_like(total, -float("inf")),
        xp.log(xp.where(total == 0, xp.ones_like(total), total)) + top,
    )
    return (
        y
        if keepdims
        else xp.reshape(y, tuple(n for i, n in enumerate(x.shape) if axis is not None and i not in axis))
    )


def _logsumexp_vjp(g: Value, y: Value, x: Value, axis: Axes, keepdims: bool) -> Value:
    y = back(y, x, axis)
    e = exp(x - where_p(y == -math.inf, 0.0, y))  # of elements that are all -inf, the slopes are 0
    # For large x the rounding of y scales all of e alike: dividing by the sum, which is 1 in truth, takes it out.
    return scale(back(g, x, axis), over(e, sum_p(e, axis=axis, keepdims=True)))


logsumexp_p = Primitive(
    "logsumexp",
    _logsumexp,
    vjp=(_logsumexp_vjp,),
    promote="float",
    doc="ln(sum(e**x)) over axes, without overflow",
)


@in_float32
def _softmax(xp: ArrayModule, x: Array, *, axis: int) -> Array:
    e = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return e / sum_of(xp, e, axis=axis, keepdims=True)


softmax_p = Primitive(
    "softmax", _softmax, promote="float", unread=(0,),
    vjp=(lambda g, y, x, axis: scale(g - sum_p(scale(g, y), axis=(axis,), keepdims=True), y),),
    doc="e**x / sum(e**x) along an axis",
)  # fmt: skip


@in_float32
def log_softmax_of(xp: ArrayModule, x: Array, *, axis: int) -> Array:
    shifted = x - xp.max(x, axis=axis, keepdims=True)
    return shifted - xp.log(sum_of(xp, xp.exp(shifted), axis=axis, keepdims=True))


def _less_share(xp: ArrayModule, g: Array, p: Array, *, axis: int) -> Array:
    """Where g is all but 0 for one element, that one is g times the sum of the other probabilities: of g - g * p the
    rounding error of p would be left if p is almost 1."""
    size = xp.abs(g)
    alone = size == sum_of(xp, size, axis=axis, keepdims=True)
    total = sum_of(xp, g, axis=axis, keepdims=True)
    p = where_of(xp, alone | (total == 0), xp.zeros_like(p), p)
    return where_of(xp, alone, total * sum_of(xp, p, axis=axis, keepdims=True), g - total * p)


less_share_p: Primitive = Primitive(
    "less_share", _less_share, promote="same",
    vjp=(lambda h, y, g, p, axis: h - sum_p(scale(h, p), axis=(axis,), keepdims=True),
         lambda h, y, g, p, axis: -scale_both(h, sum_p(g, axis=(axis,), keepdims=True))),
    doc="g - sum(g) * p along an axis, for probabilities p, which add up to 1",
)  # fmt: skip
log_softmax_p = Primitive(
    "log_softmax", log_softmax_of, promote="float", unread=(0,),
    vjp=(lambda g, y, x, axis: less_share_p(g, exp(y), axis=axis),),
    doc="x - logsumexp(x) along an axis",
)  # fmt: skip

argmax_p = Primitive(
    "argmax", lambda xp, x, axis, keepdims: xp.argmax(x, axis=axis, keepdims=keepdims), doc="where max is"
)
argmin_p = Primitive(
    "argmin", lambda xp, x, axis, keepdims: xp.argmin(x, axis=axis, keepdims=keepdims), doc="where min is"
)
any_p = Primitive(
    "any", lambda xp, x, axis, keepdims: xp.any(x, axis=axis, keepdims=keepdims), doc="whether one is true"
)
all_p = Primitive(
    "all", lambda xp, x, axis, keepdims: xp.all(x, axis=axis, keepdims=keepdims), doc="whether all are true"
)


# ---- the public functions ----
def sum(
    x: TensorLike, /, axis: Axis = None, *, dtype: DTypeLike | None = None, keepdims: bool = False
) -> Tensor:
    """The sum over `axis` (an int, a tuple, or None for all). Small integers are added in the default integer dtype.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: One axis, a tuple of them, or None for all; negative ones count from the end.
        dtype: The dtype to compute and return in; None keeps that of x, small integers excepted.
        keepdims: Whether the reduced axes stay, with length 1.
    """
    x = as_tensor(x) if dtype is None else as_tensor(x).astype(dtype, copy=False)
    y = sum_p(x, axis=some_axes("sum", axis, x.ndim), keepdims=truth("sum: keepdims", keepdims))
    return y if dtype is None else y.astype(dtype, copy=False)


def mean(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The arithmetic mean over `axis` (an int, a tuple, or None for all).

    Of no elements it is NaN, and a RuntimeWarning says so. A program of `tg.jit` gives the NaN without the warning.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: One axis, a tuple of them, or None for all; negative ones count from the end.
        keepdims: Whether the reduced axes stay, with length 1.
    """
    x = as_tensor(x)
    return mean_p(x, axis=some_axes("mean", axis, x.ndim), keepdims=truth("mean: keepdims", keepdims))


def prod(
    x: TensorLike, /, axis: Axis = None, *, dtype: DTypeLike | None = None, keepdims: bool = False
) -> Tensor:
    """The product over `axis` (an int, a tuple, or None for all).

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: One axis, a tuple of them, or None for all; negative ones count from the end.
        dtype: The dtype to compute and return in; None keeps that of x, small integers excepted.
        keepdims: Whether the reduced axes stay, with length 1.
    """
    x = as_tensor(x) if dtype is None else as_tensor(x).astype(dtype, copy=False)
    y = prod_p(x, axis=some_axes("prod", axis, x.ndim), keepdims=truth("prod: keepdims", keepdims))
    return y if dtype is None else y.astype(dtype, copy=False)


def _extreme(primitive: Primitive, x: Value, axis: Axis, keepdims: bool) -> Value:
    x = as_tensor(x)
    axes = some_axes(primitive.name, axis, x.ndim)
    if count(x.shape, axes) == 0:
        raise ValueError(f"{primitive.name}: no elements to choose from along axis {axis} of shape {x.shape}")
    return primitive(x, axis=axes, keepdims=truth(f"{primitive.name}: keepdims", keepdims))


def max(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The largest element over `axis`; equal largest ones share the gradient.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: One axis, a tuple of them, or None for all; negative ones count from the end.
        keepdims: Whether the reduced axes stay, with length 1.

    Raises:
        ValueError: There are no elements.
    """
    return _extreme(max_p, x, axis, keepdims)


def min(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The smallest element over `axis`; equal smallest ones share the gradient.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: One axis, a tuple of them, or None for all; negative ones count from the end.
        keepdims: Whether the reduced axes stay, with length 1.

    Raises:
        ValueError: There are no elements.
    """
    return _extreme(min_p, x, axis, keepdims)


def logsumexp(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """ln(sum(e**x)) over `axis`, without overflow.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: One axis, a tuple of them, or None for all; negative ones count from the end.
        keepdims: Whether the reduced axes stay, with length 1.
    """
    return _extreme(logsumexp_p, x, axis, keepdims)


def softmax(x: TensorLike, /, axis: int = -1) -> Tensor:
    """e**x / sum(e**x) along `axis`, without overflow; of no elements, none.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: The axis; negative ones count from the end.
    """
    x = as_tensor(x)
    at = one_axis("softmax", axis, x.ndim)
    return softmax_p(x, axis=at) if x.shape[at] else exp(x)


def log_softmax(x: TensorLike, /, axis: int = -1) -> Tensor:
    """x - logsumexp(x) along `axis`: the logarithm of softmax, precise where that is tiny; of no elements, none.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: The axis; negative ones count from the end.
    """
    x = as_tensor(x)
    at = one_axis("log_softmax", axis, x.ndim)
    return log_softmax_p(x, axis=at) if x.shape[at] else exp(x)


def _where_extreme(primitive: Primitive, x: Value, axis: int | None, keepdims: bool) -> Value:
    x = as_tensor(x)
    at = None if axis is None else one_axis(primitive.name, axis, x.ndim)
    if (x.size if at is None else x.shape[at]) == 0:
        raise ValueError(f"{primitive.name}: no elements to choose from along axis {axis} of shape {x.shape}")
    return primitive(x, axis=at, keepdims=truth(f"{primitive.name}: keepdims", keepdims))


def argmax(x: TensorLike, /, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """The index of the (first) largest element along `axis`, or of all elements in row-major order.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: The axis; None counts all elements in row-major order.
        keepdims: Whether the reduced axes stay, with length 1.

    Returns:
        int64, of x's shape without the axis.
    """
    return _where_extreme(argmax_p, x, axis, keepdims)


def argmin(x: TensorLike, /, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """The index of the (first) smallest element along `axis`, or of all elements in row-major order.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: The axis; None counts all elements in row-major order.
        keepdims: Whether the reduced axes stay, with length 1.

    Returns:
        int64, of x's shape without the axis.
    """
    return _where_extreme(argmin_p, x, axis, keepdims)


def any(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Whether at least one element over `axis` is true.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: One axis, a tuple of them, or None for all; negative ones count from the end.
        keepdims: Whether the reduced axes stay, with length 1.
    """
    x = as_tensor(x)
    return any_p(x, axis=some_axes("any", axis, x.ndim), keepdims=truth("any: keepdims", keepdims))


def all(x: TensorLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Whether all elements over `axis` are true.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: One axis, a tuple of them, or None for all; negative ones count from the end.
        keepdims: Whether the reduced axes stay, with length 1.
    """
    x = as_tensor(x)
    return all_p(x, axis=some_axes("all", axis, x.ndim), keepdims=truth("all: keepdims", keepdims))
