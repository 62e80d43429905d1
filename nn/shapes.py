"""Shapes of samples, without the batch."""

from collections.abc import Sequence
from typing import TypeAlias

from tapegrad.autograd.arguments import index_of

Shape = tuple[int, ...]
ShapeLike: TypeAlias = int | Sequence[int | None]  # as users give it; a leading None is the batch


def sample_shape(name: str, shape: object) -> Shape:
    """A shape as a tuple of integers, without a leading None. name: what messages call it, "Dense: input_shape"."""
    given = tuple(shape) if isinstance(shape, (list, tuple)) else (shape,)
    given = given[1:] if given and given[0] is None else given
    lengths = tuple(n for size in given if (n := index_of(size)) is not None and n > 0)
    if len(lengths) != len(given):
        raise ValueError(f"{name}: expected the shape of one sample, of positive integers, got {shape!r}")
    return lengths
