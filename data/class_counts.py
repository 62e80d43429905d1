"""Metrics of a confusion matrix, which is all they keep of the rows: precision, recall, F, kappa, correlation."""

from typing import Any

import numpy as np

from tapegrad.autograd.aliases import Array
from tapegrad.autograd.arguments import above_0, number, one_of, positive_integer
from tapegrad.backends import backend_of
from tapegrad.data.metric_base import Metric, cut, shares

AVERAGES = ("binary", "macro", "micro", "weighted")


class ClassCounts(Metric):
    """Counts of rows by true and predicted class: `counts[true, predicted]`, int64."""

    def __init__(self, name: str, threshold: float | None, classes: int | None = None) -> None:
        if threshold is not None:
            number(f"{name}: threshold", threshold, lambda x: 0 < x < 1, "a number between 0 and 1")
        self.threshold = threshold
        self.classes = None if classes is None else positive_integer(f"{name}: classes", classes)
        super().__init__(name)

    def _describe(self, of: str, **options: object) -> None:
        """The arguments that make it again."""
        given = {"threshold": self.threshold, "classes": self.classes}
        self.spec = {"metric": of, **{k: v for k, v in given.items() if v is not None}, **options}

    def reset(self) -> None:
        n = self.classes or 0
        self.counts = np.zeros((n, n), np.int64)

    def add(self, outputs: Array, targets: Array) -> None:
        o, t = (backend_of(a).to_numpy(a) for a in (outputs, targets))
        true, predicted = self._true(o, t), self._predicted(o)
        n = max(int(true.max(initial=-1)), int(predicted.max(initial=-1))) + 1
        least = min(int(true.min(initial=0)), int(predicted.min(initial=0)))
        if least < 0 or (self.classes is not None and n > self.classes):
            limit = "at least 0" if self.classes is None else f"from 0 to {self.classes - 1}"
            raise ValueError(
                f"{self.name}: class numbers must be {limit}, got {least if least < 0 else n - 1}"
            )
        size = max(n, len(self.counts))
        if size > len(self.counts):
            self.counts = np.pad(self.counts, (0, size - len(self.counts)))
        self.counts = self.counts + np.bincount(true * size + predicted, minlength=size * size).reshape(
            size, size
        )

    def _predicted(self, o: np.ndarray) -> np.ndarray:
        if o.ndim > 1 and o.shape[-1] > 1:
            return o.argmax(axis=-1).reshape(-1).astype(np.int64)
        if o.dtype.kind in "iub":  # class numbers
            return o.reshape(-1).astype(np.int64)
        return (o.reshape(-1) > cut(self.threshold, self.outputs)).astype(np.int64)

    def _true(self, o: np.ndarray, t: np.ndarray) -> np.ndarray:
        columns = o.shape[-1] if o.ndim > 1 else 1
        if columns > 1 and t.shape == o.shape:
            return shares(self.name, t).argmax(axis=-1).reshape(-1).astype(np.int64)
        rows = o.shape[:-1] if columns > 1 else o.shape
        if t.shape not in (rows, (*rows, 1), o.shape[:-1]):
            raise ValueError(f"{self.name}: outputs {o.shape} and targets {t.shape} do not have as many rows")
        flat = t.reshape(-1)
        flat = np.where(flat == -1, 0, flat) if columns == 1 and np.isin(flat, (-1, 1)).all() else flat
        if not np.array_equal(flat, np.floor(flat)):
            raise ValueError(
                f"{self.name}: targets must be class numbers, got {flat[flat != np.floor(flat)][0]:g}"
            )
        if columns == 1 and o.dtype.kind == "f" and np.any(flat > 1):
            raise ValueError(
                f"{self.name}: outputs of one column are for two classes, 0 and 1, got {flat.max():g}"
            )
        return flat.astype(np.int64)


class ConfusionMatrix(ClassCounts):
    """The number of rows of each true class (the rows of the matrix) that were predicted to be of each class.

    `result()` is an int64 array of shape (classes, classes), scikit-learn's `confusion_matrix`.

    Args:
        classes: How many there are; None goes up to the largest number seen.
        threshold: The probability above which an output of one column counts as class 1; None is 0.5.
        name: What it is called in messages.
    """

    def __init__(
        self, classes: int | None = None, *, threshold: float | None = None, name: str = "confusion_matrix"
    ) -> None:
        super().__init__(name, threshold, classes)
        self._describe("confusion_matrix")

    scalar = False

    def result(self) -> np.ndarray:
        return self.counts.copy()


class _Averaged(ClassCounts):
    """A score of each class, averaged."""

    OF = ""
    larger_is_better = True

    def __init__(self, average: str | None, threshold: float | None, name: str, **options: object) -> None:
        self.average = None if average is None else one_of(f"{name}: average", average, AVERAGES)
        super().__init__(name, threshold)
        self._describe(self.OF, average=average, **options)

    @property
    def scalar(self) -> bool:
        return self.average is not None

    def score(self, hits: Array, predicted: Array, true: Array) -> Array:
        raise NotImplementedError

    def result(self) -> Any:
        """The score: a float, or with average=None an array with one of each class."""
        counts = self.counts
        if not counts.sum():
            return float("nan")
        hits, predicted, true = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
        if self.average == "binary":
            if len(counts) > 2:
                raise ValueError(
                    f'{self.name}: average="binary" is for two classes, and there are {len(counts)}: name "macro", '
                    '"micro" or "weighted", or None for the score of each class'
                )
            return float(self.score(hits, predicted, true)[1]) if len(counts) == 2 else 0.0
        if self.average == "micro":
            return float(self.score(*(a.sum(keepdims=True) for a in (hits, predicted, true)))[0])
        scores = self.score(hits, predicted, true)
        if self.average is None:
            return scores
        there = predicted + true > 0
        weights = true[there] if self.average == "weighted" else np.ones(int(there.sum()))
        return float(np.average(scores[there], weights=weights))


def _ratio(part: Array, whole: Array) -> Array:
    """part / whole, 0 where there is nothing to divide by."""
    return part / np.where(whole == 0, 1, whole)


class Precision(_Averaged):
    """Of the rows predicted to be of a class, the share that is. 0 where none is predicted.

    Args:
        average: "binary" for class 1 of two; "macro" for the mean of the classes that occur; "weighted" for their mean
            by the number of their rows; "micro" for all rows together; None for an array with the score of each class.
        threshold: The probability above which an output of one column counts as class 1; None is 0.5.
        name: What it is called in logs.
    """

    OF = "precision_of_classes"

    def __init__(
        self, average: str | None = "binary", *, threshold: float | None = None, name: str = "precision"
    ) -> None:
        super().__init__(average, threshold, name)

    def score(self, hits: Array, predicted: Array, true: Array) -> Array:
        return _ratio(hits, predicted)


class Recall(_Averaged):
    """Of the rows of a class, the share that is predicted to be. 0 where there is none.

    Args:
        average: As for `Precision`.
        threshold: The probability above which an output of one column counts as class 1; None is 0.5.
        name: What it is called in logs.
    """

    OF = "recall_of_classes"

    def __init__(
        self, average: str | None = "binary", *, threshold: float | None = None, name: str = "recall"
    ) -> None:
        super().__init__(average, threshold, name)

    def score(self, hits: Array, predicted: Array, true: Array) -> Array:
        return _ratio(hits, true)


class FBeta(_Averaged):
    """(1 + β²) · precision · recall / (β² · precision + recall): recall counts β times as much as precision.

    Args:
        beta: The β of the formula, above 0.
        average: As for `Precision`.
        threshold: The probability above which an output of one column counts as class 1; None is 0.5.
        name: What it is called in logs.
    """

    OF = "f_beta"

    def __init__(
        self, beta: float = 1.0, average: str | None = "binary", *, threshold: float | None = None,
        name: str = "f_beta",
    ) -> None:  # fmt: skip
        self.beta = above_0(f"{name}: beta", beta)
        super().__init__(average, threshold, name, beta=self.beta)

    def score(self, hits: Array, predicted: Array, true: Array) -> Array:
        b = self.beta**2
        return _ratio((1 + b) * hits, b * true + predicted)


class F1(FBeta):
    """2 · precision · recall / (precision + recall).

    Args:
        average: As for `Precision`.
        threshold: The probability above which an output of one column counts as class 1; None is 0.5.
        name: What it is called in logs.
    """

    def __init__(
        self, average: str | None = "binary", *, threshold: float | None = None, name: str = "f1"
    ) -> None:
        super().__init__(1.0, average, threshold=threshold, name=name)


class _OfMatrix(ClassCounts):
    """A number of the whole matrix."""

    OF = ""

    def __init__(self, *, threshold: float | None = None, name: str | None = None) -> None:
        super().__init__(self.OF if name is None else name, threshold)
        self._describe(self.OF)


class BalancedAccuracy(_OfMatrix):
    """The mean of the recall of the classes that occur, as scikit-learn's `balanced_accuracy_score`.

    Args:
        threshold: The probability above which an output of one column counts as class 1; None is 0.5.
        name: What it is called in logs; None is "balanced_accuracy".
    """

    OF = "balanced_accuracy"
    larger_is_better = True

    def result(self) -> float:
        true = self.counts.sum(axis=1)
        there = true > 0
        return float((np.diag(self.counts)[there] / true[there]).mean()) if there.any() else float("nan")


class MatthewsCorrelation(_OfMatrix):
    """The correlation of true and predicted classes (Gorodkin 2004), as scikit-learn's `matthews_corrcoef`; 0 where one
    of the two is constant.

    Args:
        threshold: The probability above which an output of one column counts as class 1; None is 0.5.
        name: What it is called in logs; None is "matthews_correlation".
    """

    OF = "matthews_correlation"
    larger_is_better = True

    def result(self) -> float:
        counts = self.counts.astype(np.float64)
        n, true, predicted = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
        if not n:
            return float("nan")
        both = np.trace(counts) * n - true @ predicted
        apart = (n * n - true @ true) * (n * n - predicted @ predicted)
        return float(both / np.sqrt(apart)) if apart > 0 else 0.0


class CohenKappa(_OfMatrix):
    """How far true and predicted classes agree beyond chance (Cohen 1960), as scikit-learn's `cohen_kappa_score`.

    Args:
        threshold: The probability above which an output of one column counts as class 1; None is 0.5.
        name: What it is called in logs; None is "cohen_kappa".
    """

    OF = "cohen_kappa"
    larger_is_better = True

    def result(self) -> float:
        counts = self.counts.astype(np.float64)
        n = counts.sum()
        chance = counts.sum(axis=0) @ counts.sum(axis=1) / (n * n) if n else float("nan")
        if not n or chance >= 1:
            if n:
                self.warn_undefined("all rows are of one class and predicted to be: NaN")
            return float("nan")
        return float((np.trace(counts) / n - chance) / (1 - chance))
