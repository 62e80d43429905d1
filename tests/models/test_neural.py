"""Estimators around any module: parameters of the module, the training, and what does not fit."""

import pickle
from functools import partial

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.preprocessing import scale
from sklearn.utils.estimator_checks import parametrize_with_checks

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.models import NeuralClassifier, NeuralRegressor
from tapegrad.nn import losses

IRIS, CANCER = ((scale(x), y) for x, y in (f(return_X_y=True) for f in (load_iris, load_breast_cancer)))
DIABETES = tuple(map(scale, load_diabetes(return_X_y=True)))


class Numbers(nn.Module):
    """Class numbers, which estimators hold as floats."""

    def forward(self, x):
        return x.astype("int64")


class Network(nn.Module):
    """As wide as the rows and the targets ask for."""

    def __init__(self, units=16, meta=None):
        super().__init__()
        self.hidden = nn.Dense(units, "relu")
        self.drop = nn.Dropout(0.2)
        self.last = nn.Dense(meta.get("n_classes_") or meta["n_outputs_"])

    def forward(self, x):
        return self.last(self.drop(self.hidden(x)))


def of_one_output(last=None):
    return nn.Sequential(nn.Dense(8, "relu"), nn.Dense(1, last))


def of_two_outputs(last=None):
    return nn.Sequential(nn.Dense(8, "relu"), nn.Dense(2, last))


def own_cross_entropy(y_true, y_pred):
    return losses.cross_entropy(y_pred, y_true)


# `max_epochs` and the like for the checks, which have few rows
QUICK = {"lr": 0.05, "max_epochs": 25, "batch_size": 32, "random_state": 0}


@parametrize_with_checks([NeuralClassifier(Network, **QUICK), NeuralRegressor(Network, **QUICK)],
    expected_failed_checks=lambda e: {
        "check_sample_weight_equivalence_on_dense_data": "batches are drawn at random: a row given twice changes the "
        "batches, a weight of 2 does not. scikit-learn lists the same exception for its own MLPs",
        "check_do_not_raise_errors_in_init_or_set_params": "it gives a value to `options` itself, which stands for the "
        "module's and the optimizer's, as in module__units",
        "check_regressor_multioutput": "it asks for float64: predictions have the dtype of the module",
    },
)  # fmt: skip
def test_check(estimator, check):
    check(estimator)


def test_the_modules_options_are_parameters():
    model = NeuralClassifier(Network, module__units=32, **QUICK).fit(*IRIS)
    assert model.score(*IRIS) > 0.95
    assert model.module_.hidden.units == 32
    assert clone(model).get_params() == model.get_params()
    search = GridSearchCV(model, {"module__units": [2, 16], "optimizer__beta_1": [0.8, 0.9]}, cv=2).fit(*IRIS)
    assert search.best_score_ > 0.9
    again = pickle.loads(pickle.dumps(search))
    assert np.array_equal(again.predict_proba(IRIS[0]), search.predict_proba(IRIS[0]))
    with pytest.raises(TypeError, match="module__units"):
        NeuralClassifier(Network, units=3)
    with pytest.raises(ValueError, match="unknown parameter 'units'"):
        model.set_params(units=3)


# the module and its criterion, on two classes
TWO = {
    "logits of both": (lambda: nn.Sequential(nn.Dense(8, "relu"), nn.Dense(2)), "cross_entropy"),
    "probabilities of both": (
        lambda: nn.Sequential(nn.Dense(8, "relu"), nn.Dense(2, "softmax")), "sparse_categorical_crossentropy",
    ),
    "log-probabilities": (lambda: nn.Sequential(nn.Dense(8, "relu"), nn.Dense(2, "log_softmax")), "nll_loss"),
    "one logit": (of_one_output, "binary_cross_entropy_with_logits"),
    "one probability": (lambda: of_one_output("sigmoid"), "binary_crossentropy"),
    "logits, an object": (of_two_outputs, losses.SparseCategoricalCrossentropy(from_logits=True)),
    "logits, a partial": (of_two_outputs, partial(losses.sparse_categorical_crossentropy, from_logits=True)),
    "one logit, an object": (of_one_output, losses.BinaryCrossentropy(from_logits=True)),
    "one logit, PyTorch's": (of_one_output, nn.BCEWithLogitsLoss()),
    "one logit, focal": (of_one_output, losses.BinaryFocalCrossentropy(from_logits=True)),
    "one probability, PyTorch's": (lambda: of_one_output("sigmoid"), nn.BCELoss()),
}  # fmt: skip


def test_two_classes_of_which_the_module_ends_with_a_sigmoid():
    estimator = NeuralClassifier(
        lambda: of_one_output("sigmoid"), criterion="binary_cross_entropy_with_logits"
    )
    with pytest.raises(ValueError, match="takes logits, and the last layer gives sigmoid"):
        estimator.fit(*CANCER)


@pytest.mark.parametrize("row", TWO)
def test_criteria(row):
    module, criterion = TWO[row]
    model = NeuralClassifier(module, criterion=criterion, lr=0.02, max_epochs=15, random_state=0).fit(*CANCER)
    p = model.predict_proba(CANCER[0])
    assert p.shape == (569, 2) and np.allclose(p.sum(axis=1), 1, atol=1e-5) and (p >= 0).all()
    assert model.score(*CANCER) > 0.95


# what is trained on logits by a function that nothing is known of, the values of its rows of probabilities
OF_OWN = {
    "auto": "row 0 of them sums to .* criterion=own_cross_entropy does not say .*predict_nonlinearity='softmax'",
    "sofmax": "predict_nonlinearity: expected one of 'auto', None, 'softmax'",
    "softmax": None,
}


@pytest.mark.parametrize("nonlinearity", OF_OWN)
def test_probabilities_of_a_criterion_of_ones_own(nonlinearity):
    model = NeuralClassifier(of_two_outputs, criterion=own_cross_entropy, **QUICK).fit(*CANCER)
    assert model.score(*CANCER) > 0.95
    model.set_params(predict_nonlinearity=nonlinearity)
    if OF_OWN[nonlinearity] is None:
        named = NeuralClassifier(of_two_outputs, criterion="cross_entropy", **QUICK).fit(*CANCER)
        assert np.allclose(model.predict_proba(CANCER[0]), named.predict_proba(CANCER[0]), atol=1e-6)
        return
    with pytest.raises(ValueError, match=OF_OWN[nonlinearity]):
        model.predict_proba(CANCER[0])


def test_probabilities_of_ones_own_are_taken_as_they_are():
    own = lambda y_true, y_pred: losses.sparse_categorical_crossentropy(y_pred, y_true)
    model = NeuralClassifier(lambda: of_two_outputs("softmax"), criterion=own, **QUICK).fit(*CANCER)
    assert np.array_equal(model.predict_proba(CANCER[0]), model.model_.predict(CANCER[0]))


def test_the_kind_of_outputs_is_asked_of_rows_that_the_module_takes():
    x = np.random.default_rng(0).integers(0, 20, (60, 4))
    made = lambda: nn.Sequential(Numbers(), nn.Embedding(20, 3), nn.Flatten(), nn.Dense(2))
    assert NeuralClassifier(made, **QUICK).fit(x, x[:, 0] > 9).score(x, x[:, 0] > 9) > 0.9


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (NeuralClassifier(), "module: expected a class of modules"),
        (NeuralClassifier(Network, max_epochs=0), "max_epochs: expected a whole number"),
        (NeuralClassifier(Network, batch_size=2.5), "batch_size: expected a whole number"),
        (
            NeuralClassifier(lambda: nn.Dense(5)),
            "module: expected 3 outputs, one for each class, got the shape (5,)",
        ),
        (NeuralClassifier(lambda: nn.Dense(3, "softmax")), "criterion='sparse_categorical_crossentropy'"),
        (
            NeuralClassifier(of_one_output, criterion="binary_crossentropy"),
            "is of two classes and one output",
        ),
        (
            NeuralClassifier(lambda: nn.Dense(3), criterion="nll_loss"),
            "takes log-probabilities, and their exp",
        ),
        (
            NeuralClassifier(lambda: nn.Dense(3), criterion=nn.NLLLoss()),
            "takes log-probabilities, and their exp",
        ),
        (
            NeuralClassifier(lambda: nn.Dense(3), criterion="sparse_categorical_crossentropy"),
            "takes probabilities, and its outputs are none: row 0",
        ),
        (
            NeuralClassifier(
                lambda: nn.Dense(3, "softmax"),
                criterion=losses.SparseCategoricalCrossentropy(from_logits=True),
            ),
            "it ends with a softmax",
        ),
        (NeuralClassifier(nn.Dense(3), module__units=3), "this module is made already"),
        (NeuralClassifier(Network, optimizer=optim.SGD(lr=0.1), lr=0.2), "are its own"),
        (NeuralRegressor(lambda: nn.Dense(2)), "module: expected 1 outputs"),
        (NeuralClassifier(Network, lr=1e30, optimizer="sgd"), "the training diverged"),
    ],
)
def test_what_does_not_fit_is_named(estimator, words):
    with pytest.raises(ValueError) as error:
        estimator.fit(*IRIS)
    assert words in str(error.value)
    assert not hasattr(estimator, "model_")


def test_early_stopping_inside_cross_validation():
    """It holds out rows of each fold's own, and goes back to the best weights."""
    model = NeuralClassifier(Network, **{**QUICK, "max_epochs": 200}, early_stopping=True, n_iter_no_change=3)
    assert cross_val_score(model, *IRIS, cv=3).mean() > 0.9
    losses = model.fit(*IRIS).history_["val_loss"]
    assert model.n_iter_ == len(losses) < 200
    rows = model._held_out[1]
    p = model.predict_proba(IRIS[0][rows])
    own = p[np.arange(len(rows)), IRIS[1][rows]]
    assert -np.log(own).mean() == pytest.approx(min(losses), rel=1e-4)


def test_regression_of_one_and_several_targets():
    x, y = DIABETES
    assert NeuralRegressor(Network, **QUICK).fit(x, y).score(x, y) > 0.4
    two = NeuralRegressor(Network, **QUICK).fit(x, np.stack([y, -y], axis=1))
    assert two.predict(x).shape == (442, 2)


def test_images_keep_their_axes():
    x = np.random.default_rng(0).normal(size=(60, 4, 5)).astype("float32")
    y = (x[:, 0, 0] > 0).astype(int)
    module = lambda: nn.Sequential(nn.Flatten(), nn.Dense(2))
    model = NeuralClassifier(module, lr=0.1, max_epochs=20, random_state=0).fit(x, y)
    assert model.score(x, y) > 0.9


def test_a_module_that_is_made_stays_as_it_was():
    module = nn.Sequential(nn.Dense(8, "relu", in_features=4), nn.Dense(3, in_features=8))
    before = module.state_dict()
    model = NeuralClassifier(module, **QUICK).fit(*IRIS)
    assert model.score(*IRIS) > 0.9
    assert all((module.state_dict()[name].numpy() == t.numpy()).all() for name, t in before.items())
    assert clone(model).fit(*IRIS).loss_curve_ == model.loss_curve_
    with pytest.raises(TypeError, match="modules are not pickled"):
        pickle.dumps(model)


def test_a_criterion_of_ones_own_takes_the_target_first():
    def pinball(y_true, y_pred):
        error = y_true - y_pred
        return tg.maximum(0.9 * error, -0.1 * error)

    x, y = DIABETES
    model = NeuralRegressor(Network, criterion=pinball, **QUICK).fit(x, y)
    assert (model.predict(x) >= y).mean() > 0.75


def test_warm_start_goes_on():
    model = NeuralClassifier(Network, warm_start=True, **QUICK).fit(*IRIS)
    first = model.loss_curve_[-1]
    assert pickle.loads(pickle.dumps(model)).fit(*IRIS).loss_curve_[25] < 2 * first
    with pytest.raises(ValueError, match="criterion: warm_start goes on with the model"):
        model.set_params(criterion="nll_loss").fit(*IRIS)
