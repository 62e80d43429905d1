"""Running sums and products along an axis, and their gradient rules."""

from tapegrad.autograd.aliases import Array, ArrayModule, DTypeLike, TensorLike, Value
from tapegrad.autograd.arguments import truth
from tapegrad.autograd.dtypes import is_floating, name_of
from tapegrad.autograd.ops.arranging import along
from tapegrad.autograd.ops.elementwise import scale
from tapegrad.autograd.ops.forwards import astype_of, in_float32
from tapegrad.autograd.ops.shape import as_tensor, concat_p, one_axis, zeros_like_p
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function
from tapegrad.backends.sums import MANY


def _named(xp: ArrayModule, name: str, short: str) -> Function:
    """A library's function: CuPy has the short name alone."""
    return getattr(xp, name) if hasattr(xp, name) else getattr(xp, short)


@in_float32
def _running_sum(xp: ArrayModule, x: Array, *, axis: int, reverse: bool) -> Array:
    if name_of(x.dtype) == "float32" and x.shape[axis] >= MANY:
        wide = _running_sum(xp, astype_of(xp, x, xp.float64), axis=axis, reverse=reverse)
        return astype_of(xp, wide, x.dtype)
    add = _named(xp, "cumulative_sum", "cumsum")
    if not reverse:
        return add(x, axis=axis)
    return along(add(along(x, axis, None, None, -1), axis=axis), axis, None, None, -1)


cumulative_sum_p: Primitive = Primitive(
    "cumulative_sum", _running_sum,
    vjp=(lambda g, y, x, axis, reverse: cumulative_sum_p(g, axis=axis, reverse=not reverse),), unread=(-1, 0),
    doc="the running sum along an axis, or from its end",
)  # fmt: skip


@in_float32
def _running_product(xp: ArrayModule, x: Array, *, axis: int) -> Array:
    return _named(xp, "cumulative_prod", "cumprod")(x, axis=axis)


def _running_product_vjp(g: Value, y: Value, x: Value, axis: int) -> Value:
    """The product of the elements before j, times s[j] = g[j] + x[j + 1] * s[j + 1].

    No division: zeros are elements as others are. The recurrence takes a step for each doubling of its reach.
    """
    length = x.shape[axis]
    if length < 2:
        return g
    one = zeros_like_p(along(x, axis, 0, 1)) + 1.0
    before = cumulative_prod_p(concat_p(one, along(x, axis, 0, length - 1), axis=axis), axis=axis)
    total, factor = g, along(x, axis, 1, None)
    reach = 1
    while reach < length:
        far = along(total, axis, length - reach, None)
        # Element j has the sum over j … j + reach - 1, and factor[j] leads from j to j + reach.
        added = along(total, axis, 0, length - reach) + scale(along(total, axis, reach, None), factor)
        total = concat_p(added, far, axis=axis)
        if 2 * reach < length:
            factor = along(factor, axis, 0, length - 2 * reach) * along(factor, axis, reach, None)
        reach *= 2
    return scale(total, before)


cumulative_prod_p: Primitive = Primitive(
    "cumulative_prod", _running_product, vjp=(_running_product_vjp,),
    doc="the running product along an axis; its gradient never divides",
)  # fmt: skip


def _prepared(name: str, x: TensorLike, axis: int | None, dtype: DTypeLike | None) -> tuple[Tensor, int]:
    """The elements in the dtype of the sums, and the axis counted from the front."""
    x = as_tensor(x)
    if axis is None:
        if x.ndim != 1:
            raise ValueError(
                f"{name}: x has shape {x.shape}: name the axis, or write {name}(tg.flatten(x)) for all elements"
            )
        axis = 0
    at = one_axis(name, axis, x.ndim)
    if dtype is None and not is_floating(x.dtype):  # as `sum` does
        kind = name_of(x.dtype)
        dtype = "uint64" if kind.startswith("uint") else "int64"
    return (x if dtype is None else x.astype(dtype, copy=False)), at


def _with_initial(y: Tensor, at: int, initial: float, include: bool) -> Tensor:
    if not include:
        return y
    shape = (*y.shape[:at], 1, *y.shape[at + 1 :])
    from tapegrad.autograd.filled import full

    return concat_p(full(shape, initial, dtype=y.dtype, device=y.device), y, axis=at)


def cumulative_sum(
    x: TensorLike,
    /,
    axis: int | None = None,
    *,
    dtype: DTypeLike | None = None,
    include_initial: bool = False,
) -> Tensor:
    """The running sum along `axis`: y[i] = x[0] + … + x[i]. Small integers are added in the default integer dtype.

    Source: the array API standard 2023.12. float16 is added in float32.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: The axis; negative ones count from the end. None is for arrays of one axis.
        dtype: The dtype to compute and return in; None keeps that of x, small integers excepted.
        include_initial: Whether the result begins with the sum of none, 0: it is longer by one.

    Returns:
        A Tensor of x's shape.

    Raises:
        ValueError: axis is None and x has not one axis.
    """
    x, at = _prepared("cumulative_sum", x, axis, dtype)
    include = truth("cumulative_sum: include_initial", include_initial)
    y = _with_initial(cumulative_sum_p(x, axis=at, reverse=False), at, 0, include)
    return y if dtype is None else y.astype(dtype, copy=False)


def cumulative_prod(
    x: TensorLike,
    /,
    axis: int | None = None,
    *,
    dtype: DTypeLike | None = None,
    include_initial: bool = False,
) -> Tensor:
    """The running product along `axis`: y[i] = x[0] · … · x[i]. Small integers take the default integer dtype.

    Source: the array API standard 2024.12. The gradient is right where elements are 0. float16 is multiplied in
    float32.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: The axis; negative ones count from the end. None is for arrays of one axis.
        dtype: The dtype to compute and return in; None keeps that of x, small integers excepted.
        include_initial: Whether the result begins with the product of none, 1: it is longer by one.

    Returns:
        A Tensor of x's shape.

    Raises:
        ValueError: axis is None and x has not one axis.
    """
    x, at = _prepared("cumulative_prod", x, axis, dtype)
    include = truth("cumulative_prod: include_initial", include_initial)
    y = _with_initial(cumulative_prod_p(x, axis=at), at, 1, include)
    return y if dtype is None else y.astype(dtype, copy=False)
