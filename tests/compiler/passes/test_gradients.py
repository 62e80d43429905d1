"""Gradients in arrays of their own."""

import pytest

from pass_text import check
from tapegrad.compiler.passes.gradients import materialize_gradients

CASES = {
    "made by a call that takes `out`": ("x: float32[3]\na = exp(x)\ngradients a", None),
    "a view": (
        "x: float32[2, 3]\na = exp(x)\nb = permute_dims(a, axes=(1, 0))\ngradients b",
        "a = exp(x)\nb = permute_dims(a, axes=(1, 0))\ngradient_1 = copy(b)\ngradients gradient_1",
    ),
    "one that the library allocates": (
        "x: float32[3]\nm: bool[3]\na = where(m, x, 0.0)\ngradients a",
        "a = where(m, x, 0.0)\ngradient_1 = copy(a)\ngradients gradient_1",
    ),
    "an argument": ("x: float32[3]\ngradients x", "gradient_1 = copy(x)\ngradients gradient_1"),
    "of two leaves": (
        "x: float32[3]\na = exp(x)\ngradients a, a",
        "a = exp(x)\ngradient_2 = copy(a)\ngradients a, gradient_2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_gradients(name: str) -> None:
    before, after = CASES[name]
    check(materialize_gradients("numpy"), before, after)


def test_native_code_allocates_nothing() -> None:
    check(materialize_gradients("native"), CASES["one that the library allocates"][0], None)
