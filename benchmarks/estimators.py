"""Fits of the estimators against scikit-learn's, float64, one core: the linear models on 100,000 rows and 100 columns,
and the perceptron 128-64 on the digits, 30 passes in batches of 32."""

import json
import sys
import time
import warnings
from typing import Any

import numpy as np

from benchmarks.harness import Case, Contestant, Promise

MLP = {"hidden_layer_sizes": (128, 64), "batch_size": 32, "max_iter": 30, "tol": 0.0, "random_state": 0}
# job -> class, options
LINEAR: dict[str, tuple[str, dict[str, Any]]] = {
    "logistic": ("LogisticRegression", {}),
    "ridge": ("Ridge", {}),
    "lasso": ("Lasso", {"alpha": 0.01}),
    "elastic_net": ("ElasticNet", {"alpha": 0.01}),
    "svc": ("LinearSVC", {}),
    "svr": ("LinearSVR", {"loss": "squared_epsilon_insensitive", "dual": False}),
}
CLASSES = ("logistic", "svc")


def logistic_data() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import make_classification

    return make_classification(100_000, 100, n_informative=30, n_redundant=10, random_state=0)  # type: ignore[no-any-return]


def data(job: str) -> tuple[np.ndarray, np.ndarray]:
    if job == "mlp":
        return digits()
    x, y = logistic_data()
    if job in CLASSES:
        return x, y
    generator = np.random.default_rng(0)
    return x, x @ generator.normal(size=x.shape[1]) + generator.normal(size=len(x))


def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x / 16, y


def objective(job: str, model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """What the model says it minimizes, in full."""
    if job == "mlp":
        return float(model.loss_)
    coef, bias = np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])
    z, square, size = x @ coef + bias, float(coef @ coef), float(np.abs(coef).sum())
    if job == "logistic":
        return float(np.sum(np.logaddexp(0, z) - y * z)) + 0.5 * square
    if job == "svc":
        return float(np.sum(np.maximum(0.0, 1 - (2 * y - 1) * z) ** 2)) + 0.5 * (square + bias**2)
    squares = float(np.sum((y - z) ** 2))
    return {
        "ridge": squares + square,
        "svr": squares + 0.5 * (square + bias**2),
        "lasso": squares / (2 * len(y)) + 0.01 * size,
        "elastic_net": squares / (2 * len(y)) + 0.005 * size + 0.0025 * square,
    }[job]


def estimator(job: str, name: str) -> Any:
    if name == "tapegrad":
        from tapegrad import models as room

        rooms: tuple[Any, ...] = (room,)
    else:
        from sklearn import linear_model, neural_network, svm

        rooms = (linear_model, svm, neural_network)
    kind, options = LINEAR.get(job, ("MLPClassifier", MLP))
    return next(getattr(room, kind) for room in rooms if hasattr(room, kind))(**options)


def measure(job: str, *names: str) -> dict[str, dict[str, float]]:
    """The median of three fits of each, in turn, after one that warms up."""
    x, y = data(job)
    spent: dict[str, list[float]] = {name: [] for name in names}
    reached: dict[str, float] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for turn in range(4):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                start = time.process_time()
                model = estimator(job, name).fit(x, y)
                spent[name].append(time.process_time() - start)
                reached[name] = objective(job, model, x, y)
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
    case("ridge", "ridge regression, 100,000 x 100", 1.2, "scikit-learn's defaults: Cholesky's method."),
    case("lasso", "Lasso, 100,000 x 100", 1.0, "alpha=0.01; scikit-learn's: coordinate descent, tol 1e-4."),
    case("elastic_net", "elastic net, 100,000 x 100", 1.0, "alpha=0.01, l1_ratio=0.5."),
    case("svc", "LinearSVC, 100,000 x 100", 1.0, "The squared hinge; scikit-learn's: liblinear, tol 1e-4."),
    case(
        "svr", "LinearSVR, 100,000 x 100", 1.2, "Squared errors; scikit-learn's: liblinear's primal method."
    ),
    case("mlp", "perceptron 128-64 on the digits", 0.5, "The same initial weights and order of rows."),
)

if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
