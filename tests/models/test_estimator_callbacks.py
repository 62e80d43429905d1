"""Callbacks in the estimators' trainings: what they are told, and what they add is in `history_`."""

import numpy as np
import pytest

from tapegrad import nn
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
