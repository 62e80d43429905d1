"""Masked arrays of NumPy: refused by name where something is masked, wherever numbers are taken."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import tapegrad as tg
from tapegrad import data, nn
from tapegrad.data import metrics
from tapegrad.models import (
    SVC,
    ElasticNet,
    Lasso,
    LinearRegression,
    LinearSVC,
    LinearSVR,
    LogisticRegression,
    MLPClassifier,
    MLPRegressor,
    NeuralClassifier,
    NeuralRegressor,
    Ridge,
    Sequential,
)

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = X[:, :1] * 2
CLASSES = (X[:, 0] > 0).astype("int64")


def masked(array: np.ndarray, some: bool = True) -> Any:
    """The array with its first number masked, or none."""
    mask = np.zeros(array.shape, bool)
    mask.flat[0] = some
    return np.ma.masked_array(array, mask)


def model() -> Sequential:
    made = Sequential([nn.Dense(1, input_shape=(3,))])
    made.compile("sgd", "mse")
    return made


ONES = tg.ones((40, 3))
# what takes the array
TAKEN: dict[str, Callable[[Any], Any]] = {
    "tensor": tg.tensor,
    "asarray": tg.asarray,
    "a list of rows": lambda x: tg.tensor([x[0], x[1]]),
    "lists of rows": lambda x: tg.tensor([[x[0], x[1]]]),
    "Parameter": nn.Parameter,
    "assign": lambda x: tg.zeros((40, 3)).assign(x),
    "an element set": lambda x: tg.zeros((40, 3)).__setitem__(slice(None), x),
    "an operator": lambda x: ONES + x,
    "a primitive": tg.exp,
    "a product": lambda x: tg.matmul(x, tg.ones((3, 2))),
    "a layer": lambda x: nn.Dense(2, in_features=3)(x),
    "a loss": lambda x: nn.losses.MeanSquaredError()(ONES, x),
    "fit": lambda x: model().fit(x, Y, verbose=0),
    "fit, targets": lambda x: model().fit(X, x[:, :1], verbose=0),
    "fit, weights of rows": lambda x: model().fit(X, Y, sample_weight=x[:, 0] ** 2, verbose=0),
    "fit, batches": lambda x: model().fit([(x, Y)], verbose=0),
    "fit, lists": lambda x: model().fit(list(x), Y, verbose=0),
    "fit, validation": lambda x: model().fit(X, Y, validation_data=(x, Y), verbose=0),
    "evaluate, targets": lambda x: model().evaluate(X, x[:, :1], verbose=0),
    "evaluate, weights of rows": lambda x: model().evaluate(X, Y, sample_weight=x[:, 0] ** 2, verbose=0),
    "evaluate": lambda x: model().evaluate(x, Y, verbose=0),
    "predict": lambda x: model().predict(x),
    "train_on_batch": lambda x: model().train_on_batch(x, Y),
    "a call": lambda x: model()(x),
    "Batches": lambda x: list(data.Batches(x, Y)),
    "DataLoader": lambda x: list(data.DataLoader(x, Y)),
    "DataLoader, samples": lambda x: list(data.DataLoader([(row, 0.0) for row in x])),
    "a sampler": lambda x: data.WeightedSampler(x[:, 0] ** 2),
    "a sampler of classes": lambda x: data.BalancedSampler(x[:, 0] > 0),
    "a metric": lambda x: metrics.get("mse")(x, X),
}
ESTIMATORS: dict[str, Callable[[], Any]] = {
    **{kind.__name__: kind for kind in (LinearRegression, Ridge, Lasso, ElasticNet, LinearSVR)},
    **{kind.__name__: kind for kind in (LogisticRegression, LinearSVC, SVC)},
    "MLPClassifier": lambda: MLPClassifier((2,), epochs=1),
    "MLPRegressor": lambda: MLPRegressor((2,), epochs=1),
    "NeuralClassifier": lambda: NeuralClassifier(nn.Linear(3, 2), max_epochs=1),
    "NeuralRegressor": lambda: NeuralRegressor(nn.Linear(3, 1), max_epochs=1),
}
SAID = "a masked array of NumPy with masked values"


@pytest.mark.parametrize("name", TAKEN)
def test_masked_numbers_are_refused(name: str) -> None:
    with pytest.raises(TypeError, match=SAID):
        TAKEN[name](masked(X))
    TAKEN[name](masked(X, some=False))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_refuse_them(name: str) -> None:
    make = ESTIMATORS[name]
    y = CLASSES if hasattr(make(), "classes_") or "C" in name or "Logistic" in name else Y[:, 0]
    for argument, arguments in {"X": (masked(X), y), "y": (X, masked(y))}.items():
        with pytest.raises(TypeError, match=f"{argument}: {SAID}"):
            make().fit(*arguments)
    fitted = make().fit(masked(X, some=False), masked(y, some=False))
    with pytest.raises(TypeError, match=f"X: {SAID}"):
        fitted.predict(masked(X))
    for argument, arguments in {"y": (X, masked(y)), "sample_weight": (X, y, masked(np.ones(40)))}.items():
        with pytest.raises(TypeError, match=f"{argument}: {SAID}"):
            fitted.score(*arguments)
    unmasked = fitted.score(X, masked(y, some=False), masked(np.ones(40), some=False))
    assert unmasked == fitted.score(X, y, np.ones(40))
    if "Neural" not in name:
        with pytest.raises(TypeError, match=f"sample_weight: {SAID}"):
            make().fit(X, y, sample_weight=masked(np.ones(40)))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_refuse_sparse_targets_and_weights(name: str) -> None:
    """Linear regressions ended in NumPy's error of a sequence."""
    y = CLASSES if "C" in name or "Logistic" in name else Y[:, 0]
    sparse = csr_matrix(np.ones((40, 1)))
    fitted = ESTIMATORS[name]().fit(X, y)
    for act in (ESTIMATORS[name]().fit, fitted.score):
        with pytest.raises(
            TypeError, match=r"y: expected an array, got a sparse csr_matrix: give y.toarray\(\)"
        ):
            act(X, sparse)
    with pytest.raises(TypeError, match="sample_weight: expected an array, got a sparse"):
        fitted.score(X, y, sparse)


def test_a_factor_of_a_class_is_refused() -> None:
    made = Sequential([nn.Dense(1, "sigmoid", input_shape=(3,))])
    made.compile("sgd", "binary_crossentropy")
    with pytest.raises(TypeError, match=f"class_weight: {SAID}"):
        made.fit(X, CLASSES, class_weight=masked(np.ones(2)), verbose=0)
