"""Linear regressions as scikit-learn estimators: least squares, without penalty or with an L2 and an L1 penalty."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from tapegrad.autograd.attributes import KeepsMethods
from tapegrad.data.aliases import Features, RowWeights, Targets
from tapegrad.models.aliases import RandomState, Tags
from tapegrad.models.checks import (
    Lacks,
    check_parameters,
    either,
    number,
    one_of,
    row_weights,
    set_all,
    validated,
    warn,
    whole,
    with_weight,
    yes_or_no,
)
from tapegrad.models.linear_solvers.convex import not_negative
from tapegrad.models.linear_solvers.convex_losses import SquaredError
from tapegrad.models.linear_solvers.glm import EXPLICIT, fit_glm
from tapegrad.models.linear_solvers.least_squares import shortest_solution, taken_as_0
from tapegrad.models.linear_solvers.penalized import duality_gap, elastic_net, pull_rounding, ridge, weighted
from tapegrad.models.scored import RegressorMixin

SPARSE = ("csr", "csc")
ROUNDED = 1e-12  # of the squares of y: what is no error of a solution
CHECKS = {
    "fit_intercept": yes_or_no,
    "positive": yes_or_no,
    "warm_start": yes_or_no,
    "l1_ratio": number(at_least=0, at_most=1),
    "tol": number(at_least=0),
    "selection": one_of("cyclic", "random"),
}


class LinearRegressor(KeepsMethods, RegressorMixin, BaseEstimator):
    """What the linear regressions share: one target or several, sparse rows, weights of rows."""

    fit_intercept: bool
    positive: bool
    coef_: np.ndarray
    intercept_: Any
    flattens = True  # whether y of one column, (n, 1), gives coef_ (features,) and predictions (n,), as in scikit-learn

    def _solve(self, x: Features, y: np.ndarray, s: np.ndarray, x_mean: np.ndarray) -> np.ndarray:
        """(columns, targets) of x and y with the weights s, from which the means were subtracted, x_mean from x."""
        raise NotImplementedError

    def _check(self) -> None:
        check_parameters(self, CHECKS)

    def fit(self, X: Features, y: Targets, sample_weight: RowWeights = None) -> Self:
        """The estimator itself, fitted.

        Args:
            X: Features, (n, features), dense or sparse. No NaN or Inf.
            y: Targets, (n,) or (n, targets).
            sample_weight: A weight for each row, (n,), or one number; None is 1.

        Raises:
            ValueError: X, y or a parameter is not as described.
        """
        self._check()
        X, y = validated(
            self, X, y, dtype=np.float64, accept_sparse=SPARSE, multi_output=True, y_numeric=True
        )
        s, X, y = with_weight(row_weights(sample_weight, X), X, y)
        targets = np.asarray(y, np.float64).reshape(X.shape[0], -1)
        x_mean, y_mean = np.zeros(X.shape[1]), np.zeros(targets.shape[1])
        if self.fit_intercept:
            x_mean, y_mean = np.asarray(X.T @ s).ravel() / s.sum(), s @ targets / s.sum()
        if hasattr(X, "toarray"):
            coef, bias = self._solve_sparse(X.tocsr(), targets, s)
        else:
            coef = self._solve(X - x_mean, targets - y_mean, s, x_mean)
            bias = y_mean - x_mean @ coef
        self._keep_gap(X, targets, s, coef, bias)
        flat = y.ndim == 1 or (self.flattens and y.shape[1] == 1)
        self.coef_ = coef[:, 0] if flat else coef.T
        self.intercept_ = (bias if y.ndim > 1 else float(bias[0])) if self.fit_intercept else 0.0
        return self

    def _keep_gap(
        self, x: Features, y: np.ndarray, s: np.ndarray, coef: np.ndarray, bias: np.ndarray | float
    ) -> None:
        """Store what tells how near the solution is to the minimum, where there is such a number."""

    def _keep_steps(self, steps: list[int]) -> None:
        """Store how many steps the solution of each target took, where that is of use."""

    def _penalties(self, rows: float, targets: int) -> tuple[np.ndarray, float]:
        """(l2 of each target, l1) of the mean of the squares over 2."""
        return np.zeros(targets), 0.0

    def _solve_sparse(self, x: Features, y: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.positive:
            raise ValueError("positive=True: takes dense rows: X.toarray()")
        l2, l1 = self._penalties(s.sum(), y.shape[1])
        fits = [
            fit_glm(
                x, y[:, k : k + 1], SquaredError(), l2=float(l2[k]), l1=l1, weights=s, intercept=self.fit_intercept,
                tol=1e-10 * (1.0 + float(np.abs(y[:, k]).max())), max_iter=1000,
            )
            for k in range(y.shape[1])
        ]  # fmt: skip
        self._keep_steps([len(fit.losses) for fit in fits])
        if not all(fit.converged for fit in fits):
            warn(self, "not converged after 1000 steps: scale X, or raise alpha", ConvergenceWarning)
        return np.hstack([fit.coef for fit in fits]), np.concatenate([fit.intercept for fit in fits])

    def predict(self, X: Features) -> np.ndarray:
        """X @ coef + intercept, (n,) or (n, targets): of y (n, 1), LinearRegression's are (n, 1), all others' (n,).

        Args:
            X: Features, (n, features), dense or sparse.
        """
        check_is_fitted(self)
        X = validated(self, X, dtype=np.float64, accept_sparse=SPARSE, reset=False)
        return np.asarray(X @ self.coef_.T + self.intercept_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.input_tags.sparse = True
        return tags


class LinearRegression(LinearRegressor):
    """Ordinary least squares: the coef and intercept with the smallest Σ weight · |x @ coef + intercept - y|².

    Solved in float64, in closed form; very large sparse X by LSQR (Paige and Saunders, 1982). Where several solutions
    fit equally, the shortest coef is taken, of dense and of sparse X.

    Args:
        fit_intercept: Whether there is an intercept.
        positive: Whether every coef must be 0 or more.
        copy_X, tol, n_jobs: Taken as scikit-learn's, and of no effect: X is never written to, and the solution is
            exact.

    Attributes:
        coef_: (features,), or (targets, features) for y of two dimensions.
        intercept_: A number or (targets,).
        rank_, singular_: The rank and the singular values of dense rows.
    """

    flattens = False

    def __init__(
        self,
        *,
        fit_intercept: bool = True,
        copy_X: bool = True,
        tol: float = 1e-6,
        n_jobs: int | None = None,
        positive: bool = False,
    ) -> None:
        set_all(self, locals())

    def _solve(self, x: np.ndarray, y: np.ndarray, s: np.ndarray, x_mean: np.ndarray) -> np.ndarray:
        x, y = weighted(x, y, s)
        if self.positive:
            return not_negative(x, y)
        rcond = taken_as_0(x, max(x.shape), x_mean, np.sqrt(s))
        coef, _, self.rank_, self.singular_ = np.linalg.lstsq(x, y, rcond=rcond)
        return np.asarray(coef)

    def _solve_sparse(self, x: Features, y: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.positive:
            return super()._solve_sparse(x, y, s)
        coef, bias, exact = shortest_solution(x, y, s, self.fit_intercept)
        if not exact:
            warn(self, "not solved to the end: bring the columns to like sizes", ConvergenceWarning)
        return coef, bias


class Ridge(LinearRegressor):
    """Least squares with an L2 penalty: the smallest Σ weight · |x @ coef + intercept - y|² + alpha Σ coef².

    Args:
        alpha: The strength of the penalty, a number or one for each target.
        fit_intercept: Whether there is an intercept; it is not penalized.
        positive: Whether every coef must be 0 or more.
        solver: Any name of scikit-learn's: the solution is unique, and the columns decide what finds it, `solver_`.
        copy_X, max_iter, tol, random_state: Taken as scikit-learn's, and of no effect.

    Attributes:
        coef_: (features,), or (targets, features) for several targets.
        intercept_: A number or (targets,).
        n_iter_: 1.
        solver_: What found the solution: "cholesky", "svd" of columns nearly alike, "sparse_cg" of many sparse ones,
            "nnls" with positive=True.
    """

    def __init__(
        self,
        alpha: float | Sequence[float] = 1.0,
        *,
        fit_intercept: bool = True,
        copy_X: bool = True,
        max_iter: int | None = None,
        tol: float = 1e-4,
        solver: str = "auto",
        positive: bool = False,
        random_state: RandomState = None,
    ) -> None:
        set_all(self, locals())

    alpha: Any
    max_iter: int | None
    solver: str

    def _check(self) -> None:
        super()._check()
        solvers = ("auto", "svd", "cholesky", "lsqr", "sparse_cg", "sag", "saga", "lbfgs")
        one_of(*solvers)("solver", self.solver)
        either((None,), whole(1))("max_iter", self.max_iter)
        for alpha in np.ravel(self.alpha):
            number(at_least=0)("alpha", alpha)

    def _keep_gap(self, x: Features, *solution: object) -> None:
        """The solution is exact: one step finds it, and there is no gap."""
        self.n_iter_ = 1
        if hasattr(x, "toarray"):
            self.solver_ = "cholesky" if x.shape[1] < EXPLICIT else "sparse_cg"

    def _penalties(self, rows: float, targets: int) -> tuple[np.ndarray, float]:
        alpha = np.ravel(self.alpha).astype(np.float64)
        if len(alpha) not in (1, targets):
            raise ValueError(
                f"alpha: expected a number or one for each of {targets} targets, got {len(alpha)}"
            )
        return np.broadcast_to(alpha, (targets,)) / rows, 0.0

    def _solve(self, x: np.ndarray, y: np.ndarray, s: np.ndarray, x_mean: np.ndarray) -> np.ndarray:
        alpha, _ = self._penalties(1.0, y.shape[1])
        x, y = weighted(x, y, s)
        if self.positive:
            self.solver_ = "nnls"
            return not_negative(x, y, alpha)
        coef, self.solver_ = ridge(x, y, alpha)
        return coef


class ElasticNet(LinearRegressor):
    """Least squares with an L1 and an L2 penalty on coef.

        Σ weight · |x @ coef + intercept - y|² / (2 Σ weight)
            + alpha · l1_ratio Σ |coef| + alpha (1 - l1_ratio) / 2 Σ coef²

    Found by coordinates, and then exactly for those that are not 0; with more than 1200 columns by Newton's method on
    those that are not 0. A ConvergenceWarning says where dual_gap_ is above 0.1 % of the objective.

    Args:
        alpha: The strength of the penalty.
        l1_ratio: The part of the penalty that is L1, from 0 to 1.
        fit_intercept: Whether there is an intercept; it is not penalized.
        positive: Whether every coef must be 0 or more. Takes dense rows, of at most 1200 columns.
        tol, max_iter: Where Newton's method stops.
        precompute, copy_X, warm_start, random_state, selection: Taken as scikit-learn's, and of no effect on the
            solution.

    Attributes:
        coef_: (features,), or (targets, features) for several targets.
        sparse_coef_: coef_ as a SciPy sparse matrix.
        intercept_: A number or (targets,).
        n_iter_: Steps made; a list of them for several targets.
        dual_gap_: By how much the objective is at most above its minimum, but for rounding; one for each target.
    """

    path = Lacks("use sklearn.linear_model.enet_path or lasso_path")

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.5,
        fit_intercept: bool = True,
        precompute: bool = False,
        max_iter: int = 1000,
        copy_X: bool = True,
        tol: float = 1e-4,
        warm_start: bool = False,
        positive: bool = False,
        random_state: RandomState = None,
        selection: str = "cyclic",
    ) -> None:
        set_all(self, locals())

    alpha: float
    l1_ratio: float
    max_iter: int
    tol: float

    def _check(self) -> None:
        super()._check()
        number(at_least=0)("alpha", self.alpha)
        whole(1)("max_iter", self.max_iter)

    def _penalties(self, rows: float, targets: int) -> tuple[np.ndarray, float]:
        return np.full(targets, self.alpha * (1 - self.l1_ratio)), self.alpha * self.l1_ratio

    def _solve(self, x: np.ndarray, y: np.ndarray, s: np.ndarray, x_mean: np.ndarray) -> np.ndarray:
        l2, l1 = self.alpha * (1 - self.l1_ratio), self.alpha * self.l1_ratio
        total = float(s.sum())
        self._keep_steps([1] * y.shape[1])
        if x.shape[1] > EXPLICIT:
            return self._solve_wide(x, y, s / total, l2, l1)
        x, y = weighted(x, y, s)
        if not self.alpha:
            return not_negative(x, y) if self.positive else ridge(x, y, np.zeros(y.shape[1]))[0]
        return elastic_net(x, y, l1 * total, l2 * total, self.positive)

    def _keep_gap(
        self, x: Features, y: np.ndarray, s: np.ndarray, coef: np.ndarray, bias: np.ndarray | float
    ) -> None:
        """The objective less the dual one at the residuals, scaled so that they are allowed there."""
        l2, l1 = self.alpha * (1 - self.l1_ratio), self.alpha * self.l1_ratio
        s = s / s.sum()
        if self.fit_intercept and not hasattr(x, "toarray"):
            x, bias = x - s @ x, s @ y
        args = (x, y - bias, s, coef)
        gap, objective = duality_gap(*args, l1, l2, self.positive)
        enough = 1e-3 * objective + ROUNDED * (s @ y**2)
        if self.alpha and (gap > enough).any():
            gap, _ = duality_gap(*args, l1, l2, self.positive, pull_rounding(*args))
            if (gap > enough).any():
                said = "not converged to 0.1 % of the minimum: scale X, or raise alpha"
                warn(self, said, ConvergenceWarning)
        self.dual_gap_ = gap if len(gap) > 1 else float(gap[0])

    def _keep_steps(self, steps: list[int]) -> None:
        self.n_iter_ = steps if len(steps) > 1 else steps[0]

    @property
    def sparse_coef_(self) -> Features:
        """coef_ as a SciPy sparse matrix."""
        from scipy.sparse import csr_matrix

        check_is_fitted(self)
        return csr_matrix(self.coef_)

    def _solve_wide(self, x: np.ndarray, y: np.ndarray, s: np.ndarray, l2: float, l1: float) -> np.ndarray:
        if self.positive:
            raise ValueError(f"positive=True: takes at most {EXPLICIT} columns, got {x.shape[1]}")
        coefs, steps = [], []
        for k in range(y.shape[1]):
            size = float(np.sqrt(s @ y[:, k] ** 2)) or 1.0
            fit = fit_glm(
                x, y[:, k : k + 1] / size, SquaredError(), l2=l2, l1=l1 / size, weights=s, intercept=False,
                tol=self.tol, max_iter=self.max_iter,
            )  # fmt: skip
            if not fit.converged:
                warn(self, f"not converged after {self.max_iter} steps: raise max_iter", ConvergenceWarning)
            coefs.append(fit.coef * size)
            steps.append(len(fit.losses))
        self._keep_steps(steps)
        return np.hstack(coefs)


class Lasso(ElasticNet):
    """Least squares with an L1 penalty: `ElasticNet` with l1_ratio=1, and its attributes.

    Args:
        alpha: The strength of the penalty.
        fit_intercept: Whether there is an intercept; it is not penalized.
        positive: Whether every coef must be 0 or more. Takes dense rows, of at most 1200 columns.
        tol, max_iter: Where Newton's method stops, which more than 1200 columns need.
        precompute, copy_X, warm_start, random_state, selection: Taken as scikit-learn's, and of no effect on the
            solution.
    """

    l1_ratio = 1.0

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        precompute: bool = False,
        copy_X: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-4,
        warm_start: bool = False,
        positive: bool = False,
        random_state: RandomState = None,
        selection: str = "cyclic",
    ) -> None:
        set_all(self, locals())
