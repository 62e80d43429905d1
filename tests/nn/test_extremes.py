"""Layers and losses at the ends of a dtype: sums that float16 cannot count, scores below any mask, infinities that
concern one element."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

F, INF = nn.functional, float("inf")


def half(*shape: int, value: float = 1.0) -> Any:
    return tg.full(shape, value, dtype="float16")


def causal(dtype: str, size: float) -> Any:
    """The first place sees itself alone, however low its score is."""
    query, key = tg.full((2, 1), size, dtype=dtype), tg.full((2, 1), -size, dtype=dtype)
    return F.scaled_dot_product_attention(query, key, tg.tensor([[1.0], [9.0]], dtype=dtype), is_causal=True)


def depthwise_gradient() -> Any:
    kernel = nn.Parameter(half(1, 2, 1))
    F.depthwise_conv(half(4096, 1, 2), kernel).sum().backward()
    return kernel.grad


def attention(kind: Any) -> Any:
    """Queries and keys of 60 in a head of 64: their product is beyond float16, their score, 28,800, is not."""
    far = tg.tensor(np.repeat([[60.0], [-60.0]], 64, axis=1).astype("float16"))
    return kind(far, far, tg.tensor([[1.0], [9.0]], dtype="float16"))


def rms_of_small() -> Any:
    layer = nn.RMSNorm(8, dtype="float16")
    return layer(half(1, 8, value=1e-3))[0, :1]


CASES: dict[str, tuple[Callable[[], Any], Any]] = {
    "causal attention of low scores, float16": (lambda: causal("float16", 100.0), [[1.0], [5.0]]),
    "causal attention of low scores, float32": (lambda: causal("float32", 1e5), [[1.0], [5.0]]),
    "attention of large products": (lambda: attention(F.scaled_dot_product_attention), [[1.0], [9.0]]),
    "attention of large products, causal": (
        lambda: attention(lambda *x: F.scaled_dot_product_attention(*x, is_causal=True)),
        [[1.0], [9.0]],
    ),
    # PyTorch adds float32's eps to a mean square of float16.
    "root mean square of small": (rms_of_small, [0.9453]),
    "average of many": (lambda: F.average_pool(half(1, 4096, 1), 4096), [[[1.0]]]),
    "average of large": (lambda: F.average_pool(half(1, 2, 1, value=6e4), 2), [[[6e4]]]),
    "gradient of a depthwise kernel": (depthwise_gradient, [[[4096.0], [4096.0]]]),
    "nearest beside an infinity": (
        lambda: nn.Upsample(scale_factor=2)(tg.tensor([[[1.0, INF, 3.0]]])),
        [[[1.0, 1.0, INF, INF, 3.0, 3.0]]],
    ),
    "adaptive means beside an infinity": (
        lambda: nn.AdaptiveAvgPool1d(2)(tg.tensor([[[1.0, 2.0, 3.0, INF]]])),
        [[[1.5, INF]]],
    ),
    "cross-entropy of many samples, some ignored": (
        lambda: F.cross_entropy(half(70000, 2), tg.zeros(70000, dtype="int64"), ignore_index=1),
        np.float16(np.log(2)),
    ),
    "a norm whose square overflows": (lambda: nn.MaxNorm(300.0)(half(1, 1, value=299.0)), [[299.0]]),
    "a unit norm of small weights": (lambda: nn.UnitNorm()(half(1, 1, value=1e-4)), [[np.float16(0.999)]]),
    "a row of zeros": (
        lambda: nn.OrthogonalRegularizer()(tg.tensor([[0.0, 0.0], [1.0, 1.0]], dtype="float16")),
        0.0,
    ),
    "a small beta": (
        lambda: nn.losses.smooth_l1_loss(half(2), half(2, value=0.0), beta=1e-6),
        1.0,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_values(name: str) -> None:
    call, want = CASES[name]
    got = call()
    np.testing.assert_allclose(got.numpy().astype("float64"), np.array(want, "float64"), rtol=1e-3)


@pytest.mark.parametrize(
    ("dtype", "mask"), [("float32", np.zeros((2, 2))), ("float16", np.zeros((2, 2), "f4"))]
)
def test_a_mask_of_numbers_keeps_the_dtype(dtype: str, mask: np.ndarray) -> None:
    x = tg.ones((2, 1), dtype=dtype)
    assert F.scaled_dot_product_attention(x, x, x, attn_mask=mask).dtype == x.dtype


def test_what_is_no_mask_is_refused() -> None:
    x = tg.ones((2, 1))
    with pytest.raises(TypeError, match="attn_mask must be booleans or floating-point"):
        F.scaled_dot_product_attention(x, x, x, attn_mask=np.ones((2, 2), int))
    for layer in (
        lambda: nn.TransformerEncoderLayer(4, 2, 6, dropout=1.0),
        lambda: nn.MultiheadAttention(4, 2, 1.0),
    ):
        with pytest.raises(ValueError, match="dropout must be at least 0 and below 1"):
            layer()
