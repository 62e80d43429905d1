"""The numba emitter. Every row of the table of primitives that it takes runs through its source as plain Python, which
is the same program without the seconds that each one takes to compile; whole training runs are compiled."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_emitters import loops
from compiler_steps import HOW, train
from primitives.harness import cotangent
from primitives.table import Case, cases
from tapegrad.compiler.emit import load as files
from tapegrad.compiler.emit.load import load
from tapegrad.compiler.emit.numba.calls import Unsupported
from tapegrad.compiler.emit.numba.emitter import NumbaEmitter
from tapegrad.compiler.passes import improve

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
every = cases(lambda row: row.primitive not in ("move", "random_uniform"))


def of_row(case: Case) -> Any:
    """The row's value, and its gradient if it has one, as a function of tensors."""
    floating = tuple(i for i, a in enumerate(case.arrays) if a.dtype.kind == "f")

    def loss(*xs: Any) -> Any:
        y = case.row.call(*xs)
        return (y * cotangent(y)).sum(), y

    if not case.row.grad or not floating:
        return lambda *xs: case.row.call(*xs)
    return lambda *xs: tg.value_and_grad(loss, argnums=floating, has_aux=True)(*xs)


def flat(value: Any) -> list[Any]:
    return [t for part in value for t in flat(part)] if isinstance(value, tuple) else [value]


taken: set[str | None] = set()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", every, ids=lambda case: case.id)
def test_rows(case: Case, dtype: str) -> None:
    function = of_row(case)
    compiled = tg.jit(lambda *xs: function(*xs), emitter="numpy")
    with tg.no_grad():
        compiled.prepare(*[tg.tensor(a) for a in case.cast(dtype)])
        variant = compiled.shown().runner
        try:
            program, _ = improve(variant.history[0][1], "numba")
            source = NumbaEmitter(program, "").source()
        except Unsupported:
            return  # which rows these are is asserted below
        taken.add(case.row.primitive)
        with loops():
            step, _ = load(source, "program", on_disk=False)(*variant.bound)
        for seed in (0, 1):
            arrays = [
                np.asarray(a * (1 + 1e-3 * seed), a.dtype) if a.dtype.kind == "f" else a
                for a in case.cast(dtype)
            ]
            with np.errstate(all="ignore"):
                made = step(*arrays)
            got = [
                made[n] for _, n in compiled.shown().recording.results
            ]  # one that is returned twice is made once
            for g, w in zip(got, flat(function(*[tg.tensor(a) for a in arrays])), strict=True):
                close(np.asarray(g), w.numpy(), dtype)


def moved(a: np.ndarray, seed: int) -> np.ndarray:
    return np.asarray(a * (1 + 1e-3 * seed), a.dtype) if a.dtype.kind == "f" else a


def close(got: np.ndarray, want: np.ndarray, dtype: str) -> None:
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    a, b = got.astype("float64"), want.astype("float64")
    scale = max(1.0, float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0)))
    assert np.allclose(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale, equal_nan=True), (a, b)


def test_what_is_left_to_numpy() -> None:
    """Runs after the rows: all primitives but these go through this emitter."""
    known = {row.row.primitive for row in every}
    left: set[str] = set()
    if not taken:
        pytest.skip("needs the rows, run before it in the same process")
    assert known - taken == left


@pytest.mark.parametrize("emitter", ["auto", "numba"])
@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_dtypes_left_to_numpy(emitter: str, dtype: str) -> None:
    """Also where no operation has them: the array goes in or out, and nothing is done to it."""
    pytest.importorskip("numba", reason="numba is not installed")
    ones = tg.ones(3, dtype=dtype)
    for function in (lambda x: tg.ones_like(x), lambda x: (x, ones)):
        compiled = tg.jit(function, emitter=emitter)
        for _ in range(4):
            assert {t.numpy().dtype.name for t in flat(compiled(ones))} == {dtype}
        assert all(program.startswith("numpy") for program in compiled.stats()["programs"])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["adam", "dropout", "global_clipnorm"])
def test_training(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    monkeypatch.setenv("TAPEGRAD_CACHE", str(tmp_path))
    eager, compiled = train(None, **HOW[how]), train("numba", **HOW[how])
    assert np.allclose(eager[0], compiled[0], rtol=1e-5)
    for a, b in zip(eager[1], compiled[1], strict=True):
        assert np.allclose(a, b, rtol=1e-4, atol=1e-6)
    assert compiled[2].stats()["programs"] == ["numba"]
    assert [p.suffix for p in tmp_path.iterdir()].count(".py") == 1 and list(tmp_path.rglob("*.nbi"))


def test_machine_code_of_another_version_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEGRAD_CACHE", str(tmp_path))
    before = files.cached("x = 1", "f")
    assert files.cached("x = 1", "f") == before and files.cached("x = 2", "f") != before
    monkeypatch.setattr(files, "library", lambda: b"exp in another way")
    assert files.cached("x = 1", "f") != before


@pytest.mark.slow
def test_it_is_compiled_once_for_arrays_of_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    monkeypatch.setenv("TAPEGRAD_CACHE", str(tmp_path))
    rows, w = np.arange(24.0).reshape(4, 6), np.arange(3.0)
    f = tg.jit(lambda x: x @ tg.tensor(w) + 1.0, emitter="numba")
    for x in (rows[:, :3].copy(), rows[:, ::2], np.asfortranarray(rows[:, :3]), rows[::-1, :3]):
        for _ in range(3):
            assert np.allclose(f(tg.Tensor(x)).numpy(), x @ w + 1.0)
    for case in f.cases:  # one for each order of memory, since sums are added up in it
        assert len(case.runner.step.__globals__["program"].signatures) == 1
    assert f.stats()["recordings"] == 4


@pytest.mark.slow
def test_what_numba_types_in_its_own_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An element as a view of what is written to; small integers that wrap around; an index that is not checked."""
    pytest.importorskip("numba", reason="numba is not installed")
    monkeypatch.setenv("TAPEGRAD_CACHE", str(tmp_path))
    small, where = tg.tensor(np.array([100, -128, 7], dtype="int8")), tg.tensor(np.array([[0], [1]]))

    def run(wrap: Any) -> Any:
        b = tg.tensor(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))

        def f(i: Any, at: Any) -> Any:
            element = b[1, -1]
            before = element + 1.0
            b.assign(b * 2.0)
            chosen = tg.take_along_axis(b, at, axis=1)
            return before, element * 1.0, element.reshape((1,)) * 2.0, (i**2).astype("float64"), chosen

        f = wrap(f)
        found = [f(small, where) for _ in range(2)]
        with pytest.raises(IndexError):
            f(small, where + 1000000)
        return *found, +b

    got, want = run(lambda f: tg.jit(f, emitter="numba")), run(lambda f: f)
    for a, b in zip(flat(got), flat(want), strict=True):
        assert a.dtype == b.dtype and np.array_equal(a.numpy(), b.numpy())
