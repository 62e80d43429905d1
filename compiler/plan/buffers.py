"""Where each array of a program lives: in a buffer that is made once and used again and again.

A result goes, in this order: straight into the captured array that it is about to be written to; into its part of the
array that it is about to be joined to; into the buffer of an input that is used here for the last time (elementwise
operations, and those that change some elements of the first input); into a buffer of the same shape and dtype that
nobody needs any more; into a new one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from tapegrad.compiler.ir.memory import bases
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program, Var
from tapegrad.compiler.plan.blocks import Block
from tapegrad.compiler.plan.reads import CapturedReads, Dying, Layout, layout_of, same_elements


@dataclass
class Plan:
    """buffers: the arrays to make once. home: the buffer, or captured array, of a Var. pieces: the loops and calls that
    are left to be emitted."""

    buffers: list[Var] = field(default_factory=list)
    home: dict[Var, Var] = field(default_factory=dict)
    # Var -> its range in a joined 1-d array.
    parts: dict[Var, tuple[Var, int, int]] = field(default_factory=dict)
    skipped: set[int] = field(default_factory=set)  # ids of operations that have nothing left to do
    pieces: int = 0

    @property
    def nbytes(self) -> int:
        return sum(b.nbytes for b in self.buffers)

    def new(self, like: Var) -> Var:
        name = f"buffer_{len(self.buffers) + 1}"
        self.buffers.append(Var(name, like.shape, like.dtype, order=like.order, laid_out=like.laid_out))
        return self.buffers[-1]


class Planner:
    """Gives every Var of a program its place. Operations of one block run in one loop, element by element.

    Every question about the program is answered from an index that is made once: planning takes time in proportion to
    the operations.

    fresh    the operations whose results are made anew at each call
    """

    def __init__(self, program: Program, blocks: Sequence[Block], fresh: frozenset[str]) -> None:
        self.program, self.blocks, self.fresh = program, blocks, fresh
        self.kept = set(program.kept())
        self.base = bases(program.ops)
        self.inner = {v for block in blocks for v in block.inner}
        self.ops = [op for block in blocks for op in block.ops]
        self.position = {id(op): at for at, op in enumerate(self.ops)}
        self.maker = {op.out: op for op in self.ops}
        self.block_of = {id(op): n for n, block in enumerate(blocks) for op in block.ops}
        self.uses = Counter(chain.from_iterable(set(op.vars) for op in self.ops))
        self.last: dict[Var, int] = {}  # the last block that reads a Var's memory
        for n, block in enumerate(blocks):
            self.last |= {self.of(v): n for op in block.ops for v in op.vars}
        for v in program.kept():
            self.last[self.of(v)] = len(blocks)
        self.reads = CapturedReads(self.ops, self.base)
        self.plan = Plan()

    def of(self, v: Var) -> Var:
        return self.base.get(v, v)

    def run(self) -> Plan:
        for op in self.ops:
            if op.kind is Kind.WRITE:
                self.into_captured(op)
        for op in self.ops:
            if op.kind is Kind.JOIN and len(op.out.shape) == 1:
                self.into_joined(op)
        self.place_results()
        idle = {id(op) for op in self.ops if op.kind is Kind.VIEW} | self.plan.skipped
        self.plan.pieces = sum(any(id(op) not in idle for op in block.ops) for block in self.blocks)
        return self.plan

    def place_results(self) -> None:
        """Give a buffer to each result that has none, block by block."""
        free: dict[Layout, list[Var]] = {}
        owner: dict[Var, Var] = {}  # buffer -> the Var that is in it now
        for n, block in enumerate(self.blocks):
            dying = Dying(self, n, owner)
            for op in block.ops:
                if self.needs_buffer(op):
                    kind = layout_of(op.out)
                    replaced = dying.replaced_by(op)
                    if replaced is not None:
                        buffer = self.plan.home[replaced]
                    else:
                        buffer = free[kind].pop() if free.get(kind) else self.plan.new(op.out)
                    self.plan.home[op.out] = buffer
                    owner[buffer] = op.out
                dying.advance(op)
            for v in dict.fromkeys([self.of(v) for op in block.ops for v in (*op.vars, op.out)]):
                home = self.plan.home.get(v)
                if home is not None and owner.get(home) is v and self.last.get(v, n) <= n:
                    del owner[home]
                    free.setdefault(layout_of(home), []).append(home)

    def needs_buffer(self, op: Op) -> bool:
        out = op.out
        placed = out in self.plan.home or out in self.plan.parts or out in self.inner
        return (
            op.kind is not Kind.VIEW
            and op.name not in self.fresh
            and op.kind is not Kind.WRITE
            and not placed
        )

    def into_captured(self, op: Op) -> None:
        """A result that is only written to a captured array is made there, if nothing reads what was there later on."""
        target, value = op.inputs
        source = self.maker.get(value)
        if (
            source is None
            or self.of(value) is not value
            or value in self.plan.home
            or value in self.inner
            or value in self.kept
            or source.kind is not Kind.ELEMENTWISE
            or source.name in self.fresh
            or not source.operation.in_place
            or value.order != target.order
            or self.last.get(value) != self.block_of[id(op)]
        ):
            return
        made, written = self.position[id(source)], self.position[id(op)]
        block = self.blocks[self.block_of[id(source)]]
        start, end = self.position[id(block.ops[0])], self.position[id(block.ops[-1])] + 1
        if self.reads.checks_between(max(made + 1, end), written):
            return
        if self.reads.between(target, made + 1, written):  # it would see the new elements
            return
        if all(same_elements(v, target) for v, _ in self.reads.between(target, start, end)):
            self.plan.home[value] = target
            self.plan.skipped.add(id(op))

    def into_joined(self, op: Op) -> None:
        """Parts of a 1-d concatenation that are made for it alone are made in their place."""
        made = self.maker
        start, todo = 0, []
        for v in op.vars:
            home = self.of(v)
            source = made.get(home)
            whole = v is home or (made[v].name == "reshape" and made[v].vars[0] is home)
            taken = home in self.plan.home or home in self.plan.parts or home in self.inner
            if (
                source is None
                or not whole
                or taken
                or home.order is not None
                or source.name in self.fresh
                or source.kind in (Kind.WRITE, Kind.JOIN)
            ):
                return
            todo.append((home, start, start + v.size))
            start += v.size
        if len({h for h, _, _ in todo}) == len(todo):
            for home, a, b in todo:
                self.plan.parts[home] = (op.out, a, b)
            self.plan.home[op.out] = self.plan.new(op.out)
            self.plan.skipped.add(id(op))
            alone = [v for v in op.vars if v not in self.kept and self.uses[v] == 1]
            self.plan.skipped |= {id(made[v]) for v in alone if made[v].kind is Kind.VIEW}
