"""Convolution and pooling as functions: (batch, *lengths, channels), over any number of axes."""

from math import prod
from typing import Any

import numpy as np

from tapegrad.autograd.aliases import Params, TensorLike
from tapegrad.autograd.arguments import index_of, one_of, positive_integer
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.ops import convolution_input_p, convolution_p, max_pool_p, reshape_p, window_sum_p
from tapegrad.autograd.ops.windows import Border, Lengths, window_counts
from tapegrad.autograd.tensor import Tensor
from tapegrad.nn.aliases import BorderLike, Padding, Sizes
from tapegrad.nn.inputs import as_input


def kept(value: object) -> Any:
    """An option as a layer keeps it: lists, as a file has them, as tuples."""
    return tuple(map(kept, value)) if isinstance(value, (list, tuple)) else value


def per_axis(name: str, value: Sizes, axes: int) -> Lengths:
    """A positive integer for each axis, of one number or a sequence."""
    if isinstance(value, (list, tuple)):
        if len(value) != axes:
            raise ValueError(f"{name} must be one number or {axes}, got {value!r}")
        return tuple(positive_integer(name, n) for n in value)
    return (positive_integer(name, value),) * axes


def pair(name: str, value: object) -> tuple[int, int]:
    """A number of elements before and after, of one number for both or a pair."""
    given = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
    both = tuple(n for size in given if (n := index_of(size)) is not None and n >= 0)
    if len(given) != 2 or len(both) != 2:
        raise ValueError(f"{name} must be made of integers of at least 0, got {value!r}")
    return both[0], both[1]


def pairs(name: str, value: BorderLike, axes: int) -> Border:
    """Of one number for all, or a number or a pair for each axis."""
    if not isinstance(value, (list, tuple)):
        return (pair(name, value),) * axes
    if len(value) != axes:
        raise ValueError(
            f"{name} must be one number, or a number or a pair for each of {axes} axes, got {value!r}"
        )
    return tuple(pair(name, n) for n in value)


def border_of(
    name: str, padding: Padding, lengths: Lengths, window: Lengths, strides: Lengths, dilation: Lengths
) -> Border:
    """The elements of the border before and after, along each axis."""
    if not isinstance(padding, str):
        return pairs(f"{name}: padding", padding, len(window))
    known = ("valid", "same", "causal") if len(window) == 1 else ("valid", "same")
    padding = one_of(f"{name}: padding", padding.lower(), known)
    if padding == "valid":
        return ((0, 0),) * len(window)
    if padding == "causal":
        return tuple(((k - 1) * d, 0) for k, d in zip(window, dilation, strict=True))
    border = []
    for n, k, s, d in zip(lengths, window, strides, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        border.append((total // 2, total - total // 2))
    return tuple(border)


def transposed_lengths(
    lengths: Lengths, window: Lengths, strides: Lengths, dilation: Lengths, padding: str, more: Lengths | None
) -> Lengths:
    """Keras's lengths of the result of a transposed convolution. `more` is its output_padding."""
    found = []
    for i, (n, k, s, d) in enumerate(zip(lengths, window, strides, dilation, strict=True)):
        span = (k - 1) * d + 1
        if more is None:
            found.append(n * s + max(span - s, 0) if padding == "valid" else n * s)
        else:
            cut = 0 if padding == "valid" else span // 2
            found.append((n - 1) * s + span - 2 * cut + more[i])
    return tuple(found)


def transposed_border(
    counts: Lengths, lengths: Lengths, window: Lengths, strides: Lengths, dilation: Lengths
) -> Border:
    """What `counts` windows reach over the ends of a result of these lengths: half of it, the smaller half, before."""
    border = []
    for count, n, k, s, d in zip(counts, lengths, window, strides, dilation, strict=True):
        total = max((count - 1) * s + (k - 1) * d + 1 - n, 0)
        border.append((total // 2, total - total // 2))
    return tuple(border)


def more_at_end(name: str, output_padding: Sizes | None, strides: Lengths) -> Lengths | None:
    """How much longer the result of a transposed convolution is, along each axis."""
    if output_padding is None:
        return None
    given = output_padding if isinstance(output_padding, (tuple, list)) else (output_padding,) * len(strides)
    more = tuple(n for m in given if (n := index_of(m)) is not None)
    fits = len(given) == len(more) == len(strides) and all(0 <= m < s for m, s in zip(more, strides))
    if not fits:
        raise ValueError(
            f"{name}: output_padding must be integers from 0 to below the strides {strides}, got {output_padding!r}"
        )
    return more


def as_floats(name: str, x: TensorLike, axes: int | None = None) -> Tensor:
    """The input as a floating-point tensor of a batch, some axes, and channels."""
    x = as_input(x)
    if x.ndim < 3 or (axes is not None and x.ndim != axes + 2):
        expected = "at least 3 axes" if axes is None else f"{axes + 2} axes"
        raise ValueError(
            f"{name}: expected an input of {expected}, (batch, *lengths, channels), got shape {x.shape}"
        )
    return x


def need_windows(name: str, lengths: Lengths, counts: Lengths, window: Lengths) -> None:
    """Raise unless each axis has room for a window."""
    if not all(counts):
        raise ValueError(
            f"{name}: a window of {window} does not fit into an input of lengths {tuple(lengths)}"
        )


def groups_of(name: str, channels: int, kernel: Tensor) -> int:
    per = kernel.shape[-2]
    if not per or channels % per or kernel.shape[-1] % (channels // per):
        raise ValueError(
            f"{name}: a kernel of shape {kernel.shape} does not fit {channels} channels: expected (*window, channels / "
            "groups, filters), filters being a multiple of the groups"
        )
    return channels // per


def conv(
    x: TensorLike,
    kernel: TensorLike,
    strides: Sizes = 1,
    padding: Padding = "valid",
    *,
    dilation_rate: Sizes = 1,
) -> Tensor:
    """y[n, p, o] = sum over i and c of x[n, p * stride + i * dilation - before, c] * kernel[i, c, o]

    p and i are places on as many axes as the kernel has. Definition: Keras's `ops.conv`, channels last.

    Args:
        x: Shape (batch, *lengths, channels), floating; integers become float32.
        kernel: Shape (*window, channels / groups, filters). With fewer channels than x it is convolved in groups: group
            i of the filters sees group i of the channels.
        strides: How far apart the windows are; one number, or one for each axis.
        padding: The zeros around x. "valid": none. "same": as many as give ceil(length / stride) windows, half of them
            (the smaller half) before. "causal", of one axis: all of them before, so that no window sees what comes
            later. Or numbers: one for all, or a number or a pair (before, after) for each axis.
        dilation_rate: How far apart the elements of a window are; one number, or one for each axis.

    Returns:
        A Tensor of shape (batch, *counts, filters).

    Raises:
        ValueError: The kernel does not fit the channels, or no window fits.
    """
    x = as_floats("conv", x)
    kernel = kernel if isinstance(kernel, Tensor) else tensor(kernel, device=x.device)
    axes = x.ndim - 2
    if kernel.ndim != x.ndim:
        raise ValueError(
            f"conv: expected a kernel of {x.ndim} axes for an input of shape {x.shape}, got {kernel.shape}"
        )
    window, groups = kernel.shape[:-2], groups_of("conv", x.shape[-1], kernel)
    strides, dilation = (
        per_axis("conv: strides", strides, axes),
        per_axis("conv: dilation_rate", dilation_rate, axes),
    )
    border = border_of("conv", padding, x.shape[1:-1], window, strides, dilation)
    need_windows(
        "conv", x.shape[1:-1], window_counts(x.shape[1:-1], window, strides, border, dilation), window
    )
    return convolution_p(x, kernel, strides=strides, border=border, dilation=dilation, groups=groups)


def conv_transpose(
    x: TensorLike, kernel: TensorLike, strides: Sizes = 1, padding: str = "valid", *,
    output_padding: Sizes | None = None, dilation_rate: Sizes = 1,
) -> Tensor:  # fmt: skip
    """The gradient of a convolution for its input: each element of x times the kernel, added up where they overlap

    Definition: Keras's `ops.conv_transpose`, channels last. Zeiler et al. 2010, "Deconvolutional networks".

    Args:
        x: Shape (batch, *lengths, channels), floating; integers become float32.
        kernel: Shape (*window, filters, channels).
        strides: How far apart the windows are in the result; one number, or one for each axis.
        padding: "valid": the result has length * stride + max(window - stride, 0) elements; "same": length * stride.
        output_padding: For each axis, how much longer the result is than (length - 1) * stride + window - 2 * cut,
            where cut is 0 for "valid" and window // 2 for "same"; None: the lengths above.
        dilation_rate: How far apart the elements of a window are; one number, or one for each axis.

    Returns:
        A Tensor of shape (batch, *lengths of the result, filters).
    """
    x = as_floats("conv_transpose", x)
    kernel = kernel if isinstance(kernel, Tensor) else tensor(kernel, device=x.device)
    if kernel.ndim != x.ndim or kernel.shape[-1] != x.shape[-1]:
        raise ValueError(
            f"conv_transpose: expected a kernel of shape (*window, filters, {x.shape[-1]}) for an input of shape "
            f"{x.shape}, got {kernel.shape}"
        )
    axes, window = x.ndim - 2, kernel.shape[:-2]
    strides = per_axis("conv_transpose: strides", strides, axes)
    dilation = per_axis("conv_transpose: dilation_rate", dilation_rate, axes)
    padding = one_of("conv_transpose: padding", padding, ("valid", "same"))
    more = more_at_end("conv_transpose", output_padding, strides)
    lengths = transposed_lengths(x.shape[1:-1], window, strides, dilation, padding, more)
    if not all(n > 0 for n in lengths):
        raise ValueError(
            f"conv_transpose: an input of shape {x.shape} with a window of {window} and output_padding "
            f"{output_padding!r} would make {lengths}, expected lengths of at least 1\nWrite output_padding=None"
        )
    border = transposed_border(x.shape[1:-1], lengths, window, strides, dilation)
    options = {"strides": strides, "border": border, "dilation": dilation, "groups": 1}
    return convolution_input_p(x, kernel, lengths=lengths, **options)


def depthwise_conv(
    x: TensorLike,
    kernel: TensorLike,
    strides: Sizes = 1,
    padding: Padding = "valid",
    *,
    dilation_rate: Sizes = 1,
) -> Tensor:
    """Each channel convolved with kernels of its own. Definition: Keras's `ops.depthwise_conv`, channels last.

    Args:
        x: Shape (batch, *lengths, channels), floating; integers become float32.
        kernel: Shape (*window, channels, multiplier).
        strides: How far apart the windows are; one number, or one for each axis.
        padding: As of `conv`.
        dilation_rate: How far apart the elements of a window are; one number, or one for each axis.

    Returns:
        A Tensor of shape (batch, *counts, channels * multiplier), the results of each channel next to each other.
    """
    x = as_floats("depthwise_conv", x)
    kernel = kernel if isinstance(kernel, Tensor) else tensor(kernel, device=x.device)
    if kernel.ndim != x.ndim or kernel.shape[-2] != x.shape[-1]:
        raise ValueError(
            f"depthwise_conv: expected a kernel of shape (*window, {x.shape[-1]}, multiplier) for an input of shape "
            f"{x.shape}, got {kernel.shape}"
        )
    flat = reshape_p(kernel, shape=(*kernel.shape[:-2], 1, kernel.shape[-2] * kernel.shape[-1]))
    return conv(x, flat, strides, padding, dilation_rate=dilation_rate)


def separable_conv(
    x: TensorLike, depthwise_kernel: TensorLike, pointwise_kernel: TensorLike, strides: Sizes = 1,
    padding: Padding = "valid", *, dilation_rate: Sizes = 1,
) -> Tensor:  # fmt: skip
    """A depthwise convolution, whose channels a convolution over windows of one element then mixes

    Definition: Keras's `ops.separable_conv`, channels last. Chollet 2017, "Xception".

    Args:
        x: Shape (batch, *lengths, channels), floating; integers become float32.
        depthwise_kernel: Shape (*window, channels, multiplier).
        pointwise_kernel: Shape (1, …, 1, channels * multiplier, filters).
        strides: Of the first convolution; one number, or one for each axis.
        padding: Of the first convolution, as of `conv`.
        dilation_rate: Of the first convolution; one number, or one for each axis.

    Returns:
        A Tensor of shape (batch, *counts, filters).
    """
    return conv(
        depthwise_conv(x, depthwise_kernel, strides, padding, dilation_rate=dilation_rate), pointwise_kernel
    )


def divisors(
    lengths: Lengths, window: Lengths, strides: Lengths, border: Border, counts: Lengths, wide: bool
) -> np.ndarray:
    """How many elements each window has, of shape (*counts, 1): with `wide`, those of the border count."""
    total = np.ones((), np.float64)
    for n, k, s, (before, after), count in zip(lengths, window, strides, border, counts, strict=True):
        start = np.arange(count) * s - before
        low, high = (-before, n + after) if wide else (0, n)
        total = total[..., None] * np.maximum(np.minimum(start + k, high) - np.maximum(start, low), 1)
    return total[..., None]


def average(
    x: Tensor, window: Lengths, strides: Lengths, border: Border, room: Border | None = None
) -> Tensor:
    """The mean of each window. `room`: the part of the border that counts; None: nothing of it."""
    kind, lengths = x.dtype, x.shape[1:-1]
    if name_of(kind) == "float16":  # added up, it stops growing at 2048
        x = x.astype("float32", copy=False)
    counts = window_counts(lengths, window, strides, border, (1,) * len(window))
    total = window_sum_p(x, window=window, strides=strides, border=border)
    each = divisors(lengths, window, strides, room or border, counts, room is not None)
    if (each == prod(window)).all():
        return (total * (1.0 / prod(window))).astype(kind, copy=False)
    return (total * tensor(1.0 / each, dtype=name_of(x.dtype), device=x.device)).astype(kind, copy=False)


def _pool_options(name: str, x: Tensor, pool_size: Sizes, strides: Sizes | None, padding: str) -> Params:
    axes = x.ndim - 2
    window = per_axis(f"{name}: pool_size", pool_size, axes)
    strides = window if strides is None else per_axis(f"{name}: strides", strides, axes)
    lowered = padding.lower() if isinstance(padding, str) else padding
    padding = one_of(f"{name}: padding", lowered, ("valid", "same"))
    ones = (1,) * axes
    border = border_of(name, padding, x.shape[1:-1], window, strides, ones)
    need_windows(name, x.shape[1:-1], window_counts(x.shape[1:-1], window, strides, border, ones), window)
    return {"window": window, "strides": strides, "border": border}


def max_pool(x: TensorLike, pool_size: Sizes, strides: Sizes | None = None, padding: str = "valid") -> Tensor:
    """The largest element of each window, channel by channel; of equal ones the first gets the gradient

    Definition: Keras's `ops.max_pool`, channels last.

    Args:
        x: Shape (batch, *lengths, channels), floating; integers become float32.
        pool_size: The lengths of a window; one number, or one for each axis.
        strides: How far apart the windows are; None: as far as they are long.
        padding: "valid": windows inside x. "same": ceil(length / stride) windows, which may reach over the ends.

    Returns:
        A Tensor of shape (batch, *counts, channels).

    Raises:
        ValueError: No window fits.
    """
    x = as_floats("max_pool", x)
    options = _pool_options("max_pool", x, pool_size, strides, padding)
    return max_pool_p(x, dilation=(1,) * (x.ndim - 2), **options)


def average_pool(
    x: TensorLike, pool_size: Sizes, strides: Sizes | None = None, padding: str = "valid"
) -> Tensor:
    """The mean of each window, channel by channel, of the elements that are in x

    Definition: Keras's `ops.average_pool`, channels last.

    Args:
        x: Shape (batch, *lengths, channels), floating; integers become float32.
        pool_size: The lengths of a window; one number, or one for each axis.
        strides: How far apart the windows are; None: as far as they are long.
        padding: "valid": windows inside x. "same": ceil(length / stride) windows, which may reach over the ends.

    Returns:
        A Tensor of shape (batch, *counts, channels).

    Raises:
        ValueError: No window fits.
    """
    x = as_floats("average_pool", x)
    return average(x, **_pool_options("average_pool", x, pool_size, strides, padding))
