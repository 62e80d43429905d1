"""Reductions of all elements of large arrays: in chunks, with the bits of one thread on any number."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from native_programs import bits, interpreted, left_to_numpy, machine_code, native
from tapegrad.compiler.emit.native import chunks, cuts, pool
from tapegrad.compiler.emit.native.build import arrays_of
from tapegrad.compiler.emit.native.parts import parts_of

pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
RNG = np.random.default_rng(0)
W = RNG.normal(size=90).astype("float32")
ONE = tg.tensor(np.full((1, 1), 0.5, "float32"))
# On (rows, 90) numbers: what is computed, and the same by NumPy in float64.
PROGRAMS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "sum": (lambda x: x.sum(), np.sum),
    "mean": (lambda x: (x * x).mean(), lambda x: (x * x).mean()),
    "of both axes": (lambda x: x.sum(axis=(0, 1)), np.sum),
    "keepdims": (lambda x: x.mean(keepdims=True), lambda x: x.mean(keepdims=True)),
    "min": (lambda x: (x - 1.0).min(), lambda x: x.min() - 1),
    "max": (lambda x: x.max(), np.max),
    "any": (lambda x: (x > 4.9).any(), lambda x: (x > 4.9).any()),
    "all": (lambda x: (x < 4.9).all(), lambda x: (x < 4.9).all()),
    "a loss": (lambda x: tg.nn.functional.mse_loss(x, x * 0.0 + ONE), lambda x: ((x - 0.5) ** 2).mean()),
    "of a row beside": (lambda x: ((x - W) ** 2).mean(), lambda x: ((x - W) ** 2).mean()),
    "of integers": (
        lambda x: tg.astype(x * 9.0, "int64").sum(),
        lambda x: (x.astype("f") * 9).astype("i8").sum(),
    ),
    "several": (lambda x: (x.sum() + x.max()) / x.mean(), lambda x: (x.sum() + x.max()) / x.mean()),
    "of a part": (lambda x: x[3:].sum(), lambda x: x[3:].sum()),
    "of columns": (lambda x: x.T.sum(), np.sum),
    "what is returned too": (
        lambda x: (y := x * 2.0, y.sum())[1] + y[0, 0],
        lambda x: 2 * (x.sum() + x[0, 0]),
    ),
}
# Rows: a rest behind the last chunk, none, a short one.
ROWS = (500, 2048, 455 + 2)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuts, "NEST", 1)


def parts_of_program(f: Any) -> list[int]:
    """Into how many parts each stage is cut."""
    build = f.shown().runner.build
    parts = parts_of(build.emitter, arrays_of(build.emitter, build.captured))
    return [len(stage) for part in parts.calls if isinstance(part, list) for stage in part]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_bits_and_the_right_number(
    name: str, rows: int, shared: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    f, wanted = PROGRAMS[name]
    x = RNG.normal(size=(rows, 90)).astype("float32")
    found = {}
    for threads in ("1", "2", "3", "8") if pool.system() else ("1",):
        monkeypatch.setenv("TAPEGRAD_THREADS", threads)
        step = native(lambda x: f(x))
        with tg.no_grad():
            for _ in range(4):
                y = step(tg.tensor(x))
        assert left_to_numpy(step) == [""]
        found[threads] = bits(y.numpy())
        assert threads == "1" or name == "of columns" or max(parts_of_program(step)) >= 2, step.source()
    assert len(set(found.values())) == 1
    assert np.allclose(y.numpy(), wanted(x.astype("float64")), rtol=3e-6, atol=1e-5)
    (case,) = step.cases
    if rows == ROWS[0]:
        assert interpreted(case.runner, [x]) == machine_code(case.runner, [x])


@pytest.mark.parametrize(
    "size", [chunks.LARGE - 1, chunks.LARGE, chunks.LARGE + 1, chunks.LARGE + chunks.CHUNK - 1]
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
def test_sizes_around_the_limit(dtype: str, size: int) -> None:
    x = (RNG.normal(size=size) * 9).astype(dtype)
    f = native(lambda x: (x.sum(), tg.max(tg.astype(x, "float64"))))
    with tg.no_grad():
        for _ in range(3):
            total, largest = f(tg.tensor(x))
    assert np.isclose(float(total.numpy()), x.sum(dtype="float64"), rtol=1e-6, atol=1e-3)
    assert float(largest.numpy()) == x.max()
    assert ("partial" in f.source()) == (size >= chunks.LARGE)


def test_the_norm_of_a_gradient_that_is_written_in_place() -> None:
    """A block that writes to what outlives a call, and reduces it."""
    w = tg.nn.Parameter(np.ones(40_000, "float32"))
    twin = np.ones(40_000, "float32")

    def step(x: Any) -> Any:
        w.assign(w * x)
        return (w * w).sum()

    f = native(step)
    for n in range(6):
        x = np.full(40_000, 1 + 0.1 * n, "float32")
        twin = twin * x
        with tg.no_grad():
            assert np.isclose(float(f(tg.tensor(x)).numpy()), (twin.astype("float64") ** 2).sum(), rtol=1e-6)
        assert np.array_equal(w.numpy(), twin)


def test_short_arrays_are_one_loop() -> None:
    f = native(lambda x: (x * x).sum())
    with tg.no_grad():
        for _ in range(3):
            f(tg.tensor(np.ones(1000, "float32")))
    assert "partial" not in f.source()
