"""Operations and captured arrays that nobody needs are left out."""

from tapegrad.compiler.ir.program import Op, Program


def remove_dead_code(program: Program) -> Program:
    """The program without operations whose results nobody needs, and without captured arrays that none reads."""
    needed = set(program.kept())
    ops: list[Op] = []
    for op in reversed(program.ops):
        if op.operation.effect or op.out in needed:
            needed.update(op.vars)
            ops.append(op)
    new = program.with_ops(ops[::-1])
    names = {v.name for v in needed if v.kind == "captured"}  # a write makes another Var of the same name
    new.captured = [v for v in program.captured if v.name in names]
    return new
