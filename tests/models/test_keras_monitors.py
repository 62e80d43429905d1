"""EarlyStopping, ModelCheckpoint and ReduceLROnPlateau, shown random numbers, do as Keras's do."""

import itertools

import numpy as np
import pytest

from tapegrad import models

keras = pytest.importorskip("keras", reason="compared with Keras")


class Optimizer:
    """Keras's word and tapegrad's for the rate."""

    def __init__(self):
        self.lr = 1.0

    def refuse_schedule(self, *what):
        pass

    learning_rate = property(lambda self: self.lr, lambda self, value: setattr(self, "lr", float(value)))


class Model:
    """What the callbacks of both libraries do with a model; its weights are the number of the epoch."""

    metrics = ()
    stop_training = False
    restored = None

    def __init__(self):
        self.optimizer, self.saved, self.epoch = Optimizer(), [], 0

    def state_dict(self):
        return self.epoch

    def load_state_dict(self, state):
        self.restored = state

    get_weights, set_weights = state_dict, load_state_dict

    def save(self, path, **options):
        self.saved.append(self.epoch)


def run(callback, values):
    """(epochs that ran, the epoch gone back to, the epochs saved, the rates, what the callback knows)."""
    model, rates = Model(), []
    callback.set_model(model)
    callback.set_params({"do_validation": True})
    callback.on_train_begin()
    for model.epoch, value in enumerate(values):
        callback.on_epoch_begin(model.epoch, {})
        callback.on_epoch_end(model.epoch, {} if value is None else {"val_loss": value})
        rates.append(model.optimizer.lr)
        if model.stop_training:
            break
    callback.on_train_end()
    known = [getattr(callback, name, None) for name in ("best", "best_epoch", "wait", "stopped_epoch")]
    return len(rates), model.restored, model.saved, rates, known


def grid(**choices):
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


# name -> the options to be tried
OPTIONS = {
    "EarlyStopping": grid(
        mode=("min", "max"), patience=(0, 1, 3), min_delta=(0, 0.25), baseline=(None, 0.5, -9.0, 9.0),
        start_from_epoch=(0, 2), restore_best_weights=(True,),
    ) + grid(mode=("min",), patience=(2,), baseline=(None, 0.5), restore_best_weights=(False,)),
    "ModelCheckpoint": grid(
        filepath=("m.keras",), mode=("min", "max"), save_best_only=(True, False), initial_value_threshold=(None, 0.5),
    ),
    "ReduceLROnPlateau": grid(
        mode=("min", "max"), patience=(0, 1, 2), min_delta=(0, 0.25), cooldown=(0, 2), min_lr=(0.0, 0.2), factor=(0.5,),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_random_numbers_are_watched_alike(name, monkeypatch):
    monkeypatch.setattr("tapegrad.models.monitors.check_name", lambda *given: None)
    monkeypatch.setattr("tapegrad.models.model_file.check_savable", lambda model: None)
    generator = np.random.default_rng(0)
    for options in OPTIONS[name]:
        for _ in range(8):
            # Eighths, so that float32, which Keras compares in, has ties where float64 has them.
            values = (generator.integers(-8, 9, size=9) / 8).tolist()
            # Keras stays with a NaN that is the first it looks at; here a number is better.
            if generator.random() < 0.25:
                values[generator.integers(3, 9)] = float("nan")
            ours, theirs = (run(getattr(of, name)(**options), values) for of in (models, keras.callbacks))
            assert ours == theirs, (options, values)


@pytest.mark.filterwarnings("ignore:.*val_loss:UserWarning")  # Keras's, of an epoch without it
@pytest.mark.parametrize("name", ["EarlyStopping", "ReduceLROnPlateau"])
def test_epochs_without_validation_are_left_out_alike(name):
    """As validation_freq leaves some out."""
    generator = np.random.default_rng(0)
    for options in OPTIONS[name]:
        values = [
            float(v) if generator.random() < 0.6 else None for v in generator.integers(-8, 9, size=12) / 8
        ]
        ours, theirs = (run(getattr(of, name)(**options), values) for of in (models, keras.callbacks))
        assert ours == theirs, (options, values)


def test_only_the_best_of_the_validated_epochs_are_saved(monkeypatch):
    """Keras saves every epoch without validation, too."""
    monkeypatch.setattr("tapegrad.models.monitors.check_name", lambda *given: None)
    monkeypatch.setattr("tapegrad.models.model_file.check_savable", lambda model: None)
    callback = models.ModelCheckpoint("m", mode="min", save_best_only=True)
    assert run(callback, [None, 3.0, None, 2.0, 4.0, None])[2] == [1, 3]
