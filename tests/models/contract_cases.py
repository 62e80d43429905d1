"""Models, callbacks, losses and data for the cases of test_contract.py."""

import io
import math
import sys
import warnings
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.models import (
    Callback,
    CSVLogger,
    LambdaCallback,
    ModelCheckpoint,
    Sequential,
)
from tapegrad.nn import losses

RNG = np.random.default_rng(0)
X = RNG.normal(size=(103, 4)).astype("float32")
Y = (X[:, 0] + 0.3 * X[:, 1] > 0).astype("int64")
Y3 = RNG.integers(0, 3, 103)
Q: dict[str, Any] = {"verbose": 0}


def net(act: Any = "sigmoid", loss: Any = "binary_crossentropy", out: int = 1, measured: Any = ("accuracy",),
        optimizer: Any = "adam", drop: float = 0.0) -> Sequential:  # fmt: skip
    tg.manual_seed(1)
    model = Sequential(nn.Dense(8, "relu", in_features=4), nn.Dropout(drop), nn.Dense(out, act))
    model.compile(optimizer, loss, measured)
    return model


def fitted(model: Any = None, y: Any = Y, **options: Any) -> Any:
    """The loss of each epoch."""
    return (net() if model is None else model).fit(X, y, **Q, **options)["loss"]


def accuracy(model: Any, y: Any, predicted: Any) -> bool:
    model.fit(X, y, **Q)
    return math.isclose(
        model.evaluate(X, y, **Q)[1], float((predicted(model.predict(X)) == y).mean()), abs_tol=1e-9
    )


# ---- the mode of a model ----
class Predicts(Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.predict(X[:3])
        self.model.evaluate(X[:9], Y[:9], verbose=0)


class Teacher(nn.Module):
    """A layer that asks another model."""

    def __init__(self, teacher: Any) -> None:
        self.teacher = [teacher] if teacher is not None else []

    def forward(self, x: Any) -> Any:
        for teacher in self.teacher:
            teacher.predict(X[:3])
        return x


def training_with(
    callbacks: Any = None, loss: Any = "binary_crossentropy", measured: Any = ("accuracy",)
) -> Any:
    history = net(drop=0.5, loss=loss, measured=list(measured)).fit(X, Y, epochs=3, callbacks=callbacks, **Q)
    return {name: history[name] for name in ("loss", "accuracy")}


def asking_loss(y_true: Any, y_pred: Any) -> Any:
    OTHER.predict(X[:3])
    return losses.binary_cross_entropy(y_pred, y_true)


def asking_metric(y_true: Any, y_pred: Any) -> float:
    OTHER.evaluate(X[:3], Y[:3], verbose=0)
    return 0.0


OTHER = net(drop=0.5)


def refused(model: Any) -> None:
    with pytest.raises(ValueError):
        model.fit(X, Y[:3])


def modes() -> Any:
    model = net(drop=0.5)
    model.layers[1].eval()
    found = []
    for act in (
        lambda: model.fit(X, Y, **Q),
        lambda: model.fit(X, Y, validation_split=0.2, **Q),
        lambda: model.predict(X),
        lambda: model.evaluate(X, Y, **Q),
        lambda: model.train_on_batch(X, Y),
        lambda: model.test_on_batch(X, Y),
        lambda: refused(model),
    ):
        act()
        found.append((model.training, model.layers[1].training))
    return found


def with_teacher(teacher: Any, run_eagerly: bool) -> Any:
    tg.manual_seed(1)
    model = Sequential(
        Teacher(teacher), nn.Dense(8, "relu", in_features=4), nn.Dropout(0.4), nn.Dense(1, "sigmoid")
    )
    model.compile("adam", "binary_crossentropy", run_eagerly=run_eagerly)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fitted(model, epochs=9)


# ---- losses and metrics of a user's own ----
def pinball(y_true: Any, y_pred: Any) -> Any:
    e = y_true - y_pred
    return tg.mean(tg.maximum(0.9 * e, -0.1 * e))


def per_row(y_true: Any, y_pred: Any) -> Any:
    return tg.mean(tg.square(y_true - y_pred), axis=-1)


@wraps(losses.huber_loss)
def wrapped(*args: Any, **options: Any) -> Any:
    return losses.huber_loss(*args, delta=0.3, **options)


def quantile() -> float:
    target = np.random.default_rng(1).normal(size=(103, 1)).astype("float32")
    tg.manual_seed(0)
    model = Sequential(nn.Dense(1, in_features=4))
    model.compile(optim.Adam(lr=0.02), pinball)
    model.fit(X, target, epochs=200, **Q)
    return float((model.predict(X) >= target).mean())


def one_step(loss: Any, **options: Any) -> Any:
    return fitted(net(loss=loss), epochs=2, **options)


class Keras(losses.Loss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return tg.square(y_true - y_pred)


# ---- callbacks ----
def moments() -> list[str]:
    seen: list[str] = []

    class Watch(Callback):
        def on_batch_end(self, batch: int) -> None:
            seen.append("batch") if "batch" not in seen else None

        def on_test_begin(self, logs: Any = None) -> None:
            seen.append("test")

        def on_epoch_begin(self, epoch: int) -> None:
            seen.append("epoch")

    fitted(validation_split=0.2, callbacks=Watch())
    return seen


class Adds(Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch:
            logs["mine"] = 1.0


class Misspelt(Callback):
    def on_epoch_ends(self, epoch: int, logs: Any) -> None: ...


def csv_of_other_columns(folder: Path) -> Any:
    fitted(callbacks=CSVLogger(folder / "log"))
    return fitted(net(measured=["mae"]), callbacks=CSVLogger(folder / "log", append=True))


def checkpoint_twice(folder: Path) -> bool:
    keep = ModelCheckpoint(folder / "best", monitor="loss", save_best_only=True)
    fitted(epochs=20, callbacks=keep)
    (folder / "best").unlink()
    fitted(epochs=2, callbacks=keep)
    return (folder / "best").exists()


def rates(callback: Callback, epochs: int = 3) -> list[float]:
    found: list[float] = []
    note = LambdaCallback(on_epoch_end=lambda epoch, logs: found.append(round(float(model.optimizer.lr), 6)))
    model = net(optimizer=optim.SGD(lr=0.1))
    model.fit(X, Y, epochs=epochs, callbacks=[callback, note], **Q)
    return found


# ---- data ----
def generator(times: int = 1) -> Any:
    for _ in range(times):
        for start in range(0, 103, 32):
            yield X[start : start + 32], Y[start : start + 32]


class Sequence:
    """As Keras's data sets are."""

    ended = 0

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> Any:
        return X[32 * i : 32 * i + 32], Y[32 * i : 32 * i + 32]

    def on_epoch_end(self) -> None:
        self.ended += 1


def of_batches(batches: Any, **options: Any) -> Any:
    return net().fit(batches, **Q, **options)["loss"]


UNSHUFFLED = lambda **options: fitted(shuffle=False, **options)
FRAME = pd.DataFrame(X, columns=list("abcd"))


def validated(data: Any, **options: Any) -> list[bool]:
    """Whether the validation of each epoch, of one step, is of the first 40 rows."""
    model, found = net(), []

    def compare(epoch: int, logs: dict[str, float]) -> None:
        found.append(bool(np.isclose(logs["val_loss"], model.evaluate(X[:40], Y[:40], **Q)[0])))

    options = {"validation_steps": 1, "callbacks": LambdaCallback(on_epoch_end=compare), **options, **Q}
    model.fit(X, Y, epochs=3, validation_data=data, **options)
    return found


def beyond_the_rows() -> bool:
    """More steps than there are batches measure no row twice."""
    model = net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = model.evaluate(X, Y, batch_size=40, steps=4, **Q)
    return bool(np.allclose(found, model.evaluate(X, Y, **Q)))


def frame(other: Any, act: str = "predict") -> Any:
    model = net()
    model.fit(FRAME, Y, **Q)
    return model.predict(other) if act == "predict" else model.fit(other, Y, **Q)


def weights_of_steps(**options: Any) -> int:
    model = net()
    model.fit(X, Y, **Q, **options)
    return model.optimizer.steps


# ---- steps of a user's own ----
class Own(Sequential):
    def train_step(self, data: Any) -> Any:
        x, y = data
        loss = losses.binary_cross_entropy(self(x), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"mine": loss, "two": 2}

    def test_step(self, data: Any) -> Any:
        return {"mine": 7.0}


class Super(Sequential):
    def train_step(self, data: Any) -> Any:
        return super().train_step(data) | {"rows": len(data[0])}


def own(kind: Any, **options: Any) -> Any:
    tg.manual_seed(1)
    model = kind(nn.Dense(8, "relu", in_features=4), nn.Dropout(0.0), nn.Dense(1, "sigmoid"))
    model.compile("adam", "binary_crossentropy", ["accuracy"])
    return model.fit(X, Y, **Q, **options)


def batch_by_batch() -> list[float]:
    model = net()
    return [model.train_on_batch(X[i : i + 32], Y[i : i + 32])[0] for i in range(0, 103, 32)]


def get_and_set() -> bool:
    a, b = net(), net(loss="mse")
    a.fit(X, Y, **Q)
    b.set_weights(a.get_weights())
    return bool((a.predict(X) == b.predict(X)).all())


def freezing() -> Any:
    first = nn.Dense(8, "relu")
    first.trainable = False
    model = Sequential(first, nn.Dense(1, "sigmoid"))
    model.compile("adam", "binary_crossentropy")
    model.build((4,))
    before = model.get_weights()
    model.fit(X, Y, **Q)
    return (
        [bool((a == b).all()) for a, b in zip(before, model.get_weights())][:2],
        first.trainable,
        model.trainable,
    )


# ---- progress ----
class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError("nobody reads it")


class Ascii(io.StringIO):
    encoding = "ascii"

    def write(self, text: str) -> int:
        text.encode("ascii")
        return super().write(text)


def größe(y_true: Any, y_pred: Any) -> Any:
    return tg.mean(y_pred)


def printed(stream: Any) -> str:
    before, sys.stdout = sys.stdout, stream
    try:
        model = net(measured=[größe])
        model.fit(X, Y)
        model.evaluate(X, Y)
        model.summary()
    except OSError:  # of print in summary
        assert isinstance(stream, Broken)
    finally:
        sys.stdout = before
    return "" if stream is None or isinstance(stream, Broken) else stream.getvalue()


class Flat(nn.Module):
    def forward(self, x: Any) -> Any:
        return x[:, 0]


def flat() -> Sequential:
    model = net()
    model.add(Flat())
    model.compile("adam", "binary_crossentropy", ["accuracy"])
    return model
