"""Dead code: what goes, and what stays because it has an effect."""

from dataclasses import replace

import pytest

from pass_text import check, parsed
from tapegrad.compiler.passes.dead_code import remove_dead_code

CASES = {
    "a result that nobody needs": ("""
        x: float32[3]
        a = exp(x)
        b = sin(x)
        return a
        """, """
        a = exp(x)
        return a
        """),
    "a chain of them": ("""
        x: float32[3]
        a = exp(x)
        b = sin(a)
        c = cos(b)
        return a
        """, """
        a = exp(x)
        return a
        """),
    "a gradient is needed": ("""
        x: float32[3]
        a = exp(x)
        gradients a
        """, """
        a = exp(x)
        gradients a
        """),
    "a write stays, and what is written": ("""
        x: float32[3]
        w: captured float32[3] 0:12
        a = exp(x)
        w = write(w, a)
        b = sin(x)
        """, """
        a = exp(x)
        w = write(w, a)
        """),
    "a guard stays, and what it looks at": ("""
        x: float32[3]
        a = any(x)
        g = guard(a, expected=True)
        return x
        """, """
        a = any(x)
        g = guard(a, expected=True)
        return x
        """),
    "random numbers are drawn though nobody uses them": ("""
        x: float32[3]
        r = random_uniform(shape=(3,), dtype='float32', place='cpu')
        return x
        """, """
        r = random_uniform(shape=(3,), dtype='float32', place='cpu')
        return x
        """),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_dead_code(name: str) -> None:
    before, after = CASES[name]
    check(remove_dead_code, before, after)


def test_captured_arrays_that_none_reads_are_left_out() -> None:
    program = parsed("""
        w: captured float32[3] 0:12
        v: captured float32[3] 12:24
        u: captured float32[3] 24:36
        x: float32[3]
        a = exp(w)
        b = sin(v)
        u = write(u, x)
        return a
        """)
    assert [v.name for v in remove_dead_code(program).captured] == ["w", "u"]
    assert [v.name for v in program.captured] == ["w", "v", "u"]  # the list before the pass is as it was


def test_an_array_that_is_only_read_after_a_write_to_its_memory_stays() -> None:
    """The recorder then has another Var for it, of the same name."""
    program = parsed("""
        x: float32[3]
        w: captured float32[3] 0:12
        v: captured float32[3] 0:12
        w = write(w, x)
        a = exp(v)
        return a
        """)
    program.ops[-1].inputs[0] = replace(program.captured[1])
    assert [v.name for v in remove_dead_code(program).captured] == ["w", "v"]
