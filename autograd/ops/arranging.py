"""Functions that lay elements out in another way, made of slices, joins and selections: pad, roll, repeat, tril, diff,
one_hot, top_k, meshgrid."""

from collections.abc import Sequence
from math import isfinite

from tapegrad.autograd.aliases import Array, ArrayModule, Axis, DTypeLike, TensorLike, Value
from tapegrad.autograd.arguments import any_number, integer, one_of, positive_integer, truth, whole_number
from tapegrad.autograd.copies import recorded_copy
from tapegrad.autograd.dtypes import as_dtype, get_default_dtype, name_of
from tapegrad.autograd.ops.elementwise import not_equal, where_p
from tapegrad.autograd.ops.indexing import argsort, index_update_p, take, take_along_axis
from tapegrad.autograd.ops.losses import one_hot_p
from tapegrad.autograd.ops.shape import (
    as_tensor,
    broadcast_p,
    concat_p,
    flatten,
    moveaxis,
    one_axis,
    reshape_p,
    with_ends,
)
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.tensor import Tensor

PAD_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


def along(x: Value, axis: int, start: int | None, stop: int | None, step: int | None = None) -> Value:
    """The elements start … stop - 1 along one axis. The index names every axis, as the array API standard wants it."""
    return x[(slice(None),) * axis + (slice(start, stop, step),) + (slice(None),) * (x.ndim - axis - 1)]


# ---- padding ----
def pad(
    x: TensorLike,
    /,
    pad_width: TensorLike,
    mode: str = "constant",
    *,
    constant_values: float = 0,
) -> Tensor:
    """x with elements added before and after it along its axes. Source: NumPy's `pad`, whose modes these are.

    For x = [1, 2, 3] and pad_width = 2: "constant" gives 0 0 1 2 3 0 0, "edge" 1 1 1 2 3 3 3, "reflect" 3 2 1 2 3 2 1,
    "symmetric" 2 1 1 2 3 3 2, and "wrap" 2 3 1 2 3 1 2. PyTorch calls the last four replicate, reflect, (none) and
    circular. The gradient of an added element goes to the element that it repeats.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        pad_width: A number for both ends of every axis, a pair (before, after) for every axis, or one pair per axis,
            the first axis first. PyTorch's `F.pad` begins with the last axis.
        mode: "constant", "edge", "reflect", "symmetric" or "wrap".
        constant_values: The number to add, for "constant" alone; of floats it may be infinite or NaN.

    Returns:
        A Tensor of x's dtype.

    Raises:
        ValueError: A negative width, as many pairs as x has not axes, an unknown mode, or an empty axis to repeat.
    """
    x = as_tensor(x)
    widths = _widths(x.ndim, pad_width)
    one_of("pad: mode", mode, PAD_MODES)
    fill = any_number("pad: constant_values", constant_values)
    if mode != "constant":
        if fill != 0:
            raise ValueError(f"pad: constant_values={constant_values!r} has no meaning with mode={mode!r}")
        x = recorded_copy(x) if sum(sum(width) for width in widths) == 0 else x
        for axis, width in enumerate(widths):
            x = _repeated_ends(x, axis, width, mode)
        return x
    from tapegrad.autograd.filled import full

    shape = tuple(n + a + b for n, (a, b) in zip(x.shape, widths, strict=True))
    kind = name_of(x.dtype)
    value = fill
    if not kind.startswith("float"):
        whole = int(fill) if isfinite(fill) else None
        value = bool(whole) if kind == "bool" else whole
    if not kind.startswith("float") and value != fill:
        raise ValueError(f"pad: constant_values={constant_values!r} is no number of dtype {kind}")
    place = tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, widths, strict=True))
    return index_update_p(full(shape, value, dtype=x.dtype, device=x.device), x, index=(*place, Ellipsis))


def _is_integer(value: object) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _listed(given: Value) -> Value:
    """An array as nested lists; anything else as it is."""
    return given.tolist() if hasattr(given, "tolist") else given


def _widths(ndim: int, pad_width: TensorLike) -> list[tuple[int, int]]:
    """One pair (before, after) per axis."""
    given = _listed(pad_width)
    pairs = given if isinstance(given, (tuple, list)) else ((given, given),)
    if len(pairs) == 2 and all(map(_is_integer, pairs)):
        pairs = (pairs,)
    pairs = [tuple(_listed(p)) if isinstance(_listed(p), (tuple, list)) else () for p in pairs]
    pairs = pairs * ndim if len(pairs) == 1 else pairs
    if len(pairs) != ndim or not all(len(p) == 2 and all(map(_is_integer, p)) for p in pairs):
        raise ValueError(
            f"pad: pad_width must be an integer, a pair (before, after), or {ndim} pairs, one per axis; got "
            f"{pad_width!r}"
        )
    if any(n < 0 for p in pairs for n in p):
        raise ValueError(f"pad: pad_width must not be negative, got {pad_width!r}: cut with a slice, x[1:-1]")
    return [(a.__index__(), b.__index__()) for a, b in pairs]


def _source(i: int, n: int, mode: str) -> int:
    """Which of n elements stands at place i, which may lie before or behind them."""
    if mode == "edge":
        return min(max(i, 0), n - 1)
    if mode == "wrap":
        return i % n
    turn = max(2 * n - 2, 1) if mode == "reflect" else 2 * n
    i %= turn
    return i if i < n else turn - i - (mode == "symmetric")


def _repeated_ends(x: Tensor, axis: int, width: tuple[int, int], mode: str) -> Tensor:
    """x with its own elements added along an axis: runs of neighbours, each a slice, joined."""
    if width == (0, 0):
        return x
    if x.shape[axis] == 0:
        raise ValueError(f"pad: axis {axis} of shape {x.shape} is empty: mode={mode!r} has nothing to repeat")
    n = x.shape[axis]
    order = [_source(i, n, mode) for i in range(-width[0], n + width[1])]
    return concat_p(*(_run(x, axis, *run) for run in _runs(order)), axis=axis)


def _runs(order: list[int]) -> list[tuple[int, int, int]]:
    """(first, step, length) of the runs of which an index is made; the step is 1, -1 or 0."""
    runs: list[tuple[int, int, int]] = []
    for at in order:
        if runs:
            first, step, length = runs[-1]
            moved = at - first
            if length == 1 and moved in (-1, 0, 1):
                runs[-1] = first, moved, 2
                continue
            if length > 1 and moved == step * length:
                runs[-1] = first, step, length + 1
                continue
        runs.append((at, 1, 1))
    return runs


def _run(x: Tensor, axis: int, first: int, step: int, length: int) -> Tensor:
    if step == 0:
        one = along(x, axis, first, first + 1)
        return broadcast_p(one, shape=(*x.shape[:axis], length, *x.shape[axis + 1 :]))
    last = first + step * length
    return along(x, axis, first, last if last >= 0 else None, step)


# ---- moving and repeating ----
def roll(x: TensorLike, /, shift: int | Sequence[int], axis: Axis = None) -> Tensor:
    """The elements moved on by `shift` places along `axis`; those that leave at the end come in at the front.

    Source: the array API standard. y[(i + shift) mod n] = x[i].

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        shift: The number of places, negative to move back; a tuple with one for each axis.
        axis: An axis, or a tuple, in which one may stand twice; None moves the elements in row-major order.

    Raises:
        ValueError: A tuple of shifts and a tuple of axes of other lengths.
    """
    t = as_tensor(x)
    if axis is None:
        return reshape_p(roll(flatten(t), shift, 0), shape=t.shape)
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(one_axis("roll", a, t.ndim) for a in given)
    shifts = tuple(shift) if isinstance(shift, (tuple, list)) else (shift,) * len(axes)
    if len(shifts) != len(axes):
        raise ValueError(
            f"roll: {len(shifts)} shifts for {len(axes)} axes: give one shift per axis, got {shift!r}"
        )
    for places, at in zip(shifts, axes, strict=True):
        n, places = t.shape[at], whole_number("roll: shift", places)
        start = -places % n if n else 0
        parts = (along(t, at, start, None), along(t, at, 0, start)) if start else (along(t, at, 0, None),)
        t = concat_p(*parts, axis=at)
    return t if axes else recorded_copy(t)


def repeat(x: TensorLike, repeats: int | TensorLike, /, axis: int | None = None) -> Tensor:
    """Each element repeated: repeats=2 makes [a, b] into [a, a, b, b]. `tile` repeats the whole array.

    Source: the array API standard. Repeated elements add up their gradients.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        repeats: How often, a number for all, or one integer for each element along the axis.
        axis: The axis; None repeats the elements in row-major order, in one axis.

    Raises:
        ValueError: A negative number, or as many numbers as there are not elements.
    """
    x = as_tensor(x)
    x, at = (flatten(x), 0) if axis is None else (x, one_axis("repeat", axis, x.ndim))
    given = _listed(repeats)
    times = list(given) if isinstance(given, (tuple, list)) else [given]
    if not all(map(_is_integer, times)):
        raise TypeError(f"repeat: repeats must be an integer, or one for each element, got {repeats!r}")
    if any(k < 0 for k in times):
        raise ValueError(f"repeat: repeats must not be negative, got {repeats!r}")
    n = x.shape[at]
    if len(times) not in (1, n):
        raise ValueError(
            f"repeat: {len(times)} repeats for the {n} elements along axis {at} of shape {x.shape}"
        )
    if len(times) == 1:
        k = times[0].__index__()
        before, after = x.shape[: at + 1], x.shape[at + 1 :]
        spread = broadcast_p(reshape_p(x, shape=(*before, 1, *after)), shape=(*before, k, *after))
        repeated = reshape_p(spread, shape=(*x.shape[:at], n * k, *after))
        # Of these lengths the reshape needs no copy, and gives a view of x.
        return recorded_copy(repeated) if 1 in (n, k) else repeated
    return take(x, [i for i, k in enumerate(times) for _ in range(k)], at)


# ---- parts of matrices ----
def _lower(xp: ArrayModule, x: Array, *, rows: int, columns: int, k: int = 0) -> Array:
    down, across = (xp.arange(n, device=x.device) for n in (rows, columns))
    return xp.reshape(across, (1, columns)) - xp.reshape(down, (rows, 1)) <= k


triangle_p = Primitive(
    "triangle", _lower, doc="True where column - row <= k, of shape (rows, columns), on the device of x"
)


def tril(x: TensorLike, /, k: int = 0) -> Tensor:
    """The lower triangle of matrices: x where column - row <= k, else 0.

    Source: the array API standard.

    Args:
        x: A Tensor or what `tg.tensor` takes, of shape (…, m, n) and any dtype.
        k: The highest diagonal to keep; 0 is the main one, 1 that above it.

    Raises:
        ValueError: x has fewer than two axes.
    """
    return _triangle("tril", x, k, upper=False)


def triu(x: TensorLike, /, k: int = 0) -> Tensor:
    """The upper triangle of matrices: x where column - row >= k, else 0.

    Source: the array API standard.

    Args:
        x: A Tensor or what `tg.tensor` takes, of shape (…, m, n) and any dtype.
        k: The lowest diagonal to keep; 0 is the main one, 1 that above it.

    Raises:
        ValueError: x has fewer than two axes.
    """
    return _triangle("triu", x, k, upper=True)


def _triangle(name: str, x: TensorLike, k: int, upper: bool) -> Tensor:
    x = as_tensor(x)
    if x.ndim < 2:
        raise ValueError(f"{name}: needs at least 2 dimensions, got shape {x.shape}")
    k = whole_number(f"{name}: k", k)
    rows, columns = x.shape[-2:]
    none = False if name_of(x.dtype) == "bool" else 0
    if upper:  # above the diagonal before k
        return where_p(triangle_p(x, rows=rows, columns=columns, k=k - 1), none, x)
    return where_p(triangle_p(x, rows=rows, columns=columns, k=k), x, none)


def diff(
    x: TensorLike,
    /,
    n: int = 1,
    axis: int = -1,
    *,
    prepend: TensorLike | None = None,
    append: TensorLike | None = None,
) -> Tensor:
    """The differences of neighbours along `axis`: y[i] = x[i + 1] - x[i], n times over.

    Source: the array API standard 2024.12, in NumPy's order of arguments. Of booleans it is whether neighbours differ,
    as in NumPy.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        n: How often to take differences, 0 or more.
        axis: The axis; negative ones count from the end.
        prepend: An array to join in front along the axis before the differences are taken, or a number that stands
            for one slice, as in NumPy. With n = 0 the joined array is the result, as in PyTorch.
        append: The same, behind.

    Returns:
        A Tensor of x's dtype, shorter by n along the axis.
    """
    t = as_tensor(x)
    at, n = one_axis("diff", axis, t.ndim), integer("diff: n", n, 0)
    if n == 0 and prepend is None is append:
        return recorded_copy(t)
    t = with_ends(t, at, prepend, append)
    for _ in range(n):
        after, before = along(t, at, 1, None), along(t, at, 0, max(t.shape[at] - 1, 0))
        t = not_equal(after, before) if name_of(t.dtype) == "bool" else after - before
    return t


# ---- class numbers, choices, grids ----
def one_hot(labels: TensorLike, /, classes: int, axis: int = -1, *, dtype: DTypeLike | None = None) -> Tensor:
    """1 at the place of each label along a new axis of length `classes`, else 0.

    Args:
        labels: Integers from 0 to classes - 1, of any shape: a Tensor or what `tg.tensor` takes.
        classes: The length of the new axis.
        axis: The place of the new axis in the result.
        dtype: The dtype; None is the default float dtype.

    Raises:
        TypeError: The labels are not integers.
        IndexError: A label is outside 0 … classes - 1, in compiled calls too.
    """
    labels = as_tensor(labels)
    if not name_of(labels.dtype).startswith(("int", "uint")):
        raise TypeError(
            f"one_hot: labels must be integers, got {name_of(labels.dtype)}: labels.astype(tg.int64)"
        )
    classes = positive_integer("one_hot: classes", classes)
    kind = labels.backend.dtype(get_default_dtype() if dtype is None else as_dtype(dtype, "one_hot: dtype"))
    hot = one_hot_p(labels, classes=classes, dtype=kind, checked=True)
    at = one_axis("one_hot", axis, hot.ndim, of="a result")
    return hot if at == hot.ndim - 1 else moveaxis(hot, -1, at)


def top_k(x: TensorLike, k: int, /, axis: int = -1, *, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest elements along `axis`, the largest first, and their indices.

    Of equal elements the earlier comes first. NaN counts as the largest. Gradients go to where the elements came from.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        k: How many, from 0 to the length of the axis.
        axis: The axis; negative ones count from the end.
        largest: False for the k smallest, the smallest first.

    Returns:
        (values, indices): of x's dtype, and int64; both of length k along the axis.

    Raises:
        ValueError: k is larger than the axis is long.
    """
    x = as_tensor(x)
    at = one_axis("top_k", axis, x.ndim)
    k = whole_number("top_k: k", k)
    if not 0 <= k <= x.shape[at]:
        raise ValueError(f"top_k: k={k} of the {x.shape[at]} elements along axis {at} of shape {x.shape}")
    order = argsort(x, at, descending=truth("top_k: largest", largest))
    chosen = along(order, at, 0, k)
    return take_along_axis(x, chosen, at), chosen


def meshgrid(*arrays: TensorLike, indexing: str = "xy") -> tuple[Tensor, ...]:
    """The coordinates of a grid: each array of one axis, spread over the axes of all.

    Source: the array API standard.

    Args:
        *arrays: Arrays of one axis, the coordinates along each axis of the grid.
        indexing: "ij": axis i of the results belongs to array i. "xy": the first two axes are exchanged, so that the
            first array runs along columns.

    Returns:
        As many Tensors as arrays, all of one shape, each with memory of its own.
    """
    one_of("meshgrid: indexing", indexing, ("xy", "ij"))
    xs = [as_tensor(a) for a in arrays]
    if any(x.ndim > 1 for x in xs):
        raise ValueError(f"meshgrid: arrays of one axis only, got shapes {[x.shape for x in xs]}")
    places = list(range(len(xs)))
    if indexing == "xy" and len(xs) > 1:
        places[:2] = [1, 0]
    shape = tuple(xs[place].size for place in places)
    lines = [
        reshape_p(x, shape=tuple(x.size if a == at else 1 for a in range(len(xs))))
        for x, at in zip(xs, places, strict=True)
    ]
    return tuple(recorded_copy(broadcast_p(line, shape=shape)) for line in lines)
