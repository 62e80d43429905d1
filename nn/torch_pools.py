"""Pooling and resizing under PyTorch's names: channels first, its order of arguments and defaults."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import above_0, one_of, optional, positive_integer, truth
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.dtypes import is_floating
from tapegrad.autograd.ops import max_pool_p, permute_p
from tapegrad.autograd.ops.windows import Border, window_counts
from tapegrad.autograd.tensor import Tensor
from tapegrad.nn import window_docs as docs
from tapegrad.nn import windows as w
from tapegrad.nn.aliases import Sizes
from tapegrad.nn.checks import sizes
from tapegrad.nn.module import Layer
from tapegrad.nn.resizing import adaptive_average, adaptive_max, resized
from tapegrad.nn.shapes import Shape
from tapegrad.nn.window_docs import described


def channels_last(x: Tensor) -> Tensor:
    return permute_p(x, axes=(0, *range(2, x.ndim), 1))


def channels_first(x: Tensor) -> Tensor:
    return permute_p(x, axes=(0, x.ndim - 1, *range(1, x.ndim - 1)))


class FirstByAxis(Layer):
    """Of inputs (batch, channels, *lengths) with a number of axes."""

    axes = 2

    def _input(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        self._lengths(x.shape[1:])
        return x if is_floating(x.dtype) else x.astype("float32")

    def _lengths(self, shape: Shape) -> Shape:
        if len(shape) != self.axes + 1:
            raise ValueError(
                f"{self!r}: expected an input of {self.axes + 2} axes, (batch, channels, *lengths), got shape "
                f"(batch, {', '.join(map(str, shape))})"
            )
        return tuple(shape[1:])


class _FirstPool(FirstByAxis):
    """Windows that PyTorch lays out: `padding` at both ends, and with ceil_mode one more that reaches over the end."""

    kernel_size: Sizes
    stride: Sizes | None
    padding: Sizes
    ceil_mode: bool
    dilation: Sizes = 1

    made_of: frozenset[str] = frozenset()  # there are no weights
    checks = {
        "kernel_size": sizes, "stride": sizes, "padding": sizes, "ceil_mode": truth,
    }  # fmt: skip

    def agree(self) -> None:
        if any(2 * p > k for (p, _), k in zip(self._padding(), self._numbers()[0], strict=True)):
            name = type(self).__name__
            raise ValueError(f"{name}: padding must be at most half of the window, got {self.padding!r}")

    def _numbers(self) -> tuple[Shape, Shape, Shape]:
        name = type(self).__name__
        window = w.per_axis(f"{name}: kernel_size", self.kernel_size, self.axes)
        steps = window if self.stride is None else w.per_axis(f"{name}: stride", self.stride, self.axes)
        return window, steps, w.per_axis(f"{name}: dilation", self.dilation, self.axes)

    def _padding(self) -> Border:
        return w.pairs(f"{type(self).__name__}: padding", self.padding, self.axes)

    def _border(self, lengths: Shape) -> Border:
        """The padding, and after it what the last window needs with ceil_mode."""
        border = []
        for n, k, s, d, (p, _) in zip(lengths, *self._numbers(), self._padding(), strict=True):
            span, more = (k - 1) * d + 1, 0
            if self.ceil_mode:
                count = -(-(n + 2 * p - span) // s) + 1
                count -= (count - 1) * s >= n + p  # it would begin behind the end
                more = max((count - 1) * s + span - (n + 2 * p), 0)
            border.append((p, p + more))
        return tuple(border)

    def infer_shape(self, shape: Shape) -> Shape:
        lengths = self._lengths(shape)
        window, steps, apart = self._numbers()
        counts = window_counts(lengths, window, steps, self._border(lengths), apart)
        w.need_windows(type(self).__name__, lengths, counts, window)
        return (shape[0], *counts)


class _MaxPool(_FirstPool):
    checks = {"dilation": sizes}

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        x = self._input(x)
        self.infer_shape(x.shape[1:])
        window, strides, dilation = self._numbers()
        options = {"window": window, "strides": strides, "border": self._border(x.shape[2:])}
        return channels_first(max_pool_p(channels_last(x), dilation=dilation, **options))


class _AvgPool(_FirstPool):
    checks = {"count_include_pad": truth}

    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:  # fmt: skip
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        x = self._input(x)
        self.infer_shape(x.shape[1:])
        window, strides, _ = self._numbers()
        room = self._padding() if self.count_include_pad else None
        return channels_first(w.average(channels_last(x), window, strides, self._border(x.shape[2:]), room))


class _FirstAdaptive(FirstByAxis):
    checks = {"output_size": sizes}

    def __init__(self, output_size: Sizes) -> None:
        self.output_size = output_size

    def agree(self) -> None:
        self._sizes((1,) * self.axes)

    def _sizes(self, lengths: Shape) -> Shape:
        given = (
            self.output_size
            if isinstance(self.output_size, (tuple, list))
            else (self.output_size,) * self.axes
        )
        name = f"{type(self).__name__}: output_size"
        if len(given) != self.axes:
            raise ValueError(f"{name} must be one number or {self.axes}, got {self.output_size!r}")
        return tuple(
            n if m is None else positive_integer(name, m) for m, n in zip(given, lengths, strict=True)
        )

    def infer_shape(self, shape: Shape) -> Shape:
        return (shape[0], *self._sizes(self._lengths(shape)))


class _AdaptiveAvgPool(_FirstAdaptive):
    def forward(self, x: Tensor) -> Tensor:
        x = self._input(x)
        return channels_first(adaptive_average(channels_last(x), self._sizes(x.shape[2:])))


class _AdaptiveMaxPool(_FirstAdaptive):
    def forward(self, x: Tensor) -> Tensor:
        x = self._input(x)
        return channels_first(adaptive_max(channels_last(x), self._sizes(x.shape[2:])))


class Upsample(Layer):
    """x of shape (batch, channels, *lengths) with other lengths; order, defaults and definition are PyTorch's

    Args:
        size: The new lengths; one number, or one for each axis.
        scale_factor: In place of size: the factor; one number, or one for each axis.
        mode: "nearest": the nearest element before; "linear", "bilinear", "trilinear" (of 1, 2, 3 axes): between the
            nearest elements.
        align_corners: Of the linear ones: whether the first and the last elements stay where they are; None is False.

    Raises:
        ValueError: The mode does not fit the number of axes, or both or neither of size and scale_factor are given.
    """

    checks = {
        "size": sizes, "scale_factor": sizes, "align_corners": optional(truth),
        "mode": partial(one_of, known=("nearest", "linear", "bilinear", "trilinear")),
    }  # fmt: skip

    def __init__(
        self,
        size: Sizes | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        self.size, self.scale_factor, self.mode, self.align_corners = size, scale_factor, mode, align_corners

    def agree(self) -> None:
        if self.align_corners is not None and self.mode == "nearest":
            raise ValueError("Upsample: align_corners is an option of the linear modes")
        size, factor = self.size, self.scale_factor
        for length in size if isinstance(size, tuple) else () if size is None else (size,):
            positive_integer("Upsample: size", length)
        for number in factor if isinstance(factor, tuple) else () if factor is None else (factor,):
            above_0("Upsample: scale_factor", number)
        if (size is None) == (factor is None):
            raise ValueError("Upsample: give size or scale_factor, and not both")

    def infer_shape(self, shape: Shape) -> Shape:
        return (shape[0], *self._sizes(tuple(shape[1:])))

    def _sizes(self, lengths: Shape) -> Shape:
        axes = len(lengths)
        if self.mode != "nearest" and axes != {"linear": 1, "bilinear": 2, "trilinear": 3}[self.mode]:
            raise ValueError(f"{self!r}: the mode does not fit an input of {axes + 2} axes")
        if self.size is not None:
            return w.per_axis("Upsample: size", self.size, axes)
        sizes = tuple(int(n * s) for n, s in zip(lengths, self._scales(axes), strict=True))
        if not axes or min(sizes) < 1:
            raise ValueError(f"{self!r}: nothing is left of an input of lengths {lengths}")
        return sizes

    def _scales(self, axes: int) -> tuple[float, ...]:
        given: Any = self.scale_factor
        scales = tuple(given) if isinstance(given, (tuple, list)) else (given,) * axes
        if len(scales) != axes:
            raise ValueError(f"Upsample: scale_factor must be one number or {axes}, got {given!r}")
        return scales

    def forward(self, x: Tensor) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        x = x if is_floating(x.dtype) else x.astype("float32")
        sizes, axes = self._sizes(x.shape[2:]), x.ndim - 2
        mode = "nearest" if self.mode == "nearest" else "linear"
        scales = None if self.size is not None else self._scales(axes)
        return resized(x, sizes, mode, align_corners=bool(self.align_corners), scales=scales, first=2)


# ---- the public classes, one for each number of axes ----
@described(docs.MAX_FIRST, docs.FIRST)
class MaxPool1d(_MaxPool):
    axes = 1


@described(docs.MAX_FIRST, docs.FIRST)
class MaxPool2d(_MaxPool):
    axes = 2


@described(docs.MAX_FIRST, docs.FIRST)
class MaxPool3d(_MaxPool):
    axes = 3


@described(docs.AVERAGE_FIRST, docs.FIRST)
class AvgPool1d(_AvgPool):
    axes = 1


@described(docs.AVERAGE_FIRST, docs.FIRST)
class AvgPool2d(_AvgPool):
    axes = 2


@described(docs.AVERAGE_FIRST, docs.FIRST)
class AvgPool3d(_AvgPool):
    axes = 3


@described(docs.ADAPTIVE_FIRST, docs.FIRST, what="The mean")
class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    axes = 1


@described(docs.ADAPTIVE_FIRST, docs.FIRST, what="The mean")
class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    axes = 2


@described(docs.ADAPTIVE_FIRST, docs.FIRST, what="The mean")
class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    axes = 3


@described(docs.ADAPTIVE_FIRST, docs.FIRST, what="The largest element")
class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    axes = 1


@described(docs.ADAPTIVE_FIRST, docs.FIRST, what="The largest element")
class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    axes = 2


@described(docs.ADAPTIVE_FIRST, docs.FIRST, what="The largest element")
class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    axes = 3
