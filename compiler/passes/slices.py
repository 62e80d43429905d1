"""Gradients of slices, added into what they are added to."""

from collections import Counter

from tapegrad.compiler.ir.memory import Spans, bases, written
from tapegrad.compiler.ir.program import Op, Program, Var, index_inputs


def add_into_slices(program: Program) -> Program:
    """The program with `add(total, add_at(0, x, slice))` as `add_at(total, x, slice)`: it touches the slice alone.

    Only without index arrays: of values for one element, the first two would be added in another order.
    """
    base, targets = bases(program.ops), Spans(written(program))
    uses = Counter(v for op in program.ops for v in op.vars)
    uses.update(program.kept())
    slices: dict[Var, Op] = {}
    absorbed: set[int] = set()
    new: list[Op] = []
    for op in program.ops:
        if op.name == "add_at" and uses[op.out] == 1 and not index_inputs(op) and only_values(op):
            if not any(targets.overlap(base.get(v, v)) for v in op.vars):
                slices[op.out] = op
        elif op.name == "add":
            for total, part in (op.inputs, op.inputs[::-1]):
                if isinstance(total, Var) and part in slices and like(total, op.out) and like(part, op.out):
                    absorbed.add(id(slices[part]))
                    values = slices[part].inputs[1:]
                    op = Op("add_at", [total, *values], slices[part].params, op.out, op.origin)
                    break
        new.append(op)
    return program.with_ops([op for op in new if id(op) not in absorbed])


def only_values(op: Op) -> bool:
    """Whether the values are added to nothing."""
    x = op.inputs[0]
    return isinstance(x, Var) and x.uniform() == 0 and x.dtype.kind == "f"


def like(v: Var, out: Var) -> bool:
    return (v.shape, v.dtype) == (out.shape, out.dtype)
