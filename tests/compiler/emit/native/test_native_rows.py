"""Every row of the table of primitives, as machine code and as the source that the native emitter prints."""

import re
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_emitters import TOLERANCE, close
from native_programs import interpreted, machine_code, native
from primitives.harness import cotangent
from primitives.table import Case, Row, rows

pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
ROWS = {row.name: row for row in rows() if row.primitive not in ("move", "random_uniform")}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ROWS)
def test_primitive(name: str, dtype: str) -> None:
    """All of a row's samples in one program. One with a sum of NumPy's has other bits than its source: then each
    sample is a program, and those without such a sum are compared. (test_native_warnings.py has first ones alone.)"""
    row = ROWS[name]
    samples = [[np.asarray(a) for a in Case(row, sample).cast(dtype)] for sample in row.inputs]
    if not same_as_eager_and_as_its_source(row, samples, dtype) and len(samples) > 1:
        for sample in samples:
            same_as_eager_and_as_its_source(row, [sample], dtype)


def same_as_eager_and_as_its_source(row: Row, samples: list[list[np.ndarray]], dtype: str) -> bool:
    """Asserts it; whether the source could be compared."""
    arrays = [a for sample in samples for a in sample]
    tensors = [tg.tensor(a) for a in arrays]

    def function(*xs: Any) -> Any:
        rest = iter(xs)
        return [value_and_gradients(row, [next(rest) for _ in sample]) for sample in samples]

    f = native(function)
    want = leaves(function(*tensors))
    for _ in range(4):
        got = leaves(f(*tensors))
    for x, y in zip(got, want, strict=True):
        close(x, y, dtype if dtype in TOLERANCE else "float32", f.source())
    written = [case for case in f.cases if not re.search(r"matmul\(| @ ", case.runner.source)]
    for case in written:
        assert interpreted(case.runner, arrays) == machine_code(case.runner, arrays), f.source()
    return len(written) == len(f.cases)


def value_and_gradients(row: Row, xs: list[Any]) -> Any:
    floating = [i for i, x in enumerate(xs) if x.dtype.kind == "f"]
    if not (row.grad and floating):
        with tg.no_grad():
            return row.call(*xs)

    def weighted(*xs: Any) -> Any:
        y = row.call(*xs)
        return (y * cotangent(y)).sum(), y.detach()

    return tg.grad(weighted, argnums=floating, has_aux=True)(*xs)


def leaves(value: Any) -> list[np.ndarray]:
    if isinstance(value, (tuple, list)):
        return [a for v in value for a in leaves(v)]
    return [value.numpy()]
