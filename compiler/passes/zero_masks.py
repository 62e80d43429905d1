"""Choices against zero, by bits."""

import numpy as np

from tapegrad.backends.numpy_backend import BITS
from tapegrad.compiler.ir.program import Op, Program, Var
from tapegrad.compiler.passes.rewriting import rewrite

MANY = 512  # elements; from here on two calls on bits are faster than np.where


def mask_by_bits(program: Program) -> Program:
    """The program with `where(condition, x, 0)` of many elements as `and_bits(x, mask_bits(condition))`, on bits.

    np.where branches at each element, and takes longer the less the processor can guess."""
    return rewrite(program, rule)


def rule(op: Op, new: Program) -> Op | Var:
    if op.name != "where":
        return op
    condition, x, zero = op.inputs
    if isinstance(zero, Var) or repr(zero) not in ("0", "0.0") or not isinstance(x, Var):
        return op
    if not isinstance(condition, Var) or condition.dtype.kind != "b":
        return op
    if not condition.shape == x.shape == op.out.shape or x.size < MANY:
        return op
    if x.dtype != op.out.dtype or x.dtype.kind != "f" or x.dtype.itemsize not in BITS:
        return op
    bits = Var(f"{condition.name}_bits", condition.shape, np.dtype("int8"))
    new.ops.append(Op("mask_bits", [condition], {}, bits, op.origin))
    return Op("and_bits", [x, bits], {}, op.out, op.origin)
