"""What is reported beside the loss: `get("accuracy")`, and the others in MEANS, ROOTS and WHOLES, under Keras's names.

A metric takes predictions first and targets second, as raw arrays, batch by batch, and is exact over all rows however
they were cut into batches: a mean keeps a sum and a count, and what is no mean (AUC, R², F1) keeps the rows. Outputs
and targets must have one shape, or be columns and class numbers where that is said: nothing is broadcast.

`Sequential.compile` tells a metric whether the outputs are logits, so that its threshold of 0.5 is that of the
probability. Weights of rows and classes change the loss and no metric.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.data.metric_base import (
    Custom,
    Mean,
    Metric,
    OfKeras,
    OfLoss,
    Whole,
    cut,
    precise,
    probabilities,
    same_shape,
)
from tapegrad.nn import losses
from tapegrad.nn.lookup import snake_case

__all__ = ["Metric", "get"]


# ---- means: (metric, xp, outputs, targets) -> for each element whether it is hit, or its score ----


def binary_accuracy(metric: Mean, xp: Any, outputs: Any, targets: Any) -> Any:
    """Whether an output is on its target's side of 0.5 (of the threshold), for each element."""
    same_shape(metric.name, outputs, targets)
    metric.note(
        "targets must be 0 and 1 (or -1 and 1), some here are not: it is for two classes",
        xp.any((targets > 1) | ((targets < 0) & (targets != -1))),
    )
    outputs = probabilities(xp, outputs, metric.outputs)
    return (outputs > cut(metric.threshold, metric.outputs)) == (targets > 0.5)


def categorical_accuracy(metric: Mean, xp: Any, outputs: Any, targets: Any) -> Any:
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
        xp.any(abs(xp.sum(precise(targets), axis=-1) - 1) > 1e-3),
    )
    return xp.argmax(outputs, axis=-1) == xp.argmax(targets, axis=-1)


def sparse_categorical_accuracy(metric: Mean, xp: Any, outputs: Any, targets: Any) -> Any:
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
        xp.any((targets < 0) | (targets >= outputs.shape[-1])),
    )
    return xp.argmax(outputs, axis=-1) == targets


def accuracy(metric: Mean, xp: Any, outputs: Any, targets: Any) -> Any:
    """The accuracy that fits the shapes: binary for one output, else sparse for class numbers, else categorical."""
    if outputs.ndim < 2 or outputs.shape[-1] == 1:
        return binary_accuracy(metric, xp, outputs, targets)
    if targets.ndim < outputs.ndim or targets.shape[-1] == 1:
        return sparse_categorical_accuracy(metric, xp, outputs, targets)
    return categorical_accuracy(metric, xp, outputs, targets)


def squared_error(metric: Mean, xp: Any, outputs: Any, targets: Any) -> Any:
    """(output - target)**2, averaged over all elements."""
    same_shape(metric.name, outputs, targets)
    return (outputs - targets) ** 2


def absolute_error(metric: Mean, xp: Any, outputs: Any, targets: Any) -> Any:
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


def auc(outputs: np.ndarray, targets: np.ndarray) -> float:
    """The area under the ROC curve, exact: how often a positive row scores above a negative one, ties counting half.
    The mean over columns. NaN when one of the two is missing."""
    if outputs.ndim > 1:
        columns = [a.reshape(-1, a.shape[-1]).T for a in (outputs, targets)]
        return float(np.mean([auc(o, t) for o, t in zip(*columns)]))
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
WHOLES: dict[str, Callable[..., float]] = {
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "auc": auc,
    "r2": r2,
    "r2_score": r2,
}
CUT = (accuracy, binary_accuracy, precision, recall, f1)  # these have a threshold
NAMES = {function: name for name, function in reversed({**MEANS, **WHOLES}.items())}


def get(metric: Any, *, threshold: float | None = None, name: str | None = None) -> Metric:
    """The metric of a name (any case), of a function, of a loss, or a Metric as it is.

    threshold   the probability above which an output counts as positive, for accuracy, precision, recall and f1; None
                for 0.5
    name        what it is called in logs

    A function of your own is called as Keras does, (y_true, y_pred), with the Tensors of a batch, and averaged over
    the batches. scikit-learn's functions get all rows at once, as NumPy arrays. An object with Keras's `update_state`,
    `result` and `reset_state` is taken, too.
    """
    made = _made(metric, threshold)
    if name is not None:
        if made is metric:
            raise ValueError(f"metrics: name: the metric {made.name!r} is made already: set its .name")
        made.name = name
        made.spec = None if made.spec is None else made.spec | {"name": name}
    return made


def _made(metric: Any, threshold: float | None) -> Metric:
    if isinstance(metric, str):
        for name in (metric, snake_case(metric)):  # "BinaryAccuracy" is Keras's class
            if name.lower() in {**MEANS, **ROOTS, **WHOLES}:
                return _named(name, threshold)
    if not isinstance(metric, str) and callable(metric) and _is_ours(metric):
        return _named(NAMES[metric], threshold)
    if threshold is not None:
        raise ValueError(f"metrics: {metric!r} has no threshold: those that have one are {', '.join(_cut())}")
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str) and metric.lower() in ("cosine_similarity", "cosinesimilarity"):
        raise ValueError(
            "metrics: 'cosine_similarity' is a loss here, -1 for equal directions: write a function (y_true, y_pred)"
        )
    if isinstance(metric, str) or losses.our_function(metric) is not None:
        return _of_loss(metric)
    if isinstance(metric, type):
        raise TypeError(
            f"metrics: expected an object, got the class {metric.__name__}: write {metric.__name__}()"
        )
    if hasattr(metric, "update_state"):
        return OfKeras(metric)
    if not callable(metric):
        raise TypeError(f"metrics: expected names or functions of (y_true, y_pred), got {metric!r}")
    if str(getattr(metric, "__module__", "")).startswith("sklearn.metrics"):
        whole = Whole(metric.__name__, _of_scikit_learn(metric), binary=False, cuts=False)
        whole.given = metric
        return whole
    return Custom(metric)


def _of_scikit_learn(metric: Any) -> Any:
    def measure(outputs: Any, targets: Any) -> Any:
        try:
            return metric(targets, outputs)
        except ValueError as error:
            raise ValueError(
                f"metrics: {metric.__name__}: {error}: it is given the model's outputs, here of shape {outputs.shape}: "
                "write a function (y_true, y_pred) that makes classes of them, as "
                f"{metric.__name__}(y_true, y_pred > 0.5)"
            ) from error

    return measure


def _is_ours(metric: Any) -> bool:
    try:
        return metric in NAMES
    except TypeError:  # not hashable
        return False


def _cut() -> list[str]:
    return [name for name, function in {**MEANS, **WHOLES}.items() if function in CUT]


def _named(metric: str, threshold: float | None) -> Metric:
    name = metric.lower()
    function = {**MEANS, **ROOTS, **WHOLES}[name]
    if threshold is not None and (function not in CUT or not 0 < threshold < 1):
        expected = (
            f"those that have one are {', '.join(_cut())}"
            if function not in CUT
            else "expected one from 0 to 1"
        )
        raise ValueError(f"metrics: {metric}: threshold={threshold!r}: {expected}")
    made: Metric
    if name in WHOLES:
        made = Whole(metric, function, binary=function is not r2, cuts=function in CUT, threshold=threshold)
    else:
        made = Mean(metric, function, root=name in ROOTS, threshold=threshold)
    made.spec = {"metric": metric} | ({} if threshold is None else {"threshold": threshold})
    return made


def _of_loss(metric: Any) -> Metric:
    try:
        loss = losses.get(metric)
    except ValueError as error:
        known = ", ".join({**MEANS, **ROOTS, **WHOLES})
        raise ValueError(
            f"metrics: unknown name {metric!r}; known: {known}, and the names of losses (tapegrad.nn.losses)"
        ) from error
    if isinstance(metric, str):
        made = OfLoss(metric, loss)
        made.spec = {"metric": metric}
        return made
    name = losses.our_function(metric).__name__
    return OfLoss(getattr(metric, "name", None) or name, metric)
