"""Arrays cut into batches, in a new order at every pass."""

from collections.abc import Iterator
from math import prod

import numpy as np

from tapegrad.autograd import random
from tapegrad.autograd.aliases import Array
from tapegrad.autograd.arguments import truth
from tapegrad.autograd.attributes import Options
from tapegrad.autograd.creation import asarray, new
from tapegrad.autograd.diagnostics import describe
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import backend_of
from tapegrad.data.aliases import Features

TOGETHER = 2**16  # numbers of the batches that are copied at once


def checked_arrays(name: str, arrays: tuple[Features, ...]) -> tuple[Array, ...]:
    """Raw arrays of equally many rows; None stays None."""
    if len(arrays) == 1 and isinstance(arrays[0], tuple):
        raise TypeError(
            f"{name}: give the {len(arrays[0])} arrays one by one: {name}(x, y), not {name}((x, y))"
        )
    for a in arrays:
        if isinstance(a, Tensor):
            a._read(name, "Make it outside, and give its batches to the step.")
            refuse_grad(name, a)
    raw = tuple(None if a is None else asarray(a).data for a in arrays)
    if any(a is not None and not a.ndim for a in raw):
        raise ValueError(f"{name}: the arrays need rows, a first axis, got a single number, of shape ()")
    lengths = [a.shape[0] for a in raw if a is not None]
    if not lengths or len(set(lengths)) > 1:
        raise ValueError(f"{name}: the arrays must have equally many rows, got {lengths}")
    return raw


def refuse_grad(name: str, t: Tensor) -> None:
    if t.requires_grad:
        raise TypeError(
            f"{name}: a tensor that requires grad, {describe(t)}: its batches would not pass the gradient on: give "
            "t.detach(), or index it in the loop, t[start:end]"
        )


def checked_size(batch_size: object) -> int:
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"batch_size: expected an integer of at least 1, got {batch_size!r}")
    return int(batch_size)


def size_of_batches(name: str, batch_size: object) -> int:
    """The check of the option, whose messages name it alone."""
    return checked_size(batch_size)


class Batches(Options):
    """Iterates over arrays of equal length in batches of Tensors: `for x, y in Batches(x, y, batch_size=32): …`.

    A pass draws one permutation and copies each row once, several batches ahead. Without shuffling the batches are
    views.

    Args:
        arrays: Arrays or Tensors, (rows, …), all on one device; None stands for an absent one and stays None.
        batch_size: Rows in a batch; the last batch holds what is left.
        shuffle: Draw a new order at every pass, from the host's random stream (`tg.manual_seed` sets it).
    """

    checks = {"batch_size": size_of_batches, "shuffle": truth}

    def __init__(self, *arrays: Features, batch_size: int = 32, shuffle: bool = True) -> None:
        self.arrays = checked_arrays("Batches", arrays)
        self.rows = next(a.shape[0] for a in self.arrays if a is not None)
        self.batch_size, self.shuffle = batch_size, shuffle

    def __len__(self) -> int:
        """The number of batches in a pass."""
        return -(-self.rows // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        first = next(a for a in self.arrays if a is not None)
        backend = backend_of(first)
        if not self.shuffle:
            yield from self._cut(self.arrays, self.rows)
            return
        take = backend.xp.take
        drawn = random.host_generator().permutation(self.rows)
        order = backend.asarray(drawn, device=backend.device_of(first))
        # Of many batches at once: each is a part of the copy then, which costs a tenth of a copy of its own.
        together = self.batch_size * max(1, TOGETHER // (self.batch_size * self._row_size()))
        for start in range(0, self.rows, together):
            rows = order[start : min(start + together, self.rows)]
            copies = tuple(None if a is None else take(a, rows, axis=0) for a in self.arrays)
            yield from self._cut(copies, rows.shape[0])

    def _cut(self, arrays: tuple[Array, ...], rows: int) -> Iterator[tuple[Array, ...]]:
        for start in range(0, rows, self.batch_size):
            chosen = slice(start, min(start + self.batch_size, rows))
            yield tuple(None if a is None else new(a[chosen, ...]) for a in arrays)

    def _row_size(self) -> int:
        return max(1, sum(prod(a.shape[1:]) for a in self.arrays if a is not None))
