"""Sums of many numbers, whose rounding errors do not add up."""

import math

import numpy as np

from tapegrad.backends.aliases import DType

MANY = 1024  # numbers, from which on it matters in which order they are added
FEWEST = 4 * MANY  # elements of an array, from which on a sum is looked at


def is_long(shape: tuple[int, ...], axis: tuple[int, ...] | int | None, dtype: DType) -> bool:
    """Whether a sum over axes, one of several, may be one of MANY floats that do not lie side by side."""
    if axis is None or dtype.kind != "f" or math.prod(shape) < FEWEST:
        return False
    return math.prod([shape[a] for a in (axis if isinstance(axis, tuple) else (axis,))]) >= MANY


# The source of this function is part of emitted programs.
def long_sum(x, axis, keepdims=False):  # type: ignore[no-untyped-def]
    # NumPy adds in pairs along the axis whose elements lie side by side, and along the others one number after another.
    # There the longest is cut into blocks of 128: the sums of the blocks are added up likewise.
    axis = tuple(np.atleast_1d(axis) % x.ndim)
    step = np.abs(x.strides)
    kept = [step[a] for a in range(x.ndim) if a not in axis and x.shape[a] > 1]
    apart = [a for a in axis if kept and step[a] > np.min(kept)]
    if np.prod([x.shape[a] for a in apart]) >= 1024:
        a = apart[np.argmax([x.shape[a] for a in apart])]
        n = x.shape[a]
        blocks, rest = np.split(x, [n - n % 128], axis=a)
        blocks = blocks.reshape(*x.shape[:a], n // 128, 128, *x.shape[a + 1 :])
        sums = [np.add.reduce(blocks, axis=a + 1), np.add.reduce(rest, axis=a, keepdims=True)]
        return long_sum(np.concatenate(sums if n % 128 else sums[:1], axis=a), axis, keepdims)
    return np.add.reduce(x, axis=axis, keepdims=keepdims)
