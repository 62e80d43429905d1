"""What primitives over windows share: lengths, borders, and the part of an array that one place of the window meets.

Arrays have the shape (batch, *lengths, channels). The forwards are written with operations that a recording knows, one
for each place in the window, so that a compiled step needs nothing of its own for them.
"""

from collections.abc import Iterator
from itertools import product

from tapegrad.autograd.aliases import Array, ArrayModule

Lengths = tuple[int, ...]
Border = tuple[tuple[int, int], ...]  # before and after, along each axis; below 0 it is cut off


def window_counts(
    lengths: Lengths, window: Lengths, strides: Lengths, border: Border, dilation: Lengths
) -> Lengths:
    """How many windows there are along each axis."""
    each = zip(lengths, window, strides, border, dilation, strict=True)
    return tuple(max((n + sum(b) - (k - 1) * d - 1) // s + 1, 0) for n, k, s, b, d in each)


def places(
    window: Lengths, strides: Lengths, dilation: Lengths, counts: Lengths
) -> Iterator[tuple[slice, ...]]:
    """For each place in the window, row by row, the index of the elements that all windows have there."""
    for place in product(*map(range, window)):
        along = zip(place, strides, dilation, counts, strict=True)
        yield slice(None), *(slice(i * d, i * d + (n - 1) * s + 1, s) for i, s, d, n in along), slice(None)


def full(xp: ArrayModule, like: Array, shape: Lengths, fill: float) -> Array:
    """A new array of one number, with the dtype and the device of another array."""
    place = {} if xp.__name__ == "cupy" else {"device": like.device}  # CuPy's takes none
    return xp.full(shape, fill, dtype=like.dtype, **place)


def put(xp: ArrayModule, x: Array, values: Array, index: tuple[slice, ...]) -> Array:
    """x, a new array, with values at an index."""
    if hasattr(xp, "put_at"):  # in a recording
        return xp.put_at(x, values, index=index)
    x[index] = values
    return x


def add(xp: ArrayModule, x: Array, values: Array, index: tuple[slice, ...]) -> Array:
    """x, a new array, with values added at an index."""
    if hasattr(xp, "add_at"):
        return xp.add_at(x, values, index=index)
    x[index] += values
    return x


def inner(border: Border) -> tuple[slice, ...]:
    """The index that cuts off what is below 0 of a border."""
    return slice(None), *(slice(max(-a, 0), min(b, 0) or None) for a, b in border), slice(None)


def bordered(xp: ArrayModule, x: Array, border: Border, fill: float = 0.0) -> Array:
    """x with more elements before and after, or fewer, along each axis between the batch and the channels."""
    if any(side < 0 for pair in border for side in pair):
        x = x[inner(border)]
    more = tuple((max(a, 0), max(b, 0)) for a, b in border)
    if not any(map(any, more)):
        return x
    lengths = tuple(n + a + b for n, (a, b) in zip(x.shape[1:-1], more, strict=True))
    at = tuple(slice(a, a + n) for n, (a, _) in zip(x.shape[1:-1], more, strict=True))
    whole = full(xp, x, (x.shape[0], *lengths, x.shape[-1]), fill)
    return put(xp, whole, x, (slice(None), *at, slice(None)))


def without_border(xp: ArrayModule, x: Array, border: Border) -> Array:
    """The opposite of `bordered`: what was added is cut off, and what was cut off is 0."""
    return bordered(xp, x, tuple((-a, -b) for a, b in border))
