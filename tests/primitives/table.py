"""The table of primitives: what each one is called with, and what it is compared with.

A row is data: a call on Tensors, the same in NumPy and in TensorFlow, and sample inputs. The checks, which know no
primitive by name, are in the test modules beside this one. The rows themselves are in rows_*.py, by subject.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from math import prod
from operator import attrgetter
from typing import Any

import numpy as np

SUBJECTS = ("elementwise", "reductions", "shape", "indexing", "linalg", "losses", "windows")

# The largest difference, relative to the largest element, from the same thing computed in float64.
TOLERANCE = {"float16": 8e-3, "float32": 4e-6, "float64": 1e-11}
FLOATS = tuple(TOLERANCE)


@dataclass(frozen=True)
class Row:
    """
    name        what the test ids say
    call        on Tensors
    ref         the same on NumPy arrays; None: nothing to compare with
    inputs      sample inputs: tuples of float64 (or integer, boolean) arrays
    tf          the same in TensorFlow: a name below `tf`, or a function (tf, *tensors); None: it has no such thing
    primitive   the registered primitive this row stands for; None for composed functions
    grad        the gradient exists (for floating inputs)
    ints        what integers give: the "same" dtype, "float" (the default), "sum" (the widest), "bool", "int64";
                None: not for integers
    """

    name: str
    call: Callable[..., Any]
    ref: Callable[..., Any] | None
    inputs: tuple[tuple[np.ndarray, ...], ...]
    tf: str | Callable[..., Any] | None = None
    primitive: str | None = None
    grad: bool = True
    ints: str | None = None

    def tensorflow(self, tf: Any, *args: Any) -> Any:
        return attrgetter(self.tf)(tf)(*args) if isinstance(self.tf, str) else self.tf(tf, *args)


@dataclass(frozen=True)
class Case:
    """A row with one of its inputs."""

    row: Row
    arrays: tuple[np.ndarray, ...] = field(repr=False)

    @property
    def id(self) -> str:
        shapes = ",".join("x".join(map(str, a.shape)) or "0d" for a in self.arrays)
        return f"{self.row.name}-{shapes}"

    def cast(self, dtype: str) -> tuple[np.ndarray, ...]:
        """The inputs with the floating ones in another dtype."""
        return tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in self.arrays)


# ---- sample inputs ----
def spread(shape: tuple[int, ...], low: float, high: float, seed: int = 0) -> np.ndarray:
    """Values between low and high in random order, no two near each other and (for -x to x) none near 0."""
    n = prod(shape)
    rng = np.random.default_rng([seed, n])
    steps = np.arange(n) + rng.uniform(0.2, 0.4, n)
    return rng.permutation(low + (high - low) * steps / max(n, 1)).reshape(shape)


ONE = tuple((shape,) for shape in ((3, 4), (), (0, 3), (2, 1, 3)))
TWO = (((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 1, 3), (4, 1)), ((), (3,)), ((0, 3), (1, 3)))


def samples(shapes: Any, *limits: tuple[float, float]) -> tuple[tuple[np.ndarray, ...], ...]:
    """For each entry of `shapes`, an array of each of its shapes, within the limits for that argument."""
    return tuple(
        tuple(spread(shape, *limits[i % len(limits)], seed=i) for i, shape in enumerate(entry))
        for entry in shapes
    )


# ---- the whole table ----
def rows() -> list[Row]:
    return [row for subject in SUBJECTS for row in import_module(f"primitives.rows_{subject}").ROWS]


def cases(keep: Callable[[Row], Any] = lambda row: True) -> list[Case]:
    return [Case(row, sample) for row in rows() if keep(row) for sample in row.inputs]
