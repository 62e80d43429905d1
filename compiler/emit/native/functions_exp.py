"""exp and what is made of it: expm1, tanh, sinh, cosh, erf."""

from tapegrad.compiler.emit.native.coefficients import ERF, ERF_TAIL, EXP, SINH, TANH
from tapegrad.compiler.emit.native.forms import Operand, choose, convert, dtype_of, magnitude
from tapegrad.compiler.emit.native.pairs import (
    fast_two_sum,
    layout_of,
    limited,
    nearest_integer,
    polynomial,
    power_of_two,
    scaled,
    with_sign_of,
)

LOG2_E = 1.4426950408889634
ERFC_START = 0.21592493894014034  # erfc(0.875)
# Beyond these the result is 0 or infinite.
EXP_RANGE = {"float32": (-104.0, 89.0), "float64": (-746.0, 710.0)}
EXPM1_RANGE = {"float32": (-18.0, 89.0), "float64": (-38.0, 710.0)}
TANH_LIMIT = {"float32": 10.0, "float64": 20.0}
TANH_START = 0.65
ERF_LIMIT = {"float32": 4.0, "float64": 6.0}


def reduced(x: Operand) -> tuple[Operand, Operand, Operand]:
    """r, c and the integer n with x = n ln 2 + r + c, |r| <= ln 2 / 2, c below a unit in the last place of r.

    Source: W. J. Cody and W. Waite, Software Manual for the Elementary Functions (1980), chapter 6.
    """
    high, low = layout_of(x).ln_2
    n, integer = nearest_integer(x * LOG2_E)
    first = x - n * high
    rest = n * low
    r = first - rest
    return r, (first - r) - rest, integer


def exp_pair(x: Operand, tail: Operand = None) -> tuple[Operand, Operand, Operand]:
    """h, l and the integer n with exp(x + tail) = (h + l) 2**n, h from 0.65 to 1.35 and l up to 0.08.

    exp(r) = 1 + r + r² P(r). P: degree 5 (float32) or 9 on [-ln 2 / 2, ln 2 / 2], error 2**-30.5 or 2**-56.4.
    """
    r, c, n = reduced(x)
    c = c if tail is None else c + tail
    high, low = fast_two_sum(1.0, r)
    low = low + r * r * polynomial(r, EXP[dtype_of(x)])
    return high, low + c * (high + low), n


def exp(x: Operand) -> Operand:
    """e to the power of x. Worst error: float32 0.8 ulp, float64 0.7 ulp.

    x = n ln 2 + r, a polynomial of r (`exp_pair`), times 2**n in two steps, so that the smallest numbers are
    rounded once.
    """
    high, low, n = exp_pair(limited(x, *EXP_RANGE[dtype_of(x)]))
    return scaled(high + low, n)


def wide_exp(x: Operand) -> Operand:
    """exp in float64 for a float32 result, |x| up to 700: P has degree 5, error 2**-34."""
    n, integer = nearest_integer(x * LOG2_E)
    r = x - n * 0.6931471805599453
    return (1.0 + (r + r * r * polynomial(r, EXP["wide"]))) * power_of_two(integer, x)


def expm1(x: Operand) -> Operand:
    """exp(x) - 1. Worst error: float32 1.0 ulp, float64 1.1 ulp.

    With exp(r) - 1 = r + q, the result is (2**n - 1) + 2**n r + 2**n q: the sum of the first two is exact. All is
    halved until the end, because 2**1024 is no float64. Below 2**-26 (float64: 2**-55) the result is x.
    """
    layout = layout_of(x)
    r, c, n = reduced(limited(x, *EXPM1_RANGE[dtype_of(x)]))
    rest = r * r * polynomial(r, EXP[dtype_of(x)]) + (c + c * r)
    half = power_of_two(n - 1, x)
    whole = half - 0.5
    high, low = fast_two_sum(whole, half * r)
    low = low + (((half - whole) - 0.5) + half * rest)
    return choose(magnitude(x) < layout.tiny, x, 2.0 * (high + low))


def tanh(x: Operand) -> Operand:
    """The hyperbolic tangent. Worst error: float32 0.8 ulp, float64 0.9 ulp.

    For |x| up to 0.65 it is x + x³ P(x²), P of degree 5 (float32) or 11, error 2**-31 or 2**-56. Above, it is
    1 - 2 / (exp(2 |x|) + 1), with the denominator as a pair.
    """
    dtype = dtype_of(x)
    a = limited(magnitude(x), 0.0, TANH_LIMIT[dtype])
    high, low, n = exp_pair(a + a)
    high, low = fast_two_sum(high, low)
    scale = power_of_two(n, x)
    whole, rest = fast_two_sum(high * scale, 1.0)
    part = 2.0 / whole
    high, left = fast_two_sum(1.0, -part)
    large = high + (left + part * part * (0.5 * (rest + low * scale)))
    square = a * a
    small = a + a * square * polynomial(square, TANH[dtype])
    return with_sign_of(choose(a < TANH_START, small, large), x)


def sinh(x: Operand) -> Operand:
    """The hyperbolic sine. Worst error: float32 0.51 ulp, float64 0.8 ulp.

    For |x| up to 1 it is x + x³ P(x²), P of degree 6, error 2**-56 (float32: 3, 2**-34). Above, it is E - 1 / (4
    E) with E = exp(|x|) / 2 as a pair. The float32 one is computed in float64.
    """
    if dtype_of(x) == "float32":
        wide = convert(x, "float64")
        a = limited(magnitude(wide), 0.0, 100.0)
        power = wide_exp(a)
        large = 0.5 * (power - 1.0 / power)
        return convert(with_sign_of(small_sinh(a, "wide", large), wide), "float32")
    a = limited(magnitude(x), 0.0, 711.0)
    power, rest = half_exp(a)
    return with_sign_of(small_sinh(a, "float64", power + (rest - 0.25 / power)), x)


def small_sinh(a: Operand, key: str, large: Operand) -> Operand:
    """The sinh of a where it is below 1, elsewhere the value that is given."""
    small = limited(a, 0.0, 1.0)
    square = small * small
    return choose(a < 1.0, small + small * square * polynomial(square, SINH[key]), large)


def half_exp(a: Operand) -> tuple[Operand, Operand]:
    """exp(a) / 2 as a pair: the second number is 0 where the first is infinite."""
    high, low, n = exp_pair(a)
    high, low = fast_two_sum(high, low)
    return scaled(high, n - 1), scaled(low, n - 1)


def cosh(x: Operand) -> Operand:
    """The hyperbolic cosine. Worst error: float32 0.51 ulp, float64 0.9 ulp. E + 1 / (4 E) with E = exp(|x|) / 2."""
    if dtype_of(x) == "float32":
        power = wide_exp(limited(magnitude(convert(x, "float64")), 0.0, 100.0))
        return convert(0.5 * (power + 1.0 / power), "float32")
    power, rest = half_exp(limited(magnitude(x), 0.0, 711.0))
    return power + (rest + 0.25 / power)


def erf(x: Operand) -> Operand:
    """The error function. Worst error: float32 1.0 ulp, float64 1.3 ulp.

    For |x| up to 7/8 it is x + x Q(x²), Q of degree 6 (float32) or 12. Above, with u = |x| - 7/8, it is 1 -
    erfc(7/8) exp(-u P(u)), P of degree 5 or 17: erfc falls so fast that P needs no more. Error of either: 2**-29
    or 2**-56. P and Q are fits of our own; the exponential of a polynomial is the form of C. Hastings,
    Approximations for Digital Computers (1955).
    """
    dtype = dtype_of(x)
    a = limited(magnitude(x), 0.0, ERF_LIMIT[dtype])
    u = choose(a > 0.875, a - 0.875, 0.0)
    high, low, n = exp_pair(-u * polynomial(u, ERF_TAIL[dtype]))
    large = 1.0 - (high + low) * power_of_two(n, x) * ERFC_START
    small = limited(a, 0.0, 0.875)
    square, (first, *others) = small * small, ERF[dtype]
    # The second coefficient is added by itself: summed in a pair with the third, its rounding would be felt near 7/8.
    q = first + square * polynomial(square, tuple(others))
    return with_sign_of(choose(a > 0.875, large, small + small * q), x)
