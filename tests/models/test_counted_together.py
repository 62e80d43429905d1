"""Metrics that count see several batches of a fit at once: with the numbers that each batch by itself gives."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.models import LambdaCallback, Sequential
from tapegrad.models.progress import COUNTED_TOGETHER
from tapegrad.nn import Dense

pytestmark = pytest.mark.usefixtures("soon")

ROWS = COUNTED_TOGETHER + 200
# loss, outputs, activation, metrics
KINDS = {
    "two classes": ("binary_crossentropy", 1, "sigmoid", ["accuracy", "mse", "auc"]),
    "logits": ("binary_cross_entropy_with_logits", 1, None, ["binary_accuracy", "f1"]),
    "class numbers": ("sparse_categorical_crossentropy", 4, "softmax", ["accuracy", "top_k_accuracy"]),
    "columns": ("categorical_crossentropy", 4, "softmax", ["accuracy", "mae"]),
}


def data(loss: str, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    r = np.random.default_rng(0)
    x, classes = r.normal(size=(ROWS, 5)).astype("float32"), r.integers(0, max(outputs, 2), ROWS)
    return x, np.eye(outputs, dtype="float32")[classes] if loss.startswith("categorical") else classes


def model_for(kind: str) -> Sequential:
    loss, outputs, activation, metrics = KINDS[kind]
    tg.manual_seed(0)
    model = Sequential(Dense(8, "tanh"), Dense(outputs, activation))
    metrics = [tg.data.metrics.TopKAccuracy(k=2) if m == "top_k_accuracy" else m for m in metrics]
    model.build((5,))
    model.compile("adam", loss, metrics=metrics)
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_size", [7, 64, ROWS])
def test_as_one_batch_after_the_other(kind: str, batch_size: int) -> None:
    x, y = data(*KINDS[kind][:2])
    # Who hears of each batch has the metrics of each batch.
    told = LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    together, one_by_one = (
        model_for(kind).fit(x, y, epochs=3, batch_size=batch_size, verbose=0, callbacks=callbacks).history
        for callbacks in ([], [told])
    )
    assert together == one_by_one


@pytest.mark.parametrize("made", [np.asarray, tg.tensor])
def test_batches_that_come_in_the_same_arrays_are_each_counted(made: Callable[..., Any]) -> None:
    x, y = data(*KINDS["two classes"][:2])
    x, y = x[:640], y[:640]

    def in_the_same_arrays() -> Iterator[tuple[Any, Any]]:
        rows, targets = np.empty((64, 5), "float32"), np.empty((64, 1), "float32")
        for start in range(0, 640, 64):
            rows[:], targets[:, 0] = x[start : start + 64], y[start : start + 64]
            yield rows, targets

    filled, arrays = model_for("two classes"), model_for("two classes")
    for _ in range(3):
        from_filled = filled.fit(in_the_same_arrays(), verbose=0)
        from_arrays = arrays.fit(x, y, batch_size=64, shuffle=False, verbose=0)
        assert from_filled.history == from_arrays.history


def test_batches_of_rows_of_different_shapes_are_counted() -> None:
    x, y = data(*KINDS["two classes"][:2])
    lengths = [2, 3, 4] * 6

    def of_all_lengths() -> Iterator[tuple[Any, Any]]:
        for n in lengths:
            yield x[: 8 * n].reshape(8, n, 5), y[: 8 * n].reshape(8, n, 1)

    model = model_for("two classes")
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(of_all_lengths(), verbose=0)
    assert model.stats()["train"]["compiled"] > 0
    assert 0 < history["accuracy"][0] < 1


def test_a_wrong_target_is_told_though_it_comes_late() -> None:
    x, y = data(*KINDS["class numbers"][:2])
    model = model_for("class numbers")
    model.compile("adam", lambda y_true, y_pred: (y_pred**2).mean(), metrics=["sparse_categorical_accuracy"])
    wrong = y.copy()
    wrong[-3] = 9
    model.fit(x, y, batch_size=64, epochs=3, verbose=0)
    with pytest.raises(ValueError, match="class numbers must be from 0 to 3"):
        model.fit(x, wrong, batch_size=64, shuffle=False, verbose=0)
