"""What `Sequential.fit`, `evaluate` and `predict` are given, read and checked: batches, and a `Fit`."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.autograd.diagnostics import warn_user
from tapegrad.data.aliases import Batch, Features, RowWeights, Targets
from tapegrad.models import loss_kinds, rows
from tapegrad.models.fitting import Fit
from tapegrad.models.moments import Moments, as_callbacks
from tapegrad.models.readiness import build_for, check_compiled, last_activation, ready_to_train
from tapegrad.models.resuming import check_goes_on, validated_epochs
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

if TYPE_CHECKING:
    from tapegrad.models.sequential import Sequential

BATCH, EVALUATION_BATCH = 32, 1024


def training(model: "Sequential", options: dict[str, Any], seed: int | None = None) -> Fit:
    """A `Fit` from the arguments of `Sequential.fit`."""
    epochs = count("epochs", options["epochs"], 0)
    initial = count("initial_epoch", options["initial_epoch"], 0)
    if initial > epochs:
        raise ValueError(
            f"fit: initial_epoch={initial} is past epochs={epochs}: epochs counts those of earlier fits, too"
        )
    callbacks = as_callbacks(options["callbacks"])
    check_compiled(model)
    check_goes_on(model, initial, callbacks)
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
            held.leave_out(sum(map(validate_after, range(validated_epochs(model, initial)))))
    if held is None:
        refuse_without_validation(options)
    warn_of_mismatch(model)
    params = {"verbose": options["verbose"], "epochs": epochs, "steps": source.steps}
    params["do_validation"] = held is not None
    return Fit(
        model, source, held, Moments(callbacks, model, params), options["verbose"], epochs, initial,
        validate_after, seed,
    )  # fmt: skip


def refuse_without_validation(options: dict[str, Any]) -> None:
    """Raise ValueError for options of a validation where there is none."""
    for name, default in {
        "validation_freq": 1,
        "validation_steps": None,
        "validation_batch_size": None,
    }.items():
        if options[name] != default:
            raise ValueError(
                f"fit: {name}={options[name]!r}: there is no validation: give validation_split or validation_data, or "
                "leave it out"
            )


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
        warn_user(f"fit: {fault}", UserWarning)


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


def no_rows(model: "Sequential", x: Features) -> np.ndarray:
    """What `predict` returns for an input without rows."""
    array = rows.inputs(model, x)
    shape: tuple[int, ...] = array.shape[1:]
    if not shape and model.input_shape is not None:  # an empty list has no columns
        shape = model.input_shape
    return np.empty((0, *model.build(shape)), str(array.dtype))
