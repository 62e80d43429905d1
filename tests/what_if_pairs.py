"""Programs of two leaves for `Tape.what_if`: taped, and changed in one of the two."""

from collections.abc import Callable
from typing import Any

import pytest

import tapegrad as tg

Program = Callable[[tg.Tensor, tg.Tensor], tg.Tensor]


def numbers(*values: float) -> tg.Tensor:
    return tg.tensor(values, dtype="float64")


def taped(program: Program, x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
    w.requires_grad_()
    with tg.keep_lines():
        return (program(x, w) + x * w).sum()


def check_change(program: Program, name: str, message: str) -> None:
    """Another x or w gives what the program gives on it, with the gradient of w; or, given a message, raises it."""
    new, leaves = numbers(4.0, 7.0), {"x": numbers(1.0, -2.0), "w": numbers(0.5, 3.0)}
    tape = tg.tape(taped(program, **leaves), leaves)
    if message:
        with pytest.raises(RuntimeError, match=message):
            tape.what_if({name: new})
        return
    changed = tape.what_if({name: new})
    again: dict[str, Any] = {"x": numbers(1.0, -2.0), "w": numbers(0.5, 3.0)} | {name: new}
    expected = taped(program, **again)
    assert changed.output.item() == expected.item()
    assert f"<title>{changed.name(changed.output)} = sum" in changed.html()
    assert [t.requires_grad for t in changed.leaves] == [t.requires_grad for t in tape.leaves]
    changed.output.backward()
    expected.backward()
    (gradient,) = (t.grad for t, called in changed.leaves.items() if called == "w")
    assert gradient is not None and gradient.tolist() == again["w"].grad.tolist()
