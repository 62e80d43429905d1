"""Which rows a pass of a DataLoader takes, and in which order: `sampler=`.

A sampler is an object with `order(rows, generator)`, which returns row numbers; the generator is NumPy's, and begins
anew from (seed, epoch), so the same pass is drawn again after a resume. A list or array of row numbers serves, too.
"""

import numpy as np

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import positive_integer, refuse_masked, truth
from tapegrad.autograd.attributes import Options


class WeightedSampler(Options):
    """Rows drawn with probabilities proportional to their weights, for classes that are rare.

    Args:
        weights: A number of at least 0 for each row.
        draws: How many rows a pass takes; None is as many as there are.
        replacement: Whether a row may be drawn twice in a pass.

    Raises:
        ValueError: A weight is negative or no number, all are 0, or there are too few for `draws`.
    """

    checks = {"draws": positive_integer, "replacement": truth}

    def __init__(self, weights: TensorLike, draws: int | None = None, *, replacement: bool = True) -> None:
        refuse_masked("WeightedSampler: weights", weights)
        try:
            w = np.asarray(weights, np.float64)
        except (TypeError, ValueError):
            raise TypeError(
                f"WeightedSampler: weights must be numbers, one per row, got {weights!r}"
            ) from None
        if w.ndim != 1 or not np.isfinite(w).all() or (w < 0).any() or w.sum() <= 0:
            raise ValueError(
                f"WeightedSampler: weights must be one number of at least 0 per row, and not all 0, got {weights!r}"
            )
        self.weights = w / w.sum()
        self.draws = len(w) if draws is None else draws
        self.replacement = replacement

    def agree(self) -> None:
        found = np.count_nonzero(self.weights)
        if not self.replacement and self.draws > found:
            raise ValueError(
                f"WeightedSampler: {self.draws} draws without replacement from {found} rows with a weight"
            )

    def __len__(self) -> int:
        return self.draws

    def order(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        """The row numbers of a pass.

        Args:
            rows: How many rows there are.
            generator: What to draw with.
        """
        if rows != len(self.weights):
            raise ValueError(f"WeightedSampler: {len(self.weights)} weights for {rows} rows")
        return generator.choice(rows, self.draws, replace=self.replacement, p=self.weights)


class BalancedSampler(WeightedSampler):
    """Rows drawn so that every class is as likely: WeightedSampler with 1 / the number of rows of the row's class.

    Args:
        labels: The class of each row.
        draws: How many rows a pass takes; None is as many as there are.
    """

    def __init__(self, labels: TensorLike, draws: int | None = None) -> None:
        refuse_masked("BalancedSampler: labels", labels)
        given = np.asarray(labels)
        if given.ndim == 0:
            raise TypeError(f"BalancedSampler: labels must be a class for each row, got {labels!r}")
        _, numbers, counts = np.unique(given, return_inverse=True, return_counts=True)
        super().__init__(1.0 / counts[numbers.reshape(-1)], draws)


class SubsetSampler(Options):
    """Some of the rows: a part of a data set, such as the training rows of a split.

    Args:
        indices: The row numbers.
        shuffle: Whether each pass draws an order of its own.
    """

    checks = {"shuffle": truth}

    def __init__(self, indices: TensorLike, *, shuffle: bool = True) -> None:
        self.indices = np.asarray(indices)
        if self.indices.ndim != 1 or self.indices.dtype.kind not in "iu":
            raise ValueError(f"SubsetSampler: indices must be row numbers, got {indices!r}")
        self.shuffle = shuffle

    def __len__(self) -> int:
        return len(self.indices)

    def order(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        """The row numbers of a pass.

        Args:
            rows: How many rows there are.
            generator: What to draw with.
        """
        return generator.permutation(self.indices) if self.shuffle else self.indices
