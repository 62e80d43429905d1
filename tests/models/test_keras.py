"""The same training in Keras: equal weights, equal batches, equal curves."""

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
