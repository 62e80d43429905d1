"""Convolution over any number of axes, of arrays (batch, *lengths, channels).

The kernel has the shape (*window, channels of the input / groups, channels of the output). Convolution is linear in the
input and in the kernel. <g, convolution(x, w)> = <convolution_input(g, w), x> = <convolution_kernel(x, g), w>: the
gradients of each of these three primitives are the other two.
"""

from collections.abc import Iterable
from math import prod

from tapegrad.autograd.aliases import Array, ArrayModule, Index, Value
from tapegrad.autograd.ops.forwards import sum_of
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

__all__ = ["convolution_input_p", "convolution_kernel_p", "convolution_p"]


def _columns(xp: ArrayModule, x: Array, indices: Iterable[Index]) -> Array:
    """Each window's elements as one row, (batch, *counts, window * channels)."""
    parts = [x[index] for index in indices]
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1)


def _by_group(xp: ArrayModule, columns: Array, window: int, groups: int) -> Array:
    """Rows of windows as (groups, rows, window * channels of a group)."""
    rows, channels = prod(columns.shape[:-1]), columns.shape[-1] // (window * groups)
    parts = xp.permute_dims(xp.reshape(columns, (rows, window, groups, channels)), (2, 0, 1, 3))
    return xp.reshape(parts, (groups, rows, window * channels))


def _kernels_by_group(xp: ArrayModule, w: Array, groups: int) -> Array:
    """A kernel as (groups, window * channels of a group, channels of its output)."""
    window, channels, out = prod(w.shape[:-2]), w.shape[-2], w.shape[-1] // groups
    parts = xp.permute_dims(xp.reshape(w, (window, channels, groups, out)), (2, 0, 1, 3))
    return xp.reshape(parts, (groups, window * channels, out))


def _results_by_group(xp: ArrayModule, y: Array, groups: int) -> Array:
    """Results as (groups, rows, channels of a group)."""
    rows = prod(y.shape[:-1])
    return xp.permute_dims(xp.reshape(y, (rows, groups, y.shape[-1] // groups)), (1, 0, 2))


def _per_channel(xp: ArrayModule, w: Array, groups: int) -> list[Array]:
    """Of a kernel with one channel in each group, a row (groups, outputs of a group) for each place in the window."""
    rows = xp.reshape(w, (prod(w.shape[:-2]), groups, w.shape[-1] // groups))
    return [rows[i, ...] for i in range(rows.shape[0])]


def _deeper(xp: ArrayModule, x: Array) -> Array:
    return xp.reshape(x, (*x.shape, 1))


def _convolve(
    xp: ArrayModule, x: Array, w: Array, *, strides: Lengths, border: Border, dilation: Lengths,
    groups: int,
) -> Array:  # fmt: skip
    window = w.shape[:-2]
    counts = window_counts(x.shape[1:-1], window, strides, border, dilation)
    x = bordered(xp, x, border)
    indices, shape = places(window, strides, dilation, counts), (x.shape[0], *counts, w.shape[-1])
    if groups == 1:
        columns = _columns(xp, x, indices)
        rows = xp.reshape(columns, (prod(shape[:-1]), columns.shape[-1]))
        return xp.reshape(rows @ xp.reshape(w, (rows.shape[-1], w.shape[-1])), shape)
    if w.shape[-2] == 1:
        total = None
        for index, row in zip(indices, _per_channel(xp, w, groups), strict=True):
            part = _deeper(xp, x[index]) * row
            total = part if total is None else total + part
        return xp.reshape(total, shape)
    y = _by_group(xp, _columns(xp, x, indices), prod(window), groups) @ _kernels_by_group(xp, w, groups)
    return xp.reshape(xp.permute_dims(y, (1, 0, 2)), shape)


def _to_input(
    xp: ArrayModule,
    g: Array,
    w: Array,
    *,
    lengths: Lengths,
    strides: Lengths,
    border: Border,
    dilation: Lengths,
    groups: int,
) -> Array:
    window, counts, channels = w.shape[:-2], g.shape[1:-1], w.shape[-2] * groups
    wide = tuple(n + a + b for n, (a, b) in zip(lengths, border, strict=True))
    x = full(xp, g, (g.shape[0], *wide, channels), 0.0)
    parts = _parts_of_input(xp, g, w, prod(window), groups)
    for index, part in zip(places(window, strides, dilation, counts), parts, strict=True):
        x = add(xp, x, part, index)
    return without_border(xp, x, border)


def _parts_of_input(xp: ArrayModule, g: Array, w: Array, window: int, groups: int) -> list[Array]:
    """For each place in the window, what the elements there get: (batch, *counts, channels)."""
    shape = (*g.shape[:-1], w.shape[-2] * groups)
    if groups == 1:
        rows = xp.reshape(g, (prod(shape[:-1]), g.shape[-1]))
        columns = rows @ xp.reshape(w, (window * w.shape[-2], w.shape[-1])).T
        columns = xp.reshape(columns, (*shape[:-1], window * shape[-1]))
        return [columns[..., i * shape[-1] : (i + 1) * shape[-1]] for i in range(window)]
    if w.shape[-2] == 1:
        deep = xp.reshape(g, (*shape, g.shape[-1] // groups))
        return [xp.sum(deep * row, axis=-1) for row in _per_channel(xp, w, groups)]
    turned = xp.permute_dims(_kernels_by_group(xp, w, groups), (0, 2, 1))
    columns = _results_by_group(xp, g, groups) @ turned  # (groups, rows, window * channels)
    columns = xp.reshape(columns, (groups, columns.shape[1], window, w.shape[-2]))
    columns = xp.permute_dims(columns, (2, 1, 0, 3))
    return [xp.reshape(columns[i, ...], shape) for i in range(window)]


def _to_kernel(
    xp: ArrayModule,
    x: Array,
    g: Array,
    *,
    window: Lengths,
    strides: Lengths,
    border: Border,
    dilation: Lengths,
    groups: int,
) -> Array:
    channels, out, counts = x.shape[-1] // groups, g.shape[-1], g.shape[1:-1]
    x = bordered(xp, x, border)
    indices = places(window, strides, dilation, counts)
    if groups == 1:
        columns = _columns(xp, x, indices)
        rows = xp.reshape(columns, (prod(columns.shape[:-1]), columns.shape[-1]))
        return xp.reshape(rows.T @ xp.reshape(g, (rows.shape[0], out)), (*window, channels, out))
    if channels == 1:
        deep = xp.reshape(g, (*g.shape[:-1], groups, out // groups))
        over = tuple(range(g.ndim - 1))
        products = (_deeper(xp, x[index]) * deep for index in indices)
        parts = [xp.reshape(sum_of(xp, p, axis=over, keepdims=False), (1, 1, out)) for p in products]
        whole = parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)
        return xp.reshape(whole, (*window, 1, out))
    columns = _by_group(xp, _columns(xp, x, indices), prod(window), groups)
    y = xp.permute_dims(columns, (0, 2, 1)) @ _results_by_group(xp, g, groups)
    y = xp.reshape(y, (groups, prod(window), channels, out // groups))
    return xp.reshape(xp.permute_dims(y, (1, 2, 0, 3)), (*window, channels, out))


def _windows_of(y: Value, g: Value) -> Value:
    """y at the windows that g has a value for: a transposed convolution with output_padding may have fewer than fit."""
    return y if y.shape == g.shape else y[tuple(slice(n) for n in g.shape)]


convolution_p: Primitive = Primitive(
    "convolution", _convolve, promote="float",
    vjp=(lambda g, y, x, w, **p: convolution_input_p(g, w, lengths=x.shape[1:-1], **p),
         lambda g, y, x, w, **p: convolution_kernel_p(x, g, window=w.shape[:-2], **p)),
    unread=(-1,), doc="y[n, p, o] = sum over i, c of x[n, p * stride + i * dilation, c] * w[i, c, o], in groups",
)  # fmt: skip
convolution_input_p: Primitive = Primitive(
    "convolution_input", _to_input, promote="float",
    vjp=(lambda h, y, g, w, lengths, **p: _windows_of(convolution_p(h, w, **p), g),
         lambda h, y, g, w, lengths, **p: convolution_kernel_p(h, g, window=w.shape[:-2], **p)),
    unread=(-1,), doc="the gradient of a convolution for its input, and the transposed convolution",
)  # fmt: skip
convolution_kernel_p: Primitive = Primitive(
    "convolution_kernel", _to_kernel, promote="float",
    vjp=(lambda v, y, x, g, window, **p: convolution_input_p(g, v, lengths=x.shape[1:-1], **p),
         lambda v, y, x, g, window, **p: _windows_of(convolution_p(x, v, **p), g)),
    unread=(-1,), doc="the gradient of a convolution for its kernel",
)  # fmt: skip
