"""How the linear models are solved: Newton's method, interior points, proximal steps, on rows of every kind."""

import numpy as np
import pytest
from scipy.optimize import linprog
from sklearn import linear_model as reference
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.preprocessing import scale

import tapegrad as tg
from tapegrad import models
from tapegrad.models import LogisticRegression
from tapegrad.models.linear_solvers import convex_losses, glm, proximal
from tapegrad.models.linear_solvers.convex import fit_convex, newton
from tapegrad.models.linear_solvers.hinge import interior_point
from tapegrad.models.linear_solvers.quadratic import l1_quadratic

generator = np.random.default_rng(0)


def standardized(x, y):
    return (x - x.mean(axis=0)) / x.std(axis=0), y


CANCER = standardized(*load_breast_cancer(return_X_y=True))
IRIS = standardized(*load_iris(return_X_y=True))


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


def test_fit_convex_takes_any_convex_loss():
    x, y = CANCER
    fit = fit_convex(lambda z, t: (z[:, 0] - t) ** 2, x, y.astype(float), 1, l2=0.0)
    theirs = reference.LinearRegression().fit(x, y)
    assert np.allclose(fit.coef[:, 0], theirs.coef_, atol=1e-6)
    assert fit.intercept[0] == pytest.approx(theirs.intercept_)


def objective(x, y, coef, intercept, l2, l1):
    z = x @ coef + intercept
    return np.sum(np.logaddexp(0, z) - y * z) + 0.5 * l2 * coef @ coef + l1 * np.abs(coef).sum()


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize(
    "kind", ["independent", "correlated", "of many sizes", "sorted", "one class at every eighth row"]
)
def test_many_rows_reach_scikit_learns_objective(kind):
    """They are fitted with the Hessian of a part of the rows."""
    drawn = np.random.default_rng(1)
    x = drawn.normal(size=(45_000, 100))
    x = {
        "correlated": x @ drawn.normal(size=(100, 100)) / 10,
        "of many sizes": x * np.logspace(-1, 1, 100),
    }.get(kind, x)
    z = x @ drawn.normal(size=100)
    y = (drawn.random(len(x)) < 1 / (1 + np.exp(-2 * z / z.std()))).astype(int)
    if kind == "sorted":
        x, y = x[order := np.argsort(z)], y[order]
    if kind.startswith("one class"):
        y[::8] = 1
    ours, theirs = LogisticRegression().fit(x, y), reference.LogisticRegression().fit(x, y)
    values = [objective(x, y, m.coef_[0], m.intercept_[0], 1.0, 0.0) for m in (ours, theirs)]
    assert values[0] <= values[1] * (1 + 1e-9)
    full = LogisticRegression(tol=1e-10).fit(x[::4], y[::4])  # few enough for the exact Hessian
    best = reference.LogisticRegression(solver="newton-cholesky", tol=1e-10).fit(x[::4], y[::4])
    assert np.abs(full.coef_ - best.coef_).max() <= 1e-6 * np.abs(best.coef_).max()


@pytest.mark.parametrize("l1", [0.0, 0.02])
@pytest.mark.parametrize("loss", ["two classes", "three classes", "squares"])
def test_many_columns_have_the_same_solution(loss, l1, monkeypatch):
    """By conjugate and proximal gradients, which make no Hessian."""
    x, y = IRIS
    loss, target, outputs = {
        "two classes": (convex_losses.Logistic(), (y == 1).astype(float)[:, None], 1),
        "three classes": (convex_losses.Multinomial(), y, 3),
        "squares": (convex_losses.SquaredError(), scale(x[:, :1] * x[:, 1:2]), 1),
    }[loss]
    fits = []
    for explicit in (1200, 2):
        monkeypatch.setattr(glm, "EXPLICIT", explicit)
        monkeypatch.setattr(proximal, "MOST", explicit)
        fits.append(glm.fit_glm(x, target, loss, outputs=outputs, l2=0.01, l1=l1, tol=1e-8, max_iter=1000))
    assert all(fit.converged for fit in fits)
    assert np.allclose(fits[0].coef, fits[1].coef, atol=1e-6)
    assert np.allclose(fits[0].intercept, fits[1].intercept, atol=1e-6)


def test_the_interior_point_is_the_minimum():
    """There the dual problem has the same value: of the a with 0 <= a <= u and p w = zᵀ a, the largest tᵀ a."""
    z, t, u = generator.normal(size=(60, 5)), generator.normal(size=60), generator.uniform(0.1, 2, 60)
    p = np.diag([1.0, 2.0, 3.0, 4.0, 0.0])
    w, value, _, converged = interior_point(z, t, u, p, 1e-12, 200)
    assert converged
    assert value == pytest.approx(0.5 * w @ p @ w + u @ np.maximum(t - z @ w, 0.0))
    dual = linprog(-t, A_eq=z.T, b_eq=p @ w, bounds=np.stack([0 * u, u], axis=1))
    assert -dual.fun - 0.5 * w @ p @ w == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("positive", [False, True])
def test_an_l1_penalty_is_solved_to_the_end(positive):
    """No unknown is pulled by more than its penalty: one that left 0 late, alike columns, more columns than rows."""
    rng = np.random.default_rng(0)
    for trial in range(300):
        rows, columns = rng.integers(2, 40), rng.integers(1, 30)
        x = rng.normal(size=(rows, columns))
        x += (0, 0, 10 ** rng.uniform(0, 3))[trial % 3] * rng.normal(size=(rows, 1))
        x[:, 0] += 3 * (trial % 3 == 1) * x[:, -1]
        y = rng.normal(size=rows)
        h, b = x.T @ x / rows, x.T @ y / rows
        l1 = np.full(columns, np.abs(b).max() * 10 ** rng.uniform(-4, 0)) * (trial % 7 > 0)
        w = l1_quadratic(h, b, l1, np.zeros(columns), 0.5 * (y @ y) / rows, positive)
        pull = b - h @ w
        over = np.where(w == 0, (pull if positive else np.abs(pull)) - l1, np.abs(pull - l1 * np.sign(w)))
        assert over.max() <= 2e-8 * np.abs(b).max(), trial
        assert not positive or w.min() >= 0


@pytest.mark.parametrize("apart", [1e-2, 1.0, 100.0])
@pytest.mark.parametrize("mean", [0.0, 1.7e9])
def test_newton_tells_columns_apart(mean, apart):
    """Where a column is twice another, nearly, their Hessian is singular in float64, and gradients are small."""
    r = np.random.default_rng(0)
    x = mean + 2.5e6 * r.normal(size=80)
    between = apart * r.normal(size=80)
    x, y = np.c_[x, 2 * x + between], 100 * between / apart + r.normal(size=80)
    ours = models.LinearSVR(loss="squared_epsilon_insensitive", C=10.0, fit_intercept=False).fit(x, y)
    best = np.linalg.lstsq(
        np.vstack([np.sqrt(20.0) * x, np.eye(2)]), np.append(np.sqrt(20.0) * y, [0.0, 0.0])
    )[0]
    values = [10.0 * np.sum((y - x @ coef) ** 2) + 0.5 * coef @ coef for coef in (ours.coef_, best)]
    assert values[0] <= values[1] * (1 + 1e-6)
