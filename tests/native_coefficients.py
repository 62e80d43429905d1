"""Derives compiler/emit/native/coefficients.py: `python tests/native_coefficients.py` prints that file.

Each is the minimax polynomial of a function on an interval, found by Remez's exchange of reference points in
arithmetic of 50 digits (mpmath). The error that is made small is the relative error of the final result: a row
gives the weight with which the polynomial's error enters it. The degree is the smallest whose error is below the
row's bound. The coefficients for float32 arithmetic are rounded one after the other, and those that are left are
fitted again to what the rounding did, because 24 bits are few; those for float64 arithmetic are the rounded
minimax coefficients.

Source of the method: E. Remez, 1934; J.-M. Muller, Elementary Functions (third edition, chapter 3).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from mpmath import mp, mpf

mp.dps = 50
SINGLE, WIDE, DOUBLE = mpf(2) ** -29, mpf(2) ** -32, mpf(2) ** -57
PAIR = mpf(2) ** -69
START = mpf("0.875")  # where the two forms of erf meet
HALF_LN_2 = mp.log(2) / 2 * mpf("1.001")


@dataclass(frozen=True)
class Row:
    """A polynomial to derive.

    table     the name of its table
    key       float32 or float64 as the result's dtype; `wide` is evaluated in float64 for a float32 result
    function  what the polynomial approximates, of the polynomial's variable t
    weight    of t, the relative error of the result for an error of 1 of the polynomial
    low, high the interval of t
    bound     of the relative error of the result
    """

    table: str
    key: str
    function: Callable[[Any], Any]
    weight: Callable[[Any], Any]
    low: Any
    high: Any
    bound: Any

    @property
    def dtype(self) -> type:
        return np.float32 if self.key == "float32" else np.float64


def family(
    table: str, function: Any, weight: Any, low: Any, high: Any, keys: str = "float64 wide"
) -> list[Row]:
    """The rows of one table."""
    bounds = {"float32": SINGLE, "wide": WIDE, "float64": DOUBLE}
    return [Row(table, key, function, weight, mpf(low), mpf(high), bounds[key]) for key in keys.split()]


def odd(function: Any) -> tuple[Any, Any]:
    """f(x) = x + x³ P(x²): P as a function of t = x², and its weight."""

    def polynomial(t: Any) -> Any:
        x = mp.sqrt(t)
        return (function(x) - x) / x**3

    return polynomial, lambda t: mp.sqrt(t) ** 3 / function(mp.sqrt(t))


def log_series(t: Any) -> Any:
    """log((1 + s) / (1 - s)) = 2 s + s t P(t), t = s²."""
    s = mp.sqrt(t)
    return (mp.log((1 + s) / (1 - s)) - 2 * s) / s**3


def erf_tail(t: Any) -> Any:
    return -mp.log(mp.erfc(START + t) / mp.erfc(START)) / t


LARGEST_S = (3 - 2 * mp.sqrt(2)) * mpf("1.001")  # (sqrt 2 - 1) / (sqrt 2 + 1): the largest |s| of a logarithm
QUARTER_PI_SQUARED = (mp.pi / 4) ** 2 * mpf("1.001")
ROWS = [
    *family(
        "EXP", lambda t: (mp.exp(t) - 1 - t) / t**2, lambda t: t**2 / mp.exp(t), -HALF_LN_2, HALF_LN_2,
        "float32 wide float64",
    ),
    *family("LOG", log_series, lambda t: t / 2, 0, LARGEST_S**2),
    *family(
        "LOG_SMALL", lambda t: (mp.log(1 + t) - t + t**2 / 2) / t**3, lambda t: abs(t**3 / mp.log(1 + t)),
        mp.sqrt(0.5) - mpf("1.0001"), mp.sqrt(2) - mpf("0.9999"), "float32",
    ),
    Row(
        "LOG_PAIR", "float64", lambda t: (log_series(t) - mpf(2) / 3) / t, lambda t: t**2 / 2, mpf(0),
        LARGEST_S**2, PAIR,
    ),
    *family("TANH", *odd(mp.tanh), 0, 0.65**2, "float32 float64"),
    *family("SINH", *odd(mp.sinh), 0, 1),
    *family(
        "ERF", lambda t: mp.erf(mp.sqrt(t)) / mp.sqrt(t) - 1, lambda t: mp.sqrt(t) / mp.erf(mp.sqrt(t)), 0, START**2,
        "float32 float64",
    ),
    *family("ERF_TAIL", erf_tail, lambda t: t * mp.erfc(START + t) / mp.erf(START + t), 0, 4 - START, "float32"),
    *family("ERF_TAIL", erf_tail, lambda t: t * mp.erfc(START + t) / mp.erf(START + t), 0, 6 - START, "float64"),
    *family("SIN", *odd(mp.sin), 0, QUARTER_PI_SQUARED),
    *family(
        "COS", lambda t: (mp.cos(mp.sqrt(t)) - 1 + t / 2) / t**2, lambda t: t**2 / mp.cos(mp.sqrt(t)), 0,
        QUARTER_PI_SQUARED,
    ),
    *family("TAN", *odd(mp.tan), 0, QUARTER_PI_SQUARED),
    *family("ASIN", *odd(mp.asin), 0, 0.25),
    *family("ATAN", *odd(mp.atan), 0, 0.25),
]  # fmt: skip


def value_at(coefficients: list[Any], t: Any) -> Any:
    return mp.polyval(coefficients[::-1], t)


class Fit:
    """The grid on which a row's polynomials are compared with its function."""

    def __init__(self, row: Row, points: int = 600) -> None:
        middle, half = (row.low + row.high) / 2, (row.high - row.low) / 2
        self.t = [middle - half * mp.cos(mp.pi * (i + mpf(0.5)) / points) for i in range(points)]
        self.wanted = [row.function(t) for t in self.t]
        self.weight = [max(abs(row.weight(t)), mpf(10) ** -30) for t in self.t]

    def errors(self, coefficients: list[Any]) -> list[Any]:
        return [(value_at(coefficients, t) - g) * w for t, g, w in zip(self.t, self.wanted, self.weight)]

    def worst(self, coefficients: list[Any]) -> Any:
        return max(abs(e) for e in self.errors(coefficients))

    def minimax(self, degree: int, fixed: list[Any]) -> list[Any]:
        """The best polynomial of that degree which begins with the fixed coefficients."""
        first, count = len(fixed), degree + 1 - len(fixed)
        points = len(self.t)
        chosen = [round((points - 1) * i / count) for i in range(count + 1)]
        for _ in range(40):
            matrix = mpmath.matrix(count + 1)
            right = mpmath.matrix(count + 1, 1)
            for row, i in enumerate(chosen):
                for column in range(count):
                    matrix[row, column] = self.t[i] ** (first + column)
                matrix[row, count] = (-1) ** row / self.weight[i]
                right[row] = self.wanted[i] - value_at(fixed, self.t[i]) if fixed else self.wanted[i]
            solution = mp.lu_solve(matrix, right)
            coefficients = [*fixed, *(solution[i] for i in range(count))]
            errors = self.errors(coefficients)
            if max(map(abs, errors)) <= abs(solution[count]) * mpf("1.02"):
                break
            chosen = exchanged(errors, count + 1) or chosen
        return coefficients


def exchanged(errors: list[Any], count: int) -> list[int]:
    """The places of the largest errors of alternating sign."""
    extremes: list[int] = []
    for i, e in enumerate(errors):
        if extremes and (errors[extremes[-1]] > 0) == (e > 0):
            extremes[-1] = max(extremes[-1], i, key=lambda j: abs(errors[j]))
        else:
            extremes.append(i)
    while len(extremes) > count:
        extremes.pop(0 if abs(errors[extremes[0]]) < abs(errors[extremes[-1]]) else -1)
    return extremes if len(extremes) == count else []


def derive(row: Row) -> tuple[list[float], Any]:
    """The rounded coefficients, lowest power first, and the worst relative error of the result."""
    fit = Fit(row)
    degree = 1
    while fit.worst(coefficients := fit.minimax(degree, [])) > row.bound:
        degree += 1
    if row.dtype is np.float32:
        fixed: list[Any] = []
        while len(fixed) < degree:
            fixed.append(mpf(float(np.float32(float(fit.minimax(degree, fixed)[len(fixed)])))))
        last = fit.minimax(degree, fixed)[degree]
        coefficients = [*fixed, last]
    rounded = [float(row.dtype(float(c))) for c in coefficients]
    return rounded, fit.worst([mpf(c) for c in rounded])


HEADER = '''"""Coefficients of the polynomials in functions.py and its siblings, lowest power first.

Printed by tests/native_coefficients.py, which derives them: name, dtype of the result (`wide` is evaluated in
float64 for a float32 result), degree, interval of the variable, worst relative error that the polynomial makes in
the result.
"""

'''


def shortest(value: float, dtype: type) -> str:
    """The shortest text of a number of that dtype, which is the same number if it is read as that dtype."""
    return str(dtype(value)) if dtype is np.float32 else repr(value)


def text(rows: list[Row]) -> str:
    """The tables as Python source."""
    lines = []
    for table in dict.fromkeys(row.table for row in rows):
        lines.append(f"{table} = {{")
        for row in (r for r in rows if r.table == table):
            coefficients, worst = derive(row)
            interval = f"[{mp.nstr(row.low, 4)}, {mp.nstr(row.high, 4)}]"
            lines.append(
                f"    # degree {len(coefficients) - 1} on {interval}, error 2**{mp.nstr(mp.log(worst, 2), 4)}"
            )
            lines.append(f'    "{row.key}": (')
            lines.extend(f"        {shortest(c, row.dtype)}," for c in coefficients)
            lines.append("    ),")
        lines.append("}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(HEADER + text(ROWS), end="")
