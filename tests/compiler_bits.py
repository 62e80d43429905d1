"""Two runs compared bit for bit: what eager gives, and what a compiled program gives for the same inputs."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import tapegrad as tg
from compiler_emitters import flat

FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "int32", "int64", "uint8", "bool")


def special_values(dtype: str) -> np.ndarray:
    """Zeros, ones and the ends of a dtype; of the floating ones also what is no number."""
    if dtype == "bool":
        return np.array([True, False])
    if np.dtype(dtype).kind in "iu":
        ends = np.iinfo(dtype)
        return np.array([0, ends.min, 1, ends.max, ends.max, 2, ends.min // 2, 3], dtype)
    ends = np.finfo(dtype)
    return np.array(
        [0.0, -0.0, np.inf, 1.0, np.nan, -np.inf, ends.smallest_subnormal, -ends.smallest_subnormal, ends.max, -1.0,
         -ends.max, ends.tiny, -0.5, 2.0, ends.eps, -ends.tiny, 3.0], dtype)  # fmt: skip


def with_special_values(arrays: Iterable[np.ndarray], shift: int = 0) -> list[np.ndarray]:
    """Arrays of the same shapes and dtypes, filled with special values; each begins at another of them, so that an
    operation meets many pairs."""
    filled = []
    for i, a in enumerate(arrays):
        values = np.roll(special_values(str(a.dtype)), -(shift + 5 * i))
        filled.append(np.resize(values, a.shape).astype(a.dtype))
    return filled


def columns_first(a: np.ndarray) -> np.ndarray:
    """The same values with the first axis running fastest in memory."""
    return np.array(a, order="F")


def every_second(a: np.ndarray) -> np.ndarray:
    """The same values, with a gap after each element of the last axis."""
    if not a.ndim:
        return a
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


def backwards(a: np.ndarray) -> np.ndarray:
    """The same values, the last element first in memory."""
    return np.flip(np.flip(a).copy()) if a.ndim else a


def difference(got: list[np.ndarray], want: list[np.ndarray]) -> str | None:
    """The first array with another dtype, shape or bit, in words; every NaN counts as the same."""
    if len(got) != len(want):
        return f"{len(got)} arrays for {len(want)}"
    for i, (a, b) in enumerate(zip(got, want)):
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return f"result {i}: {a.dtype}{list(a.shape)} for {b.dtype}{list(b.shape)}"
        if not np.array_equal(plain_bits(a), plain_bits(b)):
            at = np.flatnonzero((plain_bits(a) != plain_bits(b)).ravel())[:3]
            return f"result {i} {a.dtype}{list(a.shape)} at {at}: {a.ravel()[at]!r} for {b.ravel()[at]!r}"
    return None


def plain_bits(a: np.ndarray) -> np.ndarray:
    """The bits as unsigned integers, one value for all NaNs."""
    a = (
        np.where(np.isnan(a), np.array(np.nan, a.dtype), a)
        if a.dtype.kind == "f"
        else np.ascontiguousarray(a)
    )
    return a.view(f"u{a.dtype.itemsize}")


def outcome(function: Callable[..., Any], arrays: Iterable[np.ndarray]) -> list[np.ndarray] | str:
    """The arrays that a call returns, or the name of the exception that it raises."""
    tg.manual_seed(0)  # the same random numbers for both sides
    try:
        return [a.copy() for a in flat(function(*(tg.asarray(np.asarray(a), copy=False) for a in arrays)))]
    except Exception as error:  # whichever it is, both sides must raise it
        return type(error).__name__
