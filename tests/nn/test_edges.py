"""Layers and losses at the edges of what they take: no elements, squares that overflow, probabilities of 0 and 1."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

F = nn.functional
# What is called, and the shape of what comes back.
EMPTY: dict[str, tuple[Any, tuple[int, ...]]] = {
    "softmax": (lambda: tg.softmax(tg.zeros((2, 0), dtype="float64")), (2, 0)),
    "softmax, an axis before": (lambda: tg.softmax(tg.zeros((0, 3)), axis=0), (0, 3)),
    "softmax of integers": (lambda: tg.softmax(tg.zeros((2, 0), dtype="int64")), (2, 0)),
    "log_softmax": (lambda: tg.log_softmax(tg.zeros((2, 0))), (2, 0)),
    "Softmax": (lambda: nn.Softmax()(tg.zeros((2, 0))), (2, 0)),
    "attention": (lambda: F.scaled_dot_product_attention(tg.ones((1, 2, 3)), *[tg.ones((1, 0, 3))] * 2), (1, 2, 3)),
    "attention, masked": (
        lambda: F.scaled_dot_product_attention(
            tg.ones((1, 2, 3)), *[tg.ones((1, 0, 3))] * 2, attn_mask=tg.ones((2, 0), dtype="bool")
        ), (1, 2, 3),
    ),
    "MultiheadAttention": (lambda: nn.MultiheadAttention(4, 2)(tg.ones((2, 1, 4)), *[tg.ones((0, 1, 4))] * 2)[0],
                           (2, 1, 4)),
    "MultiHeadAttention": (lambda: nn.MultiHeadAttention(2, 2, in_features=4)(tg.ones((1, 2, 4)), tg.ones((1, 0, 4))),
                           (1, 2, 4)),
}  # fmt: skip


@pytest.mark.parametrize("emitter", [None, "numpy", "native"])
@pytest.mark.parametrize(("call", "shape"), EMPTY.values(), ids=list(EMPTY))
def test_of_no_elements(call: Any, shape: tuple[int, ...], emitter: str | None) -> None:
    """A place that sees no keys gets 0, as in PyTorch."""
    y = call() if emitter is None else tg.jit(lambda: call().detach(), emitter=emitter)()
    assert y.shape == shape and not y.numpy().any() and str(y.dtype).startswith("float")


def test_the_gradient_of_no_elements() -> None:
    x = tg.zeros((2, 0), requires_grad=True)
    (tg.softmax(x).sum() + tg.log_softmax(x).sum()).backward()
    assert x.grad.shape == (2, 0)


@pytest.mark.parametrize("axis", [-1, (0, 1)])
@pytest.mark.parametrize(("dtype", "value"), [
    ("float16", 300.0), ("float16", 6e4), ("float16", 1e-2), ("float32", 1e20), ("float32", 3e38), ("float32", 1.0),
    ("float64", 1e200), ("float64", 3.0),
])  # fmt: skip
def test_unit_vectors_whose_squares_overflow(dtype: str, value: float, axis: Any) -> None:
    x = tg.tensor(np.array([[value, -value], [value / 2, value / 4]], dtype), requires_grad=True)
    with np.errstate(all="raise", under="ignore"):
        y = nn.UnitNormalization(axis)(x)
        y[0, 0].backward()
    wide = x.numpy().astype("float64") / value
    length = np.sqrt((wide**2).sum(axis=axis, keepdims=True))
    assert y.dtype == x.dtype and np.allclose(
        y.detach().numpy(), wide / length, rtol=2e-3 if dtype == "float16" else 1e-6
    )
    slope = (1.0 - (wide[0, 0] / length.reshape(-1)[0]) ** 2) / (length.reshape(-1)[0] * value)
    assert np.allclose(
        x.grad.numpy()[0, 0],
        slope,
        rtol=2e-2 if dtype == "float16" else 1e-5,
        atol=1e-7 if dtype == "float16" else 0,
    )


def test_short_vectors_stay_shorter_than_1() -> None:
    x = tg.tensor([[1e-9, 0.0], [0.0, 0.0]], dtype="float64")
    assert np.allclose(nn.UnitNormalization()(x).numpy(), [[1e-3, 0.0], [0.0, 0.0]], rtol=1e-9)


P = [0.0, 1.0, 0.0, 1.0, 0.5, 1e-20, 1e-14, 0.25, 1.0, 0.0]
T = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.5, 0.5, 0.25]


@pytest.mark.parametrize("emitter", [None, "numpy", "native"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_slope_of_bce_loss_is_pytorchs(dtype: str, emitter: str | None) -> None:
    """(p - t) / max(p * (1 - p), 1e-12), also where a logarithm has ended at -100."""
    p, t = tg.tensor(np.array(P, dtype), requires_grad=True), tg.tensor(np.array(T, dtype))

    def step() -> tg.Tensor:
        p.grad = None
        loss = nn.BCELoss(reduction="sum")(p, t)
        loss.backward()
        return loss.detach()

    loss = (step if emitter is None else tg.jit(step, emitter=emitter))()
    a, b = p.numpy().astype("float64"), np.array(T)
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log(a), -100), np.maximum(np.log1p(-a), -100)
    assert loss.item() == pytest.approx(-(b * logs[0] + (1 - b) * logs[1]).sum(), rel=1e-5)
    assert np.allclose(p.grad.numpy(), (a - b) / np.maximum(a * (1 - a), 1e-12), rtol=1e-5)
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = torch.tensor(np.array(P, dtype), requires_grad=True)
    torch.nn.BCELoss(reduction="sum")(theirs, torch.tensor(np.array(T, dtype))).backward()
    assert np.allclose(p.grad.numpy(), theirs.grad.numpy(), rtol=1e-5)


def test_the_slope_of_bce_loss_is_finite_in_float16_and_for_the_target() -> None:
    p = tg.tensor(np.array([0.0, 1.0, 0.5], "float16"), requires_grad=True)
    t = tg.tensor(np.array([1.0, 0.0, 1.0], "float16"), requires_grad=True)
    nn.BCELoss(reduction="sum")(p, t).backward()
    assert p.grad.tolist() == [-32768.0, 32768.0, -2.0] and t.grad.tolist() == [100.0, -100.0, 0.0]
