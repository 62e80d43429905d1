"""What is reported beside the loss: `get("accuracy")`, and the others in MEANS and WHOLES, under Keras's names.

A metric takes predictions first and targets second, as raw arrays, batch by batch, and is exact over all rows however
they were cut into batches: a mean keeps a sum and a count, and what is no mean (AUC, R², F1) keeps the rows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import backend_of

# ---- means: (xp, outputs, targets) -> for each element whether it is hit, or its score ----


def binary_accuracy(xp: Any, outputs: Any, targets: Any) -> Any:
    """Whether an output is on its target's side of 0.5."""
    return (outputs > 0.5) == (targets > 0.5)


def categorical_accuracy(xp: Any, outputs: Any, targets: Any) -> Any:
    """Whether the largest output is that of the class whose target is largest: (rows, classes), both."""
    return xp.argmax(outputs, axis=-1) == xp.argmax(targets, axis=-1)


def sparse_categorical_accuracy(xp: Any, outputs: Any, targets: Any) -> Any:
    """Whether the largest output is that of the class numbered by the target: (rows, classes) and (rows,)."""
    if targets.ndim == outputs.ndim:
        targets = targets[..., 0]
    return xp.argmax(outputs, axis=-1) == targets


def accuracy(xp: Any, outputs: Any, targets: Any) -> Any:
    """The accuracy that fits the shapes: binary for one output, else sparse for class numbers, else categorical."""
    if outputs.shape[-1] == 1:
        return binary_accuracy(xp, outputs, targets)
    if targets.ndim < outputs.ndim or targets.shape[-1] == 1:
        return sparse_categorical_accuracy(xp, outputs, targets)
    return categorical_accuracy(xp, outputs, targets)


def squared_error(xp: Any, outputs: Any, targets: Any) -> Any:
    """(output - target)**2, averaged over all elements."""
    return (outputs - targets) ** 2


def absolute_error(xp: Any, outputs: Any, targets: Any) -> Any:
    """|output - target|, averaged over all elements."""
    return abs(outputs - targets)


# ---- wholes: (outputs, targets), all rows, as float64 on the host -> a float ----


def _counts(outputs: np.ndarray, targets: np.ndarray) -> tuple[int, int, int]:
    """(true positives, predicted positives, positives): positive is above 0.5; several columns count together."""
    predicted, actual = outputs > 0.5, targets > 0.5
    return int((predicted & actual).sum()), int(predicted.sum()), int(actual.sum())


def precision(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Of the outputs above 0.5, the part that is right; 0 if there are none."""
    hits, predicted, _ = _counts(outputs, targets)
    return hits / predicted if predicted else 0.0


def recall(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Of the positive targets, the part whose output is above 0.5; 0 if there are none."""
    hits, _, actual = _counts(outputs, targets)
    return hits / actual if actual else 0.0


def f1(outputs: np.ndarray, targets: np.ndarray) -> float:
    """2 · precision · recall / (precision + recall)."""
    hits, predicted, actual = _counts(outputs, targets)
    return 2 * hits / (predicted + actual) if predicted + actual else 0.0


def auc(outputs: np.ndarray, targets: np.ndarray) -> float:
    """The area under the ROC curve, exact: how often a positive row scores above a negative one, ties counting half.
    NaN when one of the two is missing."""
    _, place, counts = np.unique(outputs, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place.reshape(-1)]
    positive = targets.reshape(-1) > 0.5
    p, n = int(positive.sum()), int((~positive).sum())
    return float((rank[positive].sum() - p * (p + 1) / 2) / (p * n)) if p and n else float("nan")


def r2(outputs: np.ndarray, targets: np.ndarray) -> float:
    """1 - Σ(target - output)² / Σ(target - mean target)², averaged over columns. NaN for a constant target."""
    total = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = 1 - ((targets - outputs) ** 2).sum(axis=0) / total
    return float(np.mean(np.where(total > 0, score, np.nan)))


class Metric:
    """One number over all the rows it was shown since the last `reset`: `update(outputs, targets)`, `result()`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reset()

    def reset(self) -> None:
        raise NotImplementedError

    def update(self, outputs: Any, targets: Any) -> None:
        raise NotImplementedError

    def result(self) -> float:
        raise NotImplementedError

    def __call__(self, outputs: Any, targets: Any) -> float:
        """The metric of these rows alone."""
        self.reset()
        self.update(*(a.data if isinstance(a, Tensor) else np.asarray(a) for a in (outputs, targets)))
        return self.result()


class Mean(Metric):
    """The mean of a score over all elements. Nothing leaves the device before `result`."""

    def __init__(self, name: str, score: Callable[..., Any], root: bool = False) -> None:
        self.score, self.root = score, root
        super().__init__(name)

    def reset(self) -> None:
        self.total: Any = 0
        self.count = 0

    def update(self, outputs: Any, targets: Any) -> None:
        xp = backend_of(outputs).xp
        scores = self.score(xp, outputs, targets)
        hits = scores.dtype == xp.bool
        self.total = self.total + (xp.count_nonzero(scores) if hits else xp.sum(scores, dtype=xp.float64))
        self.count += scores.size

    def result(self) -> float:
        mean = float(self.total) / self.count if self.count else float("nan")
        return mean**0.5 if self.root else mean


class Whole(Metric):
    """A function of all rows at once: it keeps them, on their device, until `reset`."""

    def __init__(self, name: str, function: Callable[[np.ndarray, np.ndarray], float]) -> None:
        self.function = function
        super().__init__(name)

    def reset(self) -> None:
        self.rows: list[tuple[Any, Any]] = []

    def update(self, outputs: Any, targets: Any) -> None:
        if outputs.shape != targets.shape:
            raise ValueError(
                f"{self.name}: outputs {outputs.shape} and targets {targets.shape} must have one shape: "
                "turn class numbers into one column per class"
            )
        self.rows.append((outputs, targets))

    def result(self) -> float:
        if not self.rows:
            return float("nan")
        to_numpy = backend_of(self.rows[0][0]).to_numpy
        outputs, targets = (
            np.concatenate([to_numpy(a) for a in column]).astype(np.float64) for column in zip(*self.rows)
        )
        return self.function(outputs, targets)


class Custom(Metric):
    """A user's function of (outputs, targets), Tensors, averaged over batches by their number of rows."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        super().__init__(getattr(function, "__name__", "metric"))

    def reset(self) -> None:
        self.total: Any = 0
        self.count = 0

    def update(self, outputs: Any, targets: Any) -> None:
        value = self.function(Tensor(outputs), Tensor(targets))
        self.total = self.total + (value.data if isinstance(value, Tensor) else value) * len(outputs)
        self.count += len(outputs)

    def result(self) -> float:
        return float(self.total) / self.count if self.count else float("nan")


MEANS: dict[str, Callable[..., Any]] = {
    "accuracy": accuracy,
    "acc": accuracy,
    "binary_accuracy": binary_accuracy,
    "categorical_accuracy": categorical_accuracy,
    "sparse_categorical_accuracy": sparse_categorical_accuracy,
    "mse": squared_error,
    "mean_squared_error": squared_error,
    "mae": absolute_error,
    "mean_absolute_error": absolute_error,
}
ROOTS: dict[str, Callable[..., Any]] = {"rmse": squared_error, "root_mean_squared_error": squared_error}
WHOLES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "auc": auc,
    "r2": r2,
    "r2_score": r2,
}


def get(metric: Any) -> Metric:
    """The metric of a name (any case), of a function of (outputs, targets), or a Metric as it is."""
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str):
        name = metric.lower()
        if name in WHOLES:
            return Whole(metric, WHOLES[name])
        if name in MEANS or name in ROOTS:
            return Mean(metric, MEANS.get(name) or ROOTS[name], root=name in ROOTS)
        raise ValueError(
            f"metrics: unknown name {metric!r}; known: {', '.join({**MEANS, **ROOTS, **WHOLES})}"
        )
    if callable(metric):
        return Custom(metric)
    raise TypeError(f"metrics: expected names or functions of (outputs, targets), got {metric!r}")
