"""How a metric keeps its sums or its rows from batch to batch. `data.metrics` has the metrics themselves."""

from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np

from tapegrad.autograd.aliases import Array, ArrayModule, Function, TensorLike
from tapegrad.autograd.arguments import optional, refuse_masked, text, truth
from tapegrad.autograd.attributes import Options
from tapegrad.autograd.diagnostics import warn_user
from tapegrad.autograd.dtypes import is_floating, name_of
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import BY_TYPE, backend_of
from tapegrad.data.aliases import PlainData
from tapegrad.nn import loss_order, losses

# What a model's outputs are besides probabilities and numbers: its loss says so.
LOGIT, LOGITS, LOG_PROBABILITIES, SIGNS = "logit", "logits", "log_probabilities", "signs"


class Metric(Options):
    """One number over all the rows it was shown since the last `reset`: `update(outputs, targets)`, `result()`.

    Attributes:
        larger_is_better: Whether more of it is better, which callbacks with mode="auto" ask; None: it is not known.
    """

    checks = {"name": text, "larger_is_better": optional(truth)}
    larger_is_better: bool | None = None
    given: Function | None = None  # the function that a user gave
    spec: PlainData | None = None  # the arguments of `metrics.get` that make it again
    outputs: str | None = None
    scalar: Any = True  # whether the result is one number, which logs can show
    # Whether it has only counted so far, so that it is the same however rows are put together.
    is_count = False
    final = True  # whether `result` warns that it is not defined; False in the middle of a pass, when more rows come

    def __init__(self, name: str) -> None:
        self.name = name
        self.reset()

    def reset(self) -> None:
        raise NotImplementedError

    def update(self, outputs: TensorLike, targets: TensorLike) -> None:
        """Take in a batch.

        Args:
            outputs: What the model gave for the rows, a Tensor or an array.
            targets: What it should have given.
        """
        self.add(raw(outputs), raw(targets))

    def add(self, outputs: Array, targets: Array) -> None:
        """Take in a batch of raw arrays."""
        raise NotImplementedError

    def result(self) -> Any:
        """The number over all rows since the last `reset`; NaN of no rows."""
        raise NotImplementedError

    def warn_undefined(self, why: str) -> None:
        """Warn with scikit-learn's class that the result is not defined."""
        if self.final:
            from sklearn.exceptions import UndefinedMetricWarning

            warn_user(f"{self.name}: {why}", UndefinedMetricWarning)

    def of_outputs(self, kind: str | None) -> "Metric":
        """The metric for a model whose outputs are logits or signs, as its loss says."""
        if kind is None or self.outputs is not None:
            return self
        other = copy(self)
        other.outputs = kind
        other.reset()
        return other

    def __call__(self, outputs: TensorLike, targets: TensorLike) -> Any:
        """The metric of these rows alone.

        Args:
            outputs: What the model gave for the rows, a Tensor or an array.
            targets: What it should have given.
        """
        self.reset()
        self.update(outputs, targets)
        return self.result()


def raw(a: TensorLike) -> Array:
    """The raw array of what a metric is shown. A recorder hears that its numbers leave the tensors."""
    if isinstance(a, Tensor):
        a._read("a metric", "Return the outputs from the step and measure outside.")
        return a.data
    if type(a) in BY_TYPE and not isinstance(a, np.generic):
        return a
    refuse_masked("a metric", a)
    return np.asarray(a)


def one_number(name: str, value: object) -> float:
    """A result as a float: a number, or an array of one element of any library. TypeError for anything else."""
    try:
        item = value.item() if hasattr(value, "item") else np.asarray(value).item()
    except (TypeError, ValueError, RuntimeError):  # PyTorch's error for several elements is a RuntimeError
        item = value
    if not isinstance(item, (int, float)):
        several = f"numbers of shape {np.shape(item)}: take their mean, as average='macro' does for classes"
        raise TypeError(f"{name}: expected one number, got {several if np.ndim(item) else repr(value)}")
    return float(item)


def shares(name: str, targets: np.ndarray) -> np.ndarray:
    """Targets of one column per class; ValueError where those of a row are not of one class."""
    if np.any(np.abs(targets.sum(axis=-1) - 1) > 1e-3):
        raise ValueError(
            f"{name}: the targets of a row must add up to 1, one class for each row; some here do not"
        )
    return targets


def same_shape(name: str, outputs: Array, targets: Array) -> None:
    """Raise ValueError where outputs and targets would be broadcast."""
    if outputs.shape != targets.shape:
        numbers = targets.ndim < outputs.ndim and outputs.shape[-1] > 1
        remedy = (
            "turn class numbers into one column per class, or name sparse_categorical_accuracy"
            if numbers
            else "reshape one of them"
        )
        raise ValueError(
            f"{name}: outputs {tuple(outputs.shape)} and targets {tuple(targets.shape)} must have one shape: {remedy}"
        )


def precise(array: Array) -> Array:
    """An array in which differences and squares are right: integers as float64, float16 as float32."""
    dtype = array.dtype
    if isinstance(dtype, np.dtype) and dtype.char in "fd":  # as almost always: to ask by name takes longer
        return array
    if not is_floating(dtype):
        return backend_of(array).xp.astype(array, backend_of(array).dtype("float64"))
    if name_of(dtype) == "float16":
        return backend_of(array).xp.astype(array, backend_of(array).dtype("float32"))
    return array


def probabilities(xp: ArrayModule, outputs: Array, kind: str | None) -> Array:
    """The probabilities of classes behind logits or log-probabilities."""
    if kind == LOG_PROBABILITIES:
        return xp.exp(outputs)
    if kind != LOGITS:
        return outputs
    e = xp.exp(outputs - xp.max(outputs, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def cut(threshold: float | None, kind: str | None) -> float:
    """Where an output becomes positive: the threshold of its probability, on the scale of the outputs."""
    if kind == SIGNS:
        return 0.0 if threshold is None else threshold
    p = 0.5 if threshold is None else threshold
    return float(np.log(p / (1 - p))) if kind == LOGIT else p


class Mean(Metric):
    """The mean of a score over all elements. Nothing leaves the device before `result`.

    score   (xp, outputs, targets) -> scores; with `options`, also of those keyword arguments
    """

    def __init__(
        self, name: str, score: Function, *, root: bool = False, threshold: float | None = None
    ) -> None:
        self.score, self.root, self.threshold = score, root, threshold
        super().__init__(name)

    def reset(self) -> None:
        self.total: Array = 0
        self.count, self.is_count = 0, False
        self.faults: dict[str, Array] = {}  # what is wrong with the targets -> how often, on the device

    def add(self, outputs: Array, targets: Array) -> None:
        xp = backend_of(outputs).xp
        scores = self.score(self, xp, precise(outputs), targets)
        self.is_count = bool(scores.dtype == xp.bool)
        total = xp.count_nonzero(scores) if self.is_count else xp.sum(scores, dtype=xp.float64)
        self.total = self.total + total
        self.count += scores.size

    def note(self, fault: str, count: Array) -> None:
        self.faults[fault] = self.faults.get(fault, 0) + count

    def result(self) -> float:
        for fault, count in self.faults.items():
            if int(count):
                raise ValueError(f"{self.name}: {fault}")
        mean = float(self.total) / self.count if self.count else float("nan")
        return mean**0.5 if self.root else mean


class Whole(Metric):
    """A function of all rows at once: it keeps them, on their device, until `reset`.

    function    (outputs, targets) -> a float, both as float64 on the host; with `cuts`, also of the threshold
    undefined   (targets) -> why there is no score of such targets, or ""
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., float],
        *,
        binary: bool,
        cuts: bool,
        threshold: float | None = None,
        undefined: Function | None = None,
    ) -> None:
        self.function, self.binary, self.cuts, self.threshold = function, binary, cuts, threshold
        self.undefined = undefined
        super().__init__(name)

    def reset(self) -> None:
        self.rows: list[tuple[Array, Array]] = []

    def add(self, outputs: Array, targets: Array) -> None:
        same_shape(self.name, outputs, targets)
        self.rows.append((outputs, targets))

    def result(self) -> float:
        if not self.rows:
            return float("nan")
        to_numpy = backend_of(self.rows[0][0]).to_numpy
        outputs, targets = (
            np.concatenate([to_numpy(a) for a in column]).astype(np.float64) for column in zip(*self.rows)
        )
        if self.undefined is not None and (why := self.undefined(targets)):
            self.warn_undefined(why)
        if not self.binary:
            return self.function(outputs, targets)
        if (wrong := targets[~((targets == -1) | ((targets >= 0) & (targets <= 1)))]).size:
            raise ValueError(
                f"{self.name}: targets must be 0 and 1 (or -1 and 1), got {wrong[0]:g}: it is for two classes"
            )
        outputs = probabilities(np, outputs, self.outputs)
        if self.cuts:
            return self.function(outputs, targets, cut(self.threshold, self.outputs))
        return self.function(outputs, targets)


class Custom(Metric):
    """A user's function of (y_true, y_pred), Tensors, averaged over batches by their number of rows."""

    def __init__(self, function: Function) -> None:
        loss_order.check_order("metric", function)
        self.function = function
        super().__init__(loss_order.name_of(function))

    def reset(self) -> None:
        self.total: Array = 0
        self.count = 0

    def add(self, outputs: Array, targets: Array) -> None:
        value = self.function(Tensor(targets), Tensor(outputs))
        value = value.data if isinstance(value, Tensor) else value
        if type(value) not in BY_TYPE:
            if np.asarray(value).dtype.kind not in "fiub":
                raise TypeError(
                    f"{self.name}: expected a number for the batch, or one for each row, got {value!r}"
                )
            value = np.asarray(value)
        if np.shape(value):
            value = backend_of(value).xp.mean(value, dtype=backend_of(value).xp.float64)
        self.total = self.total + value * len(outputs)
        self.count += len(outputs)

    def result(self) -> float:
        return float(self.total) / self.count if self.count else float("nan")


class OfLoss(Metric):
    """One of tapegrad's losses as a metric: its mean over all rows."""

    larger_is_better = False

    def __init__(self, name: str, loss: Function) -> None:
        self.loss = loss
        self.function: Function = losses.our_function(loss) or loss
        self.options = loss_order.options_of(loss) | {"reduction": "none"}
        super().__init__(name)

    def reset(self) -> None:
        self.total: Array = 0
        self.count = 0

    def add(self, outputs: Array, targets: Array) -> None:
        loss = self.function(Tensor(outputs), Tensor(targets), **self.options).data
        xp = backend_of(loss).xp
        self.total = self.total + xp.sum(loss, dtype=xp.float64)
        self.count += loss.size

    def result(self) -> float:
        return float(self.total) / self.count if self.count else float("nan")


class OfKeras(Metric):
    """A metric written as Keras's are: `update_state(y_true, y_pred)`, `result()`, `reset_state()`."""

    def __init__(self, metric: Any) -> None:
        self.metric = metric
        # Where Keras's own metrics say which way is better.
        direction = getattr(metric, "_direction", None)
        self.larger_is_better = direction == "up" if direction in ("up", "down") else None
        super().__init__(str(getattr(metric, "name", None) or loss_order.name_of(metric)))

    def reset(self) -> None:
        self.metric.reset_state()

    def add(self, outputs: Array, targets: Array) -> None:
        self.metric.update_state(Tensor(targets), Tensor(outputs))

    def result(self) -> float:
        return one_number(self.name, self.metric.result())
