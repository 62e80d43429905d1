"""Exponential, logarithm and hyperbolic tangent of float32, for loops that run on many elements at once.

The ones of the C library are called element by element. These are plain arithmetic, which the compiler turns into
vector instructions, and they compute in float64, so that the result is the float32 nearest to the true value but for
one in some ten million: closer than a float32 computation can be.

exp    x = n ln 2 + r with |r| <= ln 2 / 2; exp(r) by its Taylor series to degree 8, whose rest is below 1e-10; times
       2**n, made of its bits
log    w = m 2**e with m in [1/sqrt 2, sqrt 2); log m = 2 atanh(s), s = (m - 1) / (m + 1), by its series to s**11
log1p  w = 1 + x, log(w) x / (w - 1): what rounding does to w cancels (Kahan; see Higham, Accuracy and Stability of
       Numerical Algorithms, section 1.14.1)
"""

import math
from typing import Any

import numpy as np
from numba import njit

ROUND = (
    6755399441055744.0  # 1.5 * 2**52: adding it leaves no room for a fraction, and an integer in the low bits
)
LOG2_E, LN_2 = 1 / math.log(2), math.log(2)
EXPONENT = 0x4330000000000000  # the bits of 2**52: an integer put in the low bits of it is added to it
MANTISSA, ONE, HALF = 0x000FFFFFFFFFFFFF, 0x3FF0000000000000, 0x3FE0000000000000
ROOT = 0x6A09E667F3BCD  # the mantissa of sqrt 2


# No fast math, which is inherited if nothing is said: it would cancel what is added and subtracted for its rounding.
@njit(error_model="numpy", fastmath=False)
def _exp(x: Any) -> Any:
    """In float64, for |x| up to 300; what is above or below counts as 300."""
    x = 300.0 if x > 300.0 else (-300.0 if x < -300.0 else x)
    shifted = x * LOG2_E + ROUND
    r = x - (shifted - ROUND) * LN_2
    p = 1.0 + r * (
        1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r * (1 / 5040 + r / 40320)))))
    )
    scale = np.int64((np.float64(shifted).view(np.int64) + 1023) << 52).view(np.float64)
    return (1.0 + r * p) * scale


@njit(error_model="numpy", fastmath=False)
def _log(w: Any) -> Any:
    """In float64."""
    bits = np.float64(w).view(np.int64)
    above = (bits & MANTISSA) >= ROOT  # m / 2 then, and one more in e
    m = np.int64((bits & MANTISSA) | (HALF if above else ONE)).view(np.float64)
    e = np.int64((bits >> 52) | EXPONENT).view(np.float64) - (
        4503599627370496.0 + (1022.0 if above else 1023.0)
    )
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    series = 1.0 + z * (1 / 3 + z * (1 / 5 + z * (1 / 7 + z * (1 / 9 + z / 11))))
    value = e * LN_2 + 2.0 * s * series
    value = w if w == math.inf else value
    return (-math.inf if w == 0.0 else math.nan) if not w > 0.0 else value


@njit(error_model="numpy", fastmath=False)
def exp(x: Any) -> Any:
    return np.float32(_exp(np.float64(x)))


@njit(error_model="numpy", fastmath=False)
def expm1(x: Any) -> Any:
    x = np.float64(x)
    return np.float32(x + 0.5 * x * x if -1e-5 < x < 1e-5 else _exp(x) - 1.0)


@njit(error_model="numpy", fastmath=False)
def log(x: Any) -> Any:
    return np.float32(_log(np.float64(x)))


@njit(error_model="numpy", fastmath=False)
def log1p(x: Any) -> Any:
    x = np.float64(x)
    w = 1.0 + x
    part = w - 1.0
    whole = _log(w)
    # Nothing is left of x in w; or w is infinite.
    return np.float32(x if part == 0.0 else (whole if part == math.inf else whole * (x / part)))


@njit(error_model="numpy", fastmath=False)
def tanh(x: Any) -> Any:
    x = np.float64(x)
    small = -1e-3 < x < 1e-3
    return np.float32(x - x * x * x / 3.0 if small else 1.0 - 2.0 / (_exp(2.0 * x) + 1.0))
