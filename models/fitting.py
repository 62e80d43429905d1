"""The loops of `Sequential`: a training, an evaluation, a prediction, with the moments of their callbacks."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.autograd import random
from tapegrad.autograd.flags import no_grad
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.whole import uninterrupted
from tapegrad.data.aliases import Batch, Features, RowWeights, Targets
from tapegrad.models import loss_kinds, rows
from tapegrad.models.aliases import Logs, Measured, Model
from tapegrad.models.callbacks import Callback
from tapegrad.models.history import History
from tapegrad.models.in_mode import mode, set_mode
from tapegrad.models.moments import NOBODY, Moments, as_callbacks
from tapegrad.models.progress import Progress, Running
from tapegrad.models.readiness import build_for, check_compiled, last_activation, ready_to_train
from tapegrad.models.sources import (
    FromArrays,
    FromBatches,
    Source,
    count,
    held_out,
    is_batches,
    refuse_for_batches,
    unpacked,
)
from tapegrad.nn.module import Module

if TYPE_CHECKING:
    from tapegrad.models.sequential import Sequential

BATCH, EVALUATION_BATCH = 32, 1024


@dataclass
class Training:
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

    def run(self) -> History:
        model = self.model
        model.history, model.stop_training = History(), False
        model.history.larger_is_better = {metric.name: metric.larger_is_better for metric in model.metrics}
        model.fitting_callbacks, model.fit_seed = self.callbacks.callbacks, self.seed
        try:
            with mode(model, True) as self.modules:
                self.loop()
        finally:
            model.fitting_callbacks, model.fit_seed = (), None
        history: History = model.history
        return history

    def loop(self) -> None:
        self.callbacks("on_train_begin", {})
        go_on(self.model, self.callbacks.callbacks, self.seed)
        logs: Logs = {}
        for epoch in range(self.initial_epoch, self.epochs):
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
                self.modules = [module for _, module in model.named_modules()]
            set_mode(self.modules, True)
            logs = train_epoch(model, self.source, self.callbacks, progress, self.modules)
            if self.validation is not None and self.validate_after(epoch):
                measured = measure(model, self.validation, self.callbacks)
                logs |= {f"val_{name}": value for name, value in measured.items()}
        except BaseException:
            progress.abort()
            raise
        progress.end(logs)
        model.history.append(epoch, logs)
        self.callbacks("on_epoch_end", epoch, logs)
        model.history.replace_last(logs)  # with what callbacks added
        return logs


def go_on(model: "Sequential", callbacks: list[Callback], seed: int | None) -> None:
    """Put callbacks and random streams where they stood in a fit that was cut off, in a model loaded to resume it."""
    stood, model.interrupted = model.interrupted, None
    if stood is None:
        return
    if seed is not None and seed == stood["seed"]:
        random.set_state(stood["random"])
    seen = list(stood["callbacks"])
    for callback in callbacks:
        if seen and seen[0][0] == type(callback).__name__:
            callback.restore(seen.pop(0)[1])


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
                step = model.steps().train  # a callback may have changed the layers
            programs = step.compiled
            with uninterrupted():  # Ctrl-C comes between two batches
                loss, outputs = step(x, y, weights)
            running.update(loss, outputs, y, together=together and step.compiled > programs)
            progress.step(number + 1, running.so_far)
            if told_after:
                callbacks("on_train_batch_end", number, running.so_far())
                step = model.steps().train
            if model.stop_training:
                break
        return running.logs()


def own_epoch(model: "Sequential", source: Source, callbacks: Moments, progress: Progress) -> Logs:
    """One pass with the user's `train_step`. What it returned last are the logs, as in Keras."""
    logs: Logs = {}
    with Running(model.metrics) as model.running:
        try:
            for number, batch in enumerate(source.epoch()):
                callbacks("on_train_batch_begin", number, {})
                logs = numbers("train_step", model.train_step(shown(batch)))
                progress.step(number + 1, partial(dict, logs))
                callbacks("on_train_batch_end", number, dict(logs))
                if model.stop_training:
                    break
        finally:
            model.running = None
    return dict(logs)


def own_step(model: "Sequential", name: str) -> bool:
    """Whether a subclass brings a `train_step` or `test_step` of its own."""
    return next(kind for kind in type(model).__mro__ if name in vars(kind)).__name__ != "KerasWords"


def numbers(who: str, logs: object) -> dict[str, float]:
    """The logs that a user's step returned, as floats."""
    if not isinstance(logs, Mapping):
        raise TypeError(f"{who}: expected a dict of numbers by name, such as {{'loss': loss}}, got {logs!r}")
    return {
        str(name): float(value.item() if hasattr(value, "item") else value) for name, value in logs.items()
    }


def reported(logs: Logs, return_dict: bool) -> Measured:
    """Logs as Keras returns them: the loss, or [loss, metric, …], or the dict."""
    if return_dict:
        return logs
    return list(logs.values()) if len(logs) > 1 else next(iter(logs.values()))


def shown(batch: tuple[Batch, ...]) -> tuple[Batch, ...]:
    """A batch as `train_step` and `test_step` get it: (x, y), or (x, y, sample_weight)."""
    return batch[:2] if batch[2] is None else batch


def measure(model: "Sequential", source: Source, callbacks: Moments = NOBODY) -> Logs:
    """The loss and the metrics of all rows, in evaluation mode."""
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
    callbacks("on_test_end", logs)
    return logs


# ---- reading the arguments ----
def training(model: "Sequential", options: dict[str, Any], seed: int | None = None) -> Training:
    """A `Training` from the arguments of `Sequential.fit`."""
    epochs = count("epochs", options["epochs"], 0)
    initial = count("initial_epoch", options["initial_epoch"], 0)
    if initial > epochs:
        raise ValueError(
            f"fit: initial_epoch={initial} is past epochs={epochs}: epochs counts those of earlier fits, too"
        )
    callbacks = as_callbacks(options["callbacks"])
    check_compiled(model)
    x, y = options["x"], options["y"]
    steps = options["steps_per_epoch"]
    steps = None if steps is None else count("steps_per_epoch", steps)
    reading = from_batches if is_batches(x, y) else from_arrays
    validate_after = after(options["validation_freq"])
    source, held = reading(model, options, steps, epochs - initial)
    if options["validation_data"] is not None:
        size = options["validation_batch_size"] or EVALUATION_BATCH
        wanted = options["validation_steps"]
        wanted = None if wanted is None else count("validation_steps", wanted)
        held = held_out(model, options["validation_data"], size, wanted, epochs - initial)
        if isinstance(held, FromBatches):
            held.leave_out(sum(map(validate_after, range(initial))))
    warn_of_mismatch(model)
    params = {"verbose": options["verbose"], "epochs": epochs, "steps": source.steps}
    params["do_validation"] = held is not None
    return Training(
        model, source, held, Moments(callbacks, model, params), options["verbose"], epochs, initial,
        validate_after, seed,
    )  # fmt: skip


def after(frequency: int | Sequence[int]) -> Callable[[int], bool]:
    """After which epochs, counted from 1, there is a validation: every n-th, or those of a list."""
    if isinstance(frequency, (list, tuple, set)):
        chosen = {count("validation_freq", epoch) for epoch in frequency}
        return lambda epoch: epoch + 1 in chosen
    every = count("validation_freq", frequency)
    return lambda epoch: (epoch + 1) % every == 0


def from_arrays(
    model: "Sequential", options: dict[str, Any], steps: int | None, epochs: int
) -> tuple[Source, Features]:
    x, y, sample_weight = unpacked("fit", options["x"], options["y"], options["sample_weight"])
    ready_to_train(model, x)
    if (names := rows.column_names(x)) is not None:
        rows.check_columns(model, x, "x")
    x, y, weights = rows.examples(model, x, y, sample_weight)
    if names is not None:
        model.feature_names = names
    held: Features = None
    split = options["validation_split"]
    if split and options["validation_data"] is None:
        cut = rows.split_at(x.shape[0], split)
        held = tuple(None if a is None else a[cut:, ...] for a in (x, y, weights))
        x, y, weights = (None if a is None else a[:cut, ...] for a in (x, y, weights))
        wanted = options["validation_steps"]
        wanted = None if wanted is None else count("validation_steps", wanted)
        held = FromArrays(
            held, options["validation_batch_size"] or EVALUATION_BATCH, False, wanted, anew=True
        )
    if options["class_weight"] is not None:
        factors = rows.class_factors(options["class_weight"], model.build(tuple(x.shape[1:])))
        weights = rows.with_class_weights(weights, y, factors)
    size = BATCH if options["batch_size"] is None else options["batch_size"]
    return FromArrays((x, y, weights), size, options["shuffle"], steps), held


def from_batches(
    model: "Sequential", options: dict[str, object], steps: int | None, epochs: int
) -> tuple[Source, Features]:
    given = ("y", "sample_weight", "batch_size", "validation_split")
    refuse_for_batches("fit", **{name: options[name] for name in given})
    source = FromBatches(model, options["x"], steps)
    source.leave_out(count("initial_epoch", options["initial_epoch"], 0))
    if source.once and steps is None and epochs > 1:
        raise ValueError(
            f"fit: a generator gives its batches once, and there are {epochs} epochs: give steps_per_epoch, or what "
            "can be iterated again, such as tapegrad.data.Batches"
        )
    x = source.peek()
    ready_to_train(model, x)
    if options["class_weight"] is not None:
        factors = rows.class_factors(options["class_weight"], model.build(tuple(np.shape(x)[1:])))
        source.weigh = lambda weights, y: rows.with_class_weights(weights, y, factors)
    return source, None


def warn_of_mismatch(model: "Sequential") -> None:
    """Warn once for each compile of a loss that does not fit the last layer."""
    if model.warned_of is model.loss:
        return
    model.warned_of = model.loss
    fault = loss_kinds.mismatch(model.loss, last_activation(model), model._output_shape or ())
    if fault is not None:
        warnings.warn(f"fit: {fault}", stacklevel=5)


def evaluation(
    model: "Sequential",
    x: Features,
    y: Targets,
    sample_weight: RowWeights,
    batch_size: int | None,
    steps: int | None,
) -> Source:
    """The batches of `Sequential.evaluate`."""
    steps = None if steps is None else count("steps", steps)
    if is_batches(x, y):
        refuse_for_batches("evaluate", y=y, sample_weight=sample_weight, batch_size=batch_size)
        source = FromBatches(model, x, steps, anew=True)
        build_for(model, source.peek())
        return source
    x, y, sample_weight = unpacked("evaluate", x, y, sample_weight)
    build_for(model, x)
    size = EVALUATION_BATCH if batch_size is None else batch_size
    return FromArrays(rows.examples(model, x, y, sample_weight), size, False, steps, anew=True)


def prediction(
    model: "Sequential", x: Features, batch_size: int | None, steps: int | None
) -> Iterator[Batch]:
    """The batches of `Sequential.predict`, each an array of inputs."""
    if is_batches(x, None):
        refuse_for_batches("predict", batch_size=batch_size)
        batches = x if hasattr(x, "__iter__") else (x[i] for i in range(len(x)))
        for batch in islice(batches, None if steps is None else count("steps", steps)):
            x_of = batch[0] if isinstance(batch, (tuple, list)) else batch
            build_for(model, x_of)
            yield rows.inputs(model, x_of)
        return
    build_for(model, x)
    array = rows.inputs(model, x)
    size = count("batch_size", EVALUATION_BATCH if batch_size is None else batch_size)
    stop = array.shape[0] if steps is None else min(array.shape[0], size * count("steps", steps))
    for start in range(0, stop, size):
        yield array[start : min(start + size, stop), ...]


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


def no_rows(model: "Sequential", x: Features) -> np.ndarray:
    """What `predict` returns for an input without rows."""
    array = rows.inputs(model, x)
    return np.empty((0, *model.build(array.shape[1:])), str(array.dtype))
