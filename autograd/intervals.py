"""Uniform numbers between two bounds, in the arithmetic of a short dtype, uniform integers, noise for a choice, and
the shape of a draw."""

import math

import numpy as np

from tapegrad.autograd import ops
from tapegrad.autograd.aliases import Shape, TensorLike
from tapegrad.autograd.creation import is_integer, read_shape
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.splitmix import bits_of


def result_shape(name: str, size: Shape | int | None, *parameters: TensorLike) -> tuple[int, ...]:
    """The shape of what is drawn: `size`, or that to which the parameters of a distribution broadcast."""
    if size is not None:
        return read_shape(name, size, "size")
    for given in parameters:
        # Keras, TensorFlow and JAX have the shape there.
        if isinstance(given, tuple) and given and all(is_integer(n) for n in given):
            raise TypeError(
                f"{name}: got {given} for a parameter of the distribution: write {name}(size={given}) for a result of "
                f"that shape, or the list {list(given)} for numbers"
            )
    return np.broadcast_shapes(*(np.shape(p) if not isinstance(p, Tensor) else p.shape for p in parameters))


def between(low: float, high: float, u: Tensor) -> Tensor:
    """low + (high - low) u, for u in [0, 1): in [low, high) also where the sum is rounded up to high.

    Raises:
        ValueError: A bound, or the distance between them, is not finite in u's dtype.
    """
    kind = u.dtype.type
    with np.errstate(all="ignore"):
        start, end = kind(low), kind(high)
        width = end - start
        largest = start + width * kind(1 - 2.0 ** -bits_of(u.dtype))
    if not math.isfinite(width):
        raise ValueError(
            f"uniform: low and high must be finite and less than the largest {u.dtype} apart, got {low} and {high}: "
            "choose a longer dtype"
        )
    numbers = low + (high - low) * u
    if not (start < end <= largest):
        return numbers
    return ops.minimum(numbers, float(np.nextafter(end, start)))


# Up to so many integers, the 53 bits of one number of float64 give each the same chance, to one part in two million.
ONE_DRAW = 2**32
DIGIT = 2**26


def integers_below(count: int, u: Tensor) -> Tensor:
    """floor(count * U) as int64, U in [0, 1) having the digits of u[0] and, if there is one, u[1].

    Each of 0 ... count - 1 has the same chance, to one part in 2**51. count is at most 2**53, and u are draws of
    float64: one up to ONE_DRAW, else two.
    """
    if u.shape[0] == 1:
        return ops.floor(u[0] * float(count)).astype("int64")
    digits = []
    for part in (u[0], u[1]):
        first = ops.floor(part * float(DIGIT))
        digits += [first, ops.floor((part * float(DIGIT) - first) * float(DIGIT))]
    # Long multiplication from the last digit on, of which the carries alone are kept: each number is below 2**54.
    upper, lower = divmod(count, DIGIT)
    carry = ops.zeros_like_p(digits[0].astype("int64"))
    for digit in reversed(digits):
        whole = digit.astype("int64")
        carry = whole * upper + (whole * lower + carry) // DIGIT
    return carry


def gumbel(u: Tensor) -> Tensor:
    """-ln(-ln u) of draws of float64: the largest of logits plus these is a draw from their softmax."""
    return -ops.log(-ops.log(ops.clip(u, 2.0**-54)))  # 0 would be no logarithm
