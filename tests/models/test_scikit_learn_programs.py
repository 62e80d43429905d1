"""scikit-learn's example programs of the perceptrons, and a grid search, with their imports changed. Parts of the data,
so that each takes a second."""

import numpy as np
import pytest
from sklearn import datasets
from sklearn import neural_network as reference
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from tapegrad import models
from tapegrad.backends import BackendError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
KINDS = {"tapegrad": models, "scikit-learn": reference}


def both(program):
    """What a program gives with either library."""
    return [program(kind) for kind in KINDS.values()]


# ---- "Varying regularization in Multi-layer Perceptron" ----
def varying_regularization(kind):
    scores = []
    for alpha in (0.1, 10.0):
        classifier = make_pipeline(
            StandardScaler(),
            kind.MLPClassifier(
                solver="lbfgs", alpha=alpha, random_state=1, max_iter=200, early_stopping=False,
                hidden_layer_sizes=[10, 10],
            ),
        )  # fmt: skip
        for x, y in (
            datasets.make_moons(noise=0.3, random_state=0),
            datasets.make_circles(noise=0.2, factor=0.5, random_state=1),
        ):
            train_x, test_x, train_y, test_y = train_test_split(x, y, test_size=0.4, random_state=42)
            classifier.fit(train_x, train_y)
            scores.append(classifier.score(test_x, test_y))
            assert classifier.predict_proba(test_x).shape == (40, 2)
    return scores


def test_varying_regularization():
    ours, theirs = both(varying_regularization)
    assert ours == pytest.approx(theirs, abs=0.051)


# ---- "Visualization of MLP weights on MNIST", on the digits ----
def filters(kind):
    x, y = datasets.load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(x / 16.0, y, random_state=0, test_size=0.7)
    mlp = kind.MLPClassifier(
        hidden_layer_sizes=(40,), max_iter=8, alpha=1e-4, solver="sgd", verbose=10, random_state=1,
        learning_rate_init=0.2,
    )  # fmt: skip
    mlp.fit(train_x, train_y)
    assert [coef.T.reshape(-1, 8, 8).shape for coef in mlp.coefs_[:1]] == [(40, 8, 8)]
    return [mlp.score(train_x, train_y), mlp.score(test_x, test_y), *mlp.loss_curve_, mlp.coefs_[0].min()]


def test_filters(capsys):
    ours, theirs = both(filters)
    assert ours == pytest.approx(theirs, abs=1e-8)
    printed = capsys.readouterr().out.splitlines()
    iterations = [line for line in printed if line.startswith("Iteration")]
    assert iterations[:8] == iterations[8:16]


# ---- "Compare Stochastic learning strategies for MLPClassifier" ----
STRATEGIES = {
    "constant learning-rate": {
        "solver": "sgd", "learning_rate": "constant", "momentum": 0, "learning_rate_init": 0.2,
    },
    "constant with momentum": {
        "solver": "sgd", "learning_rate": "constant", "momentum": 0.9, "nesterovs_momentum": False,
        "learning_rate_init": 0.2,
    },
    "constant with Nesterov's momentum": {
        "solver": "sgd", "learning_rate": "constant", "momentum": 0.9, "nesterovs_momentum": True,
        "learning_rate_init": 0.2,
    },
    "inv-scaling learning-rate": {
        "solver": "sgd", "learning_rate": "invscaling", "momentum": 0, "learning_rate_init": 0.2,
    },
    "inv-scaling with momentum": {
        "solver": "sgd", "learning_rate": "invscaling", "momentum": 0.9, "nesterovs_momentum": False,
        "learning_rate_init": 0.2,
    },
    "inv-scaling with Nesterov's momentum": {
        "solver": "sgd", "learning_rate": "invscaling", "momentum": 0.9, "nesterovs_momentum": True,
        "learning_rate_init": 0.2,
    },
    "adam": {"solver": "adam", "learning_rate_init": 0.01},
}  # fmt: skip


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_learning_strategies(strategy):
    x, y = datasets.load_iris(return_X_y=True)
    x = MinMaxScaler().fit_transform(x)
    curves = []
    for kind in KINDS.values():
        mlp = kind.MLPClassifier(random_state=0, max_iter=60, **STRATEGIES[strategy]).fit(x, y)
        curves.append([*mlp.loss_curve_, mlp.score(x, y)])
    assert curves[0] == pytest.approx(curves[1], abs=1e-8)


# ---- a grid search over the breast cancer data ----
GRID = {
    "mlp__hidden_layer_sizes": [(8,), (8, 8)],
    "mlp__activation": ["tanh", "relu"],
    "mlp__alpha": [1e-4, 1.0],
    "mlp__learning_rate_init": [0.001, 0.01],
}


def grid_search(kind):
    x, y = datasets.load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), kind.MLPClassifier(max_iter=8, random_state=0))
    pipeline.steps[1] = ("mlp", pipeline.steps[1][1])
    search = GridSearchCV(pipeline, GRID, cv=2, n_jobs=1).fit(x[::6], y[::6])
    return search.best_params_, search.cv_results_["mean_test_score"]


def test_grid_search():
    (ours, scores), (theirs, expected) = both(grid_search)
    assert ours == theirs
    assert scores == pytest.approx(expected, abs=1e-12)


# ---- where the weights live ----
@pytest.mark.filterwarnings("ignore:You are comparing a array_api_strict dtype")
def test_backend_places_the_weights():
    import strict_backend

    strict_backend.register()
    x, y = datasets.load_iris(return_X_y=True)
    plain = models.MLPClassifier((4,), epochs=3, random_state=0).fit(x, y)
    placed = models.MLPClassifier((4,), epochs=3, random_state=0, backend="strict", run_eagerly=True).fit(
        x, y
    )
    assert {p.backend.name for p in placed.model_.parameters()} == {"strict"}
    assert {p.backend.name for p in plain.model_.parameters()} == {"numpy"}
    assert placed.loss_curve_ == pytest.approx(plain.loss_curve_, rel=1e-6)
    assert np.array_equal(placed.predict(x), plain.predict(x))
    assert isinstance(placed.coefs_[0], np.ndarray)
    copied = clone(placed)
    assert copied.get_params()["backend"] == "strict"


def test_an_unknown_backend_is_named():
    x, y = datasets.load_iris(return_X_y=True)
    with pytest.raises(BackendError, match="unknown backend 'nonsense'; known backends"):
        models.MLPClassifier((4,), backend="nonsense").fit(x, y)


def test_a_warning_is_scikit_learns_kind():
    x, y = datasets.load_iris(return_X_y=True)
    with pytest.warns(ConvergenceWarning):
        models.MLPClassifier((4,), max_iter=2).fit(x, y)
