"""What loops do better than calls."""

from tapegrad.compiler.ir.program import Op, Program, Var
from tapegrad.compiler.passes.rewriting import rewrite


def expand_for_loops(program: Program) -> Program:
    """The program with products over one term as multiplications, and `clip` as `maximum` and `minimum`."""
    return rewrite(program, rule)


def rule(op: Op, new: Program) -> Op | Var:
    if op.name == "matmul" and op.out.ndim == 2:
        x = op.vars[0]
        if x.ndim == 2 and x.shape[1] == 1 and x.dtype.kind == "f":
            return Op("multiply", op.inputs, {}, op.out, op.origin)
    if op.name == "clip" and op.out.dtype == op.vars[0].dtype:
        return clipped(op, new)
    return op


def clipped(op: Op, new: Program) -> Op:
    x, low, high, out = op.vars[0], op.params.get("min"), op.params.get("max"), op.out
    if low is not None and high is not None:
        above = Var(f"{out.name}_low", out.shape, out.dtype)
        new.ops.append(Op("maximum", [x, low], {}, above, op.origin))
        return Op("minimum", [above, high], {}, out, op.origin)
    name, bound = ("maximum", low) if high is None else ("minimum", high)
    return Op(name, [x, bound], {}, out, op.origin)
