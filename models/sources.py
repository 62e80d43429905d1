"""Where the batches of an epoch come from: arrays, or an iterable of batches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import length_hint
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.autograd.aliases import Array
from tapegrad.autograd.diagnostics import warn_user
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function
from tapegrad.data.aliases import Batch, Features, RowWeights, Targets
from tapegrad.data.arrays import refuse_query
from tapegrad.data.batches import Batches
from tapegrad.data.loader import DataLoader
from tapegrad.models import rows

if TYPE_CHECKING:
    from tapegrad.models.sequential import Sequential

NO_BATCH: Any = object()  # None is what a faulty generator gives, and no end
EXPECTED = "arrays, a tuple (x, y) or (x, y, sample_weight), or an iterable of such tuples"


def is_batches(x: Features, y: Targets) -> bool:
    """Whether x brings its targets along, batch by batch: a generator, `data.Batches`, a loader, a list of tuples."""
    refuse_query("x", x)
    if isinstance(x, list):
        return y is None and bool(x) and isinstance(x[0], tuple)
    if isinstance(x, (np.ndarray, Tensor, tuple, str, Mapping)) or hasattr(x, "columns"):
        return False
    if hasattr(x, "shape") or hasattr(x, "__array__"):
        return False
    return isinstance(x, Iterable) or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))


def unpacked(who: str, x: Features, y: Targets, sample_weight: RowWeights) -> tuple[Array, Array, Array]:
    """x, y and the weights, of which a tuple (x, y) or (x, y, sample_weight) may stand for x."""
    if isinstance(x, tuple) and y is None:
        if len(x) not in (2, 3) or (len(x) == 3 and sample_weight is not None):
            raise ValueError(f"{who}: x: expected {EXPECTED}, got a tuple of {len(x)}")
        refuse_tuple_of_batches(f"{who}: x", x)
        x, y, sample_weight = (*x, sample_weight) if len(x) == 2 else x
    if callable(x) and not isinstance(x, Tensor) and not hasattr(x, "shape"):
        raise TypeError(
            f"{who}: x: expected {EXPECTED}, got the function {getattr(x, '__name__', x)}: call it"
        )
    if isinstance(x, Mapping):
        raise TypeError(
            f"{who}: x: expected {EXPECTED}, got a dict: a Sequential has one input, give its array"
        )
    if (
        y is None
        and isinstance(x, list)
        and x
        and isinstance(x[0], list)
        and hasattr(next(iter(x[0]), None), "shape")
    ):
        raise ValueError(f"{who}: x: a list of lists is read as rows: give batches as tuples, [(x, y), …]")
    if y is None:
        raise ValueError(f"{who}: y is missing: give {who}(x, y), or {EXPECTED}")
    return x, y, sample_weight


def refuse_tuple_of_batches(what: str, given: Sequence[Any]) -> None:
    """Raise ValueError for batches in place of the arrays x and y."""
    parts = [part for part in given if part is not None]
    for part in parts:
        shapes = {getattr(a, "shape", None) for a in part} if isinstance(part, (tuple, list)) else {None}
        if len(shapes) == 1 or None in shapes:
            return
    if parts:
        raise ValueError(
            f"{what}: a {type(given).__name__} of {len(given)} is read as (x, y) or (x, y, sample_weight), and its "
            "parts are pairs of arrays: give batches as a list of tuples, [(x, y), …]"
        )


def count(name: str, value: object, least: int = 1) -> int:
    """A whole number of at least `least`; ValueError names the argument."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}")
    return int(value)


class FromArrays:
    """Batches cut from arrays. With `steps`, an epoch is so many batches, and the next one goes on in the pass, or
    `anew`: validations that are compared are of the same rows."""

    alike = True  # whether all batches have rows of one shape

    def __init__(
        self,
        arrays: tuple[Array, ...],
        batch_size: int,
        shuffle: bool,
        steps: int | None = None,
        anew: bool = False,
    ) -> None:
        self.anew = anew
        self.batches = Batches(*arrays, batch_size=batch_size, shuffle=shuffle)
        self.continues = steps is not None and steps != len(self.batches)
        self.steps: int | None = len(self.batches) if steps is None else steps
        self.running: Iterator[Array] = iter(())

    def epoch(self) -> Iterator[tuple[Array, ...]]:
        if not self.continues:
            yield from self.batches
            return
        if self.anew:
            yield from islice(self.batches, self.steps)
            if (self.steps or 0) > len(self.batches):
                tell_of_the_end("", len(self.batches), self.steps)
            return
        for _ in range(self.steps or 0):
            batch = next(self.running, NO_BATCH)
            if batch is NO_BATCH:
                self.running = iter(self.batches)
                batch = next(self.running)
            yield batch


class FromBatches:
    """Batches that an iterable gives: tuples (x, y) or (x, y, sample_weight), in its order.

    steps      batches in an epoch; an iterator then goes on where the epoch before ended
    anew       whether an epoch begins with the first batch again, where what is given can be iterated again
    weigh      (weights, y) -> weights, where classes have weights
    """

    alike = False

    def __init__(
        self,
        model: "Sequential",
        data: Features,
        steps: int | None,
        where: str = "",
        anew: bool = False,
    ) -> None:
        self.model, self.data, self.where, self.anew = model, data, where, anew
        self.weigh: Function | None = None
        self.once = hasattr(data, "__next__")
        length = length_hint(data, -1) if hasattr(data, "__len__") else -1  # a loader of a stream has none
        self.limit = steps
        self.steps = steps if steps is not None else None if length < 0 else length
        self.running: Iterator[Array] | None = None
        self.first: Batch = NO_BATCH

    def leave_out(self, epochs: int) -> None:
        """Tell a DataLoader, whose order is a function of its pass, that a fit has had epochs before."""
        if not epochs or not isinstance(self.data, DataLoader):
            return
        if self.limit is None or self.anew:
            self.data._leave_out(epochs)
        elif self.data.source.rows is not None:
            self.data._leave_out(*divmod(epochs * self.limit, len(self.data)))
        else:
            warn_user(
                f"fit: a DataLoader of a stream does not tell how many batches of a pass {epochs} epochs of "
                f"steps_per_epoch={self.limit} have had, and begins where it stands: give it the state_dict() of the "
                "loader of those epochs",
                UserWarning,
            )

    def iterate(self) -> Iterator[Batch]:
        if hasattr(self.data, "__iter__"):
            return iter(self.data)
        return (self.data[i] for i in range(len(self.data)))

    def peek(self) -> Batch:
        """The x of the first batch, which the next epoch begins with."""
        if self.first is NO_BATCH:
            self.running = self.iterate()
            self.first = next(self.running, NO_BATCH)
            if self.first is NO_BATCH:
                raise ValueError(f"{self.where}x: there is no batch")
        return self.parts(self.first, 0)[0]

    def epoch(self) -> Iterator[tuple[Array, ...]]:
        if self.running is None:
            self.running = self.iterate()
        done, empty = 0, False
        while self.limit is None or done < self.limit:
            batch, self.first = self.first, NO_BATCH
            if batch is NO_BATCH:
                batch = next(self.running, NO_BATCH)
            if batch is not NO_BATCH:
                yield self.tensors(batch, done)
                done, empty = done + 1, False
                continue
            if self.once or self.anew or empty or self.limit is None:
                break
            self.end_pass()
            self.running, empty = self.iterate(), True
        if (self.limit is None or self.anew) and not self.once:
            self.end_pass()
            self.running = None
        self.check_ended(done)

    def end_pass(self) -> None:
        """Keras's data sets are told, so that they can shuffle."""
        if hasattr(self.data, "on_epoch_end"):
            self.data.on_epoch_end()

    def check_ended(self, done: int) -> None:
        if not done:
            raise ValueError(f"{self.where}x: there is no batch left: a generator gives its batches once")
        if self.limit is not None and done < self.limit and self.anew and not self.once:
            tell_of_the_end(self.where, done, self.limit)
        elif self.limit is not None and done < self.limit:
            warn_user(
                f"{self.where}x: the batches ended after {done} of the {self.limit} of an epoch: training ends here",
                UserWarning,
            )
            self.model.stop_training = True

    def parts(self, batch: Batch, number: int) -> tuple[Array, ...]:
        several = isinstance(batch, (tuple, list))
        if not several or len(batch) not in (2, 3):
            got = f"{len(batch)} parts" if several else "None" if batch is None else type(batch).__name__
            raise ValueError(
                f"{self.where}x: expected batches (x, y) or (x, y, sample_weight), got in place of batch {number} {got}"
            )
        return tuple(batch)

    def tensors(self, batch: Batch, number: int) -> tuple[Array, ...]:
        x, y, weights = rows.examples(self.model, *self.parts(batch, number), where=self.where)
        if self.weigh is not None:
            weights = self.weigh(weights, y)
        return tuple(None if a is None else Tensor(a) for a in (x, y, weights))


Source = FromArrays | FromBatches


def tell_of_the_end(where: str, done: int, steps: int | None) -> None:
    """Warn that there are fewer batches to measure than steps: no row is measured twice."""
    warn_user(
        f"{where}x: the batches ended after {done} of {steps} steps: all are measured once", UserWarning
    )


def refuse_for_batches(who: str, **given: object) -> None:
    """Raise ValueError for arguments that only arrays have."""
    for name, value in given.items():
        if value is not None and not (np.isscalar(value) and value == 0):
            got = f"an array of shape {value.shape}" if hasattr(value, "shape") else repr(value)
            raise ValueError(f"{who}: {name}: the batches of x bring it along, leave it out, got {got}")


def held_out(model: "Sequential", data: Features, batch_size: int, steps: int | None, epochs: int) -> Source:
    """The batches of `validation_data`."""
    if is_batches(data, None):
        source = FromBatches(model, data, steps, "validation ", anew=True)
        if source.once and steps is None and epochs > 1:
            raise ValueError(
                "validation_data: a generator gives its batches once, and there are more epochs: give validation_steps "
                "or something that can be iterated again, such as tapegrad.data.Batches"
            )
        return source
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError(
            f"validation_data: expected (x, y), (x, y, sample_weight) or batches of them, got {type(data).__name__}"
        )
    refuse_tuple_of_batches("validation_data", data)
    return FromArrays(rows.examples(model, *data, where="validation "), batch_size, False, steps, anew=True)
