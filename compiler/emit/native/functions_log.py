"""log and what is made of it: log1p, log2, log10, asinh, acosh, atanh, power."""

from tapegrad.compiler.emit.native.coefficients import LOG, LOG_PAIR, LOG_SMALL
from tapegrad.compiler.emit.native.forms import (
    Operand,
    bits,
    choose,
    convert,
    dtype_of,
    magnitude,
    noted,
    rarely,
    root,
    rounded,
)
from tapegrad.compiler.emit.native.functions_exp import exp_pair, wide_exp
from tapegrad.compiler.emit.native.pairs import (
    INF,
    NAN,
    Pair,
    fast_two_sum,
    layout_of,
    limited,
    pair_root,
    parts,
    polynomial,
    power_of_two,
    quotient,
    scaled,
    times_where,
    two_product,
    two_sum,
    with_sign_of,
)

TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
LOG2_E = (1.4426950408889634, 2.0355273740931033e-17)
LOG10_E = (0.4342944819032518, 1.098319650216765e-17)
LOG10_2 = (0.30102999566383914, 1.42050232272661e-13)  # the product of the first with an exponent is exact
# The power of two that makes all bits of a subnormal number available, and its exponent.
LIFT = {"float32": (2.0**25, 25.0), "float64": (2.0**54, 54.0)}


def log_series(f: Operand, key: str) -> Operand:
    """log(1 + f) - (f - f² / 2), f from sqrt(1/2) - 1 to sqrt(2) - 1.

    In float32 arithmetic f³ P(f), P of degree 8, error 2**-28. In float64, with s = f / (2 + f), it is
    s (f² / 2 + s² P(s²)), P of degree 6, error 2**-59 (for a float32 result 3, 2**-37).
    """
    if key == "float32":
        return f * f * f * polynomial(f, LOG_SMALL[key])
    s = f / (2.0 + f)
    square = s * s
    return s * (0.5 * f * f + square * polynomial(square, LOG[key]))


def log_sum(f: Operand, e: Operand, tail: Operand, key: str) -> Operand:
    """log((1 + f) 2**e) + tail. The sum of e ln 2 and f is exact, the rest is small."""
    high, low = layout_of(f).ln_2
    whole, rest = fast_two_sum(e * high, f)
    return whole + (rest + ((log_series(f, key) + (e * low + tail)) - 0.5 * f * f))


def logarithm_parts(x: Operand) -> tuple[Operand, Operand]:
    """m - 1 and e as a floating-point number, x = m 2**e with m from sqrt(1/2) to sqrt 2.

    What is not positive counts as 1; a subnormal number is multiplied by a power of two first.
    """
    factor, exponent = LIFT[dtype_of(x)]
    safe = choose(x > 0.0, x, 1.0)
    small = safe < layout_of(x).normal
    f, e, _ = parts(times_where(small, safe, factor))
    return f, choose(small, e - exponent, e)


def where_positive(x: Operand, value: Operand) -> Operand:
    """The value where x is positive and finite; else what a logarithm is there.

    The sum is infinite for positive x and raises the flag of an invalid operation for others, which are never
    ordinary.
    """
    flagged = choose(x > 0.0, 1.0, x) * INF + INF
    return choose((x > 0.0) & (x < INF), value, choose(x == 0.0, -INF, flagged))


def log_with(x: Operand, key: str) -> Operand:
    f, e = logarithm_parts(x)
    return where_positive(x, log_sum(f, e, 0.0, key))


def log(x: Operand) -> Operand:
    """The natural logarithm. Worst error: float32 0.9 ulp, float64 0.8 ulp.

    x = m 2**e with m from sqrt(1/2) to sqrt 2; a polynomial of m - 1 (`log_series`), and e ln 2. Source of the form
    with s = f / (2 + f): J.-M. Muller, Elementary Functions, chapter 11.
    """
    return log_with(x, dtype_of(x))


def log_of_pair(high: Operand, low: Operand, doubled: Operand = None) -> Operand:
    """log(high + low), or its double's logarithm, of a pair whose sum is positive and no subnormal number.

    The low part, divided by 2**e, is added to f; what is left over enters as its derivative, 1 - f.
    """
    layout = layout_of(high)
    f, e, exponent = parts(choose((high > 0.0) & (high < INF), high, 1.0))
    # Where the exponent is so large that 2**-e is no number with all bits, the low part means nothing.
    scale_exponent = choose(exponent >= layout.bias, 1 - layout.bias, -exponent)
    added = low * power_of_two(scale_exponent, high)
    whole = f + added
    rest = added - (whole - f)
    e = e if doubled is None else choose(doubled, e + 1.0, e)
    return where_positive(high, log_sum(whole, e, rest - rest * whole, dtype_of(high)))


def log1p(x: Operand) -> Operand:
    """log(1 + x), the sum as a pair. Worst error: float32 0.9 ulp, float64 0.8 ulp. Below 2**-26 (2**-55) it is x."""
    return choose(magnitude(x) < layout_of(x).tiny, x, log_of_pair(*one_plus(x)))


def one_plus(x: Operand) -> Pair:
    """1 + x as a pair."""
    safe = choose(magnitude(x) < INF, x, 0.0)
    high, low = two_sum(safe, 1.0)
    return choose(magnitude(x) < INF, high, x), low


def log_pair(f: Operand) -> Pair:
    """log(1 + f) as a pair, relative error below 2**-63, f from sqrt(1/2) - 1 to sqrt(2) - 1.

    log(1 + f) = 2 s + s³ (2/3 + s² P(s²)), s = f / (2 + f) as a pair; P of degree 7, error 2**-66. Only P is
    evaluated in single numbers.
    """
    s, s_low = quotient((f, 0.0), fast_two_sum(2.0, f))
    square, square_low = two_product(s, s)
    square_low = square_low + 2.0 * s * s_low
    series, series_low = fast_two_sum(TWO_THIRDS[0], square * polynomial(square, LOG_PAIR["float64"]))
    series_low = series_low + TWO_THIRDS[1]
    a, a_low = two_product(square, series)
    a_low = a_low + (square * series_low + square_low * series)
    b, b_low = two_product(s, a)
    b_low = b_low + (s * a_low + s_low * a)
    high, low = fast_two_sum(2.0 * s, b)
    return fast_two_sum(high, low + (b_low + 2.0 * s_low))


def log_to_base(x: Operand, factor: Pair, of_two: Pair) -> Operand:
    """log(x) times a factor; of_two is the result for 2. For float64, with a logarithm as a pair."""
    f, e = logarithm_parts(x)
    high, low = log_pair(f)
    product, error = two_product(high, factor[0])
    error = error + (high * factor[1] + low * factor[0])
    whole, rest = fast_two_sum(e * of_two[0], product)
    return where_positive(x, whole + (rest + (error + e * of_two[1])))


def narrow_log(x: Operand, factor: float, of_two: float) -> Operand:
    """log(x) times a factor, of a float32. What is most of it, f - f² / 2 and the exponent, is added in float64."""
    f, e = logarithm_parts(x)
    series = convert(log_series(f, "float32"), "float64")
    wide = convert(f, "float64")
    part = wide + (series - 0.5 * wide * wide)
    return where_positive(x, convert(part * factor + convert(e, "float64") * of_two, "float32"))


def log2(x: Operand) -> Operand:
    """The logarithm to base 2. Worst error: float32 0.7 ulp, float64 0.51 ulp. See `narrow_log` and `log_to_base`."""
    if dtype_of(x) == "float32":
        return narrow_log(x, LOG2_E[0], 1.0)
    return log_to_base(x, LOG2_E, (1.0, 0.0))


def log10(x: Operand) -> Operand:
    """The logarithm to base 10. Worst error: float32 0.7 ulp, float64 0.51 ulp. As log2."""
    if dtype_of(x) == "float32":
        return narrow_log(x, LOG10_E[0], LOG10_2[0] + LOG10_2[1])
    return log_to_base(x, LOG10_E, LOG10_2)


def asinh(x: Operand) -> Operand:
    """The inverse of sinh. Worst error: float32 0.51 ulp, float64 0.9 ulp.

    log(|x| + sqrt(x² + 1)), the argument as a pair. Above 2**30 it is log(2 |x|); below 2**-28 it is x. The
    float32 one is computed in float64, below 2**-10 as x - x³ / 6.
    """
    if dtype_of(x) == "float32":
        wide = convert(x, "float64")
        a = magnitude(wide)
        small = limited(a, 0.0, 1.0)
        near = small - small * small * small * (1.0 / 6.0)
        value = choose(a < 2.0**-10, near, log_with(a + root(a * a + 1.0), "wide"))
        return convert(with_sign_of(value, wide), "float32")
    a = magnitude(x)
    b = limited(a, 0.0, 2.0**30)
    square, error = two_product(b, b)
    whole, rest = two_sum(square, 1.0)
    high, low = pair_root(fast_two_sum(whole, rest + error))
    high, carried = two_sum(high, b)
    large = a > 2.0**30
    value = log_of_pair(choose(large, a, high), choose(large, 0.0, carried + low), large)
    return choose(a < 2.0**-28, x, with_sign_of(value, x))


def acosh(x: Operand) -> Operand:
    """The inverse of cosh. Worst error: float32 0.51 ulp, float64 0.9 ulp. As asinh, with x² - 1; NaN below 1."""
    if dtype_of(x) == "float32":
        a = convert(x, "float64")
        return convert(log_with(a + root(a - 1.0) * root(a + 1.0), "wide"), "float32")
    a = limited(x, 0.0, 2.0**30)
    square, error = two_product(a, a)
    high, low = pair_root(fast_two_sum(square - 1.0, error))
    high, carried = two_sum(a, high)
    large = x > 2.0**30
    return log_of_pair(choose(large, x, high), choose(large, 0.0, carried + low), large)


def atanh(x: Operand) -> Operand:
    """The inverse of tanh. Worst error: float32 0.51 ulp, float64 0.9 ulp.

    log((1 + |x|) / (1 - |x|)) / 2, the quotient as a pair; below 2**-28 it is x. The float32 one is computed in
    float64, below 2**-10 as x + x³ / 3.
    """
    if dtype_of(x) == "float32":
        wide = convert(x, "float64")
        a = magnitude(wide)
        small = limited(a, 0.0, 1.0)
        near = small + small * small * small * (1.0 / 3.0)
        value = choose(a < 2.0**-10, near, 0.5 * log_with((1.0 + a) / (1.0 - a), "wide"))
        return convert(with_sign_of(value, wide), "float32")
    a = magnitude(x)
    value = 0.5 * log_of_pair(*quotient(fast_two_sum(1.0, a), fast_two_sum(1.0, -a)))
    return choose(a < 2.0**-28, x, with_sign_of(value, x))


def power(x: Operand, y: Operand) -> Operand:
    """x to the power of y. Worst error: float32 0.51 ulp, float64 0.7 ulp.

    exp(y log|x|), the logarithm and the product as pairs (in float64; plain float64 for a float32 result), with
    the sign that an odd y gives. Special cases as in C's pow. Source of the method: P. T. P. Tang, Table-driven
    implementation of the exponential function and of the logarithm (1989 and 1990), here without tables.
    """
    base, exponent = convert(x, "float64"), convert(y, "float64")
    a = magnitude(base)
    # Beyond 2**64 the result is 0, 1 or infinite.
    times = limited(exponent, -(2.0**64), 2.0**64)
    usual = choose((a > 0.0) & (a < INF), a, 1.0)
    value = narrow_power(usual, times) if dtype_of(x) == "float32" else pair_power(usual, times)
    falls = exponent < 0.0
    value = choose(((a == 0.0) & ~falls) | ((a == INF) & falls), 0.0, value)
    value = choose(((a == INF) & ~falls) | ((a == 0.0) & falls), INF, value)
    whole = rounded(times) == times
    half = times * 0.5
    negative = bits(base) < 0
    odd = whole & (rounded(half) != half) & (magnitude(exponent) < 2.0**53)
    pole = (a == 0.0) & falls & (exponent > -INF)
    value = rarely(pole, lambda: noted("divide", choose(pole, INF, value)), value)
    value = choose(negative & odd, -value, value)
    undefined = (base < 0.0) & (a < INF) & ~whole
    value = rarely(undefined, lambda: noted("invalid", choose(undefined, NAN, value)), value)
    value = choose((base != base) | (exponent != exponent), base + exponent, value)
    value = choose((exponent == 0.0) | (base == 1.0), 1.0, value)
    return convert(value, dtype_of(x))


def narrow_power(a: Operand, times: Operand) -> Operand:
    """a**times for a float32 result, a positive and finite."""
    return wide_exp(limited(times * log_with(a, "wide"), -200.0, 200.0))


def pair_power(a: Operand, times: Operand) -> Operand:
    """a**times in float64, a positive and finite."""
    f, e = logarithm_parts(a)
    ln_2 = layout_of(a).ln_2
    high, low = log_pair(f)
    whole, rest = fast_two_sum(e * ln_2[0], high)
    whole, rest = fast_two_sum(whole, rest + (low + e * ln_2[1]))
    product, error = two_product(times, whole)
    tail = error + times * rest
    inside = magnitude(product) < 800.0
    high, low, n = exp_pair(limited(product, -800.0, 800.0), choose(inside, tail, 0.0))
    return scaled(high + low, n)
