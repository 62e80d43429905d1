"""Whether two runs of a function came to the same program."""

from typing import Any

from tapegrad.compiler.ir.program import Op, Program, Var
from tapegrad.compiler.record.recording import Recording
from tapegrad.compiler.watch.kinds import PLAIN


def difference(before: Recording, after: Recording) -> str | None:
    """What the second of two runs did otherwise, with its line; None if they are the same program."""
    old, new = before.program, after.program
    first, second = Comparable(before), Comparable(after)
    for x, y in zip(old.ops, new.ops):
        if first.op(x) != second.op(y):
            line = f" at {y.origin.line}" if y.origin.line else ""
            return f"it does something else at each call{line}: {call_text(x)}, then {call_text(y)}"
    if len(old.ops) != len(new.ops):
        return f"it does {len(old.ops)} operations in one call and {len(new.ops)} in the next"
    if first.kept(old) != second.kept(new) or results_of(before) != results_of(after):
        return "it returns something else at each call"
    if leaves_of(before) != leaves_of(after):
        return "it sets the gradients of other tensors at each call"
    return None


class Comparable:
    """The parts of a program in a form that equals that of another program which does the same."""

    def __init__(self, recording: Recording) -> None:
        self.tensors = {v: id(t) for v, t in zip(recording.program.captured, recording.captured)}
        self.numbers: dict[Var, int] = {}  # made arrays and arguments, in the order in which they come up

    def op(self, op: Op) -> Any:
        inputs = [self.value(i) for i in op.inputs]
        self.numbers.setdefault(op.out, len(self.numbers))
        return op.name, inputs, repr(op.params)

    def kept(self, program: Program) -> list[Any]:
        return [self.value(v) for v in program.kept()]

    def value(self, v: object) -> Any:
        if not isinstance(v, Var):
            return type(v), repr(v)
        if v.kind == "constant":
            return v.dtype.str, v.shape, contents(v)
        if v.kind == "captured":
            return v.name, self.tensors.get(v)
        return v.kind, self.numbers.setdefault(v, len(self.numbers))


def contents(constant: Var) -> bytes:
    array = constant.value
    if array.size and not any(array.strides):  # one element that was broadcast
        array = array.reshape(-1)[:1]
    return bytes(array.tobytes())


def call_text(op: Op) -> str:
    return f"{op.name}({', '.join(i.name if isinstance(i, Var) else repr(i) for i in op.inputs)})"


def results_of(recording: Recording) -> str:
    """The results as text; an object that was returned is known by its identity."""
    return repr(
        [
            (kind, value if kind != "value" or isinstance(value, PLAIN) else id(value))
            for kind, value in recording.results
        ]
    )


def leaves_of(recording: Recording) -> tuple[list[int], list[int]]:
    return [*map(id, recording.leaves)], [*map(id, recording.dropped)]
