"""Choices against zero, by bits."""

import pytest

from pass_text import check
from tapegrad.compiler.passes import zero_masks

KEPT = """
    m_bits = mask_bits(m)
    a = and_bits(x, m_bits)
    return a
    """
CASES = {
    "against zero": ("m: bool[3]\nx: float32[3]\na = where(m, x, 0.0)\nreturn a", KEPT),
    "against the integer 0": ("m: bool[3]\nx: float64[3]\na = where(m, x, 0)\nreturn a", KEPT),
    "of half precision": ("m: bool[3]\nx: float16[3]\na = where(m, x, 0.0)\nreturn a", KEPT),
    "against minus zero": ("m: bool[3]\nx: float32[3]\na = where(m, x, -0.0)\nreturn a", None),
    "against one": ("m: bool[3]\nx: float32[3]\na = where(m, x, 1.0)\nreturn a", None),
    "zero first": ("m: bool[3]\nx: float32[3]\na = where(m, 0.0, x)\nreturn a", None),
    "against an array": ("m: bool[3]\nx: float32[3]\ny: float32[3]\na = where(m, x, y)\nreturn a", None),
    "of integers": ("m: bool[3]\nx: int64[3]\na = where(m, x, 0)\nreturn a", None),
    "by a condition that is no truth": ("m: float32[3]\nx: float32[3]\na = where(m, x, 0.0)\nreturn a", None),
    "by a condition that is broadcast": ("m: bool[1]\nx: float32[3]\na = where(m, x, 0.0)\nreturn a", None),
    "of what is broadcast": ("m: bool[3]\nx: float32[1]\na = where(m, x, 0.0)\nreturn a", None),
}


@pytest.mark.parametrize("name", CASES)
def test_zero_masks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zero_masks, "MANY", 1)
    before, after = CASES[name]
    check(zero_masks.mask_by_bits, before, after)


def test_few_elements_stay() -> None:
    before = CASES["against zero"][0]
    check(zero_masks.mask_by_bits, before, None)
