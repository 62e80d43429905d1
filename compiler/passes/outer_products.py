"""Products of a column and a row, which are no sums."""

from tapegrad.compiler.ir.program import Op, Program, Var
from tapegrad.compiler.passes.rewriting import rewrite


def spread_outer_products(program: Program) -> Program:
    """The program with products of matrices over one term as multiplications, which become part of the loops around."""
    return rewrite(program, rule)


def rule(op: Op, new: Program) -> Op | Var:
    if op.name == "matmul" and op.out.ndim == 2:
        x = op.vars[0]
        if x.ndim == 2 and x.shape[1] == 1 and x.dtype.kind == "f":
            return Op("multiply", op.inputs, {}, op.out, op.origin)
    return op
