"""Layers that are random in training and the identity in evaluation: the relatives of Dropout, and noise.

Draws come from the stream that `tg.manual_seed` starts; a compiled step draws new ones at each call.
"""

import math

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import at_least_0
from tapegrad.autograd.arguments import rate as check_rate
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.distributions import normal
from tapegrad.autograd.dtypes import float32, is_floating
from tapegrad.autograd.ops import where_p
from tapegrad.autograd.random import uniform
from tapegrad.autograd.tensor import Tensor
from tapegrad.nn.dropping import dropped
from tapegrad.nn.module import Layer
from tapegrad.nn.shapes import Shape

# What SELU tends to for large negative numbers: alpha * scale of `activations.selu`, negative.
_SELU_FLOOR = -1.6732632423543772 * 1.0507009873554805


class _Noise(Layer):
    """Keeps the shape; `_noisy` is called in training."""

    def infer_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        if not is_floating(x.dtype):
            raise TypeError(f"{self!r}: expected a floating-point input, got {x.dtype}")
        return self._noisy(x) if self.training else x

    def _noisy(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class _Rated(_Noise):
    checks = {"rate": check_rate}

    def __init__(self, rate: float) -> None:
        self.rate = rate


def _normal(x: Tensor, mean: float, stddev: float) -> Tensor:
    return normal(mean, stddev, x.shape, dtype=x.dtype, device=x.device)


class GaussianNoise(_Noise):
    """In training, x + a normal number of mean 0 for each element; in evaluation, x.

    Definition: Keras's GaussianNoise.

    Args:
        stddev: The standard deviation of the numbers, at least 0.
    """

    checks = {"stddev": at_least_0}

    def __init__(self, stddev: float) -> None:
        self.stddev = stddev

    def _noisy(self, x: Tensor) -> Tensor:
        return x + _normal(x, 0.0, self.stddev)


class GaussianDropout(_Rated):
    """In training, x times a normal number of mean 1 and standard deviation sqrt(rate / (1 - rate)); in evaluation, x.

    Definition: Keras's GaussianDropout (Srivastava et al. 2014, section 10).

    Args:
        rate: From 0 to below 1.
    """

    def _noisy(self, x: Tensor) -> Tensor:
        return x * _normal(x, 1.0, math.sqrt(self.rate / (1.0 - self.rate))) if self.rate else x


class AlphaDropout(_Rated):
    """In training, each element becomes SELU's lowest value, -1.758, with probability `rate`, and all are scaled and
    shifted to keep mean 0 and variance 1; in evaluation, x. For networks of SELU.

    Definition: Keras's AlphaDropout (Klambauer et al. 2017).

    Args:
        rate: From 0 to below 1.
    """

    def _noisy(self, x: Tensor) -> Tensor:
        if not self.rate:
            return x
        factor = ((1.0 - self.rate) * (1.0 + self.rate * _SELU_FLOOR**2)) ** -0.5
        kept = uniform(x.shape, dtype=float32, device=x.device) >= self.rate
        return where_p(kept, x, _SELU_FLOOR) * factor - factor * _SELU_FLOOR * self.rate


class _Spatial(_Rated):
    """Drops whole channels."""

    spatial = 0
    first = False  # whether the channels are axis 1, as in PyTorch

    def infer_shape(self, shape: Shape) -> Shape:
        self._mask_shape((1, *shape))
        return shape

    def forward(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        self._mask_shape(x.shape)
        return super().forward(x)

    def _mask_shape(self, shape: Shape) -> Shape:
        if len(shape) != self.spatial + 2:
            raise ValueError(
                f"{self!r}: expected an input of {self.spatial + 2} axes, got shape {tuple(shape)}"
            )
        channels = 1 if self.first else len(shape) - 1
        return tuple(n if a in (0, channels) else 1 for a, n in enumerate(shape))

    def _noisy(self, x: Tensor) -> Tensor:
        return dropped(x, self.rate, self._mask_shape(x.shape))


_SPATIAL = """In training, a whole channel of a sample is 0 with probability `rate`, else x / (1 - rate); in
    evaluation, x.

    x has the shape {shape}. Definition: {source} (Tompson et al. 2015).

    Args:
        rate: From 0 to below 1.
    """
_KERAS = ("length", "height, width", "depth, height, width")


class SpatialDropout1D(_Spatial):
    __doc__ = _SPATIAL.format(shape=f"(batch, {_KERAS[0]}, channels)", source="Keras's SpatialDropout1D")
    spatial = 1


class SpatialDropout2D(_Spatial):
    __doc__ = _SPATIAL.format(shape=f"(batch, {_KERAS[1]}, channels)", source="Keras's SpatialDropout2D")
    spatial = 2


class SpatialDropout3D(_Spatial):
    __doc__ = _SPATIAL.format(shape=f"(batch, {_KERAS[2]}, channels)", source="Keras's SpatialDropout3D")
    spatial = 3


class _TorchSpatial(_Spatial):
    first = True
    checks = {"p": check_rate}

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    @property
    def rate(self) -> float:  # type: ignore[override]
        return self.p


class Dropout1d(_TorchSpatial):
    __doc__ = _SPATIAL.format(shape=f"(batch, channels, {_KERAS[0]})", source="PyTorch's Dropout1d").replace(
        "rate", "p"
    )
    spatial = 1


class Dropout2d(_TorchSpatial):
    __doc__ = _SPATIAL.format(shape=f"(batch, channels, {_KERAS[1]})", source="PyTorch's Dropout2d").replace(
        "rate", "p"
    )
    spatial = 2


class Dropout3d(_TorchSpatial):
    __doc__ = _SPATIAL.format(shape=f"(batch, channels, {_KERAS[2]})", source="PyTorch's Dropout3d").replace(
        "rate", "p"
    )
    spatial = 3
