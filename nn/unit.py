"""Vectors of length 1."""

from collections.abc import Sequence

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.ops import maximum, minimum, sqrt, square, square_factor, sum_p
from tapegrad.autograd.ops.shape import some_axes
from tapegrad.autograd.tensor import Tensor
from tapegrad.nn.lengths import widened
from tapegrad.nn.module import Layer
from tapegrad.nn.normalization import axes_of
from tapegrad.nn.shapes import Shape


class UnitNormalization(Layer):
    """x / sqrt(max(sum(x**2), 1e-12)) over `axis`: each vector has length 1

    x has the shape (batch, …) and any floating dtype; float16 is computed in float32. Definition: Keras's
    UnitNormalization.

    Args:
        axis: One axis or several, counted with the batch.
    """

    checks = {"axis": axes_of}

    def __init__(self, axis: int | Sequence[int] = -1) -> None:
        self.axis = axis

    def infer_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        axes = some_axes("UnitNormalization", self.axis, x.ndim)
        wide = widened(x)
        # A power of two, so that the squares do not overflow.
        down = minimum(square_factor(wide, axis=axes), 1.0)
        wide = wide * down
        total = sum_p(square(wide), axis=axes, keepdims=True)
        return (wide / sqrt(maximum(total, 1e-12 * square(down)))).astype(x.dtype, copy=False)
