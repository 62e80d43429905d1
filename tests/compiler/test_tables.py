"""Every row of the tables of layers, losses and optimizers, compiled by each emitter, against the same run eagerly."""

import pytest

import tapegrad as tg
from compiler_bits import FLOATS, difference
from compiler_emitters import TOLERANCE, close, emitting
from compiler_runs import LAYERS, RUNS, outcomes, repeats
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


COMPILED = [*(("numpy", dtype) for dtype in FLOATS), *(("native", dtype) for dtype in TOLERANCE)]
ROWS = [(e, name, dtype) for name in RUNS for e, dtype in COMPILED if not repeats(name, dtype)]


@pytest.mark.parametrize(("emitter", "name", "dtype"), ROWS, ids=["-".join(row) for row in ROWS])
def test_row(emitter: str, name: str, dtype: str, request: pytest.FixtureRequest) -> None:
    if emitter != "numpy":
        request.getfixturevalue("unchecked")
    tg.manual_seed(0)
    want, _ = outcomes(RUNS[name](dtype), lambda f: f)
    tg.manual_seed(0)
    jit = emitting(emitter)
    got, compiled = outcomes(RUNS[name](dtype), jit)
    for number, (a, b) in enumerate(zip(got, want, strict=True)):
        if emitter == "numpy":
            assert difference(a, b) is None, (number, difference(a, b), compiled.source())
            continue
        for x, y in zip(a, b, strict=True):
            close(x, y, dtype, compiled.source())
    stats = compiled.stats()
    assert stats["recordings"] == 1
    assert all(text.startswith(emitter) for text in stats["programs"])
