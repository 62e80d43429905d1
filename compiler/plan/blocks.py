"""Which operations run in one loop: runs of elementwise ones over one shape, with the reductions that end them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program, Var


@dataclass
class Block:
    """Operations that are emitted together. A loop has a shape; anything else is one operation by itself."""

    ops: list[Op]
    shape: tuple[int, ...] | None = None  # of the loop
    inner: set[Var] = field(default_factory=set)  # made and used up inside: they need no memory


def blocks(
    program: Program,
    reductions: bool = True,
    alone: Callable[[Op], bool] = lambda op: False,
    cost: Callable[[Op], int] = lambda op: 0,
    most: int = 0,
) -> list[Block]:
    """The program cut into blocks, in order.

    Views are moved in front of a loop that does not make what they show, and a reduction back into the loop that makes
    what it reduces, so that nothing is read again for it.

    reductions   whether they run in loops, too; else each is an operation by itself
    alone        the elementwise operations and reductions that the target cannot put into a loop
    cost, most   what an operation adds to the text of a loop, and what a loop of several has at most: a compiler's
                 time grows faster than the text of one function
    """
    cutter = Cutter(reductions, alone, cost, most)
    for op in program.ops:
        cutter.take(op)
    cutter.close()
    mark_inner(program, cutter.blocks)
    return cutter.blocks


class Cutter:
    """Takes the operations of a program one after another; `blocks` are those that are complete."""

    def __init__(
        self, reductions: bool, alone: Callable[[Op], bool], cost: Callable[[Op], int], most: int
    ) -> None:
        self.reductions, self.alone, self.cost, self.most = reductions, alone, cost, most
        self.text = 0  # of the open loop
        self.blocks: list[Block] = []
        self.loop: Block | None = None  # that further operations may join
        self.maker: dict[Var, Block] = {}  # of what a loop makes element by element
        self.reduced: set[Var] = set()  # made by the open loop, not element by element

    def close(self) -> None:
        if self.loop is not None:
            self.blocks.append(self.loop)
        self.loop = None
        self.reduced.clear()

    def take(self, op: Op) -> None:
        if op.kind is Kind.VIEW:
            if self.loop is not None and any(
                self.maker.get(v) is self.loop or v in self.reduced for v in op.vars
            ):
                self.close()
            self.blocks.append(Block([op]))  # a loop that is still open comes after it
            return
        if op.kind is Kind.SPREAD and self.reductions:
            self.put(op)
            return
        reduces = self.reductions and op.kind is Kind.REDUCTION and not self.alone(op)
        if reduces and (made := self.maker.get(op.vars[0])) is not None:
            made.ops.append(op)
            if made is self.loop:
                self.reduced.add(op.out)
            return
        elementwise = op.kind is Kind.ELEMENTWISE and not self.alone(op)
        if elementwise or reduces:
            self.into_loop(op, elementwise)
        else:
            self.close()
            self.blocks.append(Block([op]))

    def put(self, op: Op) -> None:
        """Put what spreads elements into the open loop, which makes them, or begin one with it."""
        if self.loop is None or self.loop.shape != op.vars[0].shape:
            self.close()
            self.loop, self.text = Block([], op.vars[0].shape), 0
        self.loop.ops.append(op)
        self.reduced.add(op.out)

    def into_loop(self, op: Op, elementwise: bool) -> None:
        """Put an operation into the open loop, or begin one with it."""
        shape = op.out.shape if elementwise else op.vars[0].shape
        joins = elementwise and self.loop is not None and shape == self.loop.shape
        cost = self.cost(op)
        if not joins or self.text + cost > self.most > 0 or any(v in self.reduced for v in op.vars):
            self.close()
        if self.loop is None:
            self.loop, self.text = Block([], shape), 0
        self.text += cost
        self.loop.ops.append(op)
        if elementwise:
            self.maker[op.out] = self.loop
        else:
            self.reduced.add(op.out)


def mark_inner(program: Program, found: list[Block]) -> None:
    """Find what is used in the loop that makes it and nowhere else."""
    loops = [block for block in found if block.shape is not None]
    maker = {op.out: block for block in loops for op in block.ops}
    elsewhere = {v for block in found for op in block.ops for v in op.vars if maker.get(v) is not block}
    kept = set(program.kept())
    for block in loops:
        for op in block.ops:
            if op.kind is Kind.ELEMENTWISE and op.out not in elsewhere and op.out not in kept:
                block.inner.add(op.out)
