"""The shapes of what a fit leaves and predicts, for targets (n,), (n, 1) and (n, 2): scikit-learn's."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn import linear_model, neural_network, svm
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning

from tapegrad import models, nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3)).astype("float32")
NUMBERS = X @ RNG.normal(size=(3, 2))
# A column of two classes, and one of three.
CLASSES = np.stack([X[:, 0] > 0, np.digitize(X[:, 0], [-0.5, 0.5])], axis=1).astype(int)

SHORT = {"max_iter": 5, "hidden_layer_sizes": (4,)}
REGRESSORS = {
    "LinearRegression": (linear_model, ({}, {"positive": True}, {"fit_intercept": False})),
    "Ridge": (linear_model, ({}, {"positive": True}, {"fit_intercept": False}, {"alpha": [2.0]})),
    "Lasso": (linear_model, ({}, {"positive": True}, {"fit_intercept": False})),
    "ElasticNet": (linear_model, ({}, {"positive": True}, {"fit_intercept": False})),
    "LinearSVR": (svm, ({}, {"fit_intercept": False})),
    "MLPRegressor": (neural_network, (SHORT, SHORT | {"early_stopping": True}, SHORT | {"solver": "lbfgs"})),
}
CLASSIFIERS = {
    "LogisticRegression": (linear_model, ({}, {"fit_intercept": False})),
    "LinearSVC": (svm, ({}, {"fit_intercept": False})),
    "MLPClassifier": (neural_network, (SHORT, SHORT | {"early_stopping": True}, SHORT | {"solver": "lbfgs"})),
}
TARGETS = {
    "(n,)": (NUMBERS[:, 0], (CLASSES[:, 0], CLASSES[:, 1])),
    "(n, 1)": (NUMBERS[:, :1], (CLASSES[:, :1], CLASSES[:, 1:])),
    "(n, 2)": (NUMBERS, ()),
}
STORED = ("coef_", "intercept_", "n_iter_", "dual_gap_", "n_outputs_")
CALLED = ("predict", "predict_proba", "decision_function")
SPARSE = {"LinearRegression", "Ridge", "Lasso", "ElasticNet"}


def shapes(estimator, x, y):
    """By name, or the kind of the error."""
    with warnings.catch_warnings():
        for said in (ConvergenceWarning, DataConversionWarning, FutureWarning):
            warnings.simplefilter("ignore", said)
        try:
            estimator.fit(x, y)
        except ValueError:
            return "ValueError"
    stored = {name: np.shape(getattr(estimator, name, None)) for name in STORED}
    called = {name: getattr(estimator, name)(x).shape for name in CALLED if hasattr(estimator, name)}
    parts = [np.shape(part) for part in getattr(estimator, "coefs_", ())]
    return stored | called | {"coefs_": parts, "score": np.shape(estimator.score(x, y))}


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("name", [*REGRESSORS, *CLASSIFIERS])
def test_shapes_are_those_of_scikit_learn(name, kind):
    room, settings = (REGRESSORS | CLASSIFIERS)[name]
    numbers, classes = TARGETS[kind]
    for options in settings:
        for y in (numbers,) if name in REGRESSORS else classes:
            for x in (X, csr_matrix(X)) if name in SPARSE and "positive" not in options else (X,):
                ours, theirs = (shapes(getattr(of, name)(**options), x, y) for of in (models, room))
                if name == "Ridge":  # scikit-learn's is None where it is solved in closed form
                    ours["n_iter_"] = theirs["n_iter_"]
                assert ours == theirs, (options, type(x).__name__)


class Network(nn.Module):
    def __init__(self, outputs=1):
        self.layer = nn.Dense(outputs)

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize("kind", TARGETS)
def test_networks_have_the_shapes_of_a_perceptron(kind):
    numbers, classes = TARGETS[kind]
    ours = models.NeuralRegressor(Network, max_epochs=1, module__outputs=2 if kind == "(n, 2)" else 1)
    perceptron = neural_network.MLPRegressor(max_iter=1)
    assert shapes(ours, X, numbers)["predict"] == shapes(perceptron, X, numbers)["predict"]
    for y, outputs in zip(classes, (2, 3), strict=False):
        ours = models.NeuralClassifier(Network, max_epochs=1, module__outputs=outputs)
        found, right = shapes(ours, X, y), shapes(neural_network.MLPClassifier(max_iter=1), X, y)
        for name in ("predict", "predict_proba"):
            assert found[name] == right[name]


@pytest.mark.parametrize("name", ["MLPRegressor", "NeuralRegressor"])
@pytest.mark.parametrize(
    "y",
    [np.datetime64("2020-01-01") + np.arange(40), np.arange(40).astype("timedelta64[D]"),
     np.arange(40).astype("S"), np.arange(40).astype("U")],
    ids=lambda y: y.dtype.kind,
)  # fmt: skip
def test_dates_and_texts_are_no_numbers(name, y):
    options = {"module": nn.Dense, "module__units": 1} if name == "NeuralRegressor" else {}
    with pytest.raises(
        ValueError, match=r"y: expected numbers, got dtype .*: turn text and dates into numbers first"
    ):
        getattr(models, name)(**options).fit(np.random.default_rng(0).normal(size=(40, 3)), y)
