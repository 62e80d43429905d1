"""What may look on, and step in, while `Sequential.fit` runs."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tapegrad.autograd.attributes import KnownAttributes
from tapegrad.autograd.replacing import check_replaceable, replacing


class Callback(KnownAttributes):
    """Override the moments you need; `self.model` is the model in training.

    Epochs are numbered from 0. `logs` holds the loss and the metrics, at an epoch's end those of validation, too.
    Set `self.model.stop_training = True` to end the training after the current batch's epoch.
    `on_train_batch_end` costs a transfer per batch on a GPU, and only callbacks that define it pay for it.
    """

    model: Any = None

    def on_train_begin(self) -> None: ...
    def on_train_end(self) -> None: ...
    def on_epoch_begin(self, epoch: int) -> None: ...
    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None: ...
    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None: ...


class LambdaCallback(Callback):
    """`LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))`."""

    def __init__(self, **moments: Callable[..., None]) -> None:
        for name, function in moments.items():
            if not hasattr(Callback, name) or not name.startswith("on_"):
                known = ", ".join(n for n in vars(Callback) if n.startswith("on_"))
                raise TypeError(f"LambdaCallback: unknown moment {name!r}; known: {known}")
            setattr(self, name, function)


class TerminateOnNaN(Callback):
    """Ends the training as soon as the loss is NaN or infinite."""

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        if not math.isfinite(logs["loss"]):
            self.model.stop_training = True


class LearningRateScheduler(Callback):
    """Sets the learning rate at the start of each epoch to `schedule(epoch, lr)`."""

    def __init__(self, schedule: Callable[[int, float], float]) -> None:
        self.schedule = schedule

    def on_epoch_begin(self, epoch: int) -> None:
        self.model.optimizer.lr = self.schedule(epoch, float(self.model.optimizer.lr))


class CSVLogger(Callback):
    """Writes a line to a CSV file after each epoch; with `append` it goes on in an existing file."""

    def __init__(self, filename: str | Path, append: bool = False) -> None:
        self.path = Path(filename)
        self.append = append

    def on_train_begin(self) -> None:
        self.fresh = not (self.append and self.path.exists())
        if self.fresh:
            with replacing(self.path, "CSVLogger") as temporary:
                Path(temporary).write_text("", encoding="utf-8")
        check_replaceable(self.path, "CSVLogger")

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if self.fresh:
                writer.writerow(["epoch", *logs])
            writer.writerow([epoch, *logs.values()])
        self.fresh = False


RISING = ("accuracy", "acc", "auc", "precision", "recall", "f1", "r2", "r2_score")  # more of these is better


class Monitor(Callback):
    """Base of those that watch one number: knows which way is better, and the best so far."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode: expected 'auto', 'min' or 'max', got {mode!r}")
        rising = mode == "max" or (mode == "auto" and monitor.removeprefix("val_").lower().endswith(RISING))
        self.monitor, self.min_delta = monitor, abs(min_delta)
        self.sign = -1.0 if rising else 1.0
        self.best = math.inf  # of sign * value

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

    best_epoch             its number, from 0; None before the first
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        restore_best_weights: bool = False,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = patience
        self.restore_best_weights = restore_best_weights

    def on_train_begin(self) -> None:
        self.best, self.wait = math.inf, 0
        self.best_epoch: int | None = None
        self.best_weights: dict[str, Any] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if self.improved(logs):
            self.wait, self.best_epoch = 0, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.state_dict()
            return
        self.wait += 1
        if self.wait >= self.patience and epoch > 0:
            self.model.stop_training = True

    def on_train_end(self) -> None:
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)
            self.best_weights = None


class ModelCheckpoint(Monitor):
    """Saves the model after each epoch, or only after those that improved the monitored number.

    filepath   may hold {epoch} (counted from 1) and names of the logs: "model-{epoch:02d}-{val_loss:.3f}.safetensors"
    """

    def __init__(
        self,
        filepath: str | Path,
        monitor: str = "val_loss",
        save_best_only: bool = False,
        mode: str = "auto",
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath = str(filepath)
        self.save_best_only = save_best_only

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if not self.save_best_only or self.improved(logs):
            try:
                path = self.filepath.format(epoch=epoch + 1, **logs)
            except KeyError as error:
                raise ValueError(
                    f"ModelCheckpoint: {self.filepath!r} names {error}, known are epoch, {', '.join(logs)}"
                ) from None
            self.model.save(path)
