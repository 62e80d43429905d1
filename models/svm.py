"""Linear support vector machines as scikit-learn estimators."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from tapegrad.autograd.attributes import KeepsMethods
from tapegrad.data.aliases import Features, RowWeights, Targets
from tapegrad.models.aliases import ClassWeight, RandomState, Tags
from tapegrad.models.checks import (
    check_parameters,
    number,
    one_of,
    row_weights,
    set_all,
    validated,
    warn,
    with_weight,
)
from tapegrad.models.linear import SPARSE
from tapegrad.models.linear_classifiers import CHECKS, LinearClassifier, with_ones, without_ones
from tapegrad.models.linear_solvers.convex import Fit
from tapegrad.models.linear_solvers.convex_losses import SquaredEpsilon, SquaredHinge
from tapegrad.models.linear_solvers.glm import fit_glm
from tapegrad.models.linear_solvers.hinge import fit_hinges
from tapegrad.models.scored import RegressorMixin


def joined(fits: list[Fit]) -> Fit:
    """The fits of several outputs as one."""
    return Fit(
        np.hstack([fit.coef for fit in fits]),
        np.concatenate([fit.intercept for fit in fits]),
        max((fit.losses for fit in fits), key=len),
        all(fit.converged for fit in fits),
    )


class LinearSVC(LinearClassifier):
    """A linear support vector machine: the smallest  C Σ weight · loss + |coef|² / 2.

    Of several classes one against the rest. The squared hinge by Newton's method, the hinge by an interior-point
    method.

    Args:
        penalty: "l2", or "l1" (with the squared hinge): Σ |coef|.
        loss: "squared_hinge", max(0, 1 - y z)², or "hinge", max(0, 1 - y z).
        tol: How near to the minimum to stop.
        C: The inverse of the penalty's strength.
        multi_class: "ovr", the only one.
        fit_intercept: Whether there is an intercept. It is the coef of a constant column of intercept_scaling, and
            penalized as the others are, as in scikit-learn.
        intercept_scaling: That column's value.
        class_weight: Factors by class, or "balanced": inversely to the classes' frequencies.
        max_iter: The most steps.
        dual, random_state, verbose: Taken as scikit-learn's, and of no effect on the solution.

    Attributes:
        coef_: (1, features) for two classes, else (classes, features).
        intercept_: (1,) or (classes,); 0.0 without an intercept.
        classes_: The classes, in order.
        n_iter_: Steps made.
    """

    def __init__(
        self,
        penalty: str = "l2",
        loss: str = "squared_hinge",
        *,
        dual: bool | str = "auto",
        tol: float = 1e-4,
        C: float = 1.0,
        multi_class: str = "ovr",
        fit_intercept: bool = True,
        intercept_scaling: float = 1,
        class_weight: ClassWeight = None,
        verbose: int = 0,
        random_state: RandomState = None,
        max_iter: int = 1000,
    ) -> None:
        set_all(self, locals())

    penalty: str
    loss: str

    def _check(self) -> None:
        super()._check()
        one_of("l1", "l2")("penalty", self.penalty)
        one_of("hinge", "squared_hinge")("loss", self.loss)
        one_of("ovr")("multi_class", self.multi_class)
        if self.penalty == "l1" and self.loss == "hinge":
            raise ValueError(
                "penalty='l1' and loss='hinge' are not supported together: use loss='squared_hinge'"
            )

    def fit(self, X: Features, y: Targets, sample_weight: RowWeights = None) -> "LinearSVC":
        """The estimator itself, fitted.

        Args:
            X: Features, (n, features), dense or sparse. No NaN or Inf.
            y: The class of each row, (n,): numbers or texts.
            sample_weight: A weight for each row, (n,), or one number; None is 1.

        Raises:
            ValueError: X, y or a parameter is not as described, or y has one class only.
        """
        super().fit(X, y, sample_weight)
        if not self.fit_intercept:
            self.intercept_: Any = 0.0
        return self

    def _minimize(self, X: Features, classes: np.ndarray, weights: np.ndarray, factors: np.ndarray) -> Fit:
        two = len(self.classes_) == 2
        fits = []
        for own in [1] if two else range(len(self.classes_)):
            signs = np.where(classes == own, 1.0, -1.0)
            # Of one class against all others, the factor is that class's alone, as in scikit-learn.
            shares = weights * (factors[classes] if two else np.where(classes == own, factors[own], 1.0))
            fits.append(self._separate(X, signs, shares))
        return joined(fits)

    def _separate(self, x: Features, signs: np.ndarray, weights: np.ndarray) -> Fit:
        """The plane between the rows of sign 1 and those of sign -1."""
        if self.loss == "hinge":
            scaling = self._intercept_scaling()
            hinge = (signs, np.ones(len(signs)))
            return fit_hinges(x, [hinge], self.C * weights, scaling, 1e-4 * self.tol, self.max_iter)
        strength = 1.0 / (self.C * float(weights.sum()))
        l1, l2, tol = (strength, 0.0, self.tol) if self.penalty == "l1" else (0.0, strength, 1e-2 * self.tol)
        fit = fit_glm(
            with_ones(x, self.intercept_scaling) if self.fit_intercept else x, signs[:, None], SquaredHinge(), l2=l2,
            l1=l1, weights=weights, intercept=False, tol=tol, max_iter=self.max_iter,
        )  # fmt: skip
        return without_ones(fit, self.intercept_scaling) if self.fit_intercept else fit

    def _intercept_scaling(self) -> float | None:
        """The value of the column whose coef is the intercept; inf for one that is not penalized."""
        return float(self.intercept_scaling) if self.fit_intercept else None


class FreeHinge(LinearSVC):
    """A LinearSVC with the hinge loss and an intercept that is not penalized, as SVC's is."""

    def _intercept_scaling(self) -> float | None:
        return np.inf


class LinearSVR(KeepsMethods, RegressorMixin, BaseEstimator):
    """Linear support vector regression: the smallest  C Σ weight · loss + |coef|² / 2.

    Args:
        epsilon: Errors up to it cost nothing.
        tol: How near to the minimum to stop.
        C: The inverse of the penalty's strength.
        loss: "epsilon_insensitive", max(0, |z - y| - epsilon), or its square, "squared_epsilon_insensitive".
        fit_intercept: Whether there is an intercept. It is the coef of a constant column of intercept_scaling, and
            penalized as the others are, as in scikit-learn.
        intercept_scaling: That column's value.
        max_iter: The most steps.
        dual, random_state, verbose: Taken as scikit-learn's, and of no effect on the solution.

    Attributes:
        coef_: (features,).
        intercept_: (1,); 0.0 without an intercept.
        n_iter_: Steps made.
    """

    def __init__(
        self,
        *,
        epsilon: float = 0.0,
        tol: float = 1e-4,
        C: float = 1.0,
        loss: str = "epsilon_insensitive",
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        dual: bool | str = "auto",
        verbose: int = 0,
        random_state: RandomState = None,
        max_iter: int = 1000,
    ) -> None:
        set_all(self, locals())

    epsilon: float
    tol: float
    C: float
    loss: str
    fit_intercept: bool
    intercept_scaling: float
    max_iter: int

    def fit(self, X: Features, y: Targets, sample_weight: RowWeights = None) -> "LinearSVR":
        """The estimator itself, fitted.

        Args:
            X: Features, (n, features), dense or sparse. No NaN or Inf.
            y: Targets, (n,).
            sample_weight: A weight for each row, (n,), or one number; None is 1.

        Raises:
            ValueError: X, y or a parameter is not as described.
        """
        check_parameters(self, CHECKS | {"epsilon": number(at_least=0)})
        one_of("epsilon_insensitive", "squared_epsilon_insensitive")("loss", self.loss)
        X, y = validated(self, X, y, dtype=np.float64, accept_sparse=SPARSE, y_numeric=True)
        y = np.asarray(y, np.float64)
        weights, X, y = with_weight(row_weights(sample_weight, X), X, y)
        fit = (self._squared if self.loss.startswith("squared") else self._absolute)(X, y, weights)
        if not fit.converged:
            warn(
                self,
                f"not converged after {self.max_iter} steps: raise max_iter, or scale X",
                ConvergenceWarning,
            )
        self.coef_, self.intercept_ = fit.coef[:, 0], fit.intercept if self.fit_intercept else 0.0
        self.n_iter_ = max(len(fit.losses) - 1, 1)
        return self

    def _squared(self, x: Features, y: np.ndarray, weights: np.ndarray) -> Fit:
        size = float(np.abs(y).max()) or 1.0  # of about 1, so that tol means the same for any unit of y
        fit = fit_glm(
            with_ones(x, self.intercept_scaling) if self.fit_intercept else x, y[:, None] / size,
            SquaredEpsilon(self.epsilon / size), l2=1.0 / (self.C * float(weights.sum())), weights=weights,
            intercept=False, tol=1e-2 * self.tol, max_iter=self.max_iter,
        )  # fmt: skip
        fit = fit._replace(coef=fit.coef * size)
        return without_ones(fit, self.intercept_scaling) if self.fit_intercept else fit

    def _absolute(self, x: Features, y: np.ndarray, weights: np.ndarray) -> Fit:
        ones = np.ones(len(y))
        hinges = [(ones, y - self.epsilon), (-ones, -y - self.epsilon)]
        scaling = float(self.intercept_scaling) if self.fit_intercept else None
        return fit_hinges(x, hinges, self.C * weights, scaling, 1e-4 * self.tol, self.max_iter)

    def predict(self, X: Features) -> np.ndarray:
        """X @ coef + intercept, (n,).

        Args:
            X: Features, (n, features), dense or sparse.
        """
        check_is_fitted(self)
        X = validated(self, X, dtype=np.float64, accept_sparse=SPARSE, reset=False)
        return np.asarray(X @ self.coef_ + self.intercept_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
