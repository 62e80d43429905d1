"""Copies of the perceptrons, and the data that they take."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
)
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

import tapegrad as tg
from tapegrad import nn
from tapegrad.models import MLPClassifier, MLPRegressor

CANCER, IRIS, DIABETES = (
    (scale(x), y) for x, y in (f(return_X_y=True) for f in (load_breast_cancer, load_iris, load_diabetes))
)
DIABETES = DIABETES[0], scale(DIABETES[1])

# ---- copies ----
FUNCTIONS = {
    "a primitive": tg.relu, "a primitive that was called": tg.tanh, "a function": nn.functional.gelu,
    "a function of the package": tg.softplus,
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_ours_are_pickled_copied_and_cloned(name):
    function = FUNCTIONS[name]
    function(tg.ones(2))
    for copied in (pickle.loads(pickle.dumps(function)), copy.deepcopy(function), copy.copy(function)):
        assert copied is function
    model = MLPClassifier((4,), activation=function, epochs=2, random_state=0)
    assert clone(model).activation is function
    assert pickle.loads(pickle.dumps(model)).activation is function
    search = GridSearchCV(model, {"activation": [function, "relu"]}, cv=2, n_jobs=2).fit(*IRIS)
    again = pickle.loads(pickle.dumps(search))
    assert np.array_equal(again.predict_proba(IRIS[0]), search.predict_proba(IRIS[0]))


def test_losses_of_ours_are_pickled():
    for loss in (nn.losses.mse_loss, nn.losses.huber_loss, nn.losses.Huber(delta=2.0)):
        model = MLPRegressor((4,), loss=loss, epochs=2, random_state=0).fit(*DIABETES)
        again = pickle.loads(pickle.dumps(model))
        assert np.array_equal(again.predict(DIABETES[0]), model.predict(DIABETES[0]))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_goes_on(copied):
    model = MLPClassifier((8,), epochs=3, warm_start=True, random_state=0).fit(*IRIS)
    steps = model.model_.optimizer.steps
    again = copied(model).fit(*IRIS)
    assert again.model_.optimizer.steps == 2 * steps
    assert again.loss_curve_ == model.fit(*IRIS).loss_curve_


def test_set_params_after_fit_does_not_change_the_network():
    model = MLPClassifier((8,), epochs=20, learning_rate=0.02, random_state=0).fit(*IRIS)
    before = model.predict_proba(IRIS[0])
    model.set_params(activation="tanh", hidden_layer_sizes=(3, 3), solver="sgd")
    for m in (model, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert np.array_equal(m.predict_proba(IRIS[0]), before)


def test_coefs_cannot_be_written_to():
    model = MLPClassifier((8,), epochs=2).fit(*IRIS)
    with pytest.raises(ValueError, match="read-only"):
        model.coefs_[0][0, 0] = 1.0
    with pytest.raises(AttributeError):
        model.coefs_ = []


# ---- data ----
def test_class_names_may_be_anything():
    names = np.array(["setosa", "versicolor", "virginica"])[IRIS[1]]
    model = MLPClassifier(epochs=60, learning_rate_init=0.01, random_state=0).fit(IRIS[0], names)
    assert model.score(IRIS[0], names) > 0.9
    assert set(model.predict(IRIS[0])) == set(names)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_have_the_dtype_of_the_data(dtype):
    model = MLPClassifier(epochs=1).fit(IRIS[0].astype(dtype), IRIS[1])
    assert model.predict_proba(IRIS[0].astype(dtype)).dtype == model.coefs_[0].dtype == dtype


def test_tables_have_named_columns():
    pandas = pytest.importorskip("pandas", reason="the table is a pandas frame")
    frame = pandas.DataFrame(IRIS[0], columns=list("abcd"))
    model = MLPClassifier(epochs=2, random_state=0).fit(frame, IRIS[1])
    assert list(model.feature_names_in_) == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("dcba")])


def test_inside_pipelines_and_searches():
    search = GridSearchCV(
        make_pipeline(StandardScaler(), MLPClassifier(epochs=30, learning_rate_init=0.01, random_state=0)),
        {"mlpclassifier__hidden_layer_sizes": [(4,), (16, 8)], "mlpclassifier__solver": ["adam", "lbfgs"]},
        cv=2,
    ).fit(*IRIS)
    assert search.best_score_ > 0.8
    assert cross_val_score(MLPRegressor(epochs=2), *IRIS, cv=2).shape == (2,)


@pytest.mark.parametrize("options", [{}, {"early_stopping": True, "activation": "tanh"}, {"solver": "sgd"}])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_compiled_or_run_eagerly_it_learns_the_same(kind, options, soon):
    """In float32 to the bit; after a copy through pickle, too, which takes no program along."""
    x, y = IRIS if kind is MLPClassifier else DIABETES
    found = []
    for run_eagerly in (False, True):
        model = kind(
            (16,),
            epochs=8,
            batch_size=40,
            random_state=0,
            run_eagerly=run_eagerly,
            emitter="numpy",
            **options,
        ).fit(x.astype(np.float32), y)
        assert (model.stats()["train"]["compiled"] > 0) is not run_eagerly
        twin = pickle.loads(pickle.dumps(model))
        assert twin.stats()["predict"]["calls"] == 0
        found.append((model.loss_curve_, model.predict(x).tolist(), twin.predict(x).tolist()))
    assert found[0] == found[1]


def test_a_warm_start_follows_run_eagerly(soon):
    model = MLPClassifier((8,), warm_start=True, epochs=5, batch_size=20).fit(*IRIS)
    before = model.stats()["train"]["compiled"]
    assert before > 0
    model.set_params(run_eagerly=True).fit(*IRIS)
    assert model.stats()["train"]["compiled"] == before  # the counts go on


def test_no_warning_of_ours_in_an_ordinary_fit():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPClassifier(epochs=30, verbose=False).fit(*CANCER)
