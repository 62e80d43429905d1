"""Programs as text, for the tests of passes: `parsed` reads one, `text_of` writes it as the list that users see.

x: float32[2, 3]                 an argument
w: captured float32[3] 0:12      a captured array, and the bytes where its memory begins and ends
c: constant float32[3] 0.0       a constant full of a number; or [0, 1, 2] its numbers
y = add(x, w)                    an operation; its shape and dtype follow from what it computes
w = write(w, y)
return y
gradients y
"""

import ast
import re
from collections.abc import Callable
from textwrap import dedent
from typing import Any

import numpy as np

from tapegrad.autograd.ops.indexing import Slot
from tapegrad.compiler.ir.operations import Kind, operation
from tapegrad.compiler.ir.program import Op, Origin, Program, Var

DECLARATION = re.compile(r"(\w+): (?:(captured|constant) )?(\w+)\[([\d, ]*)\](?: (.+))?")
ORIGIN = Origin("train.py:1: step", "test")
WORDS = {"Ellipsis": Ellipsis, "inf": float("inf"), "slice": slice, "Slot": Slot}


class Reader:
    def __init__(self) -> None:
        self.program = Program()
        self.vars: dict[str, Var] = {}
        self.values: dict[Var, Any] = {}

    def line(self, text: str) -> None:
        if declared := DECLARATION.fullmatch(text):
            self.declare(*declared.groups())
        elif text.startswith("return "):
            self.program.results = [self.vars[n] for n in text.removeprefix("return ").split(", ")]
        elif text.startswith("gradients "):
            self.program.gradients = [self.vars[n] for n in text.removeprefix("gradients ").split(", ")]
        else:
            self.operation(text)

    def declare(self, name: str, kind: str | None, dtype: str, shape: str, more: str | None) -> None:
        lengths = tuple(int(n) for n in shape.split(",") if n.strip())
        value = np.ones(lengths, dtype)
        var = Var(name, lengths, np.dtype(dtype), kind or "argument")
        if kind == "captured":
            start, end = (more or "0:0").split(":")
            var.span = int(start), int(end)
            self.program.captured.append(var)
        elif kind == "constant":
            value = np.broadcast_to(np.array(eval(more or "1.0", {}, WORDS), dtype), lengths)
            var.value = value
        else:
            self.program.arguments.append(var)
        self.vars[name], self.values[var] = var, value

    def operation(self, text: str) -> None:
        out, _, call = text.partition(" = ")
        tree: Any = ast.parse(call, mode="eval").body
        inputs = [
            self.vars[a.id] if isinstance(a, ast.Name) and a.id in self.vars else evaluated(a)
            for a in tree.args
        ]
        params = {k.arg: evaluated(k.value) for k in tree.keywords}
        if "dtype" in params:
            params["dtype"] = np.dtype(params["dtype"])
        row = operation(tree.func.id)
        if tree.func.id == "write":
            target = inputs[0]
            var = Var(target.name, target.shape, target.dtype, "captured", None, target.span, target.dense)
            self.values[var] = self.values[target]
        else:
            value = np.asarray(
                row.evaluate([self.values.get(i, i) if isinstance(i, Var) else i for i in inputs], params, np)
            )
            var = Var(out, value.shape, value.dtype)
            self.values[var] = value
        self.program.ops.append(Op(tree.func.id, inputs, params, var, ORIGIN))
        self.vars[out] = var


def evaluated(node: ast.expr) -> Any:
    return eval(compile(ast.Expression(node), "<program>", "eval"), {}, WORDS)


def parsed(text: str) -> Program:
    reader = Reader()
    for line in dedent(text).strip().splitlines():
        reader.line(line.strip())
    return reader.program


def text_of(program: Program) -> str:
    """The operations, results and gradients. A constant array goes by its name, so that it is told from a number."""
    lines = []
    for op in program.ops:
        inputs = [Var(i.name, i.shape, i.dtype) if isinstance(i, Var) else i for i in op.inputs]
        lines.append(str(Op(op.name, inputs, op.params, op.out, op.origin)))
    lines += [f"return {', '.join(r.name for r in program.results)}"] if program.results else []
    lines += [f"gradients {', '.join(g.name for g in program.gradients)}"] if program.gradients else []
    return "\n".join(lines)


def lines_of(text: str) -> str:
    """Expected text, without its indentation and without declarations."""
    lines = [line.strip() for line in dedent(text).strip().splitlines()]
    return "\n".join(line for line in lines if line and not DECLARATION.fullmatch(line))


def outcome(program: Program) -> list[np.ndarray]:
    """Results, gradients and captured memory after one run, operation by operation, on numbers that follow from the
    names. Captured arrays lie in memory where the program says."""
    rng = np.random.default_rng(0)
    memory = rng.normal(size=max([v.span[1] for v in program.captured], default=0) // 4 + 1).astype("float32")
    values: dict[str, Any] = {
        v.name: np.ndarray(v.shape, v.dtype, memory, v.span[0]) for v in program.captured
    }
    for v in program.arguments:
        numbers = np.random.default_rng([*v.name.encode()]).normal(size=v.shape)
        values[v.name] = (numbers if v.dtype.kind == "f" else numbers > 0).astype(v.dtype)
    made: dict[Var, Any] = {}

    def value(i: Any) -> Any:
        if not isinstance(i, Var):
            return i
        return i.value if i.kind == "constant" else made[i] if i in made else values[i.name]

    for op in program.ops:
        inputs = [value(i) for i in op.inputs]
        if op.kind is Kind.WRITE:
            inputs[0][...] = inputs[1]
            made[op.out] = inputs[0]
        else:
            made[op.out] = np.asarray(op.operation.evaluate(inputs, op.params, np))
    return [*(np.array(value(r)) for r in program.kept()), memory]


def check(function: Callable[[Program], Program], before: str, after: str | None) -> None:
    """A pass makes one text of another (None: it changes nothing), and the new program computes the same."""
    program = parsed(before)
    recorded = text_of(program)
    improved = function(program)
    assert text_of(improved) == lines_of(after or before)
    assert text_of(program) == recorded, "the list before the pass was changed"
    if any(op.kind is Kind.RANDOM for op in program.ops):
        return
    for a, b in zip(outcome(program), outcome(improved), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=1e-6)
