"""Constant folding."""

import pytest

from pass_text import check, parsed, text_of
from tapegrad.compiler.passes.constants import fold_constants

CASES = {
    "of constants alone": ("""
        c: constant float32[2] [1, 2]
        d: constant float32[2] [3, 4]
        a = add(c, d)
        b = multiply(a, a)
        return b
        """, "return b"),
    "a full array becomes its number": ("""
        x: float32[2, 3]
        c: constant float32[2, 3] 2.0
        a = multiply(x, c)
        return a
        """, """
        a = multiply(x, 2.0)
        return a
        """),
    "not where it gives the shape": ("""
        x: float32[3]
        c: constant float32[2, 3] 2.0
        a = multiply(x, c)
        return a
        """, None),
    "not where it gives the dtype": ("""
        x: float32[3]
        c: constant float64[3] 2.0
        a = multiply(x, c)
        return a
        """, None),
    "not where it is no number": ("""
        x: float32[3]
        c: constant float32[3] inf
        a = multiply(x, c)
        return a
        """, None),
    "one operand stays an array": ("""
        x: bool[3]
        c: constant float32[3] 2.0
        d: constant float32[3] 3.0
        a = where(x, c, d)
        return a
        """, """
        a = where(x, 2.0, d)
        return a
        """),
    "the condition of a choice has no say in the dtype": ("""
        m: float32[3]
        x: float64[3]
        c: constant float32[3] 0.0
        a = where(m, x, c)
        return a
        """, None),
    "not what is read from memory": ("""
        w: captured float32[3] 0:12
        a = exp(w)
        return a
        """, None),
    "random numbers are no constants": ("""
        r = random_uniform(shape=(3,), dtype='float32', place='cpu')
        return r
        """, None),
    "an operation that NumPy has no function for": ("""
        c: constant float64[2] 0.0
        a = erf(c)
        return a
        """, "return a"),
    "a reduction keeps the array": ("""
        x: float32[3]
        c: constant float32[3] 2.0
        a = matmul(x, c)
        return a
        """, None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_constants(name: str) -> None:
    before, after = CASES[name]
    check(fold_constants, before, after)


@pytest.mark.parametrize(("name", "value"), [("of constants alone", "[16.0, 36.0]"),
                                             ("an operation that NumPy has no function for", "0.0")])  # fmt: skip
def test_the_value_of_a_folded_constant(name: str, value: str) -> None:
    (result,) = fold_constants(parsed(CASES[name][0])).results
    assert result.text == value


def test_the_recorded_list_is_as_it_was() -> None:
    program = parsed("""
        c: constant float32[2] [1, 2]
        a = add(c, c)
        return a
        """)
    before = text_of(program)
    fold_constants(program)
    assert text_of(program) == before and program.ops[0].out.kind == "made"
