"""Windows of an array as a view, and the products over them: what the operations of a convolution compute.

x has the shape (batch, *lengths, channels). Its windows are a view of shape (batch, *counts, *window, channels): an
element stands there once for each window that it is in.
"""

from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

Lengths = tuple[int, ...]


class Layout(NamedTuple):
    """Of each axis between the batch and the channels: where the first window begins, how far apart windows are, how
    many there are, how many elements each has, and how far apart these are."""

    starts: Lengths
    strides: Lengths
    counts: Lengths
    window: Lengths
    dilation: Lengths


def windows_of(
    x: Any, *, starts: Lengths, strides: Lengths, counts: Lengths, window: Lengths, dilation: Lengths
) -> Any:
    """The windows of an array, a view that may be written to."""
    first = x[(slice(None), *(slice(start, None) for start in starts))]
    between = [step * s for step, s in zip(x.strides[1:-1], strides)]
    inside = [step * d for step, d in zip(x.strides[1:-1], dilation)]
    shape = (x.shape[0], *counts, *window, x.shape[-1])
    return as_strided(first, shape, (x.strides[0], *between, *inside, x.strides[-1]))


def matrix_of(windows: Any) -> Any:
    """Windows as a matrix with a row for each, a copy."""
    places = windows.ndim // 2
    return windows.reshape(prod(windows.shape[:places]), prod(windows.shape[places:]))


def convolve_windows(windows: Any, kernel: Any) -> Any:
    """Each window, as a row, times a kernel of shape (elements of a window, filters)."""
    return matrix_of(windows) @ kernel


def convolve_kernel(windows: Any, g: Any) -> Any:
    """The gradient for the kernel: the windows, as columns, times g of shape (windows, filters)."""
    return matrix_of(windows).T @ g


def convolve_input(g: Any, kernel: Any, *, shape: Lengths, **layout: Lengths) -> Any:
    """The gradient for the array of this shape: g times the transposed kernel, of shape (filters, elements of the
    window), added up where windows overlap."""
    x = np.zeros(shape, g.dtype)
    into = windows_of(x, **layout)
    parts = (g @ kernel).reshape(into.shape)
    places = into.ndim // 2
    for at in np.ndindex(*into.shape[places:-1]):
        index = (*(slice(None),) * places, *at)
        into[index] += parts[index]
    return x
