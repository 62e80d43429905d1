"""Convolution layers under Keras's names, channels last. PyTorch's, channels first, stand in `torch_windows`."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from tapegrad.autograd.aliases import DTypeLike, TensorLike
from tapegrad.autograd.arguments import one_of, positive_integer, truth
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.ops.windows import window_counts
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.backends import default_place
from tapegrad.backends.aliases import Function
from tapegrad.nn import window_docs as docs
from tapegrad.nn import windows as w
from tapegrad.nn.aliases import ActivationLike, Built, Config, Initializer, Padding, Sizes, WeightRuleLike
from tapegrad.nn.checks import INPUT, activation_or_none, initializer, sizes
from tapegrad.nn.module import Layer
from tapegrad.nn.shapes import Shape, ShapeLike
from tapegrad.nn.weight_rules import rules_of
from tapegrad.nn.weights import initial, weights_dtype
from tapegrad.nn.window_docs import described


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
@described(docs.CONV, tail=docs.TAILS["kernel"], torch="Conv1d")
class Conv1D(_Conv):
    axes = 1


@described(docs.CONV, tail=docs.TAILS["kernel"], torch="Conv2d")
class Conv2D(_Conv):
    axes = 2


@described(docs.CONV, tail=docs.TAILS["kernel"], torch="Conv3d")
class Conv3D(_Conv):
    axes = 3


@described(docs.TRANSPOSE, tail=docs.TAILS["kernel"], torch="ConvTranspose1d")
class Conv1DTranspose(_ConvTranspose):
    axes = 1


@described(docs.TRANSPOSE, tail=docs.TAILS["kernel"], torch="ConvTranspose2d")
class Conv2DTranspose(_ConvTranspose):
    axes = 2


@described(docs.TRANSPOSE, tail=docs.TAILS["kernel"], torch="ConvTranspose3d")
class Conv3DTranspose(_ConvTranspose):
    axes = 3


@described(docs.DEPTHWISE, tail=docs.TAILS["depthwise"])
class DepthwiseConv1D(_DepthwiseConv):
    axes = 1


@described(docs.DEPTHWISE, tail=docs.TAILS["depthwise"])
class DepthwiseConv2D(_DepthwiseConv):
    axes = 2


@described(docs.SEPARABLE, tail=docs.TAILS["separable"])
class SeparableConv1D(_SeparableConv):
    axes = 1


@described(docs.SEPARABLE, tail=docs.TAILS["separable"])
class SeparableConv2D(_SeparableConv):
    axes = 2
