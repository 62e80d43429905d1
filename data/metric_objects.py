"""Metrics as objects with options: `metric.update(outputs, targets)` batch by batch, `result()`, `reset()`.

The results are scikit-learn's on all rows at once, however they were cut into batches. They are taken by
`Sequential.compile(metrics=[Precision(average="macro")])`, and serve in loops of one's own, with Tensors or arrays.
Outputs come first and targets second. Counts and sums are kept, not rows, but for `AUC`, which is exact.

Outputs are probabilities or scores of shape (rows, classes), or of one column for two classes; or class numbers,
integers. Targets are class numbers, or one column per class. A model says whether its outputs are logits.
"""

from typing import Any

import numpy as np

from tapegrad.autograd.aliases import Array, ArrayModule
from tapegrad.autograd.arguments import number, one_of, positive_integer, truth
from tapegrad.backends import backend_of
from tapegrad.backends.aliases import Function
from tapegrad.data import metric_functions as functions
from tapegrad.data.class_counts import (
    F1,
    BalancedAccuracy,
    CohenKappa,
    ConfusionMatrix,
    FBeta,
    MatthewsCorrelation,
    Precision,
    Recall,
)
from tapegrad.data.metric_base import (
    LOG_PROBABILITIES,
    LOGIT,
    LOGITS,
    SIGNS,
    Mean,
    Metric,
    Whole,
    same_shape,
    shares,
)

__all__ = [
    "AUC", "F1", "OBJECTS", "R2", "Accuracy", "BalancedAccuracy", "BinaryAccuracy", "CategoricalAccuracy", "CohenKappa",
    "ConfusionMatrix", "FBeta", "LogLoss", "MatthewsCorrelation", "MeanAbsoluteError", "MeanSquaredError", "Precision",
    "Recall", "RootMeanSquaredError", "SparseCategoricalAccuracy", "TopKAccuracy",
]  # fmt: skip


def _mean(kind: str, score: Function, name: str, thresholded: bool, root: bool = False) -> Any:
    """A class for a mean of scores."""

    def with_threshold(self: Any, threshold: float | None = None, *, name: str = name) -> None:
        if threshold is not None:
            number(f"{kind}: threshold", threshold, lambda x: 0 < x < 1, "a number between 0 and 1")
        Mean.__init__(self, name, score, threshold=threshold)
        self.spec = {"metric": self.OF} | ({} if threshold is None else {"threshold": threshold})

    def plain(self: Any, *, name: str = name) -> None:
        Mean.__init__(self, name, score, root=root)
        self.spec = {"metric": self.OF}

    made = with_threshold if thresholded else plain
    made.__name__ = made.__qualname__ = "__init__"
    said = (
        "    threshold: The probability above which an output counts as positive; None is 0.5.\n"
        * thresholded
    )
    doc = (
        f"{'The square root of: ' * root}{score.__doc__}\n\nArgs:\n{said}    name: What it is called in logs."
    )
    body = {"__init__": made, "__doc__": doc, "__module__": __name__, "OF": name}
    body["larger_is_better"] = functions.LARGER_IS_BETTER[score]
    return type(kind, (Mean,), body)


Accuracy = _mean("Accuracy", functions.accuracy, "accuracy", True)
BinaryAccuracy = _mean("BinaryAccuracy", functions.binary_accuracy, "binary_accuracy", True)
CategoricalAccuracy = _mean(
    "CategoricalAccuracy", functions.categorical_accuracy, "categorical_accuracy", False
)
SparseCategoricalAccuracy = _mean(
    "SparseCategoricalAccuracy", functions.sparse_categorical_accuracy, "sparse_categorical_accuracy", False
)
MeanSquaredError = _mean("MeanSquaredError", functions.squared_error, "mean_squared_error", False)
MeanAbsoluteError = _mean("MeanAbsoluteError", functions.absolute_error, "mean_absolute_error", False)
RootMeanSquaredError = _mean(
    "RootMeanSquaredError", functions.squared_error, "root_mean_squared_error", False, root=True
)


def _class_of(metric: Mean, xp: ArrayModule, outputs: Array, targets: Array) -> Array:
    """The class number of each row, of targets with one column per class, too."""
    if outputs.ndim > 1 and targets.shape == outputs.shape:
        return xp.argmax(targets, axis=-1)
    if targets.shape == (*outputs.shape[:-1], 1):
        targets = targets[..., 0]
    if outputs.ndim < 2 or targets.shape != outputs.shape[:-1]:
        raise ValueError(
            f"{metric.name}: outputs {tuple(outputs.shape)} need one column per class and one class number per row, "
            f"got targets {tuple(targets.shape)}"
        )
    metric.note(
        f"class numbers must be from 0 to {outputs.shape[-1] - 1}, some here are not",
        xp.count_nonzero((targets < 0) | (targets >= outputs.shape[-1])),
    )
    return xp.astype(targets, xp.int64)


def _among_the_first(metric: Any, xp: ArrayModule, outputs: Array, targets: Array) -> Array:
    """Whether the class of a row is among its k largest outputs; of equal outputs the last counts as the largest."""
    number_of = _class_of(metric, xp, outputs, targets)
    classes = outputs.shape[-1]
    if metric.k >= classes:
        raise ValueError(
            f"{metric.name}: k={metric.k} of {classes} classes is always right: give a smaller k"
        )
    places = xp.arange(classes)
    mine = number_of[..., None] == places
    own = xp.sum(xp.where(mine, outputs, xp.zeros_like(outputs)), axis=-1, keepdims=True)
    above = (outputs > own) | ((outputs == own) & (places > number_of[..., None]))
    # Nothing is above a NaN, which is no hit.
    return (xp.sum(xp.astype(above, xp.int64), axis=-1) < metric.k) & (own[..., 0] == own[..., 0])


class TopKAccuracy(Mean):
    """The share of rows whose class is among the k largest outputs, as scikit-learn's `top_k_accuracy_score`.

    Args:
        k: How many outputs may hold the class; fewer than there are classes.
        name: What it is called in logs.
    """

    larger_is_better = True

    def __init__(self, k: int = 5, *, name: str = "top_k_accuracy") -> None:
        self.k = positive_integer("TopKAccuracy: k", k)
        super().__init__(name, _among_the_first)
        self.spec = {"metric": "top_k_accuracy", "k": self.k}


class AUC(Whole):
    """The area under the ROC curve, ties counting half; or the average precision, the area under the curve of precision
    and recall. Exact: it keeps the rows. The mean over columns. scikit-learn's `roc_auc_score` (one against the rest)
    and `average_precision_score`. With a warning, where a column has no positive row, the average precision is 0, and
    where it has no positive or no negative one, the area under the ROC curve is NaN.

    Args:
        curve: "ROC" or "PR".
        name: What it is called in logs; None is "auc" or "average_precision".
    """

    larger_is_better = True

    def __init__(self, curve: str = "ROC", *, name: str | None = None) -> None:
        self.curve = one_of("AUC: curve", curve, ("ROC", "PR"))
        function, usual = {
            "ROC": (functions.auc, "auc"), "PR": (functions.average_precision, "average_precision"),
        }[curve]  # fmt: skip
        undefined = functions.UNDEFINED[function]
        super().__init__(
            usual if name is None else name, function, binary=True, cuts=False, undefined=undefined
        )
        self.spec = {"metric": "area_under_curve", "curve": curve}

    def add(self, outputs: Array, targets: Array) -> None:
        if targets.shape == (*outputs.shape[:-1], 1) and outputs.shape[-1] > 1:
            targets = targets[..., 0]
        if targets.shape == outputs.shape[:-1] and outputs.shape[-1] > 1:
            classes = np.asarray(backend_of(targets).to_numpy(targets))
            if not np.isin(classes, np.arange(outputs.shape[-1])).all():
                raise ValueError(
                    f"{self.name}: class numbers must be from 0 to {outputs.shape[-1] - 1}, some are not"
                )
            hot = np.eye(outputs.shape[-1])[classes.astype(np.int64)]
            there = backend_of(outputs)
            targets = there.asarray(hot, device=there.device_of(outputs))
        super().add(outputs, targets)


class LogLoss(Metric):
    """-mean(ln(probability of the true class)), as scikit-learn's `log_loss`: probabilities are kept off 0 and 1 by the
    precision of their dtype. Of logits it is exact.

    Outputs of one column, or of one axis, are probabilities of class 1; several columns are one per class.

    Args:
        name: What it is called in logs.
    """

    larger_is_better = False

    def __init__(self, *, name: str = "log_loss") -> None:
        super().__init__(name)
        self.spec = {"metric": "log_loss"}

    def reset(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, outputs: Array, targets: Array) -> None:
        if self.outputs == SIGNS:
            raise ValueError(f"{self.name}: the loss's outputs are scores, not probabilities or logits")
        p, t = (backend_of(a).to_numpy(a) for a in (outputs, targets))
        least = np.finfo(p.dtype).eps if p.dtype.kind == "f" else np.finfo(np.float64).eps
        p = p.astype(np.float64)
        if p.ndim < 2 or p.shape[-1] == 1:
            loss = self._of_two(p, t, least)
        else:
            loss = self._of_many(p, t, least)
        self.total += float(loss.sum())
        self.count += loss.size

    def _of_two(self, p: np.ndarray, t: np.ndarray, least: float) -> np.ndarray:
        same_shape(self.name, p, t)
        if not np.isin(t, (0, 1)).all():
            raise ValueError(f"{self.name}: targets must be 0 and 1, some here are not")
        if self.outputs == LOGIT:
            return np.asarray(np.logaddexp(0.0, np.where(t == 1, -p, p)))
        p = np.clip(p, least, 1 - least)
        return np.asarray(-np.log(np.where(t == 1, p, 1 - p)))

    def _of_many(self, p: np.ndarray, t: np.ndarray, least: float) -> np.ndarray:
        if t.shape == p.shape:
            share = shares(self.name, t.astype(np.float64))
        else:
            t = t[..., 0] if t.shape == (*p.shape[:-1], 1) else t
            if t.shape != p.shape[:-1] or not np.isin(t, np.arange(p.shape[-1])).all():
                raise ValueError(
                    f"{self.name}: outputs {p.shape} need class numbers from 0 to {p.shape[-1] - 1}, one per row, got "
                    f"targets {t.shape}"
                )
            share = np.eye(p.shape[-1])[t.astype(np.int64)]
        if self.outputs == LOGITS:
            top = p.max(axis=-1, keepdims=True)
            p = p - top - np.log(np.exp(p - top).sum(axis=-1, keepdims=True))
        elif self.outputs == LOGIT:
            p = -np.logaddexp(0.0, -p)
        elif self.outputs != LOG_PROBABILITIES:
            p = np.log(np.clip(p, least, 1 - least))
        return np.asarray(-(share * p).sum(axis=-1))

    def result(self) -> float:
        return self.total / self.count if self.count else float("nan")


class R2(Metric):
    """1 - Σ(target - output)² / Σ(target - mean target)², averaged over columns, as scikit-learn's `r2_score`. The rows
    are not kept: the mean and the squares of batches are joined (Chan, Golub & LeVeque 1979).

    Args:
        force_finite: Whether a constant target gives 1 where all outputs hit it, else 0; False gives NaN and -inf.
        name: What it is called in logs.
    """

    larger_is_better = True

    def __init__(self, *, force_finite: bool = True, name: str = "r2_score") -> None:
        self.force_finite = truth("R2: force_finite", force_finite)
        super().__init__(name)
        self.spec = {"metric": "coefficient_of_determination", "force_finite": self.force_finite}

    def reset(self) -> None:
        self.rows, self.mean, self.spread, self.errors = 0, np.zeros(()), np.zeros(()), np.zeros(())

    def add(self, outputs: Array, targets: Array) -> None:
        same_shape(self.name, outputs, targets)
        p, t = (backend_of(a).to_numpy(a).astype(np.float64) for a in (outputs, targets))
        if not len(t):
            return
        rows, mean = len(t), t.mean(axis=0)
        apart, total = mean - self.mean, self.rows + len(t)
        self.spread = self.spread + ((t - mean) ** 2).sum(axis=0) + apart**2 * (self.rows * rows / total)
        self.mean = self.mean + apart * (rows / total)
        self.errors, self.rows = self.errors + ((t - p) ** 2).sum(axis=0), total

    def result(self) -> float:
        if self.rows < 2:
            if self.rows:
                self.warn_undefined(functions.one_row(np.empty(1)))
            return float("nan")
        return functions.determination(self.errors, self.spread, self.force_finite)


# The names that `get` and `compile` take besides those of functions.
OBJECTS: dict[str, Any] = {
    "top_k_accuracy": TopKAccuracy, "log_loss": LogLoss, "f_beta": FBeta, "balanced_accuracy": BalancedAccuracy,
    "matthews_correlation": MatthewsCorrelation, "cohen_kappa": CohenKappa, "precision_of_classes": Precision,
    "recall_of_classes": Recall, "f1_of_classes": F1, "area_under_curve": AUC, "coefficient_of_determination": R2,
    "confusion_matrix": ConfusionMatrix,
}  # fmt: skip
