"""Where each array of a program lives: in a buffer that is made once and used again and again.

A result goes, in this order: straight into the captured array that it is about to be written to; into its part of the
array that it is about to be joined to; into the buffer of an input that is used here for the last time (elementwise
operations alone); into a buffer of the same shape and dtype that nobody needs any more; into a new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tapegrad.compiler.ir.program import ELEMENTWISE, VIEWS, Op, Program, Var, is_check
from tapegrad.compiler.plan.blocks import Block


@dataclass
class Plan:
    """buffers: the arrays to make once. home: the buffer, or captured array, of a Var. pieces: the loops and calls that
    are left to be emitted."""

    buffers: list[Var] = field(default_factory=list)
    home: dict[Var, Var] = field(default_factory=dict)
    parts: dict[Var, tuple[Var, int, int]] = field(
        default_factory=dict
    )  # Var -> its range in a joined 1-d array
    skipped: set[int] = field(default_factory=set)  # ids of operations that have nothing left to do
    pieces: int = 0

    @property
    def nbytes(self) -> int:
        return sum(b.nbytes for b in self.buffers)

    def new(self, like: Var) -> Var:
        self.buffers.append(Var(f"buffer_{len(self.buffers) + 1}", like.shape, like.dtype))
        return self.buffers[-1]


def bases(program: Program) -> dict[Var, Var]:
    """The Var whose memory each view looks into."""
    base: dict[Var, Var] = {}
    for op in program.ops:
        if op.name in VIEWS:
            source = op.vars[0]
            base[op.out] = base.get(source, source)
    return base


class Planner:
    """Gives every Var of a program its place. Operations of one block run in one loop, element by element.

    fresh    the operations whose results are made anew at each call
    """

    def __init__(self, program: Program, blocks: Sequence[Block], fresh: frozenset[str]) -> None:
        self.program, self.blocks, self.fresh = program, blocks, fresh
        self.base = bases(program)
        self.inner = {v for block in blocks for v in block.inner}
        self.ops = [op for block in blocks for op in block.ops]
        self.position = {id(op): at for at, op in enumerate(self.ops)}
        self.maker = {op.out: op for op in self.ops}
        self.block_of = {id(op): n for n, block in enumerate(blocks) for op in block.ops}
        self.last: dict[Var, int] = {}  # the last block that reads a Var's memory
        for op in self.ops:
            for v in op.vars:
                self.last[self.of(v)] = self.block_of[id(op)]
        for v in program.kept():
            self.last[self.of(v)] = len(blocks)
        self.plan = Plan()

    def of(self, v: Var) -> Var:
        return self.base.get(v, v)

    def run(self) -> Plan:
        for op in self.ops:
            if op.name == "write":
                self.into_captured(op)
        for op in self.ops:
            if op.name == "concat" and len(op.out.shape) == 1:
                self.into_joined(op)
        free: dict[tuple[tuple[int, ...], str], list[Var]] = {}
        owner: dict[Var, Var] = {}  # buffer -> the Var that is in it now
        for n, block in enumerate(self.blocks):
            for op in block.ops:
                if not self.needs_buffer(op):
                    continue
                key = (op.out.shape, str(op.out.dtype))
                dying = next(
                    (v for v in self.read_so_far(op, block) if self.ends_here(v, op, n, owner)), None
                )
                if dying is not None:
                    buffer = self.plan.home[dying]
                else:
                    buffer = free[key].pop() if free.get(key) else self.plan.new(op.out)
                self.plan.home[op.out] = buffer
                owner[buffer] = op.out
            for v in {self.of(v) for op in block.ops for v in (*op.vars, op.out)}:
                home = self.plan.home.get(v)
                if home is not None and owner.get(home) is v and self.last.get(v, n) <= n:
                    del owner[home]
                    free.setdefault((home.shape, str(home.dtype)), []).append(home)
        idle = {id(op) for op in self.ops if op.name in VIEWS} | self.plan.skipped
        self.plan.pieces = sum(any(id(op) not in idle for op in block.ops) for block in self.blocks)
        return self.plan

    def needs_buffer(self, op: Op) -> bool:
        out = op.out
        placed = out in self.plan.home or out in self.plan.parts or out in self.inner
        return op.name not in VIEWS and op.name not in self.fresh and op.name != "write" and not placed

    def read_so_far(self, op: Op, block: Block) -> list[Var]:
        """What an elementwise operation may put its result in place of: its own inputs, then others of its loop."""
        if op.name not in ELEMENTWISE:
            return []
        return list(dict.fromkeys(v for o in (op, *block.ops) for v in o.vars))

    def ends_here(self, v: Var, op: Op, n: int, owner: dict[Var, Var]) -> bool:
        """Whether the result may take the place of v: v has the same shape, its buffer is its own, nothing reads it
        after this operation, and nothing in this loop through a view, which would look at other elements."""
        home = self.plan.home.get(v)
        at = self.position[id(op)]
        return (
            self.of(v) is v and home is not None and owner.get(home) is v and self.last.get(v) == n
            and (v.shape, v.dtype) == (op.out.shape, op.out.dtype)
            and not any(
                self.of(u) is v and (u is not v or self.position[id(o)] > at)
                for o in self.blocks[n].ops for u in o.vars
            )
        )  # fmt: skip

    def into_captured(self, op: Op) -> None:
        """A result that is only written to a captured array is made there, if nothing reads what was there later on."""
        target, value = op.inputs
        source = self.maker.get(value)
        if (
            source is None
            or self.of(value) is not value
            or value in self.plan.home
            or value in self.inner
            or value in self.program.kept()
        ):
            return
        if source.name not in ELEMENTWISE or source.name in self.fresh:
            return
        block, at, until = self.block_of[id(source)], self.position[id(source)], self.position[id(op)]
        later = [o for o in self.ops[at + 1 : until] if self.block_of[id(o)] != block]
        together = self.blocks[block].ops
        after_it = [o for o in self.ops[at + 1 : until] if self.block_of[id(o)] == block]

        def same_place(v: Var) -> bool:
            # One of the same span may still be the target transposed, or reversed.
            alike = v.name == target.name or (v.dense and target.dense)
            return not self.of(v).overlaps(target) or (
                alike and (v.shape, v.span) == (target.shape, target.span)
            )

        if (
            self.last.get(value) == self.block_of[id(op)]
            and not any(is_check(o) for o in later)
            and all(same_place(v) for o in together for v in o.vars)
            and not any(self.of(v).overlaps(target) for o in (*later, *after_it) for v in o.vars)
        ):
            self.plan.home[value] = target
            self.plan.skipped.add(id(op))

    def into_joined(self, op: Op) -> None:
        """Parts of a 1-d concatenation that are made for it alone are made in their place."""
        made, kept = self.maker, self.program.kept()
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
                or source.name in self.fresh
                or source.name in ("write", "concat")
            ):
                return
            todo.append((home, start, start + v.size))
            start += v.size
        if len({h for h, _, _ in todo}) == len(todo):
            for home, a, b in todo:
                self.plan.parts[home] = (op.out, a, b)
            self.plan.home[op.out] = self.plan.new(op.out)
            self.plan.skipped.add(id(op))
            alone = [v for v in op.vars if v not in kept and sum(v in o.vars for o in self.ops) == 1]
            self.plan.skipped |= {id(made[v]) for v in alone if made[v].name in VIEWS}
