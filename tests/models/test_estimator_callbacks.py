"""Callbacks in the estimators' trainings: what they are told, and what they add is in `history_`."""

import copy
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from tapegrad import nn, optim
from tapegrad.models import (
    Callback,
    LambdaCallback,
    LearningRateScheduler,
    MLPClassifier,
    MLPRegressor,
    ModelCheckpoint,
    NeuralClassifier,
    NeuralRegressor,
    ReduceLROnPlateau,
    Sequential,
    register,
)
from tapegrad.models.one_fit import TRAINED

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(90, 4))
CLASSES = GENERATOR.integers(0, 3, 90)

# The estimator with three epochs of three batches, and its targets
ESTIMATORS = {
    "MLPClassifier": (lambda **o: MLPClassifier((4,), epochs=3, batch_size=40, random_state=0, **o), CLASSES),
    "MLPRegressor": (lambda **o: MLPRegressor((4,), epochs=3, batch_size=40, random_state=0, **o), X[:, 0]),
    "NeuralClassifier": (
        lambda **o: NeuralClassifier(
            nn.Dense, module__units=3, max_epochs=3, batch_size=40, random_state=0, **o
        ),
        CLASSES,
    ),
    "NeuralRegressor": (
        lambda **o: NeuralRegressor(
            nn.Dense, module__units=1, max_epochs=3, batch_size=40, random_state=0, **o
        ),
        X[:, 0],
    ),
}
for_each = pytest.mark.parametrize("name", ESTIMATORS)


def fitted(name, *callbacks):
    made, y = ESTIMATORS[name]
    return made(callbacks=list(callbacks)).fit(X, y)


@for_each
def test_the_rate_is_in_the_history(name):
    halved = fitted(name, LearningRateScheduler(lambda epoch: 0.1 / 2**epoch)).history_
    assert halved["learning_rate"] == [0.1, 0.05, 0.025]
    reduced = fitted(name, ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=1e9)).history_
    first = reduced["learning_rate"][0]
    assert reduced["learning_rate"] == pytest.approx([first, first, first / 2])


# what a callback does to the model in the fit of an estimator, and what is said
WITHIN = {
    "fit": (lambda m: m.fit(X, m.predict(X), verbose=0), r"^fit: \w+\.fit trains this model now"),
    "train_on_batch": (
        lambda m: m.train_on_batch(X, m.predict(X)),
        r"^train_on_batch: \w+\.fit trains this model",
    ),
    "compile": (lambda m: m.compile("sgd", "mse"), r"^compile: \w+\.fit trains this model now"),
    "an optimizer": (lambda m: setattr(m, "optimizer", optim.SGD()), "has changed the model's optimizer"),
    "a loss": (lambda m: setattr(m, "loss", "mae"), "has changed the model's loss"),
    "a layer more": (lambda m: m.add(nn.Dense(int(m.predict(X).shape[1]))), "has changed the model's layers"),
    "another layer": (lambda m: m.layers.__setitem__(-1, copy.deepcopy(m.layers[-1])), "the model's layers"),
}


@pytest.mark.parametrize("act", WITHIN)
@pytest.mark.parametrize("name", [*ESTIMATORS, "lbfgs"])
def test_a_callback_does_not_train_the_model_of_an_estimator(name, act):
    """Its numbers would be a mixture, or the change without effect."""
    do, said = WITHIN[act]
    callback = LambdaCallback(on_epoch_end=lambda epoch: do(callback.model))
    with pytest.raises(RuntimeError, match=said):
        lbfgs(callback) if name == "lbfgs" else fitted(name, callback)
    assert not TRAINED
    later = fitted("MLPRegressor").model_
    later.compile("sgd", "mse")
    assert later.fit(X, X[:, :1], verbose=0).epoch == [0]


def lbfgs(callback):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return MLPRegressor((4,), solver="lbfgs", max_iter=5, callbacks=callback).fit(X, X[:, 0])


class Zeros(Callback):
    """Has the next step begin at weights of 0."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.set_weights([0 * w for w in self.model.get_weights()])


UNSEEN = {
    "LearningRateScheduler": lambda: LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1)),
    "ReduceLROnPlateau": lambda: ReduceLROnPlateau("loss", patience=0, min_delta=1e9),
    "weights": Zeros,
}


@pytest.mark.parametrize("name", UNSEEN)
def test_lbfgs_does_not_look_at_what_a_callback_changes(name):
    with pytest.raises(RuntimeError, match="which lbfgs does not look at: use another solver"):
        lbfgs(UNSEEN[name]())


# modules whose layers learn from the rows how many inputs there are
LATE = {
    "one layer": lambda units: nn.Dense(units),
    "nn.Sequential": lambda units: nn.Sequential(nn.Dense(5, "relu"), nn.Dense(units)),
    "models.Sequential": lambda units: Sequential(nn.Dense(5, "relu"), nn.Dense(units)),
    "a layer of one's own": lambda units: nn.Sequential(Grown(), nn.Dense(units)),
}


@register
class Grown(nn.Module):
    """A factor for each input, made at the first call."""

    factor: nn.Parameter | None = None

    def forward(self, x):
        if self.factor is None:
            self.factor = nn.Parameter(np.ones(x.shape[1], "float32"))
        return x * self.factor


@pytest.mark.parametrize("name", LATE)
@pytest.mark.parametrize("kind", [NeuralClassifier, NeuralRegressor])
def test_a_checkpoint_of_layers_that_learn_their_width(kind, name, tmp_path):
    y, units = (CLASSES, 3) if kind is NeuralClassifier else (X[:, 0], 1)
    path = tmp_path / "last"
    fitted = kind(LATE[name](units), max_epochs=2, callbacks=ModelCheckpoint(path)).fit(X, y)
    x = X.astype("float32")
    assert np.array_equal(Sequential.load(path).predict(x), fitted.model_.predict(x))


@for_each
def test_what_a_callback_adds_is_in_the_history(name):
    adds = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(mine=epoch) if epoch else None)
    history = fitted(name, adds).history_
    assert np.array_equal(history["mine"], [np.nan, 1, 2], equal_nan=True)
    assert sorted(history) == ["loss", "mine"]


@for_each
def test_a_callback_is_told_of_its_training(name):
    class Watch(Callback):
        def set_model(self, model):
            super().set_model(model)
            self.told = True

        def on_train_begin(self, logs=None):
            self.numbers = dict(self.params)
            self.batches, self.epochs = [], []

        def on_train_batch_end(self, batch, logs=None):
            self.batches.append(logs["loss"])

        def on_epoch_end(self, epoch, logs=None):
            self.epochs.append(logs["loss"])

        def on_train_end(self, logs=None):
            self.last = dict(logs)

    watch = Watch()
    fitted(name, watch)
    assert watch.told and watch.numbers == {"verbose": False, "epochs": 3, "steps": 3}
    assert watch.batches[2::3] == watch.epochs
    assert watch.last == {"loss": watch.epochs[-1]}


@for_each
def test_a_misspelt_moment_is_refused(name):
    class Misspelt(Callback):
        def on_epoch_ends(self, epoch, logs=None):
            pass

    with pytest.raises(TypeError, match="did you mean 'on_epoch_end'"):
        fitted(name, Misspelt())


@pytest.mark.parametrize("epoch", [0, 1])
@for_each
def test_an_estimator_is_fitted_once_an_epoch_is_whole(name, epoch):
    class Raises(Callback):
        def on_epoch_begin(self, number, logs=None):
            if number == epoch:
                raise RuntimeError("stop")

    made, y = ESTIMATORS[name]
    estimator = made(callbacks=Raises())
    with pytest.raises(RuntimeError, match="stop"):
        estimator.fit(X, y)
    assert hasattr(estimator, "model_") == (epoch > 0)


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_steps_of_lbfgs_have_what_a_callback_adds(name):
    adds = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(mine=epoch))
    made, y = ESTIMATORS[name]
    history = made(callbacks=adds, solver="lbfgs").fit(X, y).history_
    assert history["mine"] == history.epoch and history.epoch
