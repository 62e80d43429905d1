"""What stands in place of a batch in what `fit`, `evaluate`, `predict` and the validation are given."""

import re

import numpy as np
import pytest

from tapegrad import nn
from tapegrad.models import MLPRegressor, NeuralRegressor, Ridge, Sequential

X = np.arange(12, dtype="float32").reshape(4, 3)
Y = X[:, :1]
PAIR = (X, Y)


class Indexed:
    """Batches by number and nothing else."""

    def __init__(self, batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, number):
        return self.batches[number]


FORMS = {"list": list, "generator": iter, "indexed": Indexed}
USES = {
    "fit": lambda model, batches: model.fit(batches, verbose=0),
    "fit, with steps": lambda model, batches: model.fit(batches, steps_per_epoch=3, verbose=0),
    "evaluate": lambda model, batches: model.evaluate(batches, verbose=0),
    "validation": lambda model, batches: model.fit(X, Y, validation_data=batches, verbose=0),
}
# what is no batch -> what the message calls it
WRONG = {
    "None": (None, "None"),
    "one part": ((X,), "1 parts"),
    "four parts": ((X, Y, Y[:, 0], Y), "4 parts"),
    "an array": (X, "ndarray"),
}


def model():
    made = Sequential([nn.Dense(1, in_features=3)])
    made.compile("sgd", "mse")
    return made


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("use", USES)
def test_what_is_no_batch_raises_and_ends_no_pass(use, form, wrong):
    given, called = WRONG[wrong]
    words = f"x: expected batches (x, y) or (x, y, sample_weight), got in place of batch 1 {called}"
    with pytest.raises(ValueError, match=re.escape(words)):
        USES[use](model(), FORMS[form]([PAIR, given, PAIR]))


@pytest.mark.parametrize("form", ["generator", "indexed"])
def test_predict_takes_none_for_no_batch_either(form):
    with pytest.raises(ValueError, match="x is missing"):
        model().predict(FORMS[form]([X, None, X]))


@pytest.mark.parametrize("form", ["generator", "indexed"])
@pytest.mark.parametrize("use", USES)
def test_the_first_may_be_none_too(use, form):
    with pytest.raises(ValueError, match="in place of batch 0 None"):
        USES[use](model(), FORMS[form]([None, PAIR]))


LEFT = {
    "fit": lambda model, batches: model.fit(batches, steps_per_epoch=2, verbose=0),
    "evaluate": lambda model, batches: model.evaluate(batches, steps=2, verbose=0),
    "predict": lambda model, batches: model.predict(batches, steps=2),
    "validation": lambda model, batches: model.fit(
        X, Y, validation_data=batches, validation_steps=2, verbose=0
    ),
}


@pytest.mark.parametrize("use", LEFT)
def test_a_generator_keeps_what_no_step_asked_for(use):
    batches = iter([PAIR, PAIR, PAIR, PAIR])
    LEFT[use](model(), batches)
    assert len(list(batches)) == 2


LENGTHS = "the nested lists are not of equal lengths: "
BATCHES = "a list of batches [(x, y), …] brings them along, leave y out"
# what stands in place of an array -> what the message says
UNEQUAL = {
    "batches": ([PAIR, PAIR], LENGTHS + "x[0][0] the shape (4, 3) and x[0][1] the shape (4, 1). If", BATCHES),
    "a pair": (
        PAIR,
        LENGTHS + "x[0] the shape (4, 3) and x[1] the shape (4, 1)",
        "a tuple (x, y) brings them",
    ),
    "rows": ([[1, 2], [3], [4, 5], [6]], LENGTHS + "x[0] the shape (2,) and x[1] the shape (1,)", ""),
    "deep": (
        [[[1, 2], [3, 4]], [[5, 6], [7]]],
        LENGTHS + "x[1][0] the shape (2,) and x[1][1] the shape (1,)",
        "",
    ),
    "a number among rows": ([[1, 2], 3], LENGTHS + "x[0] the shape (2,) and x[1] the shape ()", ""),
}
TAKE_ROWS = {
    "fit": lambda x: model().fit(x, Y, verbose=0),
    "fit, layers that wait": lambda x: waiting().fit(x, Y, verbose=0),
    "evaluate": lambda x: waiting().evaluate(x, Y, verbose=0),
    "train_on_batch": lambda x: waiting().train_on_batch(x, Y),
    "Ridge": lambda x: Ridge().fit(x, Y),
    "MLPRegressor": lambda x: MLPRegressor().fit(x, Y[:, 0]),
    "NeuralRegressor": lambda x: NeuralRegressor(nn.Dense(1)).fit(x, Y),
    "predict": lambda x: Ridge().fit(X, Y).predict(x),
}


def waiting():
    made = Sequential([nn.Dense(1)])
    made.compile("sgd", "mse")
    return made


@pytest.mark.parametrize("name", UNEQUAL)
@pytest.mark.parametrize("use", TAKE_ROWS)
def test_lists_of_unequal_parts_name_the_argument_and_the_part(use, name):
    given, *words = UNEQUAL[name]
    with pytest.raises(ValueError, match=r"^[xX]: ") as error:
        TAKE_ROWS[use](given)
    for word in words:
        assert word.lower() in str(error.value).lower()


def test_lists_of_unequal_targets_are_named():
    for fit in (model().fit, MLPRegressor().fit):
        with pytest.raises(ValueError, match=r"y: the nested lists .* y\[0\] the shape \(2,\) and y\[1\]"):
            fit(X, [[1, 2], [3], [4], [5]])
