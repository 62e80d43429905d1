"""Other lengths along the axes of (batch, *lengths, channels): each result is a weighted mean along one axis after the
other, that is, a product with a matrix."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from tapegrad.autograd.copies import recorded_copy
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.ops import concat, max_p, mean_p, take, tensordot
from tapegrad.autograd.ops.shape import permute_p
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function

Lengths = tuple[int, ...]


def along_axis(x: Tensor, matrix: np.ndarray, axis: int) -> Tensor:
    """The product of a matrix with each line of x along an axis."""
    if matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix))):
        return x
    weights = tensor(matrix, dtype=name_of(x.dtype), device=x.device)
    y = tensordot(x, weights, axes=([axis], [1]))
    last = y.ndim - 1
    return permute_p(y, axes=(*range(axis), last, *range(axis, last)))


def bins(length: int, count: int) -> list[tuple[int, int]]:
    """Where each of `count` windows begins and ends."""
    return [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]


def of_bins(reduce: Function, x: Tensor, sizes: Lengths) -> Tensor:
    """What a reduction makes of each of `sizes` windows along each axis."""
    for axis, count in enumerate(sizes, 1):
        whole = (slice(None),) * axis
        parts = [
            reduce(x[(*whole, slice(start, stop))], axis=(axis,), keepdims=True)
            for start, stop in bins(x.shape[axis], count)
        ]
        x = concat(parts, axis=axis)
    return x


adaptive_average, adaptive_max = partial(of_bins, mean_p), partial(of_bins, max_p)


def resize_matrix(length: int, count: int, align_corners: bool, scale: float) -> np.ndarray:
    """Row i: the weights of the elements at the place of i. `scale`: elements of x for each of the result."""
    at = np.arange(count)
    matrix = np.zeros((count, length))
    if align_corners:
        place = at * ((length - 1) / (count - 1) if count > 1 else 0.0)
    else:
        place = np.maximum((at + 0.5) * scale - 0.5, 0.0)
    low = np.minimum(place.astype(int), length - 1)
    high = np.minimum(low + 1, length - 1)
    share = np.minimum(place - low, 1.0)
    np.add.at(matrix, (at, low), 1.0 - share)
    np.add.at(matrix, (at, high), share)
    return matrix


def resized(
    x: Tensor,
    sizes: Lengths,
    mode: str,
    *,
    align_corners: bool = False,
    scales: Sequence[float] | None = None,
    first: int = 1,
) -> Tensor:
    """x with other lengths from axis `first` on, "nearest" or "linear" along each axis."""
    given = x
    for number, count in enumerate(sizes):
        length = x.shape[first + number]
        # PyTorch copies an axis whose length stays, whatever the scale is, but for "nearest" along a single axis.
        if count == length and (mode == "linear" or len(sizes) > 1):
            continue
        scale = length / count if scales is None else 1.0 / scales[number]
        if mode == "nearest":
            at = np.minimum((np.arange(count) * scale).astype(int), length - 1)
            x = take(x, tensor(at, device=x.device), axis=first + number)
        else:
            x = along_axis(x, resize_matrix(length, count, align_corners, scale), first + number)
    return recorded_copy(x) if x is given else x
