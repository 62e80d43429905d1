"""The linear models against scikit-learn's, which solve the same problems."""

import numpy as np
import pytest
from scipy import sparse
from sklearn import linear_model as reference
from sklearn import svm
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_linnerud, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import rbf_kernel

import tapegrad as tg
from tapegrad import models
from tapegrad.models import LinearRegression, LogisticRegression

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
    "balanced, sample weights": (IRIS, {"class_weight": "balanced"}, WEIGHTS[:150]),
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
    import strict_backend

    strict_backend.register()
    x, y = IRIS
    with tg.use_backend("strict"):
        there = LogisticRegression(tol=1e-10).fit(x, y)
    assert np.allclose(there.coef_, LogisticRegression(tol=1e-10).fit(x, y).coef_, atol=1e-6)


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


# ---- everything else against scikit-learn ----
DIABETES = standardized(*load_diabetes(return_X_y=True))
LINNERUD = standardized(*load_linnerud(return_X_y=True))
TEXT = sparse.random(200, 40, density=0.1, random_state=0, format="csr"), generator.integers(0, 2, 200)
TEXT3 = TEXT[0], generator.integers(0, 3, 200)
VALUES = TEXT[0], np.asarray(TEXT[0] @ np.arange(40.0)) + generator.normal(size=200)
EXACT = {"tol": 1e-10, "max_iter": 100_000}

# ours, theirs, data, options of both, options of theirs alone, whether weighted
CANCER_SCALED, IRIS_SCALED = standardized(*CANCER), standardized(*IRIS)
WIDE = generator.normal(size=(30, 80)), generator.normal(size=30)
SAME = {
    "l1": ("LogisticRegression", IRIS_SCALED, {"l1_ratio": 1.0}, {"solver": "saga", **EXACT}, False),
    "net of classes": (
        "LogisticRegression", CANCER_SCALED, {"l1_ratio": 0.7, "C": 0.5}, {"solver": "saga", **EXACT}, True,
    ),
    "liblinear": (
        "LogisticRegression", CANCER_SCALED, {"solver": "liblinear", "intercept_scaling": 2.0}, EXACT, False,
    ),
    "sparse": ("LogisticRegression", TEXT, {}, {"solver": "newton-cg", **EXACT}, True),
    "sparse, three classes": ("LogisticRegression", TEXT3, {}, {"solver": "newton-cg", **EXACT}, False),
    "sparse, l1": ("LogisticRegression", TEXT, {"l1_ratio": 1.0, "C": 3.0}, {"solver": "saga", **EXACT}, False),
    "squared hinge": ("LinearSVC", CANCER_SCALED, {"C": 0.3}, EXACT, True),
    "squared hinge, three classes": ("LinearSVC", IRIS_SCALED, {"intercept_scaling": 3.0}, EXACT, False),
    "squared hinge, l1": ("LinearSVC", CANCER_SCALED, {"penalty": "l1", "C": 0.1}, {"dual": False, **EXACT}, False),
    "hinge": ("LinearSVC", CANCER_SCALED, {"loss": "hinge"}, EXACT, True),
    "hinge, three classes": ("LinearSVC", IRIS_SCALED, {"loss": "hinge", "C": 0.5}, EXACT, False),
    "squared hinge, class weights": ("LinearSVC", IRIS_SCALED, {"class_weight": {0: 5.0, 2: 0.5}}, EXACT, True),
    "hinge, class weights": ("LinearSVC", IRIS_SCALED, {"loss": "hinge", "class_weight": {1: 3.0}}, EXACT, False),
    "squared hinge, balanced": ("LinearSVC", CANCER_SCALED, {"class_weight": "balanced"}, EXACT, True),
    "hinge, no intercept": ("LinearSVC", CANCER_SCALED, {"loss": "hinge", "fit_intercept": False}, EXACT, False),
    "hinge, sparse": ("LinearSVC", TEXT, {"loss": "hinge"}, EXACT, False),
    "squared hinge, sparse": ("LinearSVC", TEXT, {}, EXACT, False),
    "epsilon": ("LinearSVR", DIABETES, {"epsilon": 5.0}, EXACT, True),
    "epsilon, sparse": ("LinearSVR", VALUES, {"epsilon": 0.5}, EXACT, False),
    "squared epsilon": (
        "LinearSVR", DIABETES, {"loss": "squared_epsilon_insensitive", "epsilon": 1.0, "C": 0.1}, EXACT, True,
    ),
    "ridge": ("Ridge", DIABETES, {"alpha": 3.0}, {}, True),
    "ridge, targets": ("Ridge", LINNERUD, {"alpha": [0.1, 1.0, 10.0]}, {}, False),
    "ridge, wide": ("Ridge", (MANY[0][:8], MANY[1][:8]), {"alpha": 0.5}, {}, False),
    "ridge, not negative": ("Ridge", DIABETES, {"positive": True, "alpha": 2.0}, {"tol": 1e-10}, False),
    "ridge, sparse": ("Ridge", VALUES, {"alpha": 0.5}, {"solver": "sparse_cg", "tol": 1e-12}, True),
    "squares, sparse": ("LinearRegression", VALUES, {}, {"tol": 1e-12}, True),
    "squares, not negative": ("LinearRegression", DIABETES, {"positive": True}, {}, True),
    "lasso": ("Lasso", DIABETES, {"alpha": 2.0}, EXACT, True),
    "lasso, targets": ("Lasso", LINNERUD, {"alpha": 0.5}, EXACT, False),
    "lasso, not negative": ("Lasso", DIABETES, {"alpha": 2.0, "positive": True}, EXACT, False),
    "lasso, no intercept": ("Lasso", DIABETES, {"alpha": 2.0, "fit_intercept": False}, EXACT, False),
    "lasso, sparse": ("Lasso", VALUES, {"alpha": 0.05}, EXACT, False),
    "lasso, wide": ("Lasso", WIDE, {"alpha": 0.1}, EXACT, False),
    "lasso of nothing": ("Lasso", DIABETES, {"alpha": 1e4}, EXACT, False),
    "net": ("ElasticNet", DIABETES, {"alpha": 0.5, "l1_ratio": 0.3}, EXACT, True),
    "net, sparse": ("ElasticNet", VALUES, {"alpha": 0.05}, EXACT, True),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("row", SAME)
def test_scikit_learns_solution(row):
    name, (x, y), options, theirs_alone, weighted = SAME[row]
    kind = getattr(models, name)
    weights = (WEIGHTS[: x.shape[0]],) if weighted else ()
    tight = {} if name in ("Ridge", "LinearRegression", "Lasso", "ElasticNet") else {"tol": 1e-8}
    ours = kind(**options, **tight).fit(x, y, *weights)
    theirs = getattr(reference if hasattr(reference, name) else svm, name)(**options, **theirs_alone)
    theirs.fit(x, y, *weights)
    size = max(1e-3, np.abs(theirs.coef_).max())
    assert ours.coef_.shape == theirs.coef_.shape and np.shape(ours.intercept_) == np.shape(theirs.intercept_)
    assert np.abs(ours.coef_ - theirs.coef_).max() <= 1e-4 * size
    assert np.abs(ours.intercept_ - theirs.intercept_).max() <= 1e-4 * max(
        1.0, np.abs(theirs.intercept_).max()
    )
    assert np.allclose(ours.predict(x), theirs.predict(x), rtol=1e-3, atol=1e-3 * size)
    if hasattr(theirs, "decision_function"):
        assert np.allclose(ours.decision_function(x), theirs.decision_function(x), atol=2e-3)


def test_older_spellings_of_the_penalty():
    x, y = standardized(*CANCER)
    coefs = {
        name: LogisticRegression(tol=1e-9, max_iter=1000, **options).fit(x[:, :3], y).coef_
        for name, options in {
            "l1": {"penalty": "l1", "solver": "saga"}, "ratio": {"l1_ratio": 1}, "l2": {"penalty": "l2"}, "usual": {},
            "none": {"penalty": None}, "infinite": {"C": np.inf},
            "net": {"penalty": "elasticnet", "l1_ratio": 0.5}, "half": {"l1_ratio": 0.5},
        }.items()
    }  # fmt: skip
    for a, b in (("l1", "ratio"), ("l2", "usual"), ("none", "infinite"), ("net", "half")):
        assert np.array_equal(coefs[a], coefs[b]), (a, b)
    assert not np.allclose(coefs["l1"], coefs["l2"])


def test_usual_arguments_are_taken():
    LogisticRegression(random_state=42, solver="lbfgs", penalty="l2", n_jobs=2, verbose=0).fit(*IRIS)
    warm = LogisticRegression(warm_start=True).fit(*IRIS)
    assert warm.fit(*IRIS).n_iter_[0] <= 1


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (LogisticRegression(solver="newton"), "solver: expected one of"),
        (LogisticRegression(penalty="l3"), "penalty: expected one of"),
        (LogisticRegression(penalty="l1", l1_ratio=0.5), "penalty='l1' and l1_ratio=0.5"),
        (LogisticRegression(penalty="elasticnet", l1_ratio=None), "l1_ratio: penalty='elasticnet'"),
        (LogisticRegression(solver="liblinear"), "solver='liblinear' is of two classes"),
        (LogisticRegression(max_iter=2.5), "max_iter: expected a whole number"),
        (models.LinearSVC(penalty="l1", loss="hinge"), "penalty='l1' and loss='hinge'"),
        (models.LinearSVC(multi_class="crammer_singer"), "multi_class: expected one of"),
        (models.LinearSVR(epsilon=-1), "epsilon: expected a number"),
        (models.SVC(kernel="poly"), "kernel: expected one of 'rbf', 'linear'"),
        (models.SVC(gamma="big"), "gamma: expected 'scale', 'auto' or a number"),
        (models.Ridge(alpha=-1.0), "alpha: expected a number"),
        (models.Ridge(alpha=[1.0, 2.0]), "alpha: expected a number or one for each of 1 targets"),
        (models.Lasso(alpha=-1.0), "alpha: expected a number"),
        (models.ElasticNet(l1_ratio=2.0), "l1_ratio: expected a number"),
    ],
)
def test_what_is_refused_is_named(estimator, words):
    with pytest.raises(ValueError) as error:
        estimator.fit(*IRIS)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "name", ["LinearRegression", "Ridge", "Lasso", "LogisticRegression", "LinearSVC", "LinearSVR"]
)
def test_weights_of_rows_are_checked(name):
    for weights, words in ((-np.ones(150), "[Nn]egative"), (np.zeros(150), "zero")):
        with pytest.raises(ValueError, match=words):
            getattr(models, name)().fit(*IRIS, sample_weight=weights)
    if name in ("LogisticRegression", "LinearSVC"):
        with pytest.raises(ValueError, match="class_weight and sample_weight: together"):
            getattr(models, name)(class_weight={0: 0, 1: 1}).fit([[1.0], [2.0]], [0, 1], sample_weight=[1, 0])


def test_random_features_come_near_the_kernel():
    x, y = standardized(*CANCER)
    ours = models.SVC(C=10.0, n_components=600, random_state=0).fit(x, y)
    theirs = svm.SVC(C=10.0).fit(x, y)
    assert abs(ours.score(x, y) - theirs.score(x, y)) < 0.02
    assert np.corrcoef(ours.decision_function(x), theirs.decision_function(x))[0, 1] > 0.97
    scores = ours._features(x) @ ours.linear_.coef_[0] + ours.intercept_
    assert np.allclose(scores, ours.decision_function(x)) and ours.intercept_.shape == theirs.intercept_.shape
    products = ours._features(x[:50]) @ ours._features(x[:50]).T
    kernel = rbf_kernel(x[:50], gamma=1 / (30 * x.var()))
    assert np.abs(products - kernel).max() < 0.2
    linear = models.SVC(kernel="linear", tol=1e-8).fit(x, y)
    assert np.allclose(
        linear.decision_function(x),
        svm.SVC(kernel="linear", tol=1e-8).fit(x, y).decision_function(x),
        atol=1e-4,
    )
    assert models.SVC(random_state=0).fit(*standardized(*IRIS)).score(*standardized(*IRIS)) > 0.95


@pytest.mark.parametrize("options", [{"alpha": 0.1, "l1_ratio": 0.0}, {"alpha": 0.0}])
def test_positive_without_an_l1_penalty(options):
    x = np.random.default_rng(0).normal(size=(40, 4))
    y = x @ [1.0, -1.0, 2.0, 0.1]
    ours = models.ElasticNet(positive=True, **options).fit(x, y)
    with pytest.warns(UserWarning):
        theirs = reference.ElasticNet(positive=True, tol=1e-12, max_iter=10000, **options).fit(x, y)
    assert ours.coef_ == pytest.approx(theirs.coef_, abs=1e-5)


@pytest.mark.parametrize(
    ("solver", "options", "change"),
    [
        ("cholesky", {}, lambda x: x),
        ("svd", {"alpha": 1e-12}, lambda x: np.c_[x, 2 * x[:, :1] + 1e-7 * x[:, 1:2]]),
        ("svd", {"alpha": 0.0}, lambda x: np.c_[x, x]),
        ("nnls", {"positive": True}, lambda x: x),
        ("cholesky", {}, sparse.csr_matrix),
        ("sparse_cg", {}, lambda x: sparse.csr_matrix(np.tile(x, 500))),
        ("cholesky", {}, lambda x: x[:3]),
    ],
)
def test_the_solver_of_ridge_is_the_one_that_ran(solver, options, change):
    x = change(np.random.default_rng(0).normal(size=(40, 4)))
    y = np.arange(x.shape[0]) % 5.0
    assert models.Ridge(**options).fit(x, y).solver_ == solver
