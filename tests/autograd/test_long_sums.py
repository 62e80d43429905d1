"""Sums of many numbers are as good as the dtype, whatever the axis and the layout; statistics of equal numbers are
exact."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_emitters import EMITTERS

ROWS = 40_000
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "sum": (lambda x: tg.sum(x, axis=0), lambda x: x.sum(axis=0)),
    "mean, kept": (
        lambda x: tg.mean(x, axis=0, keepdims=True),
        lambda x: x.mean(axis=0, keepdims=True),
    ),
    "mean over two axes": (
        lambda x: tg.mean(x.reshape(200, -1, 3), axis=(0, 1)),
        lambda x: x.mean(axis=0),
    ),
    "mean of short axes": (
        lambda x: tg.mean(x.reshape(40, 40, 25, 3), axis=(0, 1, 2)),
        lambda x: x.mean(axis=0),
    ),
    "mean of channels": (
        lambda x: tg.mean(x.reshape(2, 100, -1, 3), axis=(1, 2)),
        lambda x: x.reshape(2, -1, 3).mean(axis=1),
    ),
    "mean of columns": (lambda x: tg.mean(x.T, axis=1), lambda x: x.mean(axis=0)),
    "mean of what is made": (lambda x: tg.mean(x * 1.0 + 0.0, axis=0), lambda x: x.mean(axis=0)),
    "var": (lambda x: tg.var(x, axis=0), lambda x: x.var(axis=0)),
    "std": (lambda x: tg.std(x, axis=0, correction=1), lambda x: x.std(axis=0, ddof=1)),
    "logsumexp": (lambda x: tg.logsumexp(x - 1000.0, axis=0), lambda x: np.log(np.exp(x - 1000).sum(axis=0))),
    "softmax": (
        lambda x: tg.softmax(x - 1000.0, axis=0)[:5],
        lambda x: (np.exp(x - 1000) / np.exp(x - 1000).sum(axis=0))[:5],
    ),
    "cumulative_sum": (lambda x: tg.cumulative_sum(x, axis=0)[-5:], lambda x: x.cumsum(axis=0)[-5:]),
    "einsum of one": (lambda x: tg.einsum("ij->j", x), lambda x: x.sum(axis=0)),
    "einsum of two": (lambda x: tg.einsum("ij,ij->j", x, x), lambda x: (x * x).sum(axis=0)),
    "gradient of a bias": (
        lambda x: tg.grad(lambda b: ((tg.zeros(()).astype(x.dtype) + b) * x).sum())(
            tg.zeros(3, dtype=x.dtype)
        ),
        lambda x: x.sum(axis=0),
    ),
}  # fmt: skip
ULPS = {"float32": 20 * 2.0**-24, "float64": 20 * 2.0**-53, "float16": 2 * 2.0**-11}


def table(dtype: str) -> np.ndarray:
    """Numbers whose running sum soon has digits enough to lose theirs."""
    offset = 0.0 if dtype == "float16" else 1000.0
    return (np.random.default_rng(0).random((ROWS, 3)) + offset).astype(dtype)


# How many times the dtype's error the spread of numbers near 1000 may have, and running sums of float64.
TIMES = {"var": 10, "std": 10, "cumulative_sum": 10}
# A sum of so many numbers is beyond float16.
CASES = [(n, d) for n in FUNCTIONS for d in ULPS if d != "float16" or n.startswith("mean")]


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_a_long_sum_is_as_good_as_its_dtype(name: str, dtype: str) -> None:
    f, reference = FUNCTIONS[name]
    x = table(dtype)
    truth = np.asarray(reference(x.astype(np.longdouble)), np.float64)
    close = dict(rtol=ULPS[dtype] * TIMES.get(name, 1))
    eager = f(tg.tensor(x)).numpy()
    assert eager.dtype == dtype
    np.testing.assert_allclose(eager, truth, **close)
    for emitter in EMITTERS:
        compiled = tg.jit(f, emitter=emitter, strict=True)
        found = [compiled(tg.tensor(x)).numpy() for _ in range(3)][-1]
        assert compiled.stats()["compiled"] == 1
        np.testing.assert_allclose(found, truth, **close)
        if emitter == "numpy":
            assert found.tobytes() == eager.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", [0.1, 10000.1, 1e-30, -3.3e7])
@pytest.mark.parametrize("count", [3, 7, 100])
def test_equal_numbers_have_no_spread_and_no_slope(number: float, count: int, dtype: str) -> None:
    x = tg.full((count, 2), number, dtype=dtype, requires_grad=True)
    for f in (lambda x: tg.var(x, axis=0), lambda x: tg.std(x, axis=0)):
        y = f(x)
        y.sum().backward()
        assert y.tolist() == [0.0, 0.0] and not x.grad.numpy().any()


def test_a_saved_program_adds_up_alike(tmp_path: Any) -> None:
    """It has the function that does so in its own text."""
    f = tg.jit(lambda x: tg.mean(x, axis=0), emitter="numpy")
    x = tg.tensor(table("float32"))
    y = [f(x) for _ in range(3)][-1]
    f.save(tmp_path / "mean.py")
    names: dict[str, Any] = {"__file__": str(tmp_path / "mean.py"), "__name__": "mean"}
    exec((tmp_path / "mean.py").read_text(), names)
    assert names["open_step"]()(x.numpy())[0].tobytes() == y.numpy().tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("statistic", [tg.var, tg.std])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_numbers_have_nan_for_spread_and_an_empty_slope(
    statistic: Any, axis: int | None, dtype: str
) -> None:
    x = tg.zeros((0, 3), dtype=dtype, requires_grad=True)
    y = statistic(x, axis=axis)
    y.backward(tg.ones_like(y))
    assert np.isnan(y.numpy()).all() and x.grad is not None and x.grad.shape == (0, 3)
