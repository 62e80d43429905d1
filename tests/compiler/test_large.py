"""How large arrays are gone through: in parts that fit the cache (NumPy), in loops shared among the cores (numba). Here
everything counts as large, so that the rows of small arrays go that way."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from call_cases import CASES
from compiler_emitters import EMITTERS, close, emitting, flat
from compiler_steps import HOW, make, step_of
from hazard_cases import same_as_without
from primitives.harness import cotangent
from primitives.table import Case, cases
from tapegrad.compiler.emit import choose as emitters
from tapegrad.compiler.emit.numba import loops as numba_loops
from tapegrad.compiler.emit.numpy import chunks as numpy_parts
from tapegrad.compiler.passes import lifetimes, zero_masks


@pytest.fixture(params=EMITTERS)
def jit(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(numpy_parts, "LARGE", 1)
    monkeypatch.setattr(numpy_parts, "PART", 5)
    monkeypatch.setattr(zero_masks, "MANY", 1)
    monkeypatch.setattr(numba_loops, "PARALLEL", 1)
    monkeypatch.setattr(emitters, "cores", lambda: 2)
    with emitting(request.param) as wrapped:
        yield wrapped


@pytest.mark.parametrize(
    "case", cases(lambda row: row.grad and row.primitive != "move"), ids=lambda case: case.id
)
def test_rows(case: Case, jit: Any) -> None:
    floating = tuple(i for i, a in enumerate(case.arrays) if a.dtype.kind == "f")

    def loss(*xs: Any) -> Any:
        y = case.row.call(*xs)
        return (y * cotangent(y)).sum(), y

    eager = tg.value_and_grad(loss, argnums=floating, has_aux=True)
    compiled = jit(lambda *xs: eager(*xs))
    for seed in (0, 1):
        xs = [
            tg.tensor(np.asarray(a * (1 + 1e-3 * seed * (a.dtype.kind == "f")), a.dtype))
            for a in case.cast("float64")
        ]
        for got, want in zip(flat(compiled(*xs)), flat(eager(*xs)), strict=True):
            close(got, want, "float64", case.id)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::tapegrad.JitWarning")
@pytest.mark.parametrize("name", CASES)
def test_hazards(name: str, jit: Any) -> None:
    same_as_without(name, jit)


def steps(how: Any, wrap: Any, n: int = 8) -> tuple[list[np.ndarray], Any]:
    model, opt = make(**how)
    step = wrap(step_of(model, opt))
    rng = np.random.default_rng(0)
    for _ in range(n):
        x = rng.normal(size=(16, 6)).astype("float32")
        step(tg.tensor(x), tg.tensor((x[:, :1] > 0).astype("float32")))
    return flat([*model.parameters(), *opt.state_dict().values()]), step


@pytest.mark.parametrize("how", ["adam", "nesterov", "rmsprop", "dropout", "global_clipnorm"])
def test_training(how: str, jit: Any) -> None:
    want, _ = steps(HOW[how], lambda f: f)
    got, step = steps(HOW[how], jit)
    for a, b in zip(got, want, strict=True):
        assert np.allclose(a, b, rtol=1e-5, atol=1e-7)
    assert " in parts_1:" in step.source() or "prange(" in step.source()


def test_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Really compiled, and called from two threads at once: numba's layer of threads may be entered by one alone."""
    pytest.importorskip("numba", reason="numba is not installed")
    monkeypatch.setenv("TAPEGRAD_CACHE", str(tmp_path))
    monkeypatch.setattr(emitters, "cores", lambda: 2)
    x = tg.tensor(np.linspace(-3, 3, numba_loops.PARALLEL, dtype="float32"))
    functions = [lambda x: x * x + 1.0, lambda x: (x + 2.0) * x]
    compiled = [tg.jit(f, emitter="numba") for f in functions]

    def many(number: int) -> list[Any]:
        return [compiled[number](x) for _ in range(30)]

    with ThreadPoolExecutor(2) as pool:
        for f, found in zip(functions, pool.map(many, range(2)), strict=True):
            for y in found:
                close(y.numpy(), f(x).numpy(), "float32")
    assert all("prange(" in c.source() for c in compiled)


IN_THREADS = """
import sys
import numpy as np
import tapegrad as tg
from compiler_steps import step_of
emitter, path = sys.argv[1:]
tg.manual_seed(0)
layers = [tg.nn.Dense(500, activation="tanh", in_features=6), tg.nn.Dense(400, activation="relu"), tg.nn.Dense(1)]
model = tg.nn.Sequential(*layers)
step = step_of(model, tg.optim.Adam(model.parameters()))
step = tg.jit(step, emitter=emitter) if emitter else step
rng = np.random.default_rng(0)
for _ in range(6):
    x = rng.normal(size=(600, 6)).astype("float32")
    step(tg.tensor(x), tg.tensor((x[:, :1] > 0).astype("float32")))
assert not emitter or step.source().count("prange(") >= 3, step.source()
np.savez(path, *[p.numpy() for p in model.parameters()])
"""


@pytest.mark.slow
def test_more_threads_than_cores(tmp_path: Any) -> None:
    """Training is the same as without, and the same to the last bit each time: no two threads write to one place."""
    pytest.importorskip("numba", reason="numba is not installed")
    paths = os.pathsep.join([str(Path(__file__).parent.parent), *sys.path])
    env = os.environ | {"NUMBA_NUM_THREADS": "4", "TAPEGRAD_CACHE": str(tmp_path), "PYTHONPATH": paths}
    found = []
    for i, emitter in enumerate(("", "numba", "numba")):
        path = str(tmp_path / f"{i}.npz")
        subprocess.run([sys.executable, "-c", IN_THREADS, emitter, path], env=env, check=True)
        with np.load(path) as arrays:
            found.append(list(arrays.values()))
    want, first, *others = found
    for a, b in zip(first, want, strict=True):
        assert np.allclose(a, b, rtol=1e-4, atol=1e-6)
    for other in others:
        assert [a.tobytes() for a in other] == [a.tobytes() for a in first]


@pytest.mark.parametrize("emitter", ["numpy", "numba"])
def test_a_gradient_takes_the_memory_of_the_activations_that_mask_it(
    emitter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One array of activations less than where products stay where they were recorded."""
    batch, width, sizes = 4096, 64, []
    for large in (lifetimes.LARGE, 1 << 40):
        monkeypatch.setattr(lifetimes, "LARGE", large)
        layers = [tg.nn.Dense(width, "relu", in_features=width) for _ in range(4)]
        model = tg.nn.Sequential(*layers, tg.nn.Dense(2, in_features=width))
        step = tg.jit(step_of(model, tg.optim.SGD(model.parameters(), lr=0.1)), emitter=emitter)
        step(tg.zeros((batch, width)), tg.zeros((batch, 2)))
        sizes.append(step.shown().runner.plan.nbytes)
    activations = batch * width * 4
    assert activations * 4 < sizes[0] < 8 * activations
    assert sizes[1] - sizes[0] > 0.5 * activations
