"""Which operations the source to read says that each line of a loop carries out."""

from collections.abc import Callable
from typing import Any

import pytest

import tapegrad as tg

pytest.importorskip("llvmlite")


def done(function: Callable[..., Any], *args: tg.Tensor) -> dict[str, set[str]]:
    """A line of the program -> what it carries out."""
    step = tg.jit(function, emitter="native")
    for _ in range(3):
        step(*args)
    runner = step.shown().runner
    source = runner.source.split("\n")
    return {source[n - 1].split("  #")[0].strip(): {op.name for op in ops} for n, ops in runner.lines}


def hoisted(x: tg.Tensor, scale: tg.Tensor) -> tg.Tensor:
    return ((x - scale) * x).sum()


def over_rows(x: tg.Tensor, scale: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    y = x - scale
    return y, y.sum(axis=0)


def shown_otherwise(x: tg.Tensor, scale: tg.Tensor) -> tg.Tensor:
    return tg.reshape(x - scale, (-1,))


# The program, how a line of it begins, and what that carries out.
LINES: list[tuple[Callable[..., Any], str, set[str]]] = [
    (hoisted, "scale_value = ", {"subtract"}),
    (hoisted, "sum_1 = lanes", {"sum"}),
    (hoisted, "for i0", {"subtract", "multiply", "sum"}),
    (hoisted, "subtract_1 = ", {"subtract"}),
    (over_rows, "scale_value = ", {"subtract"}),
    (over_rows, "for j0", {"sum"}),
    (over_rows, "buffer_2[j0] = ", {"sum"}),
    (over_rows, "for i1", {"subtract", "sum"}),
]


@pytest.mark.parametrize(("program", "begin", "expected"), LINES)
def test_a_line_carries_out_its_own_and_a_loop_all_inside(
    program: Callable[..., Any], begin: str, expected: set[str]
) -> None:
    lines = done(program, tg.rand(8, 16), tg.tensor(2.0))
    (found,) = [ops for text, ops in lines.items() if text.startswith(begin)]
    assert found == expected, lines


@pytest.mark.parametrize("program", [hoisted, over_rows, shown_otherwise])
def test_each_operation_has_a_line(program: Callable[..., Any]) -> None:
    lines = done(program, tg.rand(8, 16), tg.tensor(2.0))
    used = {"hoisted": {"multiply", "sum"}, "over_rows": {"sum"}, "shown_otherwise": {"reshape"}}
    assert set().union(*lines.values()) >= {"subtract", *used[program.__name__]}, lines
