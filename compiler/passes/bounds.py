"""Divisions that bound what is divided, and change it in the rarest cases only."""

from tapegrad.compiler.ir.memory import Spans, bases, written
from tapegrad.compiler.ir.program import Op, Program, Var
from tapegrad.compiler.passes.rewriting import rewrite


def skip_bounds(program: Program) -> Program:
    """The program with g / maximum(|g| * c, 1) as `bounded(g, c)`, which asks once for all elements whether it is g:
    one pass over the memory for the four of the formula."""
    made: dict[object, Op] = {}
    base, targets = bases(program.ops), Spans(written(program))

    def rule(op: Op, new: Program) -> Op | Var:
        made[op.out] = op
        factor = factor_of(op, made) if op.name == "divide" else None
        # The result may be g itself: what g holds must stay.
        steady = factor is not None and not targets.overlap(base.get(op.vars[0], op.vars[0]))
        return op if not steady else Op("bounded", [op.inputs[0], factor], {}, op.out, op.origin)

    return rewrite(program, rule)


def factor_of(op: Op, made: dict[object, Op]) -> Var | None:
    """The c of g / maximum(|g| * c, 1), for a row g of floats and a number c."""
    g, largest = op.inputs
    maximum = made.get(largest)
    if not isinstance(g, Var) or g.ndim != 1 or g.dtype.char not in "fd" or g.dtype != op.out.dtype:
        return None
    if maximum is None or maximum.name != "maximum" or repr(maximum.inputs[1]) not in ("1", "1.0"):
        return None
    scaled = made.get(maximum.inputs[0])
    if scaled is None or scaled.name != "multiply":
        return None
    size, c = made.get(scaled.inputs[0]), scaled.inputs[1]
    if size is None or size.name != "abs" or size.inputs[0] is not g:
        return None
    return c if isinstance(c, Var) and not c.shape and c.dtype == g.dtype else None
