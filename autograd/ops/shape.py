"""Primitives that move elements and change none: reshape, permute, broadcast, join; and dtype and device."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from weakref import ref

from tapegrad.autograd.aliases import Array, ArrayModule, Axis, DTypeLike, Shape, TensorLike, Value
from tapegrad.autograd.arguments import index_of, several_integers, truth, whole_number
from tapegrad.autograd.copies import recorded_copy
from tapegrad.autograd.dtypes import as_dtype, is_floating
from tapegrad.autograd.primitive import EVERY, Primitive
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import backend_of, resolve

reshape_p: Primitive = Primitive(
    "reshape", lambda xp, x, shape: xp.reshape(x, shape), vjp=(lambda g, y, x, shape: reshape_p(g, shape=x.shape),),
    unread=(-1, 0), doc="the same elements, in row-major order, in another shape",
)  # fmt: skip


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


permute_p: Primitive = Primitive(
    "permute_dims", lambda xp, x, axes: xp.permute_dims(x, axes),
    vjp=(lambda g, y, x, axes: permute_p(g, axes=_inverse(axes)),), unread=(-1, 0),
    doc="axis i of the result is axis axes[i] of x",
)  # fmt: skip
broadcast_p = Primitive(
    "broadcast_to", lambda xp, x, shape: xp.broadcast_to(x, shape),
    vjp=(lambda g, y, x, shape: g,),  # the backward loop sums over the stretched axes
    unread=(-1, 0),
    doc="x repeated along new axes and axes of length 1",
)  # fmt: skip


def _concat_vjp(needed: Sequence[bool], g: Value, y: Value, *xs: Value, axis: int) -> tuple[Value, ...]:
    cotangents, start = [], 0
    for need, x in zip(needed, xs, strict=True):
        stop = start + x.shape[axis]
        cotangents.append(g[(*(slice(None),) * axis, slice(start, stop), Ellipsis)] if need else None)
        start = stop
    return tuple(cotangents)


concat_p = Primitive(
    "concat", lambda xp, *xs, axis: xp.concat(xs, axis=axis), vjp=_concat_vjp, promote="same",
    unread=EVERY, doc="arrays joined along an axis",
)  # fmt: skip
astype_p = Primitive(
    "astype", lambda xp, x, dtype: xp.astype(x, dtype),
    vjp=(lambda g, y, x, dtype: g,),  # the backward loop casts to x's dtype
    unread=(-1, 0),
    doc="a copy of x in a dtype",
)  # fmt: skip


def _move(xp: ArrayModule, x: Array, *, place: str) -> Array:
    source = backend_of(x)
    target, device = resolve(place)
    return target.asarray(x if source is target else source.to_numpy(x), device=device)


def device_of(x: TensorLike) -> str:
    """Where an array or a Tensor is, as a place for `move`."""
    array = x.data if isinstance(x, Tensor) else x
    return backend_of(array).device_of(array)


move: Primitive = Primitive(
    "move",
    _move,
    vjp=(lambda g, y, x, place: move(g, place=device_of(x)),),
    doc="x on another backend or device",
)
ones_like_p = Primitive("ones_like", lambda xp, x: xp.ones_like(x), doc="ones of the shape and dtype of x")
zeros_like_p = Primitive(
    "zeros_like", lambda xp, x: xp.zeros_like(x), doc="zeros of the shape and dtype of x"
)


# ---- the public functions ----
def as_tensor(x: TensorLike) -> Tensor:
    if isinstance(x, Tensor):
        return x
    from tapegrad.autograd.creation import tensor

    return tensor(x)


def one_axis(name: str, axis: object, ndim: int, argument: str = "axis", of: str = "an array") -> int:
    """An axis counted from the front; TypeError and IndexError name the argument, and what has so many axes."""
    number = whole_number(f"{name}: {argument}", axis)
    if not -ndim <= number < ndim:
        raise IndexError(f"{name}: {argument} {number} is out of range for {of} of {ndim} dimension(s)")
    return number % ndim


def some_axes(name: str, axis: object, ndim: int) -> tuple[int, ...] | None:
    """None (all axes), an int or a tuple of ints, as None or a tuple counted from the front, without repeats."""
    if axis is None:
        return None
    axes = tuple(one_axis(name, a, ndim) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    if len(set(axes)) < len(axes):
        raise ValueError(f"{name}: axis {axis!r} names an axis twice")
    return axes


def reshape(x: TensorLike, /, shape: Shape | int) -> Tensor:
    """The same elements, in row-major order, in another shape; one length may be -1, to be worked out.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        shape: The new lengths; one may be -1, which takes what is left.

    Raises:
        ValueError: The elements do not fit into the shape.
    """
    x = as_tensor(x)
    given = shape if isinstance(shape, (tuple, list)) else (shape,)
    try:
        if bool in map(type, given):
            raise AttributeError
        shape = tuple(n.__index__() for n in given)
    except AttributeError:
        raise TypeError(f"reshape: the shape must be integers, got {shape!r}") from None
    if shape.count(-1) == 1:
        rest = math.prod(n for n in shape if n != -1)
        if rest == 0 or x.size % rest:
            raise ValueError(f"reshape: {x.size} elements of shape {x.shape} do not fit into {shape}")
        shape = tuple(x.size // rest if n == -1 else n for n in shape)
    if math.prod(shape) != x.size or any(n < 0 for n in shape):
        raise ValueError(f"reshape: {x.size} elements of shape {x.shape} do not fit into {shape}")
    return reshape_p(x, shape=shape)


def permute_dims(x: TensorLike, /, axes: Sequence[int]) -> Tensor:
    """Axis i of the result is axis axes[i] of x.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axes: Each axis of x once, in the new order.
    """
    x = as_tensor(x)
    order = some_axes("permute_dims", several_integers("permute_dims: axes", axes), x.ndim)
    if order is None or len(order) != x.ndim:
        raise ValueError(f"permute_dims: axes must name each of the {x.ndim} axes once, got {axes}")
    return permute_p(x, axes=order)


def matrix_transpose(x: TensorLike, /) -> Tensor:
    """The last two axes exchanged.

    Args:
        x: A Tensor or what `tg.tensor` takes, of shape (…, m, n).

    Returns:
        A Tensor of shape (…, n, m).
    """
    x = as_tensor(x)
    if x.ndim < 2:
        raise ValueError(f"matrix_transpose: needs at least 2 dimensions, got shape {x.shape}")
    return permute_p(x, axes=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def moveaxis(x: TensorLike, source: int, destination: int, /) -> Tensor:
    """One axis moved to another place, the others kept in order.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        source: The axis to move.
        destination: Its new position.
    """
    x = as_tensor(x)
    source = one_axis("moveaxis", source, x.ndim, "source")
    destination = one_axis("moveaxis", destination, x.ndim, "destination")
    order = [a for a in range(x.ndim) if a != source]
    order.insert(destination, source)
    return permute_p(x, axes=tuple(order))


def broadcast_to(x: TensorLike, /, shape: Shape | int) -> Tensor:
    """x repeated along new leading axes and along its axes of length 1, to the given shape.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        shape: The new shape.
    """
    from tapegrad.autograd.creation import read_shape

    return broadcast_p(as_tensor(x), shape=read_shape("broadcast_to", shape))


def expand_dims(x: TensorLike, /, axis: int = 0) -> Tensor:
    """A new axis of length 1 at position `axis`.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: The position of the new axis.
    """
    x = as_tensor(x)
    at = one_axis("expand_dims", axis, x.ndim + 1, of="a result")
    return reshape_p(x, shape=(*x.shape[:at], 1, *x.shape[at:]))


def squeeze(x: TensorLike, /, axis: Axis = None) -> Tensor:
    """A view of x without the named axes, which must be of length 1, or without all of that length.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: The axes to drop: an integer or a tuple; None drops all axes of length 1.

    Raises:
        ValueError: A named axis is not of length 1.
    """
    x = as_tensor(x)
    axes = some_axes("squeeze", axis, x.ndim)
    if axes is None:
        axes = tuple(a for a, n in enumerate(x.shape) if n == 1)
    if any(x.shape[a] != 1 for a in axes):
        raise ValueError(f"squeeze: axis {axis} of shape {x.shape} is not of length 1")
    return reshape_p(x, shape=tuple(n for a, n in enumerate(x.shape) if a not in axes))


def flatten(x: TensorLike, /) -> Tensor:
    """All elements in one axis, in row-major order.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
    """
    return reshape(x, (-1,)) if as_tensor(x).size else reshape(x, (0,))


def _arrays(name: str, arrays: Sequence[TensorLike] | Tensor) -> list[Tensor]:
    if isinstance(arrays, Tensor) or not isinstance(arrays, (list, tuple)) or not arrays:
        raise TypeError(f"{name}: arrays: expected a list or tuple of at least one array, got {arrays!r}")
    return [as_tensor(a) for a in arrays]


def concat(arrays: Sequence[TensorLike], /, axis: int | None = 0) -> Tensor:
    """Arrays joined along an existing axis; with axis=None they are flattened first.

    Args:
        arrays: A list or tuple of arrays, of equal shapes except along the axis.
        axis: The axis to join along; None flattens the arrays first.
    """
    xs = _arrays("concat", arrays)
    if axis is None:
        xs, axis = [flatten(x) for x in xs], 0
    if any(x.ndim != xs[0].ndim for x in xs):
        raise ValueError(f"concat: all arrays need as many dimensions, got shapes {[x.shape for x in xs]}")
    return concat_p(*xs, axis=one_axis("concat", axis, xs[0].ndim))


def with_ends(x: Tensor, axis: int, *ends: TensorLike | None) -> Tensor:
    """x with an array in front of it along an axis and one behind; a number stands for one slice, None for nothing."""
    from tapegrad.autograd.filled import zeros

    def slices(end: TensorLike) -> Tensor:
        if not isinstance(end, (Tensor, int, float)):
            end = as_tensor(end).to(x.device)
        if isinstance(end, Tensor) and end.ndim:
            return end
        return zeros((*x.shape[:axis], 1, *x.shape[axis + 1 :]), dtype=x.dtype, device=x.device) + end

    front, back = ([] if end is None else [slices(end)] for end in ends)
    return concat_p(*front, x, *back, axis=axis) if front or back else x


def stack(arrays: Sequence[TensorLike], /, axis: int = 0) -> Tensor:
    """Arrays of one shape joined along a new axis.

    Args:
        arrays: A list or tuple of arrays of one shape.
        axis: The position of the new axis.
    """
    xs = _arrays("stack", arrays)
    if any(x.shape != xs[0].shape for x in xs):
        raise ValueError(f"stack: all arrays need one shape, got {[x.shape for x in xs]}")
    at = one_axis("stack", axis, xs[0].ndim + 1)
    return concat_p(*(expand_dims(x, axis=at) for x in xs), axis=at)


def split(x: TensorLike, /, sections: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """Cut along an axis: into `sections` equal parts, or at the given positions.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        sections: The number of equal parts, or the positions to cut at.
        axis: The axis to cut.
    """
    x = as_tensor(x)
    at = one_axis("split", axis, x.ndim)
    length = x.shape[at]
    cuts: Iterable[int]
    if (parts := index_of(sections)) is not None:
        if parts < 1 or length % parts:
            raise ValueError(
                f"split: {length} elements along axis {at} do not divide into sections={parts} equal parts"
            )
        cuts = range(length // parts, length, length // parts) if length else [0] * (parts - 1)
    else:
        cuts = several_integers("split: sections", sections)
    ends = [0, *cuts, length]
    before = (slice(None),) * at
    return tuple(x[(*before, slice(a, b))] for a, b in pairwise(ends))


def unstack(x: TensorLike, /, axis: int = 0) -> tuple[Tensor, ...]:
    """The arrays that `stack` would join to x.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: The axis to take apart.
    """
    x = as_tensor(x)
    at = one_axis("unstack", axis, x.ndim)
    return tuple(x[(slice(None),) * at + (i,)] for i in range(x.shape[at]))


def flip(x: TensorLike, /, axis: Axis = None) -> Tensor:
    """The order of elements reversed along the given axes (all of them by default).

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: The axes to reverse: an integer, a tuple, or None for all.
    """
    x = as_tensor(x)
    axes = some_axes("flip", axis, x.ndim)
    return x[tuple(slice(None, None, -1 if axes is None or a in axes else None) for a in range(x.ndim))]


def tile(x: TensorLike, repetitions: int | Shape, /) -> Tensor:
    """x laid side by side: repetitions[i] times along axis i.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        repetitions: How often to repeat along each axis.
    """
    x = as_tensor(x)
    from tapegrad.autograd.creation import read_shape

    times = read_shape("tile", repetitions, "repetitions")
    times = (1,) * (x.ndim - len(times)) + times
    shape = (1,) * (len(times) - x.ndim) + x.shape
    doubled = reshape_p(x, shape=tuple(n for length in shape for n in (1, length)))
    spread = broadcast_p(doubled, shape=tuple(n for pair in zip(times, shape, strict=True) for n in pair))
    tiled = reshape_p(spread, shape=tuple(t * n for t, n in zip(times, shape, strict=True)))
    # Of these lengths the reshape needs no copy, and gives a view of x.
    is_view = all(1 in pair for pair in zip(times, shape, strict=True))
    return recorded_copy(tiled) if is_view else tiled


def astype(x: TensorLike, dtype: DTypeLike, /, *, copy: bool = True) -> Tensor:
    """x in another dtype. Gradients come back in the dtype of x; through an integer or boolean dtype none come.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        dtype: The new dtype, or its name.
        copy: Whether to copy where x has that dtype already.
    """
    x, copy = as_tensor(x), truth("astype: copy", copy)
    dtype = x.backend.dtype(as_dtype(dtype, "astype: dtype"))
    if x.dtype == dtype and not copy:
        return x
    if x.dtype == dtype:
        return recorded_copy(x)
    with_grad = is_floating(dtype) and is_floating(x.dtype)
    result = astype_p(x if with_grad else x.detach(), dtype=dtype)
    if isinstance(result, Tensor) and result.node is None:
        result._converted_from = (ref(x), *getattr(x, "_converted_from", ()))
    return result
