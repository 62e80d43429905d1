"""Linear classifiers as scikit-learn estimators: logistic regression, and what it shares with the support vectors."""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from tapegrad.autograd.attributes import KeepsMethods
from tapegrad.backends import default_place
from tapegrad.data.aliases import Features, RowWeights, Targets
from tapegrad.models.aliases import AsGiven, ClassWeight, RandomState, Tags
from tapegrad.models.checks import (
    check_parameters,
    class_weights,
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
from tapegrad.models.linear import SPARSE
from tapegrad.models.linear_solvers.convex import Fit, fit_logistic
from tapegrad.models.linear_solvers.convex_losses import Logistic, Multinomial
from tapegrad.models.linear_solvers.glm import fit_glm
from tapegrad.models.scored import ClassifierMixin

CHECKS = {
    "C": number(above=0, infinite=True),
    "tol": number(above=0),
    "max_iter": whole(1),
    "fit_intercept": yes_or_no,
    "intercept_scaling": number(above=0),
    "warm_start": yes_or_no,
    "l1_ratio": either((None,), number(at_least=0, at_most=1)),
}


class LinearClassifier(KeepsMethods, ClassifierMixin, BaseEstimator):
    """What the linear classifiers share: classes, weights, sparse rows, decisions."""

    C: float
    fit_intercept: bool
    intercept_scaling: float
    tol: float
    max_iter: int
    class_weight: AsGiven
    classes_: np.ndarray
    coef_: Any
    intercept_: np.ndarray

    def _minimize(self, X: Features, classes: np.ndarray, weights: np.ndarray, factors: np.ndarray) -> Fit:
        raise NotImplementedError

    def _check(self) -> None:
        check_parameters(self, CHECKS)

    def fit(self, X: Features, y: Targets, sample_weight: RowWeights = None) -> Self:
        """The estimator itself, fitted.

        Args:
            X: Features, (n, features), dense or sparse. No NaN or Inf.
            y: The class of each row, (n,): numbers or texts.
            sample_weight: A weight for each row, (n,), or one number; None is 1.

        Raises:
            ValueError: X, y or a parameter is not as described, or y has one class only.
        """
        self._check()
        X, y = validated(self, X, y, dtype=np.float64, accept_sparse=SPARSE)
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y: a classifier needs at least 2 classes, there is one class, {self.classes_.tolist()[0]!r}"
            )
        weights, X, y, numbers = with_weight(row_weights(sample_weight, X), X, y, numbers)
        factors = class_weights(self.class_weight, self.classes_, y, weights)
        if not (weights * factors[numbers]).any():
            raise ValueError(
                "class_weight and sample_weight: together all weights are zero, which leaves no row to learn from"
            )
        fit = self._minimize(X, numbers, weights, factors)
        if not fit.converged:
            warn(
                self,
                f"not converged after {self.max_iter} steps (the classes may be separable: lower C)",
                ConvergenceWarning,
            )
        self.coef_, self.intercept_ = fit.coef.T, fit.intercept
        self._keep_count(max(len(fit.losses) - 1, 1))
        return self

    def _keep_count(self, steps: int) -> None:
        self.n_iter_: Any = steps

    def decision_function(self, X: Features) -> np.ndarray:
        """x @ coef + intercept: (n,) for two classes, positive for the second; else (n, classes).

        Args:
            X: Features, (n, features), dense or sparse.
        """
        check_is_fitted(self)
        X = validated(self, X, dtype=np.float64, accept_sparse=SPARSE, reset=False)
        scores = np.asarray(safe_sparse_dot(X, self.coef_.T, dense_output=True) + self.intercept_)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Features) -> np.ndarray:
        """The class of each row, (n,): the one of the largest score.

        Args:
            X: Features, (n, features), dense or sparse.
        """
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]

    def sparsify(self) -> Self:
        """Store coef_ as a SciPy sparse matrix, which takes less memory where an L1 penalty made most of it 0."""
        check_is_fitted(self)
        from scipy.sparse import csr_matrix

        self.coef_ = csr_matrix(self.coef_)
        return self

    def densify(self) -> Self:
        """Store coef_ as an array again."""
        check_is_fitted(self)
        self.coef_ = self.coef_.toarray() if hasattr(self.coef_, "toarray") else self.coef_
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def with_ones(x: Features, scaling: float) -> Any:
    """x with a column more, for an intercept that is penalized as the other coefs are."""
    ones = np.full((x.shape[0], 1), float(scaling))
    if hasattr(x, "toarray"):
        from scipy.sparse import hstack

        return hstack([x, ones]).tocsr()
    return np.hstack([x, ones])


def without_ones(fit: Fit, scaling: float) -> Fit:
    return fit._replace(coef=fit.coef[:-1], intercept=fit.coef[-1] * scaling)


HOST = ("numpy", "cpu")
SOLVERS = ("lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga")
PENALTIES = ("deprecated", "l1", "l2", "elasticnet", None)


class LogisticRegression(LinearClassifier):
    """Logistic regression, for more than two classes multinomial, with an L2 or L1 penalty, both, or none.

    The smallest
        C Σ weight · -ln p(class) + l1_ratio Σ |coef| + (1 - l1_ratio) / 2 Σ coef²

    Many rows (from 40,000 of 100 columns on) are fitted with the Hessian of a part of them, and the gradient of all.

    Args:
        penalty: "l1", "l2", "elasticnet" (with l1_ratio), or None, in scikit-learn's older spelling. "deprecated", the
            default of its newer versions: as C and l1_ratio say.
        C: The inverse of the penalty's strength; np.inf for none.
        l1_ratio: The part of the penalty that is L1: 0 (or None) is L2, 1 is L1, and between is the elastic net.
        fit_intercept: Whether there is an intercept; it is not penalized.
        solver: Any name of scikit-learn's. All find the one minimum, here by Newton's method. Only "liblinear" means
            another problem, of two classes: its intercept is the coef of a constant column of intercept_scaling, and
            penalized.
        intercept_scaling: That column's value.
        tol: The largest gradient (of the mean loss) at which to stop.
        max_iter: The most Newton steps; about ten are usual.
        class_weight: Factors by class, or "balanced": inversely to the classes' frequencies.
        warm_start: Whether to begin at the coef_ of the last fit.
        dual, n_jobs, random_state, verbose: Taken as scikit-learn's, and of no effect on the solution.

    Attributes:
        coef_: (1, features) for two classes, else (classes, features).
        intercept_: (1,) or (classes,).
        classes_: The classes, in order.
        n_iter_: Newton steps made, (1,).
    """

    def __init__(
        self,
        penalty: str | None = "deprecated",
        *,
        C: float = 1.0,
        l1_ratio: float | None = 0.0,
        dual: bool = False,
        tol: float = 1e-4,
        fit_intercept: bool = True,
        intercept_scaling: float = 1,
        class_weight: ClassWeight = None,
        random_state: RandomState = None,
        solver: str = "lbfgs",
        max_iter: int = 100,
        verbose: int = 0,
        warm_start: bool = False,
        n_jobs: int | None = None,
    ) -> None:
        set_all(self, locals())

    penalty: Any
    l1_ratio: float | None
    solver: str
    warm_start: bool

    def _check(self) -> None:
        super()._check()
        one_of(*SOLVERS)("solver", self.solver)
        one_of(*PENALTIES)("penalty", self.penalty)
        if self.penalty == "elasticnet" and self.l1_ratio is None:
            raise ValueError(
                "l1_ratio: penalty='elasticnet' needs the part that is L1, between 0 and 1, got None"
            )
        if self.penalty in ("l1", "l2") and (self.l1_ratio or 0.0) not in (0.0, float(self.penalty == "l1")):
            raise ValueError(
                f"penalty={self.penalty!r} and l1_ratio={self.l1_ratio!r}: two names of one parameter: give l1_ratio"
            )

    def _strengths(self, total: float) -> tuple[float, float]:
        """(l2, l1) of the mean loss."""
        if self.penalty is None or np.inf == self.C:
            return 0.0, 0.0
        ratio = float(self.penalty == "l1") if self.penalty in ("l1", "l2") else float(self.l1_ratio or 0.0)
        return (1 - ratio) / (self.C * total), ratio / (self.C * total)

    def _minimize(self, X: Features, classes: np.ndarray, weights: np.ndarray, factors: np.ndarray) -> Fit:
        weights = weights * factors[classes]
        l2, l1 = self._strengths(float(weights.sum()))
        count = len(self.classes_)
        options: dict[str, Any] = {"l2": l2, "weights": weights, "tol": self.tol, "max_iter": self.max_iter}
        on_device = default_place() not in HOST and not l1 and not hasattr(X, "toarray")
        if self.solver == "liblinear":
            if count > 2:
                raise ValueError(
                    "solver='liblinear' is of two classes: use another solver, as scikit-learn says"
                )
            x = with_ones(X, self.intercept_scaling) if self.fit_intercept else X
            y = classes[:, None].astype(np.float64)
            fit = fit_glm(x, y, Logistic(), l1=l1, intercept=False, **options)
            return without_ones(fit, self.intercept_scaling) if self.fit_intercept else fit
        if on_device:
            options |= {"intercept": self.fit_intercept, "device": default_place()}
            return fit_logistic(X, classes, count, **options)
        options |= {"l1": l1, "intercept": self.fit_intercept, "start": self._start(X.shape[1], count)}
        if count == 2:
            return fit_glm(X, classes[:, None].astype(np.float64), Logistic(), **options)
        return fit_glm(X, classes, Multinomial(), outputs=count, **options)

    def _start(self, columns: int, classes: int) -> np.ndarray | None:
        outputs = 1 if classes == 2 else classes
        if not self.warm_start or not hasattr(self, "coef_") or self.coef_.shape != (outputs, columns):
            return None
        self.densify()
        return np.vstack([self.coef_.T, self.intercept_])

    def _keep_count(self, steps: int) -> None:
        self.n_iter_ = np.array([steps], np.int32)

    def predict_log_proba(self, X: Features) -> np.ndarray:
        """The logarithm of the probability of each class, (n, classes).

        Args:
            X: Features, (n, features), dense or sparse.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
        return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)

    def predict_proba(self, X: Features) -> np.ndarray:
        """The probability of each class, (n, classes).

        Args:
            X: Features, (n, features), dense or sparse.
        """
        return np.exp(self.predict_log_proba(X))
