"""Fits of the estimators against scikit-learn's, float64, one core: a logistic regression of 100,000 rows and 100
columns, and the perceptron 128-64 on the digits, 30 passes in batches of 32."""

import json
import sys
import time
import warnings
from typing import Any

import numpy as np

from benchmarks.harness import Case, Contestant, Promise

MLP = {"hidden_layer_sizes": (128, 64), "batch_size": 32, "max_iter": 30, "tol": 0.0, "random_state": 0}


def logistic_data() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import make_classification

    return make_classification(100_000, 100, n_informative=30, n_redundant=10, random_state=0)  # type: ignore[no-any-return]


def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x / 16, y


def objective(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """What the model says it minimizes, in full."""
    if hasattr(model, "loss_"):
        return float(model.loss_)
    z = x @ model.coef_[0] + model.intercept_[0]
    return float(np.sum(np.logaddexp(0, z) - y * z) + 0.5 * np.sum(model.coef_**2))


def estimator(job: str, name: str) -> Any:
    if name == "tapegrad":
        from tapegrad import models

        return models.LogisticRegression() if job == "logistic" else models.MLPClassifier(**MLP)
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    return LogisticRegression() if job == "logistic" else MLPClassifier(**MLP)


def measure(job: str, *names: str) -> dict[str, dict[str, float]]:
    """The median of three fits of each, in turn, after one that warms up."""
    x, y = logistic_data() if job == "logistic" else digits()
    spent: dict[str, list[float]] = {name: [] for name in names}
    reached: dict[str, float] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for turn in range(4):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                start = time.process_time()
                model = estimator(job, name).fit(x, y)
                spent[name].append(time.process_time() - start)
                reached[name] = objective(model, x, y)
    return {name: {"fit": float(np.median(spent[name][1:])), "objective": reached[name]} for name in names}


def case(job: str, title: str, limit: float, note: str) -> Case:
    names = ("tapegrad", "scikit-learn")
    return Case(
        title,
        tuple(Contestant(name, (), needs="sklearn") for name in names),
        {"fit": "fit, s", "objective": "objective reached"},
        (Promise("fit", *names, limit), Promise("objective", *names, 1.0 + 1e-9)),
        cores=1,
        note=note,
        rounds=3,
        together=("-m", "benchmarks.estimators", job),
    )


CASES = (
    case("logistic", "logistic regression, 100,000 x 100", 0.6, "scikit-learn's defaults: lbfgs, tol 1e-4."),
    case("mlp", "perceptron 128-64 on the digits", 0.5, "The same initial weights and order of rows."),
)

if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
