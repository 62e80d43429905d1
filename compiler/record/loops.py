"""A loop as one operation: its step recorded once, as a program of its own."""

from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.autograd import random
from tapegrad.autograd.flags import changed_flags
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Array, Function
from tapegrad.compiler.ir.operations import LOOPS, LoopBody, Operation, loop
from tapegrad.compiler.ir.program import Op, Origin, Program, Var
from tapegrad.compiler.record.symbols import Symbol
from tapegrad.compiler.watch.listen import unheard

if TYPE_CHECKING:
    from tapegrad.compiler.record.trace import Trace

Tensors = list[Tensor]


class Loop:
    """A step that was recorded, and the tensors that it uses besides its arguments."""

    def __init__(self, row: Operation, closures: Tensors) -> None:
        self.row, self.closures = row, closures
        assert row.body is not None
        self.inputs = row.body.carries + row.body.slices
        self.body = row.body

    def results(self, arrays: list[Array]) -> list[Array]:
        """What the loop gives for the arrays of its carry and slices."""
        with unheard():
            return values_of(self.body, [*arrays, *(t.data for t in self.closures)])


def recorded_loop(
    trace: "Trace", step: Function, carry: Tensors, xs: Tensors, length: int, reverse: bool, keep: bool
) -> Loop | None:  # fmt: skip
    """The loop as an operation, or None where it is to be recorded step by step: on a GPU, of arrays of several dtypes,
    or with a step that does more than compute."""
    inside: Trace = type(trace)(strict=False)
    given = [*(t.data for t in carry), *(t.data[0] for t in xs if type(t.data) is np.ndarray)]
    if any(type(t.data) is not np.ndarray for t in (*carry, *xs)):
        return None
    # Copies: what the step closes over may be the same array.
    arguments = [Tensor(np.array(a, copy=True)) for a in given]
    program = inside.program
    for i, t in enumerate(arguments):
        kind = f"carry_{i}" if i < len(carry) else f"x_{i - len(carry)}"
        program.arguments.append(inside.var(kind, t.data, "argument"))
        inside.bind(t.data, program.arguments[-1])
    with changed_flags(recorder=inside, grad=False), random.noted_draws() as drawn:
        after, ys = step(arguments[: len(carry)], arguments[len(carry) :])
    if inside.reason is not None or drawn or inside.gradients or inside.moves:
        inside.undo()
        return None
    program.results = [inside.var_of(t) for t in (*after, *ys)]
    results = [*after, *ys]
    dtypes = {t.data.dtype for t in results}
    if len(dtypes) != 1 or any(op.operation.effect and not op.operation.body for op in program.ops):
        inside.undo()
        return None
    for i, v in enumerate(program.captured):
        v.name, v.kind = f"held_{i}", "argument"
    program.arguments += program.captured
    program.captured = []
    program.ops = [replace(op, origin=Origin(op.origin.line, op.origin.part)) for op in program.ops]
    shapes = [t.shape for t in results]
    stacked = [*shapes[: len(after)], *((length, *s) for s in shapes[len(after) :])]
    stacked += [(length, *s) for s in shapes[: len(after)]] if keep else []
    name = f"scan_{digest(program, (length, reverse, keep, len(carry), len(xs)))}"
    row = LOOPS.get(name) or loop(name, program, len(carry), len(xs), length, reverse, stacked)
    LOOPS[name] = row
    return Loop(row, list(inside.captured))


def values_of(body: LoopBody, given: list[Array]) -> list[Array]:
    """The results of a loop on these arrays, operation by operation: none of the step's Python runs."""
    n, end = body.carries, body.carries + body.slices
    carry, xs, others = given[:n], given[n:end], given[end:]
    before: list[list[Array]] = []
    ys: list[list[Array]] = []
    order = range(body.length)
    for t in reversed(order) if body.reverse else order:
        before.append(carry)
        found = values(body.step, [*carry, *(x[t] for x in xs), *others])
        carry, y = found[:n], found[n:]
        ys.append(y)
    rows = [[*y, *b] for y, b in zip(ys, before, strict=True)]
    rows = rows[::-1] if body.reverse else rows
    stacked = [np.stack(part) for part in zip(*rows, strict=True)]
    return [*(np.array(c) for c in carry), *stacked[: len(body.shapes) - n]]


def values(program: Program, given: list[Array]) -> list[Array]:
    """The results of a program on these arrays."""
    known: dict[Any, Any] = dict(zip(program.arguments, given, strict=True))
    value = lambda v: v if not isinstance(v, Var) else v.value if v.kind == "constant" else known[v]
    for op in program.ops:
        inputs, body = [value(i) for i in op.inputs], op.operation.body
        if body is None:
            known[op.out] = np.asarray(op.operation.evaluate(inputs, op.params, np))
        else:
            known[op.out] = np.concatenate([a.reshape(-1) for a in values_of(body, inputs)])
    return [value(r) for r in program.results]


def digest(program: Program, more: object) -> str:
    """Equal for equal programs, their constants included."""
    hashed = blake2b(digest_size=4)
    for part in (
        more,
        [(v.name, v.shape, str(v.dtype)) for v in program.arguments],
        list(map(str, program.results)),
    ):
        hashed.update(repr(part).encode())
    for op in program.ops:
        hashed.update(f"{op} {op.out.dtype}{op.out.shape}".encode())
        for v in op.vars:
            if v.kind == "constant":
                hashed.update(np.ascontiguousarray(v.value).tobytes())
    return hashed.hexdigest()


def emit_loop(trace: "Trace", loop: Loop, inputs: Tensors, results: tuple[Tensor, ...]) -> None:
    """Write the loop down: its results end to end in one vector, and the parts of that."""
    vector = np.concatenate([r.data.reshape(-1) for r in results])
    out = trace.var("scan", vector)
    given = [trace.var_of(t) for t in (*inputs, *loop.closures)]
    trace.program.ops.append(Op(loop.row.name, given, {}, out, trace.origin))
    whole, start = Symbol(vector, out, trace), 0
    for r in results:
        part = trace.emit_op("slice", whole, index=(slice(start, start + r.size),))
        shaped = trace.emit_op("reshape", part, shape=r.shape)
        trace.bind(r.data, shaped.var)
        start += r.size
