"""Reductions of all elements of a large block, in chunks that threads may share.

    for i0 in range(chunks):         a nest that is cut along its outermost loop
        partial[i0] = …
    result = … of partial            a nest of its own, which also takes the elements behind the last whole chunk

How long a chunk is depends on the program alone, so that the bits are those of any number of threads.
"""

from math import prod
from typing import Protocol

from tapegrad.compiler.emit.native.forms import (
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
    named,
)
from tapegrad.compiler.emit.native.nests import (
    Arrays,
    Nester,
    subscripts,
)
from tapegrad.compiler.emit.native.totals import come_to, finished, reduced_axes, totals_of, wide
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Shape, Var
from tapegrad.compiler.plan.blocks import Block

# From so many elements on; elements of a chunk, at most where these are several rows; how many chunks there must be.
LARGE, CHUNK, FEWEST = 1 << 15, 1 << 12, 8


class Definer(Arrays, Protocol):
    """What chunks need of the emitter, besides."""

    def defined(self, expression: str, wanted: str) -> str:
        """The name of an array that stays, which equal expressions share."""

    def unused(self, name: str) -> str:
        """The name, with a number if an array has it."""


class Chunks(Nester):
    """The nest of all whole chunks, or of the rows behind these.

    partials   reduction -> where its partial results go
    flat       the rows are single elements, and the block one long array
    start      the first row
    depth      how many loops are outside of what makes one partial result
    """

    def __init__(
        self,
        block: Block,
        arrays: Definer,
        partials: dict[Op, Slot],
        flat: bool,
        start: int,
        depth: int,
        shape: Shape,
    ) -> None:
        super().__init__(block, arrays, shape)
        self.definer, self.partials, self.start, self.depth = arrays, partials, start, depth
        self.one_array = flat

    def place(self, v: Var) -> Place:
        if v.size == 1:
            return Place(self.slot(v, False), ("0",) * v.ndim)
        assert self.block.shape is not None
        if not self.one_array and (v.ndim < len(self.block.shape) or v.shape[0] == 1):
            return super().place(v)
        name, shape = (self.arrays.row(v), (v.size,)) if self.one_array else (self.arrays.name(v), v.shape)
        lead = self.shape[: self.depth + 1]
        own = (*lead, *shape[1:])
        view = f"{name}[{self.start}:{self.start + prod(lead)}]" + (f".reshape({own})" if self.depth else "")
        array = Slot(self.definer.defined(view, f"{name}_chunks"), named(v.dtype), own)
        self.nest.arrays.setdefault(array)
        return Place(array, subscripts(own, self.indices))

    def reduction(self, op: Op) -> None:
        value: Value = self.taken(op)
        if len(self.lengths) > self.depth:
            value = self.totalled(op, self.depth, value, exact=False)  # the errors of many chunks even out
        self.nest.arrays.setdefault(self.partials[op])
        place = Place(self.partials[op], (self.indices[0] if self.depth else "0",))
        self.put(self.after[self.depth], Store(place, value))


def in_chunks(block: Block, arrays: Definer) -> list[Nest]:
    """The nests of a block, if it is large and reduces all elements, and nothing else; else none."""
    reductions = [op for op in block.ops if op.kind is Kind.REDUCTION]
    if any(op.kind is Kind.SPREAD for op in block.ops):
        return []
    shape = block.shape or ()
    size = prod(shape)
    whole = all(
        op.vars[0].size == size == prod(op.vars[0].shape[a] for a in reduced_axes(op)) for op in reductions
    )
    if not reductions or not whole or size < LARGE:
        return []
    flat = alike(block, arrays)
    lead, tail = (size, ()) if flat else (shape[0], shape[1:])
    rows = max(1, CHUNK * lead // size)
    count, rest = divmod(lead, rows)
    if count < FEWEST:
        return []
    partials = {op: partial_of(op, count + (rest > 0), arrays) for op in reductions}
    first = Chunks(block, arrays, partials, flat, 0, 1, (count, rows, *tail)).made()
    end = Nest()
    if rest:
        last = {
            op: Slot(arrays.defined(f"{p.name}[{count}:]", f"{p.name}_last"), p.dtype, (1,))
            for op, p in partials.items()
        }
        end = Chunks(block, arrays, last, flat, count * rows, 0, (rest, *tail)).made()
    for n, (op, partial) in enumerate(partials.items()):
        result = Slot(arrays.name(op.out), named(op.out.dtype), op.out.shape)
        combine(end, op, partial, result, f"{op.out.name}_whole", f"j{n}", arrays)
    return [first, end]


def alike(block: Block, arrays: Arrays) -> bool:
    """Whether all arrays are of the block's shape and dense, or one number: then one index is enough."""
    return all(
        (v.shape == block.shape and arrays.dense(v)) or v.size == 1 or v in block.inner
        for op in block.ops
        for v in (op.vars if op.kind is Kind.REDUCTION else (*op.vars, op.out))
    )


def partial_of(op: Op, count: int, arrays: Definer) -> Slot:
    name = arrays.made(f"np.empty(({count},), {wide(op)!r})", f"{op.out.name}_partial")
    return Slot(name, wide(op), (count,))


def combine(nest: Nest, op: Op, partial: Slot, result: Slot, name: str, index: str, arrays: Definer) -> None:
    """Statements at the end of a nest: the result of partial results, in their order."""
    totals, value = totals_of(op, name, arrays.unused, partial.shape[0]), Local(wide(op), f"{name}_value")
    count = op.vars[0].size if op.operation.mean else 0
    store = Store(Place(result, ("0",) * len(result.shape)), finished(value, count, result.dtype))
    take = Take(totals[-1], Load(Place(partial, (index,))))
    let = Let(value, come_to(totals[-1]))
    nest.body += [*totals, Loop(index, partial.shape[0], [take], True), let, store]
    nest.ops.update(dict.fromkeys((*totals, take, let, store), op))
    nest.arrays.update(dict.fromkeys((partial, result)))
