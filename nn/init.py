"""Initializers: shape -> NumPy array of float64, drawn on the host, so that every backend starts equal.

Keras's definitions and defaults. Options are keyword arguments: `functools.partial(init.random_normal, stddev=0.01)`.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from tapegrad.autograd.arguments import above_0, any_number, at_least_0, number, one_of
from tapegrad.autograd.creation import read_shape
from tapegrad.autograd.foreign import getattr_of
from tapegrad.autograd.random import host_generator
from tapegrad.backends.aliases import Function
from tapegrad.nn.aliases import Initializer
from tapegrad.nn.lookup import Named

Shape = tuple[int, ...]
DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")
_TRUNCATED_STD = 0.87962566103423978  # the standard deviation of a standard normal cut off at ±2


def constant(shape: Shape, value: float = 0.0) -> np.ndarray:
    """value everywhere

    Args:
        shape: The shape of the weights, (…, in, out).
        value: The value.
    """
    return np.full(read_shape("constant", shape), any_number("constant: value", value), np.float64)


def zeros(shape: Shape) -> np.ndarray:
    """0

    Args:
        shape: The shape of the weights, (…, in, out).
    """
    return constant(shape)


def ones(shape: Shape) -> np.ndarray:
    """1

    Args:
        shape: The shape of the weights, (…, in, out).
    """
    return constant(shape, 1.0)


def identity(shape: Shape, gain: float = 1.0) -> np.ndarray:
    """gain on the diagonal, else 0; for matrices

    Args:
        shape: (n, m).
        gain: The value on the diagonal.

    Raises:
        ValueError: The shape is not that of a matrix.
    """
    shape = read_shape("identity", shape)
    if len(shape) != 2:
        raise ValueError(f"identity: expected the shape of a matrix, got {shape}")
    return number("identity: gain", gain) * np.eye(*shape)


def random_uniform(shape: Shape, minval: float = -0.05, maxval: float = 0.05) -> np.ndarray:
    """Uniform between minval and maxval

    Args:
        shape: The shape of the weights, (…, in, out).
        minval: The lower bound.
        maxval: The upper bound, excluded.
    """
    minval, maxval = number("random_uniform: minval", minval), number("random_uniform: maxval", maxval)
    if not minval <= maxval:
        raise ValueError(f"random_uniform: minval must not be above maxval, got {minval!r} and {maxval!r}")
    return host_generator().uniform(minval, maxval, read_shape("random_uniform", shape))


def random_normal(shape: Shape, mean: float = 0.0, stddev: float = 0.05) -> np.ndarray:
    """Normal

    Args:
        shape: The shape of the weights, (…, in, out).
        mean: The mean.
        stddev: The standard deviation, at least 0.
    """
    mean, stddev = number("random_normal: mean", mean), at_least_0("random_normal: stddev", stddev)
    return host_generator().normal(mean, stddev, read_shape("random_normal", shape))


def truncated_normal(shape: Shape, mean: float = 0.0, stddev: float = 0.05) -> np.ndarray:
    """Normal, drawn again where it is more than 2 stddev from the mean

    Args:
        shape: The shape of the weights, (…, in, out).
        mean: The mean.
        stddev: The standard deviation, at least 0.
    """
    mean, stddev = number("truncated_normal: mean", mean), at_least_0("truncated_normal: stddev", stddev)
    drawn = host_generator().standard_normal(read_shape("truncated_normal", shape))
    while (far := np.abs(drawn) > 2).any():
        drawn[far] = host_generator().standard_normal(int(far.sum()))
    return mean + stddev * drawn


def fans(shape: Shape) -> tuple[int, int]:
    """How many numbers feed one output, and how many outputs one number feeds, of a weight (…, in, out).

    Args:
        shape: The shape of a weight, (…, in, out).

    Returns:
        (fan_in, fan_out).
    """
    shape = read_shape("fans", shape)
    if len(shape) < 2:
        return (shape[0], shape[0]) if shape else (1, 1)
    receptive = math.prod(shape[:-2])
    return shape[-2] * receptive, shape[-1] * receptive


def variance_scaling(
    shape: Shape, scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal"
) -> np.ndarray:
    """Mean 0 and variance scale / n, where n is fan_in, fan_out or their mean (mode "fan_avg").

    Args:
        shape: The shape of the weights, (…, in, out).
        scale: A positive number.
        mode: The n to divide by: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal" (at 2 standard deviations, its variance corrected for that),
            "untruncated_normal", or "uniform" (between ±sqrt(3 * scale / n)).

    Raises:
        ValueError: scale, mode or distribution is none of these.
    """
    fan_in, fan_out = fans(shape)
    counts = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    one_of("variance_scaling: mode", mode, tuple(counts))
    one_of("variance_scaling: distribution", distribution, DISTRIBUTIONS)
    variance = above_0("variance_scaling: scale", scale) / max(1.0, counts[mode])
    if distribution == "truncated_normal":
        return truncated_normal(shape, stddev=math.sqrt(variance) / _TRUNCATED_STD)
    if distribution == "untruncated_normal":
        return random_normal(shape, stddev=math.sqrt(variance))
    limit = math.sqrt(3 * variance)
    return random_uniform(shape, -limit, limit)


def glorot_uniform(shape: Shape) -> np.ndarray:
    """Uniform between ±sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010)

    Args:
        shape: The shape of the weights, (…, in, out).
    """
    return variance_scaling(shape, 1.0, "fan_avg", "uniform")


def glorot_normal(shape: Shape) -> np.ndarray:
    """Truncated normal of variance 2 / (fan_in + fan_out)

    Args:
        shape: The shape of the weights, (…, in, out).
    """
    return variance_scaling(shape, 1.0, "fan_avg")


def he_uniform(shape: Shape) -> np.ndarray:
    """Uniform between ±sqrt(6 / fan_in) (He et al. 2015)

    Args:
        shape: The shape of the weights, (…, in, out).
    """
    return variance_scaling(shape, 2.0, "fan_in", "uniform")


def he_normal(shape: Shape) -> np.ndarray:
    """Truncated normal of variance 2 / fan_in

    Args:
        shape: The shape of the weights, (…, in, out).
    """
    return variance_scaling(shape, 2.0)


def lecun_uniform(shape: Shape) -> np.ndarray:
    """Uniform between ±sqrt(3 / fan_in)

    Args:
        shape: The shape of the weights, (…, in, out).
    """
    return variance_scaling(shape, 1.0, "fan_in", "uniform")


def lecun_normal(shape: Shape) -> np.ndarray:
    """Truncated normal of variance 1 / fan_in (LeCun et al. 1998)

    Args:
        shape: The shape of the weights, (…, in, out).
    """
    return variance_scaling(shape, 1.0)


def orthogonal(shape: Shape, gain: float = 1.0) -> np.ndarray:
    """gain times a random matrix of orthonormal rows or columns (whichever are fewer), all axes but the last taken
    together as its rows (Saxe et al. 2014)

    Args:
        shape: At least 2 axes.
        gain: A factor.

    Raises:
        ValueError: The shape has less than 2 axes.
    """
    shape = read_shape("orthogonal", shape)
    if len(shape) < 2:
        raise ValueError(f"orthogonal: expected a shape of at least 2 axes, got {shape}")
    rows, columns = math.prod(shape[:-1]), shape[-1]
    q, r = np.linalg.qr(host_generator().standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diag(r))  # makes the draw uniform over all orthogonal matrices
    return number("orthogonal: gain", gain) * (q if rows >= columns else q.T).reshape(shape)


_TABLE = Named(
    "initializer",
    {
        f.__name__: f
        for f in (
            constant, zeros, ones, identity, random_uniform, random_normal, truncated_normal, variance_scaling,
            glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal, orthogonal,
        )
    },
)  # fmt: skip


def get(initializer: Initializer, argument: str = "") -> Function:
    """The initializer of a name, or the callable given.

    Args:
        initializer: A name, or a function shape -> array.
        argument: What messages call it, such as "Dense: kernel_initializer".

    Returns:
        A function shape -> NumPy array of float64.

    Raises:
        ValueError: The name is unknown; the message lists the known ones.
    """
    return _TABLE.get(initializer, argument)


__all__ = [*_TABLE.entries, "fans", "get"]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:
    __getattr__ = getattr_of(__name__, "init")
