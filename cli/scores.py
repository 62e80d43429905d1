"""Scores of predictions, by scikit-learn, for `evaluate` and `compare`."""

import numpy as np


def class_scores(truth: np.ndarray, best: np.ndarray, p: np.ndarray | None, classes: int) -> dict[str, float]:
    """Precision, recall and F1 are means over the classes that occur; AUC is that of each class against the others.

    truth, best   class numbers; -1 in truth is a class that no model knows
    p             (rows, classes), probabilities or scores that grow with them; None: no AUC
    """
    from sklearn import metrics

    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        truth, best, labels=np.unique(np.concatenate([truth, best])), average="macro", zero_division=0.0
    )
    scores = {
        "accuracy": float((truth == best).mean()),
        "precision": float(precision),
        "recall": float(recall),
        "F1": float(f1),
    }
    return {**scores, "AUC": np.nan if p is None else auc(truth, p, classes)}


def auc(truth: np.ndarray, p: np.ndarray, classes: int) -> float:
    """The mean over the classes that have rows on both sides; of two classes both give the same."""
    from sklearn.metrics import roc_auc_score

    each = [k for k in range(classes) if 0 < (truth == k).sum() < len(truth)]
    return float(np.mean([roc_auc_score(truth == k, p[:, k]) for k in each])) if each else np.nan


def number_scores(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    from sklearn import metrics

    return {
        "R2": float(metrics.r2_score(truth, prediction)) if len(truth) > 1 else np.nan,
        "MAE": float(metrics.mean_absolute_error(truth, prediction)),
        "RMSE": float(metrics.root_mean_squared_error(truth, prediction)),
    }


def shown(value: float) -> str:
    """A score in four digits or so, which an error of a small unit has, too; what is left of 0 by rounding is 0."""
    if np.isnan(value):
        return "-"
    return f"{value:.5g}" if abs(value) >= 100 or 1e-12 < abs(value) < 1e-3 else f"{value:.4f}"


def with_deviations(means: list[float], deviations: list[float]) -> list[str]:
    """A column of means and deviations, `0.9649 ± 0.0123`, all with as many decimals as the least deviation needs."""
    least = min((d for d in deviations if d > 1e-12), default=np.nan)
    small = np.nanmax(np.abs([0.0, *means])) < 100
    decimals = 4 if small else 1
    if not np.isnan(least):
        needed = min(max(1 - int(np.floor(np.log10(least))), 0), 8)
        decimals = max(needed, 4) if small else needed
    return [
        f"{mean:.{decimals}f} ± {deviation:.{decimals}f}" if np.isfinite(mean) else "-"
        for mean, deviation in zip(means, deviations)
    ]


def print_table(rows: list[list[str]]) -> None:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:]))]
        print("   ".join(cells).rstrip())


def confusion_lines(truth: np.ndarray, best: np.ndarray, names: list[str]) -> list[list[str]]:
    """Rows are the true classes, columns the predicted ones. A row of the table of no known class is in none."""
    counts = np.zeros((len(names), len(names)), int)
    known = truth >= 0
    np.add.at(counts, (truth[known], best[known]), 1)
    return [["true \\ predicted", *names], *([name, *map(str, row)] for name, row in zip(names, counts))]
