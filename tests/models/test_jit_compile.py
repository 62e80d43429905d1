"""`compile(jit_compile=…)`: `fit` with a recorded step is `fit`, bit for bit under the NumPy emitter."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.models import Sequential
from tapegrad.nn import Dense, Dropout

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 5)).astype("float32")
LABELS = RNG.integers(0, 3, 70)


def fitted(
    jit_compile: Any, loss: str, units: int, activation: str, y: Any, **options: Any
) -> tuple[Any, list[bytes]]:
    tg.manual_seed(0)
    model = Sequential()
    model.add(Dense(8, activation="relu", input_shape=(5,)))
    model.add(Dropout(0.3))
    model.add(Dense(units, activation=activation))
    model.compile("adam", loss, metrics=["accuracy"], jit_compile=jit_compile)
    history = model.fit(X, y, epochs=3, batch_size=16, validation_split=0.2, verbose=0, **options)
    return history.history, [p.numpy().tobytes() for p in model.parameters()]


@pytest.mark.parametrize(
    "options", [{}, {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}}], ids=["plain", "weighted"]
)
@pytest.mark.parametrize(
    ("loss", "units", "activation", "y"),
    [
        ("binary_crossentropy", 1, "sigmoid", LABELS % 2),
        ("sparse_categorical_crossentropy", 3, "softmax", LABELS),
        ("mse", 1, "linear", X[:, 0]),
    ],
)
def test_the_same_history_and_weights(loss: str, units: int, activation: str, y: Any, options: Any) -> None:
    if loss == "mse" and options:
        options = {"sample_weight": np.linspace(0.5, 2.0, 70)}
    assert fitted("numpy", loss, units, activation, y, **options) == fitted(
        False, loss, units, activation, y, **options
    )


def test_an_unknown_emitter_is_refused() -> None:
    with pytest.raises(ValueError, match="'auto', 'numpy' or 'numba', got 'xla'"):
        fitted("xla", "mse", 1, "linear", X[:, 0])
