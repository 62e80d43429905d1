"""Windows of an array as a view, and the products over them: what the operations of a convolution compute.

x has the shape (batch, *lengths, channels). Its windows are a view of shape (batch, *counts, *window, channels): an
element stands there once for each window that it is in.
"""

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tapegrad.autograd.aliases import Params
from tapegrad.backends.aliases import Array

Lengths = tuple[int, ...]


class Layout(NamedTuple):
    """Of each axis between the batch and the channels: where the first window begins, how far apart windows are, how
    many there are, how many elements each has, and how far apart these are."""

    starts: Lengths
    strides: Lengths
    counts: Lengths
    window: Lengths
    dilation: Lengths


def layout_of(params: Params) -> Layout:
    """The layout among the parameters of an operation."""
    return Layout(*(params[name] for name in Layout._fields))


def covers(layout: Layout, lengths: Lengths) -> bool:
    """Whether each element of axes of these lengths is in a window, all of which lie side by side."""
    whole = zip(layout.starts, layout.counts, layout.window, lengths)
    return all(start == 0 and count * n == length for start, count, n, length in whole)


def apart(layout: Layout) -> bool:
    """Whether no element is in two windows."""
    each = zip(layout.strides, layout.window, layout.dilation)
    return all(stride > (n - 1) * step for stride, n, step in each)


def windows_of(
    x: Array, *, starts: Lengths, strides: Lengths, counts: Lengths, window: Lengths, dilation: Lengths
) -> Array:
    """The windows of an array, a view that may be written to."""
    first = x[(slice(None), *(slice(start, None) for start in starts))]
    between = [step * s for step, s in zip(x.strides[1:-1], strides)]
    inside = [step * d for step, d in zip(x.strides[1:-1], dilation)]
    shape = (x.shape[0], *counts, *window, x.shape[-1])
    return as_strided(first, shape, (x.strides[0], *between, *inside, x.strides[-1]))


def put_windows(*parts: Array, shape: Lengths, **layout: Lengths) -> Array:
    """An array of this shape, of zeros but for its windows, which do not overlap: a part holds what they all have at
    one place, for one place after the other."""
    x = np.zeros(shape, parts[0].dtype)
    into = windows_of(x, **layout)
    places = into.ndim // 2
    for part, at in zip(parts, np.ndindex(*into.shape[places:-1]), strict=True):
        into[(*(slice(None),) * places, *at)] = part
    return x


def slices_of(layout: Layout) -> Iterator[tuple[slice, ...]]:
    """For each place in a window, row by row, the index of the elements that all windows have there."""
    starts, strides, counts, window, dilation = layout
    for place in product(*map(range, window)):
        along = zip(starts, place, strides, counts, dilation)
        inner = (slice(a + i * d, a + i * d + (n - 1) * s + 1, s) for a, i, s, n, d in along)
        yield slice(None), *inner, slice(None)


def matrix_of(windows: Array) -> Array:
    """Windows as a matrix with a row for each, a copy."""
    places = windows.ndim // 2
    return windows.reshape(prod(windows.shape[:places]), prod(windows.shape[places:]))


def convolve_windows(
    windows: Array, kernel: Array, bias: Array | None = None, *, relu: bool = False
) -> Array:
    """Each window, as a row, times a kernel of shape (elements of a window, filters); plus a bias, then max(x, 0)."""
    y = matrix_of(windows) @ kernel
    y = y if bias is None else y + bias
    return np.maximum(y, 0) if relu else y


def convolve_kernel(windows: Array, g: Array) -> Array:
    """The gradient for the kernel: the windows, as columns, times g of shape (windows, filters)."""
    return matrix_of(windows).T @ g


def convolve_input(g: Array, kernel: Array, *, shape: Lengths, **layout: Lengths) -> Array:
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
