"""A warning names the line of the user's program, not one of tapegrad's files."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tapegrad import models, nn

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")


def fit(model: Any, *arguments: Any, **options: Any) -> object:
    return model.fit(*arguments, verbose=0, **options)


def network(*layers: Any, loss: str = "mse") -> models.Sequential:
    model = models.Sequential(layers)
    model.compile("sgd", loss)
    return model


CASES: dict[str, Callable[[], object]] = {
    "a logistic regression": lambda: models.LogisticRegression(max_iter=1).fit(X, Y),
    "a support vector machine": lambda: models.SVC(gamma=1e9).fit(X, Y),
    "a loss that does not fit": lambda: fit(
        network(nn.Dense(1, "softmax", in_features=3), loss="binary_crossentropy"), X, Y, epochs=1
    ),
    "batches that end": lambda: fit(
        network(nn.Dense(1, in_features=3)), iter([(X, X[:, :1])]), epochs=2, steps_per_epoch=3
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_warning_names_the_users_line(case: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        CASES[case]()
    assert caught, case
    assert {w.filename for w in caught} == {__file__}, [(w.filename, str(w.message)) for w in caught]
