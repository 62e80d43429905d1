"""A model in several threads: predictions next to each other, and none while one of them trains it."""

from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import tapegrad as tg
from tapegrad import nn
from tapegrad.models import LambdaCallback, MLPRegressor, NeuralRegressor, Sequential
from tapegrad.models.in_mode import USES, Use, keep_own_uses
from tapegrad.models.one_fit import FITS as FITS_THAT_RUN
from tapegrad.models.one_fit import keep_own_fits

X = np.random.default_rng(1).normal(size=(40, 4)).astype("float32")
Y = X[:, :1] * 3


def model() -> Sequential:
    tg.manual_seed(0)
    made = Sequential(
        [nn.Dense(8, "relu", input_shape=(4,)), nn.Dropout(0.5), nn.BatchNormalization(), nn.Dense(1)]
    )
    made.compile("sgd", "mse")
    return made


def elsewhere(act: Callable[[], Any]) -> Any:
    """What a call in another thread returns, or its exception."""
    came: list[Any] = []

    def run() -> None:
        try:
            came.append(act())
        except Exception as error:
            came.append(error)

    thread = Thread(target=run)
    thread.start()
    thread.join(20)
    return came[0]


CALLS: dict[str, Callable[[Sequential], Any]] = {
    "predict": lambda m: m.predict(X),
    "predict_on_batch": lambda m: m.predict_on_batch(X),
    "evaluate": lambda m: m.evaluate(X, Y, verbose=0),
    "test_on_batch": lambda m: m.test_on_batch(X, Y),
    "a call in evaluation": lambda m: m(X, training=False),
    "fit": lambda m: m.fit(X, Y, verbose=0),
    "train_on_batch": lambda m: m.train_on_batch(X, Y),
    "a model of some of its layers": lambda m: Sequential(m.layers[:2]).predict(X),
}


@pytest.mark.parametrize("moment", ["on_train_batch_end", "on_test_batch_end", "on_epoch_end"])
@pytest.mark.parametrize("name", CALLS)
def test_a_model_in_fit_is_refused_in_other_threads(name: str, moment: str) -> None:
    alone, made, came = model(), model(), []
    disturb = LambdaCallback(**{moment: lambda *args: came.append(elsewhere(lambda: CALLS[name](made)))})
    for one, callback in ((alone, None), (made, disturb)):
        one.fit(X, Y, epochs=2, verbose=0, validation_split=0.2, seed=1, callbacks=callback)
    assert came and all(type(error) is RuntimeError for error in came)
    assert "another thread trains these layers now" in str(came[0])
    assert all((a == b).all() for a, b in zip(alone.get_weights(), made.get_weights(), strict=True))
    assert made.history is not None and made.history.epoch == [0, 1] and made.training and not USES
    assert np.shape(elsewhere(lambda: made.predict(X))) == (40, 1)


# estimators that ask a callback at the end of a batch, or of an epoch, and its moment
ESTIMATORS: dict[str, tuple[Callable[..., Any], str]] = {
    "MLPRegressor": (lambda **o: MLPRegressor((4,), dropout=0.5, epochs=2, **o), "on_train_batch_end"),
    "with rows held out": (
        lambda **o: MLPRegressor((4,), epochs=2, early_stopping=True, **o),
        "on_epoch_end",
    ),
    "with lbfgs": (lambda **o: MLPRegressor((4,), solver="lbfgs", max_iter=20, tol=1.0, **o), "on_epoch_end"),
    "NeuralRegressor": (
        lambda **o: NeuralRegressor(
            lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 1)), max_epochs=2, **o
        ),
        "on_train_batch_end",
    ),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_in_fit_is_refused_in_other_threads(name: str) -> None:
    make, moment = ESTIMATORS[name]
    came: list[Any] = []
    disturb = LambdaCallback(**{moment: lambda *args: came.append(elsewhere(lambda: made.predict(X)))})
    alone, made = make(random_state=0), make(random_state=0, callbacks=disturb)
    alone.fit(X, Y[:, 0])
    made.fit(X, Y[:, 0])
    assert came and all(type(error) is RuntimeError for error in came)
    assert "another thread trains these layers now" in str(came[0])
    assert (alone.predict(X) == made.predict(X)).all() and not USES
    assert np.shape(elsewhere(lambda: made.predict(X))) == (40,)


def here(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except RuntimeError as error:
        return error


# what a second fit of the estimator is called by
FITS: dict[str, Callable[[Any], Any]] = {
    "fit": lambda made: made.fit(X, -Y[:, 0]),
    "fit by warm_start": lambda made: made.set_params(warm_start=True).fit(X, -Y[:, 0]),
    "partial_fit": lambda made: made.partial_fit(X, -Y[:, 0]),
}
WHERE: dict[str, tuple[Callable[[Callable[[], Any]], Any], str]] = {
    "another thread": (elsewhere, "another thread fits this estimator now"),
    "a callback": (here, "a callback calls it in a fit of this estimator"),
}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    ("name", "call"),
    [(n, c) for n, (make, _) in ESTIMATORS.items() for c in FITS if hasattr(make(), c.partition(" ")[0])],
)
def test_a_second_fit_of_an_estimator_is_refused(name: str, call: str, where: str) -> None:
    make, _ = ESTIMATORS[name]
    run, said = WHERE[where]
    came: list[Any] = []
    disturb = LambdaCallback(on_epoch_end=lambda *args: came.append(run(lambda: FITS[call](made))))
    alone, made = make(random_state=0).fit(X, Y[:, 0]), make(random_state=0, callbacks=disturb)
    made.fit(X, Y[:, 0])
    assert came and all(type(error) is RuntimeError for error in came)
    assert said in str(came[0]) and "sklearn.base.clone(estimator)" in str(came[0])
    assert (alone.predict(X) == made.predict(X)).all() and made.history_ == alone.history_
    made.set_params(callbacks=None, warm_start=False)
    assert not FITS_THAT_RUN and (made.fit(X, -Y[:, 0]).predict(X) != alone.predict(X)).any()


def test_a_fit_that_raises_is_over() -> None:
    def stop(*args: Any) -> None:
        raise OSError("stop")

    made = MLPRegressor((4,), epochs=2, callbacks=LambdaCallback(on_epoch_end=stop))
    with pytest.raises(OSError, match="stop"):
        made.fit(X, Y[:, 0])
    assert not FITS_THAT_RUN and made.set_params(callbacks=None).fit(X, Y[:, 0]).n_iter_ == 2


def test_a_callback_may_fit_a_copy() -> None:
    made = MLPRegressor((4,), epochs=2, random_state=0)
    other = clone(made)
    made.set_params(callbacks=LambdaCallback(on_epoch_end=lambda *args: other.fit(X, Y[:, 0])))
    made.fit(X, Y[:, 0])
    assert (made.predict(X) == other.predict(X)).all()


def test_an_estimator_may_predict_in_its_own_callbacks() -> None:
    came: list[Any] = []
    look = LambdaCallback(on_train_batch_end=lambda *args: came.append(made.predict(X)))
    alone, made = (
        MLPRegressor((4,), dropout=0.5, epochs=2, random_state=0, callbacks=c) for c in (None, look)
    )
    alone.fit(X, Y[:, 0])
    made.fit(X, Y[:, 0])
    assert came and (alone.predict(X) == made.predict(X)).all()


def test_predictions_of_two_threads_stay_in_evaluation_mode() -> None:
    """Whichever ends first; afterwards the layers are in the mode that they were in before."""
    made, first_is_done, second_runs = model(), Event(), Event()
    right, given = made.predict(X), []

    def late() -> Iterator[np.ndarray]:
        yield X
        second_runs.set()
        assert first_is_done.wait(20)
        yield X

    def early() -> Iterator[np.ndarray]:
        yield X
        thread.start()
        assert second_runs.wait(20)
        yield X

    thread = Thread(target=lambda: given.append(made.predict(late())))
    given.append(made.predict(early()))
    assert not made.training
    first_is_done.set()
    thread.join(20)
    assert all((outputs == np.concatenate([right, right])).all() for outputs in given) and len(given) == 2
    assert all(module.training for _, module in made.named_modules()) and not USES


def test_a_fit_is_refused_while_another_thread_predicts() -> None:
    made, errors = model(), []
    before = made.fit(X, Y, verbose=0)

    def batches() -> Iterator[np.ndarray]:
        yield X
        errors.append(elsewhere(lambda: made.fit(X, Y, verbose=0)))
        yield X

    first, second = np.split(made.predict(batches()), 2)
    assert (first == second).all() and made.history is before
    assert "another thread evaluates or predicts with these layers now, and this one trains" in str(errors[0])


def test_a_forked_child_forgets_the_other_threads() -> None:
    module = model()
    uses = USES[id(module)] = Use(True)
    uses.blocks.append((0, True))
    with pytest.raises(RuntimeError, match="another thread trains"):
        module.predict(X)
    keep_own_uses()
    assert not USES and module.predict(X).shape == (40, 1)


def test_a_forked_child_forgets_the_fits_of_other_threads() -> None:
    made = MLPRegressor((4,), epochs=1)
    FITS_THAT_RUN[id(made)] = [0]
    with pytest.raises(RuntimeError, match="another thread fits"):
        made.fit(X, Y[:, 0])
    keep_own_fits()
    assert made.fit(X, Y[:, 0]).n_iter_ == 1
