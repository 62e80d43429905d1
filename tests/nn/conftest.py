"""What the tests of nn share: Keras as a reference, the strict backend, and a start from the same seed each time."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

sys.path.insert(0, str(Path(__file__).parent))  # for the tables of rows: `nn` itself is the name of a room


@pytest.fixture(autouse=True)
def _seed() -> None:
    tg.manual_seed(0)


@pytest.fixture(scope="session")
def reference() -> SimpleNamespace:
    """TensorFlow, Keras, and `run(f, cotangent, *arrays)`: the value of f and its gradient for each array."""
    import keras
    import tensorflow as tf

    def run(
        f: Callable[..., Any], cotangent: Any, *arrays: np.ndarray
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        xs = [tf.constant(a) for a in arrays]
        with tf.GradientTape() as tape:
            tape.watch(xs)
            y = f(*xs)
        gradients = tape.gradient(
            y, xs, output_gradients=None if cotangent is None else tf.constant(cotangent, y.dtype)
        )
        return y.numpy(), [g.numpy() for g in gradients]

    return SimpleNamespace(tf=tf, keras=keras, run=run)


@pytest.fixture(scope="session")
def run() -> Callable[..., Any]:
    """`run(f, cotangent, *arrays, device=None)`: the value of f and its gradient for each array, as NumPy arrays."""

    def value_and_gradients(
        f: Callable[..., Any], cotangent: Any, *arrays: np.ndarray, device: str | None = None
    ) -> Any:
        xs = [tg.tensor(a, device=device, requires_grad=True) for a in arrays]
        y = f(*xs)
        w = np.ones(y.shape) if cotangent is None else cotangent
        y.backward(tg.tensor(np.asarray(w, str(tg.autograd.dtypes.name_of(y.dtype))), device=device))
        return y.numpy(), [x.grad.numpy() for x in xs]

    return value_and_gradients
