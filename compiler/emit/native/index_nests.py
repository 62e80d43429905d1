"""Reading, writing and adding at an index, the place of an extreme, and joins, as nests of loops.

An index is resolved to a view by its plain parts, which costs nothing at a call, and the axes of it that arrays index.
Index arrays are looked at in loops of their own before anything is read or written: one that is out of bounds stops the
call, and eager's run of it raises IndexError in NumPy's words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np

from tapegrad.autograd.ops.indexing import Slot as Numbered
from tapegrad.compiler.emit.native.elements import DTYPES, as_dtype, combined
from tapegrad.compiler.emit.native.forms import (
    Check,
    Folded,
    Index,
    Let,
    Load,
    Local,
    Loop,
    Nest,
    Place,
    Slot,
    Store,
    Take,
    Total,
    Value,
    choose,
    convert,
    named,
    nest_of,
    number,
)
from tapegrad.compiler.emit.native.nests import (
    copied,
    filled,
    loops,
    subscripts,
)
from tapegrad.compiler.emit.native.totals import reduced_axes, start, ufunc_of
from tapegrad.compiler.ir.operations import operation
from tapegrad.compiler.ir.program import Op, Shape, Var, chosen_by_mask, index_arrays, index_inputs

OUT_OF_BOUNDS = "index is out of bounds for axis {} with size {}"


class Arrays(Protocol):
    """What these nests need of the emitter. taken: the names of all arrays."""

    taken: set[str]

    def slot(self, v: Var) -> Slot:
        """The array of a Var."""

    def part(self, array: Slot, index: tuple[object, ...]) -> Slot:
        """A view of an array that stays."""

    def dense(self, v: Var) -> bool:
        """Whether its elements lie one after another."""


# ---- what can be done ----
def at_index(op: Op, arrays: Arrays) -> bool:
    """Whether an operation at an index is made as loops; else it is a call of NumPy."""
    given = op.inputs[op.operation.index_from or 1 :]
    if chosen_by_mask(op) or not all(v.size for v in (op.out, *op.vars)):
        return False
    if any(v.dtype.kind not in "iu" or not (arrays.dense(v) or v.kind == "constant") for v in given):
        return False  # of equal places in a transposed index array NumPy writes another one last
    if "index" not in op.params:
        return True
    if op.operation.index_from == 1:
        return bool(given)
    x, values = op.inputs[:2]
    dtype, other = named(x.dtype), named(values.dtype) if isinstance(values, Var) else named(x.dtype)
    alike = dtype in DTYPES and (dtype == other or (op.operation.over_first and other in DTYPES))
    return alike and prod(region_shape(op)) > 0


def region_shape(op: Op) -> Shape:
    """The shape of what an index chooses."""
    given = index_inputs(op)
    index = tuple(
        np.zeros(given[int(i)].shape, np.int64) if isinstance(i, Numbered) else i for i in op.params["index"]
    )
    return np.broadcast_to(np.int8(0), op.inputs[0].shape)[index].shape


# ---- an index ----
@dataclass
class Region:
    """What an index chooses of an array: the loops over it, what a turn of them begins with, and the place.

    repeats   whether a place may be chosen twice
    """

    shape: Shape
    indices: list[str]
    before: list[Any]
    place: Place
    by_arrays: set[str]

    def nest(self, statement: object, sequential: bool = False) -> list[Any]:
        """Loops over the region. sequential: one element after the other where an index array may name one twice."""
        lengths = [(i, n) for i, n in zip(self.indices, self.shape) if n != 1]
        body: list[Any] = [*self.before, statement]
        outermost = max((k + 1 for k, (i, _) in enumerate(lengths) if i in self.by_arrays), default=0)
        inside = [(i, n) for i, n in lengths[outermost:]]
        if inside:
            body = [*self.before, *loops(inside, [statement])]
        for k, (i, n) in reversed(list(enumerate(lengths[:outermost]))):
            last = k == len(lengths) - 1
            body = [Loop(i, n, body, last and not sequential)]
        return body


def region(op: Op, arrays: Arrays, array: Slot) -> Region:
    """What the index of an operation chooses of an array, of the shape of its first input."""
    template, given = op.params["index"], index_inputs(op)
    named = sum(i is not None and i is not Ellipsis for i in template)
    parts: list[Any] = []
    for i in template:
        parts += [slice(None)] * (len(array.shape) - named) if i is Ellipsis else [i]
    if Ellipsis not in template:
        parts += [slice(None)] * (len(array.shape) - named)
    view = arrays.part(array, tuple(slice(None) if isinstance(i, Numbered) else i for i in parts))
    shape = region_shape(op)
    names = [f"i{k}" if n != 1 else "0" for k, n in enumerate(shape)]
    broadcast = len(np.broadcast_shapes(*(v.shape for v in given)))
    first = first_of_arrays(parts) if given else 0
    of_arrays, others = names[first : first + broadcast], iter(names[:first] + names[first + broadcast :])
    before: list[Any] = []
    at: list[Any] = []
    for i in parts:
        if isinstance(i, Numbered):
            at.append(wrapped(given[int(i)], arrays, of_arrays, view.shape[len(at)], before))
        elif not isinstance(i, int):
            at.append(next(others))
    return Region(shape, names, before, Place(view, tuple(at)), set(of_arrays) - {"0"})


def first_of_arrays(parts: Sequence[Any]) -> int:
    """Where the axes of index arrays come in the result: where they are named, if they are side by side, else first."""
    places = [k for k, i in enumerate(parts) if isinstance(i, int)]  # numbers count as arrays
    side_by_side = places == list(range(places[0], places[-1] + 1))
    return sum(not isinstance(i, int) for i in parts[: places[0]]) if side_by_side else 0


def wrapped(v: Var, arrays: Arrays, indices: Sequence[str], length: int, before: list[object]) -> Value:
    """An index counted from the beginning."""
    array = arrays.slot(v)
    given = Local("int64", unused(f"{array.name}_at", arrays, before))
    before.append(Let(given, convert(Load(Place(array, subscripts(v.shape, indices))), "int64")))
    at = Local("int64", unused(f"{array.name}_from_0", arrays, before))
    before.append(Let(at, choose(given < 0, given + length, given)))
    return at


def unused(name: str, arrays: Arrays, before: Sequence[Any]) -> str:
    used = arrays.taken | {s.local.name for s in before}
    return next(n for n in (name, *(f"{name}_{k}" for k in range(2, len(used) + 3))) if n not in used)


# ---- checks ----
@dataclass(frozen=True)
class Bounds:
    """An index array, the axis and its length that it indexes, and the operation in words."""

    array: Slot
    axis: int
    length: int
    operation: str

    def error(self, found: Any) -> IndexError:
        """NumPy's, of an index array that has an element beyond the axis."""
        given = found.astype(np.int64)
        wrong = given[(given < -self.length) | (given >= self.length)]
        error = IndexError(f"index {wrong[0]} is out of bounds for axis {self.axis} with size {self.length}")
        error.add_note(f"in the program: {self.operation}")
        return error


def bounds_of(op: Op, arrays: Arrays) -> list[tuple[Var, Bounds]]:
    """The index arrays of an operation, and what is to be looked at."""
    checked, shape = index_arrays(op), op.inputs[0].shape
    if "index" not in op.params:
        axis = op.params["axis"] % len(shape)
        return [(v, Bounds(arrays.slot(v), axis, shape[axis], str(op))) for v in checked]
    template = op.params["index"]
    named = sum(i is not None and i is not Ellipsis for i in template)
    given, found, axis = index_inputs(op), [], 0
    for i in template:
        if isinstance(i, Numbered) and given[int(i)] in checked:
            v = given[int(i)]
            found.append((v, Bounds(arrays.slot(v), axis, shape[axis], str(op))))
        axis += len(shape) - named if i is Ellipsis else i is not None
    return found


def bounds_check(bounds: Bounds, arrays: Arrays) -> Nest:
    """Stops the call unless all elements of an index array are within the bounds of its axis."""
    array, length = bounds.array, bounds.length
    names = [f"i{k}" if n != 1 else "0" for k, n in enumerate(array.shape)]
    at = convert(Load(Place(array, tuple(names))), "int64")
    given = Local("int64", unused(f"{array.name}_at", arrays, []))
    inside = (given < length) & (given >= -length)
    message = OUT_OF_BOUNDS.format(bounds.axis, length)
    lengths = [(i, n) for i, n in zip(names, array.shape) if n != 1]
    if not lengths:
        return nest_of([Let(given, at), Check(inside, message, "IndexError")])
    total = Total(
        unused(f"{array.name}_inside", arrays, []),
        "bool",
        number(True, "bool"),
        lambda a, b: a & b,
        "logical_and",
    )
    body = loops(lengths, [Let(given, at), Take(total, inside)])
    return nest_of([total, *body, Check(Folded(total), message, "IndexError")])


# ---- the operations ----
def taken(op: Op, arrays: Arrays) -> Nest:
    """x[index]."""
    out = arrays.slot(op.out)
    chosen = region(op, arrays, arrays.slot(op.inputs[0]))
    return nest_of(chosen.nest(Store(Place(out, tuple(chosen.indices)), Load(chosen.place))))


def changed(op: Op, arrays: Arrays, add: bool) -> Nest:
    """Values written, or added, at an index of the result, which is a copy of the first input (`started`) by then."""
    out = arrays.slot(op.out)
    chosen = region(op, arrays, out)
    if isinstance(values := op.inputs[1], Var):
        at = Place(arrays.slot(values), subscripts(values.shape, chosen.indices))
        value = as_dtype(Load(at), out.dtype)
    else:
        value = number(values, out.dtype)
    if add:
        held = Load(chosen.place)
        value = held | value if out.dtype == "bool" else held + value
    repeats = add and bool(chosen.by_arrays)
    return nest_of(chosen.nest(Store(chosen.place, value), sequential=repeats))


def started(op: Op, arrays: Arrays) -> Nest:
    """The result before it is changed: nothing is left to do where the first input ends here and gave it its memory."""
    x, out = op.inputs[0], arrays.slot(op.out)
    if (uniform := x.uniform()) is not None and out.dtype in DTYPES:
        return nest_of(filled(out, number(uniform, out.dtype)))
    source = arrays.slot(x)
    return nest_of([] if source == out else copied(out, source))


def along(op: Op, arrays: Arrays) -> Nest:
    """The elements of x at an index array of as many axes, over one axis."""
    x, given = op.inputs
    source, axis = arrays.slot(x), op.params["axis"] % x.ndim
    names = [f"i{k}" if n != 1 else "0" for k, n in enumerate(op.out.shape)]
    before: list[Any] = []
    where = wrapped(given, arrays, names, x.shape[axis], before)
    at: list[Any] = list(subscripts(x.shape, names))
    at[axis] = where
    store = Store(Place(arrays.slot(op.out), tuple(names)), Load(Place(source, tuple(at))))
    return nest_of(loops([(i, n) for i, n in zip(names, op.out.shape) if n != 1], [*before, store]))


def has_place(op: Op) -> bool:
    """Whether it asks for the place of an extreme that loops find; else it is a call of NumPy."""
    if not op.operation.extreme:
        return False
    x = op.vars[0]
    return named(x.dtype) in DTYPES and x.size > 0 and named(op.out.dtype) == "int64"


def first_place(op: Op, arrays: Arrays) -> Nest:
    """Where the first of the largest, or smallest, elements is; a NaN counts as such. The extreme, then its place."""
    x = op.vars[0]
    axes, keep = reduced_axes(op), bool(op.params.get("keepdims"))
    names = [f"i{k}" if n != 1 else "0" for k, n in enumerate(x.shape)]
    at = ["0" if k in axes else i for k, i in enumerate(names) if keep or k not in axes]
    out, place = Place(arrays.slot(op.out), tuple(at)), Place(arrays.slot(x), tuple(names))
    lengths = [(k in axes, i, n) for k, (i, n) in enumerate(zip(names, x.shape)) if n != 1]
    inner = [(i, n) for reduced, i, n in lengths if reduced]
    body: list[Any] = [Store(out, number(0, "int64"))]
    if inner:
        body = extreme_then_place(op, arrays, place, inner, out)
    for _, i, n in reversed([kept for kept in lengths if not kept[0]]):
        body = [Loop(i, n, body)]
    return nest_of(body)


def extreme_then_place(
    op: Op, arrays: Arrays, place: Place, inner: list[tuple[str, int]], out: Place
) -> list[Any]:
    dtype = place.array.dtype if place.array.dtype != "bool" else "uint8"
    row = operation(op.operation.extreme)
    count = prod(n for _, n in inner)
    names = (unused(f"{op.out.name}_{what}", arrays, []) for what in ("extreme", "found", "first", "x"))
    extreme, found, first, element = names
    best = Total(extreme, dtype, start(row, dtype), combined(row), ufunc_of(row))
    x, top = Local(dtype, element), Local(dtype, found)
    position: Any = None
    for i, n in inner:
        position = Index(i) if position is None else position * n + Index(i)
    earliest = Total(first, "int64", number(count, "int64"), lambda a, b: choose(a < b, a, b), "minimum")
    let = Let(x, convert(Load(place), dtype))
    same = (x == top) | (x != x)
    return [
        best, *loops(inner, [let, Take(best, x)]), Let(top, Folded(best)),
        earliest, *loops(inner, [let, Take(earliest, choose(same, position, count))]),
        Store(out, Folded(earliest)),
    ]  # fmt: skip


def joined(op: Op, arrays: Arrays) -> Nest:
    """The inputs, one behind the other: each is copied into its part of the result."""
    out, axis, begin = arrays.slot(op.out), op.params["axis"] % op.out.ndim, 0
    body: list[Any] = []
    for v in op.vars:
        end = begin + v.shape[axis]
        if v.size:
            index = (*(slice(None),) * axis, slice(begin, end))
            body += copied(arrays.part(out, index), arrays.slot(v))
        begin = end
    return nest_of(body)
