"""What may look on, and step in, while `Sequential.fit` runs."""

import csv
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tapegrad.autograd import files
from tapegrad.autograd.attributes import KnownAttributes
from tapegrad.autograd.replacing import check_replaceable, replacing
from tapegrad.models.arity import called, positional
from tapegrad.models.file_names import check_name

Logs = Any  # a dict of numbers by name

# Every moment of Keras's, with its arguments.
MOMENTS: dict[str, tuple[str, ...]] = {
    "on_train_begin": ("logs",),
    "on_train_end": ("logs",),
    "on_epoch_begin": ("epoch", "logs"),
    "on_epoch_end": ("epoch", "logs"),
    "on_train_batch_begin": ("batch", "logs"),
    "on_train_batch_end": ("batch", "logs"),
    "on_batch_begin": ("batch", "logs"),
    "on_batch_end": ("batch", "logs"),
    "on_test_begin": ("logs",),
    "on_test_end": ("logs",),
    "on_test_batch_begin": ("batch", "logs"),
    "on_test_batch_end": ("batch", "logs"),
    "on_predict_begin": ("logs",),
    "on_predict_end": ("logs",),
    "on_predict_batch_begin": ("batch", "logs"),
    "on_predict_batch_end": ("batch", "logs"),
}


class Callback(KnownAttributes):
    """Override the moments you need; `self.model` is the model in training.

    Epochs and batches are numbered from 0. `logs` is a dict of the loss and the metrics so far, at an epoch's end those
    of validation, too. It may be left out of a signature. What a callback adds to the logs of `on_epoch_end` is in the
    History. Set `self.model.stop_training = True` to end the training after the current batch's epoch.

    The moments are Keras's: on_train, on_epoch, on_train_batch, on_test, on_test_batch, on_predict, on_predict_batch,
    each with _begin and _end. The test moments come in `evaluate` and in the validation of `fit`. `on_batch_begin` and
    `on_batch_end` are those of training. Those of a batch's end cost a transfer per batch on a GPU, and only callbacks
    that define them pay for it. `self.params` has verbose, epochs and steps.
    """

    model: Any = None
    params: dict[str, Any] = MappingProxyType({})  # type: ignore[assignment]

    def set_model(self, model: Any) -> None:
        """Called with the model before the training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called with verbose, epochs and steps before the training."""
        self.params = params

    def state(self) -> dict[str, Any] | None:
        """What a file keeps of this callback when the model is saved in the middle of a fit: numbers, texts, tensors,
        in lists and dicts. None: nothing."""
        return None

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state, after `on_train_begin`, in a fit of a model that was loaded with resume=True."""

    def on_train_begin(self, logs: Logs = None) -> None: ...
    def on_train_end(self, logs: Logs = None) -> None: ...
    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None: ...
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None: ...
    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        called(self.on_batch_begin, batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        called(self.on_batch_end, batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs = None) -> None: ...
    def on_batch_end(self, batch: int, logs: Logs = None) -> None: ...
    def on_test_begin(self, logs: Logs = None) -> None: ...
    def on_test_end(self, logs: Logs = None) -> None: ...
    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None: ...
    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None: ...
    def on_predict_begin(self, logs: Logs = None) -> None: ...
    def on_predict_end(self, logs: Logs = None) -> None: ...
    def on_predict_batch_begin(self, batch: int, logs: Logs = None) -> None: ...
    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None: ...


class LambdaCallback(Callback):
    """`LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))`."""

    def __init__(self, **moments: Callable[..., Any] | None) -> None:
        for name, function in moments.items():
            if name not in MOMENTS:
                raise TypeError(f"LambdaCallback: unknown moment {name!r}; known: {', '.join(MOMENTS)}")
            if function is not None:
                setattr(self, name, function)


class TerminateOnNaN(Callback):
    """Ends the training as soon as the loss is NaN or infinite; with `raise_error`, by a FloatingPointError."""

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if not math.isfinite(logs["loss"]):
            if self.raise_error:
                raise FloatingPointError(f"TerminateOnNaN: the loss is {logs['loss']} after batch {batch}")
            self.model.stop_training = True


class LearningRateScheduler(Callback):
    """Sets the learning rate at the start of each epoch to `schedule(epoch, lr)` or `schedule(epoch)`.

    verbose   1 prints it
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule = schedule
        self.verbose = verbose
        self.takes_rate = positional(schedule, 2) == 2

    def on_train_begin(self, logs: Logs = None) -> None:
        self.model.optimizer.refuse_schedule("LearningRateScheduler", "lr")

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        optimizer = self.model.optimizer
        arguments = (epoch, float(optimizer.lr)) if self.takes_rate else (epoch,)
        optimizer.lr = self.schedule(*arguments)
        say(self.verbose, f"epoch {epoch + 1}: learning rate {optimizer.lr:g}")


def say(verbose: int, text: str) -> None:
    if verbose and sys.stdout is not None:
        print(text)


class CSVLogger(Callback):
    """Writes a line to a CSV file after each epoch; with `append` it goes on in a file of the same columns."""

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False) -> None:
        if not isinstance(separator, str):
            raise TypeError(
                f"CSVLogger: separator: expected a text, got {separator!r}: write append={separator!r}"
            )
        self.path = Path(filename)
        self.separator = separator
        self.append = append

    def on_train_begin(self, logs: Logs = None) -> None:
        self.header: list[str] | None = None
        check_replaceable(self.path, "CSVLogger")
        if self.append and self.path.exists():
            with open(self.path, newline="", encoding="utf-8") as file:
                self.header = next(csv.reader(file, delimiter=self.separator), None)
        else:
            with replacing(self.path, "CSVLogger") as temporary:
                Path(temporary).write_text("", encoding="utf-8")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        header = ["epoch", *logs]
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=self.separator, lineterminator="\n")
            if self.header is None:
                writer.writerow(header)
                self.header = header
            if missing := [name for name in header if name not in self.header]:
                raise ValueError(
                    f"CSVLogger: {str(self.path)!r} has the columns {', '.join(self.header)}, the training measures "
                    f"{', '.join(missing)}, too: write to another file"
                )
            row = {"epoch": epoch, **logs}
            writer.writerow([row.get(name, "") for name in self.header])


RISING = ("accuracy", "acc", "auc", "precision", "recall", "f1", "r2", "r2_score")  # more of these is better


class Monitor(Callback):
    """Base of those that watch one number: knows which way is better, and the best so far."""

    kept: tuple[str, ...] = ("best",)  # what a file keeps

    def __init__(
        self, monitor: str, mode: str, min_delta: float = 0.0, baseline: float | None = None
    ) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode: expected 'auto', 'min' or 'max', got {mode!r}")
        rising = mode == "max" or (mode == "auto" and monitor.removeprefix("val_").lower().endswith(RISING))
        self.monitor, self.min_delta = monitor, abs(min_delta)
        self.sign = -1.0 if rising else 1.0
        self.baseline = baseline
        self.start()

    def start(self) -> None:
        """Forget the best of an earlier training."""
        self.best = math.inf if self.baseline is None else self.sign * self.baseline  # of sign * value

    def state(self) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in self.kept}
        return {
            name: str(v) if isinstance(v, float) and not math.isfinite(v) else v for name, v in found.items()
        }

    def restore(self, state: dict[str, Any]) -> None:
        for name in self.kept:
            setattr(self, name, float(state[name]) if isinstance(state[name], str) else state[name])

    def improved(self, logs: dict[str, float]) -> bool:
        if self.monitor not in logs:
            raise ValueError(
                f"{type(self).__name__}: nothing called {self.monitor!r} is measured, only {', '.join(logs)}: "
                "for val_… give fit validation_split or validation_data; metrics are named in compile"
            )
        value = self.sign * logs[self.monitor]
        if value < self.best - self.min_delta:
            self.best = value
            return True
        return False


class EarlyStopping(Monitor):
    """Ends the training when the monitored number has not improved by more than min_delta for `patience` epochs.

    restore_best_weights   at the end, whether stopped early or not, go back to the weights of the best epoch
    baseline               what the number must be better than, to count as an improvement
    start_from_epoch       epochs before this one are not looked at
    verbose                1 prints when it stops

    best_epoch             its number, from 0; None before the first
    """

    kept = ("best", "wait", "best_epoch", "best_weights")

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta, baseline)
        self.patience = patience
        self.verbose = verbose
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch

    def on_train_begin(self, logs: Logs = None) -> None:
        self.start()
        self.wait = 0
        self.best_epoch: int | None = None
        self.best_weights: dict[str, Any] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if epoch < self.start_from_epoch:
            return
        if self.improved(logs):
            self.wait, self.best_epoch = 0, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.state_dict()
            return
        self.wait += 1
        if self.wait >= self.patience and epoch > 0:
            self.model.stop_training = True
            say(
                self.verbose,
                f"epoch {epoch + 1}: stopped, {self.monitor} has not improved for {self.wait} epochs",
            )

    def on_train_end(self, logs: Logs = None) -> None:
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)
            self.best_weights = None


class ModelCheckpoint(Monitor):
    """Saves the model after each epoch, or only after those that improved the monitored number in this training.

    filepath   may hold {epoch} (counted from 1) and names of the logs: "model-{epoch:02d}-{val_loss:.3f}.safetensors"
    save_weights_only         write the weights alone, as tg.save(path, model.state_dict()) does
    initial_value_threshold   what the number must be better than, such as the best of an earlier training
    verbose                   1 prints the name of each file
    """

    def __init__(
        self,
        filepath: str | Path,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, baseline=initial_value_threshold)
        if save_freq != "epoch":
            raise ValueError(f"ModelCheckpoint: save_freq: expected 'epoch', got {save_freq!r}")
        check_name(filepath, "ModelCheckpoint")
        self.filepath = str(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only

    def on_train_begin(self, logs: Logs = None) -> None:
        self.start()
        if not self.save_weights_only:
            from tapegrad.models.model_file import check_savable

            check_savable(self.model)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.save_best_only and not self.improved(logs):
            return
        try:
            path = self.filepath.format(epoch=epoch + 1, **logs)
        except KeyError as error:
            raise ValueError(
                f"ModelCheckpoint: {self.filepath!r} names {error}, known are epoch, {', '.join(logs)}"
            ) from None
        if self.save_weights_only:
            files.save(path, self.model.state_dict())
        else:
            self.model.save(path)
        say(self.verbose, f"epoch {epoch + 1}: saved {path}")


class ReduceLROnPlateau(Monitor):
    """Multiplies the learning rate by `factor` when the monitored number has not improved for `patience` epochs.

    min_delta   what counts as an improvement
    cooldown    epochs after a reduction that are not counted
    min_lr      the rate is not made smaller than this
    verbose     1 prints each reduction
    """

    kept = ("best", "wait", "resting")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if not 0 < factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor: expected a number between 0 and 1, got {factor!r}")
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr

    def on_train_begin(self, logs: Logs = None) -> None:
        self.model.optimizer.refuse_schedule("ReduceLROnPlateau", "lr")
        self.start()
        self.wait = self.resting = 0

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.resting:
            self.resting, self.wait = self.resting - 1, 0
        if self.improved(logs):
            self.wait = 0
        elif not self.resting:
            self.wait += 1
            rate = float(self.model.optimizer.lr)
            if self.wait >= self.patience and rate > self.min_lr:
                self.model.optimizer.lr = max(rate * self.factor, self.min_lr)
                self.wait, self.resting = 0, self.cooldown
                say(self.verbose, f"epoch {epoch + 1}: learning rate {self.model.optimizer.lr:g}")
