"""Numbers as unevaluated sums of two, the parts of a floating-point number, and polynomials.

A pair (high, low) stands for high + low, where low is below half a unit in the last place of high: twice the
digits. Every operation here is rounded once, in the order in which it is written, which is what the error terms
rely on.

Sources: T. J. Dekker, A floating-point technique for extending the available precision (1971); D. E. Knuth, The
Art of Computer Programming, volume 2, section 4.2.2; J.-M. Muller and others, Handbook of Floating-Point
Arithmetic, chapter 4.
"""

import math
from dataclasses import dataclass

from tapegrad.compiler.emit.native.forms import Operand, bits, choose, dtype_of, from_bits, root

Pair = tuple[Operand, Operand]
INF, NAN = float("inf"), float("nan")


@dataclass(frozen=True)
class Layout:
    """How a dtype keeps a number.

    fraction    the bits of the fraction
    bias        of the exponent
    sign        the integer whose only bit is the sign
    front       the bits of a number's front half, whose products are exact
    shifter     1.5 times 2 to the power of `fraction`: a sum with it has the nearest integer in its low bits
    shifter_bits
    root_half   the bits of sqrt(1/2)
    normal      the smallest number with all bits
    tiny        below it, x + c x² and x + c x³ are x, for the c that occur
    ln_2        ln 2 as two numbers: the product of the first with an exponent is exact
    """

    fraction: int
    bias: int
    sign: int
    front: int
    shifter: float
    shifter_bits: int
    root_half: int
    normal: float
    tiny: float
    ln_2: Pair


LAYOUTS = {
    "float32": Layout(
        23, 127, -(2**31), -(2**12), 1.5 * 2.0**23, 0x4B400000, 0x3F3504F3, 2.0**-126, 2.0**-26,
        (0.693145751953125, 1.4286068e-06),
    ),
    "float64": Layout(
        52, 1023, -(2**63), -(2**27), 1.5 * 2.0**52, 0x4338000000000000, 0x3FE6A09E667F3BCD, 2.0**-1022, 2.0**-55,
        (0.6931471805598903, 5.497923018708371e-14),
    ),
}  # fmt: skip


def layout_of(x: Operand) -> Layout:
    return LAYOUTS[dtype_of(x)]


def polynomial(x: Operand, coefficients: tuple[float, ...]) -> Operand:
    """The lowest power's coefficient comes first; it is added last, so that its sum alone is rounded at full size.

    The others in pairs of terms, then in pairs of these: a processor works on several at a time, where by Horner's rule
    each step would wait for the one before. Source: G. Estrin, Organization of computer systems: the fixed plus
    variable structure computer (1960).
    """
    first, *others = coefficients
    terms: list[Operand] = others
    power = x
    while len(terms) > 1:
        pairs = [terms[k] + terms[k + 1] * power for k in range(0, len(terms) - 1, 2)]
        terms = pairs + terms[len(pairs) * 2 :]
        power = power * power if len(terms) > 1 else power
    return first + terms[0] * x if terms else first


def limited(x: Operand, low: float, high: float) -> Operand:
    """x within the bounds; NaN stays."""
    x = choose(x > high, high, x)
    return choose(x < low, low, x)


def times_where(condition: Operand, x: Operand, factor: float) -> Operand:
    """x times a factor where the condition holds, else x; the product does not overflow where it is not wanted."""
    return choose(condition, choose(condition, x, 1.0) * factor, x)


def with_sign_of(size: Operand, x: Operand) -> Operand:
    """A number that has no sign of its own, with the sign of x, of zeros also."""
    return from_bits(bits(size) | (bits(x) & layout_of(x).sign))


def nearest_integer(x: Operand) -> tuple[Operand, Operand]:
    """The integer nearest to x, as a floating-point number and as an integer. |x| is below 2**22, or 2**51."""
    layout = layout_of(x)
    shifted = x + layout.shifter
    return shifted - layout.shifter, bits(shifted) - layout.shifter_bits


def power_of_two(n: Operand, x: Operand) -> Operand:
    """2**n, of the dtype of x, for an integer n that is an exponent of a number with all bits."""
    layout = layout_of(x)
    return from_bits((n + layout.bias) << layout.fraction)


def scaled(x: Operand, n: Operand) -> Operand:
    """x 2**n, rounded once. The product of two powers of two reaches overflow and the smallest numbers."""
    half = n >> 1
    return x * power_of_two(half, x) * power_of_two(n - half, x)


def two_sum(a: Operand, b: Operand) -> Pair:
    """a + b, exactly."""
    high = a + b
    back = high - a
    return high, (a - (high - back)) + (b - back)


def rounding_error(a: Operand, b: Operand) -> Operand:
    """What the rounded sum of a and b lost."""
    return two_sum(a, b)[1]


def corrected(total: Operand, lost: Operand) -> Operand:
    """A sum with what its additions lost, which is NaN where they reached infinity."""
    return choose((lost < 0.0) | (lost > 0.0), total + lost, total)


def fast_two_sum(a: Operand, b: Operand) -> Pair:
    """a + b, exactly where a is not smaller than b, or is 0."""
    high = a + b
    return high, b - (high - a)


def halves(x: Operand) -> Pair:
    """x, exactly, as two numbers of half its digits. A Python number counts as float64."""
    if type(x) is float:
        size, exponent = math.frexp(x)
        front = math.ldexp(math.trunc(size * 2**26), exponent - 26)
        return front, x - front
    front = from_bits(bits(x) & layout_of(x).front)
    return front, x - front


def two_product(a: Operand, b: Operand) -> Pair:
    """a b; the error is below 2**-104 of it in float64, 2**-46 in float32."""
    high = a * b
    a1, a2 = halves(a)
    b1, b2 = halves(b)
    return high, ((a1 * b1 - high) + a1 * b2 + a2 * b1) + a2 * b2


def quotient(a: Pair, b: Pair) -> Pair:
    """a / b. One more division finds what is left."""
    high = a[0] / b[0]
    product, error = two_product(high, b[0])
    return high, (((a[0] - product) - error) + (a[1] - high * b[1])) / b[0]


def pair_root(a: Pair) -> Pair:
    """The square root of a pair that is not negative; 0 for 0."""
    high = root(a[0])
    square, error = two_product(high, high)
    rest = ((a[0] - square) - error) + a[1]
    return high, rest / choose(high > 0.0, high + high, 1.0)


def parts(x: Operand) -> tuple[Operand, Operand, Operand]:
    """m - 1, e as a floating-point number and e as an integer, x = m 2**e with m from sqrt(1/2) to sqrt 2.

    x is positive and has all bits. m - 1 is exact. For infinity the result is finite.
    """
    layout = layout_of(x)
    e = (bits(x) - layout.root_half) >> layout.fraction
    m = from_bits(bits(x) - (e << layout.fraction))
    return m - 1.0, from_bits(e + layout.shifter_bits) - layout.shifter, e
