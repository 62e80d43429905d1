"""Remainders and whole parts of many numbers of float32, by float64: NumPy's bits, and its warnings."""

import warnings
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.backends import division

COUNT = 3 * division.BLOCK + 1
RNG = np.random.default_rng(7)


def numbers(low: float, high: float) -> np.ndarray:
    """Of both signs, with exponents of ten from low to high."""
    sizes = 10.0 ** RNG.uniform(low, high, COUNT)
    return (sizes * RNG.choice([-1.0, 1.0], COUNT)).astype("float32")


def with_one(x: np.ndarray, value: float) -> np.ndarray:
    """The last one is another."""
    return np.append(x[:-1], np.float32(value))


NEAR, FEW_DIGITS = numbers(-2, 2), np.round(numbers(0, 2))
# name, the numbers, the divisors, whether float64 is enough for a remainder and for a whole part
CASES: tuple[tuple[str, np.ndarray, Any, bool, bool], ...] = (
    ("ordinary", NEAR, numbers(-2, 2), True, True),
    ("a number", NEAR, 0.7, True, True),
    ("a negative number", NEAR, -0.7, True, True),
    ("multiples", FEW_DIGITS * 3, np.full(COUNT, -3, "float32"), True, True),
    ("zeros of both signs", np.where(RNG.random(COUNT) < 0.5, 0.0, -0.0).astype("float32"), NEAR, True, True),
    ("near multiples", np.nextafter(FEW_DIGITS * np.float32(0.1), np.float32(9)), 0.1, True, True),
    ("tiny beside large", numbers(-44, -30), numbers(30, 38), True, True),
    ("subnormal", numbers(-44, -39), numbers(-44, -39), True, True),
    ("large quotients", numbers(4.5, 5), numbers(-2, -1), True, False),
    ("larger quotients", numbers(9, 10), numbers(-2, -1), False, False),
    ("a divisor of 0", NEAR, with_one(NEAR, 0), False, False),
    ("an infinite divisor", NEAR, with_one(NEAR, np.inf), False, False),
    ("an infinite number", with_one(NEAR, -np.inf), NEAR, False, False),
    ("NaN", with_one(NEAR, np.nan), NEAR, False, False),
)
OPERATIONS = {"remainder": (tg.remainder, np.remainder), "floor_divide": (tg.floor_divide, np.floor_divide)}


def run(f: Any, *args: Any) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        return f(*args), sorted({str(w.message).partition(" in ")[0] for w in heard})


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("a", "b", "remains", "whole"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_bits_and_warnings(a: np.ndarray, b: Any, remains: bool, whole: bool, name: str) -> None:
    ours, numpys = OPERATIONS[name]
    got, heard = run(ours, tg.tensor(a), b if isinstance(b, float) else tg.tensor(b))
    want, expected = run(numpys, a, b)
    np.testing.assert_array_equal(got.numpy().view("int32"), want.view("int32"))
    assert heard == expected
    limit, enough = (division.REMAINDER, remains) if name == "remainder" else (division.WHOLE, whole)
    assert (division._in_blocks(a, b, limit) is not None) == enough


@pytest.mark.parametrize("shape", [(2, division.MANY), (division.MANY, 2)])
def test_arrays_of_two_axes(shape: tuple[int, int]) -> None:
    a, b = (
        numbers(-2, 2)[: 2 * division.MANY].reshape(shape),
        numbers(-2, 2)[: 2 * division.MANY].reshape(shape),
    )
    np.testing.assert_array_equal(tg.remainder(tg.tensor(a), tg.tensor(b)).numpy(), np.remainder(a, b))
    np.testing.assert_array_equal(
        tg.floor_divide(tg.tensor(a.T), tg.tensor(b.T)).numpy(), np.floor_divide(a.T, b.T)
    )
