"""Identities: each rule where it applies, and where it must not."""

import pytest

from pass_text import check
from tapegrad.compiler.passes.algebra import simplify

CASES = {
    # ---- nothing changes ----
    "times one": ("x: float32[3]\na = multiply(x, 1.0)\nb = exp(a)\nreturn b", "b = exp(x)\nreturn b"),
    "one times": ("x: float32[3]\na = multiply(1.0, x)\nb = exp(a)\nreturn b", "b = exp(x)\nreturn b"),
    "divided by one": ("x: float32[3]\na = divide(x, 1.0)\nb = exp(a)\nreturn b", "b = exp(x)\nreturn b"),
    "one divided by": ("x: float32[3]\na = divide(1.0, x)\nreturn a", None),
    "an integer divided by one is a float": ("x: int64[3]\na = divide(x, 1.0)\nreturn a", None),
    "times minus one": ("x: float32[3]\na = multiply(x, -1.0)\nreturn a", "a = negative(x)\nreturn a"),
    "times minus one in another dtype": ("x: int64[3]\na = multiply(x, -1.0)\nreturn a", None),
    "times two": ("x: float32[3]\na = multiply(x, 2.0)\nreturn a", None),
    "plus": ("x: float32[3]\na = positive(x)\nreturn a", "return x"),
    "to its own dtype": ("x: float32[3]\na = astype(x, dtype='float32')\nreturn a", "return x"),
    "to another dtype": ("x: float32[3]\na = astype(x, dtype='float64')\nreturn a", None),
    "to its own shape": ("x: float32[3]\na = reshape(x, shape=(3,))\nreturn a", "return x"),
    "the whole": ("x: float32[3]\na = slice(x, index=(slice(None, None, None), Ellipsis))\nreturn a", "return x"),
    "reversed": ("x: float32[3]\na = slice(x, index=(slice(None, None, -1),))\nreturn a", None),
    "axes in order": ("x: float32[2, 2]\na = permute_dims(x, axes=(0, 1))\nreturn a", "return x"),
    "axes of one length": ("x: float32[2, 2]\na = permute_dims(x, axes=(1, 0))\nreturn a", None),
    # ---- twice ----
    "negated twice": ("x: float32[3]\na = negative(x)\nb = negative(a)\nreturn b", "a = negative(x)\nreturn x"),
    "transposed twice": (
        "x: float32[2, 3]\na = permute_dims(x, axes=(1, 0))\nb = permute_dims(a, axes=(1, 0))\nreturn b",
        "a = permute_dims(x, axes=(1, 0))\nreturn x",
    ),
    "permuted twice": (
        "x: float32[2, 3, 4]\na = permute_dims(x, axes=(1, 2, 0))\nb = permute_dims(a, axes=(1, 2, 0))\nreturn b",
        "a = permute_dims(x, axes=(1, 2, 0))\nb = permute_dims(x, axes=(2, 0, 1))\nreturn b",
    ),
    "permuted twice in other ways": (
        "x: float32[2, 3, 4]\na = permute_dims(x, axes=(1, 2, 0))\nb = permute_dims(a, axes=(0, 2, 1))\nreturn b",
        "a = permute_dims(x, axes=(1, 2, 0))\nb = permute_dims(x, axes=(1, 0, 2))\nreturn b",
    ),
    "reshaped twice": (
        "x: float32[2, 3]\na = reshape(x, shape=(6,))\nb = reshape(a, shape=(3, 2))\nreturn b",
        "a = reshape(x, shape=(6,))\nb = reshape(x, shape=(3, 2))\nreturn b",
    ),
    "reshaped and back": (
        "x: float32[2, 3]\na = reshape(x, shape=(6,))\nb = reshape(a, shape=(2, 3))\nreturn b",
        "a = reshape(x, shape=(6,))\nreturn x",
    ),
    # ---- cheaper ----
    "squared": ("x: float32[3]\na = power(x, 2)\nreturn a", "a = square(x)\nreturn a"),
    "an integer to a float's power": ("x: int64[3]\na = power(x, 2.0)\nreturn a", None),
    "the first power": ("x: float32[3]\na = power(x, 1)\nreturn a", "return x"),
    "a root": ("x: float32[3]\na = power(x, 0.5)\nreturn a", "a = sqrt(x)\nreturn a"),
    "one over": ("x: float32[3]\na = power(x, -1)\nreturn a", "a = divide(1.0, x)\nreturn a"),
    "a power of numbers": ("x: float32[3]\na = power(2.0, x)\nreturn a", None),
    "cubed": ("x: float32[3]\na = power(x, 3)\nreturn a", None),
    "a settled choice": (
        "m: constant bool[3] True\nx: float32[3]\na = where(m, x, 0.0)\nreturn a", "return x",
    ),
    "a settled choice of a number": ("m: constant bool[3] False\nx: float32[3]\na = where(m, x, 0.0)\nreturn a", None),
    "an open choice": ("m: constant bool[2] [1, 0]\nx: float32[2]\na = where(m, x, 0.0)\nreturn a", None),
    # ---- broadcasts ----
    "a broadcast that the other operand makes": (
        "x: float32[2, 3]\ny: float32[3]\na = broadcast_to(y, shape=(2, 3))\nb = add(x, a)\nreturn b",
        "a = broadcast_to(y, shape=(2, 3))\nb = add(x, y)\nreturn b",
    ),
    "a broadcast that nothing else makes": (
        "y: float32[3]\na = broadcast_to(y, shape=(2, 3))\nb = exp(a)\nreturn b", None,
    ),
    "one of two broadcasts": (
        "y: float32[3]\na = broadcast_to(y, shape=(2, 3))\nb = add(a, a)\nreturn b",
        "a = broadcast_to(y, shape=(2, 3))\nb = add(y, a)\nreturn b",
    ),
    "a broadcast for a product stays": (
        "x: float32[3, 3]\ny: float32[3]\na = broadcast_to(y, shape=(3, 3))\nb = matmul(x, a)\nreturn b", None,
    ),
    # ---- picks ----
    "picked before it is subtracted": (
        "x: float32[4, 9]\ny: float32[4, 1]\ni: int64[4, 1]\na = subtract(x, y)\n"
        "b = take_along_axis(a, i, axis=1)\nreturn b",
        "a = subtract(x, y)\nb_taken = take_along_axis(x, i, axis=1)\nb = subtract(b_taken, y)\nreturn b",
    ),
    "picked from a difference along the axis": (
        "x: float32[4, 9]\ny: float32[9]\ni: int64[4, 1]\na = subtract(x, y)\n"
        "b = take_along_axis(a, i, axis=1)\nreturn b",
        None,
    ),
}  # fmt: skip

WRITES = {
    "a copy of the moment": ("""
        y: float32[3]
        w: captured float32[3] 0:12
        a = multiply(w, 1.0)
        w = write(w, y)
        return a
        """, """
        a = copy(w)
        w = write(w, y)
        return a
        """),
    "of a view too": ("""
        y: float32[3]
        w: captured float32[3] 0:12
        v = slice(w, index=(slice(0, 2, None),))
        a = positive(v)
        w = write(w, y)
        return a
        """, """
        v = slice(w, index=(slice(0, 2, None),))
        a = copy(v)
        w = write(w, y)
        return a
        """),
    "of memory that is shared": ("""
        y: float32[3]
        w: captured float32[3] 0:12
        v: captured float32[3] 4:16
        a = multiply(v, 1.0)
        w = write(w, y)
        return a
        """, """
        a = copy(v)
        w = write(w, y)
        return a
        """),
    "no copy where another is written": ("""
        y: float32[3]
        w: captured float32[3] 0:12
        v: captured float32[3] 12:24
        a = multiply(v, 1.0)
        b = exp(a)
        w = write(w, y)
        return b
        """, """
        b = exp(v)
        w = write(w, y)
        return b
        """),
    "negated before and after a write": ("""
        y: float32[3]
        w: captured float32[3] 0:12
        a = negative(w)
        w1 = write(w, y)
        b = negative(a)
        return b
        """, """
        a = negative(w)
        w = write(w, y)
        b = negative(a)
        return b
        """),
    "picked after a write": ("""
        y: float32[4, 1]
        z: float32[4, 9]
        i: int64[4, 1]
        w: captured float32[4, 9] 0:144
        a = subtract(w, y)
        w1 = write(w, z)
        b = take_along_axis(a, i, axis=1)
        return b
        """, """
        a = subtract(w, y)
        w = write(w, z)
        b = take_along_axis(a, i, axis=1)
        return b
        """),
    "a reshape may be a copy": ("""
        y: float32[3, 2]
        w: captured float32[3, 2] 0:24
        t = permute_dims(w, axes=(1, 0))
        a = reshape(t, shape=(6,))
        w1 = write(w, y)
        b = reshape(a, shape=(2, 3))
        return b
        """, """
        t = permute_dims(w, axes=(1, 0))
        a = reshape(t, shape=(6,))
        w = write(w, y)
        b = reshape(a, shape=(2, 3))
        return b
        """),
}  # fmt: skip


@pytest.mark.parametrize("name", [*CASES, *WRITES])
def test_algebra(name: str) -> None:
    before, after = {**CASES, **WRITES}[name]
    check(simplify, before, after)
