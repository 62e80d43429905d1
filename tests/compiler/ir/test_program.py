"""How programs print."""

import numpy as np
import pytest

from pass_text import parsed
from tapegrad.compiler.ir.program import constant_text

TEXTS = {
    "0.0": np.zeros((), "float32"),
    "1.0": np.ones((4, 3), "float32"),
    "True": np.ones(5, bool),
    "-7": np.full((2, 2), -7),
    "nan": np.full(3, np.nan),
    "[0, 1, 2]": np.arange(3),
    "[[1.0, 2.0], [3.0, 4.0]]": np.arange(1.0, 5.0).reshape(2, 2),
    "int64[9]": np.arange(9),
    "float32[3, 4]": np.arange(12, dtype="float32").reshape(3, 4),
    "[]": np.zeros((0, 3)),
    "[0.0, -0.0]": np.array([0.0, -0.0]),
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_constant_as_text(text: str) -> None:
    assert constant_text(TEXTS[text]) == text


def test_a_program_as_text() -> None:
    program = parsed("""
        x: float32[2, 3]
        c: constant float32[3] [1, 2, 3]
        zero: constant float32[] 0.0
        a = add(x, c)
        b = maximum(a, zero)
        d = sum(b, axis=1, keepdims=False)
        e = astype(d, dtype='float64')
        return e
        """)
    assert str(program).splitlines() == [
        "a = add(x, [1.0, 2.0, 3.0])     float32[2, 3]  [test]",
        "b = maximum(a, 0.0)             float32[2, 3]  [test]",
        "d = sum(b, axis=1)              float32[2]     [test]",
        "e = astype(d, dtype='float64')  float64[2]     [test]",
    ]
