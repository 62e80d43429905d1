"""The CuPy emitter. Without a GPU its programs run on a stand-in for CuPy that compiles the source of each kernel with
the C compiler (gpu_standin, gpu_kernels); the rows marked gpu run the same on the device.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from test_hazards import CASES
from test_tables import RUNS, outcomes, together

import tapegrad as tg
from compiler_emitters import TOLERANCE, close, flat
from compiler_gpu import on_gpu, without_numpy
from compiler_steps import HOW, replaced, switched, train
from primitives.harness import cotangent
from primitives.table import Case, Row, cases

HERE = without_numpy(CASES)
every = cases(lambda row: row.primitive not in ("move", "random_uniform"))


def there(value: Any) -> Any:
    return tg.tensor(value, device="cuda:0")


# ---- the table of primitives ----
def of_row(case: Case) -> Any:
    """The row's value, and its gradient if it has one, as a function of tensors."""
    floating = tuple(i for i, a in enumerate(case.arrays) if a.dtype.kind == "f")
    if not case.row.grad or not floating:
        return lambda *xs: case.row.call(*xs)

    def loss(*xs: Any) -> Any:
        y = case.row.call(*xs)
        return (y * tg.tensor(cotangent(y), device=y.device)).sum(), y

    return lambda *xs: tg.value_and_grad(loss, argnums=floating, has_aux=True)(*xs)


@pytest.mark.parametrize(
    "row", {case.row.name: case.row for case in every}.values(), ids=lambda row: row.name
)
def test_rows(row: Row, gpu: Any) -> None:
    """The value and the gradients for all inputs of a row, against the same on NumPy without tg.jit."""
    todo = []
    for case in (Case(row, sample) for sample in row.inputs):
        for dtype in TOLERANCE:
            function, arrays = of_row(case), case.cast(dtype)
            compiled = tg.jit(lambda *xs, function=function: function(*xs), emitter="cupy")
            with tg.no_grad():
                compiled(
                    *map(there, arrays)
                )  # all are recorded before the first runs: their kernels compile together
            todo.append((function, compiled, arrays, dtype))
    for function, compiled, arrays, dtype in todo:
        with tg.no_grad():
            for factor in (1.0, 1.001):
                moved = [np.asarray(a * factor, a.dtype) if a.dtype.kind == "f" else a for a in arrays]
                got, want = compiled(*map(there, moved)), function(*map(tg.tensor, moved))
                for g, w in zip(flat(got), flat(want), strict=True):
                    close(g, w, dtype, compiled.source())
        assert compiled.stats()["recordings"] == 1 and compiled.stats()["programs"][0].startswith("cupy")


# ---- whole steps ----
@pytest.mark.parametrize("how", HOW.values(), ids=list(HOW))
def test_training(how: dict[str, Any], gpu: Any) -> None:
    """A training run of each optimizer, with whatever changes between the steps, against the same without tg.jit."""
    with on_gpu():
        eager, compiled = train(None, **how), train("cupy", **how)
    assert np.allclose(eager[0], compiled[0], rtol=1e-5)
    for a, b in zip(eager[1], compiled[1], strict=True):
        assert np.allclose(a, b, rtol=1e-4, atol=1e-6), compiled[2].source()
    recordings = compiled[2].stats()["recordings"]
    assert recordings == {switched: 2, replaced: 5}.get(how.get("between"), 1), compiled[2].stats()


def chunks(names: Iterable[str], n: int) -> list[list[str]]:
    names = list(names)
    return [names[i : i + n] for i in range(0, len(names), n)]


NAMES = {kind: [name for name in RUNS if name.startswith(kind)] for kind in ("layer", "loss", "optimizer")}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "names", [*chunks(NAMES["layer"] + NAMES["loss"], 12), *chunks(NAMES["optimizer"], 4)], ids=lambda n: n[0]
)
def test_tables(names: list[str], dtype: str, gpu: Any) -> None:
    """The rows of layers, losses and optimizers, some of them as one step, against the same without tg.jit."""
    found = []
    with on_gpu():
        for wrap in (lambda f: f, lambda f: tg.jit(f, emitter="cupy")):
            tg.manual_seed(0)
            found.append(outcomes(together(names, dtype), wrap))
    (want, _), (got, compiled) = found
    for a, b in zip(got, want, strict=True):
        for x, y in zip(a, b, strict=True):
            close(x, y, dtype, compiled.source())
    assert compiled.stats()["recordings"] == 1 and compiled.stats()["programs"][0].startswith("cupy")


@pytest.mark.parametrize("name", HERE)
def test_hazards(name: str, gpu: Any) -> None:
    """Aliases, writes, and what changes around a recorded function."""
    found = []
    with on_gpu():
        for wrap in (lambda f: f, tg.jit):
            tg.manual_seed(0)
            found.append(flat(CASES[name](wrap)))
    for a, b in zip(*found, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert np.allclose(a, b, rtol=1e-6, atol=1e-12, equal_nan=True), (a, b)
