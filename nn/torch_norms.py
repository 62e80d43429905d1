"""Normalization layers under PyTorch's names, with its order of arguments, defaults and names of the weights."""

import math
from collections.abc import Sequence
from typing import Any

from tapegrad.autograd.aliases import DTypeLike, TensorLike
from tapegrad.autograd.arguments import above_0, optional, positive_integer, probability, truth
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.dtypes import finfo, name_of
from tapegrad.autograd.filled import ones, zeros
from tapegrad.autograd.ops import normalize_p, sqrt
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.backends import resolve
from tapegrad.nn.aliases import Config
from tapegrad.nn.lengths import widened
from tapegrad.nn.module import Buffer, Layer
from tapegrad.nn.normalization import affine, along, by_group, follow, moments
from tapegrad.nn.shapes import Shape
from tapegrad.nn.weights import weights_dtype


class _Norm(Layer):
    """weight and bias of one shape, or None."""

    weight: Parameter | None
    bias: Parameter | None

    def _make(
        self, shape: Shape, weight: bool, bias: bool, device: str | None, dtype: DTypeLike | None
    ) -> None:
        self._dtype = weights_dtype(type(self).__name__, dtype)
        if device is not None:
            resolve(device)  # raises for a wrong one, though there may be no weights
        self.weight = Parameter(ones(shape, dtype=self._dtype, device=device)) if weight else None
        self.bias = Parameter(zeros(shape, dtype=self._dtype, device=device)) if bias else None

    @property
    def dtype(self) -> str:
        """The name of the weights' dtype."""
        return self._dtype if self.weight is None else name_of(self.weight.dtype)

    def config(self) -> Config:
        return super().config() | {"device": None}

    device = None  # of the constructor: where the weights are says `weight.device`


class _Statistics(_Norm):
    """What BatchNorm and InstanceNorm share: channels on axis 1, and running statistics."""

    spatial: Shape = ()  # how many axes may follow those of the channels
    checks = {
        "num_features": positive_integer, "eps": above_0, "momentum": optional(probability), "affine": truth,
        "track_running_stats": truth,
    }  # fmt: skip

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: str | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        shape = (self.num_features,)
        self._make(shape, self.affine, self.affine, device, dtype)
        tracked = self.track_running_stats
        self.running_mean = Buffer(zeros(shape, dtype=self._dtype, device=device)) if tracked else None
        self.running_var = Buffer(ones(shape, dtype=self._dtype, device=device)) if tracked else None
        self.num_batches_tracked = Buffer(zeros((), dtype="int64", device=device)) if tracked else None

    def infer_shape(self, shape: Shape) -> Shape:
        self._checked((1, *shape))
        return shape

    def _checked(self, shape: Shape) -> None:
        if len(shape) - 2 not in self.spatial or shape[1] != self.num_features:
            axes = " or ".join(f"{n + 2} axes" for n in self.spatial)
            raise ValueError(
                f"{self!r}: expected an input of {axes} with {self.num_features} channels on axis 1, got shape "
                f"{tuple(shape)}"
            )

    def _by_running(self, x: Tensor) -> Tensor:
        assert self.running_mean is not None and self.running_var is not None
        factor = 1.0 / sqrt(self.running_var + self.eps)
        factor = factor if self.weight is None else factor * self.weight
        return affine(x - along(self.running_mean, x, (1,)), x, (1,), factor, self.bias)

    def _track(self, x: Tensor, axes: tuple[int, ...]) -> None:
        """Move the running statistics towards those of a batch, whose variance divides by n - 1."""
        assert self.running_mean is not None and self.running_var is not None
        mean, variance = moments(x, axes)
        n = math.prod(x.shape[a] for a in axes)
        variance = variance * (n / (n - 1))
        if 0 in axes:
            self.num_batches_tracked.assign(self.num_batches_tracked + 1)  # type: ignore[union-attr, operator]
        else:  # of each sample: PyTorch does not count these
            mean, variance = (s.mean(axis=0, keepdims=True) for s in (mean, variance))
        if self.momentum is None:  # the mean over all batches
            kept: Tensor | float = 1.0 - 1.0 / self.num_batches_tracked.astype(variance.dtype)  # type: ignore[union-attr]
        else:
            kept = 1.0 - self.momentum
        follow(self.running_mean, mean, kept)
        follow(self.running_var, variance, kept)


class _BatchNorm(_Statistics):
    def forward(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        self._checked(x.shape)
        if not self.training and self.track_running_stats:
            return self._by_running(x)
        over = (0, *range(2, x.ndim))
        if self.training and x.size <= self.num_features:
            raise ValueError(
                f"{self!r}: expected more than one value for each channel in training, got shape {x.shape}"
            )
        y = normalize_p(x, axis=over, epsilon=self.eps, center=True)
        if self.training and self.track_running_stats:
            self._track(x, over)
        return affine(y, x, (1,), self.weight, self.bias)


_BATCH = """weight * (x - mean) / sqrt(variance + eps) + bias, for each channel (Ioffe & Szegedy 2015)

    x has the shape {shape}. In training the mean and the variance (that divides by n) are those of the batch, and the
    running ones follow: running = (1 - momentum) * running + momentum * batch, of the variance that which divides by
    n - 1. In evaluation they are the running ones; without track_running_stats they are the batch's own there, too.
    `weight` and `bias` are Parameters of shape (num_features,), or None; `running_mean`, `running_var` and
    `num_batches_tracked` are Buffers, or None.

    Order, defaults and names are PyTorch's. `nn.BatchNormalization` is Keras's, with the channels last.

    Args:
        num_features: The number of channels.
        eps: What is added to the variance, above 0.
        momentum: The share of a batch in the running statistics; None: they are the mean over all batches.
        affine: Whether there are weight and bias.
        track_running_stats: Whether there are running statistics.
        device: Where to make the weights; None is the default backend.
        dtype: The floating dtype of the weights; None is the default.

    Raises:
        ValueError: The input has another number of axes or channels, or one value for each mean in training.
    """
_INSTANCE = """weight * (x - mean) / sqrt(variance + eps) + bias, for each sample and channel (Ulyanov et al. 2016)

    x has the shape {shape}. The variance divides by n. With track_running_stats, running statistics follow in training
    as in BatchNorm (the means over the batch), and evaluation uses them. `weight` and `bias` are Parameters of shape
    (num_features,), or None; `running_mean`, `running_var` and `num_batches_tracked` are Buffers, or None.

    Order, defaults and names are PyTorch's.

    Args:
        num_features: The number of channels.
        eps: What is added to the variance, above 0.
        momentum: The share of a batch in the running statistics.
        affine: Whether there are weight and bias.
        track_running_stats: Whether there are running statistics.
        device: Where to make the weights; None is the default backend.
        dtype: The floating dtype of the weights; None is the default.

    Raises:
        ValueError: The input has another number of axes or channels, or one value for each mean in training.
    """
SHAPES = ("(batch, num_features)", "(batch, num_features, length)", "(batch, num_features, height, width)",
          "(batch, num_features, depth, height, width)")  # fmt: skip


class BatchNorm1d(_BatchNorm):
    __doc__ = _BATCH.format(shape=f"{SHAPES[0]} or {SHAPES[1]}")
    spatial = (0, 1)


class BatchNorm2d(_BatchNorm):
    __doc__ = _BATCH.format(shape=SHAPES[2])
    spatial = (2,)


class BatchNorm3d(_BatchNorm):
    __doc__ = _BATCH.format(shape=SHAPES[3])
    spatial = (3,)


def _momentum(name: str, value: object) -> float:
    if value is None:
        raise ValueError(f"{name} must be a number from 0 to 1, got None, which BatchNorm takes")
    return probability(name, value)


class _InstanceNorm(_Statistics):
    # Not None, with which PyTorch's leaves the statistics where they are.
    checks = {"momentum": _momentum}

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, device: str | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)

    def forward(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        self._checked(x.shape)
        if not self.training and self.track_running_stats:
            return self._by_running(x)
        over = tuple(range(2, x.ndim))
        if self.training and math.prod(x.shape[2:]) <= 1:
            raise ValueError(
                f"{self!r}: expected more than one value for each sample and channel in training, got shape {x.shape}"
            )
        y = normalize_p(x, axis=over, epsilon=self.eps, center=True)
        if self.training and self.track_running_stats:
            self._track(x, over)
        return affine(y, x, (1,), self.weight, self.bias)


class InstanceNorm1d(_InstanceNorm):
    __doc__ = _INSTANCE.format(shape=SHAPES[1])
    spatial = (1,)


class InstanceNorm2d(_InstanceNorm):
    __doc__ = _INSTANCE.format(shape=SHAPES[2])
    spatial = (2,)


class InstanceNorm3d(_InstanceNorm):
    __doc__ = _INSTANCE.format(shape=SHAPES[3])
    spatial = (3,)


def _lengths(name: str, normalized_shape: object) -> Shape:
    lengths = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
    if not lengths:
        raise ValueError(f"{name} must have at least one length, got {normalized_shape!r}")
    return tuple(positive_integer(name, n) for n in lengths)


class _Trailing(_Norm):
    """Over the last axes, whose lengths are normalized_shape."""

    normalized_shape: Any
    checks = {
        "normalized_shape": _lengths, "eps": above_0, "elementwise_affine": truth,
    }  # fmt: skip

    def infer_shape(self, shape: Shape) -> Shape:
        self._over(shape)
        return shape

    def _over(self, shape: Shape) -> tuple[int, ...]:
        """The axes to normalize over."""
        if shape[len(shape) - len(self.normalized_shape) :] != self.normalized_shape:
            raise ValueError(
                f"{self!r}: expected an input whose last lengths are {self.normalized_shape}, got {tuple(shape)}"
            )
        return tuple(range(len(shape) - len(self.normalized_shape), len(shape)))


class LayerNorm(_Trailing):
    """weight * (x - mean) / sqrt(variance + eps) + bias, over the last axes of x (Ba et al. 2016)

    x has the shape (…, *normalized_shape) and any floating dtype. `weight` and `bias` are Parameters of shape
    normalized_shape, or None. Order, defaults and names are PyTorch's. `nn.LayerNormalization` is Keras's.

    Args:
        normalized_shape: The lengths of these axes, or one length.
        eps: What is added to the variance, above 0.
        elementwise_affine: Whether there are weight and bias.
        bias: Whether there is a bias.
        device: Where to make the weights; None is the default backend.
        dtype: The floating dtype of the weights; None is the default.

    Raises:
        ValueError: The input has other lengths.
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5, elementwise_affine: bool = True,
        bias: bool = True, device: str | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self.normalized_shape, self.eps = normalized_shape, eps
        self.elementwise_affine = elementwise_affine
        self._with_bias = truth("LayerNorm: bias", bias)
        self._make(
            self.normalized_shape, self.elementwise_affine, self.elementwise_affine and self._with_bias,
            device, dtype,
        )  # fmt: skip

    def config(self) -> Config:
        return super().config() | {"bias": self._with_bias}

    def forward(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        axes = self._over(x.shape)
        return affine(
            normalize_p(x, axis=axes, epsilon=self.eps, center=True), x, axes, self.weight, self.bias
        )


class RMSNorm(_Trailing):
    """weight * x / sqrt(mean(x**2) + eps), over the last axes of x (Zhang & Sennrich 2019)

    x has the shape (…, *normalized_shape) and any floating dtype. `weight` is a Parameter of shape normalized_shape, or
    None. Order, defaults and names are PyTorch's. `nn.RMSNormalization` is Keras's.

    Args:
        normalized_shape: The lengths of these axes, or one length.
        eps: What is added to the mean square, above 0; None: the gap above 1 of x's dtype, or for float16 that of
            float32, in which it is computed.
        elementwise_affine: Whether there is a weight.
        device: Where to make the weights; None is the default backend.
        dtype: The floating dtype of the weights; None is the default.

    Raises:
        ValueError: The input has other lengths.
    """

    checks = {"eps": optional(above_0)}

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float | None = None,
        elementwise_affine: bool = True, device: str | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self.normalized_shape, self.eps = normalized_shape, eps
        self.elementwise_affine = elementwise_affine
        self._make(self.normalized_shape, self.elementwise_affine, False, device, dtype)

    def forward(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        axes = self._over(x.shape)
        eps = float(finfo(widened(x).dtype).eps) if self.eps is None else self.eps
        return affine(normalize_p(x, axis=axes, epsilon=eps, center=False), x, axes, self.weight, None)


class GroupNorm(_Norm):
    """weight * (x - mean) / sqrt(variance + eps) + bias, for each sample and group of channels (Wu & He 2018)

    x has the shape (batch, num_channels, …) and any floating dtype. `weight` and `bias` are Parameters of shape
    (num_channels,), or None. Order, defaults and names are PyTorch's. `nn.GroupNormalization` is Keras's, with the
    channels last.

    Args:
        num_groups: The channels are cut into so many groups of neighbours.
        num_channels: The number of channels.
        eps: What is added to the variance, above 0.
        affine: Whether there are weight and bias.
        device: Where to make the weights; None is the default backend.
        dtype: The floating dtype of the weights; None is the default.

    Raises:
        ValueError: The groups do not divide the channels, or an input has another number of channels.
    """

    checks = {
        "num_groups": positive_integer,
        "num_channels": positive_integer,
        "eps": above_0,
        "affine": truth,
    }

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True,
        device: str | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self._make((self.num_channels,), self.affine, self.affine, device, dtype)

    def agree(self) -> None:
        if self.num_channels % self.num_groups:
            raise ValueError(
                f"GroupNorm: {self.num_channels} channels do not divide into num_groups={self.num_groups} groups"
            )

    def infer_shape(self, shape: Shape) -> Shape:
        self._checked((1, *shape))
        return shape

    def _checked(self, shape: Shape) -> None:
        if len(shape) < 2 or shape[1] != self.num_channels:
            raise ValueError(
                f"{self!r}: expected an input with {self.num_channels} channels on axis 1, got shape {tuple(shape)}"
            )

    def forward(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        self._checked(x.shape)
        return affine(by_group(x, 1, self.num_groups, self.eps), x, (1,), self.weight, self.bias)
