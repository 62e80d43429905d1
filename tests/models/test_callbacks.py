import csv
import math
import re

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.models import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    Sequential,
    TerminateOnNaN,
)
from tapegrad.models.callbacks import MOMENTS

generator = np.random.default_rng(0)
X = generator.normal(size=(40, 3))
Y = X @ [1.0, -2.0, 0.5]
NOISE = generator.normal(size=40)


def fit(*callbacks, y=Y, epochs=5, lr=0.01, **options):
    tg.manual_seed(0)
    model = Sequential(nn.Dense(4, "relu", in_features=3), nn.Dense(1))
    model.compile(optim.SGD(lr=lr), "mse", ["mae"])
    return model, model.fit(X, y, epochs=epochs, verbose=0, callbacks=callbacks, **options)


def sequence(stopping, values, name="val_loss"):
    """Show a stopping rule these values; the epoch after which it stopped, or None."""

    class Model:
        stop_training = False
        restored = None

        def state_dict(self):
            return {"epoch": self.epoch}

        def load_state_dict(self, state):
            self.restored = state["epoch"]

    stopping.model = model = Model()
    stopping.on_train_begin()
    stopped = None
    for model.epoch, value in enumerate(values):
        stopping.on_epoch_end(model.epoch, {name: value})
        if model.stop_training:
            stopped = model.epoch
            break
    stopping.on_train_end()
    return stopped, model.restored


# patience, other options, the monitored values, the epoch it stops after, the epoch it goes back to
STOPS = [
    (2, {}, [3, 2, 1, 1, 1, 0], 4, 2),
    (2, {}, [3, 2, 1, 2, 0, 3, 3], 6, 4),
    (0, {}, [3, 2, 3, 1], 2, 1),
    (1, {"min_delta": 0.5}, [3, 2.8, 1], 1, 0),
    (1, {"mode": "max"}, [1, 2, 3, 2], 3, 2),
    (1, {"monitor": "val_accuracy"}, [0.5, 0.9, 0.8], 2, 1),
    (1, {"monitor": "val_auc"}, [0.5, 0.9, 0.8], 2, 1),
    (3, {}, [5, 4, 3, 2], None, 3),
    (1, {}, [2, math.nan, 1], 1, 0),
    # a baseline that is not reached: an improvement does not end the training, nor does it begin the count anew
    (2, {"baseline": 0.5}, [3, 2, 1, 1, 0], 3, 2),
    (2, {"baseline": 0.5}, [3, 4, 5], 1, 0),
    (2, {"baseline": 1.5}, [3, 2, 1, 1, 1], 4, 2),
    (0, {"baseline": 0.5}, [3, 2, 1], None, 2),
    (1, {"baseline": 0.5, "start_from_epoch": 2}, [0, 0, 3, 2, 2], 4, 3),
    (1, {"baseline": 9, "mode": "max"}, [1, 2, 3, 2], 3, 2),
    # a NaN is better than nothing alone
    (2, {}, [math.nan, 3, 4, 4], 3, 1),
    (2, {}, [math.nan, math.nan, math.nan], 2, 0),
    (2, {}, [math.inf, 3, 4, 4], 3, 1),
]


@pytest.mark.parametrize(("patience", "options", "values", "stop", "best"), STOPS)
def test_early_stopping_stops_and_restores(patience, options, values, stop, best):
    rule = EarlyStopping(patience=patience, restore_best_weights=True, **options)
    assert sequence(rule, values, options.get("monitor", "val_loss")) == (stop, best)


def test_early_stopping_in_a_training_brings_the_best_weights_back():
    seen = []
    keep = LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((logs["val_loss"], keep.model.state_dict()))
    )
    stop = EarlyStopping(patience=2, restore_best_weights=True)
    model, history = fit(keep, stop, y=NOISE, epochs=200, lr=0.1, validation_split=0.5)
    assert len(history.epoch) < 200
    assert stop.best_epoch == np.argmin([loss for loss, _ in seen])
    best = min(seen, key=lambda pair: pair[0])[1]
    assert all(np.array_equal(p.numpy(), best[name].numpy()) for name, p in model.named_parameters())


def test_early_stopping_has_its_attributes_before_a_training():
    """And after it what the training was; another one begins anew."""
    stop = EarlyStopping("loss", patience=1, restore_best_weights=True)
    names = ("best", "best_epoch", "best_weights", "stopped_epoch", "wait")
    nothing = [getattr(stop, name) for name in names]
    assert nothing == [None, None, None, 0, 0]
    assert sequence(stop, [1, 0, 2], "loss") == (2, 1)
    assert [getattr(stop, name) for name in names] == [0, 1, None, 2, 1]
    stop.on_train_begin()
    assert [getattr(stop, name) for name in names] == nothing


@pytest.mark.parametrize(
    ("options", "values", "said"),
    [
        ({"patience": 2}, [1, 2, 3], "epoch 3: stopped, val_loss has not improved for 2 epochs"),
        (
            {"patience": 2, "baseline": 0.5},
            [3, 2, 2],
            "epoch 3: stopped, val_loss has not been better than 0.5 for 3 epochs",
        ),
    ],
)
def test_early_stopping_says_why(options, values, said, capsys):
    sequence(EarlyStopping(verbose=1, **options), values)
    assert capsys.readouterr().out.splitlines() == [said]


def test_early_stopping_names_what_is_measured():
    with pytest.raises(
        ValueError, match="monitor='val_loss' is not measured, only loss, mae: give validation_split"
    ):
        fit(EarlyStopping())
    with pytest.raises(ValueError, match="mode"):
        EarlyStopping(mode="best")


def test_checkpoints_are_models(tmp_path):
    model, history = fit(ModelCheckpoint(tmp_path / "{epoch:02d}-{loss:.3f}.safetensors"), epochs=3)
    names = [f"{e + 1:02d}-{loss:.3f}.safetensors" for e, loss in enumerate(history.history["loss"])]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    assert np.array_equal(Sequential.load(tmp_path / names[-1]).predict(X), model.predict(X))


def test_checkpoint_of_the_best_alone(tmp_path):
    class Model:
        saved = []

        def save(self, path):
            self.saved.append(path)

    rule = ModelCheckpoint("{epoch}", save_best_only=True)
    rule.model = Model()
    for epoch, loss in enumerate([3, 1, 2, 0]):
        rule.on_epoch_end(epoch, {"val_loss": loss})
    assert Model.saved == ["1", "2", "4"]
    with pytest.raises(ValueError, match="names 'accuracy', known are epoch, loss, mae"):
        fit(ModelCheckpoint(tmp_path / "{accuracy}"))


# the path, whether it is refused; {{ and }} stand for braces
FILE_NAMES = {
    "w": False, "{epoch:02d}-{val_loss:.3f}": False, "{stage:d}": False, "{name!s:>5}": False, "{loss:{epoch}}": False,
    "{{w}}": False, "w{epoch": True, "w}": True, "{}": True, "{0}": True, "{epoch:.x}": True, "{loss:d}": True,
    "{mine:zz}": True, "{loss[0]}": True, "{epoch!x}": True,
}  # fmt: skip


@pytest.mark.parametrize("name", FILE_NAMES)
def test_fields_of_a_checkpoints_path_are_checked_when_it_is_made(name):
    if not FILE_NAMES[name]:
        assert ModelCheckpoint(name).filepath == name
        return
    with pytest.raises(ValueError, match=re.escape(f"ModelCheckpoint: filepath={name!r}: ")):
        ModelCheckpoint(name)


def test_a_field_that_its_log_does_not_fit_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"ModelCheckpoint: filepath=.*mae:d.*Unknown format code 'd'"):
        fit(ModelCheckpoint(tmp_path / "{mae:d}"))


@pytest.mark.parametrize("separator", ["", ", ", '"', "\n", "\r"])
def test_csv_logger_refuses_separators(separator, tmp_path):
    with pytest.raises(ValueError, match="CSVLogger: separator: expected one character"):
        CSVLogger(tmp_path / "log.csv", separator=separator)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_csv_logger_goes_on_after_a_last_line_of_any_end(end, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(f"epoch,loss,mae\n0,1.5,1.25{end}", newline="")
    _, history = fit(CSVLogger(path, append=True), epochs=2)
    rows = list(csv.reader(path.read_text().splitlines()))
    assert [row[0] for row in rows] == ["epoch", "0", "0", "1"]
    assert rows[1][1:] == ["1.5", "1.25"]
    assert [float(row[1]) for row in rows[2:]] == history["loss"]


def test_csv_logger_writes_and_goes_on(tmp_path):
    path = tmp_path / "log.csv"
    _, first = fit(CSVLogger(path), epochs=2)
    fit(CSVLogger(path, append=True), epochs=1)
    rows = list(csv.reader(path.read_text().splitlines()))
    assert rows[0] == ["epoch", "loss", "mae"]
    assert [row[0] for row in rows[1:]] == ["0", "1", "0"]
    assert float(rows[2][1]) == first.history["loss"][1]
    fit(CSVLogger(path), epochs=1)
    assert len(list(csv.reader(path.read_text().splitlines()))) == 2


def test_csv_logger_takes_up_what_is_measured_later(tmp_path):
    path = tmp_path / "log.csv"
    fit(CSVLogger(path), epochs=3, validation_split=0.2, validation_freq=2)
    rows = list(csv.reader(path.read_text().splitlines()))
    assert rows[0] == ["epoch", "loss", "mae", "val_loss", "val_mae"]
    assert [[cell != "" for cell in row] for row in rows[1:]] == [
        [True, True, True, there, there] for there in (False, True, False)
    ]
    fit(CSVLogger(path), epochs=1)
    with pytest.raises(ValueError, match="the training measures val_loss, val_mae, too"):
        fit(CSVLogger(path, append=True), epochs=1, validation_split=0.2)


# where ModelCheckpoint is to write, and the files that there are after two epochs
FOLDERS = {
    "a missing folder": ("a/m", ["a/m"]),
    "several": ("a/b/c/{epoch}", ["a/b/c/1", "a/b/c/2"]),
    "a folder for each epoch": ("a/e{epoch}/m", ["a/e1/m", "a/e2/m"]),
    "below such a folder": ("a/{epoch}/b/m", ["a/1/b/m", "a/2/b/m"]),
    "one that is there": ("there/m", ["there/m"]),
}


@pytest.mark.parametrize("weights_only", [False, True])
@pytest.mark.parametrize("name", FOLDERS)
def test_a_checkpoint_makes_its_folder(name, weights_only, tmp_path):
    path, files = FOLDERS[name]
    (tmp_path / "there").mkdir()
    fit(ModelCheckpoint(tmp_path / path, save_weights_only=weights_only), epochs=2)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == files


# where nothing can be written, and what is said before the first epoch
CANNOT = {
    "below a file": (
        lambda f: ModelCheckpoint(f / "file/m"),
        FileExistsError,
        "the folder .*file' cannot be made",
    ),
    "deep below a file": (lambda f: ModelCheckpoint(f / "file/a/m"), NotADirectoryError, "cannot be made"),
    "a folder": (lambda f: ModelCheckpoint(f / "folder"), OSError, "folder' is no file"),
    "a read-only file": (lambda f: ModelCheckpoint(f / "kept"), PermissionError, "kept' is read-only"),
    "fields below a file": (lambda f: ModelCheckpoint(f / "file/{epoch}"), FileExistsError, "cannot be made"),
    "a log without its folder": (
        lambda f: CSVLogger(f / "no/log"),
        FileNotFoundError,
        "there is no folder .*no'",
    ),
    "a log that is a folder": (lambda f: CSVLogger(f / "folder"), OSError, "folder' is no file"),
}


@pytest.mark.parametrize("weights_only", [False, True])
@pytest.mark.parametrize("name", CANNOT)
def test_where_nothing_can_be_written_no_epoch_is_trained(name, weights_only, tmp_path):
    make, error, said = CANNOT[name]
    (tmp_path / "file").write_text("")
    (tmp_path / "kept").write_text("")
    (tmp_path / "kept").chmod(0o444)
    (tmp_path / "folder").mkdir()
    begun = []
    look = LambdaCallback(on_epoch_begin=lambda epoch: begun.append(epoch))
    callback = make(tmp_path)
    if weights_only and isinstance(callback, ModelCheckpoint):
        callback.save_weights_only = True
    with pytest.raises(error, match=said):
        fit(callback, look, epochs=2)
    assert begun == []


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
def test_terminate_on_nan_ends_within_the_epoch():
    batches = []
    count = LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(batch))
    _, history = fit(TerminateOnNaN(), count, lr=1e30, epochs=9, batch_size=4)
    assert len(history.epoch) == 1
    assert len(batches) < 10
    assert not math.isfinite(history.history["loss"][0])


def test_learning_rate_scheduler_sets_it_each_epoch():
    rates = []
    look = LambdaCallback(on_epoch_end=lambda epoch, logs: rates.append(look.model.optimizer.lr))
    fit(LearningRateScheduler(lambda epoch, lr: lr / 2), look, lr=0.08, epochs=3)
    assert rates == [0.04, 0.02, 0.01]
    still, _ = fit(LearningRateScheduler(lambda epoch, lr: 0.0), epochs=3)
    fresh, _ = fit(epochs=0)
    assert all(np.array_equal(p.numpy(), q.numpy()) for p, q in zip(still.parameters(), fresh.parameters()))


RATED = {
    "ReduceLROnPlateau": lambda: ReduceLROnPlateau("loss"),
    "LearningRateScheduler": lambda: LearningRateScheduler(lambda epoch, lr: lr / 2),
}


@pytest.mark.parametrize("name", RATED)
def test_groups_of_different_rates_are_told_by_the_callback(name):
    model = Sequential(nn.Dense(4, "relu", in_features=3), nn.Dense(1, in_features=4))
    first, last = ({"params": layer.parameters()} for layer in model.layers)
    model.compile(optim.SGD([first, last | {"lr": 0.5}], lr=0.1), "mse")
    with pytest.raises(
        ValueError, match=rf"{name}: the groups have .*\[0.1, 0.5\].* in a Callback of your own"
    ):
        model.fit(X, Y, verbose=0, callbacks=RATED[name]())
    assert model.optimizer.steps == 0


def test_moments_come_in_order():
    """Those of Keras, with its arguments; a signature may leave out logs."""
    seen = []

    def watched(name, arguments):
        def moment(self, *given):
            assert len(given) == len(arguments), name
            seen.append(name.removeprefix("on_"))

        return moment

    watch = type("Watch", (Callback,), {name: watched(name, MOMENTS[name]) for name in MOMENTS})()
    model, _ = fit(watch, epochs=2, batch_size=16, validation_split=0.2)
    batches = [f"{kind}_batch_{edge}" for kind in ("train",) * 2 + ("test",) for edge in ("begin", "end")]
    epoch = ["epoch_begin", *batches[:4], "test_begin", *batches[4:], "test_end", "epoch_end"]
    assert seen == ["train_begin", *epoch * 2, "train_end"]
    seen.clear()
    model.evaluate(X, Y, verbose=0, callbacks=watch)
    model.predict(X, callbacks=[watch])
    assert seen == [
        *("test_begin", "test_batch_begin", "test_batch_end", "test_end"),
        *("predict_begin", "predict_batch_begin", "predict_batch_end", "predict_end"),
    ]


def test_per_batch_logs_are_the_running_mean():
    logs = []
    _, history = fit(
        LambdaCallback(on_train_batch_end=lambda batch, l: logs.append(l["loss"])), epochs=1, batch_size=16
    )
    assert len(logs) == 3
    assert logs[-1] == history.history["loss"][0]


class WithoutNumber(Callback):
    """Leaves out what comes first."""

    def on_train_batch_end(self, logs):
        pass


# callbacks whose moments would get a number as their logs, and the moment
WITHOUT_NUMBER = {
    "a function": (lambda: LambdaCallback(on_epoch_end=lambda logs: None), "on_epoch_end(epoch, logs)"),
    "a method": (WithoutNumber, "on_train_batch_end(batch, logs)"),
    "an older name": (
        lambda: LambdaCallback(on_batch_begin=lambda logs: None),
        "on_batch_begin(batch, logs)",
    ),
}


@pytest.mark.parametrize("name", WITHOUT_NUMBER)
def test_logs_alone_would_be_a_number(name):
    make, said = WITHOUT_NUMBER[name]
    with pytest.raises(TypeError, match=rf"would get the .* number as logs: write {re.escape(said)}"):
        fit(make())
    fit(LambdaCallback(on_epoch_end=lambda number: None, on_train_end=lambda logs: None))


def test_unknown_moment_is_refused():
    with pytest.raises(TypeError, match="unknown moment 'on_epoch'; known: on_train_begin"):
        LambdaCallback(on_epoch=print)
