"""How the compiler's tests run a program: by each emitter for the CPU."""

from functools import partial
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

# The largest difference from the same without tg.jit, relative to the largest element.
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
EMITTERS = ("numpy", "native")


def emitting(emitter: str) -> Any:
    """`tg.jit` with an emitter that is installed; skips the test, where it is not."""
    if emitter == "native":
        pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
    return partial(tg.jit, emitter=emitter)


def flat(value: Any) -> list[np.ndarray]:
    """Every array in a nested structure."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [array for part in value for array in flat(part)]
    return [value if isinstance(value, np.ndarray) else value.detach().numpy()]


def close(got: np.ndarray, want: np.ndarray, dtype: str, what: Any = "") -> None:
    """Of one dtype and shape, and equal but for rounding; exactly equal if not floating."""
    assert (got.dtype, got.shape) == (want.dtype, want.shape), what
    if want.dtype.kind != "f":
        assert np.array_equal(got, want), what
        return
    scale = max(1.0, float(np.max(np.abs(want[np.isfinite(want)]), initial=0.0)))
    tolerance = TOLERANCE[dtype]
    assert np.allclose(got, want, rtol=tolerance, atol=tolerance * scale, equal_nan=True), (what, got, want)


def same_bits(got: list[np.ndarray], want: list[np.ndarray]) -> bool:
    """Whether two lists of arrays hold equal numbers. (A zero's sign does not count: where the cotangent is exactly 0,
    eager's gradients keep the sign of 0 * slope unless a NaN turned up, a program's are +0.)"""
    return len(got) == len(want) and all(
        a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(got, want)
    )
