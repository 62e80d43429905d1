"""Gradients in arrays that stay."""

from collections.abc import Callable

from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Origin, Program, Var


def materialize_gradients(target: str) -> Callable[[Program], Program]:
    """A pass that gives the program with each gradient in an array of its own that stays: no view, no other gradient's
    array, no input, and none that the target's library allocates at each call."""

    def materialized(program: Program) -> Program:
        new = program.with_ops(list(program.ops))
        maker = {op.out: op for op in program.ops}
        seen: set[Var] = set()
        for i, g in enumerate(program.gradients):
            op = maker.get(g)
            if op is None or op.kind is Kind.VIEW or target in op.operation.allocates or g in seen:
                origin = op.origin if op is not None else Origin("", "gradient")
                new.gradients[i] = Var(f"gradient_{i + 1}", g.shape, g.dtype)
                new.ops.append(Op("copy", [g], {}, new.gradients[i], origin))
            seen.add(g)
        return new

    return materialized
