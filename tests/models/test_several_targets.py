"""Several targets are each fitted as if alone, with its own share of each option, whatever solves it."""

import numpy as np
import pytest
from scipy import sparse
from sklearn import linear_model as reference

from tapegrad import models

drawn = np.random.default_rng(0)
X = np.abs(drawn.normal(size=(50, 4)))
Y = X @ np.array([[1.0, 2.0, -1.0], [1.0, 0.5, 3.0], [-2.0, 2.0, 0.0], [0.0, 1.0, 1.0]])
Y += 0.1 * drawn.normal(size=Y.shape) + [0.0, 100.0, -5.0]
WEIGHTS = drawn.uniform(0.5, 2.0, 50)
EACH = [0.01, 1000.0, 2.0]  # alpha of each target

ESTIMATORS = {
    "least squares": ("LinearRegression", {}),
    "least squares, positive": ("LinearRegression", {"positive": True}),
    "ridge": ("Ridge", {"alpha": 2.0}),
    "ridge, positive": ("Ridge", {"alpha": 2.0, "positive": True}),
    "ridge, alphas": ("Ridge", {"alpha": EACH}),
    "ridge, alphas as an array": ("Ridge", {"alpha": np.array(EACH)}),
    "ridge, one alpha in a list": ("Ridge", {"alpha": [2.0]}),
    "ridge, one alpha in a list, positive": ("Ridge", {"alpha": [2.0], "positive": True}),
    "ridge, alphas, positive": ("Ridge", {"alpha": EACH, "positive": True}),
    "ridge, alphas, one of them 0, positive": ("Ridge", {"alpha": [0.0, 5.0, 500.0], "positive": True}),
    "lasso": ("Lasso", {"alpha": 0.1}),
    "lasso, positive": ("Lasso", {"alpha": 0.1, "positive": True}),
    "elastic net": ("ElasticNet", {"alpha": 0.1}),
    "elastic net, positive": ("ElasticNet", {"alpha": 0.1, "positive": True}),
}
ROWS = {
    "dense": X,
    "wide": np.hstack([X, np.abs(drawn.normal(size=(50, 60)))]),
    "csr": sparse.csr_matrix(np.where(X > 0.3, X, 0.0)),
    "csc": sparse.csc_matrix(np.where(X > 0.3, X, 0.0)),
}


@pytest.mark.filterwarnings("ignore:The lbfgs solver did not converge")  # scikit-learn's
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weights"])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("row", ESTIMATORS)
def test_several_targets_are_each_alone(row, kind, intercept, weights):
    (name, options), x = ESTIMATORS[row], ROWS[kind]
    if sparse.issparse(x) and options.get("positive"):
        pytest.skip("takes dense rows")
    if kind == "wide" and name == "Ridge" and 0.0 in np.ravel(options["alpha"]):
        pytest.skip("has many solutions")
    make = getattr(models, name)
    both = make(**options, fit_intercept=intercept).fit(x, Y, sample_weight=weights)
    several = np.size(options.get("alpha", 0.0)) > 1
    for k in range(Y.shape[1]):
        own = {**options, "alpha": options["alpha"][k]} if several else options
        alone = make(**own, fit_intercept=intercept).fit(x, Y[:, k], sample_weight=weights)
        assert np.allclose(both.coef_[k], alone.coef_, rtol=1e-6, atol=1e-8)
        assert np.allclose(np.broadcast_to(both.intercept_, 3)[k], alone.intercept_, rtol=1e-6, atol=1e-7)
    if name == "Ridge":
        theirs = reference.Ridge(**{"tol": 1e-12, "max_iter": 100_000, **options}, fit_intercept=intercept)
        theirs.fit(x, Y, sample_weight=weights)
        assert np.allclose(both.coef_, theirs.coef_, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("kind", ["dense", "csr"])
def test_another_number_of_alphas_is_refused(kind, positive):
    if kind == "csr" and positive:
        pytest.skip("takes dense rows")
    with pytest.raises(ValueError, match="alpha: expected a number or one for each of 3 targets, got 2"):
        models.Ridge(alpha=[1.0, 2.0], positive=positive).fit(ROWS[kind], Y)
