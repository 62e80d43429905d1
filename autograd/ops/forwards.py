"""What forwards share: functions of raw arrays and their namespace, from the array API as far as it goes."""

from math import inf

from tapegrad.autograd.aliases import Array, ArrayModule, DType
from tapegrad.autograd.dtypes import name_of
from tapegrad.backends import backend_of
from tapegrad.backends.aliases import Function
from tapegrad.backends.numpy_backend import NumpyArray, as_arrays, chosen, clip_ufunc

FEW = 1000  # up to so many elements, a second call of NumPy costs more than a slower one


def numbers(x: Array, *values: float) -> tuple[Array, ...]:
    """The numbers as arrays of no axes in x's dtype, where x is NumPy's: a call on few elements takes half as long with
    them as with Python's numbers. -0.0 may come back as 0.0."""
    return as_arrays(x.dtype, values) if type(x) is NumpyArray else values


def clip_of(xp: ArrayModule, x: Array, low: float | None, high: float | None) -> Array:
    if type(x) is NumpyArray and type(low) is float is type(high):
        return clip_ufunc(x, low, high)
    # NumPy's function takes twice as long for small arrays as the method, which the standard has not.
    return x.clip(low, high) if hasattr(x, "clip") else xp.clip(x, low, high)


def at_least(xp: ArrayModule, x: Array, low: float) -> Array:
    """max(x, low). In NumPy clipping many with two bounds takes a third of the time of a maximum with a number."""
    many = type(x) is NumpyArray and x.size > FEW
    return clip_ufunc(x, low, inf) if many else xp.maximum(x, low)


def at_most(xp: ArrayModule, x: Array, high: float) -> Array:
    """min(x, high), likewise."""
    many = type(x) is NumpyArray and x.size > FEW
    return clip_ufunc(x, -inf, high) if many else xp.minimum(x, high)


def where_of(xp: ArrayModule, condition: Array, x: Array, otherwise: Array) -> Array:
    """xp.where; in NumPy many elements by bits, which predict no branches."""
    if type(otherwise) is NumpyArray and otherwise.size > FEW:
        return chosen(xp, condition, x, otherwise)
    return xp.where(condition, x, otherwise)


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


@in_float32
def sum_of(xp: ArrayModule, x: Array, *, axis: tuple[int, ...] | int | None, keepdims: bool) -> Array:
    if type(x) is NumpyArray:  # which adds up many numbers in another order than its library
        return backend_of(x).kernels["sum"](xp, x, axis=axis, keepdims=keepdims)
    return xp.sum(x, axis=axis, keepdims=keepdims)


def mean_of(xp: ArrayModule, x: Array, *, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    if type(x) is NumpyArray:
        return backend_of(x).kernels["mean"](xp, x, axis=axis, keepdims=keepdims)
    return xp.mean(x, axis=axis, keepdims=keepdims)


def center_of(xp: ArrayModule, x: Array, *, axis: tuple[int, ...] | None) -> Array:
    """The mean over axes, of length 1: of equal elements it is exactly these."""
    if name_of(x.dtype) == "float32" or x.size == 0:  # whose sum has no rounding in float64
        total = xp.sum(x, axis=axis, dtype=xp.float64, keepdims=True)
        return astype_of(xp, total / (x.size // (total.size or 1) or 1), x.dtype)
    low, high = xp.min(x, axis=axis, keepdims=True), xp.max(x, axis=axis, keepdims=True)
    return xp.minimum(xp.maximum(mean_of(xp, x, axis=axis, keepdims=True), low), high)


def exp_of_minus_abs(xp: ArrayModule, x: Array) -> Array:
    """e**-|x|"""
    return xp.exp(-xp.abs(x))  # NumPy writes the negative of what nobody else holds into its place


def erf_of(xp: ArrayModule, x: Array) -> Array:
    """erf, which is no function of the array API: that of the backend, or that of a recording."""
    return xp.erf(x) if hasattr(xp, "erf") else backend_of(x).kernels["erf"](xp, x)


def relu_of(xp: ArrayModule, x: Array) -> Array:
    if type(x) is NumpyArray:  # NumPy's own way, which knows what is slow there
        return backend_of(x).kernels["relu"](xp, x)
    return xp.maximum(x, xp.zeros_like(x))
