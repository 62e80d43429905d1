"""Blocks as nests of loops: elementwise operations, and the reductions that end them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any, Protocol, TypeVar

from tapegrad.backends.sums import MANY
from tapegrad.compiler.emit.native.elements import as_dtype, combined, element
from tapegrad.compiler.emit.native.forms import (
    Applied,
    Called,
    Check,
    Let,
    Load,
    Local,
    Loop,
    Nest,
    Place,
    Slot,
    Store,
    Take,
    Value,
    convert,
    named,
    nest_of,
    number,
)
from tapegrad.compiler.emit.native.pairs import corrected, rounding_error
from tapegrad.compiler.emit.native.totals import (
    adds_floats,
    come_to,
    extreme,
    finished,
    loses,
    reduced_axes,
    start,
    totals_of,
    wide,
)
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Shape, Var
from tapegrad.compiler.ir.windows import layout_of, slices_of
from tapegrad.compiler.plan.blocks import Block

T = TypeVar("T")


class Arrays(Protocol):
    """What a nest needs of the emitter. taken: the names of all arrays."""

    taken: set[str]

    def name(self, v: Var) -> str:
        """What the array of a Var is called."""

    def dense(self, v: Var) -> bool:
        """Whether its elements lie one after another."""

    def row(self, v: Var) -> str:
        """The name of the array as one row."""

    def part(self, array: Slot, index: tuple[object, ...]) -> Slot:
        """A view of an array that stays."""

    def made(self, expression: str, wanted: str) -> str:
        """The name of an array of its own that stays."""


def slot_of(v: Var, flat: bool, arrays: Arrays) -> Slot:
    """A Var's array, or the row of its elements."""
    if flat:
        return Slot(arrays.row(v), named(v.dtype), (v.size,))
    return Slot(arrays.name(v), named(v.dtype), v.shape)


def subscripts(shape: Shape, indices: Sequence[str]) -> tuple[str, ...]:
    """The place of the element of a broadcast array for the indices of the result: it has its last axes alone, and
    one of length 1 stays at 0."""
    own = indices[len(indices) - len(shape) :] if shape else ()
    return tuple("0" if n == 1 else i for n, i in zip(shape, own))


class Nester:
    """Makes the nest of one block.

    before, after   statements at the start and at the end of a turn at each depth; `body`, of the innermost loop
    first, last     nests before and after all: results of reductions that are added up in memory
    shape           of what its loops go through, if it is not all of the block
    """

    def __init__(self, block: Block, arrays: Arrays, shape: Shape | None = None) -> None:
        assert block.shape is not None
        self.block, self.arrays = block, arrays
        self.flat = shape is None and self.is_flat()
        self.shape: Shape = shape or ((prod(block.shape),) if self.flat else block.shape)
        self.indices = [f"i{k}" if n != 1 else "0" for k, n in enumerate(self.shape)]
        self.lengths = [(f"i{k}", n) for k, n in enumerate(self.shape) if n != 1]
        depth = len(self.lengths)
        self.before: list[list[Any]] = [[] for _ in range(depth + 1)]
        self.after: list[list[Any]] = [[] for _ in range(depth + 1)]
        self.first: list[Any] = []
        self.last: list[Any] = []
        self.local: dict[Var, Value] = {}
        self.loaded: dict[Place, Value] = {}
        self.slots: dict[tuple[Var, bool], Slot] = {}
        self.names: set[str] = set()  # of what the nest lets
        self.nest = Nest()
        self.op = block.ops[0]

    def put(self, statements: list[object], statement: object) -> None:
        """A statement of the operation at hand."""
        statements.append(self.own(statement))

    def own(self, statement: T) -> T:
        self.nest.ops[statement] = self.op
        return statement

    def made(self) -> Nest:
        for op in self.block.ops:
            self.op = op
            if op.kind is Kind.ELEMENTWISE:
                self.elementwise(op)
            elif op.kind is Kind.SPREAD:
                self.spread(op)
            else:
                self.reduction(op)
        body: list[Any] = []
        for depth in range(len(self.lengths), -1, -1):
            body = [*self.before[depth], *body, *self.after[depth]]
            if depth:
                index, length = self.lengths[depth - 1]
                body = [Loop(index, length, body, depth == len(self.lengths))]
        self.nest.body = [*self.first, *body, *self.last]
        return self.nest

    def is_flat(self) -> bool:
        """Whether all arrays are alike, so that one index is enough."""
        if any(op.kind is Kind.SPREAD for op in self.block.ops):
            return False
        shape, dense = self.block.shape, self.arrays.dense
        alike = all(
            (v.shape == shape and dense(v)) or v.ndim == 0 or v in self.block.inner
            for op in self.block.ops if op.kind is Kind.ELEMENTWISE for v in (*op.vars, op.out)
        )  # fmt: skip
        whole = all(
            op.params.get("axis") is None and (dense(op.vars[0]) or op.vars[0] in self.block.inner)
            for op in self.block.ops if op.kind is not Kind.ELEMENTWISE
        )  # fmt: skip
        return sum(n != 1 for n in shape or ()) > 1 and alike and whole

    # ---- names and places ----
    def unique(self, name: str) -> str:
        found, count = name, 1
        while found in self.names or found in self.arrays.taken:
            count += 1
            found = f"{name}_{count}"
        self.names.add(found)
        return found

    def slot(self, v: Var, flat: bool) -> Slot:
        array = self.slots[v, flat] = slot_of(v, flat, self.arrays)
        self.nest.arrays.setdefault(array)
        return array

    def place(self, v: Var) -> Place:
        flat = self.flat and v.ndim > 0 and v.size > 1
        array = self.slot(v, flat)
        return Place(array, ("i0",) if flat else subscripts(v.shape, self.indices))

    # ---- elements ----
    def value(self, v: object) -> Any:
        """A Var's element; a number as it is."""
        if not isinstance(v, Var):
            return v
        if v in self.local:
            return self.local[v]
        if (uniform := v.uniform()) is not None and v.dtype.kind in "fiub":
            return number(uniform, named(v.dtype))
        place = self.place(v)
        if place not in self.loaded:
            order = [i for i, _ in self.lengths]
            depth = max((order.index(str(i)) + 1 for i in place.at if i in order), default=0)
            name = v.name if v.name != place.array.name else f"{v.name}_value"
            local = Local(named(v.dtype), self.unique(name))
            self.put(self.before[depth], Let(local, Load(place)))
            self.loaded[place] = local
        return self.loaded[place]

    def elementwise(self, op: Op) -> None:
        value = element(op, [self.value(v) for v in op.inputs])
        if not isinstance(value, Local):
            local = Local(value.dtype, self.unique(op.out.name))
            self.put(self.before[-1], Let(local, value))
            value = local
        self.local[op.out] = value
        if op.out not in self.block.inner:
            self.put(self.before[-1], Store(self.place(op.out), value))

    def spread(self, op: Op) -> None:
        """Each input goes to its part of the result. It is added to zero, which makes -0 a 0."""
        for v, index in zip(op.vars, slices_of(layout_of(op.params))):
            part = self.arrays.part(slot_of(op.out, False, self.arrays), index)
            self.nest.arrays.setdefault(part)
            at = tuple(self.indices)
            self.put(self.before[-1], Store(Place(part, at), number(0, part.dtype) + self.value(v)))

    # ---- reductions ----
    def reduction(self, op: Op) -> None:
        value, out = self.taken(op), named(op.out.dtype)
        axes = reduced_axes(op)
        reduced = [self.flat or int(i[1:]) in axes for i, _ in self.lengths]
        depth = next((k for k in range(len(reduced) + 1) if all(reduced[k:])), 0)
        count = op.vars[0].size // max(op.out.size, 1) if op.operation.mean else 0
        place = self.place_of_result(op, axes)
        if depth < len(self.lengths):
            local = Local(wide(op), self.unique(f"{op.out.name}_value"))
            self.put(self.after[depth], Let(local, self.totalled(op, depth, value)))
            value = local
        into = self.after[depth] if depth < len(self.lengths) else self.before[-1]
        if any(reduced[:depth]):
            outside = prod(n for (_, n), away in zip(self.lengths[:depth], reduced) if away)
            self.added_in_memory(op, into, place, value, count, outside)
        else:
            self.put(into, Store(place, finished(value, count, out)))

    def added_in_memory(
        self, op: Op, into: list[Any], place: Place, value: Value, count: int, turns: int
    ) -> None:
        """A result to whose elements something is added in so many turns of the loops outside: of MANY, in an array of
        its own, as wide as totals are, and what float64 loses in another one."""
        combine, out, target = combined(op.operation), named(op.out.dtype), place.array
        lost: Slot | None = None
        if turns >= MANY and adds_floats(op):
            target = self.scratch(op, f"{op.out.name}_total")
            lost = self.scratch(op, f"{op.out.name}_lost") if loses(op) else None
        held: Value = Load(replace(place, array=target))
        if isinstance(value, Applied) and value.name == "convert" and value.args[0].dtype == target.dtype:
            value = value.args[0]  # as it was before it was widened
        value = convert(value, target.dtype)
        if lost is not None:
            local = Local(held.dtype, self.unique(f"{op.out.name}_held"))
            self.put(into, Let(local, held))
            held, at = local, replace(place, array=lost)
            error = Called(held.dtype, "rounding_error", (held, value), rounding_error)
            self.put(into, Store(at, Load(at) + error))
        self.put(into, Store(replace(place, array=target), combine(held, value)))
        begin = start(op.operation, target.dtype)
        for array in filter(None, (target, lost)):
            self.first += over_elements(array, lambda at: self.own(Store(at, begin)))
        if count or target is not place.array:
            # Of a conversion LLVM leaves idle lanes to chance, and what overflows there would be told.
            by_vectors = target.dtype == out
            self.last += over_elements(
                target, lambda at: self.own(self.come_to(at, place.array, lost, count)), by_vectors
            )

    def come_to(self, at: Place, result: Slot, lost: Slot | None, count: int) -> Store:
        """What is left of an element that was added up in memory."""
        total: Value = Load(at)
        if lost is not None:
            total = Called(total.dtype, "corrected", (total, Load(replace(at, array=lost))), corrected)
        return Store(replace(at, array=result), finished(total, count, result.dtype))

    def scratch(self, op: Op, name: str) -> Slot:
        dtype = wide(op)
        array = Slot(self.arrays.made(f"np.empty({op.out.shape}, {dtype!r})", name), dtype, op.out.shape)
        self.nest.arrays.setdefault(array)
        return array

    def totalled(self, op: Op, depth: int, value: Value, exact: bool = True) -> Value:
        """What the values of the loops from a depth on come to, behind these."""
        count = prod(n for _, n in self.lengths[depth:]) if exact else 1
        totals = totals_of(op, op.out.name, self.unique, count)
        for total in totals:
            self.put(self.before[depth], total)
        self.put(self.before[-1], Take(totals[-1], value))
        return come_to(totals[-1])

    def taken(self, op: Op) -> Value:
        """What a total takes in of an element."""
        value: Value = self.value(op.vars[0])
        if isinstance(op.operation.identity, bool):
            value = value if value.dtype == "bool" else value != 0
        elif not extreme(op):
            value = convert(value, named(op.out.dtype))
        return convert(value, wide(op))

    def place_of_result(self, op: Op, axes: frozenset[int]) -> Place:
        keep = bool(op.params.get("keepdims"))
        if self.flat:
            at = ["0"] * op.out.ndim
        else:
            at = ["0" if k in axes else i for k, i in enumerate(self.indices) if keep or k not in axes]
        return Place(self.slot(op.out, False), tuple(at))


def over_elements(array: Slot, statement: Callable[[Place], Any], by_vectors: bool = True) -> list[Any]:
    """A nest of its own over an array."""
    indices = [f"j{k}" if n != 1 else "0" for k, n in enumerate(array.shape)]
    lengths = [(i, n) for i, n in zip(indices, array.shape) if n != 1]
    return loops(lengths, [statement(Place(array, tuple(indices)))], by_vectors)


def loops(lengths: Sequence[tuple[str, int]], body: list[Any], by_vectors: bool = True) -> list[Any]:
    for n, (index, length) in enumerate(reversed(lengths)):
        body = [Loop(index, length, body, by_vectors and n == 0)]
    return body


def filled(target: Slot, value: Value | None = None, source: Slot | None = None) -> list[Any]:
    """`target[...] = value`, or an element of a source that is broadcast, converted to its dtype."""
    indices = [f"i{k}" if n != 1 else "0" for k, n in enumerate(target.shape)]
    lengths = [(i, n) for i, n in zip(indices, target.shape) if n != 1]
    if source is not None:
        value = as_dtype(Load(Place(source, subscripts(source.shape, indices))), target.dtype)
    assert value is not None
    return loops(lengths, [Store(Place(target, tuple(indices)), value)])


def copied(target: Slot, source: Slot) -> list[Any]:
    return filled(target, source=source)


def checked(array: Slot, expected: bool, message: str) -> Nest:
    """Stops a call unless an element of no axes is as it was when it was recorded."""
    value: Value = Load(Place(array, ("0",) * len(array.shape)))
    test = value if array.dtype == "bool" else value != 0
    return nest_of([Check(test if expected else ~test, message)])
