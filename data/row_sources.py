"""What a DataLoader takes rows from: arrays, data sets that are indexed, iterables of samples, tables in pieces."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad.autograd.aliases import Array, Tree
from tapegrad.autograd.arguments import refuse_masked
from tapegrad.autograd.dtypes import get_default_dtype
from tapegrad.autograd.ops import stack
from tapegrad.autograd.structure import flatten, leaves_like
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import BY_TYPE, backend_of
from tapegrad.data.aliases import Batch, Features
from tapegrad.data.batches import checked_arrays, refuse_grad

Collate = Callable[[list[Batch]], Batch]


def collated(samples: list[Tree]) -> Batch:
    """One structure of arrays of a list of samples of one structure: numbers and arrays are stacked, texts listed.

    Args:
        samples: Numbers, arrays, Tensors or texts, or tuples, lists, dicts or dataclass objects of them, all alike.

    Raises:
        ValueError: Two samples differ in structure or shape.
    """
    first, build = flatten(samples[0], modules=False)
    columns = [
        leaves_like(f"DataLoader: sample {i} of the batch", s, samples[0]) for i, s in enumerate(samples)
    ]
    return build([_stacked([leaves[k] for leaves in columns]) for k in range(len(first))])


def _stacked(values: list[Tree]) -> Batch:
    if isinstance(values[0], Tensor):
        for t in values:
            t._read("a DataLoader", "Make it outside, and give its batches to the step.")
            refuse_grad("DataLoader", t)
        return stack(values).data
    if isinstance(values[0], (str, bytes)):
        return values
    shapes = {np.shape(v) for v in values}
    if len(shapes) > 1:
        raise ValueError(
            f"DataLoader: samples of shapes {sorted(shapes)} do not stack into one array: give collate=, a function "
            "that makes one batch of a list of samples"
        )
    refuse_masked("DataLoader", values)
    plain_floats = all(type(v) is float for v in values)
    return np.asarray(values, dtype=get_default_dtype() if plain_floats else None)


class Arrays:
    """Arrays of equally many rows, on any backend; memory-mapped ones are read where a batch needs them."""

    def __init__(self, arrays: tuple[Array, ...]) -> None:
        self.names = list(arrays[0]) if len(arrays) == 1 and isinstance(arrays[0], Mapping) else None
        given = tuple(arrays[0].values()) if self.names is not None else arrays
        self.arrays = checked_arrays("DataLoader", given)
        self.rows: int = next(a.shape[0] for a in self.arrays if a is not None)

    def take(self, rows: np.ndarray) -> Batch:
        taken = tuple(None if a is None else _taken(a, rows) for a in self.arrays)
        return taken if self.names is None else dict(zip(self.names, taken, strict=True))


def _taken(a: Array, rows: np.ndarray) -> Batch:
    backend = backend_of(a)
    return backend.xp.take(a, backend.asarray(rows, device=backend.device_of(a)), axis=0)


class Indexed:
    """A data set with `len(d)` and `d[i]`, whose samples are collated."""

    def __init__(self, data: Features, collate: Collate) -> None:
        self.data, self.collate, self.rows = data, collate, len(data)

    def take(self, rows: np.ndarray) -> Batch:
        return self.collate([self.data[i] for i in rows.tolist()])


class Iterated:
    """An iterable of samples, in its order."""

    rows = None

    def __init__(self, data: Features, collate: Collate) -> None:
        self.data, self.collate = data, collate
        self.used = False

    def batches(self, size: int, drop_last: bool, order: np.random.Generator | None) -> Iterator[Batch]:
        if hasattr(self.data, "__next__"):
            if self.used:
                raise RuntimeError(
                    "DataLoader: a generator gives its samples once, and this is a second pass: give an object whose "
                    "__iter__ begins again"
                )
            self.used = True
        kept: list[Tree] = []
        for sample in self.data:
            kept.append(sample)
            if len(kept) == size:
                yield self.collate(kept)
                kept = []
        if kept and not drop_last:
            yield self.collate(kept)


class Pieces:
    """A table that is read in pieces (`tg.data.CsvRows`, `ParquetRows`): batches run over their borders.

    Shuffled, the pieces come in another order where the file allows it, and the rows of each in another.
    """

    rows = None

    def __init__(self, data: Features) -> None:
        self.data = data

    def batches(self, size: int, drop_last: bool, order: np.random.Generator | None) -> Iterator[Batch]:
        left: tuple[np.ndarray, ...] | None = None
        for piece in self.data.pieces(order):
            if order is not None:
                rows = order.permutation(len(piece[0]))
                piece = tuple(a[rows] for a in piece)
            if left is not None and len(left[0]):
                piece = tuple(np.concatenate(pair) for pair in zip(left, piece, strict=True))
            whole = len(piece[0]) // size * size
            for start in range(0, whole, size):
                yield tuple(a[start : start + size] for a in piece)
            left = tuple(a[whole:] for a in piece)
        if left is not None and len(left[0]) and not drop_last:
            yield left


def source_of(data: tuple[Features, ...], collate: Collate | None) -> Any:
    """The source that fits what a loader was given."""
    if not data:
        raise TypeError("DataLoader: give the data first, as in DataLoader(x, y, batch_size=32)")
    one = data[0]
    if len(data) > 1 or isinstance(one, (Tensor, Mapping)) or _is_array(one) or hasattr(one, "columns"):
        if collate is not None:
            raise ValueError("DataLoader: collate is for samples; of arrays, rows are taken: give transform")
        return Arrays(data)
    if isinstance(one, tuple):
        raise TypeError(
            f"DataLoader: give the {len(one)} arrays one by one: DataLoader(x, y), not DataLoader((x, y))"
        )
    if isinstance(one, (str, Path)):
        raise TypeError(
            f"DataLoader: expected data, got a path: write DataLoader(tg.data.CsvRows({str(one)!r}))"
        )
    if hasattr(one, "pieces"):
        return Pieces(one)
    if hasattr(one, "__getitem__") and hasattr(one, "__len__"):
        return Indexed(one, collate or collated)
    if hasattr(one, "__iter__"):
        return Iterated(one, collate or collated)
    raise TypeError(
        "DataLoader: expected arrays, a dict of arrays, a data set with len(d) and d[i], an iterable of samples, or "
        f"tg.data.CsvRows, got a {type(one).__name__}"
    )


def _is_array(value: object) -> bool:
    return (type(value) in BY_TYPE or isinstance(value, np.ndarray)) and hasattr(value, "__len__")
