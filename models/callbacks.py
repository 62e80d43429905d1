"""What may look on, and step in, while `Sequential.fit` runs."""

import csv
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tapegrad.autograd.attributes import KnownAttributes
from tapegrad.autograd.replacing import check_replaceable, replacing
from tapegrad.backends.aliases import Function
from tapegrad.data.aliases import PlainData
from tapegrad.models.arity import called, positional

if TYPE_CHECKING:
    from tapegrad.models.sequential import Sequential

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
    """Base of the objects that act during a training: override the moments you need.

    The moments are Keras's: on_train, on_epoch, on_train_batch, on_test, on_test_batch, on_predict, on_predict_batch,
    each with _begin and _end. The test moments come in `evaluate` and in the validation of `fit`. A method may leave
    `logs` out of its signature. What a callback adds to the logs of `on_epoch_end` is in the History. Set
    `self.model.stop_training = True` to end the training after the current batch's epoch.

    On a GPU, the moment at a batch's end costs a transfer per batch. Only callbacks that define it pay for it.

    Attributes:
        model: The model in training.
        params: A dict of verbose, epochs and steps, and of do_validation in `fit`.
    """

    model: Any = None
    params: dict[str, Any] = MappingProxyType({})  # type: ignore[assignment]

    def set_model(self, model: "Sequential") -> None:
        """Take the model, before the training.

        Args:
            model: The model in training.
        """
        self.model = model

    def set_params(self, params: dict[str, object]) -> None:
        """Take the numbers of the training, before it.

        Args:
            params: A dict of verbose, epochs and steps, and of do_validation in `fit`.
        """
        self.params = params

    def state(self) -> PlainData | None:
        """What a file keeps of this callback when the model is saved, in a fit or after it; None: nothing.

        Where a callback that stands before this one, such as ModelCheckpoint, saves the model at the end of an epoch, a
        fit that goes on calls `on_epoch_end` with that epoch once more, after `restore`.

        Returns:
            Numbers, texts and tensors, in lists and dicts.
        """
        return None

    def restore(self, state: PlainData) -> None:
        """Take up a state, after `on_train_begin`, in a fit of a model that was loaded with resume=True.

        Args:
            state: What `state` returned.
        """

    def on_train_begin(self, logs: Logs = None) -> None:
        """Called before the first epoch of `fit`.

        Args:
            logs: An empty dict.
        """

    def on_train_end(self, logs: Logs = None) -> None:
        """Called after the last epoch of `fit`.

        Args:
            logs: The numbers of the last epoch, by name.
        """

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Called before each epoch.

        Args:
            epoch: Its number, from 0.
            logs: An empty dict.
        """

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Called after each epoch and its validation.

        Args:
            epoch: Its number, from 0.
            logs: The loss and the metrics of the epoch by name, those of the validation as val_….
        """

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called before each batch of `fit`.

        Args:
            batch: Its number in the epoch, from 0.
            logs: An empty dict.
        """
        called(self.on_batch_begin, batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called after each batch of `fit`.

        Args:
            batch: Its number in the epoch, from 0.
            logs: The loss and the metrics over the rows of the epoch so far, by name.
        """
        called(self.on_batch_end, batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Keras's older name for `on_train_batch_begin`.

        Args:
            batch: The number of the batch in the epoch, from 0.
            logs: An empty dict.
        """

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Keras's older name for `on_train_batch_end`.

        Args:
            batch: The number of the batch in the epoch, from 0.
            logs: The loss and the metrics over the rows of the epoch so far, by name.
        """

    def on_test_begin(self, logs: Logs = None) -> None:
        """Called before `evaluate`, and before each validation of `fit`.

        Args:
            logs: An empty dict.
        """

    def on_test_end(self, logs: Logs = None) -> None:
        """Called after `evaluate`, and after each validation of `fit`.

        Args:
            logs: The loss and the metrics over all rows, by name.
        """

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called before each batch of an evaluation.

        Args:
            batch: Its number, from 0.
            logs: An empty dict.
        """

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called after each batch of an evaluation.

        Args:
            batch: Its number, from 0.
            logs: The loss and the metrics over the rows so far, by name.
        """

    def on_predict_begin(self, logs: Logs = None) -> None:
        """Called before `predict`.

        Args:
            logs: An empty dict.
        """

    def on_predict_end(self, logs: Logs = None) -> None:
        """Called after `predict`.

        Args:
            logs: An empty dict.
        """

    def on_predict_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called before each batch of `predict`.

        Args:
            batch: Its number, from 0.
            logs: An empty dict.
        """

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called after each batch of `predict`.

        Args:
            batch: Its number, from 0.
            logs: {"outputs": the outputs of the batch, a NumPy array}.
        """


class LambdaCallback(Callback):
    """A callback made of functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))`.

    Args:
        moments: A function for each moment, by its name; None for none.

    Raises:
        TypeError: A name is no moment.
    """

    def __init__(self, **moments: Function | None) -> None:
        for name, function in moments.items():
            if name not in MOMENTS:
                raise TypeError(f"LambdaCallback: unknown moment {name!r}; known: {', '.join(MOMENTS)}")
            if function is not None:
                setattr(self, name, function)


class TerminateOnNaN(Callback):
    """Ends the training as soon as the loss is NaN or infinite.

    Args:
        raise_error: Whether to end it by a FloatingPointError.
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error
        self.stopped = False

    def on_train_begin(self, logs: Logs = None) -> None:
        self.stopped = False

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if not math.isfinite(logs["loss"]):
            if self.raise_error:
                raise FloatingPointError(f"TerminateOnNaN: the loss is {logs['loss']} after batch {batch}")
            self.stopped = self.model.stop_training = True

    def state(self) -> PlainData | None:
        """Only of a fit that it has ended: another one misses nothing without it."""
        ended = self.stopped and getattr(self.model, "stop_training", False)
        return {"stopped": True} if ended else None

    def restore(self, state: PlainData) -> None:
        self.stopped = self.model.stop_training = True


class LearningRateScheduler(Callback):
    """Sets the learning rate at the start of each epoch, and adds it to the logs and the History as "learning_rate".

    Args:
        schedule: A function (epoch, lr) -> the new rate, or (epoch) -> it; epochs are numbered from 0.
        verbose: 1 prints the rate.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule = schedule
        self.verbose = verbose
        self.takes_rate = positional(schedule, 2) == 2

    def on_train_begin(self, logs: Logs = None) -> None:
        self.model.optimizer.refuse_schedule("LearningRateScheduler", "lr")

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        optimizer = self.model.optimizer
        arguments = (epoch, one_rate("LearningRateScheduler", optimizer)) if self.takes_rate else (epoch,)
        optimizer.lr = self.schedule(*arguments)
        say(self.verbose, f"epoch {epoch + 1}: learning rate {optimizer.lr:g}")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs["learning_rate"] = one_rate("LearningRateScheduler", self.model.optimizer)


def one_rate(who: str, optimizer: Any) -> float:
    """The learning rate; ValueError that names the callback where groups of parameters have several."""
    try:
        return float(optimizer.lr)
    except ValueError as error:
        raise ValueError(f"{who}: {error} in a Callback of your own") from None


def say(verbose: int, text: str) -> None:
    if verbose and sys.stdout is not None:
        print(text)


def _separator(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a text, got {value!r}: write append={value!r}")
    if len(value) != 1 or value in '"\r\n':
        raise ValueError(
            f"{name}: expected one character such as ',', ';' or '\\t', and no quote or end of a line, got {value!r}"
        )
    return value


class CSVLogger(Callback):
    """Writes a line to a CSV file after each epoch: its number, from 0, and its logs.

    Args:
        filename: The file; one that exists is replaced.
        separator: The character between two columns.
        append: Whether to go on in a file of the same columns instead.

    Raises:
        ValueError: separator is not one character, or the training measures what the file has no column for.
    """

    checks = {"separator": _separator}

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False) -> None:
        self.path = Path(filename)
        self.separator = separator
        self.append = append

    def on_train_begin(self, logs: Logs = None) -> None:
        self.header: list[str] | None = None
        self.goes_on = self.append and self.path.exists()
        check_replaceable(self.path, "CSVLogger")
        if self.goes_on:
            self.header = next(iter(self._lines()), None)
            self._end_last_line()
        else:
            with replacing(self.path, "CSVLogger") as temporary:
                Path(temporary).write_text("", encoding="utf-8")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        header = ["epoch", *logs]
        if self.header is None:
            self._write(self.path, [header])
            self.header = header
        if missing := [name for name in header if name not in self.header]:
            if self.goes_on:
                raise ValueError(
                    f"CSVLogger: {str(self.path)!r} has the columns {', '.join(self.header)}, the training measures "
                    f"{', '.join(missing)}, too: write to another file"
                )
            # What only some epochs measure, such as val_loss: the lines before have empty cells there.
            _, *before = self._lines()
            self.header = [*self.header, *missing]
            with replacing(self.path, "CSVLogger") as temporary:
                self._write(temporary, [self.header, *([*line, *[""] * len(missing)] for line in before)])
        row = {"epoch": epoch, **logs}
        self._write(self.path, [[row.get(name, "") for name in self.header]])

    def _lines(self) -> list[list[str]]:
        with open(self.path, newline="", encoding="utf-8") as file:
            return list(csv.reader(file, delimiter=self.separator))

    def _end_last_line(self) -> None:
        """An editor may have left out the end of the last line."""
        with open(self.path, newline="", encoding="utf-8") as file:
            text = file.read()
        if text and not text.endswith(("\n", "\r")):
            with open(self.path, "a", newline="", encoding="utf-8") as file:
                file.write("\n")

    def _write(self, path: str | Path, lines: list[list[Any]]) -> None:
        with open(path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=self.separator, lineterminator="\n").writerows(lines)
