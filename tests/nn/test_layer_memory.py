"""What layers give has memory of its own, but for layers that only move, cut out or pass on their argument."""

from typing import Any

import numpy as np
import pytest
from layer_rows import ROWS, Row

import tapegrad as tg
from tapegrad import nn

MORE = [
    Row("PositionEmbedding", lambda dtype: nn.PositionEmbedding(5, in_features=4, dtype=dtype), (2, 3, 4)),
    Row("SinePositionEncoding", lambda dtype: nn.SinePositionEncoding(), (2, 3, 4)),
    Row("UpSampling1D(1)", lambda dtype: nn.UpSampling1D(1), (2, 3, 4)),
    Row("UpSampling2D of 1", lambda dtype: nn.UpSampling2D((2, 1)), (2, 1, 3, 4)),
    Row("ZeroPadding1D(0)", lambda dtype: nn.ZeroPadding1D(0), (2, 3, 4)),
    Row("AveragePooling1D(1)", lambda dtype: nn.AveragePooling1D(1), (2, 3, 4)),
    Row("MaxPooling1D(1)", lambda dtype: nn.MaxPooling1D(1), (2, 3, 4)),
]

# What broadcast_to gives, into which nobody can write.
SPREAD = {"RepeatVector", "PositionEmbedding", "SinePositionEncoding"}
VIEWS = {"Cropping1D", "Cropping2D", "Cropping3D", "Flatten", "Identity", "Permute", "Reshape"}
# Outside training, or with a rate of 0, they give their argument itself.
WITHOUT_EFFECT = {
    "AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "GaussianDropout", "GaussianNoise",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
}  # fmt: skip


def tensors(result: Any) -> list[Any]:
    return [
        t for t in (result if isinstance(result, (tuple, list)) else [result]) if isinstance(t, tg.Tensor)
    ]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("row", [*ROWS, *MORE], ids=lambda row: row.name)
def test_results_have_memory_of_their_own(row: Row, training: bool) -> None:
    layer, values = row.make("float32"), np.random.default_rng(0).normal(size=row.shape)
    x = tg.tensor(np.ones(row.shape, "int64") if row.integers else values.astype("float32"))
    layer(x)
    layer.train(training)
    with tg.no_grad():
        results = tensors(layer(x))
    name, buffers = type(layer).__name__, [buffer for _, buffer in layer.named_buffers()]
    for i, r in enumerate(results):
        if name in SPREAD:
            assert not r.data.flags.writeable
            continue
        assert not any(n > 1 and s == 0 for n, s in zip(r.shape, r.data.strides, strict=True))
        assert name in VIEWS | WITHOUT_EFFECT or not np.shares_memory(r.data, x.data)
        for other in (*layer.parameters(), *buffers, *results[:i]):
            assert not np.shares_memory(r.data, other.data)
