"""The errors of native code's elementwise functions in units in the last place (ulp): the worst, where, and the mean.

The truth is NumPy's function in a longer dtype: float64 for float32, and long double, where it has 64 bits or
more, for float64. Arguments are random bit patterns, of all exponents, and numbers of the range in which the
function bends most.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.compiler.emit.native import functions

COUNT = 200_000
LONG = np.finfo(np.longdouble).nmant >= 63
DTYPES = ("float32", "float64") if LONG else ("float32",)
# The range in which the function bends most, of each argument.
RANGES = {
    **{"exp": (-110, 90), "expm1": (-20, 20), "tanh": (-2, 2), "sinh": (-3, 3)},
    **{"cosh": (-3, 3), "erf": (-4, 4), "log": (0.3, 3), "log1p": (-0.9, 2), "log2": (0.3, 3)},
    **{"log10": (0.3, 3), "asinh": (-3, 3), "acosh": (1, 4), "atanh": (-1, 1), "sin": (-10, 10)},
    **{"cos": (-10, 10), "tan": (-10, 10), "asin": (-1, 1), "acos": (-1, 1), "atan": (-4, 4)},
    **{"power": (0, 30), "atan2": (-3, 3), "hypot": (-3, 3)},
}
ARGUMENTS = {"power": 2, "atan2": 2, "hypot": 2}
SPECIAL = (0.0, 1e-40, 0.5, 1.0, 2.0, 3.0, np.inf, np.nan)  # and the same with the other sign


@dataclass(frozen=True)
class Errors:
    """Of a function in a dtype: the worst error, the mean one, and the arguments of the worst."""

    name: str
    dtype: str
    worst: float
    mean: float
    where: tuple[float, ...]


def erf(x: Any) -> Any:
    """2 / sqrt(pi) exp(-x²) times a series of which all terms have one sign, in the dtype of x."""
    a = np.minimum(np.abs(x), 7)
    term = total = a
    for k in range(1, 260):
        term = term * (2 * a * a) / (2 * k + 1)
        total = total + term
    half_pi = np.arcsin(np.ones_like(a[:1]))
    return np.copysign(total * np.exp(-a * a) * np.sqrt(2 / half_pi), x)


OWN: dict[str, Callable[..., Any]] = {"erf": erf}


def truth(name: str, arguments: list[Any]) -> Any:
    """NumPy's values in a dtype that is longer than that of the arguments."""
    longer = np.longdouble if arguments[0].dtype == np.float64 else np.float64
    function = OWN.get(name) or getattr(np, name)
    with np.errstate(all="ignore"):
        return function(*[a.astype(longer) for a in arguments])


def special(dtype: str, count: int = 1) -> list[Any]:
    """All combinations of that many special values."""
    values = np.array([*SPECIAL, *(-v for v in SPECIAL)], dtype)
    return [grid.ravel() for grid in np.meshgrid(*[values] * count)]


def sample(name: str, dtype: str, count: int = COUNT, seed: int = 0) -> list[Any]:
    """Arguments: random bit patterns, numbers in the range of interest, powers that neither overflow nor vanish."""
    rng = np.random.default_rng(seed)
    unsigned = {"float32": np.uint32, "float64": np.uint64}[dtype]
    arguments = []
    for _ in range(ARGUMENTS.get(name, 1)):
        patterns = rng.integers(0, np.iinfo(unsigned).max, count, unsigned, endpoint=True).view(dtype)
        arguments.append(np.concatenate([patterns, rng.uniform(*RANGES[name], count).astype(dtype)]))
    if name == "power":
        return [np.concatenate(parts) for parts in zip(arguments, powers(dtype, count, rng))]
    if name in ("sin", "cos", "tan"):
        near = (rng.integers(-(10**6), 10**6, count) * (np.pi / 2)).astype(dtype)
        return [np.concatenate([*arguments, near])]
    return arguments


def powers(dtype: str, count: int, rng: np.random.Generator) -> list[Any]:
    """x and y whose power is neither 0 nor infinite: any x, those near 1, and negative ones with integers."""
    largest = {"float32": 85, "float64": 700}[dtype]
    anywhere = np.exp(rng.uniform(-largest, largest, count)).astype(dtype)
    near = (1 + rng.uniform(-0.01, 0.01, count)).astype(dtype)
    near = near[near != 1]
    x = np.concatenate([anywhere, near])
    y = (rng.uniform(-largest, largest, x.size) / np.log(x)).astype(dtype)
    negative = rng.uniform(-30, 0, count).astype(dtype)
    whole = np.rint(rng.uniform(-9, 9, count)).astype(dtype)
    return [np.concatenate([x, negative]), np.concatenate([y, whole])]


def errors(got: Any, wanted: Any) -> Any:
    """In units in the last place of the true value; infinite for another kind of number or another sign of zero."""
    with np.errstate(all="ignore"):
        nearest = wanted.astype(got.dtype)
        unit = np.spacing(np.abs(nearest)).astype(wanted.dtype)
        distance = np.abs(got.astype(wanted.dtype) - wanted) / unit
    same = (got == nearest) & (np.signbit(got) == np.signbit(nearest)) | (np.isnan(got) & np.isnan(nearest))
    distance = np.where(np.isfinite(got) & np.isfinite(nearest) & (got != nearest), distance, np.inf)
    with np.errstate(all="ignore"):
        rounding = np.where(np.isfinite(nearest), np.abs(nearest - wanted) / unit, 0)
    return np.where(same, rounding, distance).astype(np.float64)


def measure(name: str, dtype: str, count: int = COUNT) -> Errors:
    """The errors of one function."""
    arguments = sample(name, dtype, count)
    with np.errstate(all="ignore"):
        got = functions.FUNCTIONS[name](*arguments)
    found = errors(got, truth(name, arguments))
    worst = int(found.argmax())
    where = tuple(float(a[worst]) for a in arguments)
    return Errors(name, dtype, float(found[worst]), float(found.mean()), where)


def lines() -> Iterator[str]:
    """The table, a line as soon as it is measured."""
    yield "| function | dtype | worst ulp | mean ulp | worst at |\n|---|---|---|---|---|"
    for name in functions.FUNCTIONS:
        for dtype in DTYPES:
            e = measure(name, dtype)
            where = ", ".join(f"{w:.9g}" for w in e.where)
            yield f"| `{name}` | {dtype} | {e.worst:.3f} | {e.mean:.3f} | {where} |"
