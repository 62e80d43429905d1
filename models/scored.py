"""scikit-learn's mixins, whose `score` is told what it cannot take by the names of its arguments."""

from sklearn.base import ClassifierMixin as Classifiers
from sklearn.base import RegressorMixin as Regressors

from tapegrad.data.aliases import Features, RowWeights, Targets
from tapegrad.models.checks import check_given


class ClassifierMixin(Classifiers):
    """scikit-learn's, with checked arguments of `score`."""

    def score(self, X: Features, y: Targets, sample_weight: RowWeights = None) -> float:
        """The accuracy of the predictions for X.

        Args:
            X: Inputs, (n, …).
            y: The true classes, (n,).
            sample_weight: A weight for each row, (n,); None is 1.

        Raises:
            TypeError: y or sample_weight has masked values.
        """
        check_given(y=y, sample_weight=sample_weight)
        return float(super().score(X, y, sample_weight))


class RegressorMixin(Regressors):
    """scikit-learn's, with checked arguments of `score`."""

    def score(self, X: Features, y: Targets, sample_weight: RowWeights = None) -> float:
        """R² of the predictions for X: 1 is the best, 0 is what the mean of y has.

        Args:
            X: Inputs, (n, …).
            y: The true targets, (n,) or (n, targets).
            sample_weight: A weight for each row, (n,); None is 1.

        Raises:
            TypeError: y or sample_weight has masked values.
        """
        check_given(y=y, sample_weight=sample_weight)
        return float(super().score(X, y, sample_weight))
