"""Convolution under PyTorch's names: channels first, its order of arguments, defaults and weights."""

import math
from functools import partial

from tapegrad.autograd.aliases import DTypeLike, TensorLike
from tapegrad.autograd.arguments import one_of, positive_integer, truth
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.ops import convolution_input_p, convolution_p, pad, permute_p
from tapegrad.autograd.ops.windows import Border, window_counts
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.nn import window_docs as docs
from tapegrad.nn import windows as w
from tapegrad.nn.aliases import Built, Config, Sizes
from tapegrad.nn.checks import sizes
from tapegrad.nn.shapes import Shape
from tapegrad.nn.torch_pools import FirstByAxis, channels_first, channels_last
from tapegrad.nn.weights import initial, torch_uniform, weights_dtype
from tapegrad.nn.window_docs import described

MODES = {"zeros": "", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class _FirstWindows(FirstByAxis):
    """What convolutions share."""

    kernel_size: Sizes
    stride: Sizes
    dilation: Sizes
    in_channels: int
    out_channels: int
    groups: int
    padding_mode: str
    weight: Built
    bias: Built
    device = None  # of the constructor: where the weights are says `weight.device`
    checks = {
        "in_channels": positive_integer, "out_channels": positive_integer, "groups": positive_integer,
        "kernel_size": sizes, "stride": sizes, "padding": sizes, "dilation": sizes,
    }  # fmt: skip

    def agree(self) -> None:
        self._numbers()
        for channels in (self.in_channels, self.out_channels):
            if channels % self.groups:
                name = type(self).__name__
                raise ValueError(f"{name}: {channels} channels do not divide into groups={self.groups}")

    def _make(
        self, shape: Shape, filters: int, bias: bool, device: str | None, dtype: DTypeLike | None
    ) -> None:
        name = type(self).__name__
        self._dtype = weights_dtype(name, dtype)
        law = torch_uniform(shape[1] * math.prod(shape[2:]))
        self.weight = Parameter(initial(name, law, shape, self._dtype, device))
        self.bias = (
            Parameter(initial(name, law, (filters,), self._dtype, device))
            if truth(f"{name}: bias", bias)
            else None
        )

    @property
    def dtype(self) -> str:
        """The name of the weights' dtype."""
        return name_of(self.weight.dtype)

    def _numbers(self) -> tuple[Shape, Shape, Shape]:
        name = type(self).__name__
        window = w.per_axis(f"{name}: kernel_size", self.kernel_size, self.axes)
        steps = w.per_axis(f"{name}: stride", self.stride, self.axes)
        return window, steps, w.per_axis(f"{name}: dilation", self.dilation, self.axes)

    def _checked(self, shape: Shape) -> Shape:
        lengths = self._lengths(shape)
        if shape[0] != self.in_channels:
            raise ValueError(f"{self!r}: expected {self.in_channels} channels on axis 1, got {shape[0]}")
        return lengths

    def _kernel(self) -> Tensor:
        """The weight as (*window, channels, filters)."""
        return permute_p(self.weight, axes=(*range(2, self.axes + 2), 1, 0))

    def _result(self, y: Tensor) -> Tensor:
        return channels_first(y if self.bias is None else y + self.bias)

    def config(self) -> Config:
        return super().config() | {"device": None, "bias": self.bias is not None}


class _FirstConv(_FirstWindows):
    padding: Sizes | str
    checks = {"padding_mode": partial(one_of, known=tuple(MODES))}

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1,
        padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", device: str | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self._keep_options(locals())
        shape = (self.out_channels, self.in_channels // self.groups, *self._numbers()[0])
        self._make(shape, self.out_channels, bias, device, dtype)

    def agree(self) -> None:
        super().agree()
        name = type(self).__name__
        if isinstance(self.padding, str):
            one_of(f"{name}: padding", self.padding, ("valid", "same"))
        else:
            w.pairs(f"{name}: padding", self.padding, self.axes)
        if self.padding == "same" and any(s != 1 for s in self._numbers()[1]):
            raise ValueError(f"{name}: padding='same' needs stride 1, as in PyTorch, got {self.stride!r}")

    def _border(self, lengths: Shape) -> Border:
        return w.border_of(type(self).__name__, self.padding, lengths, *self._numbers())

    def infer_shape(self, shape: Shape) -> Shape:
        lengths = self._checked(shape)
        window, steps, apart = self._numbers()
        counts = window_counts(lengths, window, steps, self._border(lengths), apart)
        w.need_windows(type(self).__name__, lengths, counts, window)
        return (self.out_channels, *counts)

    def forward(self, x: TensorLike) -> Tensor:
        x = self._input(x)
        self.infer_shape(x.shape[1:])
        _, strides, dilation = self._numbers()
        border = self._border(x.shape[2:])
        x = channels_last(x)
        if self.padding_mode != "zeros":
            x = pad(x, ((0, 0), *border, (0, 0)), MODES[self.padding_mode])
            border = ((0, 0),) * self.axes
        options = {"strides": strides, "border": border, "dilation": dilation, "groups": self.groups}
        return self._result(convolution_p(x, self._kernel(), **options))


class _FirstConvTranspose(_FirstWindows):
    padding: Sizes
    output_padding: Sizes
    checks = {
        "output_padding": sizes, "padding_mode": partial(one_of, known=("zeros", "")),
    }  # fmt: skip

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1, padding: Sizes = 0,
        output_padding: Sizes = 0, groups: int = 1, bias: bool = True, dilation: Sizes = 1,
        padding_mode: str = "zeros", device: str | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self._keep_options(locals())
        shape = (self.in_channels, self.out_channels // self.groups, *self._numbers()[0])
        self._make(shape, self.out_channels, bias, device, dtype)

    def agree(self) -> None:
        super().agree()
        self._borders()

    def _borders(self) -> tuple[Border, Border]:
        """(padding, output_padding)"""
        name = type(self).__name__
        _, steps, apart = self._numbers()
        more = w.pairs(f"{name}: output_padding", self.output_padding, self.axes)
        if any(m >= max(s, d) for (m, _), s, d in zip(more, steps, apart, strict=True)):
            raise ValueError(
                f"{name}: output_padding must be below stride or dilation, got {self.output_padding!r}"
            )
        return w.pairs(f"{name}: padding", self.padding, self.axes), more

    def infer_shape(self, shape: Shape) -> Shape:
        border, more = self._borders()
        each = zip(self._checked(shape), *self._numbers(), border, more, strict=True)
        lengths = tuple((n - 1) * s - a - b + (k - 1) * d + 1 + m for n, k, s, d, (a, b), (m, _) in each)
        if min(lengths) < 1:
            raise ValueError(f"{self!r}: nothing is left of an input of lengths {tuple(shape[1:])}")
        return (self.out_channels, *lengths)

    def forward(self, x: TensorLike) -> Tensor:
        x = self._input(x)
        lengths = self.infer_shape(x.shape[1:])[1:]
        _, strides, dilation = self._numbers()
        options = {
            "strides": strides,
            "border": self._borders()[0],
            "dilation": dilation,
            "groups": self.groups,
        }
        return self._result(convolution_input_p(channels_last(x), self._kernel(), lengths=lengths, **options))


# ---- the public classes, one for each number of axes ----
@described(docs.CONV_FIRST, docs.FIRST, keras="Conv1D", tail=docs.TAIL_CONV)
class Conv1d(_FirstConv):
    axes = 1


@described(docs.CONV_FIRST, docs.FIRST, keras="Conv2D", tail=docs.TAIL_CONV)
class Conv2d(_FirstConv):
    axes = 2


@described(docs.CONV_FIRST, docs.FIRST, keras="Conv3D", tail=docs.TAIL_CONV)
class Conv3d(_FirstConv):
    axes = 3


@described(docs.TRANSPOSE_FIRST, docs.FIRST, keras="Conv1DTranspose", tail=docs.TAIL_TRANSPOSE)
class ConvTranspose1d(_FirstConvTranspose):
    axes = 1


@described(docs.TRANSPOSE_FIRST, docs.FIRST, keras="Conv2DTranspose", tail=docs.TAIL_TRANSPOSE)
class ConvTranspose2d(_FirstConvTranspose):
    axes = 2


@described(docs.TRANSPOSE_FIRST, docs.FIRST, keras="Conv3DTranspose", tail=docs.TAIL_TRANSPOSE)
class ConvTranspose3d(_FirstConvTranspose):
    axes = 3
