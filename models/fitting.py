"""The loops of `Sequential`: a training, an evaluation, a prediction, with the moments of their callbacks."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tapegrad.autograd import random
from tapegrad.autograd.flags import no_grad
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.whole import uninterrupted
from tapegrad.data.aliases import Batch
from tapegrad.data.metric_base import one_number
from tapegrad.models.aliases import Logs, Measured, Model
from tapegrad.models.compiled_step import Step
from tapegrad.models.history import History
from tapegrad.models.in_mode import mode, set_mode
from tapegrad.models.moments import NOBODY, Moments
from tapegrad.models.progress import Progress, Running
from tapegrad.models.readiness import take_up_changes
from tapegrad.models.resuming import go_on, progress
from tapegrad.models.sources import (
    Source,
)
from tapegrad.nn.module import Module

if TYPE_CHECKING:
    from tapegrad.models.sequential import Sequential


@dataclass
class Fit:
    """What a `fit` was asked for, checked."""

    model: Model
    source: Source
    validation: Source | None
    callbacks: Moments
    verbose: int | str
    epochs: int
    initial_epoch: int
    validate_after: Callable[[int], bool]
    seed: int | None
    whole: int = 0  # epochs that have been trained, with those before initial_epoch

    def run(self) -> History:
        """Train. A fit that a callback of another one calls leaves that one's History and its wish to stop."""
        model, self.history, self.whole = self.model, History(), self.initial_epoch
        with mode(model, True) as self.modules:
            outer, stopping = model.fitting, model.stop_training
            self.history.larger_is_better = {metric.name: metric.larger_is_better for metric in model.metrics}
            model.fitting, model.history, model.stop_training = self, self.history, False
            model.ended = None
            try:
                self.loop()
                model.ended = progress(self, ended=True)
            finally:
                model.fitting = outer
                if outer is not None:
                    model.history, model.stop_training = outer.history, stopping
        return self.history

    def __deepcopy__(self, memo: dict[int, object]) -> None:
        """A copy of a model that is in a fit is in none."""

    def loop(self) -> None:
        self.callbacks("on_train_begin", {})
        ended = go_on(self)
        logs: Logs = {}
        for epoch in range(self.epochs if ended else self.initial_epoch, self.epochs):
            logs = self.epoch(epoch)
            if self.model.stop_training:
                break
        self.callbacks("on_train_end", logs)

    def epoch(self, epoch: int) -> Logs:
        model, progress = self.model, Progress(self.verbose, self.source.steps)
        if self.seed is not None:
            random.begin_part(self.seed, epoch)
        self.callbacks("on_epoch_begin", epoch, {})
        progress.begin(f"epoch {epoch + 1:>{len(str(self.epochs))}}/{self.epochs}")
        try:
            if self.callbacks.callbacks:  # one may have added a layer
                take_up_changes(model)
                self.modules = [module for _, module in model.named_modules()]
            set_mode(self.modules, True)
            logs = train_epoch(model, self.source, self.callbacks, progress, self.modules)
            self.whole = epoch + 1
            if self.validate_after(epoch):
                self.validate(epoch, logs)
        except BaseException:
            progress.abort()
            raise
        progress.end(logs)
        self.history.append(epoch, logs)
        self.callbacks.epoch_end(epoch, logs)
        self.history.replace_last(logs)  # with what callbacks added
        return logs

    def validate(self, epoch: int, logs: Logs) -> None:
        """Add the numbers of the validation to those of an epoch that has been trained."""
        if self.validation is not None:
            with self.callbacks.before_epoch_end(epoch, logs) as whole:
                measure(self.model, self.validation, self.callbacks, whole)


def train_epoch(
    model: "Sequential", source: Source, callbacks: Moments, progress: Progress, modules: list[Module]
) -> Logs:
    """One pass over the batches; the loss and the metrics over its rows. modules: those of the model."""
    if own_step(model, "train_step"):
        return own_epoch(model, source, callbacks, progress)
    told_before, told_after = callbacks.any("on_train_batch_begin"), callbacks.any("on_train_batch_end")
    with Running(model.metrics) as running:
        step = model.steps(modules).train
        together = source.alike and not (told_before or told_after)
        for number, (x, y, weights) in enumerate(source.epoch()):
            if told_before:
                callbacks("on_train_batch_begin", number, {})
                step = step_after_callbacks(model)
            programs = step.compiled
            with uninterrupted():  # Ctrl-C comes between two batches
                loss, outputs = step(x, y, weights)
            running.update(loss, outputs, y, together=together and step.compiled > programs)
            progress.step(number + 1, running.so_far)
            if told_after:
                callbacks("on_train_batch_end", number, running.so_far())
                step = step_after_callbacks(model)
            if model.stop_training:
                break
        return running.logs()


def step_after_callbacks(model: "Sequential") -> Step:
    """The step for the layers and the optimizer, which a callback may have changed."""
    take_up_changes(model)
    return model.steps().train


def own_epoch(model: "Sequential", source: Source, callbacks: Moments, progress: Progress) -> Logs:
    """One pass with the user's `train_step`. What it returned last are the logs, as in Keras."""
    logs: Logs = {}
    before, told = model.running, callbacks.any("on_train_batch_begin", "on_train_batch_end")
    with Running(model.metrics) as model.running:
        try:
            for number, batch in enumerate(source.epoch()):
                callbacks("on_train_batch_begin", number, {})
                if told:
                    take_up_changes(model)
                logs = numbers("train_step", model.train_step(shown(batch)))
                progress.step(number + 1, partial(dict, logs))
                callbacks("on_train_batch_end", number, dict(logs))
                if model.stop_training:
                    break
        finally:
            model.running = before
    return dict(logs)


def own_step(model: "Sequential", name: str) -> bool:
    """Whether a subclass brings a `train_step` or `test_step` of its own."""
    from tapegrad.models.keras_words import KerasWords  # which imports this file

    return getattr(type(model), name) is not getattr(KerasWords, name)


def numbers(who: str, logs: object) -> dict[str, float]:
    """The logs that a user's step returned, as floats."""
    if not isinstance(logs, Mapping):
        raise TypeError(f"{who}: expected a dict of numbers by name, such as {{'loss': loss}}, got {logs!r}")
    return {str(name): one_number(f"{who}: {str(name)!r}", value) for name, value in logs.items()}


def reported(who: str, logs: Logs, return_dict: bool) -> Measured:
    """Logs as Keras returns them: the loss, or [loss, metric, …], or the dict."""
    if return_dict:
        return logs
    if not logs:
        raise ValueError(
            f"{who} returned no numbers: return a dict of them by name, such as {{'loss': loss}}"
        )
    return list(logs.values()) if len(logs) > 1 else next(iter(logs.values()))


def shown(batch: tuple[Batch, ...]) -> tuple[Batch, ...]:
    """A batch as `train_step` and `test_step` get it: (x, y), or (x, y, sample_weight)."""
    return batch[:2] if batch[2] is None else batch


def measure(
    model: "Sequential",
    source: Source,
    callbacks: Moments = NOBODY,
    measured: Callable[[Logs], None] | None = None,
) -> Logs:
    """The loss and the metrics of all rows, in evaluation mode. `measured` is called with them before the callbacks."""
    callbacks("on_test_begin", {})
    before = model.running
    own, logs = own_step(model, "test_step"), {}
    with mode(model, False), Running(model.metrics) as running:
        model.running = running if own else before
        try:
            for number, batch in enumerate(source.epoch()):
                callbacks("on_test_batch_begin", number, {})
                if own:
                    logs = numbers("test_step", model.test_step(shown(batch)))
                else:
                    loss, outputs = model.steps().evaluate(*batch)
                    running.update(loss, outputs, batch[1])
                if callbacks.any("on_test_batch_end"):
                    callbacks("on_test_batch_end", number, dict(logs) if own else running.so_far())
        finally:
            model.running = before
        logs = logs if own else running.logs()
    if measured is not None:
        measured(logs)
    callbacks("on_test_end", logs)
    return logs


def predictions(model: Model, batches: Iterator[Batch], callbacks: Moments = NOBODY) -> list[np.ndarray]:
    """The outputs of each batch, in evaluation mode."""
    parts = []
    callbacks("on_predict_begin", {})
    with mode(model, False), no_grad():
        for number, x in enumerate(batches):
            callbacks("on_predict_batch_begin", number, {})
            parts.append(model.steps().predict(Tensor(x)).numpy())
            callbacks("on_predict_batch_end", number, {"outputs": parts[-1]})
    callbacks("on_predict_end", {})
    return parts
