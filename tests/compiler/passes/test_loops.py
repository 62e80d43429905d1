"""What loops do better than calls."""

import pytest

from pass_text import check
from tapegrad.compiler.passes.loops import expand_for_loops

CASES = {
    "a product over one term": (
        "x: float32[4, 1]\ny: float32[1, 3]\na = matmul(x, y)\nreturn a", "a = multiply(x, y)\nreturn a"),
    "a product over two terms": ("x: float32[4, 2]\ny: float32[2, 3]\na = matmul(x, y)\nreturn a", None),
    "a product of integers": ("x: int64[4, 1]\ny: int64[1, 3]\na = matmul(x, y)\nreturn a", None),
    "a product with a vector": ("x: float32[4, 1]\ny: float32[1]\na = matmul(x, y)\nreturn a", None),
    "clipped on both sides": (
        "x: float32[3]\na = clip(x, min=0.0, max=1.0)\nreturn a",
        "a_low = maximum(x, 0.0)\na = minimum(a_low, 1.0)\nreturn a"),
    "clipped from below": ("x: float32[3]\na = clip(x, min=0.0, max=None)\nreturn a", "a = maximum(x, 0.0)\nreturn a"),
    "clipped from above": ("x: float32[3]\na = clip(x, min=None, max=1.0)\nreturn a", "a = minimum(x, 1.0)\nreturn a"),
    "clipped to another dtype": ("x: int64[3]\na = clip(x, min=0.5, max=1.0)\nreturn a", None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_loops(name: str) -> None:
    before, after = CASES[name]
    check(expand_for_loops, before, after)
