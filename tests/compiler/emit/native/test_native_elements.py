"""Elementwise operations as machine code give eager's bits: special values, integers at their limits, random ones."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from native_programs import bits, interpreted, left_to_numpy, machine_code, native

pytest.importorskip("llvmlite", reason="the emitter native needs llvmlite")
FLOATS = ("float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = (*FLOATS, *INTEGERS)
SPECIAL = [
    *(0.0, 1.0, 2.0, 2.5, 3.0, 0.1, np.inf, np.nan, 1e-40, 5e-324, 1.5e-38, 3e38, 1e300, 7e9, 65536.5, 129.0),
    *(2.0**31, 2.0**32, 2.0**63, 2.0**64),
]


def special(dtype: str) -> np.ndarray:
    if dtype in FLOATS:
        with np.errstate(over="ignore"):
            return np.array([*SPECIAL, *(-x for x in SPECIAL)]).astype(dtype)
    limits = np.iinfo(dtype)
    values = [0, 1, 2, 3, 7, limits.max, limits.max - 1, limits.max // 3, limits.min, limits.min + 1]
    return np.array([*values, *((-1, -2, -7) if limits.min else ())], dtype)


def pairs(dtype: str) -> list[np.ndarray]:
    """Each special value with each, and random numbers: of any bits, of one size, small halves and integers."""
    rng = np.random.default_rng(0)
    grid = [a.ravel() for a in np.meshgrid(special(dtype), special(dtype))]
    if dtype not in FLOATS:
        drawn = [rng.integers(-9 if dtype[0] == "i" else 0, 100, 300).astype(dtype) for _ in range(2)]
        return [np.concatenate(both) for both in zip(grid, drawn)]
    size = np.dtype(dtype).itemsize
    any_bits = [rng.integers(0, 256, size * 3000, np.uint8).view(dtype) for _ in range(2)]
    sizes = [(rng.normal(size=3000) * 10.0 ** rng.integers(-3, 7, 3000)).astype(dtype) for _ in range(2)]
    halves = [(rng.integers(-40, 40, 500) / 2).astype(dtype) for _ in range(2)]
    return [np.concatenate(parts) for parts in zip(grid, any_bits, sizes, halves)]


def same_bits_as_eager(f: Callable[..., Any], *arrays: np.ndarray) -> None:
    tensors = [tg.tensor(a) for a in arrays]
    compiled = native(f)
    with tg.no_grad(), np.errstate(all="ignore"):
        want = f(*tensors).numpy()
        for _ in range(3):
            got = compiled(*tensors).numpy()
    assert left_to_numpy(compiled) == [""]
    different = np.flatnonzero(~((got == want) | ((got != got) & (want != want))))
    assert bits(got) == bits(want), [([a[i] for a in arrays], got[i], want[i]) for i in different[:5]]
    few = [np.concatenate([a[:40], a[-10:]]) for a in arrays]
    shorter = native(f)
    with tg.no_grad(), np.errstate(all="ignore"):
        for _ in range(3):
            shorter(*map(tg.tensor, few))
    (case,) = shorter.cases
    assert interpreted(case.runner, few) == machine_code(case.runner, few), case.runner.source


ANY: dict[str, Callable[..., Any]] = {
    **{name: getattr(tg, name) for name in ("add", "subtract", "multiply", "maximum", "minimum")},
    **{name: getattr(tg, name) for name in ("equal", "not_equal", "less", "less_equal", "greater")},
    "greater_equal": tg.greater_equal,
    "floor_divide": lambda x, y: x // y,
    "remainder": lambda x, y: x % y,
}
ONE: dict[str, Callable[..., Any]] = {
    "floor_divide by 3": lambda x: x // 3,
    "floor_divide of 7": lambda x: 7 // x,
    "remainder by 3": lambda x: x % 3,
    "remainder of 7": lambda x: 7 % x,
    "negative": lambda x: -x,
    "sign": tg.sign,
    "abs": tg.abs,
    "clip": lambda x: tg.clip(x, 2, 5),
    "clip, below": lambda x: tg.clip(x, 3),
    "square": tg.square,
}
OF_FLOATS: dict[str, Callable[..., Any]] = {
    **{name: getattr(tg, name) for name in ("sqrt", "floor", "ceil", "trunc", "round")},
    **{name: getattr(tg, name) for name in ("isnan", "isinf", "isfinite")},
    "reciprocal": lambda x: 1 / x,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ANY)
def test_of_two(name: str, dtype: str) -> None:
    same_bits_as_eager(ANY[name], *pairs(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ONE)
def test_of_one(name: str, dtype: str) -> None:
    same_bits_as_eager(ONE[name], pairs(dtype)[0])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [*OF_FLOATS, "divide"])
def test_of_floats(name: str, dtype: str) -> None:
    same_bits_as_eager(OF_FLOATS.get(name, tg.divide), *pairs(dtype)[: 2 if name == "divide" else 1])


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 7, 100])
def test_power_of_integers(exponent: int, dtype: str) -> None:
    same_bits_as_eager(lambda x: x**exponent, pairs(dtype)[0])


@pytest.mark.parametrize("exponent", [-8, -3, -2.5, -2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 5, 7.5, 8, 9])
@pytest.mark.parametrize("dtype", FLOATS)
def test_power_of_floats(exponent: float, dtype: str) -> None:
    """Within 1 unit in the last place in float32, 2 in float64, of the power in a longer dtype; or not further off than
    eager, which writes some powers as products of their dtype."""
    x = pairs(dtype)[0]
    x = x if exponent == int(exponent) else np.abs(x)
    f = native(lambda x: x**exponent)
    with tg.no_grad(), np.errstate(all="ignore"):
        for _ in range(3):
            got = f(tg.tensor(x)).numpy()
        eager = (tg.tensor(x) ** exponent).numpy()
    assert left_to_numpy(f) == [""]
    assert units_off(got, x, exponent) <= max(LIMIT[dtype], units_off(eager, x, exponent))


LIMIT = {"float32": 1.0, "float64": 2.0}


def units_off(got: np.ndarray, x: np.ndarray, exponent: float) -> float:
    """The largest error of x**exponent; infinite for another kind of number."""
    longer = np.longdouble if x.dtype == "float64" else np.float64
    with np.errstate(all="ignore"):
        want = np.power(x.astype(longer), longer(exponent))
        nearest = want.astype(x.dtype)
        unit = np.spacing(np.abs(nearest)).astype(longer)
        off = np.abs(got.astype(longer) - want) / unit
    same = (got == nearest) | ((got != got) & (nearest != nearest))
    plain = np.isfinite(nearest) & np.isfinite(got)
    return float(np.where(same, 0, np.where(plain, off, np.inf)).max())


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_of_any_size(name: str, dtype: str) -> None:
    """Some lanes of a vector, all, or none ask the C library."""
    x = np.array([0.5, -0.0, 1e20, -3e38, 8.1e8, np.inf, np.nan, 1e7] * 3 + [0.1] * 16 + [1e30] * 17, dtype)
    f = native(getattr(tg, name))
    with tg.no_grad(), np.errstate(all="ignore"):
        for _ in range(3):
            got = f(tg.tensor(x)).numpy()
        want = getattr(np, name)(x.astype("float64"))
    assert left_to_numpy(f) == [""]
    assert np.allclose(got, want, rtol=1e-6 if dtype == "float32" else 1e-14, equal_nan=True)
    assert np.array_equal(np.signbit(got[:2]), np.signbit(want[:2]))
    (case,) = f.cases
    assert interpreted(case.runner, [x]) == machine_code(case.runner, [x])


@pytest.mark.parametrize("to", [*DTYPES, "bool"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_astype(dtype: str, to: str) -> None:
    """NumPy's uint32 of what it cannot hold depends on where in an array it stands."""
    x = pairs(dtype)[0]
    if dtype in FLOATS and to == "uint32":
        x = x[(x > -(2**31)) & (x < 2**32)]
    same_bits_as_eager(lambda x: tg.astype(x, to), x)


def test_what_has_no_elements() -> None:
    f = native(lambda x: (tg.exp(x) + 1.0, tg.astype(x, "int32")))
    for _ in range(3):
        y, k = f(tg.tensor(np.zeros((0, 3), "float32")))
        assert (y.shape, k.shape, str(k.dtype)) == ((0, 3), (0, 3), "int32")
    assert left_to_numpy(f) == [""]
