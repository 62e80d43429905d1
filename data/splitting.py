"""Splitting rows into a part to train on and a part to test on."""

import math

import numpy as np


def train_test_indices(rows: int, test_size: float = 0.2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (train, test), the same that scikit-learn's `train_test_split(…, test_size, random_state=seed)`
    draws, without the second that scikit-learn takes to import.

    Raises ValueError unless both parts get at least one row.
    """
    if not 0 < test_size < 1:
        raise ValueError(f"test_size: expected a fraction between 0 and 1, got {test_size!r}")
    n_test = math.ceil(rows * test_size)
    if not 0 < n_test < rows:
        raise ValueError(f"rows: {rows} are too few to split off a fraction of {test_size}")
    order = np.random.RandomState(seed).permutation(rows)
    return order[n_test:], order[:n_test]
