"""Convolution layers under Keras's names, channels last. PyTorch's, channels first, stand in `torch_windows`."""

from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar

from tapegrad.autograd.aliases import DTypeLike, TensorLike
from tapegrad.autograd.arguments import one_of, positive_integer, truth
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.ops.windows import window_counts
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.backends import default_place
from tapegrad.backends.aliases import Function
from tapegrad.nn import windows as w
from tapegrad.nn.aliases import ActivationLike, Built, Config, Initializer, Padding, Sizes, WeightRuleLike
from tapegrad.nn.checks import INPUT, activation_or_none, initializer, sizes
from tapegrad.nn.module import Layer, Module
from tapegrad.nn.shapes import Shape, ShapeLike
from tapegrad.nn.weight_rules import rules_of
from tapegrad.nn.weights import initial, weights_dtype


class _Windows(Layer):
    """What convolution layers share: weights that are made when the number of channels is known."""

    axes = 2
    strides: Sizes
    kernel_size: Sizes
    dilation_rate: Sizes
    padding: Padding
    bias: Built = None
    activation: Function | None
    in_features: int | None
    use_bias: bool
    bias_initializer: Function
    checks = {
        "kernel_size": sizes, "strides": sizes, "padding": sizes, "dilation_rate": sizes,
        "activation": activation_or_none, "use_bias": truth, "bias_initializer": initializer, **rules_of("bias"),
        **INPUT,
    }  # fmt: skip

    def _prepare(self, options: Config) -> None:
        """Keep the options. Called last by the constructors: it may make the weights."""
        name = type(self).__name__
        self._keep_options(options)
        self._dtype = weights_dtype(name, options["dtype"])
        self.built = False
        if self.input_shape is not None:
            if self.in_features is not None:
                raise ValueError(f"{name}: give in_features or input_shape, not both")
            self._fitting((1, *self.input_shape), default_place())
        elif self.in_features is not None:
            self._make_weights(self.in_features, default_place())

    def agree(self) -> None:
        window, steps, apart = self._numbers()
        w.border_of(type(self).__name__, self.padding, window, window, steps, apart)

    def _numbers(self) -> tuple[Shape, Shape, Shape]:
        """The window, the strides and the dilation, a number for each axis."""
        name = type(self).__name__
        window = w.per_axis(f"{name}: kernel_size", self.kernel_size, self.axes)
        steps = w.per_axis(f"{name}: strides", self.strides, self.axes)
        return window, steps, w.per_axis(f"{name}: dilation_rate", self.dilation_rate, self.axes)

    @property
    def dtype(self) -> str:
        """The name of the weights' dtype."""
        weight = next((t for t in vars(self).values() if isinstance(t, Parameter)), None)
        return self._dtype if weight is None else name_of(weight.dtype)

    def _make_weights(self, channels: int, device: str) -> None:
        self.in_features = channels
        self._weights(channels, self._numbers()[0], device)
        self.built = True
        self.keep_frozen()

    def _weights(self, channels: int, window: Shape, device: str) -> None:
        raise NotImplementedError

    def _parameter(self, initializer: Function, shape: Shape, device: str) -> Parameter:
        return Parameter(initial(type(self).__name__, initializer, shape, self._dtype, device))

    def _bias(self, filters: int, device: str) -> Parameter | None:
        return self._parameter(self.bias_initializer, (filters,), device) if self.use_bias else None

    def _fitting(self, shape: Shape, device: str) -> None:
        if len(shape) != self.axes + 2:
            raise ValueError(
                f"{self!r}: expected an input of {self.axes + 2} axes, (batch, *lengths, channels), got shape "
                f"{tuple(shape)}"
            )
        if not self.built:
            self._make_weights(shape[-1], device)
        elif shape[-1] != self.in_features:
            raise ValueError(
                f"{self!r}: expected an input with {self.in_features} channels in the last axis, got shape "
                f"{tuple(shape)}"
            )

    def infer_shape(self, shape: Shape) -> Shape:
        self._fitting((1, *shape), default_place())
        return (*self._counts(shape[:-1]), self._filters())

    def _counts(self, lengths: Shape) -> Shape:
        window, steps, apart = self._numbers()
        border = w.border_of(type(self).__name__, self.padding, lengths, window, steps, apart)
        counts = window_counts(lengths, window, steps, border, apart)
        w.need_windows(type(self).__name__, lengths, counts, window)
        return counts

    def _filters(self) -> int:
        raise NotImplementedError

    def _convolved(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        self._fitting(x.shape, x.device)
        y = self._convolved(x)
        if self.bias is not None:
            y = y + self.bias
        return y if self.activation is None else self.activation(y)

    def config(self) -> Config:
        config = super().config()
        if self.input_shape is not None:
            config["in_features"] = None  # input_shape says it
        return config


class _Conv(_Windows):
    filters: int
    groups: int
    kernel_initializer: Function
    checks = {
        "filters": positive_integer, "groups": positive_integer,
        "kernel_initializer": initializer, **rules_of("kernel"),
    }  # fmt: skip

    def __init__(
        self, filters: int, kernel_size: Sizes, strides: Sizes = 1, padding: Padding = "valid", *,
        dilation_rate: Sizes = 1, groups: int = 1, activation: ActivationLike | None = None,
        use_bias: bool = True, kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros", kernel_regularizer: WeightRuleLike | None = None,
        bias_regularizer: WeightRuleLike | None = None, kernel_constraint: WeightRuleLike | None = None,
        bias_constraint: WeightRuleLike | None = None, in_features: int | None = None,
        input_shape: ShapeLike | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self.kernel: Built = None
        self._prepare(locals())

    def agree(self) -> None:
        if self.filters % self.groups:
            name = type(self).__name__
            raise ValueError(f"{name}: filters={self.filters} do not divide into groups={self.groups}")
        super().agree()

    def _weights(self, channels: int, window: Shape, device: str) -> None:
        if channels % self.groups:
            raise ValueError(
                f"{type(self).__name__}: {channels} channels do not divide into groups={self.groups}"
            )
        shape = (*window, channels // self.groups, self.filters)
        self.kernel = self._parameter(self.kernel_initializer, shape, device)
        self.bias = self._bias(self.filters, device)

    def _filters(self) -> int:
        return self.filters

    def _convolved(self, x: Tensor) -> Tensor:
        return w.conv(x, self.kernel, self.strides, self.padding, dilation_rate=self.dilation_rate)


class _ConvTranspose(_Windows):
    filters: int
    kernel_initializer: Function
    output_padding: Any
    checks = {
        "filters": positive_integer, "output_padding": sizes,
        "kernel_initializer": initializer, **rules_of("kernel"),
        "padding": partial(one_of, known=("valid", "same")),
    }  # fmt: skip

    def __init__(
        self, filters: int, kernel_size: Sizes, strides: Sizes = 1, padding: str = "valid", *,
        output_padding: Sizes | None = None, dilation_rate: Sizes = 1,
        activation: ActivationLike | None = None, use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform", bias_initializer: Initializer = "zeros",
        kernel_regularizer: WeightRuleLike | None = None, bias_regularizer: WeightRuleLike | None = None,
        kernel_constraint: WeightRuleLike | None = None, bias_constraint: WeightRuleLike | None = None,
        in_features: int | None = None, input_shape: ShapeLike | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self.kernel: Built = None
        self._prepare(locals())

    def agree(self) -> None:
        super().agree()
        w.more_at_end(type(self).__name__, self.output_padding, self._numbers()[1])

    def _weights(self, channels: int, window: Shape, device: str) -> None:
        self.kernel = self._parameter(self.kernel_initializer, (*window, self.filters, channels), device)
        self.bias = self._bias(self.filters, device)

    def _filters(self) -> int:
        return self.filters

    def _counts(self, lengths: Shape) -> Shape:
        more = w.more_at_end(type(self).__name__, self.output_padding, self._numbers()[1])
        return w.transposed_lengths(lengths, *self._numbers(), str(self.padding), more)

    def _convolved(self, x: Tensor) -> Tensor:
        options = {"output_padding": self.output_padding, "dilation_rate": self.dilation_rate}
        return w.conv_transpose(x, self.kernel, self.strides, str(self.padding), **options)


class _DepthwiseConv(_Windows):
    depth_multiplier: int
    depthwise_initializer: Function
    checks = {
        "depth_multiplier": positive_integer, "depthwise_initializer": initializer,
        **rules_of("depthwise"),
    }  # fmt: skip
    _rule_weights: Mapping[str, str] = {"depthwise": "kernel"}

    def __init__(
        self, kernel_size: Sizes, strides: Sizes = 1, padding: Padding = "valid", *,
        depth_multiplier: int = 1, dilation_rate: Sizes = 1, activation: ActivationLike | None = None,
        use_bias: bool = True, depthwise_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros", depthwise_regularizer: WeightRuleLike | None = None,
        bias_regularizer: WeightRuleLike | None = None, depthwise_constraint: WeightRuleLike | None = None,
        bias_constraint: WeightRuleLike | None = None, in_features: int | None = None,
        input_shape: ShapeLike | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self.kernel: Built = None
        self._prepare(locals())

    def _weights(self, channels: int, window: Shape, device: str) -> None:
        shape = (*window, channels, self.depth_multiplier)
        self.kernel = self._parameter(self.depthwise_initializer, shape, device)
        self.bias = self._bias(channels * self.depth_multiplier, device)

    def _filters(self) -> int:
        assert self.in_features is not None
        return self.in_features * self.depth_multiplier

    def _convolved(self, x: Tensor) -> Tensor:
        return w.depthwise_conv(x, self.kernel, self.strides, self.padding, dilation_rate=self.dilation_rate)


class _SeparableConv(_Windows):
    filters: int
    depth_multiplier: int
    depthwise_initializer: Function
    pointwise_initializer: Function
    checks = {
        "filters": positive_integer, "depth_multiplier": positive_integer,
        "depthwise_initializer": initializer, "pointwise_initializer": initializer,
        **rules_of("depthwise", "pointwise"),
    }  # fmt: skip
    _rule_weights: Mapping[str, str] = {"depthwise": "depthwise_kernel", "pointwise": "pointwise_kernel"}

    def __init__(
        self, filters: int, kernel_size: Sizes, strides: Sizes = 1, padding: Padding = "valid", *,
        dilation_rate: Sizes = 1, depth_multiplier: int = 1, activation: ActivationLike | None = None,
        use_bias: bool = True, depthwise_initializer: Initializer = "glorot_uniform",
        pointwise_initializer: Initializer = "glorot_uniform", bias_initializer: Initializer = "zeros",
        depthwise_regularizer: WeightRuleLike | None = None,
        pointwise_regularizer: WeightRuleLike | None = None, bias_regularizer: WeightRuleLike | None = None,
        depthwise_constraint: WeightRuleLike | None = None,
        pointwise_constraint: WeightRuleLike | None = None, bias_constraint: WeightRuleLike | None = None,
        in_features: int | None = None, input_shape: ShapeLike | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self.depthwise_kernel: Built = None
        self.pointwise_kernel: Built = None
        self._prepare(locals())

    def _weights(self, channels: int, window: Shape, device: str) -> None:
        multiplier, ones = self.depth_multiplier, (1,) * self.axes
        self.depthwise_kernel = self._parameter(
            self.depthwise_initializer, (*window, channels, multiplier), device
        )
        self.pointwise_kernel = self._parameter(
            self.pointwise_initializer, (*ones, channels * multiplier, self.filters), device
        )
        self.bias = self._bias(self.filters, device)

    def _filters(self) -> int:
        return self.filters

    def _convolved(self, x: Tensor) -> Tensor:
        kernels = self.depthwise_kernel, self.pointwise_kernel
        return w.separable_conv(x, *kernels, self.strides, self.padding, dilation_rate=self.dilation_rate)


# ---- the public classes, one for each number of axes ----
_SHARED = """strides: How far apart the windows are; one number, or one for each axis.
        padding: "valid": no zeros around x; "same": ceil(length / stride) windows{causal}. Or numbers: one for all,
            or a number or a pair (before, after) for each axis."""
_TAIL = """activation: A name from `nn.activations`, a function x -> y, or None for none.
        use_bias: Whether there is a bias.
        {initializers}: Names from `nn.init`, or functions shape -> array.
        {regularizers}: Penalties of the weights, as of `nn.Dense`.
        {constraints}: What the weights become after each step, as of `nn.Dense`.
        in_features: The number of channels of the input. With None the weights are made at the first call, or by
            `build(shape)`.
        input_shape: Keras's form of in_features: the shape of one sample.
        dtype: The floating dtype of the weights; None is `tg.get_default_dtype()`.

    Raises:
        ValueError: The input has another number of axes or channels, or no window fits into it."""
_DILATION = "dilation_rate: How far apart the elements of a window are; one number, or one for each axis."
_CONV = """activation(convolution of x with kernel + bias) over {axes}, as `nn.functional.conv`

    x has the shape {shape} and any floating dtype; y has `filters` channels. `kernel` is a Parameter of shape
    (*window, channels / groups, filters), `bias` one of shape (filters,), or None. Definition and defaults: Keras's
    {name}, channels last. `nn.{torch}` is PyTorch's, channels first.

    Args:
        filters: The number of channels of the result.
        kernel_size: The lengths of a window; one number, or one for each axis.
        {shared}
        {dilation}
        groups: In how many groups channels and filters are; a filter sees the channels of its group.
        {tail}
    """
_TRANSPOSE = """activation(transposed convolution of x with kernel + bias) over {axes}, as `F.conv_transpose`

    x has the shape {shape} and any floating dtype; y has `filters` channels. `kernel` is a Parameter of shape
    (*window, filters, channels), `bias` one of shape (filters,), or None. Definition and defaults: Keras's {name},
    channels last. `nn.{torch}` is PyTorch's, channels first.

    Args:
        filters: The number of channels of the result.
        kernel_size: The lengths of a window; one number, or one for each axis.
        strides: How far apart the windows are in the result; one number, or one for each axis.
        padding: "valid": y has length * stride + max(window - stride, 0) elements; "same": length * stride.
        output_padding: Another length of the result, as of `nn.functional.conv_transpose`; None: the lengths above.
        {dilation}
        {tail}
    """
_DEPTHWISE = """activation(each channel convolved with kernels of its own + bias) over {axes}

    x has the shape {shape} and any floating dtype; y has channels * depth_multiplier channels. `kernel` is a
    Parameter of shape (*window, channels, depth_multiplier), `bias` one for each channel of y, or None. Definition and
    defaults: Keras's {name}, channels last.

    Args:
        kernel_size: The lengths of a window; one number, or one for each axis.
        {shared}
        depth_multiplier: How many kernels each channel has.
        {dilation}
        {tail}
    """
_SEPARABLE = """activation(depthwise convolution of x, its channels mixed + bias) over {axes} (Chollet 2017, "Xception")

    x has the shape {shape} and any floating dtype; y has `filters` channels. `depthwise_kernel` is a Parameter of shape
    (*window, channels, depth_multiplier), `pointwise_kernel` one of shape (1, …, 1, channels * depth_multiplier,
    filters), `bias` one of shape (filters,), or None. Definition and defaults: Keras's {name}, channels last.

    Args:
        filters: The number of channels of the result.
        kernel_size: The lengths of a window; one number, or one for each axis.
        {shared}
        {dilation}
        depth_multiplier: How many kernels each channel has.
        {tail}
    """
Kind = TypeVar("Kind", bound=Module)
_AXES = {1: "one axis", 2: "two axes", 3: "three axes"}
_SHAPES = {
    1: "(batch, length, channels)",
    2: "(batch, height, width, channels)",
    3: "(batch, *3 lengths, channels)",
}


def _named(stems: tuple[str, ...]) -> dict[str, str]:
    """The options that each weight has."""
    return {
        f"{kind}s": ", ".join(f"{s}_{kind}" for s in stems)
        for kind in ("initializer", "regularizer", "constraint")
    }


def _layer(
    name: str, base: type[Kind], axes: int, doc: str, stems: tuple[str, ...], torch: str = ""
) -> type[Kind]:
    causal = ', "causal": all of them before' if axes == 1 else ""
    text = doc.format(
        axes=_AXES[axes], shape=_SHAPES[axes], name=name, torch=torch, shared=_SHARED.format(causal=causal),
        dilation=_DILATION, tail=_TAIL.format(**_named(stems)),
    )  # fmt: skip
    return type(name, (base,), {"axes": axes, "__doc__": text, "__module__": __name__})


_BOTH, _DEPTH, _THREE = ("kernel", "bias"), ("depthwise", "bias"), ("depthwise", "pointwise", "bias")
Conv1D = _layer("Conv1D", _Conv, 1, _CONV, _BOTH, "Conv1d")
Conv2D = _layer("Conv2D", _Conv, 2, _CONV, _BOTH, "Conv2d")
Conv3D = _layer("Conv3D", _Conv, 3, _CONV, _BOTH, "Conv3d")
Conv1DTranspose = _layer("Conv1DTranspose", _ConvTranspose, 1, _TRANSPOSE, _BOTH, "ConvTranspose1d")
Conv2DTranspose = _layer("Conv2DTranspose", _ConvTranspose, 2, _TRANSPOSE, _BOTH, "ConvTranspose2d")
Conv3DTranspose = _layer("Conv3DTranspose", _ConvTranspose, 3, _TRANSPOSE, _BOTH, "ConvTranspose3d")
DepthwiseConv1D = _layer("DepthwiseConv1D", _DepthwiseConv, 1, _DEPTHWISE, _DEPTH)
DepthwiseConv2D = _layer("DepthwiseConv2D", _DepthwiseConv, 2, _DEPTHWISE, _DEPTH)
SeparableConv1D = _layer("SeparableConv1D", _SeparableConv, 1, _SEPARABLE, _THREE)
SeparableConv2D = _layer("SeparableConv2D", _SeparableConv, 2, _SEPARABLE, _THREE)
