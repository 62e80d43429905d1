"""Constant folding."""

from typing import Any

import numpy as np

from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program, Var
from tapegrad.compiler.passes.rewriting import rewrite


def fold_constants(program: Program) -> Program:
    """The program with the results of operations on constants as constants, and constants that are one number as that
    number."""
    return rewrite(program, fold)


def fold(op: Op, _: Program) -> Op | Var:
    if not op.operation.effect and all(not isinstance(i, Var) or i.kind == "constant" for i in op.inputs):
        values = [i.value if isinstance(i, Var) else i for i in op.inputs]
        value = np.asarray(op.operation.evaluate(values, op.params, np))
        if op.kind is Kind.VIEW and not value.flags.c_contiguous and 0 not in value.strides:
            return op  # a constant is written down in the order of its axes, in which NumPy's products add up otherwise
        constant = Var(op.out.name, op.out.shape, op.out.dtype, "constant", value)
        # A view that was broadcast; not what the recorder keeps in one element to save memory.
        of_view = op.name == "broadcast_to" or (op.kind is Kind.VIEW and not all(v.dense for v in op.vars))
        constant.dense = not (of_view and 0 in value.strides)
        return constant
    if op.kind is Kind.ELEMENTWISE and len(op.inputs) > 1:
        return with_number(op)
    return op


def with_number(op: Op) -> Op:
    """The operation with one constant as a number where the others give the same shape and dtype."""
    inputs = op.inputs
    untyped = op.operation.typed_from  # so many inputs at the front have a dtype of their own
    for i in range(untyped, len(inputs)):
        x = inputs[i]
        value = x.uniform() if isinstance(x, Var) else None
        if value is None or not np.isfinite(value):
            continue
        others = [v for j, v in enumerate(inputs) if j != i and isinstance(v, Var)]
        typed = [v for v in others if v not in inputs[:untyped]]
        same_dtype = any(v.dtype == x.dtype for v in typed) or (
            bool(untyped) and x.dtype.kind == "f" and not typed
        )
        if same_dtype and others and broadcast_shape(others) == op.out.shape:
            # One operand stays an array and gives the dtype.
            return Op(op.name, [*inputs[:i], value, *inputs[i + 1 :]], op.params, op.out, op.origin)
    return op


def broadcast_shape(inputs: list[Any]) -> tuple[int, ...]:
    """The shape of the arrays among the inputs, broadcast together."""
    shapes = {v.shape for v in inputs if isinstance(v, Var)}
    return shapes.pop() if len(shapes) == 1 else np.broadcast_shapes(*shapes)
