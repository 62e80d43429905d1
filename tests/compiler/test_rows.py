"""Every row of the table of primitives, value and gradient, compiled and run twice, against the same run eagerly."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from primitives.harness import cotangent
from primitives.table import Case, cases

every = pytest.mark.parametrize("case", cases(lambda row: row.primitive != "move"), ids=lambda case: case.id)
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def arrays_of(case: Case, dtype: str, seed: int) -> list[np.ndarray]:
    """The row's inputs; with another seed moved a little, so that nothing of the first run can be left over."""
    moved = [a * (1 + 1e-3 * seed) if a.dtype.kind == "f" else a for a in case.cast(dtype)]
    return [np.asarray(a, dtype=a.dtype if a.dtype.kind != "f" else dtype) for a in moved]


def close(got: Any, want: Any, dtype: str) -> None:
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    a, b = got.numpy().astype("float64"), want.numpy().astype("float64")
    scale = max(1.0, float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0)))
    assert np.allclose(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale, equal_nan=True), (a, b)


@pytest.mark.parametrize("dtype", TOLERANCE)
@every
def test_value(case: Case, dtype: str) -> None:
    compiled = tg.jit(lambda *xs: case.row.call(*xs), emitter="numpy")
    with tg.no_grad():
        for seed in (0, 1, 2):
            xs = [tg.tensor(a) for a in arrays_of(case, dtype, seed)]
            tg.manual_seed(seed)  # the same random numbers for both
            got = compiled(*xs)
            tg.manual_seed(seed)
            close(got, case.row.call(*xs), dtype)
    assert compiled.stats()["recordings"] == 1


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "case", cases(lambda row: row.grad and row.primitive != "move"), ids=lambda case: case.id
)
def test_gradient(case: Case, dtype: str) -> None:
    floating = tuple(i for i, a in enumerate(case.arrays) if a.dtype.kind == "f")
    if not floating:
        pytest.skip("no floating input")

    def loss(*xs: Any) -> Any:
        y = case.row.call(*xs)
        return (y * cotangent(y)).sum()

    eager = tg.value_and_grad(loss, argnums=floating)
    compiled = tg.jit(lambda *xs: eager(*xs), emitter="numpy")
    for seed in (0, 1, 2):
        xs = [tg.tensor(a) for a in arrays_of(case, dtype, seed)]
        (value, gradients), (value_2, gradients_2) = compiled(*xs), eager(*xs)
        close(value, value_2, dtype)
        for got, want in zip(gradients, gradients_2, strict=True):
            close(got, want, dtype)
    assert compiled.stats()["recordings"] == 1
