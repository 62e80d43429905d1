"""The networks as estimators: what they learn, and how they behave inside scikit-learn."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tapegrad as tg
from tapegrad import optim
from tapegrad.autograd import random
from tapegrad.models import MLPClassifier, MLPRegressor

CANCER, IRIS, DIABETES = (f(return_X_y=True) for f in (load_breast_cancer, load_iris, load_diabetes))


def scaled(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


def classifier(**options):
    usual = {"hidden_layer_sizes": (16,), "learning_rate": 0.01, "epochs": 20, "random_state": 0}
    return MLPClassifier(**{**usual, **options})


def test_two_and_three_classes_are_learned():
    for x, y in (CANCER, IRIS):
        model = classifier(epochs=60).fit(scaled(x), y)
        p = model.predict_proba(scaled(x))
        assert model.score(scaled(x), y) > 0.95
        assert p.shape == (len(x), len(model.classes_))
        assert np.allclose(p.sum(axis=1), 1)


def test_class_names_may_be_anything():
    x, y = IRIS
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    model = classifier(epochs=60).fit(scaled(x), names)
    assert model.score(scaled(x), names) > 0.9


def test_regression_with_one_and_several_targets():
    x, y = scaled(DIABETES[0]), scaled(DIABETES[1])
    one = MLPRegressor((16,), epochs=40, random_state=0).fit(x, y)
    two = MLPRegressor((16,), epochs=40, random_state=0, loss="huber").fit(x, np.stack([y, -y], axis=1))
    assert one.score(x, y) > 0.5
    assert one.predict(x).shape == (442,)
    assert two.predict(x).shape == (442, 2)
    column = MLPRegressor((16,), epochs=1, random_state=0).fit(x, y[:, None])
    assert column.predict(x).shape == (442, 1)


def test_random_state_fixes_everything_and_touches_nobody_else():
    x, y = scaled(CANCER[0]), CANCER[1]
    tg.manual_seed(7)
    before = random.get_state()
    a = classifier(early_stopping=True).fit(x, y).predict_proba(x)
    assert random.get_state() == before
    tg.manual_seed(8)
    b = classifier(early_stopping=True).fit(x, y).predict_proba(x)
    c = classifier(early_stopping=True, random_state=1).fit(x, y).predict_proba(x)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_early_stopping_ends_early_and_keeps_the_best():
    x, y = scaled(CANCER[0]), CANCER[1]
    model = classifier(epochs=300, early_stopping=True, n_iter_no_change=3, learning_rate=0.02).fit(x, y)
    losses = model.history_["val_loss"]
    assert model.n_iter_ == len(losses) < 300
    assert np.argmin(losses) == len(losses) - 4


@pytest.mark.parametrize(("fraction", "batches"), [(0.5, 5), (0.2, 8)])
def test_validation_fraction_is_held_out(fraction, batches):
    x, y = IRIS[0][:100], IRIS[1][:100]
    model = classifier(epochs=1, batch_size=10, early_stopping=True, validation_fraction=fraction).fit(x, y)
    assert model.model_.optimizer.steps == batches


def test_warm_start_goes_on():
    x, y = scaled(CANCER[0]), CANCER[1]
    model = classifier(warm_start=True, epochs=3)
    first = model.fit(x, y).history_["loss"]
    second = model.fit(x, y).history_["loss"]
    assert second[0] < first[-1]
    assert classifier(epochs=3).fit(x, y).history_["loss"] == first
    with pytest.raises(ValueError, match="goes on with the classes"):
        model.fit(x, y + 1)


def test_activation_may_be_any_function_and_optimizer_an_object():
    x, y = scaled(CANCER[0]), CANCER[1]
    sgd = optim.SGD(lr=0.1, momentum=0.9)
    model = classifier(activation=lambda t: t * tg.sigmoid(1.702 * t), optimizer=sgd, learning_rate=None).fit(
        x, y
    )
    assert model.score(x, y) > 0.95
    assert model.get_params()["optimizer"] is sgd
    assert not sgd.groups  # a parameter of the estimator stays as it was given
    clone(model).fit(x, y)


def test_weights_of_zero_teach_nothing():
    x, y = scaled(CANCER[0]), CANCER[1]
    half = np.arange(len(x)) % 2 == 0
    lies = np.where(half, y, 1 - y)
    model = classifier(epochs=30).fit(x, lies, sample_weight=half.astype(float))
    assert model.score(x[half], y[half]) > 0.95


def test_class_weight_moves_the_boundary():
    x, y = CANCER[0][:, :3], CANCER[1]
    plain = classifier().fit(scaled(x), y).predict(scaled(x)).mean()
    pushed = classifier(class_weight={1: 20.0}).fit(scaled(x), y).predict(scaled(x)).mean()
    assert pushed > plain


def test_inside_pipelines_searches_and_pickles():
    x, y = IRIS
    search = GridSearchCV(
        make_pipeline(StandardScaler(), classifier(epochs=30)),
        {"mlpclassifier__hidden_layer_sizes": [(4,), (16, 8)]},
        cv=2,
    ).fit(x, y)
    assert search.best_score_ > 0.8
    again = pickle.loads(pickle.dumps(search))
    assert np.array_equal(again.predict_proba(x), search.predict_proba(x))
    assert cross_val_score(MLPRegressor(epochs=2), x, y, cv=2).shape == (2,)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_have_the_dtype_of_the_data(dtype):
    x, y = scaled(IRIS[0]).astype(dtype), IRIS[1]
    model = classifier(epochs=1).fit(x, y)
    assert model.predict_proba(x).dtype == dtype


@pytest.mark.parametrize("name", ["epochs", "batch_size", "n_iter_no_change", "validation_fraction"])
def test_bad_options(name):
    with pytest.raises(ValueError, match=name):
        classifier(**{name: 0}).fit(*IRIS)


@pytest.mark.parametrize(
    "options", [{}, {"early_stopping": True, "activation": "tanh"}, {"optimizer": "sgd"}]
)
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_compiled_or_run_eagerly_it_learns_the_same(kind, options):
    """In float32 to the bit; after a copy through pickle, too, which takes no program along."""
    x, y = IRIS if kind is MLPClassifier else DIABETES
    x, y = scaled(x).astype(np.float32), y if kind is MLPClassifier else scaled(y)
    found = []
    for run_eagerly in (False, True):
        model = kind(
            (16,), epochs=8, random_state=0, run_eagerly=run_eagerly, emitter="numpy", **options
        ).fit(x, y)
        assert (model.model_.stats()["train"]["compiled"] > 0) is not run_eagerly
        twin = pickle.loads(pickle.dumps(model))
        assert twin.model_.run_eagerly is run_eagerly
        assert twin.model_.stats()["predict"]["calls"] == 0
        found.append((model.history_, model.predict(x).tolist(), twin.predict(x).tolist()))
    assert found[0] == found[1]


def test_a_warm_start_follows_run_eagerly():
    x, y = IRIS
    model = classifier(warm_start=True).fit(x, y)
    before = model.model_.stats()["train"]["compiled"]
    assert before > 0
    model.set_params(run_eagerly=True).fit(x, y)
    assert model.model_.stats()["train"]["compiled"] == before  # the counts go on
