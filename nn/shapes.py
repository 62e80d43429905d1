"""Shapes of samples, without the batch."""

from collections.abc import Sequence
from typing import TypeAlias

Shape = tuple[int, ...]
ShapeLike: TypeAlias = int | Sequence[int | None]  # as users give it; a leading None is the batch


def sample_shape(shape: ShapeLike) -> Shape:
    """A shape as a tuple of integers, without a leading None."""
    given = (shape,) if isinstance(shape, int) else tuple(shape)
    given = given[1:] if given and given[0] is None else given
    lengths = tuple(n for n in given if isinstance(n, int) and n > 0)
    if lengths != given:
        raise ValueError(f"shape: expected the shape of one sample, of positive integers, got {shape!r}")
    return lengths
