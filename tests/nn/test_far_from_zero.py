"""Normalization, variance and deviation of numbers that are large beside their differences: values and slopes are those
of the same numbers in float64. The mean of such numbers is rounded as far as they are large."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn


def trained(layer: Any) -> Callable[[tg.Tensor], tg.Tensor]:
    """The layer as a function, of whatever dtype its argument is."""
    return lambda x: layer(dtype=str(x.dtype))(x)  # type: ignore[no-any-return]


FUNCTIONS: dict[str, Callable[[tg.Tensor], tg.Tensor]] = {
    "LayerNorm": trained(lambda **o: nn.LayerNorm(12, **o)),
    "LayerNormalization": trained(lambda **o: nn.LayerNormalization(epsilon=1e-5)),
    "BatchNorm1d": lambda x: nn.BatchNorm1d(5, dtype=str(x.dtype))(x.T),
    "BatchNormalization": lambda x: nn.BatchNormalization(epsilon=1e-5)(x.T),
    "GroupNorm": lambda x: nn.GroupNorm(2, 4, dtype=str(x.dtype))(x.reshape(5, 4, 3)),
    "GroupNormalization": lambda x: nn.GroupNormalization(2, epsilon=1e-5)(x.reshape(5, 3, 4)),
    "var": lambda x: tg.var(x, axis=-1),
    "std": lambda x: tg.std(x, axis=-1, correction=1),
}
RNG = np.random.default_rng(0)
NUMBERS = {
    "near 1e4": 1e4 + RNG.normal(size=(5, 12)) * 0.02,
    "near -3e5": -3e5 + RNG.normal(size=(5, 12)),
    "one other": 10000.1 + np.eye(5, 12) * 1e-2,
    "of the 7 before": np.full((5, 12), 10000.1),
}


def value_and_slope(f: Callable[[tg.Tensor], tg.Tensor], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t = tg.tensor(x, requires_grad=True)
    y = f(t)
    weights = np.cos(np.arange(y.size)).reshape(y.shape)
    (y * tg.tensor(weights, dtype=str(x.dtype))).sum().backward()
    assert t.grad is not None and y.dtype == t.grad.dtype == x.dtype
    return y.numpy().astype("float64"), t.grad.numpy().astype("float64")


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_numbers_far_from_zero(name: str, numbers: str) -> None:
    x = NUMBERS[numbers].astype("float32")
    got = value_and_slope(FUNCTIONS[name], x)
    want = value_and_slope(FUNCTIONS[name], x.astype("float64"))
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=2e-5, atol=1e-5 * np.abs(w).max())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("n", [3, 7, 1000])
@pytest.mark.parametrize("number", [0.1, 1000.1, 60000.0])
def test_equal_numbers_have_no_spread(number: float, n: int, dtype: str) -> None:
    x = tg.full((2, n), number, dtype=dtype)
    assert not nn.LayerNormalization(epsilon=1e-12)(x).numpy().any()
    assert not nn.BatchNormalization(epsilon=1e-12)(x.T).numpy().any()
    assert not tg.var(x, axis=-1).numpy().any() and not tg.std(x).numpy().any()


def test_the_moving_statistics_are_those_of_the_numbers() -> None:
    x = NUMBERS["near 1e4"].astype("float32").T
    layer = nn.BatchNorm1d(5, momentum=1.0)
    layer(tg.tensor(x))
    wide = x.astype("float64")
    np.testing.assert_allclose(layer.running_mean.numpy(), wide.mean(0), rtol=1e-7)
    np.testing.assert_allclose(layer.running_var.numpy(), wide.var(0, ddof=1), rtol=1e-5)
