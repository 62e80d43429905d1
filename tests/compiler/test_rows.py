"""Every row of the table of primitives, value and gradient, compiled and run three times, against the same run eagerly.
(What the numba emitter writes for them is in test_numba.)"""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_emitters import TOLERANCE, close, flat, same_bits
from primitives.harness import cotangent
from primitives.table import Case, cases

dtypes = pytest.mark.parametrize("dtype", TOLERANCE)
every = pytest.mark.parametrize("case", cases(lambda row: row.primitive != "move"), ids=lambda case: case.id)
with_gradient = pytest.mark.parametrize(
    "case",
    [c for c in cases(lambda row: row.grad and row.primitive != "move") if any(a.dtype.kind == "f" for a in c.arrays)],
    ids=lambda case: case.id,
)  # fmt: skip

# Where NumPy adds up in another order if it is given the array for the result.
ROUNDED_OTHERWISE = ["einsum ii,ij->j"]


def arrays_of(case: Case, dtype: str, seed: int) -> list[np.ndarray]:
    """The row's inputs; with another seed moved a little, so that nothing of the first run can be left over."""
    moved = [a * (1 + 1e-3 * seed) if a.dtype.kind == "f" else a for a in case.cast(dtype)]
    return [np.asarray(a, dtype=a.dtype if a.dtype.kind != "f" else dtype) for a in moved]


def check(case: Case, dtype: str, function: Any) -> None:
    compiled = tg.jit(lambda *xs: function(*xs), emitter="numpy")
    for seed in (0, 1, 2):
        xs = [tg.tensor(a) for a in arrays_of(case, dtype, seed)]
        tg.manual_seed(seed)  # the same random numbers for both
        got = flat(compiled(*xs))
        tg.manual_seed(seed)
        want = flat(function(*xs))
        for a, b in zip(got, want, strict=True):
            close(a, b, dtype, compiled.source())
        assert same_bits(got, want) or case.row.name in ROUNDED_OTHERWISE, compiled.source()
    assert compiled.stats()["recordings"] == 1


@dtypes
@every
def test_value(case: Case, dtype: str) -> None:
    with tg.no_grad():
        check(case, dtype, lambda *xs: case.row.call(*xs))


@dtypes
@with_gradient
def test_gradient(case: Case, dtype: str) -> None:
    floating = tuple(i for i, a in enumerate(case.arrays) if a.dtype.kind == "f")

    def loss(*xs: Any) -> Any:
        y = case.row.call(*xs)
        return (y * cotangent(y)).sum()

    check(case, dtype, tg.value_and_grad(loss, argnums=floating))
