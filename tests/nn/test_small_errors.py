"""The slopes of losses where the prediction is almost right, and of distances and norms that are small, in each dtype
against the same in float64: a difference of large terms would leave a rounding error of the terms."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

F = nn.functional
Loss = Callable[[tg.Tensor, tg.Tensor], tg.Tensor]


def of(kind: Any, **options: Any) -> Loss:
    return kind(reduction="sum", **options)  # type: ignore[no-any-return]


# name -> (loss, target): the prediction differs from the target by SMALL
LOSSES: dict[str, tuple[Loss, float]] = {
    **{f.__name__: (lambda p, t, f=f: f(p, t, reduction="sum"), 0.0) for f in (
        F.mse_loss, F.mae_loss, F.huber_loss, F.smooth_l1_loss, F.log_cosh, F.quantile_loss, F.contrastive_loss)},
    "huber_loss, delta 100": (lambda p, t: F.huber_loss(p, t, delta=100.0, reduction="sum"), 0.0),
    "huber_loss, delta 1e4": (lambda p, t: F.huber_loss(p, t, delta=1e4, reduction="sum"), 0.0),
    "smooth_l1_loss, beta 100": (lambda p, t: F.smooth_l1_loss(p, t, beta=100.0, reduction="sum"), 0.0),
    "msle_loss": (lambda p, t: F.msle_loss(p, t, reduction="sum"), 1000.0),
    "msle_loss of small": (lambda p, t: F.msle_loss(p, t, reduction="sum"), 0.25),
    "MSELoss": (of(nn.MSELoss), 0.0),
    "L1Loss": (of(nn.L1Loss), 0.0),
    "HuberLoss": (of(nn.HuberLoss), 0.0),
    "HuberLoss, delta 1e4": (of(nn.HuberLoss, delta=1e4), 0.0),
    "SmoothL1Loss": (of(nn.SmoothL1Loss), 0.0),
    "SmoothL1Loss, beta 100": (of(nn.SmoothL1Loss, beta=100.0), 0.0),
    "GaussianNLLLoss": (lambda p, t: nn.GaussianNLLLoss(reduction="sum")(p, t, tg.ones_like(t)), 0.0),
}  # fmt: skip
SMALL = np.array([0.3, -0.01, 3e-3, -4e-4, 1e-4, 1e-5, -1e-7, 1e-8, 1e-10])


def slope(f: Any, x: np.ndarray) -> np.ndarray:
    t = tg.tensor(x, requires_grad=True)
    y = f(t)
    y.backward()
    assert y.dtype == x.dtype == t.grad.dtype
    return t.grad.numpy().astype("float64")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", LOSSES)
def test_the_slope_of_a_small_error_is_exact(name: str, dtype: str) -> None:
    loss, target = LOSSES[name]
    info = np.finfo(dtype)
    few = np.arange(1, 1 + len(SMALL)) * (float(info.eps) * target)  # a few units in the last place
    p = (target + (few if target else SMALL)).astype(dtype)
    t = np.full_like(p, target)
    exact = name.startswith("msle")
    wide = "longdouble" if exact else "float64"
    got = slope(lambda x: loss(x, tg.tensor(t)), p)
    if exact:
        a, b = p.astype(wide), t.astype(wide)
        want = 2 * np.log1p((a - b) / (1 + b)) / (1 + a)
    else:
        want = slope(lambda x: loss(x, tg.tensor(t.astype("float64"))), p.astype("float64"))
    tiny = 2 * float(info.smallest_subnormal)
    np.testing.assert_allclose(got, want.astype("float64"), rtol=8 * float(info.eps), atol=tiny)


SURE = np.array([-0.5, 3.0, 8.0, 9.0, 10.0, -12.0, 30.0, -60.0])
OF_LOGITS: dict[str, Any] = {
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "with pos_weight": lambda x, t, **o: F.binary_cross_entropy_with_logits(x, t, pos_weight=2.0, **o),
    "binary_cross_entropy": lambda x, t, **o: F.binary_cross_entropy(tg.sigmoid(x), t, **o),
    "focal": lambda x, t, **o: F.binary_focal_crossentropy(x, t, from_logits=True, gamma=0.5, **o),
    "BCEWithLogitsLoss": lambda x, t, reduction: nn.BCEWithLogitsLoss(reduction=reduction)(x, t),
    "BCEWithLogitsLoss, pos_weight": lambda x, t, reduction: nn.BCEWithLogitsLoss(
        reduction=reduction, pos_weight=2.0
    )(x, t),
    "SoftMarginLoss": lambda x, t, reduction: nn.SoftMarginLoss(reduction=reduction)(x, 2.0 * t - 1.0),
}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", OF_LOGITS)
def test_the_slope_of_a_sure_and_right_logit_is_exact(name: str, dtype: str) -> None:
    loss, x, t = OF_LOGITS[name], SURE.astype(dtype), (SURE > 0).astype(dtype)
    got = slope(lambda x: loss(x, tg.tensor(t), reduction="sum"), x)
    want = slope(lambda x: loss(x, tg.tensor(t), reduction="sum"), x.astype("float64"))
    e = np.exp(-np.abs(SURE))
    if name in ("binary_cross_entropy_with_logits", "BCEWithLogitsLoss"):
        np.testing.assert_allclose(want, np.where(SURE > 0, -1, 1) * e / (1 + e), rtol=1e-12)
    info = np.finfo(dtype)
    np.testing.assert_allclose(got, want, rtol=16 * float(info.eps), atol=4 * float(info.smallest_subnormal))


def labels(t: np.ndarray) -> np.ndarray:
    return t.argmax(-1)


OF_CLASSES: dict[str, Any] = {
    "cross_entropy": lambda x, t: F.cross_entropy(x, labels(t), reduction="sum"),
    "cross_entropy of probabilities": lambda x, t: F.cross_entropy(x, t, reduction="sum"),
    "CrossEntropyLoss": lambda x, t: nn.CrossEntropyLoss(reduction="sum")(x, labels(t)),
    "nll_loss": lambda x, t: F.nll_loss(tg.log_softmax(x, axis=-1), labels(t), reduction="sum"),
    "categorical": lambda x, t: F.categorical_crossentropy(tg.softmax(x, axis=-1), t, reduction="sum"),
    "sparse": lambda x, t: F.sparse_categorical_crossentropy(
        tg.softmax(x, axis=-1), labels(t), reduction="sum"
    ),
}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", OF_CLASSES)
def test_the_slope_of_a_sure_and_right_class_is_exact(name: str, dtype: str) -> None:
    x = np.array(
        [[SURE[1], 0.0, -1.0], [8.0, 1.0, 0.5], [0.0, 10.0, 2.0], [3.0, -9.0, 20.0], [-60.0, 4.0, -30.0]]
    )
    t = np.eye(3)[x.argmax(-1)]
    got = slope(lambda x: OF_CLASSES[name](x, t.astype(dtype)), x.astype(dtype))
    e = np.exp(x - x.max(-1, keepdims=True))
    others = np.where(t == 1, 0, e)
    want = np.where(t == 1, -others.sum(-1, keepdims=True), others) / e.sum(-1, keepdims=True)
    info = np.finfo(dtype)
    np.testing.assert_allclose(got, want, rtol=16 * float(info.eps), atol=4 * float(info.smallest_subnormal))


def of_poisson(p: np.ndarray, t: np.ndarray, dtype: str) -> np.ndarray:
    e = max(1e-7, float(np.finfo(dtype).eps) / 2)
    return (p - t + e) / (p + e) / 3


# name -> (loss of probabilities or rates p for targets t, its slope in float64)
NEAR: dict[str, tuple[Any, Any]] = {
    "binary_cross_entropy": (F.binary_cross_entropy, lambda p, t, _: (p - t) / (p * (1 - p)) / 3),
    "BCELoss": (lambda p, t, **o: nn.BCELoss(**o)(p, t), lambda p, t, _: (p - t) / (p * (1 - p))),
    "poisson": (F.poisson, of_poisson),
    "PoissonNLLLoss": (lambda p, t, **o: nn.PoissonNLLLoss(log_input=False, eps=0.0, **o)(p, t),
                       lambda p, t, _: (p - t) / p),
    "categorical": (F.categorical_crossentropy,
                    lambda p, t, _: t.sum(-1, keepdims=True) / p.sum(-1, keepdims=True) - t / p),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", NEAR)
def test_the_slope_of_an_almost_right_probability_is_exact(name: str, dtype: str) -> None:
    loss, formula = NEAR[name]
    eps = float(np.finfo(dtype).eps)
    t = np.array([[0.3, 0.5, 0.2], [0.1, 0.01, 0.89], [0.6, 0.25, 0.15]]).astype(dtype)
    p = (t * (1 + np.array([1, -2, 3]) * 4 * eps)).astype(dtype)
    got = slope(lambda p: loss(p, tg.tensor(t), reduction="sum"), p)
    want = formula(p.astype("float64"), t.astype("float64"), dtype)
    np.testing.assert_allclose(got, want, rtol=8 * eps)


# name -> a loss of distances of three float16 arrays, of which the slope of the first is compared
OPTIONS: dict[str, dict[str, Any]] = {
    "of length": {}, "of p 1": {"p": 1.0}, "of p 3": {"p": 3.0}, "of p 1.5": {"p": 1.5}, "swapped": {"swap": True},
    "of the largest": {"p": float("inf")},
}  # fmt: skip


@pytest.mark.parametrize("size", [300.0, 1.0, 0.03, 1e-2, 3e-3, 3e-4])
@pytest.mark.parametrize("name", OPTIONS)
def test_distances_of_float16(name: str, size: float) -> None:
    """Values and slopes are those of float64, as far as float16 can tell."""
    rng = np.random.default_rng(0)
    a, b, c = ((rng.normal(size=(64, 10)) * size).astype("float16") for _ in range(3))
    loss = nn.TripletMarginLoss(margin=6 * size, **OPTIONS[name])

    def value_and_slope(dtype: str) -> tuple[float, np.ndarray]:
        others = [tg.tensor(x.astype(dtype)) for x in (b, c)]
        return loss(tg.tensor(a.astype(dtype)), *others).item(), slope(
            lambda x: loss(x, *others), a.astype(dtype)
        )

    (value, slopes), (want, true) = value_and_slope("float16"), value_and_slope("float64")
    assert value == pytest.approx(want, rel=2e-3, abs=1e-6)
    np.testing.assert_allclose(slopes, true, rtol=4e-3, atol=4e-3 * np.abs(true).max())


@pytest.mark.parametrize("size", [1e-13, 1.0, 1e13])
def test_other_norms_neither_overflow_nor_vanish(size: float) -> None:
    """In float32: the fourth power of 1e13 is beyond it."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(4, 3)).astype("float32") for _ in range(2))
    loss = nn.TripletMarginLoss(margin=size, p=4.0, eps=0.0, reduction="none")
    x, y = (tg.tensor(v * np.float32(size)) for v in (a, b))
    np.testing.assert_allclose(loss(x, y, x).numpy() / size, ((a - b) ** 4.0).sum(-1) ** 0.25 + 1, rtol=1e-5)
