"""Choices and relu of many elements, which NumPy's backend does by other calls than of few: exactly what the plain
calls give."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.backends.numpy_backend import LARGE, MANY

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -2.0, 6e-8]


def many(dtype: str, shift: int = 0) -> np.ndarray:
    """Special values in two rows, each in as many neighbourhoods as there are."""
    if dtype == "int32":
        return np.arange(shift, 2 * MANY + shift, dtype=dtype).reshape(2, -1)
    return np.resize(np.roll(np.array(SPECIAL + [3.0], dtype), shift), (2, MANY))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32"])
@pytest.mark.parametrize("otherwise", [0.0, -0.0, 1.0, np.inf, "an array", "one row"])
@pytest.mark.parametrize("reversed_", [False, True], ids=["", "the other branch"])
@pytest.mark.parametrize("turned", [False, True], ids=["", "turned"])
def test_the_bits_of_np_where(dtype: str, otherwise: Any, reversed_: bool, turned: bool) -> None:
    x = many(dtype)
    if isinstance(otherwise, str):
        other = many(dtype, 4) if otherwise == "an array" else many(dtype, 4)[:1]
    else:
        other = np.asarray(otherwise if dtype != "int32" or otherwise < np.inf else 7, dtype)
        otherwise = other.item()
    mask = np.random.default_rng(0).random(x.shape) > 0.5
    if turned:  # neither is dense
        x, mask, other = x.T, mask.T, other.T
    branches = (tg.tensor(x), tg.tensor(other) if isinstance(otherwise, str) else otherwise)
    plain = (x, other)
    if reversed_:
        branches, plain = branches[::-1], plain[::-1]
    got, want = tg.where(tg.tensor(mask), *branches).numpy(), np.where(mask, *plain)
    assert got.dtype == want.dtype and got.tobytes() == want.tobytes()


@pytest.mark.parametrize("spread", ["the first", "the second", "both"])
def test_one_number_spread_over_the_shape(spread: str) -> None:
    """The cotangent of a sum is one, and so is a multiple of it."""
    mask = np.random.default_rng(0).random((2, MANY)) > 0.5
    one, other = (np.broadcast_to(np.float32(v), mask.shape) for v in (1.5, -0.0))
    x = many("float32") if spread == "the second" else one
    y = many("float32") if spread == "the first" else other
    got = tg.where(tg.tensor(mask), tg.asarray(x, copy=False), tg.asarray(y, copy=False)).numpy()
    assert got.tobytes() == np.where(mask, x, y).tobytes()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_relu_of_many_is_that_of_few(dtype: str) -> None:
    x = np.resize(many(dtype), (LARGE,))
    few = np.concatenate([tg.relu(tg.tensor(x[i : i + 64])).numpy() for i in range(0, LARGE, 64)])
    got = tg.relu(tg.tensor(x)).numpy()
    assert np.array_equal(np.isnan(got), np.isnan(few))
    assert np.where(np.isnan(got), 0, got).tobytes() == np.where(np.isnan(few), 0, few).tobytes()


@pytest.mark.parametrize("emitter", ["numpy", "native"])
def test_compiled_choices_of_many_are_eager_s(emitter: str) -> None:
    if emitter == "native":
        pytest.importorskip("llvmlite", reason="llvmlite is not installed")
    F = tg.nn.functional

    def f(x: Any) -> Any:
        parts = (
            tg.relu(x),
            F.relu6(x),
            F.leaky_relu(x),
            F.soft_shrink(x),
            tg.where(x > 0, x, 0.5 * x),
            x**3,
            x**-2,
        )
        return [part for part in parts], tg.grad(lambda x: sum(p.sum() for p in parts_of(x)))(x)

    def parts_of(x: Any) -> Any:
        return tg.relu(x), F.leaky_relu(x), tg.where(x > 0, x, 0.5 * x), F.hard_silu(x), F.relu6(x), x**3

    x = tg.tensor(np.random.default_rng(1).standard_normal(2 * LARGE).astype("float32"))
    want, step = f(x), tg.jit(f, emitter=emitter)
    for _ in range(3):
        got = step(x)
    for a, b in zip((*got[0], got[1]), (*want[0], want[1]), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()
    assert set(step.stats()["programs"]) == {emitter}
