"""With nvmath: the step as one CUDA graph, and its products through cublasLt. Without a GPU on stand-ins for both."""

import gc
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gpu_nvmath
import tapegrad as tg
from call_cases import CASES
from compiler_emitters import TOLERANCE, close, flat
from compiler_gpu import on_gpu, without_numpy
from compiler_runs import RUNS, as_one_step
from compiler_steps import HOW, make, replaced, step_of, switched, train
from gpu_stream import State
from hazard_cases import same_as_without
from primitives.table import cases

F = tg.nn.functional
# Bounds are looked at before the graph, so that a call with an index out of bounds does nothing, not its beginning.
HERE = [name for name in without_numpy(CASES) if name != "an_index_out_of_bounds"]


@pytest.fixture
def fast(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The stand-in's counters, or None on a device, where nvmath is installed."""
    if gpu is None:
        pytest.importorskip("nvmath", reason="needs nvmath")
    else:
        for name, module in gpu_nvmath.MODULES.items():
            monkeypatch.setitem(sys.modules, name, module)
        gpu_nvmath.calls.clear()
        State.events.clear()
        monkeypatch.setattr(gpu_nvmath, "refused", set())
    with on_gpu():
        yield gpu


def made_here(n: int = 6) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(4)
    x, t = rng.normal(size=(n, 16, 6)).astype("float32"), (rng.random((n, 16, 1)) > 0.5).astype("float32")
    return [(tg.tensor(a), tg.tensor(b)) for a, b in zip(x, t)]


# ---- the same as without ----
@pytest.mark.parametrize("how", HOW.values(), ids=list(HOW))
def test_training(how: dict[str, Any], fast: Any) -> None:
    eager, compiled = train(None, **how), train("cupy", **how)
    assert np.allclose(eager[0], compiled[0], rtol=1e-5)
    for a, b in zip(eager[1], compiled[1], strict=True):
        assert np.allclose(a, b, rtol=1e-4, atol=1e-6), compiled[2].source()
    stats = compiled[2].stats()
    assert set(stats["programs"]) == {"cupy: one CUDA graph"}
    assert stats["recordings"] == {switched: 2, replaced: 3}.get(how.get("between"), 1)


ROWS = {row.name: row for row in {case.row.name: case.row for case in cases()}.values()}
# What is said of rows that run without a graph.
REASONS = ("cuBLAS", "mask", "index array", "atomic", "depends on", "moves")


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.primitive != "move"])
def test_rows(name: str, fast: Any) -> None:
    """The value of a row, for each of its inputs, from a graph or with the reason why not."""
    row, todo = ROWS[name], []
    with tg.no_grad():
        for sample in row.inputs:
            compiled = tg.jit(lambda *xs: row.call(*xs), emitter="cupy")
            # All are recorded before the first runs: their kernels compile together.
            compiled(*map(tg.tensor, sample))
            todo.append((compiled, sample))
        for compiled, sample in todo:
            for factor in (1.0, 1.001, 1.002):
                moved = [np.asarray(a * factor, a.dtype) if a.dtype.kind == "f" else a for a in sample]
                tg.manual_seed(5)
                got = compiled(*map(tg.tensor, moved))
                tg.manual_seed(5)
                want = row.call(*map(tg.tensor, moved))
                for g, w in zip(flat(got), flat(want), strict=True):
                    close(g, w, "float64", compiled.source())
            (told,) = compiled.stats()["programs"]
            assert told.startswith("cupy: one CUDA graph") or any(reason in told for reason in REASONS), told


FED = [name for name in RUNS if not name.startswith("optimizer")]


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_tables(dtype: str, fast: Any) -> None:
    """Some rows of layers and losses, as one step."""
    as_one_step(FED[::9], dtype, lambda f: tg.jit(f, emitter="cupy"))


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
@pytest.mark.parametrize("name", HERE)
def test_hazards(name: str, fast: Any) -> None:
    same_as_without(name, tg.jit)


def test_a_graph_gives_the_bits_of_the_kernels_without(fast: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def losses(graph: bool) -> list[float]:
        with monkeypatch.context() as patch:
            if not graph:
                patch.setattr("tapegrad.compiler.emit.cupy.runtime.Captured.capture", lambda self: None)
            step = tg.jit(step_of(*make()))
            return [step(x, t).item() for x, t in made_here()]

    assert losses(True) == losses(False)


# ---- how it comes about ----
@pytest.mark.usefixtures("unchecked")
def test_the_order_of_capture_and_launches(fast: Any) -> None:
    """Recorded, run once on the graph's own stream, captured, launched from then on; nothing waits for the host."""
    if fast is None:
        pytest.skip("counts what the stand-in is asked for")
    step = tg.jit(step_of(*make()))
    batches = made_here()
    step.prepare(*batches[0])
    step(*batches[0])
    assert State.events == ["wait", "capture", "wait"]
    step(*batches[1])
    products, waits = len(gpu_nvmath.calls), State.waits
    for x, t in batches[2:]:
        step(x, t)
    assert State.events == ["wait", "capture", "wait", *["launch"] * 5]
    assert (len(gpu_nvmath.calls), State.waits) == (products, waits)


def test_products_are_planned_once(fast: Any) -> None:
    if fast is None:
        pytest.skip("reads the calls of the stand-in")
    step = tg.jit(step_of(*make()))
    for x, t in made_here(3):
        step(x, t)
    planned = [c for c in gpu_nvmath.calls if c[0] == "choose"]
    run = [c for c in gpu_nvmath.calls if c[0] == "matmul"]
    # Once as it is, once captured; 7 of different sizes and layouts.
    assert len(run) == 2 * len(planned) == 2 * 7
    assert sorted(c[1] for c in planned) == ["BGRADA"] * 3 + ["DEFAULT"] * 4
    alignments = [c[2]["MIN_ALIGNMENT_A_BYTES"] for c in planned]
    # A parameter inside of the flat buffer.
    assert all(a <= 256 for a in alignments) and min(alignments) < 256
    assert len({c[2] for c in run}) == 1  # on one stream, the graph's own
    assert step.source().count("products.matmul_and_sum(") == 3


def test_what_cublas_lt_is_asked_to_make_is_given_back(fast: Any) -> None:
    if fast is None:
        pytest.skip("counts the objects of the stand-in")
    gc.collect()
    before = dict(gpu_nvmath.objects)
    step = tg.jit(step_of(*make()))
    for x, t in made_here(3):
        step(x, t)
    assert len(gpu_nvmath.objects) > len(before) + 8
    del step
    gc.collect()
    assert gpu_nvmath.objects == before


def test_a_sum_of_its_own_where_there_is_no_epilogue(fast: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if fast is None:
        pytest.skip("the stand-in refuses an epilogue")
    found = []
    for refused in (set(), {"BGRADA"}):
        monkeypatch.setattr(gpu_nvmath, "refused", refused)
        step = tg.jit(step_of(*make()))
        found.append([step(x, t).item() for x, t in made_here()])
    assert np.allclose(*found, rtol=1e-6)


def test_checks_come_before_the_graph(fast: Any) -> None:
    """Labels that are no classes raise what they raise without tg.jit, and nothing has been changed."""
    embedding = tg.tensor(np.random.default_rng(0).normal(size=(5, 3)), requires_grad=True)
    opt = tg.optim.SGD([embedding], lr=0.1)

    def step(index: Any, labels: Any) -> Any:
        opt.zero_grad()
        loss = F.cross_entropy(embedding[index] * 2.0, labels)
        loss.backward()
        opt.step()
        return loss

    compiled = tg.jit(step)
    index, labels = tg.tensor([0, 4, 4, 2]), tg.tensor([0, 1, 2, 0])
    losses = [compiled(index, labels).item() for _ in range(4)]
    (told,) = compiled.stats()["programs"]
    assert re.fullmatch(
        r"cupy: one CUDA graph, before which it waits for the device at each call: .*bounds.*", told
    )
    assert losses == sorted(losses, reverse=True) and "check_bounds(" in compiled.source()
    kept = embedding.numpy()
    with pytest.raises(IndexError, match="out of bounds"):
        compiled(tg.tensor([0, 5, 4, 2]), labels)
    with pytest.raises((ValueError, IndexError), match="class numbers from 0 to 2"):
        compiled(index, tg.tensor([0, 1, 3, 0]))
    assert np.array_equal(embedding.numpy(), kept)


def test_what_cannot_be_captured_runs_without(fast: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation known to be left out, and a capture that fails on the device."""
    batched = tg.jit(lambda x: x @ x)
    x = tg.tensor(np.random.default_rng(0).normal(size=(2, 3, 3)))
    with tg.no_grad():
        for _ in range(3):
            assert np.allclose(batched(x).numpy(), x.numpy() @ x.numpy())
    assert re.fullmatch(
        r"cupy: no graph: the product of .* is left to cuBLAS.*", batched.stats()["programs"][0]
    )

    if fast is not None:

        def refuse(self: Any) -> None:
            State.recording = None
            raise RuntimeError("cudaErrorStreamCaptureUnsupported")

        monkeypatch.setattr("gpu_stream.Stream.end_capture", refuse)
        step, plain = tg.jit(step_of(*make())), step_of(*make())
        for x, t in made_here():
            assert np.isclose(step(x, t).item(), plain(x, t).item(), rtol=1e-5)
        assert step.stats()["programs"] == [
            "cupy: one CUDA graph; no graph: cudaErrorStreamCaptureUnsupported"
        ]
