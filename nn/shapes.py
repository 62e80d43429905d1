"""Shapes of samples, without the batch."""

from typing import Any

Shape = tuple[int, ...]


def sample_shape(shape: Any) -> Shape:
    """A shape as a tuple of integers, without a leading None."""
    given = (shape,) if isinstance(shape, int) else tuple(shape)
    given = given[1:] if given and given[0] is None else given
    if not all(isinstance(n, int) and n > 0 for n in given):
        raise ValueError(f"shape: expected the shape of one sample, of positive integers, got {shape!r}")
    return given
