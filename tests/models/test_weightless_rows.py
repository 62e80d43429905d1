"""A row of weight 0 is no row: every estimator's fit equals, bit for bit, the one without those rows."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.linear_model import LogisticRegression

from tapegrad import models, nn

drawn = np.random.default_rng(0)
ROWS = 90
WEIGHTS = np.where(np.arange(ROWS) % 3 == 0, 0.0, drawn.uniform(0.5, 2.0, ROWS))


def columns() -> np.ndarray:
    """Columns with a weight everywhere, one that varies in rows of weight 0 alone, one that is not 0 there alone, and
    one that is far out there."""
    x = drawn.normal(size=(ROWS, 6))
    without = WEIGHTS == 0
    x[~without, 2], x[~without, 3] = 5.3, 0.0
    x[without, 4] *= 1e9
    return x


X, WITHOUT = columns(), WEIGHTS == 0
NUMBERS = X[:, 0] - X[:, 1] + 0.3 * drawn.normal(size=ROWS)
NUMBERS[WITHOUT] += 1e6
TWO = (np.median(NUMBERS[~WITHOUT]) < NUMBERS).astype(int)
THREE = np.digitize(NUMBERS, np.quantile(NUMBERS[~WITHOUT], [0.3, 0.6]))
# Rows that say the contrary, a class in the majority there, and every class among them.
TWO[WITHOUT], THREE[WITHOUT] = 1, np.arange(30) % 3 // 2
SEVERAL = np.stack([NUMBERS, X[:, 5] + X[:, 0]], axis=1)


class Net(nn.Module):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.layer = nn.Dense(units)

    def forward(self, x):
        return self.layer(x)


SMALL = {"hidden_layer_sizes": (5,), "random_state": 0, "max_iter": 5}
SOME = {"random_state": 0, "max_epochs": 4}
# estimator, options; the targets are TWO and THREE of a classifier, else NUMBERS and, where it takes them, SEVERAL
ESTIMATORS = {
    "least squares": ("LinearRegression", {}),
    "least squares, positive": ("LinearRegression", {"positive": True}),
    "ridge": ("Ridge", {}),
    "ridge, positive": ("Ridge", {"positive": True}),
    "ridge, no penalty, no intercept": ("Ridge", {"alpha": 0, "fit_intercept": False}),
    "lasso": ("Lasso", {"alpha": 0.1}),
    "lasso, positive": ("Lasso", {"alpha": 0.1, "positive": True}),
    "elastic net": ("ElasticNet", {"alpha": 0.1}),
    "elastic net, no penalty": ("ElasticNet", {"alpha": 0.0}),
    **{
        f"logistic, {ratio} of L1, C={c}, intercept {intercept}": (
            "LogisticRegression", {"l1_ratio": ratio, "C": c, "fit_intercept": intercept},
        )
        for ratio in (0.0, 0.5, 1.0) for c in (1.0, np.inf) for intercept in (True, False)
    },
    "logistic, liblinear, l1": ("LogisticRegression", {"solver": "liblinear", "l1_ratio": 1.0}),
    "logistic, liblinear, l2": ("LogisticRegression", {"solver": "liblinear"}),
    "logistic, balanced": ("LogisticRegression", {"class_weight": "balanced"}),
    "hinge": ("LinearSVC", {"loss": "hinge"}),
    "squared hinge": ("LinearSVC", {}),
    "squared hinge, l1": ("LinearSVC", {"penalty": "l1", "fit_intercept": False}),
    "squared hinge, balanced": ("LinearSVC", {"class_weight": "balanced"}),
    "absolute error": ("LinearSVR", {}),
    "squared beyond epsilon": ("LinearSVR", {"loss": "squared_epsilon_insensitive", "epsilon": 0.1}),
    "kernel": ("SVC", {"random_state": 0, "n_components": 30, "gamma": "scale"}),
    "kernel, balanced": ("SVC", {"random_state": 0, "n_components": 30, "class_weight": "balanced"}),
    "linear kernel": ("SVC", {"kernel": "linear"}),
    **{
        f"{kind}, {solver}, early stopping {early}": (
            kind, {**SMALL, "solver": solver, "early_stopping": early, "batch_size": 8},
        )
        for kind in ("MLPClassifier", "MLPRegressor")
        for solver, early in (("adam", False), ("adam", True), ("sgd", False), ("lbfgs", False))
    },
    "perceptron, balanced": ("MLPClassifier", {**SMALL, "class_weight": "balanced"}),
    "perceptron, counts": ("MLPRegressor", {**SMALL, "loss": "poisson"}),
    "any module, classes": ("NeuralClassifier", {**SOME, "module": Net, "module__units": 3}),
    "any module, numbers": ("NeuralRegressor", {**SOME, "module": Net, "module__units": 1}),
}  # fmt: skip
DENSE_ONLY = ("SVC", "NeuralClassifier", "NeuralRegressor")


def learned(estimator):
    """All arrays that a fit has learned."""
    if hasattr(estimator, "model_"):
        return [np.array(p.numpy()) for p in estimator.model_.parameters()]
    return [np.asarray(estimator.coef_ if not hasattr(estimator, "linear_") else estimator.linear_.coef_),
            np.asarray(estimator.intercept_)]  # fmt: skip


def targets_of(estimator, name, options):
    if is_classifier(estimator):
        binary = options.get("solver") == "liblinear" or "module" in options
        return [THREE] if "module" in options else [TWO] if binary else [TWO, THREE]
    y = np.round(np.abs(NUMBERS)) if options.get("loss") == "poisson" else NUMBERS
    return [y] if name in ("LinearSVR", "NeuralRegressor") else [y, np.abs(SEVERAL)]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", ["dense", "csr", "csc"])
@pytest.mark.parametrize("row", ESTIMATORS)
def test_a_row_of_weight_0_is_no_row(row, kind):
    name, options = ESTIMATORS[row]
    if kind != "dense" and (name in DENSE_ONLY or options.get("positive")):
        pytest.skip("takes dense rows")
    as_kind = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}[kind]
    kept = WEIGHTS > 0
    make = getattr(models, name)
    for y in targets_of(make(**options), name, options):
        with np.errstate(divide="raise", invalid="raise"):
            both = make(**options).fit(as_kind(X), y, sample_weight=WEIGHTS)
            few = make(**options).fit(as_kind(X[kept]), y[kept], sample_weight=WEIGHTS[kept])
        for a, b in zip(learned(both), learned(few), strict=True):
            assert np.isfinite(a).all() and np.array_equal(a, b)


def test_a_class_of_factor_0_has_no_rows():
    """Of two classes and a third with the factor 0, a column that varies in the third alone."""
    x = np.random.default_rng(1).normal(size=(60, 3))
    y = np.arange(60) % 3
    x[y != 2, 2] = 0.0
    ours = models.LogisticRegression(l1_ratio=1.0, class_weight={2: 0.0}).fit(x, y)
    alone = models.LogisticRegression(l1_ratio=1.0).fit(x[y != 2], y[y != 2])
    assert (
        np.allclose(ours.coef_[1] - ours.coef_[0], alone.coef_[0], atol=1e-4) and not ours.coef_[:, 2].any()
    )


def test_scikit_learns_fit_where_a_column_varies_without_weight():
    options = {"l1_ratio": 1.0, "solver": "saga", "max_iter": 10_000, "tol": 1e-8, "random_state": 0}
    x = np.where(np.abs(X) > 100, 1.0, X)
    ours = models.LogisticRegression(l1_ratio=1.0, tol=1e-8).fit(x, TWO, WEIGHTS)
    theirs = LogisticRegression(**options).fit(x, TWO, WEIGHTS)
    assert np.allclose(ours.coef_, theirs.coef_, atol=1e-4) and ours.coef_[0, 3] == 0.0


@pytest.mark.parametrize("least", [1e-320, 1e-200, 1e-30])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_a_column_that_varies_in_rows_of_next_to_no_weight(ratio, least):
    weights = np.where(WEIGHTS > 0, WEIGHTS, least)
    with np.errstate(divide="raise", invalid="raise"):
        few = models.LogisticRegression(l1_ratio=ratio).fit(X[:, :4], TWO, weights)
    none = models.LogisticRegression(l1_ratio=ratio).fit(X[:, :4], TWO, WEIGHTS)
    assert np.allclose(few.coef_, none.coef_, atol=1e-5)
