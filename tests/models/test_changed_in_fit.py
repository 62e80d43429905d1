"""What callbacks change in a model that is in fit is trained, or the fit raises."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.data import metrics
from tapegrad.models import LambdaCallback, ModelCheckpoint, Sequential

X = np.random.default_rng(1).normal(size=(40, 4)).astype("float32")
Y = X[:, :1] * 3


class Stepped(Sequential):
    """With a step of its own."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        loss = self.loss(y, self(x)).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss}


def squared(y_true: Any, y_pred: Any) -> Any:
    return (y_true - y_pred) ** 2


def model(kind: type[Sequential] = Sequential) -> Sequential:
    tg.manual_seed(0)
    made = kind([nn.Dense(3, "tanh", input_shape=(4,)), nn.Dense(3, "tanh"), nn.Dense(1)])
    made.layers[0].trainable = False
    made.compile("sgd", squared)
    return made


def replace_kernel(made: Sequential) -> None:
    made.layers[1].kernel = nn.Parameter(tg.ones((3, 3)))


def replace_layer(made: Sequential) -> None:
    made.layers[1] = nn.Dense(3, "tanh", in_features=3)


CHANGES: dict[str, Callable[[Sequential], Any]] = {
    "unfreeze": lambda made: setattr(made.layers[0], "trainable", True),
    "add": lambda made: made.add(nn.Dense(1)),
    "replace a weight": replace_kernel,
    "replace a layer": replace_layer,
}
MOMENTS = ["on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end", "on_test_end"]
KINDS = pytest.mark.parametrize("kind", [Sequential, Stepped])


def changed(
    kind: type[Sequential], moment: str, change: Callable[[Sequential], Any]
) -> tuple[Sequential, list[np.ndarray]]:
    """A model in whose fit a callback changes something at the second moment, and its weights right after it."""
    made, calls, weights = model(kind), [0], []

    def act(*args: Any) -> None:
        calls[0] += 1
        if calls[0] == 2:
            change(made)
            weights.extend(made.get_weights())

    callback = LambdaCallback(**{moment: act})
    made.fit(X, Y, epochs=4, batch_size=16, verbose=0, validation_split=0.2, callbacks=callback)
    return made, weights


@KINDS
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", CHANGES)
def test_new_weights_that_nothing_trains_raise(name: str, moment: str, kind: type[Sequential]) -> None:
    with pytest.raises(RuntimeError, match=r"does not train 'layers\.\d\.kernel'.*self\.model\.compile\("):
        changed(kind, moment, CHANGES[name])


@KINDS
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", CHANGES)
def test_with_another_compile_they_are_trained(name: str, moment: str, kind: type[Sequential]) -> None:
    def change(made: Sequential) -> None:
        CHANGES[name](made)
        made.compile("adam", made.loss)

    made, weights = changed(kind, moment, change)
    trained = [p.requires_grad for p in made.parameters()]
    after = made.get_weights()
    assert [bool((a != b).any()) for a, b in zip(weights, after, strict=True)] == trained


@KINDS
@pytest.mark.parametrize("moment", MOMENTS)
def test_freezing_takes_effect_at_once(moment: str, kind: type[Sequential]) -> None:
    made, weights = changed(kind, moment, lambda made: setattr(made.layers[1], "trainable", False))
    same = [bool((a == b).all()) for a, b in zip(weights, made.get_weights(), strict=True)]
    assert same == [True] * 4 + [False] * 2


def savable(optimizer: str) -> Sequential:
    made = model()
    made.compile(optimizer, "mse")
    return made


def frozen_fit(made: Sequential, epochs: int, start: int, folder: Path) -> Sequential:
    """A fit in which a callback freezes a layer at the end of the second epoch. Each epoch is saved."""
    folder.mkdir(exist_ok=True)

    def freeze(epoch: int, logs: Any) -> None:
        made.layers[1].trainable = epoch < 1

    callbacks = [LambdaCallback(on_epoch_end=freeze), ModelCheckpoint(folder / "{epoch}")]
    made.fit(X, Y, epochs=epochs, initial_epoch=start, batch_size=16, verbose=0, callbacks=callbacks)
    return made


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_a_fit_goes_on_with_what_a_callback_froze(cut: int, optimizer: str, tmp_path: Path) -> None:
    whole = frozen_fit(savable(optimizer), 5, 0, tmp_path)
    frozen_fit(savable(optimizer), 4, 0, tmp_path / "ended").save(tmp_path / "4")
    again = frozen_fit(Sequential.load(tmp_path / f"{cut}", resume=True), 5, cut, tmp_path / "again")
    assert all((a == b).all() for a, b in zip(again.get_weights(), whole.get_weights(), strict=True))
    assert (tmp_path / "again" / "5").read_bytes() == (tmp_path / "5").read_bytes()


def test_what_is_frozen_outside_of_a_fit_needs_another_compile(tmp_path: Path) -> None:
    """Also in a model that goes on with a fit, where another layer was frozen; and once that fit is over."""
    frozen_fit(savable("sgd"), 2, 0, tmp_path)
    again = Sequential.load(tmp_path / "2", resume=True)
    again.layers[2].bias.requires_grad_(False)
    with pytest.raises(RuntimeError, match="compile the model again"):
        again.fit(X, Y, epochs=3, initial_epoch=2, verbose=0)
    again.layers[2].bias.requires_grad_(True)
    again.fit(X, Y, epochs=3, initial_epoch=2, verbose=0)
    with pytest.raises(RuntimeError, match="compile the model again"):
        again.fit(X, Y, verbose=0)


def test_a_second_optimizer_of_ones_own_trains_too() -> None:
    class Two(Stepped):
        def train_step(self, data: Any) -> Any:
            self.layers[0].trainable = True
            return super().train_step(data)

    made = model(Two)
    made.layers[0].trainable = True
    made.first = optim.SGD(made.layers[0].parameters(), lr=0.1)
    made.layers[0].trainable = False
    assert made.fit(X, Y, epochs=2, verbose=0, callbacks=LambdaCallback(on_epoch_end=print)).epoch == [0, 1]


# attribute, what it is set to, what the error says
NAMES = [
    ("optimizer", "adam", r"expected an Optimizer, got 'adam'.*compile\(optimizer='adam', loss=model.loss\)"),
    ("optimizer", optim.SGD, r"expected an Optimizer, got <class"),
    ("metrics", ["mae"], r"expected a list of Metric objects, got \['mae'\].*compile\(model.optimizer,"),
    ("metrics", "mae", r"expected a list of Metric objects, got 'mae'"),
]


@pytest.mark.parametrize(("attribute", "value", "message"), NAMES)
def test_a_name_in_place_of_an_object_says_what_to_write(attribute: str, value: Any, message: str) -> None:
    made = model()
    with pytest.raises(TypeError, match=message):
        setattr(made, attribute, value)
    made.fit(X, Y, verbose=0)


def test_objects_and_the_name_of_a_loss_are_taken() -> None:
    made = model()
    made.metrics, made.optimizer = [metrics.get("mae")], optim.SGD(lr=0.1)
    assert list(made.fit(X, Y, verbose=0)) == ["loss", "mae"]
    classes = Sequential([nn.Dense(3, "softmax", input_shape=(4,))])
    classes.compile("sgd", "mse")
    classes.loss = "sparse_categorical_crossentropy"
    assert np.isfinite(classes.fit(X, np.arange(40) % 3, verbose=0)["loss"][0])
