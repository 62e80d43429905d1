"""Common subexpressions."""

from tapegrad.compiler.ir.memory import Spans
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program, Var
from tapegrad.compiler.passes.rewriting import rewrite


def merge_common(program: Program, merged: dict[str, str] | None = None) -> Program:
    """The program that computes once what it computed twice from the same inputs.

    merged   is told what stands for a result that is computed no more, by their names
    """
    results: dict[object, Var] = {}  # operation and inputs -> the result
    base: dict[Var, Var] = {}
    captured = Spans(program.captured)
    reading: dict[str, list[object]] = {}  # name of a captured array -> keys of what was computed from it

    def rule(op: Op, _: Program) -> Op | Var:
        if op.kind is Kind.WRITE:  # what was computed from the memory before is out of date
            target = op.inputs[0]
            for v in (target, *captured.overlapping(target)):
                for key in reading.pop(v.name, ()):
                    results.pop(key, None)
        if op.operation.effect:
            return op
        key = key_of(op)
        if key in results:
            if merged is not None:
                merged[op.out.name] = results[key].name
            return results[key]
        results[key] = op.out
        for v in op.vars:
            memory = base.get(v, v)
            if memory.kind == "captured":
                reading.setdefault(memory.name, []).append(key)
        if op.kind is Kind.VIEW:
            base[op.out] = base.get(op.vars[0], op.vars[0])
        return op

    return rewrite(program, rule)


def key_of(op: Op) -> object:
    """Equal for operations that compute the same."""
    inputs = tuple(key_of_var(i) if isinstance(i, Var) else (type(i), repr(i)) for i in op.inputs)
    return op.name, inputs, repr(sorted(op.params.items())) if op.params else ""


def key_of_var(v: Var) -> object:
    """Equal for what holds the same: a constant that is one number all over, as the zeros around an image, by that."""
    if v.kind != "constant" or not v.value.size or any(v.value.strides):
        return id(v)
    return v.dtype, v.shape, v.value.flat[0].tobytes()
