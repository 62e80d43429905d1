"""A support vector machine with a Gaussian kernel as a scikit-learn estimator, by random features."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from tapegrad.autograd.attributes import KeepsMethods
from tapegrad.data.aliases import Features, RowWeights, Targets
from tapegrad.models.aliases import AsGiven, ClassWeight, RandomState
from tapegrad.models.checks import (
    Lacks,
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
from tapegrad.models.linear_classifiers import CHECKS
from tapegrad.models.linear_solvers.weighted import check_squares
from tapegrad.models.scored import ClassifierMixin
from tapegrad.models.svm import FreeHinge

KERNELS = ("rbf", "linear")
SAMPLE = 300  # rows whose kernel is compared with that of the features
RESOLVED = 1.6  # times its error, the kernel tells rows apart
MOST = 20_000  # random features that are still advised
NO_VECTORS = "it is fitted on random features, without support vectors: use sklearn.svm.SVC"
NO_PROBABILITIES = (
    "it has no probabilities: use sklearn.calibration.CalibratedClassifierCV(SVC(…), ensemble=False)"
)
SVC_CHECKS = {
    "C": CHECKS["C"],
    "tol": CHECKS["tol"],
    "n_components": whole(1),
    "gamma": either(("scale", "auto"), number(above=0)),
    "degree": whole(0),
    "coef0": number(),
    "shrinking": yes_or_no,
    "probability": either(("deprecated",), yes_or_no),
    "cache_size": number(above=0),
    "max_iter": whole(-1),
    "decision_function_shape": one_of("ovr", "ovo"),
    "break_ties": yes_or_no,
}


class SVC(KeepsMethods, ClassifierMixin, BaseEstimator):
    """A support vector machine with a Gaussian kernel, approximated by random Fourier features.

    The hinge loss with an intercept that is not penalized, one class against the rest, on `n_components` features of
    the rows:

        features(x) = sqrt(2 / n_components) cos(w · x + b),  w normal of variance 2 gamma, b uniform in [0, 2π)

    Their products are exp(-gamma |x - x'|²) but for an error of about 1 / sqrt(n_components). So the scores are near
    scikit-learn's SVC, and not the same; the time grows with the rows, not with their square. A gamma so large that the
    kernel between most rows is below the error is warned of. There are no support vectors, and no other kernels but
    "linear", which takes the rows as they are.

    Args:
        C: The inverse of the penalty's strength.
        kernel: "rbf" or "linear".
        gamma: A number; "scale": 1 / (features · variance of X), each row counted by its weight, where scikit-learn
            counts all alike; "auto": 1 / features.
        tol: How near to the minimum to stop.
        class_weight: Factors by class, or "balanced": inversely to the classes' frequencies.
        max_iter: The most steps; -1 is 1000.
        n_components: How many random features; more are nearer to the kernel.
        random_state: Of the features.
        decision_function_shape: "ovr" alone.
        probability: False alone.
        degree, coef0, shrinking, cache_size, verbose, break_ties: Taken as scikit-learn's, and of no effect with these
            kernels.

    Attributes:
        classes_, n_features_in_: The classes, in order, and the number of columns.
        feature_weights_: w, (features, n_components).
        feature_offsets_: b, (n_components,).
        linear_: The linear model.
        coef_: The linear kernel's.
        intercept_: What is added to the products with the features, one for each score.

    References:
        A. Rahimi, B. Recht, "Random features for large-scale kernel machines", 2007.
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        kernel: str = "rbf",
        degree: int = 3,
        gamma: str | float = "scale",
        coef0: float = 0.0,
        shrinking: bool = True,
        probability: bool | str = "deprecated",
        tol: float = 1e-3,
        cache_size: float = 200,
        class_weight: ClassWeight = None,
        verbose: bool | int = False,
        max_iter: int = -1,
        decision_function_shape: str = "ovr",
        break_ties: bool = False,
        n_components: int = 300,
        random_state: RandomState = None,
    ) -> None:
        set_all(self, locals())

    C: float
    kernel: str
    gamma: AsGiven
    probability: AsGiven
    tol: float
    class_weight: AsGiven
    max_iter: int
    decision_function_shape: str
    n_components: int
    random_state: AsGiven
    support_, support_vectors_, n_support_, dual_coef_ = (Lacks(NO_VECTORS) for _ in range(4))
    predict_proba, predict_log_proba, probA_, probB_ = (Lacks(NO_PROBABILITIES) for _ in range(4))

    def _check(self) -> None:
        check_parameters(self, SVC_CHECKS)
        if self.kernel not in KERNELS:
            raise ValueError(
                f"kernel: expected one of {', '.join(map(repr, KERNELS))}, got {self.kernel!r}: use sklearn.svm.SVC "
                "for another, or sklearn.kernel_approximation.Nystroem and LinearSVC"
            )
        if self.probability != "deprecated" and self.probability:
            raise ValueError(f"probability=True: {NO_PROBABILITIES}")
        if self.decision_function_shape == "ovo":
            raise ValueError(
                "decision_function_shape='ovo': the classes are told apart one against the rest: use 'ovr', or "
                "sklearn.multiclass.OneVsOneClassifier(SVC(…))"
            )

    def fit(self, X: Features, y: Targets, sample_weight: RowWeights = None) -> "SVC":
        """The estimator itself, fitted.

        Args:
            X: Features, (n, features), dense. No NaN or Inf.
            y: The class of each row, (n,): numbers or texts.
            sample_weight: A weight for each row, (n,), or one number; None is 1.

        Raises:
            ValueError: X, y or a parameter is not as described, or y has one class only.
        """
        self._check()
        X, y = validated(self, X, y, dtype=np.float64)
        s = row_weights(sample_weight, X)
        if self.kernel == "rbf":
            # By weight, so that a weight of 2 is two rows, and one of 0 none: scikit-learn's X.var() breaks both.
            weights, rows = with_weight(s, X)
            mean = (weights @ rows).mean() / weights.sum()
            with np.errstate(over="ignore"):
                variance = float(weights @ ((rows - mean) ** 2).mean(axis=1) / weights.sum())
            check_squares(variance)
            by_name = {"scale": 1.0 / (X.shape[1] * (variance or 1.0)), "auto": 1.0 / X.shape[1]}
            gamma = by_name.get(self.gamma, self.gamma) if isinstance(self.gamma, str) else self.gamma
            if not np.isfinite(gamma):
                raise ValueError(f"gamma={self.gamma!r} is infinite for an X of so small numbers: scale X")
            drawn = check_random_state(self.random_state)
            self.feature_weights_ = drawn.normal(0.0, np.sqrt(2 * gamma), (X.shape[1], self.n_components))
            self.feature_offsets_ = drawn.uniform(0.0, 2 * np.pi, self.n_components)
            if (fault := self._noise(rows, gamma, by_name["scale"])) is not None:
                warn(self, fault, UserWarning)
        steps = 1000 if self.max_iter == -1 else self.max_iter
        linear = FreeHinge(loss="hinge", C=self.C, tol=1e-3 * self.tol, max_iter=steps)
        # A class's factor is on all of its rows, and "balanced" counts rows (those with a weight), as in scikit-learn's
        # SVC alone.
        classes, numbers = np.unique(y, return_inverse=True)
        factors = class_weights(self.class_weight, classes, y, (s > 0).astype(float))
        self.linear_ = linear.fit(self._features(X), y, s * factors[numbers])
        self.classes_, self.n_iter_ = linear.classes_, linear.n_iter_
        return self

    def _noise(self, X: np.ndarray, gamma: float, scale: float) -> str | None:
        """What is warned of where the kernel between rows is small beside the error of the random features, which then
        decides."""
        part = X[:: max(1, len(X) // SAMPLE)][:SAMPLE]
        if len(part) < 2:
            return None
        part = part - part.mean(axis=0)
        others, squares = ~np.eye(len(part), dtype=bool), (part**2).sum(axis=1)
        kernel = np.exp(-gamma * np.maximum(squares + squares[:, None] - 2 * part @ part.T, 0.0))
        features = self._features(part)
        error = features @ features.T - kernel
        size, wrong = (float(np.sqrt((of**2).mean(where=others))) for of in (kernel, error))
        if not size < RESOLVED * wrong:  # NaN of rows whose squares overflow, which NumPy warns of
            return None
        smaller = f"'scale', {scale:.3g} here, or less" if gamma > scale else f"less than {gamma:.3g}"
        needed = 1.5 * self.n_components * (RESOLVED * wrong / max(size, 1e-9)) ** 2
        more = f"n_components={int(float(f'{needed:.1g}'))}, " if needed < MOST else ""
        return (
            f"gamma={gamma:.3g} is large for these rows: their kernel is about {size:.1g}, and {self.n_components} "
            f"random features have an error of {wrong:.1g}, so that the scores are not near scikit-learn's. Take a "
            f"smaller gamma ({smaller}), {more}or sklearn.svm.SVC"
        )

    def _features(self, X: np.ndarray) -> np.ndarray:
        if self.kernel == "linear":
            return X
        waves = np.cos(X @ self.feature_weights_ + self.feature_offsets_)
        return np.asarray(np.sqrt(2.0 / len(self.feature_offsets_)) * waves)

    @property
    def coef_(self) -> np.ndarray:
        """The linear kernel's coefs, (1, features) for two classes, else (classes, features)."""
        if self.kernel != "linear":
            raise AttributeError(
                "SVC has coef_ with kernel='linear' alone; linear_ has that of the random features"
            )
        check_is_fitted(self)
        return np.asarray(self.linear_.coef_)

    @property
    def intercept_(self) -> np.ndarray:
        """What is added to the products with the features, (1,) for two classes, else (classes,)."""
        check_is_fitted(self)
        return np.asarray(self.linear_.intercept_)

    def decision_function(self, X: Features) -> np.ndarray:
        """The scores: (n,) for two classes, positive for the second; else (n, classes).

        Args:
            X: Features, (n, features).
        """
        check_is_fitted(self)
        return np.asarray(self.linear_.decision_function(self._features(self._checked(X))))

    def predict(self, X: Features) -> np.ndarray:
        """The class of each row, (n,): the one of the largest score.

        Args:
            X: Features, (n, features).
        """
        check_is_fitted(self)
        return np.asarray(self.linear_.predict(self._features(self._checked(X))))

    def _checked(self, X: Features) -> np.ndarray:
        return np.asarray(validated(self, X, dtype=np.float64, reset=False))
