"""When the operations of a program read which memory: indexes that the planner asks."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tapegrad.compiler.ir.memory import Spans
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Var, is_check

if TYPE_CHECKING:
    from tapegrad.compiler.plan.buffers import Planner

# The shape, dtype and orders in memory of an array: what a buffer can hold.
Layout: TypeAlias = tuple[tuple[int, ...], np.dtype, tuple[int, ...] | None, tuple[int, ...] | None]


def layout_of(v: Var) -> Layout:
    return v.shape, v.dtype, v.order, v.laid_out


class CapturedReads:
    """Where in a list of operations captured arrays are read, also through views, and where a check may stop a call."""

    def __init__(self, ops: Sequence[Op], base: Mapping[Var, Var]) -> None:
        self.base = base
        # Captured array -> (positions, what is read there).
        self.read: dict[Var, tuple[list[int], list[Var]]] = {}
        self.checks = [at for at, op in enumerate(ops) if is_check(op)]
        for at, op in enumerate(ops):
            for v in op.vars:
                source = base.get(v, v)
                if source.kind == "captured":
                    positions, read = self.read.setdefault(source, ([], []))
                    positions.append(at)
                    read.append(v)
        self.spans = Spans(self.read)

    def between(self, target: Var, start: int, end: int) -> list[tuple[Var, Var]]:
        """What the operations from `start` to before `end` read of the memory of `target`: pairs of a Var and the
        captured array it looks into."""
        found = []
        for source in self.spans.overlapping(target):
            positions, read = self.read[source]
            first, last = bisect_left(positions, start), bisect_left(positions, end)
            found += [(v, source) for v in read[first:last]]
        return found

    def checks_between(self, start: int, end: int) -> bool:
        """Whether an operation from `start` to before `end` may stop the call."""
        return bisect_left(self.checks, start) < bisect_left(self.checks, end)


def same_elements(v: Var, target: Var) -> bool:
    """Whether v, of the same memory as the captured array, has each element where `target` has it. One of the same span
    may still be the target transposed, or reversed."""
    alike = v.name == target.name or (v.dense and target.dense)
    return alike and (v.shape, v.span) == (target.shape, target.span)


class Dying:
    """What a block reads for the last time, as it becomes free within the block: an elementwise result may take the
    place of its own inputs, and of what no later operation of its loop reads."""

    def __init__(self, planner: "Planner", block: int, owner: Mapping[Var, Var]) -> None:
        self.planner, self.owner = planner, owner
        self.final: dict[Var, Op] = {}  # what this block is the last to read -> the last operation that does
        looked_into: set[Var] = set()  # through a view, which sees other elements
        for op in planner.blocks[block].ops:
            for v in op.vars:
                source = planner.of(v)
                if source is not v:
                    looked_into.add(source)
                elif planner.last.get(v) == block:
                    self.final[v] = op
        for v in looked_into:
            self.final.pop(v, None)
        self.free: dict[Layout, list[Var]] = {}

    def holds_its_buffer(self, v: Var) -> bool:
        home = self.planner.plan.home.get(v)
        return home is not None and self.owner.get(home) is v

    def replaced_by(self, op: Op) -> Var | None:
        """The Var whose buffer the result of an operation takes, if it can take one's."""
        if op.kind is not Kind.ELEMENTWISE:
            once = op.operation.over_first and op.vars.count(first := op.vars[0]) == 1
            return first if once and self.ends_with(first, op) else None
        for v in op.vars if op.operation.in_place else ():
            if self.ends_with(v, op):
                return v
        free = self.free.get(layout_of(op.out), [])
        while free:
            v = free.pop()
            if self.holds_its_buffer(v):
                return v
        return None

    def ends_with(self, v: Var, op: Op) -> bool:
        """Whether an operation reads what is in a buffer of its result's layout for the last time."""
        return layout_of(v) == layout_of(op.out) and self.final.get(v) is op and self.holds_its_buffer(v)

    def advance(self, op: Op) -> None:
        """The operation is done: what it read last is free for those after it."""
        for v in dict.fromkeys(op.vars):
            if self.final.get(v) is op and self.holds_its_buffer(v):
                self.free.setdefault(layout_of(v), []).append(v)
