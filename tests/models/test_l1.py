"""Linear models with an L1 penalty: at least scikit-learn's objective, and the minimum, in few steps."""

import itertools
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from scipy import sparse
from sklearn import linear_model as reference
from sklearn import svm
from sklearn.exceptions import ConvergenceWarning

from tapegrad import models
from tapegrad.models import linear
from tapegrad.models.linear_solvers import l1_hinge


def correlated(r: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    x = r.normal(size=(rows, columns))
    for j in range(1, columns):
        x[:, j] = 0.95 * x[:, j - 1] + 0.31 * x[:, j]
    return x


def of_few_factors(r: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return r.normal(size=(rows, 5)) @ r.normal(size=(5, columns)) + 0.1 * r.normal(size=(rows, columns))


def twice(r: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    x = r.normal(size=(rows, columns // 2))
    return np.hstack([x, x + 1e-4 * r.normal(size=x.shape)])


def independent(r: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return r.normal(size=(rows, columns))


Rows = Callable[[np.random.Generator, int, int], np.ndarray]
SHAPES: dict[str, tuple[Rows, int, int]] = {
    "wide": (independent, 60, 400),
    "square": (independent, 100, 110),
    "long": (independent, 600, 40),
    "wide, correlated": (correlated, 80, 500),
    "long, correlated": (correlated, 500, 100),
    "wide, of few factors": (of_few_factors, 80, 300),
    "wide, each column twice": (twice, 80, 200),
    "long, each column twice": (twice, 500, 60),
    "more columns than a Hessian takes": (independent, 80, 1500),
}
# estimator, its options, scikit-learn's own
KINDS = {
    "squared hinge": ("LinearSVC", {"penalty": "l1", "dual": False}, {}),
    "logistic, liblinear": ("LogisticRegression", {"l1_ratio": 1.0, "solver": "liblinear"}, {}),
    "logistic": ("LogisticRegression", {"l1_ratio": 1.0, "solver": "saga"}, {}),
    "three classes": ("LogisticRegression", {"l1_ratio": 1.0, "solver": "saga"}, {}),
}


def data(shape: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    make, rows, columns = SHAPES[shape]
    r = np.random.default_rng(0)
    x = make(r, rows, columns)
    score = x[:, :5] @ r.normal(size=5)
    score = score / score.std() + 0.5 * r.normal(size=rows)
    return x, np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))


def losses(kind: str, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(of each row, their slopes) at the scores z, (rows, outputs)."""
    if kind == "squared hinge":
        sign = 2.0 * y[:, None] - 1
        short = np.maximum(0.0, 1 - sign * z)
        return (short**2)[:, 0], -2 * sign * short
    if z.shape[1] == 1:
        return np.logaddexp(0.0, z[:, 0]) - y * z[:, 0], 1 / (1 + np.exp(-z)) - y[:, None]
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(len(y)), y]), p - np.eye(z.shape[1])[y]


def certified(
    model: models.LinearSVC, kind: str, x: np.ndarray, y: np.ndarray, c: float
) -> tuple[float, float]:
    """(the objective, what it is at most above the minimum, by the subgradient)."""
    w = np.vstack([model.coef_.T, model.intercept_])
    x = np.hstack([x, np.ones((len(x), 1))])
    each, slope = losses(kind, x @ w, y)
    l1 = np.ones_like(w)
    l1[-1] = float(kind in ("squared hinge", "logistic, liblinear"))
    g = c * x.T @ slope
    left = np.where(w == 0, np.maximum(np.abs(g) - l1, 0.0), np.abs(g + l1 * np.sign(w)))
    value = c * each.sum() + (l1 * np.abs(w)).sum()
    penalized = l1 > 0
    return value, (left * np.abs(w)).sum() + value * left[penalized].max() + left[~penalized].sum()


@pytest.mark.parametrize("c", [0.02, 1.0, 50.0])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_minimum_is_reached_in_few_steps(shape, kind, c):
    name, options, own = KINDS[kind]
    x, y = data(shape, 3 if kind == "three classes" else 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = getattr(models, name)(C=c, **options).fit(x, y)
    value, above = certified(ours, kind, x, y, c)
    assert above <= 1e-4 * value
    assert np.max(ours.n_iter_) <= 150
    theirs = getattr(svm if name == "LinearSVC" else reference, name)(C=c, **options, **own)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        best, _ = certified(theirs.fit(x, y), kind, x, y, c)
    assert value <= best * (1 + 1e-6)


def by_every_sign(x: np.ndarray, y: np.ndarray, alpha: float) -> float:
    """The lowest objective of the Lasso: of all signs that the coefs can have, by the triangle of the rows."""
    rows, columns = x.shape
    lowest = float(y @ y) / (2 * rows)
    for sign in itertools.product((-1.0, 0.0, 1.0), repeat=columns):
        at = np.flatnonzero(sign)
        if not len(at):
            continue
        q, r = np.linalg.qr(x[:, at])
        pull = alpha * rows * np.array(sign)[at]
        coef = np.linalg.solve(r, q.T @ y - np.linalg.solve(r.T, pull))
        left = y - x[:, at] @ coef
        if (coef * pull >= 0).all():
            lowest = min(lowest, float(left @ left) / (2 * rows) + alpha * float(np.abs(coef).sum()))
    return lowest


@pytest.mark.parametrize("apart", [1e-2, 1e-4, 1e-6, 1e-7])
@pytest.mark.parametrize("size", [1.0, 2000.0, 50_000.0])
def test_the_lasso_tells_columns_apart(size, apart):
    """Where a column is twice another, nearly, the products of the columns cannot, and the coefs are large."""
    for seed in range(4):
        r = np.random.default_rng(seed)
        x = r.normal(size=(80, 3)) * [size, 1.0, 1.0]
        x[:, 2] = 2 * x[:, 0] + apart * size * r.normal(size=80)
        y = x @ [1 / size, -1.0, 0.0] + 0.5 * r.normal(size=80)
        x, y = x - x.mean(axis=0), y - y.mean()
        alpha = 1e-4 * apart
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ours = models.Lasso(alpha=alpha, fit_intercept=False).fit(x, y)
        left = y - x @ ours.coef_
        value = left @ left / 160 + alpha * np.abs(ours.coef_).sum()
        assert value <= by_every_sign(x, y, alpha) * (1 + 1e-6)


@pytest.mark.parametrize("off", [0.0, 0.3])
@pytest.mark.parametrize("size", [1.0, 1e7])
def test_a_lasso_off_the_minimum_warns(size, off, monkeypatch):
    """A gap below the rounding of a weak penalty does not hide one that is real."""
    solve = linear.elastic_net
    monkeypatch.setattr(linear, "elastic_net", lambda *args: (1 + off) * solve(*args))
    r = np.random.default_rng(0)
    x = r.normal(size=(80, 3)) * [size, 1.0, 1.0]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        models.Lasso(alpha=1e-3).fit(x, x @ [1 / size, -1.0, 0.0] + 0.1 * r.normal(size=80))
    assert [w.category for w in said] == [ConvergenceWarning] * (off > 0.1)


# rows with fewer of them within the margin than columns that are not 0, on the way to the minimum; C
CROWDED: dict[str, tuple[Rows, int, int, float]] = {
    "square, of few factors": (of_few_factors, 150, 150, 50.0),
    "wide, correlated": (correlated, 150, 250, 50.0),
    "wide, each column twice": (twice, 150, 220, 1000.0),
    "long, correlated": (correlated, 300, 200, 1e4),
    "wide, separable": (independent, 60, 300, 1e5),
}


@pytest.mark.parametrize("given", ["dense", "sparse", "weighed"])
@pytest.mark.parametrize("name", CROWDED)
def test_where_few_rows_are_within_the_margin_an_interior_point_method_goes_on(name, given, monkeypatch):
    make, rows, columns, c = CROWDED[name]
    r, calls, solve = np.random.default_rng(0), [], l1_hinge.interior_point
    x = make(r, rows, columns)
    y = (x[:, :5] @ r.normal(size=5) + 0.5 * r.normal(size=rows) > 0).astype(int)
    monkeypatch.setattr(l1_hinge, "interior_point", lambda *args: calls.append(solve(*args)) or calls[-1])
    weights = np.where(np.arange(rows) % 3, 1.0, 0.0) if given == "weighed" else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = models.LinearSVC(penalty="l1", dual=False, C=c)
        model.fit(sparse.csr_matrix(x) if given == "sparse" else x, y, sample_weight=weights)
    assert [converged for *_, converged in calls] == [True]
    kept = slice(None) if weights is None else weights > 0
    value, above = certified(model, "squared hinge", x[kept], y[kept], c)
    if above > 1e-3 * value:  # the bound is far up where columns are alike
        theirs = svm.LinearSVC(penalty="l1", dual=False, C=c, tol=1e-8, max_iter=100_000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            theirs.fit(x[kept], y[kept])
        assert value <= (1 + 1e-6) * certified(theirs, "squared hinge", x[kept], y[kept], c)[0]
    # The minimum has at most as many.
    score = x[kept] @ model.coef_[0] + model.intercept_
    assert np.count_nonzero(model.coef_) <= 1.1 * np.count_nonzero((2 * y[kept] - 1) * score < 1)


@pytest.mark.parametrize("c", [100.0, 1e4])
@pytest.mark.parametrize(("rows", "columns"), [(60, 40), (100, 100), (200, 150)])
def test_weights_over_twelve_decades_take_few_steps(rows, columns, c):
    """Newton's method, which went on behind too few of the other's steps, took a minute and warned."""
    r, values = np.random.default_rng(0), []
    x = r.normal(size=(rows, columns))
    y = (x[:, 0] + r.normal(size=rows) > 0).astype(int)
    weights = 10.0 ** r.uniform(-6, 6, rows)
    for order in (np.arange(columns), r.permutation(columns)):
        model = models.LinearSVC(penalty="l1", dual=False, C=c)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.fit(x[:, order], y, sample_weight=weights)
        score = x[:, order] @ model.coef_[0] + model.intercept_
        short = np.maximum(1 - (2 * y - 1) * score, 0.0)
        values.append(c * weights @ short**2 + np.abs(model.coef_).sum() + abs(model.intercept_[0]))
        assert model.n_iter_ < 200
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_newtons_method_ends_what_an_interior_point_method_does_not(monkeypatch):
    x, y = data("square", 2)
    best = models.LinearSVC(penalty="l1", dual=False, C=50).fit(x, y)
    monkeypatch.setattr(l1_hinge, "STEPS", 5)
    model = models.LinearSVC(penalty="l1", dual=False, C=50).fit(x, y)
    assert 5 < model.n_iter_ != best.n_iter_ > 5
    np.testing.assert_allclose(
        *(certified(m, "squared hinge", x, y, 50)[0] for m in (model, best)), rtol=1e-5
    )


@pytest.mark.parametrize("c", [1.0, 100.0])
@pytest.mark.parametrize(
    ("name", "options"), [("LogisticRegression", {"l1_ratio": 1.0}), ("LinearSVC", {"dual": False})]
)
def test_texts_reach_the_minimum(name, options, c):
    """Sparse rows, whose steps are made by sweeps over the columns."""
    r = np.random.default_rng(0)
    share = 1.0 / np.arange(1, 1001)
    words = r.choice(1000, size=(400, 30), p=share / share.sum())
    x = sparse.csr_matrix(
        (np.ones(words.size), (np.repeat(np.arange(400), 30), words.ravel())), shape=(400, 1000)
    )
    y = (x @ r.normal(size=1000) + r.normal(size=400) > 0).astype(int)
    penalty = {"penalty": "l1"} if name == "LinearSVC" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sparse_one = getattr(models, name)(C=c, **options, **penalty).fit(x, y)
    kind = "squared hinge" if name == "LinearSVC" else "logistic"
    values = [
        certified(m, kind, x.toarray(), y, c)
        for m in (sparse_one, getattr(models, name)(C=c, tol=1e-8, **options, **penalty).fit(x.toarray(), y))
    ]
    assert values[0][0] <= (1 + 1e-6) * values[1][0] and values[0][1] <= 1e-3 * values[0][0]
