"""Totals: what reductions keep while loops go on, and what becomes of it.

A long sum of float64 keeps what its additions lost in a second total, which makes its error that of NumPy's sums in
pairs, or less. One of float32 is kept in float64 anyway.
"""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from tapegrad.compiler.emit.native.elements import combined
from tapegrad.compiler.emit.native.forms import (
    LANES,
    Called,
    Folded,
    Number,
    Take,
    Total,
    Value,
    convert,
    named,
    number,
)
from tapegrad.compiler.emit.native.pairs import corrected, rounding_error
from tapegrad.compiler.ir.operations import Operation
from tapegrad.compiler.ir.program import Op

LONG = 16 * LANES  # elements


def totals_of(op: Op, name: str, unique: Callable[[str], str], count: int) -> list[Total]:
    """The total of so many elements; before it that of what a long sum's additions lost, if it is not kept wider."""
    row, dtype = op.operation, wide(op)
    total = Total(unique(name), dtype, start(row, dtype), combined(row), ufunc_of(row))
    if count <= LONG or not loses(op):
        return [total]
    lost = replace(total, name=unique(f"{name}_lost"))
    return [lost, replace(total, lost=lost)]


def error_of(total: Total, held: Value, value: Value) -> Take:
    """The total of what is lost takes in what the sum of this partial result and this value does."""
    assert total.lost is not None
    return Take(total.lost, Called(value.dtype, "rounding_error", (held, value), rounding_error))


def come_to(total: Total) -> Value:
    """What a total came to."""
    if total.lost is None:
        return Folded(total)
    return Called(total.dtype, "corrected", (Folded(total), Folded(total.lost)), corrected)


def reduced_axes(op: Op) -> frozenset[int]:
    axis, ndim = op.params.get("axis"), op.vars[0].ndim
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return frozenset(a % ndim for a in axes)


def wide(op: Op) -> str:
    """The dtype in which partial results are kept: a float32 sum of many is closest to the truth in float64."""
    dtype = named(op.out.dtype)
    return "float64" if dtype == "float32" and not extreme(op) else dtype


def extreme(op: Op) -> bool:
    """Whether a reduction picks one of the elements."""
    return isinstance(op.operation.identity, float)


def adds_floats(op: Op) -> bool:
    return ufunc_of(op.operation) == "add" and op.out.dtype.kind == "f"


def loses(op: Op) -> bool:
    """Whether a long sum keeps what its additions lose: one of float32 in float64 loses nothing that shows."""
    return adds_floats(op) and named(op.vars[0].dtype) == "float64"


def ufunc_of(row: Operation) -> str:
    """NumPy's function that makes one of two partial results."""
    return "add" if row.native == "a + b" else str(row.numpy).partition(".")[0]


def start(row: Operation, dtype: str) -> Number:
    """What changes no result of a reduction."""
    identity = row.identity
    if np.dtype(dtype).kind in "iu" and identity in (inf, -inf):
        limits = np.iinfo(dtype)
        identity = limits.max if identity > 0 else limits.min
    return number(identity, dtype)


def finished(value: Any, count: int, dtype: str) -> Any:
    if count:
        value = value / float(count)
    return convert(value, dtype)
