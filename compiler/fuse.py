"""Which operations run in one loop: runs of elementwise ones over one shape, with the reductions that end them."""

from dataclasses import dataclass, field

from tapegrad.compiler.program import ELEMENTWISE, VIEWS, Op, Program, Var

REDUCTIONS = frozenset({"sum", "mean", "max", "min", "prod", "any", "all"})


@dataclass
class Block:
    """Operations that are emitted together. A loop has a shape; anything else is one operation by itself."""

    ops: list[Op]
    shape: tuple[int, ...] | None = None  # of the loop
    inner: set[Var] = field(default_factory=set)  # made and used up inside: they need no memory


def blocks(program: Program) -> list[Block]:
    """The program cut into blocks, in order. Views are moved in front of a loop that does not make what they show."""
    found: list[Block] = []
    loop: Block | None = None
    made: set[Var] = set()  # in the open loop
    reduced: set[Var] = set()  # by the open loop's reductions

    def close() -> None:
        nonlocal loop
        if loop is not None:
            found.append(loop)
        loop = None
        made.clear()
        reduced.clear()

    for op in program.ops:
        if op.name in VIEWS:
            if loop is not None and any(v in made or v in reduced for v in op.vars):
                close()
            found.append(Block([op]))  # a loop that is still open comes after it
            continue
        shape = (
            op.out.shape if op.name in ELEMENTWISE else op.vars[0].shape if op.name in REDUCTIONS else None
        )
        joins = (
            shape is not None and loop is not None and shape == loop.shape and not any(v in reduced for v in op.vars)
            and (op.name in ELEMENTWISE or op.vars[0] in made)
        )  # fmt: skip
        if not joins:
            close()
        if shape is None:
            found.append(Block([op]))
            continue
        if loop is None:
            loop = Block([], shape)
        loop.ops.append(op)
        (made if op.name in ELEMENTWISE else reduced).add(op.out)
    close()
    mark_inner(program, found)
    return found


def mark_inner(program: Program, found: list[Block]) -> None:
    """Find what is used in the loop that makes it and nowhere else."""
    kept = set(program.kept())
    users: dict[Var, list[Op]] = {}
    for op in program.ops:
        for v in op.vars:
            users.setdefault(v, []).append(op)
    for block in found:
        if block.shape is not None:
            here = {id(op) for op in block.ops}
            block.inner = {
                op.out for op in block.ops
                if op.name in ELEMENTWISE and op.out not in kept and all(id(u) in here for u in users.get(op.out, []))
            }  # fmt: skip
