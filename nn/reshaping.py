"""Layers that only move elements."""

from collections.abc import Sequence
from math import prod
from typing import Any

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import optional, positive_integer, whole_number
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.ops import broadcast_p, permute_p, reshape_p
from tapegrad.autograd.tensor import Tensor
from tapegrad.nn.module import Layer
from tapegrad.nn.shapes import Shape, ShapeLike, sample_shape


class Identity(Layer):
    """x"""

    def __init__(self) -> None:
        pass

    def infer_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, x: TensorLike) -> Tensor:
        return x if isinstance(x, Tensor) else tensor(x)


def _with_one_left_open(name: str, shape: object) -> Shape:
    """A shape of which one length may be -1."""
    given = shape if isinstance(shape, (tuple, list)) else (shape,)
    if list(given).count(-1) > 1:
        raise ValueError(f"{name} may have one -1, got {shape!r}")
    return tuple(n if n == -1 else positive_integer(name, n) for n in given)


def _order(name: str, dims: object) -> tuple[int, ...]:
    """The numbers from 1 on in another order."""
    if not isinstance(dims, (tuple, list)):
        raise TypeError(f"{name} must be a tuple of axes, as in (2, 1), got {dims!r}")
    order = tuple(whole_number(name, d) for d in dims)
    if sorted(order) != list(range(1, len(order) + 1)):
        raise ValueError(
            f"{name} must be the numbers from 1 to {len(order)} (the batch, 0, stays), got {dims!r}"
        )
    return order


class Reshape(Layer):
    """(batch, …) -> (batch, *target_shape), each sample in row-major order

    Definition: Keras's Reshape.

    Args:
        target_shape: Of one sample; one length may be -1, to be worked out.
        input_shape: The shape of one sample; None if it is not known yet.

    Raises:
        ValueError: The elements do not fit.
    """

    input_shape: Any
    target_shape: Any
    checks = {"target_shape": _with_one_left_open, "input_shape": optional(sample_shape)}

    def __init__(self, target_shape: ShapeLike, *, input_shape: ShapeLike | None = None) -> None:
        self.target_shape = target_shape
        self.input_shape = input_shape

    def infer_shape(self, shape: Shape) -> Shape:
        size, known = prod(shape), prod(n for n in self.target_shape if n != -1)
        if size % known or (-1 not in self.target_shape and size != known):
            raise ValueError(
                f"{self!r}: samples of shape {tuple(shape)} have {size} elements, which do not fit"
            )
        return tuple(size // known if n == -1 else n for n in self.target_shape)

    def forward(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        if not x.shape:
            raise ValueError(f"{self!r}: expected a batch, got a tensor of shape ()")
        return reshape_p(x, shape=(x.shape[0], *self.infer_shape(x.shape[1:])))


class Permute(Layer):
    """Axis i of the result is axis dims[i - 1] of x, counted from 1; the batch stays first.

    Definition: Keras's Permute.

    Args:
        dims: The numbers 1 to n in another order: (2, 1) exchanges the two axes of a sample.
        input_shape: The shape of one sample; None if it is not known yet.
    """

    dims: Any
    input_shape: Any
    checks = {"dims": _order, "input_shape": optional(sample_shape)}

    def __init__(self, dims: Sequence[int], *, input_shape: ShapeLike | None = None) -> None:
        self.dims = dims
        self.input_shape = input_shape

    def infer_shape(self, shape: Shape) -> Shape:
        if len(shape) != len(self.dims):
            raise ValueError(f"{self!r}: expected samples of {len(self.dims)} axes, got shape {tuple(shape)}")
        return tuple(shape[a - 1] for a in self.dims)

    def forward(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        self.infer_shape(x.shape[1:])
        return permute_p(x, axes=(0, *self.dims))


class RepeatVector(Layer):
    """(batch, features) -> (batch, n, features), the same n times. Definition: Keras's RepeatVector.

    Args:
        n: How often.
    """

    checks = {"n": positive_integer}

    def __init__(self, n: int) -> None:
        self.n = n

    def infer_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(f"{self!r}: expected samples of one axis, got shape {tuple(shape)}")
        return (self.n, *shape)

    def forward(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        shape = self.infer_shape(x.shape[1:])
        return broadcast_p(reshape_p(x, shape=(x.shape[0], 1, *x.shape[1:])), shape=(x.shape[0], *shape))
