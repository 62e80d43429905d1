"""Products over one term."""

import pytest

from pass_text import check
from tapegrad.compiler.passes.outer_products import spread_outer_products

CASES = {
    "a product over one term": (
        "x: float32[4, 1]\ny: float32[1, 3]\na = matmul(x, y)\nreturn a", "a = multiply(x, y)\nreturn a"),
    "a product over two terms": ("x: float32[4, 2]\ny: float32[2, 3]\na = matmul(x, y)\nreturn a", None),
    "a product of integers": ("x: int64[4, 1]\ny: int64[1, 3]\na = matmul(x, y)\nreturn a", None),
    "a product with a vector": ("x: float32[4, 1]\ny: float32[1]\na = matmul(x, y)\nreturn a", None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_outer_products(name: str) -> None:
    before, after = CASES[name]
    check(spread_outer_products, before, after)
