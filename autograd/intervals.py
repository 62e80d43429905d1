"""Uniform numbers between two bounds, in the arithmetic of a short dtype."""

import math

import numpy as np

from tapegrad.autograd import ops
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.splitmix import bits_of


def between(low: float, high: float, u: Tensor) -> Tensor:
    """low + (high - low) u, for u in [0, 1): in [low, high) also where the sum is rounded up to high.

    Raises:
        ValueError: A bound, or the distance between them, is not finite in u's dtype.
    """
    kind = u.dtype.type
    with np.errstate(all="ignore"):
        start, end = kind(low), kind(high)
        width = end - start
        largest = start + width * kind(1 - 2.0 ** -bits_of(u.dtype))
    if not math.isfinite(width):
        raise ValueError(
            f"uniform: low and high must be finite and less than the largest {u.dtype} apart, got {low} and {high}: "
            "choose a longer dtype"
        )
    numbers = low + (high - low) * u
    if not (start < end <= largest):
        return numbers
    return ops.minimum(numbers, float(np.nextafter(end, start)))
