"""Numbers in float64 by NumPy's scalars."""

import pytest

from pass_text import check
from tapegrad.compiler.passes.scalars import compute_scalars

STEP = "s: captured float64[] 0:8\n"
CASES = {
    "computed with, converted, written": (
        f"""{STEP}a = add(s, 1.0)
        b = power(0.9, a)
        c = subtract(1.0, b)
        d = astype(c, dtype='float32')
        s = write(s, a)
        return d""",
        """
        a = scalar_add(s, 1.0, arrays=(0,))
        b = scalar_power(0.9, a, arrays=())
        c = scalar_subtract(1.0, b, arrays=())
        d = astype(c, dtype='float32')
        s = write(s, a)
        return d""",
    ),
    "a result is an array": (f"{STEP}a = add(s, 1.0)\nreturn a", None),
    "a gradient is an array": (f"{STEP}a = add(s, 1.0)\ngradients a", None),
    "with an array": (f"{STEP}x: float64[3]\na = multiply(s, s)\nb = add(x, a)\nreturn b", None),
    "shown as another shape": (f"{STEP}a = add(s, 1.0)\nb = reshape(a, shape=(1,))\nreturn b", None),
    "before a function of arrays": (f"{STEP}a = add(s, 1.0)\nb = exp(a)\nreturn b", None),
    "in half the length": (
        "x: float32[]\na = add(x, 1.0)\nb = multiply(a, a)\nc = astype(b, dtype='float64')\nreturn c", None),
    "of an integer": ("n: int64[]\na = add(n, 1)\nb = astype(a, dtype='float32')\nreturn b", None),
    "with a truth": (f"{STEP}a = add(s, True)\nb = astype(a, dtype='float32')\nreturn b", None),
    "only what comes before": (
        f"{STEP}a = add(s, 1.0)\nb = sqrt(a)\nc = exp(s)\nd = astype(b, dtype='float32')\ne = add(c, 1.0)\nreturn d, e",
        "a = scalar_add(s, 1.0, arrays=(0,))\nb = scalar_sqrt(a, arrays=())\nc = exp(s)\n"
        "d = astype(b, dtype='float32')\ne = add(c, 1.0)\nreturn d, e",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_scalars(name: str) -> None:
    before, after = CASES[name]
    check(compute_scalars, before, after)
