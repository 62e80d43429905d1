"""Normalization layers under Keras's names, with its definitions and defaults. PyTorch's stand in `torch_norms`."""

from collections.abc import Sequence
from typing import Any

from tapegrad.autograd.aliases import DTypeLike, TensorLike
from tapegrad.autograd.arguments import (
    above_0,
    index_of,
    optional,
    positive_integer,
    probability,
    truth,
    whole_number,
)
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.ops import mean_p, normalize_p, reshape_p, sqrt
from tapegrad.autograd.ops.shape import some_axes
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.backends import default_place
from tapegrad.backends.aliases import Function
from tapegrad.nn import init
from tapegrad.nn.aliases import Built, Config, Initializer
from tapegrad.nn.checks import INPUT, initializer
from tapegrad.nn.made_of import MADE_OF
from tapegrad.nn.module import Buffer, Layer
from tapegrad.nn.shapes import Shape, ShapeLike
from tapegrad.nn.weights import initial, weights_dtype

Axes = tuple[int, ...]


def along(weight: Tensor, x: Tensor, axes: Axes) -> Tensor:
    """A weight with the lengths of some axes of x, in a shape that broadcasts to x."""
    if axes == tuple(range(x.ndim - len(axes), x.ndim)):
        return weight
    return reshape_p(weight, shape=tuple(n if a in axes else 1 for a, n in enumerate(x.shape)))


def affine(y: Tensor, x: Tensor, axes: Axes, gamma: Tensor | None, beta: Tensor | None) -> Tensor:
    """gamma * y + beta, where there is one, along axes of x."""
    if gamma is not None:
        y = y * along(gamma, x, axes)
    return y if beta is None else y + along(beta, x, axes)


def moments(x: Tensor, axes: Axes) -> tuple[Tensor, Tensor]:
    """Mean and variance of x over axes, these kept; nothing goes back through them. Those of float16 are float32."""
    x = x.detach()
    x = x.astype("float32") if name_of(x.dtype) == "float16" else x
    mean = mean_p(x, axis=axes, keepdims=True)
    apart = x - mean
    rest = mean_p(apart, axis=axes, keepdims=True)
    apart = apart - rest
    return mean + rest, mean_p(apart * apart, axis=axes, keepdims=True)


def by_group(x: Tensor, axis: int, groups: int, epsilon: float) -> Tensor:
    """x normalized over all axes but the first, the channels of `axis` in groups."""
    shape = (*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])
    over = tuple(a for a in range(1, len(shape)) if a != axis)
    y = normalize_p(reshape_p(x, shape=shape), axis=over, epsilon=epsilon, center=True)
    return reshape_p(y, shape=x.shape)


def axes_of(name: str, axis: object) -> int | tuple[int, ...]:
    """One axis as an int, or several as a tuple."""
    if isinstance(axis, (tuple, list)):
        return tuple(whole_number(name, a) for a in axis)
    return whole_number(name, axis)


def _lengths(name: str, given: object) -> int | tuple[int, ...]:
    """The length of one axis, or of several."""
    if isinstance(given, (tuple, list)):
        return tuple(positive_integer(name, n) for n in given)
    return positive_integer(name, given)


class Normalization(Layer):
    """What normalization layers share: weights of the lengths of `axis`, made when these are known."""

    axis: Any
    in_features: Any  # a number for one axis, a tuple for several
    input_shape: Any
    epsilon: float
    checks = {"axis": axes_of, "epsilon": above_0, **INPUT, "in_features": optional(_lengths)}

    def _prepare(
        self,
        axis: int | Sequence[int],
        epsilon: float,
        in_features: int | Sequence[int] | None,
        input_shape: ShapeLike | None,
        dtype: DTypeLike | None,
    ) -> None:
        """Keep the options that all have. Called last by the constructors: it may make the weights."""
        name = type(self).__name__
        self.axis, self.epsilon = axis, epsilon
        self.in_features, self.input_shape = in_features, input_shape
        self._dtype = weights_dtype(name, dtype)
        self.built = False
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        if self.input_shape is not None:
            if in_features is not None:
                raise ValueError(f"{name}: give in_features or input_shape, not both")
            self.infer_shape(self.input_shape)
        elif in_features is not None:
            lengths = self.in_features if isinstance(self.in_features, tuple) else (self.in_features,)
            if len(lengths) != len(axes):
                raise ValueError(
                    f"{name}: in_features must be one length for each axis of {axis!r}, got {in_features!r}"
                )
            self._make_weights(tuple(lengths), default_place())

    @property
    def dtype(self) -> str:
        """The name of the weights' dtype."""
        weight = next((t for t in vars(self).values() if isinstance(t, (Parameter, Buffer))), None)
        return self._dtype if weight is None else name_of(weight.dtype)

    def _make_weights(self, shape: Shape, device: str) -> None:
        self.in_features = shape[0] if isinstance(self.axis, int) else shape
        self._weights(shape, device)
        self.built = True
        self.keep_frozen()

    def _weights(self, shape: Shape, device: str) -> None:
        raise NotImplementedError

    def _parameter(self, wanted: bool, initializer: Function, shape: Shape, device: str) -> Parameter | None:
        made = initial(type(self).__name__, initializer, shape, self._dtype, device) if wanted else None
        return None if made is None else Parameter(made)

    def _input(self, x: TensorLike) -> tuple[Tensor, Axes]:
        """The input as a tensor, and the axes of the weights counted from the front."""
        x = x if isinstance(x, Tensor) else tensor(x)
        return x, self._fitting(x.shape, x.device)

    def _fitting(self, shape: Shape, device: str) -> Axes:
        axes = tuple(sorted(some_axes(type(self).__name__, self.axis, len(shape)) or ()))
        if 0 in axes:
            raise ValueError(f"{self!r}: axis {self.axis} is the batch of an input of shape {shape}")
        lengths = tuple(shape[a] for a in axes)
        if not self.built:
            self._make_weights(lengths, device)
        known = (self.in_features,) if isinstance(self.axis, int) else tuple(self.in_features)
        if known != lengths:
            raise ValueError(
                f"{self!r}: expected an input with {self.in_features} features along axis {self.axis}, got shape "
                f"{shape}"
            )
        return axes

    def infer_shape(self, shape: Shape) -> Shape:
        self._fitting((1, *shape), default_place())
        return shape

    def config(self) -> Config:
        config = super().config()
        if self.input_shape is not None:
            config["in_features"] = None  # input_shape says it
        return config


class _Scaled(Normalization):
    """With gamma and beta of the lengths of the axes."""

    gamma_initializer: Any
    beta_initializer: Any
    checks = {
        "center": truth, "scale": truth,
        "gamma_initializer": initializer, "beta_initializer": initializer,
    }  # fmt: skip

    def _options(
        self, center: bool, scale: bool, beta_initializer: Initializer, gamma_initializer: Initializer
    ) -> None:
        self.center, self.scale = center, scale
        self.beta_initializer, self.gamma_initializer = beta_initializer, gamma_initializer
        self.gamma: Built = None
        self.beta: Built = None

    def _weights(self, shape: Shape, device: str) -> None:
        self.gamma = self._parameter(self.scale, self.gamma_initializer, shape, device)
        self.beta = self._parameter(self.center, self.beta_initializer, shape, device)


class BatchNormalization(_Scaled):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, for each channel (Ioffe & Szegedy 2015)

    x has the shape (batch, …) and any floating dtype, y has its shape. In training the mean and the variance (that
    divides by n) are those of the batch, over all axes but `axis`, and the moving ones follow them: moving = momentum *
    moving + (1 - momentum) * batch. In evaluation they are the moving ones. `gamma` and `beta` are Parameters of shape
    (channels,), or None; `moving_mean` and `moving_variance` are Buffers, which are saved and not trained.

    `layer.trainable = False` keeps it in evaluation, as in Keras; `requires_grad_(False)` freezes gamma and beta alone.
    Definition and defaults: Keras's BatchNormalization. `nn.BatchNorm1d` is PyTorch's.

    Args:
        axis: That of the channels, counted with the batch.
        momentum: The share of the moving statistics that a step keeps (PyTorch's momentum is 1 - this).
        epsilon: What is added to the variance, above 0.
        center: Whether there is beta.
        scale: Whether there is gamma.
        beta_initializer, gamma_initializer: Names from `nn.init`, or functions shape -> array.
        moving_mean_initializer, moving_variance_initializer: Names from `nn.init`, or functions shape -> array.
        in_features: The number of channels. With None the weights are made at the first call, or by `build(shape)`.
        input_shape: The shape of one sample, in place of in_features.
        dtype: The floating dtype of the weights; None is `tg.get_default_dtype()`.

    Raises:
        ValueError: The input has another number of channels, or an empty batch is to train with.
    """

    moving_mean_initializer: Any
    moving_variance_initializer: Any
    checks = {
        "axis": whole_number, "in_features": optional(positive_integer), "momentum": probability,
        "moving_mean_initializer": initializer, "moving_variance_initializer": initializer,
    }  # fmt: skip

    def __init__(
        self, axis: int = -1, momentum: float = 0.99, epsilon: float = 1e-3, center: bool = True,
        scale: bool = True, beta_initializer: Initializer = "zeros", gamma_initializer: Initializer = "ones",
        moving_mean_initializer: Initializer = "zeros", moving_variance_initializer: Initializer = "ones", *,
        in_features: int | None = None, input_shape: ShapeLike | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self.momentum = momentum
        self._options(center, scale, beta_initializer, gamma_initializer)
        self.moving_mean_initializer = moving_mean_initializer
        self.moving_variance_initializer = moving_variance_initializer
        self.moving_mean: Built = None
        self.moving_variance: Built = None
        self._prepare(axis, epsilon, in_features, input_shape, dtype)

    def _weights(self, shape: Shape, device: str) -> None:
        super()._weights(shape, device)
        name = type(self).__name__
        self.moving_mean = Buffer(initial(name, self.moving_mean_initializer, shape, self._dtype, device))
        self.moving_variance = Buffer(
            initial(name, self.moving_variance_initializer, shape, self._dtype, device)
        )

    def forward(self, x: TensorLike) -> Tensor:
        x, axes = self._input(x)
        over = tuple(a for a in range(x.ndim) if a not in axes)
        if self.training and self._trainable:
            if x.size == 0:
                raise ValueError(
                    f"{self!r}: an empty batch of shape {x.shape} has no statistics to train with"
                )
            y = normalize_p(x, axis=over, epsilon=self.epsilon, center=True)
            mean, variance = moments(x, over)
            follow(self.moving_mean, mean, self.momentum)
            follow(self.moving_variance, variance, self.momentum)
            return affine(y, x, axes, self.gamma, self.beta)
        factor = 1.0 / sqrt(self.moving_variance + self.epsilon)
        if self.gamma is not None:
            factor = factor * self.gamma
        return affine(x - along(self.moving_mean, x, axes), x, axes, factor, self.beta)


def follow(moving: Buffer, new: Tensor, kept: Tensor | float) -> None:
    """moving = kept * moving + (1 - kept) * new"""
    new = reshape_p(new, shape=moving.shape).astype(moving.dtype, copy=False)
    moving.assign((moving * kept + new * (1.0 - kept)).astype(moving.dtype, copy=False))


class LayerNormalization(_Scaled):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, for each sample over `axis` (Ba et al. 2016)

    x has the shape (batch, …) and any floating dtype, y has its shape. `gamma` and `beta` are Parameters of the lengths
    of the axes in ascending order, or None. Definition and defaults: Keras's LayerNormalization. `nn.LayerNorm` is
    PyTorch's.

    Args:
        axis: One axis or several to normalize over, counted with the batch.
        epsilon: What is added to the variance, above 0.
        center: Whether there is beta.
        scale: Whether there is gamma.
        beta_initializer, gamma_initializer: Names from `nn.init`, or functions shape -> array.
        in_features: The length of the axis, or a tuple for several. With None the weights are made at the first call,
            or by `build(shape)`.
        input_shape: The shape of one sample, in place of in_features.
        dtype: The floating dtype of the weights; None is `tg.get_default_dtype()`.

    Raises:
        ValueError: The axes of an input have other lengths, or one of them is the batch.
    """

    def __init__(
        self, axis: int | Sequence[int] = -1, epsilon: float = 1e-3, center: bool = True, scale: bool = True,
        beta_initializer: Initializer = "zeros", gamma_initializer: Initializer = "ones", *,
        in_features: int | Sequence[int] | None = None, input_shape: ShapeLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self._options(center, scale, beta_initializer, gamma_initializer)
        self._prepare(axis, epsilon, in_features, input_shape, dtype)

    def forward(self, x: TensorLike) -> Tensor:
        x, axes = self._input(x)
        y = normalize_p(x, axis=axes, epsilon=self.epsilon, center=True)
        return affine(y, x, axes, self.gamma, self.beta)


class RMSNormalization(Normalization):
    """scale * x / sqrt(mean(x**2) + epsilon), for each sample over `axis` (Zhang & Sennrich 2019)

    x has the shape (batch, …) and any floating dtype, y has its shape. `scale` is a Parameter of the lengths of the
    axes in ascending order and starts at 1. Definition and defaults: Keras's RMSNormalization. `nn.RMSNorm` is
    PyTorch's.

    Args:
        axis: One axis or several to normalize over, counted with the batch.
        epsilon: What is added to the mean square, above 0.
        in_features: The length of the axis, or a tuple for several. With None the weights are made at the first call,
            or by `build(shape)`.
        input_shape: The shape of one sample, in place of in_features.
        dtype: The floating dtype of the weights; None is `tg.get_default_dtype()`.

    Raises:
        ValueError: The axes of an input have other lengths, or one of them is the batch.
    """

    made_of = MADE_OF - {"scale"}  # which is its weight

    def __init__(
        self, axis: int | Sequence[int] = -1, epsilon: float = 1e-6, *,
        in_features: int | Sequence[int] | None = None, input_shape: ShapeLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self.scale: Built = None
        self._prepare(axis, epsilon, in_features, input_shape, dtype)

    def _weights(self, shape: Shape, device: str) -> None:
        self.scale = self._parameter(True, init.ones, shape, device)

    def forward(self, x: TensorLike) -> Tensor:
        x, axes = self._input(x)
        return affine(
            normalize_p(x, axis=axes, epsilon=self.epsilon, center=False), x, axes, self.scale, None
        )


def _groups(name: str, value: object) -> int:
    return -1 if index_of(value) == -1 else positive_integer(name, value)


class GroupNormalization(_Scaled):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, for each sample and group of channels (Wu & He 2018)

    x has the shape (batch, …) and any floating dtype, y has its shape. `gamma` and `beta` are Parameters of shape
    (channels,), or None. Definition and defaults: Keras's GroupNormalization. `nn.GroupNorm` is PyTorch's.

    Args:
        groups: The channels are cut into so many groups of neighbours; -1: each channel is one.
        axis: That of the channels, counted with the batch.
        epsilon: What is added to the variance, above 0.
        center: Whether there is beta.
        scale: Whether there is gamma.
        beta_initializer, gamma_initializer: Names from `nn.init`, or functions shape -> array.
        in_features: The number of channels. With None the weights are made at the first call, or by `build(shape)`.
        input_shape: The shape of one sample, in place of in_features.
        dtype: The floating dtype of the weights; None is `tg.get_default_dtype()`.

    Raises:
        ValueError: The groups do not divide the channels, or an input has another number of channels.
    """

    made_of = MADE_OF - {"groups"}
    checks = {"axis": whole_number, "groups": _groups, "in_features": optional(positive_integer)}

    def __init__(
        self, groups: int = 32, axis: int = -1, epsilon: float = 1e-3, center: bool = True,
        scale: bool = True, beta_initializer: Initializer = "zeros", gamma_initializer: Initializer = "ones",
        *, in_features: int | None = None, input_shape: ShapeLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self.groups = groups
        self._options(center, scale, beta_initializer, gamma_initializer)
        self._prepare(axis, epsilon, in_features, input_shape, dtype)

    def _weights(self, shape: Shape, device: str) -> None:
        if self.groups != -1 and shape[0] % self.groups:
            raise ValueError(
                f"GroupNormalization: {shape[0]} channels do not divide into groups={self.groups}: give a divisor of "
                f"{shape[0]}, or -1 for one group for each channel"
            )
        super()._weights(shape, device)

    def forward(self, x: TensorLike) -> Tensor:
        x, axes = self._input(x)
        (axis,) = axes
        y = by_group(x, axis, x.shape[axis] if self.groups == -1 else self.groups, self.epsilon)
        return affine(y, x, axes, self.gamma, self.beta)
