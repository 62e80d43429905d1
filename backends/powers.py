"""Powers to a number, for any array library."""

import numpy as np

from tapegrad.backends.aliases import Array, ArrayModule, DType

MOST = 8  # the largest power by products
LONGER = {"float16": "float32", "float32": "float64", "float64": ""}  # floats, and the next longer ones


def power(xp: ArrayModule, a: Array, b: Array) -> Array:
    """a ** b.

    Of floating-point arrays to the number 0.5, -0.5, ±1, ±2 or 3 it is a root, a reciprocal or a product, as one would
    write it by hand. To other whole numbers up to ±8 it is a product in the next longer dtype, rounded once.
    """
    if (
        isinstance(b, (int, float))
        and not isinstance(b, np.generic)
        and hasattr(a, "dtype")
        and (dtype := name_of(a.dtype)) in LONGER
    ):
        short = _short(xp, a, b)
        if short is not None:
            return short
        longer = LONGER[dtype]
        if longer and float(b).is_integer() and 1 <= abs(b) <= MOST:
            x = xp.astype(a, getattr(xp, longer))
            y = _product(x if b > 0 else 1.0 / x, int(abs(b)))
            # products of 0-d arrays are scalars, which NumPy 2.0's function refuses
            return y.astype(a.dtype) if hasattr(y, "astype") else xp.astype(y, a.dtype)
    if is_number(a) and is_number(b):
        return power_of_numbers(a, b)
    if isinstance(a, np.generic) or isinstance(b, np.generic):
        # Their own ** may differ from that of arrays in the last bit, where the processor has AVX-512.
        return np.power(a, b)
    return a**b


def is_number(a: object) -> bool:
    """Whether it is one number in float64, of Python, or of NumPy with no axes."""
    return isinstance(a, (float, int)) or (isinstance(a, np.ndarray) and not a.ndim and a.dtype.char == "d")


def power_of_numbers(a: Array, b: Array) -> Array:
    """By NumPy's scalars, which take a tenth of the time of its arrays. The last bit may differ from that of arrays."""
    return np.float64(a) ** np.float64(b)


def name_of(dtype: DType) -> str:
    """ "float32", of array-api-strict too. NumPy's own way to its name takes microseconds."""
    return NAMES.get(dtype.char, "") if isinstance(dtype, np.dtype) else str(dtype).rpartition(".")[2]


NAMES = {np.dtype(name).char: name for name in LONGER}


def _short(xp: ArrayModule, a: Array, b: float) -> Array:
    """The power by at most two operations, or None."""
    if b == 1:
        return +a
    if b == 2:
        return xp.square(a)
    if b == 3:
        return a * a * a
    if b == 0.5:
        return xp.sqrt(a)
    if b == -0.5:
        return 1.0 / xp.sqrt(a)
    if b == -1:
        return 1.0 / a
    if b == -2:
        return xp.square(1.0 / a)  # not 1 / (a * a): the square may overflow where the result is a number
    return None


def _product(x: Array, k: int) -> Array:
    """x to the power of a positive whole number, by squares."""
    if k == 1:
        return x
    root = _product(x, k // 2)
    return root * root * x if k % 2 else root * root
