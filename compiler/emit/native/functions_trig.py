"""The functions of angles: sin, cos, tan, asin, acos, atan, atan2; and hypot.

A float32 result is computed in float64, with shorter polynomials (`wide`).
"""

from collections.abc import Callable

from tapegrad.compiler.emit.native.coefficients import ASIN, ATAN, COS, SIN, TAN
from tapegrad.compiler.emit.native.forms import (
    SLOW,
    Operand,
    bits,
    choose,
    convert,
    dtype_of,
    from_bits,
    magnitude,
    rarely,
    root,
)
from tapegrad.compiler.emit.native.pairs import (
    INF,
    fast_two_sum,
    limited,
    nearest_integer,
    polynomial,
    times_where,
    two_sum,
    with_sign_of,
)

TWO_OVER_PI = 0.6366197723675814
# pi / 2 in parts. The products of n with all but the last are exact for |n| up to 2**23.
HALF_PI_PARTS = (1.570796325802803, 9.920935791635221e-10, 5.17018297889025e-19, 2.9038559739793605e-28)
# The same for a float32 result: up to 2**29.
HALF_PI_WIDE = (1.570796251296997, 7.549789415861596e-08, 5.390302858158119e-15)
HALF_PI = (1.5707963267948966, 6.123233995736766e-17)
PI = (3.141592653589793, 1.2246467991473532e-16)
# pi / 4: the products of the first with 1, 2, 3 and 4 are exact.
QUARTER_PI = (0.7853981633974474, 9.18794589678809e-16)
# Up to which |x| the parts of pi / 2 serve. Beyond, the C library's functions do.
ANGLE_LIMIT = {"float32": 8e8, "float64": 1e7}
INVISIBLE = 2.0**-28  # below it, x + x³ / 3 is x


def reduced_angle(x: Operand) -> tuple[Operand, Operand, Operand]:
    """r, c and the integer n with x = n pi / 2 + r + c, |r| <= pi / 4, c below a unit in the last place of r.

    In four parts, of which three are subtracted exactly. Source: W. J. Cody and W. Waite, Software Manual for the
    Elementary Functions (1980), chapter 8.
    """
    n, integer = nearest_integer(x * TWO_OVER_PI)
    first, second, third, fourth = HALF_PI_PARTS
    a, b = two_sum(x - n * first, -(n * second))
    a, c = two_sum(a, -(n * third))
    return *fast_two_sum(a, c + (b - n * fourth)), integer


def reduced_wide_angle(x: Operand) -> tuple[Operand, Operand]:
    """The same for a float32 result, |x| up to 8e8."""
    n, integer = nearest_integer(x * TWO_OVER_PI)
    first, second, third = HALF_PI_WIDE
    return ((x - n * first) - n * second) - n * third, integer


def sin_part(r: Operand, tail: Operand, key: str) -> Operand:
    """sin(r + c) = r + r³ P(r²) + tail, tail = c cos(r); without one, for float32, r (1 + r² P(r²)), which keeps -0.

    P: degree 5 on [0, (pi/4)²], error 2**-56; for float32 3, 2**-37.
    """
    square = r * r
    factor = square * polynomial(square, SIN[key])
    return r * (1.0 + factor) if tail is None else r + (r * factor + tail)


def cos_part(r: Operand, tail: Operand, key: str) -> Operand:
    """cos(r + c) = 1 - r² / 2 + r⁴ P(r²) - tail, tail = c sin(r).

    P: degree 5 on [0, (pi/4)²], error 2**-59; for float32 2, 2**-33.
    """
    square = r * r
    high, low = fast_two_sum(1.0, -0.5 * square)
    rest = square * square * polynomial(square, COS[key])
    return high + (low + (rest if tail is None else rest - tail))


def sin_or_cos(x: Operand, quarters: int) -> Operand:
    """sin(x + quarters pi / 2): by the quarter of the circle, a sine or a cosine and its sign."""
    if dtype_of(x) == "float32":
        r, n = reduced_wide_angle(convert(x, "float64"))
        sine, cosine = sin_part(r, None, "wide"), cos_part(r, None, "wide")
    else:
        r, c, n = reduced_angle(x)
        sine, cosine = sin_part(r, c - 0.5 * r * r * c, "float64"), cos_part(r, r * c, "float64")
    n = n + quarters
    value = choose((n & 1) == 0, sine, cosine)
    return convert(from_bits(bits(value) ^ ((n & 2) << 62)), dtype_of(x))


def of_any_size(name: str, function: Callable[[Operand], Operand], x: Operand) -> Operand:
    """A function of an angle up to `ANGLE_LIMIT`, and of what is larger that of the C library, by its name; NaN of
    infinity."""
    dtype, size = dtype_of(x), magnitude(x)
    large = size > ANGLE_LIMIT[dtype]

    def slow() -> Operand:
        finite = choose(size < INF, x, 0.0)
        return choose(size < INF, convert(SLOW[name](convert(finite, "float64")), dtype), x - x)

    return rarely(large, slow, function(choose(large, 0.0, x)))


def sin(x: Operand) -> Operand:
    """The sine. Worst error: float32 0.51 ulp, float64 0.8 ulp.

    x = n pi / 2 + r (`reduced_angle`), and a polynomial of r.
    """
    return of_any_size("sin", lambda x: small_or(x, sin_or_cos(x, 0)), x)


def small_or(x: Operand, value: Operand) -> Operand:
    """x where it is so small that it is the value; a float32 result, made in float64, is that by itself."""
    return value if dtype_of(x) == "float32" else choose(magnitude(x) < INVISIBLE, x, value)


def cos(x: Operand) -> Operand:
    """The cosine. Worst error: float32 0.51 ulp, float64 0.8 ulp. As `sin`."""
    return of_any_size("cos", lambda x: sin_or_cos(x, 1), x)


def tan(x: Operand) -> Operand:
    """The tangent. Worst error: float32 0.51 ulp, float64 1.3 ulp.

    tan(r + c) = r + r³ P(r²) + c (1 + r²...), for odd n -1 / tan(r + c) with the tangent as a pair. P: degree 14 on
    [0, (pi/4)²], error 2**-56 (for float32 7, 2**-33).
    """
    return of_any_size("tan", tan_of_small, x)


def tan_of_small(x: Operand) -> Operand:
    """The tangent of an angle up to `ANGLE_LIMIT`."""
    if dtype_of(x) == "float32":
        r, n = reduced_wide_angle(convert(x, "float64"))
        square = r * r
        value = r * (1.0 + square * polynomial(square, TAN["wide"]))
        odd = (n & 1) == 1
        value = choose(odd, -1.0 / choose(odd, value, 1.0), value)
        return convert(value, "float32")
    r, c, n = reduced_angle(x)
    square = r * r
    rest = r * square * polynomial(square, TAN["float64"])
    sum_ = r + rest
    high, low = fast_two_sum(r, rest + (c + c * sum_ * sum_))
    odd = (n & 1) == 1
    inverse = -1.0 / choose(odd, high, 1.0)
    value = choose(odd, inverse + inverse * (inverse * low), high)
    return choose(magnitude(x) < INVISIBLE, x, value)


def asin_parts(x: Operand, key: str) -> tuple[Operand, Operand]:
    """s, q and whether |x| is above 1/2: the arc sine of |x|, or half the arc cosine where it is above, is s + q.

    s + s³ P(s²), s = |x| or sqrt((1 - |x|) / 2). P: degree 12 on [0, 1/4], error 2**-59 (for float32 6, 2**-35).
    """
    a = magnitude(x)
    half = (1.0 - a) * 0.5
    square = choose(a > 0.5, half, a * a)
    s = choose(a > 0.5, root(half), a)
    return s, s * square * polynomial(square, ASIN[key])


def asin(x: Operand) -> Operand:
    """The arc sine. Worst error: float32 0.51 ulp, float64 1.1 ulp.

    Above 1/2, pi / 2 - 2 asin(sqrt((1 - |x|) / 2)).
    """
    if dtype_of(x) == "float32":
        return convert(asin_with(convert(x, "float64"), "wide"), "float32")
    return asin_with(x, "float64")


def asin_with(x: Operand, key: str) -> Operand:
    s, rest = asin_parts(x, key)
    high, low = fast_two_sum(HALF_PI[0], -2.0 * s)
    large = high + (low + (HALF_PI[1] - 2.0 * rest))
    return with_sign_of(choose(magnitude(x) > 0.5, large, s + rest), x)


def acos(x: Operand) -> Operand:
    """The arc cosine. Worst error: float32 0.51 ulp, float64 1.1 ulp.

    pi / 2 - asin(x); above 1/2, 2 asin(sqrt((1 - x) / 2)); below -1/2, pi minus that of -x.
    """
    if dtype_of(x) == "float32":
        return convert(acos_with(convert(x, "float64"), "wide"), "float32")
    return acos_with(x, "float64")


def acos_with(x: Operand, key: str) -> Operand:
    s, rest = asin_parts(x, key)
    signed, signed_rest = with_sign_of(s, x), choose(x < 0.0, -rest, rest)
    high, low = fast_two_sum(HALF_PI[0], -signed)
    middle = high + (low + (HALF_PI[1] - signed_rest))
    high, low = fast_two_sum(PI[0], -2.0 * s)
    left = high + (low + (PI[1] - 2.0 * rest))
    outside = choose(x < 0.0, left, 2.0 * (s + rest))
    return choose(magnitude(x) > 0.5, outside, middle)


def arc(a: Operand, b: Operand, key: str, left: Operand = None) -> Operand:
    """The angle of the point (b, a), both coordinates finite and not negative, or of (-b, a) where `left` holds.

    With t = a / b, for a > b / 2 t = (a - b) / (a + b), for a > 2 b t = -b / a, it is k pi / 4 + t + t³ P(t²). P:
    degree 11 on [0, 1/4], error 2**-57 (for float32 6, 2**-36).
    """
    steep, middle = a > b + b, a + a > b
    over = choose(steep, -b, choose(middle, a - b, a))
    under = choose(steep, a, choose(middle, a + b, b))
    t = over / choose(under == 0.0, 1.0, under)
    k = choose(steep, 2.0, choose(middle, 1.0, t - t))
    if left is not None:
        t, k = choose(left, -t, t), choose(left, 4.0 - k, k)
    square = t * t
    high, low = fast_two_sum(k * QUARTER_PI[0], t)
    return high + (low + (t * square * polynomial(square, ATAN[key]) + k * QUARTER_PI[1]))


def atan(x: Operand) -> Operand:
    """The arc tangent. Worst error: float32 0.51 ulp, float64 1.1 ulp. See `arc`."""
    wide = convert(x, "float64")
    a = limited(magnitude(wide), 0.0, 2.0**60)
    key = "wide" if dtype_of(x) == "float32" else "float64"
    value = arc(a, 1.0, key)
    return convert(with_sign_of(choose(a < INVISIBLE, a, value), wide), dtype_of(x))


def atan2(y: Operand, x: Operand) -> Operand:
    """The angle of the point (x, y). Worst error: float32 0.51 ulp, float64 1.5 ulp. See `arc`.

    In float64 both coordinates are first scaled by one power of two, so that no sum overflows or loses digits.
    Where one is infinite, infinity counts as 1 and what is finite as 0.
    """
    b, a = convert(x, "float64"), convert(y, "float64")
    b_size, a_size = magnitude(b), magnitude(a)
    infinite = (a_size == INF) | (b_size == INF)
    if dtype_of(x) == "float64":
        largest = choose(a_size > b_size, a_size, b_size)
        huge, small = largest > 2.0**1000, largest < 2.0**-900
        a_size = times_where(small, times_where(huge, a_size, 2.0**-100), 2.0**100)
        b_size = times_where(small, times_where(huge, b_size, 2.0**-100), 2.0**100)
    a_size, b_size = finite_part(a_size, infinite), finite_part(b_size, infinite)
    key = "wide" if dtype_of(x) == "float32" else "float64"
    value = with_sign_of(arc(a_size, b_size, key, bits(b) < 0), a)
    value = choose((a != a) | (b != b), a + b, value)
    return convert(value, dtype_of(x))


def finite_part(size: Operand, infinite: Operand) -> Operand:
    """1 and 0 for what is infinite and finite, where one of two sizes is infinite; else the size."""
    return choose(size == INF, 1.0, choose(infinite & (size < INF), 0.0, size))


def hypot(x: Operand, y: Operand) -> Operand:
    """sqrt(x² + y²). Worst error: float32 0.51 ulp, float64 1.2 ulp.

    In float64 both are first scaled by one power of two, so that the squares neither overflow nor vanish. Infinite
    where one of them is, even if the other is NaN.
    """
    a, b = magnitude(convert(x, "float64")), magnitude(convert(y, "float64"))
    infinite = (a == INF) | (b == INF)
    if dtype_of(x) == "float32":
        return convert(choose(infinite, INF, root(a * a + b * b)), "float32")
    largest = choose(a > b, a, b)
    huge, small = largest > 2.0**500, largest < 2.0**-400
    a = times_where(small, times_where(huge, a, 2.0**-600), 2.0**600)
    b = times_where(small, times_where(huge, b, 2.0**-600), 2.0**600)
    value = times_where(small, times_where(huge, root(a * a + b * b), 2.0**600), 2.0**-600)
    return choose(infinite, INF, value)
