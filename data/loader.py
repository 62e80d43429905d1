"""Batches from anything that has rows, in an order that (seed, epoch) sets, made ahead of the loop, and resumable."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from tapegrad.autograd import random
from tapegrad.autograd.aliases import Tree
from tapegrad.autograd.arguments import above_0, integer, optional, truth
from tapegrad.autograd.attributes import Options
from tapegrad.autograd.creation import asarray
from tapegrad.autograd.foreign import answering
from tapegrad.autograd.signatures import signature as signature_of
from tapegrad.autograd.structure import flatten
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import BY_TYPE, resolve
from tapegrad.backends.aliases import Function
from tapegrad.data.aliases import Batch, Features
from tapegrad.data.batches import size_of_batches
from tapegrad.data.prefetch import ahead
from tapegrad.data.row_sources import Iterated, source_of
from tapegrad.data.samplers import SubsetSampler

STATE = ("seed", "epoch", "batch", "batch_size", "rows")


def _seed(name: str, seed: Any) -> int:
    return int(random.host_generator().integers(2**62)) if seed is None else random.checked_seed(name, seed)


def _sampler(name: str, sampler: Any) -> Any:
    """What has an `order`; row numbers become such an object."""
    if sampler is None or hasattr(sampler, "order"):
        return sampler
    if not isinstance(sampler, Iterable):
        raise TypeError(f"{name} must be a sampler such as WeightedSampler, or row numbers, got {sampler!r}")
    return SubsetSampler(sampler if isinstance(sampler, np.ndarray) else list(sampler), shuffle=False)


def _transform(name: str, transform: Any) -> Any:
    if transform is not None and not callable(transform):
        raise TypeError(f"{name} must be a function of a batch, got {transform!r}")
    return transform


def _device(name: str, device: Any) -> Any:
    if device is not None:
        resolve(device)  # raises for what is no device
    return device


class DataLoader(Options):
    """Iterates over data in batches of Tensors: `for x, y in DataLoader(x, y, batch_size=32, shuffle=True, seed=0): …`.

    The data are one of:

    - arrays of equally many rows, memory-mapped ones too (`np.load(path, mmap_mode="r")`), or a dict of arrays;
    - a data set with `len(d)` and `d[i]`, whose samples are collated;
    - an iterable of samples, which keeps its order;
    - `tg.data.CsvRows` or `ParquetRows`: tables read in pieces.

    Each pass is an epoch, whose order is a function of (seed, epoch) alone. `state_dict()` says where the loop is;
    a loader with that state goes on with the next batch, the same as without the stop. A pass that was left with
    `break` is over: the next one begins another epoch.

    Args:
        *data: The data. Batches of arrays are tuples, of a dict dicts, of samples what a sample is.
        batch_size: Rows in a batch.
        shuffle: Whether each epoch has an order of its own. Tables are shuffled within their pieces.
        seed: What orders are drawn from; None takes one from the stream that `tg.manual_seed` starts.
        drop_last: Whether a last batch with fewer rows is left out.
        sampler: Which rows an epoch takes and in which order, instead of shuffle: `tg.data.WeightedSampler`, or row
            numbers.
        transform: batch -> batch, or (batch, generator) -> batch, on raw arrays, before they become Tensors. The
            generator is NumPy's, and begins from (seed, epoch, batch).
        collate: A list of samples -> a batch; None stacks numbers and arrays.
        workers: Threads that make batches ahead of the loop; 0 makes them in the loop. Of an iterable or a table one
            thread reads.
        prefetch: How many batches are made ahead; None is two for each worker.
        timeout: Seconds after which a batch that does not come raises TimeoutError, with workers; None waits.
        device: Where the batches go: "cpu", "cuda:0", …; None leaves them where the arrays are.

    Raises:
        TypeError: The data are none of these.
        ValueError: The arrays differ in length, or options contradict each other.

    The options but `collate` are attributes, which may be set between two passes.
    """

    checks = {
        "batch_size": size_of_batches, "shuffle": truth, "drop_last": truth, "seed": _seed, "sampler": _sampler,
        "transform": _transform, "workers": partial(integer, least=0), "prefetch": optional(partial(integer, least=1)),
        "timeout": optional(above_0), "device": _device,
    }  # fmt: skip

    seed: int
    sampler: Any

    @answering
    def __init__(
        self, *data: Features, batch_size: int = 32, shuffle: bool = False, seed: int | None = None,
        drop_last: bool = False, sampler: Iterable[int] | None = None, transform: Function | None = None,
        collate: Function | None = None, workers: int = 0, prefetch: int | None = None, timeout: float | None = None,
        device: str | None = None,
    ) -> None:  # fmt: skip
        self.source = source_of(data, collate)
        self.epoch = self._passes = self._at = 0
        self._resume: int | None = None
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self.seed = seed  # type: ignore[assignment]
        self.sampler, self.transform, self.device = sampler, transform, device
        self.workers, self.prefetch, self.timeout = workers, prefetch, timeout

    def agree(self) -> None:
        self.takes_generator = self.transform is not None and _takes_two(self.transform)
        if self.shuffle and isinstance(self.source, Iterated):
            raise ValueError(
                "DataLoader: shuffle: an iterable keeps its order: give a data set with len(d) and d[i], or "
                "shuffle inside the iterable"
            )
        if self.sampler is not None and self.source.rows is None:
            raise ValueError(
                "DataLoader: sampler: the rows of an iterable or a table have no numbers: leave it out"
            )
        if self.sampler is not None and self.shuffle:
            raise ValueError("DataLoader: shuffle and sampler both say the order: leave one out")
        if self.prefetch is not None and not self.workers:
            raise ValueError(f"DataLoader: prefetch={self.prefetch} needs threads: give workers=1 or more")
        if self.source.rows is not None and not len(self):
            raise ValueError(
                f"DataLoader: there is no batch: {self._rows()} rows, batch_size={self.batch_size}, "
                f"drop_last={self.drop_last}"
            )

    def __repr__(self) -> str:
        rows = "a stream" if self.source.rows is None else f"{self.source.rows} rows"
        return f"DataLoader({rows}, batch_size={self.batch_size}, seed={self.seed}, epoch={self.epoch})"

    def _rows(self) -> int:
        """The rows of an epoch."""
        return self.source.rows if self.sampler is None else len(self.sampler)

    def __len__(self) -> int:
        """The number of batches in an epoch; TypeError for an iterable or a table, which do not tell."""
        if self.source.rows is None:
            raise TypeError("DataLoader: an iterable or a table does not tell how many batches it has")
        rows = self._rows()
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)

    # ---- where the loop is ----
    def state_dict(self) -> dict[str, int | None]:
        """Where the loop is: the seed, the epoch, and how many of its batches the loop got. After the last one of an
        epoch nothing is left of it: in the loop's body, the next pass of who goes on there is empty."""
        return {
            "seed": self.seed, "epoch": self.epoch, "batch": self._at, "batch_size": self.batch_size,
            "rows": self.source.rows,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where another loader of the same data was: the next pass is the rest of its epoch.

        Args:
            state: What `state_dict` returned.

        Raises:
            ValueError: The state is of other data, another batch_size, or no state.
        """
        if not isinstance(state, dict) or set(state) != set(STATE):
            raise ValueError(f"DataLoader: load_state_dict: expected the keys {list(STATE)}, got {state!r}")
        for name, here in (("batch_size", self.batch_size), ("rows", self.source.rows)):
            if state[name] != here:
                raise ValueError(
                    f"DataLoader: load_state_dict: the state has {name}={state[name]}, this loader has {here}"
                )
        self.seed = random.checked_seed("DataLoader: seed", state["seed"])
        self.epoch = self._passes = integer("DataLoader: epoch", state["epoch"], 0)
        self._resume = self._at = integer("DataLoader: batch", state["batch"], 0)

    def _leave_out(self, passes: int, batches: int = 0) -> None:
        """Begin after so many passes, and batches of the next one, unless the loader is there or further already."""
        if (passes, batches) > (self._passes, self._resume or 0):
            self.epoch = self._passes = passes
            self._resume = self._at = batches

    # ---- a pass ----
    def __iter__(self) -> Iterator[Batch]:
        start, self._resume = self._resume or 0, None
        self.epoch, self._at = self._passes, start
        self._passes += 1
        return self._pass(self.epoch, start)

    def _pass(self, epoch: int, start: int) -> Iterator[Batch]:
        jobs = self._stream(epoch, start) if self.source.rows is None else self._jobs(epoch, start)
        if self.workers:
            threads = 1 if self.source.rows is None else self.workers
            prefetch = 2 * self.workers if self.prefetch is None else self.prefetch
            batches = ahead(jobs, threads, prefetch, self.timeout, f"DataLoader, epoch {epoch}")
        else:
            batches = (job() for job in jobs)
        with closing(batches):
            for number, batch in enumerate(batches, start):
                if batch is END:
                    break
                self.epoch, self._at = epoch, number + 1
                yield batch
        if self.epoch == epoch:
            self.epoch, self._at = epoch + 1, 0

    def _generator(self, *key: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(np.random.SeedSequence((self.seed, *key))))

    def _jobs(self, epoch: int, start: int) -> Iterator[Callable[[], Batch]]:
        """What makes each batch of rows that have numbers."""
        rows, order = self.source.rows, self._generator(epoch)
        if self.sampler is not None:
            chosen = np.asarray(self.sampler.order(rows, order))
            wrong = chosen[(chosen < -rows) | (chosen >= rows)]
            if len(wrong):
                raise IndexError(f"DataLoader: sampler: row {wrong[0]} of {rows} rows")
        else:
            chosen = order.permutation(rows) if self.shuffle else np.arange(rows)
        for number in range(start, len(self)):
            part = chosen[number * self.batch_size : (number + 1) * self.batch_size]
            yield partial(self._finished, epoch, number, partial(self.source.take, part))

    def _stream(self, epoch: int, start: int) -> Iterator[Callable[[], Batch]]:
        """What makes the next batch of a stream, over and over, until it gives END."""
        order = self._generator(epoch) if self.shuffle else None
        batches = islice(self.source.batches(self.batch_size, self.drop_last, order), start, None)
        ended = False

        def following() -> Batch:
            nonlocal ended
            batch = END if ended else next(batches, END)
            ended = batch is END
            return batch

        number = start
        while not ended:
            yield partial(self._finished, epoch, number, following)
            number += 1

    def _finished(self, epoch: int, number: int, raw: Callable[[], Batch]) -> Batch:
        """A batch, transformed, as Tensors. A fault says which batch it was."""
        try:
            batch = raw()
            if batch is END:
                return END
            if self.transform is not None:
                given = (self._generator(epoch, number),) if self.takes_generator else ()
                batch = self.transform(batch, *given)
            leaves, build = flatten(batch, modules=False)
            return build([self._placed(leaf) for leaf in leaves])
        except Exception as error:
            error.add_note(f"in batch {number} of epoch {epoch} of a DataLoader")
            raise

    def _placed(self, leaf: Tree) -> Batch:
        """A leaf as a Tensor on the device; texts and other objects stay as they are."""
        if isinstance(leaf, Tensor):
            return leaf if self.device is None else leaf.to(self.device)
        numbers = type(leaf) in BY_TYPE or (isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biuf")
        return asarray(leaf, device=self.device) if numbers else leaf


END = object()  # what a stream gives after its last batch


def _takes_two(transform: Function) -> bool:
    """Whether a transform takes a generator besides the batch."""
    try:
        parameters = signature_of(transform).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = [
        p
        for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]
    return len(needed) == 2
