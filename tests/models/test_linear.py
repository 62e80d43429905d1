"""The linear models against scikit-learn's, which solve the same problems."""

import numpy as np
import pytest
from sklearn import linear_model as reference
from sklearn.datasets import load_breast_cancer, load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning

import strict_backend
import tapegrad as tg
from tapegrad.models import LinearRegression, LinearSVC, LogisticRegression
from tapegrad.models.convex import fit_convex, newton

strict_backend.register()
generator = np.random.default_rng(0)
CANCER, IRIS = load_breast_cancer(return_X_y=True), load_iris(return_X_y=True)
MANY = make_classification(300, 12, n_informative=8, n_classes=5, random_state=0)
WEIGHTS = generator.uniform(0, 3, 569)


def standardized(x, y):
    return (x - x.mean(axis=0)) / x.std(axis=0), y


# data, options, sample weights
LOGISTIC = {
    "two classes": (standardized(*CANCER), {}, None),
    "raw columns, six orders of magnitude apart": (CANCER, {}, None),
    "three classes": (IRIS, {}, None),
    "five classes": (MANY, {"C": 0.1}, None),
    "weak penalty": (standardized(*CANCER), {"C": 1e3}, None),
    "strong penalty": (standardized(*CANCER), {"C": 1e-4}, None),
    "no intercept": (standardized(*CANCER), {"fit_intercept": False}, None),
    "no intercept, raw": (IRIS, {"fit_intercept": False}, None),
    "sample weights": (standardized(*CANCER), {}, WEIGHTS),
    "balanced": (standardized(*CANCER), {"class_weight": "balanced"}, None),
    "class weights": (IRIS, {"class_weight": {0: 2.0, 1: 0.5, 2: 1.0}}, WEIGHTS[:150]),
}


@pytest.mark.parametrize("row", LOGISTIC)
def test_logistic_regression(row):
    (x, y), options, weights = LOGISTIC[row]
    ours = LogisticRegression(tol=1e-10, **options).fit(x, y, weights)
    theirs = reference.LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=1000, **options)
    theirs.fit(x, y, weights)
    assert np.abs(ours.coef_ - theirs.coef_).max() <= 1e-6 * max(1, np.abs(theirs.coef_).max())
    assert np.abs(ours.intercept_ - theirs.intercept_).max() <= 1e-6 * max(1, np.abs(theirs.intercept_).max())
    assert np.abs(ours.predict_proba(x) - theirs.predict_proba(x)).max() <= 1e-6
    assert np.abs(ours.decision_function(x) - theirs.decision_function(x)).max() <= 1e-5
    assert np.array_equal(ours.predict(x), theirs.predict(x))
    assert ours.n_iter_ <= 20


@pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype")
def test_logistic_regression_on_another_device():
    x, y = IRIS
    with tg.use_backend("strict"):
        there = LogisticRegression().fit(x, y)
    assert np.allclose(there.coef_, LogisticRegression().fit(x, y).coef_, atol=1e-9)


def test_probabilities_are_exact_far_out():
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    logp = model.predict_log_proba([[1e5]])
    assert np.isfinite(logp).all()
    assert logp[0, 0] == pytest.approx(-(model.coef_[0, 0] * 1e5 + model.intercept_[0]))


def test_separable_classes_without_penalty_warn():
    with pytest.warns(ConvergenceWarning, match="LogisticRegression: not converged after 5 steps"):
        LogisticRegression(C=np.inf, max_iter=5).fit([[0.0], [1.0]], [0, 1])


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [50, 4])  # 4 rows for 6 columns: the shortest of many solutions
def test_linear_regression(intercept, targets, weighted, rows):
    x = generator.normal(size=(rows, 6)) * [1, 10, 100, 1e-3, 1, 1] + 5.0
    y = generator.normal(size=(rows, targets)) if targets > 1 else generator.normal(size=rows)
    weights = WEIGHTS[:rows] if weighted else None
    ours = LinearRegression(fit_intercept=intercept).fit(x, y, weights)
    theirs = reference.LinearRegression(fit_intercept=intercept).fit(x, y, weights)
    assert ours.coef_.shape == theirs.coef_.shape
    assert np.allclose(ours.coef_, theirs.coef_, rtol=1e-6, atol=1e-9)
    assert np.allclose(ours.intercept_, theirs.intercept_, rtol=1e-6, atol=1e-8)
    assert np.allclose(ours.predict(x), theirs.predict(x), atol=1e-8)


@pytest.mark.parametrize("data", [standardized(*CANCER), standardized(*IRIS)])
def test_svc_meets_its_own_optimality_condition(data):
    """At the minimum of C Σ max(0, 1 - y z)² + |w|²/2:  w = 2 C Σ max(0, 1 - y z) y x  and  Σ max(0, 1 - y z) y = 0."""
    x, labels = data
    model = LinearSVC(C=0.3).fit(x, labels)
    scores = np.atleast_2d(model.decision_function(x).T).T
    for k in range(scores.shape[1]):
        y = np.where(labels == (1 if scores.shape[1] == 1 else k), 1.0, -1.0)
        slack = np.maximum(0, 1 - y * scores[:, k]) * y
        assert np.allclose(model.coef_[k], 2 * 0.3 * slack @ x, atol=1e-5)
        assert abs(slack.sum()) < 1e-5
    assert model.score(x, labels) > 0.9


def test_newton_needs_one_step_for_a_parabola():
    a = generator.normal(size=(5, 5))
    matrix = tg.tensor(a @ a.T + np.eye(5))
    b = tg.tensor(generator.normal(size=5))
    w, values, converged = newton(
        lambda w: 0.5 * (w @ (matrix @ w)) - b @ w, tg.zeros(5, dtype=tg.float64), 1e-8, 9
    )
    assert converged
    assert np.allclose((matrix @ w).numpy(), b.numpy(), atol=1e-7)
    assert values == sorted(values, reverse=True)


def test_a_constant_column_is_ignored():
    x, y = standardized(*CANCER)
    x = np.column_stack([x[:, :3], np.full(len(x), 7.0)])
    fit = LogisticRegression(C=np.inf).fit(x, y)
    assert fit.coef_[0, 3] == 0.0
    assert np.allclose(fit.coef_[0, :3], LogisticRegression(C=np.inf).fit(x[:, :3], y).coef_[0], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"C": 0}, "C: "), ({"C": -1.0}, "C: "), ({"tol": 0}, "tol: "), ({"max_iter": 0}, "max_iter: ")],
)
def test_bad_options(options, words):
    with pytest.raises(ValueError, match=words):
        LogisticRegression(**options).fit(*IRIS)


def test_one_class():
    with pytest.raises(ValueError, match="at least 2 classes"):
        LogisticRegression().fit([[0.0], [1.0]], [3, 3])


def test_fit_convex_takes_any_convex_loss():
    x, y = standardized(*CANCER)
    fit = fit_convex(lambda z, t: (z[:, 0] - t) ** 2, x, y.astype(float), 1, l2=0.0)
    theirs = reference.LinearRegression().fit(x, y)
    assert np.allclose(fit.coef[:, 0], theirs.coef_, atol=1e-6)
    assert fit.intercept[0] == pytest.approx(theirs.intercept_)
