"""What metrics compute: functions of a batch, whose scores are averaged, and functions of all rows at once."""

from collections.abc import Callable

import numpy as np

from tapegrad.autograd.aliases import Array, ArrayModule
from tapegrad.backends.aliases import Function
from tapegrad.data.metric_base import Mean, cut, precise, probabilities, same_shape

# ---- means: (metric, xp, outputs, targets) -> for each element whether it is hit, or its score ----


def binary_accuracy(metric: Mean, xp: ArrayModule, outputs: Array, targets: Array) -> Array:
    """Whether an output is on its target's side of 0.5 (of the threshold), for each element."""
    same_shape(metric.name, outputs, targets)
    metric.note(
        "targets must be 0 and 1 (or -1 and 1), some here are not: it is for two classes",
        xp.count_nonzero((targets > 1) | ((targets < 0) & (targets != -1))),
    )
    outputs = probabilities(xp, outputs, metric.outputs)
    return (outputs > cut(metric.threshold, metric.outputs)) == (targets > 0.5)


def categorical_accuracy(metric: Mean, xp: ArrayModule, outputs: Array, targets: Array) -> Array:
    """Whether the largest output is that of the class whose target is largest: (rows, classes), both."""
    same_shape(metric.name, outputs, targets)
    if not outputs.ndim or outputs.shape[-1] == 1:
        raise ValueError(
            f"{metric.name}: outputs {tuple(outputs.shape)} have one column, whose largest is always itself: "
            "name binary_accuracy"
        )
    metric.note(
        "the targets of a row must add up to 1, one class for each row; some here do not: name binary_accuracy for "
        "rows of several classes",
        xp.count_nonzero(abs(xp.sum(precise(targets), axis=-1) - 1) > 1e-3),
    )
    return xp.argmax(outputs, axis=-1) == xp.argmax(targets, axis=-1)


def sparse_categorical_accuracy(metric: Mean, xp: ArrayModule, outputs: Array, targets: Array) -> Array:
    """Whether the largest output is that of the class numbered by the target: (rows, classes) and (rows,)."""
    rows = outputs.shape[:-1]
    if targets.shape == (*rows, 1):
        targets = targets[..., 0]
    if outputs.ndim < 1 or targets.shape != rows:
        raise ValueError(
            f"{metric.name}: outputs {tuple(outputs.shape)} need one class number per row, of shape {tuple(rows)}, "
            f"got targets {tuple(targets.shape)}: name categorical_accuracy for one column per class"
        )
    metric.note(
        f"class numbers must be from 0 to {outputs.shape[-1] - 1}, some here are not",
        xp.count_nonzero((targets < 0) | (targets >= outputs.shape[-1])),
    )
    return xp.argmax(outputs, axis=-1) == targets


def accuracy(metric: Mean, xp: ArrayModule, outputs: Array, targets: Array) -> Array:
    """The accuracy that fits the shapes: binary for one output, else sparse for class numbers, else categorical."""
    if outputs.ndim < 2 or outputs.shape[-1] == 1:
        return binary_accuracy(metric, xp, outputs, targets)
    if targets.ndim < outputs.ndim or targets.shape[-1] == 1:
        return sparse_categorical_accuracy(metric, xp, outputs, targets)
    return categorical_accuracy(metric, xp, outputs, targets)


def squared_error(metric: Mean, xp: ArrayModule, outputs: Array, targets: Array) -> Array:
    """(output - target)**2, averaged over all elements."""
    same_shape(metric.name, outputs, targets)
    return (outputs - targets) ** 2


def absolute_error(metric: Mean, xp: ArrayModule, outputs: Array, targets: Array) -> Array:
    """|output - target|, averaged over all elements."""
    same_shape(metric.name, outputs, targets)
    return abs(outputs - targets)


# ---- wholes: (outputs, targets), all rows, as float64 on the host -> a float ----


def _counts(outputs: np.ndarray, targets: np.ndarray, threshold: float) -> tuple[int, int, int]:
    """(true positives, predicted positives, positives); several columns count together."""
    predicted, actual = outputs > threshold, targets > 0.5
    return int((predicted & actual).sum()), int(predicted.sum()), int(actual.sum())


def precision(outputs: np.ndarray, targets: np.ndarray, threshold: float = 0.5) -> float:
    """Of the outputs above 0.5 (the threshold), the part that is right; 0 if there are none. Several columns count
    together."""
    hits, predicted, _ = _counts(outputs, targets, threshold)
    return hits / predicted if predicted else 0.0


def recall(outputs: np.ndarray, targets: np.ndarray, threshold: float = 0.5) -> float:
    """Of the positive targets, the part whose output is above 0.5 (the threshold); 0 if there are none. Several columns
    count together."""
    hits, _, actual = _counts(outputs, targets, threshold)
    return hits / actual if actual else 0.0


def f1(outputs: np.ndarray, targets: np.ndarray, threshold: float = 0.5) -> float:
    """2 · precision · recall / (precision + recall). Several columns count together."""
    hits, predicted, actual = _counts(outputs, targets, threshold)
    return 2 * hits / (predicted + actual) if predicted + actual else 0.0


def one_class(targets: np.ndarray) -> str:
    positive = targets.reshape(-1, targets.shape[-1] if targets.ndim > 1 else 1) > 0.5
    if not len(positive) or not (positive.all(axis=0) | ~positive.any(axis=0)).any():
        return ""
    return "the targets are of one class: there is no area under the curve, NaN"


def none_positive(targets: np.ndarray) -> str:
    positive = targets.reshape(-1, targets.shape[-1] if targets.ndim > 1 else 1) > 0.5
    if not len(positive) or positive.any(axis=0).all():
        return ""
    return "no target is positive: the average precision is set to 0"


def one_row(targets: np.ndarray) -> str:
    return "R² is not defined for one row: NaN" if len(targets) == 1 else ""


def auc(outputs: np.ndarray, targets: np.ndarray) -> float:
    """The area under the ROC curve, exact: how often a positive row scores above a negative one, ties counting half.
    The mean over columns. NaN where one of the two is missing, with a warning, and where an output is NaN."""
    if outputs.ndim > 1:
        columns = [a.reshape(-1, a.shape[-1]).T for a in (outputs, targets)]
        return float(np.mean([auc(o, t) for o, t in zip(*columns)]))
    _, place, counts = np.unique(outputs, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place.reshape(-1)]
    positive = targets.reshape(-1) > 0.5
    p, n = int(positive.sum()), int((~positive).sum())
    if not p or not n or np.isnan(outputs).any():
        return float("nan")
    return float((rank[positive].sum() - p * (p + 1) / 2) / (p * n))


def average_precision(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Σ (recall_n - recall_n-1) · precision_n over the distinct outputs as thresholds: the area under the curve of
    precision and recall, without interpolation. The mean over columns. 0 where no row is positive, with a warning; NaN
    where an output is NaN."""
    if outputs.ndim > 1:
        columns = [a.reshape(-1, a.shape[-1]).T for a in (outputs, targets)]
        return float(np.mean([average_precision(o, t) for o, t in zip(*columns)]))
    if not len(outputs) or np.isnan(outputs).any():
        return float("nan")
    order = np.argsort(-outputs, kind="stable")
    positive = targets[order] > 0.5
    last = np.append(np.diff(outputs[order]) != 0, True)  # of each distinct output
    hits, predicted = np.cumsum(positive)[last], np.flatnonzero(last) + 1
    return float(np.sum(np.diff(hits, prepend=0) / max(1, positive.sum()) * hits / predicted))


def r2(outputs: np.ndarray, targets: np.ndarray) -> float:
    """1 - Σ(target - output)² / Σ(target - mean target)², averaged over columns. A constant target gives 1 where all
    outputs hit it, else 0. NaN of one row, with a warning."""
    if len(targets) < 2:
        return float("nan")
    spread = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    return determination(((targets - outputs) ** 2).sum(axis=0), spread)


def determination(errors: np.ndarray, spread: np.ndarray, force_finite: bool = True) -> float:
    """R² of the sums of squares of the errors and of the targets about their mean; the mean over columns."""
    with np.errstate(divide="ignore", invalid="ignore"):
        score = 1 - errors / spread
    if force_finite:
        score = np.where(
            spread == 0, np.where(errors == 0, 1.0, np.where(np.isnan(errors), np.nan, 0.0)), score
        )
    return float(np.mean(score))


MEANS: dict[str, Function] = {
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
ROOTS: dict[str, Function] = {"rmse": squared_error, "root_mean_squared_error": squared_error}
WHOLES: dict[str, Callable[..., float]] = {
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "auc": auc,
    "average_precision": average_precision,
    "r2": r2,
    "r2_score": r2,
}
# Whether more of it is better.
LARGER_IS_BETTER: dict[Function, bool] = {
    accuracy: True, binary_accuracy: True, categorical_accuracy: True, sparse_categorical_accuracy: True,
    squared_error: False, absolute_error: False, precision: True, recall: True, f1: True, auc: True,
    average_precision: True, r2: True,
}  # fmt: skip
# (targets) -> why there is no score of such targets, or "".
UNDEFINED: dict[Function, Function] = {auc: one_class, average_precision: none_positive, r2: one_row}
CUT = (accuracy, binary_accuracy, precision, recall, f1)  # these have a threshold
NAMES = {function: name for name, function in reversed({**MEANS, **WHOLES}.items())}
