"""Long sums of float64 are as near to the truth as NumPy's, which adds in pairs; so are means."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from native_programs import left_to_numpy, native

pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")

EPS = float(np.finfo(np.float64).eps)
# shape, and the axes that are summed: in one row, in rows, in chunks, in columns, of short rows.
SHAPES: list[tuple[tuple[int, ...], Any]] = [
    ((100_003,), None), ((7, 20_001), 1), ((7, 20_001), None), ((20_001, 7), None), ((3, 100, 333), (1, 2)),
    ((20_001, 7), 0), ((3, 100, 333), (0, 1)), ((999, 1, 101), None), ((300,), None), ((20_001, 3), 1),
]  # fmt: skip
KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "of either sign": lambda x: x,
    "positive": np.abs,
    "far from 0": lambda x: 1e3 * x + 1e4,
    "of many sizes": lambda x: x * np.exp(9 * x),
}


def error(got: tg.Tensor, x: np.ndarray, axis: Any, function: Any) -> float:
    """The largest, in units of the same function of the absolute values."""
    wide = x.astype(np.longdouble)
    with np.errstate(invalid="ignore"):
        return float(
            np.max(np.abs(got.numpy() - function(wide, axis=axis)) / function(np.abs(wide), axis=axis))
        )


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is float64 on this machine")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_sums(shape: tuple[int, ...], axis: Any, kind: str) -> None:
    x = KINDS[kind](np.random.default_rng(0).normal(size=shape))
    for function, limit in ((np.sum, EPS), (np.mean, 1.5 * EPS)):  # a mean is rounded once more
        f = native(lambda x, function=function: getattr(tg, function.__name__)(x, axis=axis))
        for _ in range(3):
            got = f(tg.tensor(x))
        assert left_to_numpy(f) == [""]
        eager = error(f.__wrapped__(tg.tensor(x)), x, axis, function)
        assert error(got, x, axis, function) <= max(eager, limit)


@pytest.mark.parametrize("size", [100, 5_000, 100_003])
@pytest.mark.parametrize(
    "special",
    [(np.inf,), (-np.inf,), (np.nan,), (np.inf, -np.inf), (np.inf, np.inf), (1e308,), (1e308, 1e308)],
)
def test_special_values(special: tuple[float, ...], size: int) -> None:
    """What is lost where a sum is infinite is not a number, and does not count."""
    x = np.ones(size)
    x[:: size // len(special)][: len(special)] = special
    f = native(lambda x: x.sum())
    with np.errstate(all="ignore"):
        for _ in range(3):
            got = f(tg.tensor(x)).numpy()
        want = np.sum(x)
    assert np.array_equal(got, want, equal_nan=True)


def test_the_sum_of_zeros_keeps_its_sign() -> None:
    f = native(lambda x: x.sum())
    for _ in range(3):
        got = f(tg.tensor(np.full(5_000, -0.0))).numpy()
    assert np.signbit(got) == np.signbit(np.full(5_000, -0.0).sum())
