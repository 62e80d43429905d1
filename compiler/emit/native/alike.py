"""Blocks that differ in their arrays alone, as those of a network's layers and of a recurrence's steps: one nest serves
all of them, and the others' are made when somebody wants to read them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tapegrad.compiler.emit.native.forms import Nest, Slot, Store, named
from tapegrad.compiler.emit.native.index_nests import Bounds
from tapegrad.compiler.emit.native.nests import Arrays, Nester, slot_of
from tapegrad.compiler.emit.native.signatures import signature
from tapegrad.compiler.emit.native.walks import statements
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Var
from tapegrad.compiler.ir.spelling import may_be_long
from tapegrad.compiler.plan.blocks import Block

# Of what repr shows all.
PLAIN = (bool, int, float, str, tuple, np.dtype, np.generic, type(None))


@dataclass
class Shared:
    """A nest, and what calls of it have in common."""

    nest: Nest

    @cached_property
    def signature(self) -> object:
        return signature(self.nest)

    @cached_property
    def stored(self) -> list[int]:
        """Which of its arrays it writes to."""
        written = {s.place.array for s, _ in statements(self.nest.body) if isinstance(s, Store)}
        return [k for k, slot in enumerate(self.nest.arrays) if slot in written]


@dataclass
class Loops:
    """A call of a nest's function, on arrays in the order of the nest's.

    shared   its nest, or one that is alike
    make     makes its own, with the names of its arrays
    bounds   what it looks at, if it stops the call at an index out of bounds
    """

    shared: Shared
    arrays: list[Slot]
    make: Callable[[], Nest]
    ops: list[Op]
    bounds: Bounds | None = None

    @cached_property
    def nest(self) -> Nest:
        return self.make()

    def stored(self) -> list[Slot]:
        """The arrays that it writes to."""
        return [self.arrays[k] for k in self.shared.stored]


def loops_of(nest: Nest, ops: list[Op], bounds: Bounds | None = None) -> Loops:
    """The call of a nest that no other shares."""
    return Loops(Shared(nest), list(nest.arrays), lambda: nest, ops, bounds)


@dataclass
class Alike:
    """The nest of the first of some blocks, and its arrays: (number of a Var, whether as a row) of each."""

    shared: Shared
    asked: list[tuple[int, bool]]


@dataclass
class Nests:
    """Makes the nests of blocks, one for all that are alike."""

    arrays: Arrays
    found: dict[object, Alike] = field(default_factory=dict)

    def of(self, block: Block) -> Loops:
        """The call of a block."""
        made = Block(list(block.ops), block.shape, block.inner)
        if any(op.kind is Kind.SPREAD or (op.kind is Kind.REDUCTION and may_be_long(op)) for op in block.ops):
            return loops_of(Nester(made, self.arrays).made(), block.ops)  # with arrays of its own
        key, numbers = likeness(made, self.arrays)
        if key not in self.found:
            nester = Nester(made, self.arrays)
            call = loops_of(nester.made(), block.ops)
            asked = {slot: (numbers[v], flat) for (v, flat), slot in nester.slots.items()}
            self.found[key] = Alike(call.shared, [asked[slot] for slot in call.arrays])
            return call
        alike, own = self.found[key], list(numbers)
        slots = [slot_of(own[n], flat, self.arrays) for n, flat in alike.asked]
        return Loops(alike.shared, slots, lambda: Nester(made, self.arrays).made(), block.ops)


def likeness(block: Block, arrays: Arrays) -> tuple[object, dict[Var, int]]:
    """(what blocks that are alike have in common, the Vars in the order in which they appear)."""
    numbers: dict[Var, int] = {}
    names: dict[str, int] = {}

    def described(v: object) -> object:
        if not isinstance(v, Var):
            return (type(v), repr(v)) if isinstance(v, PLAIN) else (id(v), v)
        if v in numbers:
            return numbers[v]
        numbers[v] = len(numbers)
        about = named(v.dtype), v.shape
        if v in block.inner:
            return about
        if (uniform := v.uniform()) is not None and v.dtype.kind in "fiub":
            return *about, arrays.dense(v), repr(uniform)
        return *about, arrays.dense(v), names.setdefault(arrays.name(v), len(names))

    ops = []
    for op in block.ops:
        params = [(name, described(x)) for name, x in op.params.items()]
        ops.append((op.name, *map(described, op.inputs), described(op.out), *params))
    return (block.shape, *ops), numbers
