"""Division with a remainder, of floats and integers, to NumPy's bits; and powers that are a few products."""

import numpy as np

from tapegrad.compiler.emit.native.forms import (
    Operand,
    choose,
    convert,
    dtype_of,
    floor,
    fmod,
    magnitude,
    noted,
    rarely,
    root,
    trunc,
)
from tapegrad.compiler.emit.native.pairs import INF, halves, two_sum, with_sign_of

# Quotients below this are worked out here; in float64, one of more digits and half the divisor has no exact product.
LARGEST_QUOTIENT = {"float32": 2.0**28, "float64": 2.0**25}
MOST_FACTORS = {"float32": 8, "float64": 4}


def float_rest(a: Operand, b: Operand) -> Operand:
    """C's fmod(a, b): exact. The quotient cut off, and what is left; for large quotients, one lane after the other.

    A float32 rest is computed in float64, where all products are exact. In float64 those of the quotient with both
    halves of b are; the quotient may be 1 too large, and then b is added to a negative rest.
    """
    dtype = dtype_of(a)
    x, y = (magnitude(convert(v, "float64")) for v in (a, b))
    some = (y > 0.0) & (y < INF)
    y = choose(some, y, 1.0)
    usual = some & (x < y * LARGEST_QUOTIENT[dtype])
    x = choose(usual, x, 0.0)
    quotient = trunc(x / y)
    if dtype == "float32":
        rest = x - quotient * y
    else:
        front, back = halves(y)
        high, low = two_sum(x, -(quotient * front))
        rest = (high - quotient * back) + low
        rest = choose(rest < 0.0, rest + y, rest)
    signed = with_sign_of(convert(rest, dtype), a)
    return rarely(~usual, lambda: fmod(a, b), signed)


def remainder(a: Operand, b: Operand) -> Operand:
    """a - b floor(a / b), of the sign of b."""
    if dtype_of(a) not in LARGEST_QUOTIENT:
        rest, safe = integer_division(a, b)[1:]
        signed = choose((rest != 0) & ((rest < 0) != (safe < 0)), rest + safe, rest)
        return rarely(b == 0, lambda: noted("divide", rest), signed)
    rest = float_rest(a, b)
    other = choose((b < 0.0) != (rest < 0.0), rest + b, rest)
    return choose(rest == 0.0, with_sign_of(magnitude(rest), b), other)


def floor_divide(a: Operand, b: Operand) -> Operand:
    """floor(a / b), as NumPy computes it: (a - rest) / b, and the nearest integer to that."""
    if dtype_of(a) not in LARGEST_QUOTIENT:
        quotient, rest, safe = integer_division(a, b)
        below = (rest != 0) & ((rest < 0) != (safe < 0))
        whole = choose(below, quotient - 1, quotient)
        if least := np.iinfo(dtype_of(a)).min:
            whole = rarely((b == -1) & (a == least), lambda: noted("over", a), whole)
        return rarely(b == 0, lambda: noted("divide", rest), whole)
    rest = float_rest(a, b)
    ratio = (a - rest) / b
    ratio = choose((rest != 0.0) & ((b < 0.0) != (rest < 0.0)), ratio - 1.0, ratio)
    whole = floor(ratio)
    whole = choose(ratio - whole > 0.5, whole + 1.0, whole)
    plain = a / b
    whole = choose(ratio == 0.0, with_sign_of(choose(ratio == 0.0, 0.0, whole), plain), whole)
    return choose(b == 0.0, plain, whole)


def integer_division(a: Operand, b: Operand) -> tuple[Operand, Operand, Operand]:
    """The quotient cut off, the rest, and b, or 1 where b is 0 or the quotient is no number of the dtype."""
    unsafe = b == 0
    if (limits := np.iinfo(dtype_of(a))).min:
        unsafe = unsafe | ((b == -1) & (a == limits.min))
    safe = choose(unsafe, 1, b)
    quotient = a / safe
    return quotient, a - quotient * safe, safe


def few_factors(exponent: Operand, dtype: str) -> bool:
    """Whether a power is a few products, and perhaps a root: of integers always, of floats within the errors that
    `functions` states."""
    if dtype not in MOST_FACTORS:
        return bool(exponent >= 0)
    if exponent != exponent or abs(exponent) > MOST_FACTORS[dtype]:
        return False
    if dtype == "float32":
        return bool(2 * exponent == int(2 * exponent))
    return bool(exponent == int(exponent) and exponent >= 0)


def product_power(x: Operand, exponent: Operand) -> Operand:
    """x to the power of an integer that is not 0, by squaring; of integers modulo 2 to the power of their bits.

    Of a float32 also of halves, with a root, in which -0 counts as 0 and -inf as inf, as in C's pow. Worst error:
    float32 0.51 ulp, since it is computed in float64; float64 1.6 ulp, for exponents up to 4.
    """
    dtype, count = dtype_of(x), abs(int(exponent))
    factor = convert(x, "float64") if dtype == "float32" else x
    value: Operand = None
    if exponent != int(exponent):
        factor = choose(factor == 0.0, 0.0, choose(factor == -INF, INF, factor))
        value = root(factor)
    while count:
        if count & 1:
            value = factor if value is None else value * factor
        if count := count >> 1:
            factor = factor * factor
    return convert(value if exponent > 0 else 1.0 / value, dtype)
