"""Native code's functions, run as NumPy: errors, special values, flags and dtypes. One row for each function."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapegrad.compiler.emit.native import coefficients, pairs
from tapegrad.compiler.emit.native.functions import FUNCTIONS
from tapegrad.compiler.emit.native.functions_trig import ANGLE_LIMIT
from tapegrad.compiler.ir.operations import OPERATIONS

sys.path.append(str(Path(__file__).parents[4]))  # where pytest was started elsewhere
from benchmarks import functions as measured

LIMIT = {"float32": 1.0, "float64": 2.0}
DTYPES = ("float32", "float64")
RAISED: dict[str, Any] = {"divide": "raise", "over": "raise", "invalid": "raise"}


@dataclass(frozen=True)
class Row:
    """A function: its worst errors as its docstring states them, and arguments at which NumPy's raises a flag."""

    name: str
    float32: float
    float64: float
    flagged: tuple[tuple[float, ...], ...] = ()


ROWS = [
    Row("exp", 0.8, 0.7, ((1000,),)),
    Row("expm1", 1.0, 1.1, ((1000,),)),
    Row("tanh", 0.8, 0.9),
    Row("sinh", 0.51, 0.8, ((-1000,), (1000,))),
    Row("cosh", 0.51, 0.9, ((-1000,), (1000,))),
    Row("erf", 1.0, 1.3),
    Row("log", 0.9, 0.8, ((0,), (-1,), (-np.inf,))),
    Row("log1p", 0.9, 0.8, ((-1,), (-2,))),
    Row("log2", 0.7, 0.51, ((0,), (-1,))),
    Row("log10", 0.7, 0.51, ((0,), (-1,))),
    Row("asinh", 0.51, 0.9),
    Row("acosh", 0.51, 0.9, ((0.5,), (-1,))),
    Row("atanh", 0.51, 0.9, ((1,), (-1,), (2,))),
    Row("power", 0.51, 0.7, ((0, -1), (-0.0, -3), (-1, 0.5), (1000, 1000))),
    Row("sin", 0.51, 0.8, ((np.inf,),)),
    Row("cos", 0.51, 0.8, ((np.inf,),)),
    Row("tan", 0.51, 1.3, ((np.inf,),)),
    Row("asin", 0.51, 1.1, ((2,), (-2,))),
    Row("acos", 0.51, 1.1, ((2,), (-2,))),
    Row("atan", 0.51, 1.1),
    Row("atan2", 0.51, 1.5),
    Row("hypot", 0.51, 1.2),
]
NAMES = [row.name for row in ROWS]
long_enough = pytest.mark.skipif(not measured.LONG, reason="long double is no longer than float64 here")
by_row = pytest.mark.parametrize("row", ROWS, ids=NAMES)
by_name = pytest.mark.parametrize("name", NAMES)
by_dtype = pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("float64", marks=long_enough)], ids=DTYPES
)


def computed(name: str, arguments: list[Any]) -> Any:
    with np.errstate(all="ignore"):
        return FUNCTIONS[name](*arguments)


def test_every_function_has_a_row() -> None:
    assert list(FUNCTIONS) == NAMES


@by_name
def test_every_function_is_that_of_an_operation(name: str) -> None:
    """What no program calls, would be measured for nobody."""
    assert any(re.search(rf"\b{name}\(", row.native) for row in OPERATIONS.values())


@by_dtype
@by_row
def test_errors(row: Row, dtype: str) -> None:
    """At most what the docstring states; that is at most 1 ulp in float32 and 2 in float64."""
    stated = getattr(row, dtype)
    assert stated <= LIMIT[dtype]
    found = measured.measure(row.name, dtype, 100_000)
    assert found.worst <= stated, found


@by_row
def test_docstring_states_the_errors(row: Row) -> None:
    text = (FUNCTIONS[row.name].__doc__ or "").replace("\n   ", "")
    assert f"Worst error: float32 {row.float32} ulp, float64 {row.float64} ulp" in text


@by_dtype
@by_name
def test_special_values(name: str, dtype: str) -> None:
    """NaN, infinity and zero with its sign where NumPy's function has them."""
    arguments = measured.special(dtype, measured.ARGUMENTS.get(name, 1))
    found = measured.errors(computed(name, arguments), measured.truth(name, arguments))
    wrong = [tuple(float(a[i]) for a in arguments) for i in np.flatnonzero(found > LIMIT[dtype])]
    assert wrong == []


@by_dtype
@by_name
def test_one_number(name: str, dtype: str) -> None:
    """NumPy's scalars give the bits that arrays give (NaN has several), without a warning of integers that overflow."""
    arguments = measured.special(dtype, measured.ARGUMENTS.get(name, 1))
    whole = computed(name, arguments)
    for i, one in enumerate(zip(*arguments)):
        value = computed(name, list(one))
        assert isinstance(value, np.generic)
        assert value.tobytes() == whole[i].tobytes() or (value != value and whole[i] != whole[i]), one


@pytest.mark.parametrize("dtype", DTYPES)
@by_name
def test_dtype_stays(name: str, dtype: str) -> None:
    arguments = [np.array([[0.5, 1.5]], dtype)] * measured.ARGUMENTS.get(name, 1)
    result = computed(name, arguments)
    assert (result.dtype, result.shape) == (dtype, (1, 2))


@by_dtype
@by_name
def test_no_flag_at_ordinary_arguments(name: str, dtype: str) -> None:
    """None of overflow, division by zero, invalid operation where arguments and result are finite; nor for NaN."""
    arguments = measured.sample(name, dtype, 20_000)
    with np.errstate(all="ignore"):
        ordinary = np.isfinite(measured.truth(name, arguments).astype(dtype))
    ordinary = np.logical_and.reduce([ordinary, *map(np.isfinite, arguments)])
    assert ordinary.sum() > 10_000
    with np.errstate(**RAISED):
        FUNCTIONS[name](*[a[ordinary] for a in arguments])
        FUNCTIONS[name](*[np.full(9, np.nan, dtype)] * len(arguments))
        if name not in ("log", "log2", "log10", "acosh"):
            FUNCTIONS[name](*[np.zeros(9, dtype)] * len(arguments))


@pytest.mark.parametrize("dtype", DTYPES)
@by_row
def test_flag_where_numpy_raises_one(row: Row, dtype: str) -> None:
    for arguments in row.flagged:
        values = [np.full(9, a, dtype) for a in arguments]
        with np.errstate(**RAISED), pytest.raises(FloatingPointError):
            getattr(np, row.name)(*values)
        with np.errstate(**RAISED), pytest.raises(FloatingPointError):
            FUNCTIONS[row.name](*values)


@by_dtype
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_large_angles(name: str, dtype: str) -> None:
    """Around the limit from where the C library is asked, those among them that are nearest to a multiple of a quarter
    of the circle, and up to the largest numbers."""
    limit = ANGLE_LIMIT[dtype]
    rng = np.random.default_rng(1)
    near = np.rint(rng.uniform(0.5, 2, 50_000) * limit / (np.pi / 2)) * (np.pi / 2)
    huge = np.exp(rng.uniform(np.log(limit), np.log(float(np.finfo(dtype).max)), 10_000))
    around = [near, rng.uniform(0.5, 2, 50_000) * limit, huge, -huge]
    arguments = [np.concatenate(around).astype(dtype)]
    assert measured.errors(computed(name, arguments), measured.truth(name, arguments)).max() <= LIMIT[dtype]


def test_a_wrong_coefficient_is_found(monkeypatch: Any) -> None:
    """The measure sees a change of one coefficient in its eighth digit."""
    first, *others = coefficients.EXP["float64"]
    monkeypatch.setitem(coefficients.EXP, "float64", (first * (1 + 1e-8), *others))
    assert measured.errors(*compared("exp")).max() > 1e6


def compared(name: str) -> tuple[Any, Any]:
    arguments = [np.linspace(-1, 1, 1000)]
    return computed(name, arguments), measured.truth(name, arguments)


@pytest.mark.parametrize("table, key", [("EXP", "float32"), ("SIN", "wide"), ("LOG", "float64")])
def test_coefficients_can_be_derived_again(table: str, key: str) -> None:
    """The script finds the numbers that stand in the file. It takes a minute for all; here are some."""
    pytest.importorskip("mpmath", reason="mpmath is not installed")
    import native_coefficients

    (row,) = [r for r in native_coefficients.ROWS if (r.table, r.key) == (table, key)]
    derived, worst = native_coefficients.derive(row)
    stands = getattr(coefficients, table)[key]
    assert [row.dtype(c) for c in derived] == [row.dtype(c) for c in stands]
    assert worst < 1.5 * row.bound or row.dtype is np.float32


@pytest.mark.parametrize("dtype", DTYPES)
def test_pairs_are_exact(dtype: str) -> None:
    """Sums and products of two numbers, as pairs, against integers and fractions of any length."""
    from fractions import Fraction

    rng = np.random.default_rng(2)
    a, b = (rng.uniform(-8, 8, 200).astype(dtype) for _ in range(2))
    sums, products = pairs.two_sum(a, b), pairs.two_product(a, b)
    for i, (x, y) in enumerate(zip(a, b)):
        exact = Fraction(float(x)), Fraction(float(y))
        assert sum(Fraction(float(s[i])) for s in sums) == exact[0] + exact[1]
        off = sum(Fraction(float(p[i])) for p in products) - exact[0] * exact[1]
        assert abs(off) <= abs(exact[0] * exact[1]) * Fraction(2) ** (-46 if dtype == "float32" else -104)


@pytest.mark.parametrize("dtype", DTYPES)
def test_layout(dtype: str) -> None:
    """The numbers of a dtype that functions are built of."""
    layout, kind = pairs.LAYOUTS[dtype], np.dtype(dtype).type
    info = np.finfo(dtype)
    assert layout.fraction == info.nmant
    assert layout.normal == info.smallest_normal
    integer = {"float32": np.int32, "float64": np.int64}[dtype]
    assert int(kind(layout.shifter).view(integer)) == layout.shifter_bits
    assert int(kind(np.sqrt(0.5)).view(integer)) == layout.root_half
    assert int(kind(-0.0).view(integer)) == layout.sign
    assert int(kind(1).view(integer)) == layout.bias << layout.fraction
