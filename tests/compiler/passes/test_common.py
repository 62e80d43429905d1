"""Common subexpressions: what is computed once, and what is not the same though it looks it."""

import pytest

from pass_text import check
from tapegrad.compiler.passes.common import merge_common

CASES = {
    "computed twice": ("""
        x: float32[3]
        a = exp(x)
        b = exp(x)
        c = add(a, b)
        return c
        """, """
        a = exp(x)
        c = add(a, a)
        return c
        """),
    "what follows from it": ("""
        x: float32[3]
        a = exp(x)
        b = exp(x)
        c = sin(a)
        d = sin(b)
        return c, d
        """, """
        a = exp(x)
        c = sin(a)
        return c, c
        """),
    "two gradients": ("""
        x: float32[3]
        a = exp(x)
        b = exp(x)
        gradients a, b
        """, """
        a = exp(x)
        gradients a, a
        """),
    "of equal constants of one number": ("""
        c: constant float32[20] 2.0
        d: constant float32[20] 2.0
        x: float32[20]
        a = add(x, c)
        b = add(x, d)
        return a, b
        """, """
        a = add(x, c)
        return a, a
        """),
    "not of other constants": ("""
        c: constant float32[20] 0.0
        d: constant float32[20] -0.0
        e: constant float64[20] 0.0
        x: float64[20]
        a = add(x, c)
        b = add(x, d)
        g = add(x, e)
        return a, b, g
        """, None),
    "not from another input": ("""
        x: float32[3]
        y: float32[3]
        a = exp(x)
        b = exp(y)
        return a, b
        """, None),
    "not with another parameter": ("""
        x: float32[2, 3]
        a = sum(x, axis=0)
        b = sum(x, axis=1)
        return a, b
        """, None),
    "1 and 1.0 are not the same, nor 0.0 and -0.0": ("""
        x: float32[3]
        a = add(x, 1)
        b = add(x, 1.0)
        c = add(x, 0.0)
        d = add(x, -0.0)
        return a, b, c, d
        """, None),
    "not with a write in between": ("""
        x: float32[3]
        w: captured float32[3] 0:12
        a = exp(w)
        w = write(w, x)
        b = exp(w)
        return a, b
        """, None),
    "not with a write to memory that is shared": ("""
        x: float32[2]
        w: captured float32[3] 0:12
        v: captured float32[2] 4:12
        a = exp(w)
        v = write(v, x)
        b = exp(w)
        return a, b
        """, None),
    "not through a view with a write in between": ("""
        x: float32[3]
        w: captured float32[3] 0:12
        s = slice(w, index=(slice(0, 2, None),))
        a = exp(s)
        w = write(w, x)
        b = exp(s)
        return a, b
        """, None),
    "with a write to other memory": ("""
        x: float32[3]
        w: captured float32[3] 0:12
        v: captured float32[3] 12:24
        a = exp(w)
        v = write(v, x)
        b = exp(w)
        return a, b
        """, """
        a = exp(w)
        v = write(v, x)
        return a, a
        """),
    "what was computed before a write, of the arguments": ("""
        x: float32[3]
        w: captured float32[3] 0:12
        a = exp(x)
        w = write(w, a)
        b = exp(x)
        return b
        """, """
        a = exp(x)
        w = write(w, a)
        return a
        """),
    "random numbers are others each time": ("""
        r = random_uniform(shape=(3,), dtype='float32', place='cpu')
        s = random_uniform(shape=(3,), dtype='float32', place='cpu')
        return r, s
        """, None),
    "each guard stays": ("""
        x: float32[3]
        a = any(x)
        g = guard(a, expected=True)
        h = guard(a, expected=True)
        return x
        """, None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_common(name: str) -> None:
    before, after = CASES[name]
    check(merge_common, before, after)
