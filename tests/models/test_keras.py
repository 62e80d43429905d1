"""The same training in Keras: equal weights, equal batches, equal curves."""

import importlib.util
import inspect
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.data.table import FEATURES, breast_cancer
from tapegrad.models import Sequential

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def keras():
    import keras

    keras.config.disable_traceback_filtering()
    return keras


@pytest.fixture(scope="module")
def data():
    """Standardized, and shuffled once: fit takes the rows as they come, so that both see the same batches."""
    table = breast_cancer()
    x = np.array([table.columns[name].cells for name in FEATURES], dtype=np.float64).T
    y = np.array([cell == "benign" for cell in table.columns["diagnosis"].cells], dtype=np.int64)
    order = np.random.default_rng(0).permutation(len(x))
    return ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)[order], y[order]


# name: hidden widths, outputs, last activation, loss, metrics, targets of y, options of fit
ROWS = {
    "the article": ((64, 32), 1, "sigmoid", "binary_crossentropy", ["accuracy"], lambda x, y: y, {}),
    "precision, recall": (
        (16,),
        1,
        "sigmoid",
        "binary_crossentropy",
        ["precision", "recall"],
        lambda x, y: y,
        {},
    ),
    "class numbers": (
        (16,),
        3,
        "softmax",
        "sparse_categorical_crossentropy",
        ["accuracy"],
        lambda x, y: y + (x[:, 0] > 1),
        {},
    ),
    "one-hot": (
        (16,),
        3,
        "softmax",
        "categorical_crossentropy",
        ["accuracy"],
        lambda x, y: np.eye(3, dtype=np.float32)[y + (x[:, 0] > 1)],
        {},
    ),
    "regression": ((16,), 1, None, "mse", ["mae"], lambda x, y: np.sin(x[:, 0]), {}),
    "class_weight": (
        (16,),
        1,
        "sigmoid",
        "binary_crossentropy",
        ["accuracy"],
        lambda x, y: y,
        {"class_weight": {0: 3.0, 1: 0.5}},
    ),
    "sample_weight": (
        (16,),
        1,
        "sigmoid",
        "binary_crossentropy",
        [],
        lambda x, y: y,
        {"sample_weight": np.linspace(0.1, 2.0, 569, dtype=np.float32)},
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_curves_are_those_of_keras(keras, data, row):
    hidden, outputs, last, loss, metrics, targets, options = ROWS[row]
    x, y = data[0], targets(*data)
    tg.manual_seed(0)
    ours = Sequential(*(nn.Dense(n, "relu") for n in hidden), nn.Dense(outputs, last))
    ours.build((30,))
    ours.compile(optim.Adam(), loss, metrics)
    theirs = keras.Sequential(
        [
            keras.Input((30,)),
            *(keras.layers.Dense(n, "relu") for n in hidden),
            keras.layers.Dense(outputs, last),
        ]
    )
    theirs.compile(keras.optimizers.Adam(), loss, metrics=metrics)
    theirs.set_weights([p.numpy() for p in ours.parameters()])

    epochs = 10 if row == "the article" else 3
    fit = {
        "epochs": epochs,
        "batch_size": 32,
        "validation_split": 0.2,
        "shuffle": False,
        "verbose": 0,
        **options,
    }
    a, b = ours.fit(x, y, **fit).history, theirs.fit(x, y, **fit).history
    assert set(a) == set(b)
    for name in a:
        assert np.abs(np.subtract(a[name], b[name])).max() <= 1e-5, name
    assert np.abs(ours.predict(x) - theirs.predict(x, verbose=0)).max() <= 1e-4
    assert np.allclose(ours.evaluate(x, y, verbose=0), theirs.evaluate(x, y, verbose=0), atol=1e-5)


def test_the_page_names_all_of_keras(keras):
    """Methods, callbacks and moments with their arguments, as docs/make_keras.py has them."""
    path = Path(__file__).resolve().parents[2] / "docs" / "make_keras.py"
    spec = importlib.util.spec_from_file_location("make_keras", path)
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)

    def arguments(function):
        return [p for p in inspect.signature(function).parameters if p not in ("self", "kwargs")]

    for name, ours in page.METHODS.items():
        assert ours == arguments(getattr(keras.Sequential, name)), name
    for name, ours in page.CALLBACKS.items():
        assert ours == arguments(getattr(keras.callbacks, name).__init__), name
    named = {*page.CALLBACKS, *page.NO_CALLBACK, "Callback", "CallbackList", "History"}
    assert named == {name for name in dir(keras.callbacks) if name[0].isupper()}
    theirs = {name for name in dir(keras.callbacks.Callback) if name.startswith("on_")}
    assert theirs == {*page.MOMENTS}
    for name, ours in page.MOMENTS.items():
        assert list(ours) == arguments(getattr(keras.callbacks.Callback, name)), name


class Pinball:
    def __init__(self, library):
        self.library = library

    def __call__(self, y_true, y_pred):
        e = y_true - y_pred
        return self.library.maximum(0.9 * e, -0.1 * e)


def error(y_true, y_pred):
    return abs(y_true - y_pred)


def test_a_loss_written_for_keras_trains_the_same(keras, data):
    """Per row, with weights of rows; only the library's name differs."""
    x, y = data[0], np.sin(data[0][:, :1])
    ours = Sequential(nn.Dense(1, in_features=30))
    theirs = keras.Sequential([keras.Input((30,)), keras.layers.Dense(1)])
    ours.compile(optim.SGD(lr=0.1), Pinball(tg), metrics=[error])
    theirs.compile(keras.optimizers.SGD(0.1), Pinball(keras.ops), metrics=[error])
    theirs.set_weights(ours.get_weights())
    fit = {"epochs": 3, "shuffle": False, "verbose": 0, "sample_weight": np.linspace(0, 2, len(x), dtype="f")}
    a, b = ours.fit(x, y, **fit), theirs.fit(x, y, **fit).history
    assert set(a) == set(b)
    for name in a:
        assert np.abs(np.subtract(a[name], b[name])).max() <= 1e-5, name
