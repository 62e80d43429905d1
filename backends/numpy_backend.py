"""Arrays on the CPU: NumPy."""

import math
import sys
from math import isfinite
from typing import Any

import numpy as np

from tapegrad.backends.base import Backend, BackendError


def asarray(obj: Any, dtype: Any = None, device: str = "", copy: bool | None = None) -> np.ndarray:
    if device not in ("", "cpu"):
        raise BackendError(f"NumPy has the device 'cpu' alone, not {device!r}; for a GPU use .to('cupy')")
    if copy is False and not isinstance(obj, np.ndarray):
        raise ValueError(f"copy=False: a {type(obj).__name__} cannot become an array without a copy")
    return np.array(obj, dtype=dtype, copy=copy)


def uniform(shape: tuple[int, ...], dtype: Any, seed: int, draw: int, device: str) -> Any:
    stream = np.random.Generator(np.random.Philox(key=np.array([seed, draw], dtype=np.uint64)))
    drawn = np.float64 if dtype == np.float64 else np.float32
    numbers = stream.random(shape, dtype=drawn)
    # Of no axes, the smaller number is a scalar, and not an array.
    return np.asarray(np.minimum(numbers, LAST_HALF), dtype) if dtype == np.float16 else numbers


LAST_HALF = np.float32(1 - 2**-11)  # the last float16 before 1, to which larger numbers would be rounded up


def multiply_from_zero(xp: Any, g: Any, slope: Any) -> Any:
    """g * slope; where that is NaN and g is 0, it is 0. The mask is made only when a NaN shows that it is needed."""
    if type(slope) is float and isfinite(slope):
        return g * slope
    with np.errstate(invalid="ignore"):
        product = np.multiply(g, slope)
        if np.isnan(product).any():
            product = np.where(np.equal(g, 0) & np.isnan(product), np.zeros((), product.dtype), product)
    return product


def divide_from_zero(xp: Any, g: Any, x: Any) -> Any:
    with np.errstate(all="ignore"):
        quotient = np.divide(g, x)
        if np.isnan(quotient).any():
            quotient = np.where(np.equal(g, 0) & np.isnan(quotient), np.zeros((), quotient.dtype), quotient)
    return quotient


def power(xp: Any, a: Any, b: Any) -> Any:
    """A number to one power as a NumPy scalar has it, which an optimizer's step is: C's pow. For arrays NumPy has, on
    some processors, a function of its own, which differs in the last bit."""
    return np.asarray(a ** b[()]) if type(a) is float and b.ndim == 0 else a**b


def erf(xp: Any, x: Any) -> Any:
    from scipy.special import erf  # SciPy is slow to import and only erf needs it

    return erf(x).astype(x.dtype, copy=False)  # SciPy makes float32 of float16


def index_add(xp: Any, x: Any, values: Any, *, index: Any) -> Any:
    total = x.copy()
    np.add.at(total, index, values)
    return total


_reduce: Any = np.add.reduce


# Faster than NumPy's own functions of these names, which spend microseconds in Python before they begin.
def sum_(xp: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
    return _reduce(x, axis=axis, keepdims=keepdims)


def mean(xp: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
    if x.dtype.itemsize < 4 or x.size == 0:
        return np.mean(x, axis=axis, keepdims=keepdims)  # adds float16 in float32
    total = _reduce(x, axis=axis, keepdims=keepdims)
    return total / x.dtype.type(x.size // total.size)


def broadcast_to(xp: Any, x: Any, *, shape: tuple[int, ...]) -> Any:
    if x.size == 1 and x.ndim <= len(shape):
        return np.ndarray(shape, x.dtype, np.asarray(x), strides=(0,) * len(shape))
    return np.broadcast_to(x, shape)


ZERO = {np.dtype(c): np.zeros((), c) for c in "efd"}


def relu(xp: Any, x: Any) -> Any:
    return np.maximum(x, ZERO.get(x.dtype, x.dtype.type(0)))


# The integers as long as a floating-point number.
BITS = {2: np.int16, 4: np.int32, 8: np.int64}
MANY = 1024  # from so many elements on, `keep_where` is faster than np.where


def keep_where(xp: Any, condition: Any, x: Any, otherwise: Any) -> Any:
    """x where the condition holds, else otherwise.

    np.where takes a branch per element, which costs 15 ns where the processor cannot guess it. Where the other branch
    is a plain 0, as in the gradient of relu, the bits of x are kept or cleared instead, at 0.7 ns, NaN and Inf alike.
    """
    if (
        type(otherwise) is float and otherwise == 0.0 and math.copysign(1.0, otherwise) > 0
        and type(x) is np.ndarray and x.size >= MANY and x.dtype.kind == "f" and x.itemsize in BITS
        and condition.dtype == bool and condition.shape == x.shape
    ):  # fmt: skip
        all_or_none = np.negative(condition.view(np.int8))  # -1 is all bits
        return np.bitwise_and(x.view(BITS[x.itemsize]), all_or_none).view(x.dtype)
    return np.where(condition, x, otherwise)


def memory_info() -> dict[str, int]:
    try:
        import resource
    except ImportError:  # Windows
        return {}
    unit = 1 if sys.platform == "darwin" else 1024
    return {"peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}


backend = Backend(
    name="numpy",
    xp=np,
    types=(np.ndarray, *{np.dtype(c).type for c in "?bBhHiIlLqQefd"}),
    asarray=asarray,
    to_numpy=lambda array: array,
    dtype=np.dtype,
    device_of=lambda array: "cpu",
    default_device=lambda: "cpu",
    uniform=uniform,
    owns=lambda array: array.base is None and type(array) is np.ndarray and array.flags.c_contiguous,
    memory_info=memory_info,
    kernels={
        "multiply_from_zero": multiply_from_zero,
        "divide_from_zero": divide_from_zero,
        "erf": erf,
        "power": power,
        "index_add": index_add,
        "einsum": lambda xp, *arrays, subscripts: np.einsum(subscripts, *arrays, optimize=len(arrays) > 2),
        "sum": sum_,
        "mean": mean,
        "broadcast_to": broadcast_to,
        "relu": relu,
        "where": keep_where,
        "astype": lambda xp, x, *, dtype: x.astype(dtype, copy=False),
    },
)
