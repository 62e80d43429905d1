"""scikit-learn's own checks of an estimator, all of them, without exceptions."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from tapegrad.models import (
    SVC,
    ElasticNet,
    Lasso,
    LinearRegression,
    LinearSVC,
    LinearSVR,
    LogisticRegression,
    MLPClassifier,
    MLPRegressor,
    Ridge,
)

ESTIMATORS = [
    LinearRegression(),
    LogisticRegression(),
    Ridge(),
    Lasso(),
    ElasticNet(),
    LinearSVC(),
    LinearSVR(),
    SVC(n_components=50, random_state=0),
    MLPClassifier((32,), learning_rate_init=0.03, max_iter=100, random_state=0),
    MLPRegressor((32,), learning_rate_init=0.03, max_iter=100, random_state=0),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
# scikit-learn's checks set n_components to 1.
@pytest.mark.filterwarnings("ignore:SVC. gamma=.* is large for these rows:UserWarning")
@parametrize_with_checks(ESTIMATORS)
def test_check(estimator, check):
    check(estimator)
