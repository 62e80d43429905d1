"""What a page shows of an array: its range, its mean, what is not finite, and the numbers of one corner."""

from dataclasses import dataclass
from functools import cache
from math import inf, isfinite

import numpy as np

from tapegrad.autograd.aliases import Array
from tapegrad.backends import backend_of


@dataclass(frozen=True)
class Numbers:
    """An array, as a page shows it.

    low, high, mean    of the finite elements; None where there are none. Those of integers are exact
    nonfinite          how many elements are NaN or infinite
    corner             the first rows and columns of the last two axes, at the beginning of all axes before
    """

    dtype: str
    shape: tuple[int, ...]
    low: float | int | None
    high: float | int | None
    mean: float | None
    nonfinite: int
    corner: list[list[float]] | list[list[int]] | list[list[bool]]

    @property
    def size(self) -> float:
        """The largest absolute value; infinite where an element is not finite, 0 where there are none."""
        if self.nonfinite:
            return inf
        return 0.0 if self.low is None or self.high is None else max(abs(self.low), abs(self.high))

    @property
    def cut(self) -> bool:
        """Whether the corner is less than the array."""
        return sum(map(len, self.corner)) < int(np.prod(self.shape))


def numbers_of(data: Array, rows: int, columns: int) -> Numbers:
    """The Numbers of a raw array, with a corner of at most so many rows and columns."""
    array = backend_of(data).to_numpy(data)
    low = high = mean = None
    finite = np.isfinite(array)
    bad = array.size - int(np.count_nonzero(finite))
    seen = array[finite] if bad else array
    if seen.size:
        exact = int if seen.dtype.kind in "iu" else float
        low, high = exact(np.minimum.reduce(seen, None)), exact(np.maximum.reduce(seen, None))
        mean = mean_of(seen, max(abs(low), abs(high)))
    first = array[(0,) * (array.ndim - 2)] if array.ndim > 2 and array.size else array
    table = first[:rows, :columns] if first.ndim > 1 else first.reshape(1, -1)[:, :columns]
    corner = (table if array.dtype.kind in "iub" else table.astype(np.float64)).tolist() if array.size else []
    return Numbers(name_of(array.dtype), tuple(array.shape), low, high, mean, bad, corner)


def mean_of(seen: Array, most: float) -> float:
    """The mean of an array without NaN and infinities, of which `most` is the largest absolute value."""
    if seen.dtype.kind in "iu" and most >= 2**53:
        # Of more digits than float64 has: in two halves, which have sums without rounding.
        total = int(np.add.reduce(seen >> 32, None)) * 2**32 + int(np.add.reduce(seen & 0xFFFFFFFF, None))
        return total / seen.size
    with np.errstate(over="ignore"):
        mean = float(np.add.reduce(seen, None, np.float64)) / seen.size
    # The sum may be too large where the mean is not.
    return mean if isfinite(mean) else float(np.add.reduce(seen / seen.size, None, np.float64))


@cache
def name_of(dtype: np.dtype) -> str:
    return str(dtype)


def text_of(x: float | int) -> str:
    """A number to four digits; an integer and a truth as they are."""
    return f"{x:.4g}" if isinstance(x, float) else str(x)


def short(x: float | int | None) -> float | str | None:
    """A number to four digits, as JSON has it: as text where it is not finite. An integer with all of its digits."""
    if x is None:
        return None
    if isinstance(x, int):  # a page writes large numbers with an exponent
        return x if abs(x) < 1_000_000 else str(x)
    if not isfinite(x):
        return str(x)
    rounded = float(f"{x:.4g}")
    x = rounded if isfinite(rounded) else x  # the largest number of all is rounded up to infinity
    return int(x) if x.is_integer() and abs(x) < 1e15 else x
