"""A fit that a callback of another one of the same model calls leaves that one as it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.models import EarlyStopping, LambdaCallback, ModelCheckpoint, Sequential

X = np.random.default_rng(1).normal(size=(40, 4)).astype("float32")
Y = X[:, :1] * 3


class Stepped(Sequential):
    """With a step of its own, whose numbers are those of the epoch so far."""

    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


def model(kind: type[Sequential] = Sequential) -> Sequential:
    tg.manual_seed(0)
    made = kind([nn.Dense(3, "tanh", input_shape=(4,)), nn.Dense(1)])
    made.compile("sgd", "mse", ["mae"])
    return made


def tuned(made: Sequential, **options: Any) -> Any:
    return made.fit(X[:8], Y[:8], verbose=0, **options)


@pytest.mark.parametrize("kind", [Sequential, Stepped])
@pytest.mark.parametrize("moment", ["on_epoch_begin", "on_epoch_end", "on_train_batch_end", "on_test_end"])
def test_the_history_is_of_the_outer_fit(moment: str, kind: type[Sequential]) -> None:
    made, inner, shown = model(kind), [], []
    call = LambdaCallback(**{moment: lambda *args: inner.append(tuned(made, epochs=3))})
    note = LambdaCallback(on_epoch_end=lambda epoch, logs: shown.append(dict(logs)))
    history = made.fit(X, Y, epochs=4, verbose=0, validation_split=0.2, callbacks=[note, call])
    assert history.epoch == [0, 1, 2, 3] and made.history is history
    assert [dict(zip(history, row, strict=True)) for row in zip(*history.values(), strict=True)] == shown
    assert inner and all(one.epoch == [0, 1, 2] and list(one) == ["loss", "mae"] for one in inner)


def test_a_step_of_ones_own_counts_all_rows_of_the_outer_epoch() -> None:
    """A learning rate of 0: the numbers are those of the rows, whoever trains in between."""
    made = model(Stepped)
    made.optimizer.lr = 0.0
    call = LambdaCallback(on_train_batch_begin=lambda batch, logs: tuned(made) if batch == 1 else None)
    history = made.fit(X, Y, batch_size=8, verbose=0, callbacks=call)
    np.testing.assert_allclose(history["loss"], made.evaluate(X, Y, verbose=0)[0], rtol=1e-6)


@pytest.mark.parametrize(("stops", "epochs"), [("inner", 4), ("outer", 2)])
def test_each_fit_ends_when_its_own_callbacks_say_so(stops: str, epochs: int) -> None:
    made, seen = model(), []

    def end(epoch: int, logs: Any) -> None:
        made.stop_training = stops == "outer" and epoch == 1
        inner = EarlyStopping("loss", min_delta=1e9) if stops == "inner" else None
        seen.append(len(tuned(made, epochs=3, callbacks=inner).epoch))

    history = made.fit(X, Y, epochs=4, verbose=0, callbacks=LambdaCallback(on_epoch_end=end))
    assert len(history.epoch) == epochs and seen == [2 if stops == "inner" else 3] * epochs


def test_a_file_of_the_outer_fit_keeps_its_callbacks_and_its_seed(tmp_path: Path) -> None:
    def saved(name: str, nested: bool) -> bytes:
        made = model()
        call = LambdaCallback(on_epoch_end=lambda *args: tuned(made, epochs=0, seed=7) if nested else None)
        callbacks = [call, EarlyStopping("loss"), ModelCheckpoint(tmp_path / name)]
        made.fit(X, Y, epochs=2, verbose=0, seed=3, callbacks=callbacks)
        return (tmp_path / name).read_bytes()

    assert saved("plain", False) == saved("nested", True)
