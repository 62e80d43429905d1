"""Every row of the tables of layers, losses and optimizers, compiled by each emitter, against the same run eagerly."""

from pathlib import Path

import pytest

import tapegrad as tg
from compiler_bits import FLOATS, difference
from compiler_emitters import TOLERANCE, close, emitting
from compiler_runs import LAYERS, RUNS, as_one_step, outcomes
from tapegrad import nn


def test_every_layer_has_a_row() -> None:
    kinds = {k for k in vars(nn).values() if isinstance(k, type) and issubclass(k, nn.Module)} - {nn.Module}
    assert {type(row.make("float32")) for row in LAYERS} >= kinds


@pytest.mark.parametrize(("emitter", "dtype"), [*(("numpy", dtype) for dtype in FLOATS),
                                                *(("loops", dtype) for dtype in TOLERANCE)])  # fmt: skip
@pytest.mark.parametrize("name", RUNS)
def test_row(emitter: str, name: str, dtype: str, request: pytest.FixtureRequest) -> None:
    if emitter != "numpy":
        request.getfixturevalue("unchecked")
    tg.manual_seed(0)
    want, _ = outcomes(RUNS[name](dtype), lambda f: f)
    tg.manual_seed(0)
    with emitting(emitter) as jit:
        got, compiled = outcomes(RUNS[name](dtype), jit)
    for number, (a, b) in enumerate(zip(got, want, strict=True)):
        if emitter == "numpy":
            assert difference(a, b) is None, (number, difference(a, b), compiled.source())
            continue
        for x, y in zip(a, b, strict=True):
            close(x, y, dtype, compiled.source())
    stats = compiled.stats()
    assert stats["recordings"] == 1
    assert stats["programs"] == [
        {"numpy": "numpy", "loops": "numba"}[emitter]
    ]  # nothing is left to another emitter


# Rows that are really compiled by numba, together, since each program takes seconds.
COMPILED = [
    ("float64", ["layer Dense(activation=softmax) training", "layer LogSoftmax(axis=0) evaluation",
                 "layer Mish() training", "layer a buffer that training changes training",
                 "loss cross_entropy-real-classes mean", "loss cosine_similarity-real-near none"]),
    ("float32", ["layer a buffer that training changes evaluation", "loss log_cosh-real-near none",
                 "loss binary_cross_entropy_with_logits-real-between-label_smoothing mean"]),
    ("float32", ["optimizer sgd-nesterov", "optimizer adam-amsgrad"]),
    ("float64", ["optimizer rmsprop-all", "optimizer adagrad-start"]),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "names"), COMPILED, ids=["fed64", "fed32", "optimizers32", "optimizers64"])
def test_rows_compiled(dtype: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    monkeypatch.setenv("TAPEGRAD_CACHE", str(tmp_path))
    compiled = as_one_step(names, dtype, lambda f: tg.jit(f, emitter="numba"))
    assert compiled.stats()["programs"] == ["numba"]
