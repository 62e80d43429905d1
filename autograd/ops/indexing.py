"""Reading, writing and adding at an index. Integers, slices, None, Ellipsis, boolean masks, and integer arrays with
repeats, as in NumPy.

A primitive's index is a template: the plain parts stand in it as they are, and each array is a numbered slot whose
array is passed among the inputs.
"""

from collections.abc import Sequence

from tapegrad.autograd.aliases import Array, ArrayModule, Index, TensorLike, Value
from tapegrad.autograd.arguments import truth
from tapegrad.autograd.copies import recorded_copy
from tapegrad.autograd.diagnostics import describe, user_line
from tapegrad.autograd.dtypes import is_floating, name_of, refuse_unheld
from tapegrad.autograd.ops.shape import as_tensor, zeros_like_p
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import BY_TYPE, backend_of
from tapegrad.backends.aliases import Function


class Slot(int):
    """The place of an index array: its number among the primitive's index arrays."""

    def __repr__(self) -> str:
        return f"array{int(self)}"


def _indexed(kernel: str, operands: int, plain: Function) -> Function:
    """A forward: the operands (x, or x and values), the index arrays, and the template.

    An index with arrays (or new axes) goes to the backend's kernel, if there is one: it finds what is out of bounds
    where the library's own indexing does not, and adds twice to an element named twice.
    """

    def forward(xp: ArrayModule, *given: Array, index: tuple[Index, ...]) -> Array:
        run, arrays = plain, given[operands:]
        if arrays or None in index:
            index = tuple(arrays[i] if isinstance(i, Slot) else i for i in index)
            run = backend_of(given[0]).kernels.get(kernel, plain)
        return run(xp, *given[:operands], index=index)

    return forward


def _get(xp: ArrayModule, x: Array, *, index: tuple[Index, ...]) -> Array:
    return x[index]


def _set(xp: ArrayModule, x: Array, values: Array, *, index: tuple[Index, ...]) -> Array:
    new = xp.asarray(x, copy=True)
    new[index] = values
    return new


def _add(xp: ArrayModule, x: Array, values: Array, *, index: tuple[Index, ...]) -> Array:
    new = xp.asarray(x, copy=True)
    new[index] += values
    return new


getitem_p = Primitive(
    "getitem", _indexed("index_get", 1, _get),
    vjp=lambda needed, g, y, x, *arrays, index: (
        index_add_p(zeros_like_p(x), g, *arrays, index=index), *(None for _ in arrays)),
    unread=(-1, 0),
    doc="x[index]",
)  # fmt: skip


def _add_vjp(
    needed: Sequence[bool], g: Value, y: Value, x: Value, values: Value, *arrays: Value, index: Index
) -> tuple[Value, ...]:
    to_values = getitem_p(g, *arrays, index=index) if needed[1] else None
    return g, to_values, *(None for _ in arrays)


index_add_p: Primitive = Primitive(
    "index_add_at",
    _indexed("index_add", 2, _add),
    vjp=_add_vjp,
    unread=(-1, 0, 1),
    doc="x with values added at an index; one named twice gets both",
)
numbered_p = Primitive(
    "numbered",
    lambda xp, x: xp.reshape(xp.arange(x.size, device=x.device), x.shape),
    doc="0, 1, 2, … in the shape of x",
)


def _update_vjp(
    needed: Sequence[bool], g: Value, y: Value, x: Value, values: Value, *arrays: Value, index: Index
) -> tuple[Value, ...]:
    from tapegrad.autograd.ops.elementwise import equal, where_p

    to_x = index_update_p(g, 0.0, *arrays, index=index) if needed[0] else None
    to_values = None
    if needed[1]:
        to_values = getitem_p(g, *arrays, index=index)
        if arrays:  # of several values written to one element the gradient goes to the one that stayed
            numbers = numbered_p(to_values)
            written = index_update_p(numbered_p(x), numbers, *arrays, index=index)
            to_values = where_p(equal(getitem_p(written, *arrays, index=index), numbers), to_values, 0.0)
    return to_x, to_values, *(None for _ in arrays)


index_update_p: Primitive = Primitive(
    "index_update",
    _indexed("index_set", 2, _set),
    vjp=_update_vjp,
    unread=(-1, 0, 1),
    doc="x with the values at an index replaced",
)


# ---- the public functions ----
def _slice_end(end: Value) -> int | None:
    if end is not None and not hasattr(end, "__index__"):
        raise IndexError(f"index: a slice holds integers or None, got {end!r}")
    return None if end is None else int(end.__index__())


def _index_array(part: Value, x: Value) -> Tensor:
    """An array that stands in an index, on x's device; an empty list is one of integers."""
    from tapegrad.autograd.creation import tensor

    if isinstance(part, Tensor):
        return part
    array = tensor(part, device=x.device)
    empty_list = array.size == 0 and not hasattr(part, "dtype")
    return tensor(part, dtype="int64", device=x.device) if empty_list else array


def template(x: Value, index: Index) -> tuple[tuple[Index, ...], list[Array]]:
    """Split an index into its template and its arrays (Tensors on x's device)."""
    parts: list[Index] = []
    arrays: list[Array] = []
    for part in index if isinstance(index, tuple) else (index,):
        if type(part) in BY_TYPE and not hasattr(part, "__len__"):  # a scalar of NumPy
            part = part.item()
        if isinstance(part, (slice, int, type(None), type(Ellipsis))) and not isinstance(part, bool):
            ends = (part.start, part.stop, part.step) if isinstance(part, slice) else ()
            parts.append(slice(*map(_slice_end, ends)) if ends else part)
            continue
        if isinstance(part, (str, bytes, dict, set)):
            raise IndexError(
                f"index: only integers, slices, None, ... and integer or boolean arrays, got {part!r}"
            )
        array = _index_array(part, x)
        if not str(array.dtype).rpartition(".")[2].startswith(("int", "uint", "bool")):
            raise IndexError(
                f"index: only integers, slices, None, ... and integer or boolean arrays, got {array.dtype}"
            )
        parts.append(Slot(len(arrays)))
        arrays.append(array)
    if not arrays and Ellipsis not in parts:
        parts.append(Ellipsis)
    return tuple(parts), arrays


def getitem(x: TensorLike, index: Index, /) -> Tensor:
    """x[index]. An index out of bounds raises IndexError, on every backend.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        index: Integers, slices, None, `...`, integer or boolean arrays, or a tuple of these.

    Raises:
        IndexError: The index is out of bounds, or of floats.
    """
    x = as_tensor(x)
    parts, arrays = template(x, index)
    return getitem_p(x, *arrays, index=parts)


def index_update(x: TensorLike, index: Index, values: TensorLike, /) -> Tensor:
    """A copy of x with x[index] replaced by values, which broadcast to x[index].

    Where an integer array names one element twice, one of the values stays (on NumPy the last), and only it gets the
    gradient.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        index: An index as for `getitem`.
        values: What to write, broadcast to x[index]: for an x of integers, integers or whole numbers. Tensors and
            arrays are cast to x's dtype as by NumPy's astype, which wraps integers around.

    Raises:
        TypeError: A tensor or an array of floats for integers.
        ValueError: A number with a fraction, or NaN, for integers.
        OverflowError: A number that x's dtype does not hold.
    """
    x = as_tensor(x)
    parts, arrays = template(x, index)
    return index_update_p(x, writable("index_update", x, values), *arrays, index=parts)


def index_add(x: TensorLike, index: Index, values: TensorLike, /) -> Tensor:
    """A copy of x with values added to x[index]; an element that an integer array names twice gets both.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        index: An index as for `getitem`.
        values: What to add, of no more general a kind than x's dtype: no floats to integers, no numbers to booleans.
            Broadcast to x[index] and cast to x's dtype.

    Raises:
        TypeError: Floats for integers, or numbers for booleans.
        OverflowError: A Python integer that x's dtype does not hold.
    """
    x = as_tensor(x)
    parts, arrays = template(x, index)
    if not is_floating(x.dtype):
        _refuse_general("index_add", x, values)
    return index_add_p(x, writable("index_add", x, values), *arrays, index=parts)


def _refuse_general(name: str, x: Tensor, values: Value) -> None:
    """Raise TypeError for values of a more general kind than x's: floats for integers, numbers for booleans."""
    given = as_tensor(values) if not isinstance(values, (bool, int, float)) else None
    kind = type(values).__name__ if given is None else name_of(given.dtype)
    own = name_of(x.dtype)
    if kind == "bool" or (own != "bool" and not kind.startswith("float")):
        return
    raise TypeError(
        f"{name}: values are {kind}, and the result keeps the dtype of x, {describe(x)}: convert x, or the values "
        f"with .astype({own!r})\n{user_line()}"
    )


def writable(name: str, x: Tensor, values: Value) -> Value:
    """What is to be written into x, in x's dtype; numbers stay numbers. Raises for what integers do not hold."""
    if type(values) in BY_TYPE and not hasattr(values, "__len__"):  # a scalar of NumPy
        values = values.item()
    if isinstance(values, (int, float)):
        if not is_floating(x.dtype):
            refuse_unheld(f"{name} of {describe(x)}", values, x.dtype)
        return values
    from tapegrad.autograd.creation import from_data

    integers = name_of(x.dtype).startswith(("int", "uint"))
    if not isinstance(values, Tensor):
        # Of lists each number is looked at, of arrays the dtype.
        numbers = integers and not hasattr(values, "dtype")
        values = from_data(name, values, x.dtype if numbers else None, x.device)
    if integers:
        _refuse_general(name, x, values)
    # Arrays of another backend stay as they are: the primitive refuses them.
    same = values.backend is not x.backend or values.dtype == x.dtype
    return values if same else values.astype(x.dtype)


def _integers(name: str, indices: Value, x: Tensor) -> Tensor:
    """The indices of take and take_along_axis, which is `name`."""
    array = _index_array(indices, x)
    kind = name_of(array.dtype)
    if not kind.startswith(("int", "uint")):
        remedy = "write x[mask] for a mask" if kind == "bool" else 'convert them with .astype("int64")'
        raise IndexError(f"{name}: indices must be integers, got {describe(array)}: {remedy}")
    return array


def _getitem_at(name: str, x: Tensor, indices: Tensor | int, axis: int, index: tuple[Index, ...]) -> Tensor:
    """x[index], where the indices stand for one axis. The error of one that is out of bounds is that of `name`."""
    try:
        return getitem(x, index)
    except IndexError:
        values, size = as_tensor(indices).detach().numpy(), x.shape[axis]
        outside = values[(values < -size) | (values >= size)]
        if not outside.size:
            raise
        raise IndexError(
            f"{name}: index {outside[0]} is out of bounds for axis {axis} of x, {describe(x)}: expected {-size} to "
            f"{size - 1}\n{user_line()}"
        ) from None


def take_along_axis(x: TensorLike, indices: TensorLike, /, axis: int = -1) -> Tensor:
    """y[..., i, ...] = x[..., indices[..., i, ...], ...] along `axis`; the other axes run together.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        indices: Integers, of as many axes as x.
        axis: The axis to take elements along.

    Raises:
        IndexError: An index is out of bounds, or no integer.
    """
    from tapegrad.autograd.filled import arange
    from tapegrad.autograd.ops.shape import one_axis

    x = as_tensor(x)
    indices = _integers("take_along_axis", indices, x)
    at = one_axis("take_along_axis", axis, x.ndim)
    others = [a for a in range(x.ndim) if a != at]
    if indices.ndim != x.ndim or any(
        indices.shape[a] != x.shape[a] and 1 not in (indices.shape[a], x.shape[a]) for a in others
    ):
        expected = ", ".join("any" if a == at else f"{n} or 1" for a, n in enumerate(x.shape))
        remedy = ": indices.expand_dims(axis) adds an axis" if indices.ndim < x.ndim else ""
        raise ValueError(
            f"take_along_axis: x of shape {x.shape} needs indices of shape ({expected}), got {indices.shape}{remedy}"
        )
    where = [
        indices if a == at
        else arange(n, device=x.device).reshape(tuple(n if b == a else 1 for b in range(x.ndim)))
        for a, n in enumerate(x.shape)
    ]  # fmt: skip
    return _getitem_at("take_along_axis", x, indices, at, tuple(where))


def take(x: TensorLike, indices: TensorLike, /, axis: int = 0) -> Tensor:
    """A copy of the slices of x at integer `indices` along `axis`, repeats allowed.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        indices: Integers, of any shape.
        axis: The axis to take slices of.

    Raises:
        IndexError: An index is out of bounds, or no integer.
    """
    from tapegrad.autograd.ops.shape import one_axis

    x = as_tensor(x)
    at = one_axis("take", axis, x.ndim)
    indices = indices if type(indices) is int else _integers("take", indices, x)
    taken = _getitem_at("take", x, indices, at, (slice(None),) * at + (indices,))
    # By a plain integer NumPy's indexing gives a view.
    return taken if isinstance(indices, Tensor) else recorded_copy(taken)


argsort_p = Primitive(
    "argsort", None, doc="the indices that sort x along an axis, ascending; equal elements keep their order"
)


def argsort(x: TensorLike, /, axis: int = -1, *, descending: bool = False) -> Tensor:
    """The indices that sort x along `axis`: int64, equal elements in their old order, NaN last.

    `take_along_axis(x, argsort(x))` is sort(x).

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: The axis to sort along.
        descending: Whether the largest comes first.
    """
    from tapegrad.autograd.ops.shape import flip, one_axis

    x = as_tensor(x)
    at = one_axis("argsort", axis, x.ndim)
    if not truth("argsort: descending", descending):
        return argsort_p(x, axis=at)
    # Sorted backwards and turned around, equal elements keep their order.
    return x.shape[at] - 1 - flip(argsort_p(flip(x, axis=at), axis=at), axis=at)


def sort(x: TensorLike, /, axis: int = -1, *, descending: bool = False) -> Tensor:
    """x in ascending order along `axis`, NaN last. The gradient goes to where each element came from.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        axis: The axis to sort along.
        descending: Whether the largest comes first.
    """
    x = as_tensor(x)
    from tapegrad.autograd.ops.shape import one_axis

    at = one_axis("sort", axis, x.ndim)
    return take_along_axis(x, argsort(x, at, descending=truth("sort: descending", descending)), axis=at)
