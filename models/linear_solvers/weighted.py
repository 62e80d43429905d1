"""Rows of weight 0 are no rows, and no squares may overflow.

Imports nothing of scikit-learn, which a command that trains does not load."""

from typing import Any

import numpy as np


def check_squares(sizes: np.ndarray | float) -> None:
    """Raise ValueError where the sizes of columns, roots of sums of squares, overflow."""
    if not np.isfinite(sizes).all():
        raise ValueError("X: some numbers are so large that their squares overflow: scale X")


def with_weight(weights: np.ndarray | None, *arrays: Any) -> tuple[Any, ...]:
    """The weights above 0, and the rows of each array that have one; None stays None. A row of weight 0 is then no row
    at all: what looks at rows without their weights, at a constant column or a batch, does not see it.

    Raises:
        ValueError: No row has a weight.
    """
    if weights is None or (weights > 0).all():
        return (weights, *arrays)
    kept = np.flatnonzero(weights > 0)
    if not kept.size:
        raise ValueError(
            "class_weight and sample_weight: together all weights are zero, which leaves no row to learn from"
        )
    return (weights[kept], *(None if array is None else array[kept] for array in arrays))
