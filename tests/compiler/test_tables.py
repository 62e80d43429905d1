"""Every row of the tables of layers, losses and optimizers, compiled by each emitter, against the same run eagerly."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_bits import FLOATS, difference
from compiler_emitters import TOLERANCE, close, emitting, flat
from compiler_runs import LAYERS, RUNS, repeats
from tapegrad import nn


def test_every_layer_has_a_row() -> None:
    kinds = {k for k in vars(nn).values() if isinstance(k, type) and issubclass(k, nn.Module)} - {nn.Module}
    # They take two tensors: tests/nn/test_torch_names.py.
    losses = {k for k in kinds if k.__name__.endswith("Loss")}
    losses |= {nn.ModuleList, nn.ModuleDict}  # which are not called: a row has them inside
    # More than one tensor goes in or comes out, or the result does not depend on x (Residual has those inside):
    # tests/nn/test_recurrent.py and test_attention.py.
    losses |= {nn.SimpleRNNCell, nn.LSTMCell, nn.GRUCell, nn.MultiheadAttention, nn.TransformerDecoderLayer}
    losses |= {nn.SinePositionEncoding, nn.PositionEmbedding}
    assert {type(row.make("float32")) for row in LAYERS} >= kinds - losses


DTYPES = {"numpy": FLOATS, "native": tuple(TOLERANCE)}
ROWS = [(e, name, [d for d in DTYPES[e] if not repeats(name, d)]) for name in RUNS for e in DTYPES]
ROWS = [row for row in ROWS if row[2]]


@pytest.mark.parametrize(("emitter", "name", "dtypes"), ROWS, ids=[f"{e}-{name}" for e, name, _ in ROWS])
def test_row(emitter: str, name: str, dtypes: list[str], request: pytest.FixtureRequest) -> None:
    """In all dtypes, as one program."""
    if emitter != "numpy":
        request.getfixturevalue("unchecked")
    want, _ = in_dtypes(name, dtypes, lambda f: f)
    got, compiled = in_dtypes(name, dtypes, emitting(emitter))
    for number, calls in enumerate(zip(got, want, strict=True)):
        for dtype, a, b in zip(dtypes, *calls, strict=True):
            if emitter == "numpy":
                assert difference(a, b) is None, (number, dtype, difference(a, b), compiled.source())
                continue
            for x, y in zip(a, b, strict=True):
                close(x, y, dtype, compiled.source())
    stats = compiled.stats()
    assert stats["recordings"] == 1
    assert all(text.startswith(emitter) for text in stats["programs"])


def in_dtypes(name: str, dtypes: list[str], wrap: Any) -> tuple[list[list[list[np.ndarray]]], Any]:
    """For each call and each dtype what it returned and left behind; and the wrapped step."""
    tg.manual_seed(0)
    runs = [RUNS[name](dtype) for dtype in dtypes]

    def step(*given: list[Any]) -> list[Any]:
        return [run[0](*xs) for run, xs in zip(runs, given)]

    tg.manual_seed(3)
    wrapped, seen = wrap(step), []
    for given in zip(*(run[1] for run in runs), strict=True):
        returned = wrapped(*given)
        seen.append([flat(value) + flat(run[2]()) for value, run in zip(returned, runs)])
    return seen, wrapped
