"""Large arrays that are needed for less long."""

from itertools import accumulate

from tapegrad.compiler.ir.memory import bases
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program, Var

LARGE = 1 << 20  # bytes; below it, memory is not worth a loop that is cut in two


def shorten_lifetimes(program: Program) -> Program:
    """The program in an order in which large arrays are needed for less long.

    Single elements are picked from an array right after it is made. A large matrix product whose result waits for an
    elementwise operation is made right before that: what is read in between for the last time makes room for it, as
    the activations do for the gradient that they mask.
    """
    return program.with_ops(late_products(early_picks(program.ops)))


def early_picks(ops: list[Op]) -> list[Op]:
    """Each `take_along_axis` right after its inputs, or after the last write or guard before it."""
    made_at: dict[Var, int] = {}  # Var -> the position after which it is there
    after: dict[int, list[Op]] = {}
    effect = -1
    for at, op in enumerate(ops):
        if op.name == "take_along_axis":
            ready = max([effect, *(made_at[v] for v in op.vars if v in made_at)])
            after.setdefault(ready, []).append(op)
            made_at[op.out] = ready
        else:
            made_at[op.out] = at
            if op.kind in (Kind.WRITE, Kind.GUARD):
                effect = at
    if not after:
        return ops
    new = list(after.get(-1, ()))
    for at, op in enumerate(ops):
        new += [op] * (op.name != "take_along_axis")
        new += after.get(at, ())
    return new


def late_products(ops: list[Op]) -> list[Op]:
    """Each large `matmul` right before the operation that reads it first, if nothing is kept for longer by that."""
    large = {at for at, op in enumerate(ops) if op.name == "matmul" and op.out.nbytes >= LARGE}
    if not large:
        return ops
    base = bases(ops)
    first: dict[Var, int] = {}  # the first reader of each
    last: dict[Var, int] = {}  # the last reader of each one's memory
    for at, op in enumerate(ops):
        for v in op.vars:
            first.setdefault(v, at)
            last[base.get(v, v)] = at
    writes = list(accumulate((op.kind is Kind.WRITE for op in ops), initial=0))
    before: dict[int, list[Op]] = {}
    for at in sorted(large):
        op = ops[at]
        until = first.get(op.out, at)
        inputs = {base.get(v, v) for v in op.vars}
        if (
            ops[until].kind is Kind.ELEMENTWISE
            and writes[at] == writes[until]
            and all(v.kind != "made" or last[v] > at for v in inputs)
        ):
            before.setdefault(until, []).append(op)
            for v in inputs:
                last[v] = max(last[v], until)
        else:
            large.discard(at)
    new: list[Op] = []
    for at, op in enumerate(ops):
        new += before.get(at, ())
        new += [op] * (at not in large)
    return new
