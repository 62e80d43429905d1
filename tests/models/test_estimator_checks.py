"""scikit-learn's own checks of an estimator, all of them."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from tapegrad.models import LinearRegression, LinearSVC, LogisticRegression, MLPClassifier, MLPRegressor

BATCHES = (
    "a network is trained on batches drawn at random: a row given twice changes the batches, a weight of 2 does not. "
    "scikit-learn lists the same exception for its own MLPs"
)
EXCEPTIONS = {
    MLPClassifier: {"check_sample_weight_equivalence_on_dense_data": BATCHES},
    MLPRegressor: {"check_sample_weight_equivalence_on_dense_data": BATCHES},
}
ESTIMATORS = [
    LinearRegression(),
    LogisticRegression(),
    LinearSVC(),
    MLPClassifier((32,), epochs=60, learning_rate=0.01, random_state=0),
    MLPRegressor((32,), epochs=60, learning_rate=0.01, random_state=0),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda e: EXCEPTIONS.get(type(e), {}))
def test_check(estimator, check):
    check(estimator)
