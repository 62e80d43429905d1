"""The table of a program by the user's modules and lines folds layers and time steps that repeat."""

import numpy as np

from tapegrad.compiler.emit.summary import by_line
from tapegrad.compiler.ir.program import Op, Origin, Program, Var


def program(*rows: tuple[str, str, int]) -> Program:
    """Operations on 4 elements of float32: (module, line, how many)."""
    ops = []
    for module, line, count in rows:
        for _ in range(count):
            out = Var(f"v{len(ops)}", (4,), np.dtype("float32"))
            ops.append(Op("exp", [out], {}, out, Origin(line, "exp", module)))
    return Program(ops=ops)


HEAD = "operations   bytes made   times  by line of yours"


def test_layers_of_one_line_are_one_row() -> None:
    layers = [(f"layers.{k}", "net.py:3: return x @ w", 2) for k in range(20)]
    assert by_line(program(("", "a.py:1: x = f(x)", 1), *layers, ("", "a.py:9: loss", 3))) == [
        HEAD,
        "         1           16          a.py:1: x = f(x)",
        "         2           32    x 20  layers.0 to layers.19: net.py:3: return x @ w",
        "         3           48          a.py:9: loss",
    ]


def test_the_rows_of_a_time_step_repeat_together() -> None:
    step = [("", "rnn.py:3: x = xs[t]", 1), ("cell", "rnn.py:9: h = tanh(x)", 4)]
    assert by_line(program(*(step * 50)))[1:] == [
        "         1           16    x 50  rnn.py:3: x = xs[t]",
        "         4           64    x 50  cell: rnn.py:9: h = tanh(x)",
    ]


def test_rows_of_other_sizes_stay_apart() -> None:
    rows = [(f"layers.{k}", "net.py:3: return x @ w", k) for k in range(1, 5)]
    assert len(by_line(program(*rows))) == 5


def test_views_and_writes_make_no_bytes() -> None:
    one = program(("", "a.py:1: x", 1))
    x = one.ops[0].out
    target = Var("w", (4,), x.dtype, "captured")
    one.ops.append(Op("reshape", [x], {"shape": (2, 2)}, Var("y", (2, 2), x.dtype), one.ops[0].origin))
    one.ops.append(Op("write", [target, x], {}, target, one.ops[0].origin))
    assert by_line(one) == [HEAD.replace("   times", ""), "         2           16  a.py:1: x"]
    assert (one.cost()[0], one.cost()[1]) == (2, 16)
