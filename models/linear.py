"""Linear models as scikit-learn estimators: least squares, logistic regression, a linear support vector machine."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from tapegrad.backends import default_place
from tapegrad.models.checks import class_weights, number, warn
from tapegrad.models.convex import Fit, fit_convex, fit_least_squares, fit_logistic, squared_hinge_loss


class LinearRegression(RegressorMixin, BaseEstimator):
    """Ordinary least squares: the coef and intercept with the smallest Σ weight · |x @ coef + intercept - y|².

    Solved in closed form in float64; where several solutions fit equally, the shortest coef is taken.

    fit_intercept   whether there is an intercept

    coef_ (features,) or (targets, features), intercept_ a number or (targets,)
    """

    def __init__(self, *, fit_intercept: bool = True) -> None:
        self.fit_intercept = fit_intercept

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "LinearRegression":
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=np.float64)
        targets = np.asarray(y, np.float64).reshape(len(X), -1)
        fit = fit_least_squares(X, targets, weights=weights, intercept=self.fit_intercept)
        self.coef_ = fit.coef.T if y.ndim > 1 else fit.coef[:, 0]
        self.intercept_ = fit.intercept if y.ndim > 1 else float(fit.intercept[0])
        return self

    def predict(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return X @ self.coef_.T + self.intercept_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class LinearClassifier(ClassifierMixin, BaseEstimator):
    """What the linear classifiers share: C Σ weight · loss + |coef|² / 2 is minimized by Newton's method, whose
    products of Hessian and vector come from a second pass through the recorded gradient. On the default backend, in
    float64."""

    C: float
    fit_intercept: bool
    tol: float
    max_iter: int
    class_weight: Any

    def _minimize(self, X: np.ndarray, classes: np.ndarray, **options: Any) -> Fit:
        raise NotImplementedError

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "LinearClassifier":
        number(above=0, infinite=True)("C", self.C)
        number(above=0)("tol", self.tol)
        number(above=0)("max_iter", self.max_iter)
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y: a classifier needs at least 2 classes, there is one class, {self.classes_[0]!r}"
            )
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        weights = weights * class_weights(self.class_weight, self.classes_, y)[numbers]
        fit = self._minimize(
            X,
            numbers,
            l2=1.0 / (self.C * weights.sum()),
            weights=weights,
            intercept=self.fit_intercept,
            tol=self.tol,
            max_iter=self.max_iter,
            device=default_place(),
        )
        if not fit.converged:
            warn(
                self,
                f"not converged after {self.max_iter} steps (the classes may be separable: lower C)",
                ConvergenceWarning,
            )
        self.coef_, self.intercept_ = fit.coef.T, fit.intercept
        self.n_iter_ = len(fit.losses) - 1
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """x @ coef + intercept: (n,) for two classes, positive for the second; else (n, classes)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        scores = X @ self.coef_.T + self.intercept_
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> np.ndarray:
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]


class LogisticRegression(LinearClassifier):
    """Logistic regression, for more than two classes multinomial, with an L2 penalty.

    C               the inverse of the penalty's strength; np.inf for none
    fit_intercept   whether there is an intercept; it is not penalized
    tol             the largest gradient (of the mean loss) at which to stop
    max_iter        the most Newton steps; about ten are usual
    class_weight    factors by class, or "balanced": inversely to the classes' frequencies

    coef_ (1, features) for two classes, else (classes, features); intercept_; classes_; n_iter_
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        fit_intercept: bool = True,
        tol: float = 1e-8,
        max_iter: int = 100,
        class_weight: Any = None,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight

    def _minimize(self, X: np.ndarray, classes: np.ndarray, **options: Any) -> Fit:
        return fit_logistic(X, classes, len(self.classes_), **options)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        scores = self.decision_function(X)
        if scores.ndim == 1:
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
        return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, (n, classes)."""
        return np.exp(self.predict_log_proba(X))


class LinearSVC(LinearClassifier):
    """A linear support vector machine with the squared hinge loss, max(0, 1 - y z)², and an L2 penalty.

    For more than two classes one against the rest, all at once. The intercept is not penalized (in scikit-learn's
    LinearSVC it is).

    C, fit_intercept, tol, max_iter, class_weight   as in LogisticRegression
    coef_ (1, features) for two classes, else (classes, features); intercept_; classes_; n_iter_
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        fit_intercept: bool = True,
        tol: float = 1e-8,
        max_iter: int = 100,
        class_weight: Any = None,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight

    def _minimize(self, X: np.ndarray, classes: np.ndarray, **options: Any) -> Fit:
        k = len(self.classes_)
        own = classes[:, None] == ([1] if k == 2 else np.arange(k))
        return fit_convex(squared_hinge_loss, X, np.where(own, 1.0, -1.0), own.shape[1], **options)
