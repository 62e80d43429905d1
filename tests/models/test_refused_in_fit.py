"""What `fit`, `evaluate` and their like refuse, and what they say to write instead."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.models import Sequential

X = np.random.default_rng(1).normal(size=(40, 4)).astype("float32")
Y = X[:, :1] * 3


class Silent(Sequential):
    """With steps that measure nothing."""

    def train_step(self, data: Any) -> Any:
        return {}

    def test_step(self, data: Any) -> Any:
        return {}


def model(kind: type[Sequential] = Sequential) -> Sequential:
    made = kind([nn.Dense(2, input_shape=(4,)), nn.Dense(1)])
    made.compile("sgd", "mse")
    return made


WEIGHED: dict[str, Callable[[Sequential, Any], Any]] = {
    "fit": lambda m, w: m.fit(X, Y, sample_weight=w, verbose=0),
    "a tuple": lambda m, w: m.fit((X, Y, w), verbose=0),
    "batches": lambda m, w: m.fit([(X, Y, w)], verbose=0),
    "validation": lambda m, w: m.fit(X, Y, validation_data=(X, Y, w), verbose=0),
    "evaluate": lambda m, w: m.evaluate(X, Y, sample_weight=w, verbose=0),
    "train_on_batch": lambda m, w: m.train_on_batch(X, Y, w),
    "test_on_batch": lambda m, w: m.test_on_batch(X, Y, w),
}


@pytest.mark.parametrize("weight", [2, 2.0, np.float32(2), np.array(2), tg.tensor(2.0)], ids=repr)
@pytest.mark.parametrize("name", WEIGHED)
def test_one_number_is_no_weight_of_rows(name: str, weight: Any) -> None:
    said = (
        r"sample_weight: expected one number per row, \(40,\), got the single number 2: .*np\.full\(40, 2\)"
    )
    with pytest.raises(ValueError, match=said):
        WEIGHED[name](model(), weight)


# what is called, the error, and what it says
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "frequency of no validation": (
        lambda: model().fit(X, Y, validation_freq=2),
        "fit: validation_freq=2: there is no validation: give validation_split or validation_data",
    ),
    "epochs of no validation": (
        lambda: model().fit(X, Y, epochs=3, validation_freq=[1, 3]),
        r"fit: validation_freq=\[1, 3\]: there is no validation",
    ),
    "steps of no validation": (
        lambda: model().fit([(X, Y)], validation_steps=2),
        "fit: validation_steps=2: there is no validation",
    ),
    "rows of no validation": (
        lambda: model().fit(X, Y, validation_batch_size=2),
        "fit: validation_batch_size=2: there is no validation",
    ),
    "a step without numbers": (
        lambda: model(Silent).train_on_batch(X, Y),
        "train_step returned no numbers: return a dict of them by name, such as {'loss': loss}",
    ),
    "a test step without numbers": (
        lambda: model(Silent).test_on_batch(X, Y),
        "test_step returned no numbers",
    ),
    "an evaluation without numbers": (
        lambda: model(Silent).evaluate(X, Y, verbose=0),
        "test_step returned no numbers",
    ),
    "a tuple of batches": (
        lambda: model().fit(((X, Y), (X, Y))),
        r"fit: x: a tuple of 2 is read as \(x, y\).* give batches as a list of tuples, \[\(x, y\), …\]",
    ),
    "batches that are lists": (
        lambda: model().fit([[X, Y], [X, Y]]),
        r"fit: x: a list of lists is read as rows: give batches as tuples, \[\(x, y\), …\]",
    ),
    "an evaluation of lists": (
        lambda: model().evaluate([[X, Y], [X, Y]], verbose=0),
        "evaluate: x: a list of lists is read as rows",
    ),
    "validation batches that are lists": (
        lambda: model().fit(X, Y, validation_data=[[X, Y], [X, Y]]),
        "validation_data: a list of 2 is read as",
    ),
    "a tuple of validation batches": (
        lambda: model().fit(X, Y, validation_data=((X, Y), (X, Y))),
        "validation_data: a tuple of 2 is read as",
    ),
    "a seed below 0": (lambda: model().fit(X, Y, seed=-1), "^fit: seed: expected an integer from 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_nothing_says_what_to_write(name: str) -> None:
    act, said = REFUSED[name]
    with pytest.raises(ValueError, match=said):
        act()


def test_steps_without_numbers_train() -> None:
    """Where numbers are asked for by name, there are none."""
    made = model(Silent)
    assert made.fit(X, Y, verbose=0).epoch == [0] and made.train_on_batch(X, Y, return_dict=True) == {}


@pytest.mark.parametrize("nothing", [[], (), np.zeros((0, 4)), np.zeros(0)], ids=repr)
def test_no_rows_have_no_outputs(nothing: Any) -> None:
    assert model().predict(nothing).shape == (0, 1)


def test_rows_may_be_lists_and_tuples() -> None:
    made, rows = model(), X[:3].tolist()
    made.fit(tuple(map(tuple, rows)), Y[:3].tolist(), verbose=0)
    made.fit((rows, Y[:3].tolist()), verbose=0, validation_data=[rows, Y[:3]])
    made.fit((list(X[:3]), list(Y[:3])), verbose=0)
    assert made.predict(list(X[:3])).shape == (3, 1)
