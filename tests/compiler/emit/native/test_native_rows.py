"""Every row of the table of primitives, as machine code and as the source that the native emitter prints."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_emitters import TOLERANCE, close
from native_programs import interpreted, machine_code, native
from primitives.harness import cotangent
from primitives.table import Case, rows

pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
ROWS = {row.name: row for row in rows() if row.primitive not in ("move", "random_uniform")}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ROWS)
def test_primitive(name: str, dtype: str) -> None:
    row = ROWS[name]
    for sample in row.inputs:
        arrays = [np.asarray(a) for a in Case(row, sample).cast(dtype)]

        def value_and_gradients(*xs: Any) -> Any:
            floating = [i for i, x in enumerate(xs) if x.dtype.kind == "f"]
            if not (row.grad and floating):
                with tg.no_grad():
                    return row.call(*xs)

            def weighted(*xs: Any) -> Any:
                y = row.call(*xs)
                return (y * cotangent(y)).sum(), y.detach()

            return tg.grad(weighted, argnums=floating, has_aux=True)(*xs)

        tensors = [tg.tensor(a) for a in arrays]
        f = native(lambda *xs: value_and_gradients(*xs))
        want = leaves(value_and_gradients(*tensors))
        for _ in range(4):
            got = leaves(f(*tensors))
        for x, y in zip(got, want, strict=True):
            close(x, y, dtype if dtype in TOLERANCE else "float32", f.source())
        for case in f.cases:
            if "matmul(" in case.runner.source or " @ " in case.runner.source:
                continue  # the sums are NumPy's there
            assert interpreted(case.runner, arrays) == machine_code(case.runner, arrays), f.source()


def leaves(value: Any) -> list[np.ndarray]:
    if isinstance(value, (tuple, list)):
        return [a for v in value for a in leaves(v)]
    return [value.numpy()]
