"""What forwards share: functions of raw arrays and their namespace, from the array API as far as it goes."""

from math import inf

from tapegrad.autograd.aliases import Array, ArrayModule, DType
from tapegrad.autograd.dtypes import name_of
from tapegrad.backends import backend_of
from tapegrad.backends.aliases import Function


# NumPy's functions of these names take twice as long for small arrays as the methods, which the standard has not.
def clip_of(xp: ArrayModule, x: Array, low: float | None, high: float | None) -> Array:
    return x.clip(low, high) if hasattr(x, "clip") else xp.clip(x, low, high)


def at_least(xp: ArrayModule, x: Array, low: float) -> Array:
    """max(x, low). In NumPy clipping with two bounds takes a third of the time of a maximum with a number."""
    return x.clip(low, inf) if hasattr(type(x), "__array_interface__") else xp.maximum(x, low)


def astype_of(xp: ArrayModule, x: Array, dtype: DType) -> Array:
    return x.astype(dtype) if hasattr(x, "astype") else xp.astype(x, dtype)


def is_half(x: Array) -> bool:
    return getattr(x.dtype, "itemsize", 2) == 2 and name_of(x.dtype) == "float16"


def in_float32(forward: Function) -> Function:
    """A forward that computes float16 in float32: added up in float16, numbers stop growing at 2048."""

    def wider(xp: ArrayModule, x: Array, **params: object) -> Array:
        if not is_half(x):
            return forward(xp, x, **params)
        return astype_of(xp, forward(xp, astype_of(xp, x, xp.float32), **params), x.dtype)

    return wider


def _sum(xp: ArrayModule, x: Array, *, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    return xp.sum(x, axis=axis, keepdims=keepdims)


sum_of = in_float32(_sum)


def exp_of_minus_abs(xp: ArrayModule, x: Array) -> Array:
    """e**-|x|, with one array less than the formula: those that do not fit the cache cost as much as the function."""
    y = xp.abs(x)
    y *= -1.0
    return xp.exp(y)


def erf_of(xp: ArrayModule, x: Array) -> Array:
    """erf, which is no function of the array API: that of the backend, or that of a recording."""
    return xp.erf(x) if hasattr(xp, "erf") else backend_of(x).kernels["erf"](xp, x)


def relu_of(xp: ArrayModule, x: Array) -> Array:
    if hasattr(type(x), "__array_interface__"):  # NumPy's own way, which knows what is slow there
        return backend_of(x).kernels["relu"](xp, x)
    return xp.maximum(x, xp.zeros_like(x))
