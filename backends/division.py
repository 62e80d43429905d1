"""What is left of a division, and its whole part, of many numbers of float32: NumPy's own bits, by float64.

NumPy takes each element by itself, with C's fmod. In float64, of which the processor takes eight at once, the quotient
of two numbers of float32 is near enough that its floor is right, and floor times divisor is exact.
"""

import numpy as np

from tapegrad.backends.aliases import Array, ArrayModule

MANY = 4000  # elements, from which on this is faster
BLOCK = 8192  # elements at a time: the numbers of float64 stay in the cache
# Of the squares of quotients, below which a sum has to be. A remainder of a larger quotient has not enough digits, and
# of a whole part NumPy rounds on the way.
REMAINDER, WHOLE = 2.0**56, 2.0**44


def remainder(xp: ArrayModule, a: Array, b: Array) -> Array:
    result = _in_blocks(a, b, REMAINDER)
    return a % b if result is None else result


def floor_divide(xp: ArrayModule, a: Array, b: Array) -> Array:
    result = _in_blocks(a, b, WHOLE)
    return a // b if result is None else result


def _in_blocks(a: Array, b: Array, limit: float) -> Array | None:
    """a % b, or a // b where the limit is that; None where it is not known to be NumPy's."""
    if not (_is_plain(a) and (type(b) is float or (_is_plain(b) and b.shape == a.shape))):
        return None
    result = np.empty_like(a)
    flat, numbers = result.reshape(-1), a.reshape(-1)
    divisors = np.broadcast_to(np.float32(b) if type(b) is float else b.reshape(-1), flat.shape)
    wide, by, quotient = (np.empty(BLOCK) for _ in range(3))
    for start in range(0, a.size, BLOCK):
        some = slice(start, start + BLOCK)
        if not _block(numbers[some], divisors[some], flat[some], wide, by, quotient, limit):
            return None
    return result


def _is_plain(x: Array) -> bool:
    return type(x) is np.ndarray and x.dtype == np.float32 and x.size >= MANY and x.flags.c_contiguous


@np.errstate(all="ignore")
def _block(a: Array, b: Array, out: Array, wide: Array, by: Array, quotient: Array, limit: float) -> bool:
    wide, by, quotient = wide[: a.size], by[: a.size], quotient[: a.size]
    wide[...], by[...] = a, b
    np.divide(wide, by, out=quotient)
    # Not of infinity and NaN either, which a division by 0 gives.
    if not np.vdot(quotient, quotient) < limit or not np.isfinite(by.sum()):
        return False
    np.floor(quotient, out=quotient)
    if limit == WHOLE:
        out[...] = quotient
        return True
    quotient *= by
    wide -= quotient
    np.copysign(wide, by, out=wide)  # a remainder of 0 has the divisor's sign, too
    out[...] = wide
    return True
