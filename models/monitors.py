"""Callbacks that watch one number of the training: stop early, save the best, lower the learning rate."""

import math
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from tapegrad.autograd import files
from tapegrad.autograd.arguments import number, one_of
from tapegrad.data.aliases import PlainData
from tapegrad.data.metrics import larger_is_better
from tapegrad.models.callbacks import Callback, Logs, one_rate, say
from tapegrad.models.file_names import check_fields, check_name, filled_in, make_folder


def _size(name: str, value: Any) -> float:
    """A difference as Keras takes it, of either sign."""
    return abs(value)


class Monitor(Callback):
    """Base of those that watch one number: knows which way is better, and the best so far, None before the first."""

    kept: tuple[str, ...] = ("best",)  # what a file keeps
    checks = {
        "mode": partial(one_of, known=("auto", "min", "max")), "min_delta": _size,
    }  # fmt: skip

    def __init__(
        self, monitor: str, mode: str, min_delta: float = 0.0, threshold: float | None = None
    ) -> None:
        self.monitor, self.mode, self.min_delta = monitor, mode, min_delta
        self.best = self.threshold = threshold

    def start(self) -> None:
        """Forget the best of an earlier training; raise ValueError where it is not known which way is better."""
        self.best = self.threshold
        self.rising()

    def rising(self) -> bool:
        """Whether more of the number is better, as `mode` or the model's metric of that name says.

        Raises:
            ValueError: Nothing says it.
        """
        if self.mode != "auto":
            return self.mode == "max"
        measured = {metric.name: metric.larger_is_better for metric in getattr(self.model, "metrics", ())}
        known = larger_is_better(self.monitor, measured)
        if known is None:
            names = [v + name for v in ("", "val_") for name in ("loss", *measured)]
            if self.monitor not in names and (close := get_close_matches(self.monitor, names, n=1)):
                raise ValueError(
                    f"{type(self).__name__}: monitor={self.monitor!r} is not measured: did you mean {close[0]!r}?"
                )
            raise ValueError(
                f'{type(self).__name__}: monitor={self.monitor!r}: mode="auto" does not know whether more or less of '
                f'it is better: write mode="max" or mode="min". The model measures {", ".join(("loss", *measured))}'
            )
        return known

    def state(self) -> PlainData:
        found = {name: getattr(self, name) for name in self.kept}
        return {
            name: str(v) if isinstance(v, float) and not math.isfinite(v) else v for name, v in found.items()
        }

    def restore(self, state: PlainData) -> None:
        for name in self.kept:
            if name in state:  # files of before have fewer
                setattr(self, name, float(state[name]) if isinstance(state[name], str) else state[name])

    def unmeasured(self, logs: dict[str, float]) -> bool:
        """Whether this epoch has no such number since `validation_freq` leaves its validation out.

        Args:
            logs: The numbers of an epoch by name.
        """
        validated = any(name.startswith("val_") for name in logs)
        left_out = self.params.get("do_validation", False) and not validated
        return bool(left_out and self.monitor not in logs and self.monitor.startswith("val_"))

    def improved(self, logs: dict[str, float]) -> bool:
        """Whether the number is better than the best so far, which it then becomes. The first one is the best.

        Args:
            logs: The numbers of an epoch by name.

        Raises:
            ValueError: The number is not among them.
        """
        if self.monitor not in logs:
            close = get_close_matches(self.monitor, logs, n=1, cutoff=0.8)
            meant = f"did you mean {close[0]!r}? Else " if close else ""
            raise ValueError(
                f"{type(self).__name__}: monitor={self.monitor!r} is not measured, only {', '.join(logs)}: {meant}give "
                "validation_split or validation_data to fit for val_…, and name metrics in compile"
            )
        if not self.better(logs[self.monitor], self.best):
            return False
        self.best = logs[self.monitor]
        return True

    def better(self, value: float, than: float | None) -> bool:
        """Whether one value of the number is better than another by more than `min_delta`; each is better than none,
        and each but NaN better than NaN.

        Args:
            value: The one.
            than: The other, or None.
        """
        if than is None or math.isnan(than):
            return than is None or not math.isnan(value)
        sign = -1.0 if self.rising() else 1.0
        return sign * value < sign * than - self.min_delta


class EarlyStopping(Monitor):
    """Ends the training when a number has not improved for `patience` epochs.

    The first epoch that is looked at counts as an improvement. An epoch that improves never ends the training.

    Args:
        monitor: The number's name in the logs.
        min_delta: An improvement is larger than this.
        patience: How many epochs without an improvement end the training.
        verbose: 1 prints when it stops.
        mode: "min" or "max", which of two numbers is better; "auto" asks the metric of that name.
        baseline: What an improvement must be better than, too, for the count up to `patience` to begin anew.
        restore_best_weights: Whether to go back to the weights of the best epoch at the end, stopped early or not, and
            whether it is better than the baseline or not.
        start_from_epoch: Epochs before this one are not looked at.

    Attributes:
        best: The best value so far; None before the first.
        best_epoch: The number of the best epoch, from 0; None before the first.
        best_weights: What `restore_best_weights` goes back to, a state dict; None where there is nothing to go back to.
        stopped_epoch: The number of the epoch after which it ended the training; 0 where it did not.
        wait: How many epochs it has waited for an improvement.
    """

    kept = ("best", "wait", "best_epoch", "best_weights", "went_back", "stopped_epoch")

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
        super().__init__(monitor, mode, min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.forget()

    def forget(self) -> None:
        """Have seen no epoch."""
        self.wait = self.stopped_epoch = 0
        self.best_epoch: int | None = None
        self.best_weights: dict[str, Any] | None = None
        self.went_back = False  # whether the model has the best weights again

    def on_train_begin(self, logs: Logs = None) -> None:
        self.start()
        self.forget()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.stopped_epoch = 0  # another callback may have had the training go on
        if epoch < self.start_from_epoch or self.unmeasured(logs):
            return
        self.wait += 1
        if self.improved(logs):
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.state_dict()
            if self.reached():
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch, self.model.stop_training = epoch, True
            fault = "not improved" if self.reached() else f"not been better than {self.baseline:g}"
            text = f"epoch {epoch + 1}: stopped, {self.monitor} has {fault} for {self.wait} epochs"
            say(self.verbose, text)

    def reached(self) -> bool:
        """Whether the best so far is better than the baseline, if there is one."""
        return self.baseline is None or (self.best is not None and self.better(self.best, self.baseline))

    def on_train_end(self, logs: Logs = None) -> None:
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)
            self.best_weights, self.went_back = None, True

    def state(self) -> PlainData:
        stops = getattr(self.model, "stop_training", False)
        return super().state() | {"stopped_epoch": self.stopped_epoch if stops else 0}

    def restore(self, state: PlainData) -> None:
        super().restore(state)
        if self.went_back:
            self.best_weights, self.went_back = self.model.state_dict(), False
        if self.stopped_epoch and self.wait >= self.patience:
            self.model.stop_training = True
            say(self.verbose, f"epoch {self.stopped_epoch + 1}: stopped before the model was saved")
        else:
            self.stopped_epoch = 0  # a larger patience goes on


class ModelCheckpoint(Monitor):
    """Saves the model after each epoch, or only after those that improved the monitored number in this training.

    It writes at its turn in the list of callbacks: those behind it find the file, and those before it have acted.

    Args:
        filepath: The file; it may hold {epoch} (counted from 1) and names of the logs, as in
            "model-{epoch:02d}-{val_loss:.3f}.safetensors", with those that callbacks before it add. Folders that are
            missing are made, as Keras does.
        monitor: The number's name in the logs.
        verbose: 1 prints the name of each file.
        save_best_only: Whether to save only after an epoch that improved the number.
        save_weights_only: Whether to write the weights alone, as tg.save(path, model.state_dict()) does.
        mode: "min" or "max", which of two numbers is better; "auto" asks the metric of that name.
        save_freq: "epoch", the only one.
        initial_value_threshold: What the number must be better than, such as the best of an earlier training.

    Raises:
        ValueError: The path names what is not in the logs or has fields that cannot be filled in, or an argument is
            unknown.
        OSError: Nothing can be written there. `fit` raises it before the first epoch, unless a field is in the way.
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
        super().__init__(monitor, mode, threshold=initial_value_threshold)
        if save_freq != "epoch":
            raise ValueError(f"ModelCheckpoint: save_freq: expected 'epoch', got {save_freq!r}")
        check_name(filepath, "ModelCheckpoint")
        check_fields(str(filepath), "ModelCheckpoint")
        self.filepath = str(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only

    def on_train_begin(self, logs: Logs = None) -> None:
        if self.save_best_only:
            self.start()
        make_folder(self.filepath, "ModelCheckpoint")
        if not self.save_weights_only:
            from tapegrad.models.model_file import check_savable

            check_savable(self.model)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.save_best_only and (self.unmeasured(logs) or not self.improved(logs)):
            return
        path = filled_in(self.filepath, "ModelCheckpoint", {"epoch": epoch + 1, **logs})
        make_folder(path, "ModelCheckpoint")
        if self.save_weights_only:
            files.save(path, self.model.state_dict())
        else:
            self.model.save(path)
        say(self.verbose, f"epoch {epoch + 1}: saved {path}")


class ReduceLROnPlateau(Monitor):
    """Multiplies the learning rate by `factor` when a number has not improved for `patience` epochs.

    The rate of each epoch is added to the logs and the History as "learning_rate".

    Args:
        monitor: The number's name in the logs.
        factor: Between 0 and 1.
        patience: How many epochs without an improvement reduce the rate.
        verbose: 1 prints each reduction.
        mode: "min" or "max", which of two numbers is better; "auto" asks the metric of that name.
        min_delta: An improvement is larger than this.
        cooldown: Epochs after a reduction that are not counted.
        min_lr: The rate is not made smaller than this.
    """

    kept = ("best", "wait", "resting")

    checks = {
        "factor": partial(number, holds=lambda value: 0 < value < 1, expected="a number between 0 and 1"),
    }  # fmt: skip

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
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.wait = self.resting = 0

    def on_train_begin(self, logs: Logs = None) -> None:
        self.model.optimizer.refuse_schedule("ReduceLROnPlateau", "lr")
        one_rate("ReduceLROnPlateau", self.model.optimizer)
        self.start()
        self.wait = self.resting = 0

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs["learning_rate"] = one_rate("ReduceLROnPlateau", self.model.optimizer)
        if self.unmeasured(logs):
            return
        if self.resting:
            self.resting, self.wait = self.resting - 1, 0
        if self.improved(logs):
            self.wait = 0
        elif not self.resting:
            self.wait += 1
            rate = one_rate("ReduceLROnPlateau", self.model.optimizer)
            if self.wait >= self.patience and rate > self.min_lr:
                self.model.optimizer.lr = max(rate * self.factor, self.min_lr)
                self.wait, self.resting = 0, self.cooldown
                say(self.verbose, f"epoch {epoch + 1}: learning rate {self.model.optimizer.lr:g}")
