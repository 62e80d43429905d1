"""The order in which large arrays are needed for less long."""

import pytest

from pass_text import check
from tapegrad.compiler.passes import lifetimes

CASES = {
    "elements are picked as soon as the array is there": ("""
        x: float32[4, 9]
        i: int64[4, 1]
        a = exp(x)
        b = sin(a)
        c = take_along_axis(a, i, axis=1)
        return b, c
        """, """
        a = exp(x)
        c = take_along_axis(a, i, axis=1)
        b = sin(a)
        return b, c
        """),
    "but after the places are": ("""
        x: float32[4, 9]
        i: int64[4, 1]
        a = exp(x)
        j = add(i, 1)
        b = sin(a)
        c = take_along_axis(a, j, axis=1)
        return b, c
        """, """
        a = exp(x)
        j = add(i, 1)
        c = take_along_axis(a, j, axis=1)
        b = sin(a)
        return b, c
        """),
    "from the arguments at once": ("""
        x: float32[4, 9]
        i: int64[4, 1]
        a = exp(x)
        b = take_along_axis(x, i, axis=1)
        return a, b
        """, """
        b = take_along_axis(x, i, axis=1)
        a = exp(x)
        return a, b
        """),
    "not before a write or a guard": ("""
        x: float32[4, 9]
        i: int64[4, 1]
        w: captured float32[4, 9] 0:144
        w = write(w, x)
        a = any(x)
        g = guard(a, expected=True)
        b = exp(x)
        c = take_along_axis(w, i, axis=1)
        return b, c
        """, """
        w = write(w, x)
        a = any(x)
        g = guard(a, expected=True)
        c = take_along_axis(w, i, axis=1)
        b = exp(x)
        return b, c
        """),
    "not before a write alone": ("""
        x: float32[4, 9]
        i: int64[4, 1]
        w: captured float32[4, 9] 0:144
        a = exp(x)
        v = slice(w, index=(slice(None, None, None),))
        w = write(w, a)
        b = take_along_axis(v, i, axis=1)
        return b
        """, None),
    "a pick from a pick": ("""
        x: float32[4, 9]
        i: int64[4, 1]
        a = exp(x)
        s = sin(x)
        b = take_along_axis(a, i, axis=1)
        c = take_along_axis(b, i, axis=0)
        return s, c
        """, """
        a = exp(x)
        b = take_along_axis(a, i, axis=1)
        c = take_along_axis(b, i, axis=0)
        s = sin(x)
        return s, c
        """),
    "a product waits for the mask": ("""
        x: float32[2, 2]
        a = exp(x)
        p = matmul(x, a)
        q = sum(a, axis=0)
        m = greater(a, 0)
        b = where(m, p, 0.0)
        return b, q
        """, """
        a = exp(x)
        q = sum(a, axis=0)
        m = greater(a, 0)
        p = matmul(x, a)
        b = where(m, p, 0.0)
        return b, q
        """),
    "not where its input would be kept for it": ("""
        x: float32[2, 2]
        a = exp(x)
        p = matmul(x, a)
        m = greater(x, 0)
        b = where(m, p, 0.0)
        return b
        """, None),
    "not beyond a write": ("""
        x: float32[2, 2]
        w: captured float32[2, 2] 0:16
        p = matmul(x, w)
        w = write(w, x)
        b = exp(p)
        return b
        """, None),
    "not for a product that reads it": ("""
        x: float32[2, 2]
        p = matmul(x, x)
        a = exp(x)
        b = matmul(p, a)
        return b
        """, None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_lifetimes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifetimes, "LARGE", 1)
    before, after = CASES[name]
    check(lifetimes.shorten_lifetimes, before, after)


def test_small_products_stay() -> None:
    before = CASES["a product waits for the mask"][0]
    check(lifetimes.shorten_lifetimes, before, None)
