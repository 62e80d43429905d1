"""The CuPy emitter. Without a GPU its programs run on a stand-in for CuPy that compiles the source of each kernel with
the C compiler (gpu_standin, gpu_kernels); the rows marked gpu run the same on the device.
"""

import re
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

import gpu_kernels
import tapegrad as tg
import tapegrad.backends as backends
from call_cases import CASES
from compiler_emitters import TOLERANCE, close, flat
from compiler_gpu import on_gpu, without_numpy
from compiler_runs import RUNS, as_one_step, repeats
from compiler_steps import HOW, T, X, make, replaced, step_of, switched, train
from hazard_cases import same_as_without
from primitives.harness import cotangent
from primitives.table import Case, Row, cases
from tapegrad.backends import BackendError

F = tg.nn.functional
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
                # All are recorded before the first runs: their kernels compile together.
                compiled.prepare(*map(there, arrays))
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
    assert recordings == {switched: 2, replaced: 3}.get(how.get("between"), 1), compiled[2].stats()


def chunks(names: Iterable[str], n: int) -> list[list[str]]:
    names = list(names)
    return [names[i : i + n] for i in range(0, len(names), n)]


ONCE = [name for name in RUNS if not repeats(name, "float32")]
NAMES = {kind: [name for name in ONCE if name.startswith(kind)] for kind in ("layer", "loss", "optimizer")}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "names", [*chunks(NAMES["layer"] + NAMES["loss"], 12), *chunks(NAMES["optimizer"], 4)], ids=lambda n: n[0]
)
def test_tables(names: list[str], dtype: str, gpu: Any) -> None:
    """The rows of layers, losses and optimizers, some of them as one step, against the same without tg.jit."""
    with on_gpu():
        compiled = as_one_step(names, dtype, lambda f: tg.jit(f, emitter="cupy"))
    assert compiled.stats()["recordings"] == 1 and compiled.stats()["programs"][0].startswith("cupy")


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
@pytest.mark.parametrize("name", HERE)
def test_hazards(name: str, gpu: Any) -> None:
    """Aliases, writes, and what changes around a recorded function."""
    with on_gpu():
        same_as_without(name, tg.jit)


# ---- what is asked for, and what is not there ----
@pytest.mark.usefixtures("unchecked")
def test_nothing_waits_for_the_device(gpu: Any) -> None:
    if gpu is None:
        pytest.skip("counts how often the stand-in is waited for")
    with on_gpu():
        step = tg.jit(step_of(*make()))
        batches = [(there(X[:16]), there(T[:16])) for _ in range(4)]
        for x, t in batches[:2]:
            step(x, t)
        before, launches = gpu.waits, len(gpu_kernels.launched)
        for x, t in batches[2:]:
            step(x, t)
    assert gpu.waits == before
    # Elementwise kernels and a reduction, of 60 operations.
    assert len(gpu_kernels.launched) - launches == 2 * 9


def test_a_check_is_told(gpu: Any) -> None:
    with on_gpu():
        f = tg.jit(lambda x, labels: F.cross_entropy(x, labels), emitter="cupy")
        x = tg.tensor(np.random.default_rng(0).normal(size=(4, 3)))
        f.prepare(x, tg.tensor([0, 1, 2, 0]))
        with pytest.raises((ValueError, IndexError), match="class numbers from 0 to 2"):
            f(x, tg.tensor([0, 1, 2, 3]))
        told = f.stats()["programs"][-1]
    assert "waits for the device at each call: a check in sparse_cross_entropy_with_logits" in told


def test_source_is_to_be_read(gpu: Any) -> None:
    with on_gpu():
        step = tg.jit(step_of(*make()))
        step(there(X[:16]), there(T[:16]))
    text = step.source()
    for part in ("dense_relu_kernel = ElementwiseKernel(", '"float32 matmul_1, float32 layers_0_bias"',
                 "gradient of dense_relu]", "def step(x, t):", "gradient of linear]", "loss.backward()", "parameters",
                 "learning_rate", "float32[16, 8]", "ReductionKernel("):  # fmt: skip
        assert part in text, text
    for kernel in re.findall(r'Kernel\(\n    "float32.*?\n\)\n', text, re.DOTALL):
        # A number in double precision.
        assert not re.search(r"\b\d+\.\d*(e-?\d+)?(?![\d.ef])", kernel), kernel
    assert text.count("ElementwiseKernel(") == 8 and "fused, in" in step.explain()


def test_one_kernel_for_layers_that_do_the_same(gpu: Any) -> None:
    with on_gpu(), tg.no_grad():
        a, b = tg.tensor(np.ones((3, 3))), tg.tensor(np.ones(3))
        f = tg.jit(lambda x: tg.tanh(tg.tanh(tg.tanh(x @ a + b) @ a + b) @ a + b))
        f(tg.ones((2, 3), dtype="float64"))
    assert f.source().count("ElementwiseKernel(") == 1 and f.source().count("_kernel(buffer_") == 3


def test_a_kernel_has_so_many_arguments(gpu: Any) -> None:
    """CUDA takes 4 KB of them: a run over more arrays is cut into several kernels."""
    with on_gpu(), tg.no_grad():
        xs = [tg.tensor(np.full((2, 3), float(k))) for k in range(100)]
        f = tg.jit(
            lambda *xs: (sum(xs[1:], xs[0]), sum((x * x for x in xs), tg.tensor(0.0, dtype="float64")).sum())
        )
        f(*xs)
        total, squares = f(*xs)
    assert (total.numpy() == 4950).all() and squares.item() == 6 * 328350
    for parameters in re.findall(r'Kernel\(\n    "([^"]*)"', f.source()):
        assert parameters.count(",") < 40


def test_with_other_arrays(gpu: Any) -> None:
    x = tg.tensor([1.0, 2.0])
    with pytest.raises(
        ValueError, match=r"one is on cpu: move the model and the arguments there with \.to\('cupy'\)"
    ):
        tg.jit(lambda x: x * 2.0, emitter="cupy")(x)
    f = tg.jit(lambda x: x * 2.0, emitter="numpy").prepare(x)
    with pytest.warns(tg.JitWarning, match="no emitter called 'numpy' writes for a GPU"):
        assert f(x.to("cuda:0")).tolist() == f(x).tolist() == [2.0, 4.0]
    assert f.stats()["programs"][0] == "numpy" and f.stats()["recordings"] == 1
    f(x.to("cuda:0"))
    assert "arrays are on cuda:0, and no emitter called 'numpy' writes for a GPU" in f.stats()["programs"][-1]
    g = tg.jit(lambda x: x * 2.0).prepare(x).prepare(x.to("cuda:0"))
    assert g(x).device == "cpu" and g(x.to("cuda:0")).device == "cuda:0"
    assert "cupy" in [told.split(":")[0] for told in g.stats()["programs"]]


def test_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delitem(backends._LOADED, "cupy", raising=False)
    with pytest.raises(
        BackendError, match=r'needs CuPy, which is not installed: pip install "cupy-cuda13x>='
    ):
        tg.jit(lambda x: x, emitter="cupy")
    with pytest.raises(
        ValueError, match="emitter must be one of 'auto', 'numpy', 'native', 'cupy', got 'gpu'"
    ):
        tg.jit(lambda x: x, emitter="gpu")
