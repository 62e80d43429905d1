"""LinearRegression on sparse rows, of less than full rank, too: scikit-learn's coefs and those of the dense rows."""

import numpy as np
import pytest
from scipy import sparse
from sklearn import linear_model as reference
from sklearn.exceptions import ConvergenceWarning

from tapegrad.models import LinearRegression
from tapegrad.models.linear_solvers import least_squares

GENERATOR = np.random.default_rng(0)
LEVELS = np.eye(3)[GENERATOR.integers(0, 3, 200)]
DUMMIES = np.c_[LEVELS, GENERATOR.normal(size=200)]
WORDS = sparse.random(200, 40, density=0.1, random_state=0).toarray()
Y = GENERATOR.normal(size=(200, 2))
WEIGHTS = GENERATOR.uniform(0, 3, 200)

# rows
ROWS = {
    "full rank": WORDS,
    "a column for each level": DUMMIES,
    "columns twice": np.c_[DUMMIES, 2 * DUMMIES[:, 1:]],
    "more columns than rows": WORDS[:30],
    "a column of zeros": DUMMIES * [1, 1, 1, 0],
    "a column of ones": np.c_[DUMMIES, np.ones(200)],
}


@pytest.mark.parametrize("work", [least_squares.WORK, 0])
@pytest.mark.parametrize("block", [least_squares.BLOCK, 1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("row", ROWS)
def test_the_shortest_solution(row, intercept, weighted, block, work, monkeypatch):
    """In one block of rows and in several, and by steps, which take over where rows are many and wide."""
    monkeypatch.setattr(least_squares, "WORK", work)
    monkeypatch.setattr(least_squares, "BLOCK", block)
    x = ROWS[row]
    y = Y[: len(x)] + x @ np.arange(x.shape[1])[:, None]
    weights = (WEIGHTS[: len(x)],) if weighted else ()
    ours = LinearRegression(fit_intercept=intercept).fit(sparse.csr_matrix(x), y, *weights)
    theirs = reference.LinearRegression(fit_intercept=intercept).fit(x, y, *weights)
    assert ours.coef_.shape == theirs.coef_.shape and np.shape(ours.intercept_) == np.shape(theirs.intercept_)
    assert np.allclose(ours.coef_, theirs.coef_, rtol=1e-8, atol=1e-8)
    assert np.allclose(ours.intercept_, theirs.intercept_, rtol=1e-8, atol=1e-8)


def test_columns_of_too_different_sizes_for_steps_warn(monkeypatch):
    monkeypatch.setattr(least_squares, "WORK", 0)
    x = sparse.csr_matrix(WORDS * 10.0 ** np.linspace(0, 20, 40))
    with pytest.warns(ConvergenceWarning, match="bring the columns to like sizes"):
        LinearRegression().fit(x, Y)


@pytest.mark.parametrize("shape", [(50, 5), (5, 30), (30, 8)])
@pytest.mark.parametrize("mean", [0.0, 10.0, 1e3, 1e5, 1e7])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_columns_that_depend_on_each_other_far_from_0(
    shape: tuple[int, int], mean: float, is_sparse: bool
) -> None:
    """What the subtraction of the means leaves of a singular value of 0 is no direction."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal(shape) + mean, rng.standard_normal(shape[0])
        if shape[1] < shape[0]:
            x[:, -1] = x[:, 0] + x[:, 1] - x[:, 2]
        ours = LinearRegression().fit(sparse.csr_array(x) if is_sparse else x, y)
        theirs = reference.LinearRegression().fit(x, y)
        assert is_sparse or ours.rank_ == theirs.rank_
        size = np.abs(theirs.coef_).max()
        assert ours.coef_ == pytest.approx(theirs.coef_, rel=0, abs=size * max(1e-8, 1e-8 * mean))
