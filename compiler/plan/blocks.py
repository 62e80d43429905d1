"""Which operations run in one loop: runs of elementwise ones over one shape, with the reductions that end them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program, Var

# What can take a number where it would else take a 0-d array.
TAKES_NUMBERS = (Kind.ELEMENTWISE, Kind.WRITE, Kind.GUARD)


@dataclass
class Block:
    """Operations that are emitted together. A loop has a shape; anything else is one operation by itself."""

    ops: list[Op]
    shape: tuple[int, ...] | None = None  # of the loop
    inner: set[Var] = field(default_factory=set)  # made and used up inside: they need no memory


def blocks(
    program: Program,
    numbers: bool = False,
    reductions: bool = True,
    alone: Callable[[Op], bool] = lambda op: False,
) -> list[Block]:
    """The program cut into blocks, in order.

    Views are moved in front of a loop that does not make what they show, and a reduction back into the loop that makes
    what it reduces, so that nothing is read again for it.

    numbers      0-d results that only other loops use count as inner: they are plain variables, not arrays
    reductions   whether they run in loops, too; else each is an operation by itself
    alone        the elementwise operations that the target cannot put into a loop
    """
    found: list[Block] = []
    loop: Block | None = None
    maker: dict[Var, Block] = {}  # of what a loop makes element by element
    reduced: set[Var] = set()  # by the open loop's reductions

    def close() -> None:
        nonlocal loop
        if loop is not None:
            found.append(loop)
        loop = None
        reduced.clear()

    for op in program.ops:
        if op.kind is Kind.VIEW:
            if loop is not None and any(maker.get(v) is loop or v in reduced for v in op.vars):
                close()
            found.append(Block([op]))  # a loop that is still open comes after it
            continue
        reduces = reductions and op.kind is Kind.REDUCTION
        if reduces and (made := maker.get(op.vars[0])) is not None:
            made.ops.append(op)
            if made is loop:
                reduced.add(op.out)
            continue
        elementwise = op.kind is Kind.ELEMENTWISE and not alone(op)
        shape = op.out.shape if elementwise else op.vars[0].shape if reduces else None
        joins = (
            shape is not None and loop is not None and shape == loop.shape and elementwise
            and not any(v in reduced for v in op.vars)
        )  # fmt: skip
        if not joins:
            close()
        if shape is None:
            found.append(Block([op]))
            continue
        if loop is None:
            loop = Block([], shape)
        loop.ops.append(op)
        if elementwise:
            maker[op.out] = loop
        else:
            reduced.add(op.out)
    close()
    mark_inner(program, found, numbers)
    return found


def mark_inner(program: Program, found: list[Block], numbers: bool) -> None:
    """Find what is used in the loop that makes it and nowhere else."""
    kept = set(program.kept())
    users: dict[Var, list[Op]] = {}
    for op in program.ops:
        for v in op.vars:
            users.setdefault(v, []).append(op)
    for block in found:
        if block.shape is None:
            continue
        here = {id(op) for op in block.ops}
        for op in block.ops:
            using = users.get(op.out, [])
            inside = op.kind is Kind.ELEMENTWISE and all(id(u) in here for u in using)
            number = numbers and not op.out.shape and all(u.kind in TAKES_NUMBERS for u in using)
            if op.out not in kept and (inside or number):
                block.inner.add(op.out)
