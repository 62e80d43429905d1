"""What the printed program calls when it runs as Python: partial results in lanes, and how they become one."""

from typing import Any

import numpy as np

from tapegrad.autograd.aliases import Array
from tapegrad.compiler.emit.native.forms import LANES as LANES


def lanes(start: int) -> np.ndarray:
    """Partial results of a reduction, one for each lane, that start as what changes nothing."""
    return np.full(LANES, start)


def folded(partial: np.ndarray, ufunc: np.ufunc) -> Any:
    """The partial results combined: the first half with the second, until one is left."""
    while len(partial) > 1:
        half = len(partial) // 2
        partial = ufunc(partial[:half], partial[half:])
    return partial[0]


def put(out: np.ndarray, value: Array) -> None:
    """Write a result whose shape is a matter of values."""
    if value.shape != out.shape:
        raise LookupError("guard: the mask chooses another number")
    np.copyto(out, value)
