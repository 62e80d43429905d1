"""Pooling of arrays (batch, *lengths, channels) over windows: the largest element, and the sum.

<g, window_sum(x)> = <window_spread(g), x>: each of these two is the gradient of the other. So are `max_pool_take`,
which reads from an array where another one has its largest elements, and `max_pool_put`, which adds there.
"""

import math
from collections.abc import Sequence

from tapegrad.autograd.aliases import Array, ArrayModule, Index
from tapegrad.autograd.ops.windows import (
    Border,
    Lengths,
    add,
    bordered,
    full,
    places,
    window_counts,
    without_border,
)
from tapegrad.autograd.primitive import Primitive

__all__ = ["max_pool_p", "max_pool_put_p", "max_pool_take_p", "window_spread_p", "window_sum_p"]


def _largest(
    xp: ArrayModule, x: Array, *, window: Lengths, strides: Lengths, border: Border, dilation: Lengths
) -> Array:
    counts = window_counts(x.shape[1:-1], window, strides, border, dilation)
    x = bordered(xp, x, border, -math.inf)
    y = None
    for index in places(window, strides, dilation, counts):
        y = xp.asarray(x[index], copy=True) if y is None else xp.maximum(y, x[index])
    return y


def _first_places(xp: ArrayModule, x: Array, y: Array, border: Border, indices: Sequence[Index]) -> Array:
    """For each place in the window, where it is the first one that holds the largest element. NaN counts as largest."""
    x = bordered(xp, x, border, -math.inf)
    before = None
    for index in indices:
        part = x[index]
        here = (part == y) | (part != part)
        first = here if before is None else here & ~before
        before = here if before is None else before | here
        yield first


def _take(
    xp: ArrayModule,
    h: Array,
    x: Array,
    y: Array,
    *,
    window: Lengths,
    strides: Lengths,
    border: Border,
    dilation: Lengths,
) -> Array:
    indices = list(places(window, strides, dilation, y.shape[1:-1]))
    h = bordered(xp, h, border)
    out = full(xp, h, y.shape, 0.0)
    for index, first in zip(indices, _first_places(xp, x, y, border, indices), strict=True):
        out = xp.where(first, h[index], out)
    return out


def _put(
    xp: ArrayModule,
    g: Array,
    x: Array,
    y: Array,
    *,
    window: Lengths,
    strides: Lengths,
    border: Border,
    dilation: Lengths,
) -> Array:
    indices = list(places(window, strides, dilation, y.shape[1:-1]))
    wide = tuple(n + a + b for n, (a, b) in zip(x.shape[1:-1], border, strict=True))
    out = full(xp, g, (x.shape[0], *wide, x.shape[-1]), 0.0)
    nothing = full(xp, g, (1,) * g.ndim, 0.0)
    for index, first in zip(indices, _first_places(xp, x, y, border, indices), strict=True):
        out = add(xp, out, xp.where(first, g, nothing), index)
    return without_border(xp, out, border)


max_pool_p: Primitive = Primitive(
    "max_pool", _largest, promote="float", vjp=(lambda g, y, x, **p: max_pool_put_p(g, x, y, **p),),
    doc="the largest element of each window; the border counts as -inf",
)  # fmt: skip
max_pool_put_p: Primitive = Primitive(
    "max_pool_put", _put, vjp=(lambda h, z, g, x, y, **p: max_pool_take_p(h, x, y, **p), None, None),
    doc="the gradient of max_pool: each element of g added to the first of the largest elements of its window",
)  # fmt: skip
max_pool_take_p: Primitive = Primitive(
    "max_pool_take", _take, vjp=(lambda g, z, h, x, y, **p: max_pool_put_p(g, x, y, **p), None, None),
    doc="of each window of h the element at the place of the first of x's largest elements",
)  # fmt: skip


def _sums(xp: ArrayModule, x: Array, *, window: Lengths, strides: Lengths, border: Border) -> Array:
    ones = (1,) * len(window)
    counts = window_counts(x.shape[1:-1], window, strides, border, ones)
    x = bordered(xp, x, border)
    y = None
    for index in places(window, strides, ones, counts):
        y = xp.asarray(x[index], copy=True) if y is None else y + x[index]
    return y


def _put_back_windows(
    xp: ArrayModule, g: Array, *, lengths: Lengths, window: Lengths, strides: Lengths, border: Border
) -> Array:
    wide = tuple(n + a + b for n, (a, b) in zip(lengths, border, strict=True))
    out = full(xp, g, (g.shape[0], *wide, g.shape[-1]), 0.0)
    for index in places(window, strides, (1,) * len(window), g.shape[1:-1]):
        out = add(xp, out, g, index)
    return without_border(xp, out, border)


window_sum_p: Primitive = Primitive(
    "window_sum", _sums, promote="float",
    vjp=(lambda g, y, x, **p: window_spread_p(g, lengths=x.shape[1:-1], **p),), unread=(-1, 0),
    doc="the sum of the elements of each window",
)  # fmt: skip
window_spread_p: Primitive = Primitive(
    "window_spread", _put_back_windows, promote="float", vjp=(lambda h, y, g, lengths, **p: window_sum_p(h, **p),),
    unread=(-1, 0), doc="each element of g added to all elements of its window",
)  # fmt: skip
