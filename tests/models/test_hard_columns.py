"""Linear models on columns as people have them: each reaches scikit-learn's objective, or warns that it did not."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn import linear_model as reference
from sklearn import svm

from tapegrad import models

ROWS = 80


def doubled(r: np.random.Generator) -> np.ndarray:
    income = 50_000 + 15_000 * r.normal(size=ROWS)
    return np.c_[income, r.normal(size=ROWS), 2 * income + 0.01 * r.normal(size=ROWS)]


def doubled_years(r: np.random.Generator) -> np.ndarray:
    year = 2010 + 8 * r.normal(size=ROWS)
    return np.c_[year, r.normal(size=ROWS), 2 * year + 1e-3 * r.normal(size=ROWS)]


def doubled_times(r: np.random.Generator) -> np.ndarray:
    time = 1.7e9 + 2.5e6 * r.random(ROWS)
    return np.c_[time, 2 * time + 1e-3 * r.normal(size=ROWS)]


COLUMNS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "of mean 0": lambda r: r.normal(size=(ROWS, 3)),
    "pH": lambda r: 7 + 0.3 * r.normal(size=(ROWS, 3)),
    "kelvin": lambda r: 290 + 6 * r.normal(size=(ROWS, 2)),
    "years": lambda r: np.c_[2010 + 8 * r.normal(size=(ROWS, 2)), r.normal(size=ROWS)],
    "incomes": lambda r: np.c_[50_000 + 15_000 * r.normal(size=(ROWS, 2)), r.normal(size=ROWS)],
    "Unix times": lambda r: np.c_[1.7e9 + 1e7 * r.random((ROWS, 2)), r.normal(size=ROWS)],
    "Unix times of a minute": lambda r: np.c_[1.7e9 + 50 * r.random((ROWS, 1)), r.normal(size=(ROWS, 2))],
    "of all sizes": lambda r: r.normal(size=(ROWS, 4)) * [1e-6, 1e6, 1.0, 1e3],
    "a column twice, nearly": doubled,
    "years twice, nearly": doubled_years,
    "Unix times twice, nearly": doubled_times,
    "rare flags and a constant": lambda r: np.c_[r.random((ROWS, 3)) < 0.1, np.full(ROWS, 3.0)].astype(float),
    "far outliers": lambda r: r.standard_cauchy((ROWS, 3)),
    "more columns than rows": lambda r: np.c_[2010 + 8 * r.normal(size=ROWS), r.normal(size=(ROWS, 100))],
}
LOSSES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "squares": lambda y, z: (y - z) ** 2,
    "logistic": lambda y, z: np.logaddexp(0.0, -y * z),
    "hinge": lambda y, z: np.maximum(0.0, 1 - y * z),
    "squared hinge": lambda y, z: np.maximum(0.0, 1 - y * z) ** 2,
    "absolute": lambda y, z: np.abs(y - z),
    "beyond 0.1": lambda y, z: np.maximum(np.abs(y - z) - 0.1, 0.0),
    "squares beyond 0.1": lambda y, z: np.maximum(np.abs(y - z) - 0.1, 0.0) ** 2,
}
# What tells scikit-learn's to go on to the end.
EXACT = {"tol": 1e-8, "max_iter": 20_000}
SVM = {"tol": 1e-6, "max_iter": 2000}
NEWTON = {"tol": 1e-8, "solver": "newton-cholesky"}
# estimator, options, scikit-learn's options, loss, (factor of the loss, L1, L2, L2 of the intercept)
FITS = {
    "hinge": ("LinearSVC", {"loss": "hinge"}, SVM, "hinge", (1.0, 0.0, 1.0, 1.0)),
    "hinge, C=100": ("LinearSVC", {"loss": "hinge", "C": 100.0}, SVM, "hinge", (100.0, 0.0, 1.0, 1.0)),
    "SVC": ("SVC", {"kernel": "linear"}, SVM, "hinge", (1.0, 0.0, 1.0, 0.0)),
    "SVC, C=100": ("SVC", {"kernel": "linear", "C": 100.0}, SVM, "hinge", (100.0, 0.0, 1.0, 0.0)),
    "absolute errors": ("LinearSVR", {}, SVM, "absolute", (1.0, 0.0, 1.0, 1.0)),
    "errors beyond": ("LinearSVR", {"epsilon": 0.1, "C": 0.01}, SVM, "beyond 0.1", (0.01, 0.0, 1.0, 1.0)),
    "squared hinge": ("LinearSVC", {}, SVM, "squared hinge", (1.0, 0.0, 1.0, 1.0)),
    "squares beyond": ("LinearSVR", {"loss": "squared_epsilon_insensitive", "epsilon": 0.1}, SVM, "squares beyond 0.1",
                       (1.0, 0.0, 1.0, 1.0)),
    "logistic": ("LogisticRegression", {}, NEWTON, "logistic", (1.0, 0.0, 1.0, 0.0)),
    "logistic, C=100": ("LogisticRegression", {"C": 100.0}, NEWTON, "logistic", (100.0, 0.0, 1.0, 0.0)),
    "least squares": ("LinearRegression", {}, {}, "squares", (1.0, 0.0, 0.0, 0.0)),
    "ridge": ("Ridge", {}, {}, "squares", (0.5, 0.0, 1.0, 0.0)),
    "ridge, weak": ("Ridge", {"alpha": 1e-3}, {}, "squares", (0.5, 0.0, 1e-3, 0.0)),
    "lasso": ("Lasso", {"alpha": 0.01}, EXACT, "squares", (0.5 / ROWS, 0.01, 0.0, 0.0)),
    "lasso, weak": ("Lasso", {"alpha": 1e-4}, EXACT, "squares", (0.5 / ROWS, 1e-4, 0.0, 0.0)),
    "elastic net": ("ElasticNet", {"alpha": 0.01}, EXACT, "squares", (0.5 / ROWS, 0.005, 0.005, 0.0)),
}  # fmt: skip


# Where float64 does not reach the minimum.
WARNED = {("a column twice, nearly", "hinge, C=100"), ("Unix times twice, nearly", "lasso, weak")}

WARNED_SPARSE = {("Unix times twice, nearly", "lasso"), ("Unix times twice, nearly", "elastic net")}


def labelled(columns: str, loss: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and numbers or classes that the columns tell up to some noise."""
    r = np.random.default_rng(seed)
    x = COLUMNS[columns](r)
    spread = x.std(axis=0)
    z = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    y = z @ r.normal(size=x.shape[1]) + 0.5 * r.normal(size=ROWS)
    return x, np.where(y > 0, 1, -1) if loss in ("hinge", "squared hinge", "logistic") else y


def objective(model, x, y, loss, strengths):
    factor, l1, l2, on_intercept = strengths
    coef, bias = np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])
    penalty = l1 * np.abs(coef).sum() + 0.5 * l2 * coef @ coef + 0.5 * on_intercept * bias**2
    return factor * LOSSES[loss](y, x @ coef + bias).sum() + penalty


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("row", FITS)
@pytest.mark.parametrize("columns", COLUMNS)
def test_the_objective_is_scikit_learns_or_a_warning_says_so(columns, row, intercept):
    name, options, theirs_alone, loss, strengths = FITS[row]
    if name == "SVC" and not intercept:
        pytest.skip("SVC has an intercept")
    options = options if name == "SVC" else {**options, "fit_intercept": intercept}
    theirs = getattr(reference, name, None) or getattr(svm, name)
    for seed in range(2):
        x, y = labelled(columns, loss, seed)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            ours = objective(getattr(models, name)(**options).fit(x, y), x, y, loss, strengths)
            warned = [str(w.message) for w in said]
            warnings.simplefilter("ignore")
            best = objective(theirs(**options, **theirs_alone).fit(x, y), x, y, loss, strengths)
        best = min(best, strengths[0] * LOSSES[loss](y, np.zeros(ROWS)).sum())
        assert all("not converged" in message for message in warned), warned
        # An exact fit has an objective of roundings alone.
        best += 1e-12 * strengths[0] * (y @ y)
        assert warned or ours <= 1.001 * best, (seed, ours, best)
        assert not warned or (columns, row) in WARNED, (seed, ours, best)


@pytest.mark.parametrize("row", [row for row in FITS if FITS[row][0] != "SVC"])
@pytest.mark.parametrize("columns", COLUMNS)
def test_sparse_rows_have_the_objective_of_dense_ones(columns, row):
    name, options, _, loss, strengths = FITS[row]
    x, y = labelled(columns, loss, 0)
    model = getattr(models, name)(**options)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        best, ours = (objective(model.fit(rows, y), x, y, loss, strengths) for rows in (x, csr_matrix(x)))
    best += 1e-12 * strengths[0] * (y @ y)
    assert said or ours <= 1.001 * best, (ours, best)
    assert not said or (columns, row) in WARNED | WARNED_SPARSE, (ours, best)


TOO_LARGE = {
    "logistic": ("LogisticRegression", {}),
    "logistic, l1": ("LogisticRegression", {"l1_ratio": 1.0}),
    "squared hinge": ("LinearSVC", {}),
    "hinge": ("LinearSVC", {"loss": "hinge"}),
    "absolute error": ("LinearSVR", {}),
    "kernel": ("SVC", {}),
    "linear kernel": ("SVC", {"kernel": "linear"}),
}


@pytest.mark.parametrize("row", TOO_LARGE)
def test_numbers_whose_squares_overflow_are_refused(row):
    """All coefs were 0."""
    name, options = TOO_LARGE[row]
    x = 1e155 * np.random.default_rng(0).normal(size=(ROWS, 3))
    with pytest.raises(ValueError, match="X: some numbers are so large that their squares overflow: scale X"):
        getattr(models, name)(**options).fit(x, (x[:, 0] > 0) * 1)


def test_a_gamma_beyond_all_numbers_is_refused():
    x = 1e-160 * np.random.default_rng(0).normal(size=(ROWS, 3))
    with pytest.raises(ValueError, match="gamma='scale' is infinite for an X of so small numbers: scale X"):
        models.SVC().fit(x, (x[:, 0] > 0) * 1)
