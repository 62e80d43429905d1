"""Splitting rows into a part to train on and a part to test on."""

import math

import numpy as np

from tapegrad.data.aliases import Targets


def train_test_indices(
    rows: int, test_size: float = 0.2, seed: int = 0, stratify: Targets = None
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (train, test), as scikit-learn's `train_test_split` with random_state=seed draws them.

    scikit-learn itself, which takes two seconds to import, is not needed.

    Args:
        rows: The number of rows.
        test_size: The fraction of rows for the test, between 0 and 1.
        seed: The seed of the shuffle.
        stratify: The class of each row, of shape (rows,): each class has its share of both parts. None shuffles all
            rows alike.

    Returns:
        (train, test), two integer arrays.

    Raises:
        ValueError: One of the parts gets no row, or with stratify no row of some class.
    """
    if not 0 < test_size < 1:
        raise ValueError(f"test_size: expected a fraction between 0 and 1, got {test_size!r}")
    n_test = math.ceil(rows * test_size)
    if not 0 < n_test < rows:
        raise ValueError(f"rows: {rows} are too few to split off a fraction of {test_size}")
    generator = np.random.RandomState(seed)
    if stratify is None:
        order = generator.permutation(rows)
        return order[n_test:], order[:n_test]
    return stratified(np.asarray(stratify), n_test, generator)


def stratified(
    labels: np.ndarray, n_test: int, generator: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    classes, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    n_train = len(labels) - n_test
    if counts.min() < 2 or min(n_train, n_test) < len(classes):
        raise ValueError(
            f"stratify: {len(classes)} classes, the rarest with {counts.min()} rows, have no place in parts of "
            f"{n_train} and {n_test} rows"
        )
    members = np.split(np.argsort(numbers, kind="mergesort"), np.cumsum(counts)[:-1])
    of_train = drawn_in_proportion(counts, n_train, generator)
    of_test = drawn_in_proportion(counts - of_train, n_test, generator)
    train: list[int] = []
    test: list[int] = []
    for rows, a, b in zip(members, of_train, of_test):
        shuffled = rows.take(generator.permutation(len(rows)), mode="clip")
        train.extend(shuffled[:a])
        test.extend(shuffled[a : a + b])
    return generator.permutation(np.array(train)), generator.permutation(np.array(test))


def drawn_in_proportion(counts: np.ndarray, draws: int, generator: np.random.RandomState) -> np.ndarray:
    """How many of each class: counts · draws / sum(counts), rounded down, and what is left over to the largest
    remainders, ties by lot."""
    shares = counts / counts.sum() * draws
    floored = np.floor(shares)
    left = int(draws - floored.sum())
    if left > 0:
        remainders = shares - floored
        for value in np.sort(np.unique(remainders))[::-1]:
            (places,) = np.where(remainders == value)
            places = generator.choice(places, size=min(len(places), left), replace=False)
            floored[places] += 1
            left -= min(len(places), left)
            if left == 0:
                break
    return floored.astype(int)
