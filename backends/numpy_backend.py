"""Arrays on the CPU: NumPy."""

import math
import sys
from functools import cache, lru_cache
from math import isfinite

import numpy as np

from tapegrad.backends import division, splitmix
from tapegrad.backends.aliases import Array, ArrayModule, DType, Function, Index
from tapegrad.backends.base import Backend, BackendError
from tapegrad.backends.indexing import repeated
from tapegrad.backends.sums import FEWEST, is_long, long_sum


def asarray(
    obj: object, dtype: DType | None = None, device: str = "", copy: bool | None = None
) -> np.ndarray:
    if device not in ("", "cpu"):
        raise BackendError(f"NumPy has the device 'cpu' alone, not {device!r}; for a GPU use .to('cupy')")
    if copy is False and not isinstance(obj, np.ndarray):
        raise ValueError(f"copy=False: a {type(obj).__name__} cannot become an array without a copy")
    return np.array(obj, dtype=dtype, copy=copy)


NumpyArray = np.ndarray


def keep_freed_memory() -> None:
    """Let malloc keep up to 64 MB of freed memory, as glibc itself does once a block of 32 MB was freed. Else arrays of
    4 MB that come and go are given back to the system and fetched anew each time, with a page fault for every 4 KB."""
    # glibc learns nothing from blocks above 32 MB. No page is touched.
    np.empty((1 << 25) - (1 << 16), np.uint8)


keep_freed_memory()


@lru_cache(maxsize=1000)
def as_arrays(dtype: DType, values: tuple[float, ...]) -> tuple[Array, ...]:
    """Numbers as read-only arrays of no axes."""
    arrays = tuple(np.array(v, dtype) for v in values)
    for array in arrays:
        array.setflags(write=False)
    return arrays


# What np.clip calls, after a microsecond of Python.
clip_ufunc: Function = getattr(getattr(getattr(np, "_core", None), "umath", None), "clip", np.clip)


def uniform(shape: tuple[int, ...], dtype: DType, seed: int, draw: int, device: str) -> Array:
    return splitmix.uniform(shape, dtype, seed, draw)


def one_number(x: Array) -> bool:
    """Whether an array is one number, spread over a shape: the cotangent of a sum. NumPy is slow with two of them."""
    return type(x) is np.ndarray and x.size > 1 and not any(x.strides)


def the_number(x: Array) -> Array:
    """An array of no axes in place of one that is one number spread over a shape."""
    return first_element(x) if one_number(x) else x


def first_element(x: Array) -> Array:
    return x[(*(0,) * x.ndim, ...)]


def spread(x: Array, shape: tuple[int, ...]) -> Array:
    """A view of an array of one element in which that fills a shape; read-only, as NumPy's broadcast_to."""
    view = np.ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
    # By position: half the time.
    view.setflags(False)  # type: ignore[call-arg]
    return view


ZERO_MET_INFINITY = [0]  # how many products had a 0 in g where the slope is infinite; the backward loop asks


def surely_finite(x: Array) -> bool:
    """Whether all elements are finite, by the sum of their squares, which the BLAS adds up in half the time of
    np.isnan. False, too, where that sum overflows, or is no faster."""
    plain = type(x) is np.ndarray and x.flags.c_contiguous and x.dtype.char in "fd"
    return plain and bool(np.vdot(x, x) < math.inf)


# As decorators, these take half the time of `with`.
@np.errstate(invalid="ignore")
def silent_product(g: Array, slope: Array) -> Array:
    return np.multiply(g, slope)


@np.errstate(all="ignore")
def silent_quotient(g: Array, x: Array) -> Array:
    return np.divide(g, x)


FEW = 4096  # products, up to here the BLAS adds them up sooner than NumPy's warnings are switched off


def harmless_product(g: Array, slope: Array) -> Array | None:
    """g * slope for arrays of one shape, if it is quickly known that no product is 0 times infinity; else None."""
    if not (type(g) is np.ndarray is type(slope) and g.shape == slope.shape):
        return None
    if g.size <= FEW and g.flags.c_contiguous and g.itemsize > 2:
        # A finite sum has finite terms.
        return np.multiply(g, slope) if isfinite(np.vdot(g, slope)) else None
    if any(g.strides) or not g.size:
        return None
    number = first_element(g)
    return np.multiply(number, slope) if number and isfinite(number) else None


def multiply_from_zero(xp: ArrayModule, g: Array, slope: Array) -> Array:
    """g * slope; where that is NaN and g is 0, it is 0. The mask is made only when a NaN shows that it is needed."""
    if type(slope) is float and isfinite(slope):
        return spread(np.asarray(the_number(g) * slope), g.shape) if one_number(g) else g * slope
    if (product := harmless_product(g, slope)) is not None:
        return product
    product = silent_product(g, slope)
    if not surely_finite(slope) and np.isnan(product).any():
        zero = np.equal(g, 0) & np.isnan(product)
        if np.any(zero & np.isinf(slope)):
            ZERO_MET_INFINITY[0] += 1
        product = np.where(zero, np.zeros((), product.dtype), product)
    return product


def multiply_from_zeros(xp: ArrayModule, a: Array, b: Array) -> Array:
    if (product := harmless_product(a, b)) is not None:
        return product
    product = silent_product(a, b)
    if np.isnan(product).any():
        zero = (np.equal(a, 0) | np.equal(b, 0)) & np.isnan(product)
        product = np.where(zero, np.zeros((), product.dtype), product)
    return product


def divide_from_zero(xp: ArrayModule, g: Array, x: Array) -> Array:
    quotient = silent_quotient(g, x)
    if not surely_finite(quotient) and np.isnan(quotient).any():
        quotient = np.where(np.equal(g, 0) & np.isnan(quotient), np.zeros((), quotient.dtype), quotient)
    return quotient


def erf(xp: ArrayModule, x: Array) -> Array:
    return scipy_erf()(x).astype(x.dtype, copy=False)  # SciPy makes float32 of float16


@cache
def scipy_erf() -> Function:
    from scipy.special import erf  # SciPy is slow to import and only erf needs it

    return erf


def index_add(xp: ArrayModule, x: Array, values: Array, *, index: Index) -> Array:
    values = repeated(xp, x, values, index)
    if x.dtype.char == "e":  # float16 counts to 2048
        total = x.astype(np.float32)
        np.add.at(total, index, values)
        return total.astype(x.dtype)
    total = x.copy()
    np.add.at(total, index, values)
    return total


_reduce: Function = np.add.reduce


# Faster than NumPy's own functions of these names, which spend microseconds in Python before they begin.
def sum_(xp: ArrayModule, x: Array, *, axis: tuple[int, ...] | int | None, keepdims: bool) -> Array:
    if x.dtype.char == "e":
        return sum_(xp, x.astype(np.float32), axis=axis, keepdims=keepdims).astype(x.dtype)
    if x.size >= FEWEST and is_long(x.shape, axis, x.dtype):
        return long_sum(x, axis, keepdims)
    return np.asarray(_reduce(x, axis=axis, keepdims=keepdims))


def mean(xp: ArrayModule, x: Array, *, axis: tuple[int, ...] | int | None, keepdims: bool) -> Array:
    if x.dtype.itemsize < 4 or x.size == 0:
        if is_long(x.shape, axis, x.dtype):
            return mean(xp, x.astype(np.float32), axis=axis, keepdims=keepdims).astype(x.dtype)
        return np.mean(x, axis=axis, keepdims=keepdims)  # adds float16 in float32
    total = sum_(xp, x, axis=axis, keepdims=keepdims)
    return total / x.dtype.type(x.size // total.size)


def broadcast_to(xp: ArrayModule, x: Array, *, shape: tuple[int, ...]) -> Array:
    if x.size == 1 and x.ndim <= len(shape):
        return spread(np.asarray(x), shape)
    return np.broadcast_to(x, shape)


ZERO = {np.dtype(c): np.zeros((), c) for c in "efd"}
INFINITE = {np.dtype(c): np.full((), math.inf, c) for c in "fd"}
LARGE = 4096  # from so many elements on, `relu` by clipping is faster


def relu(xp: ArrayModule, x: Array) -> Array:
    zero = ZERO.get(x.dtype, x.dtype.type(0))
    if x.size < LARGE or x.dtype not in INFINITE:
        return np.maximum(x, zero)
    y = x.clip(zero, INFINITE[x.dtype])  # a third of the time of maximum, which is slow with a number
    y += zero  # no -0, as from maximum
    return y


# The integers as long as a floating-point number.
BITS = {2: np.int16, 4: np.int32, 8: np.int64}
MANY = 1024  # from so many elements on, `chosen` by bits is faster than np.where


def chosen(xp: ArrayModule, condition: Array, x: Array, otherwise: Array) -> Array:
    """x where the condition holds, else otherwise.

    np.where takes a branch per element, which costs 5 to 15 ns where the processor cannot guess it. Of many elements
    the bits are kept or cleared instead, NaN and Inf alike: of one array where the other branch is a plain 0, as in
    the gradient of relu, else of their difference.
    """
    array = x if type(x) is np.ndarray and x.shape == condition.shape else otherwise
    if not (
        type(array) is np.ndarray and array.size >= MANY and array.dtype.kind == "f" and array.itemsize in BITS
        and condition.dtype == bool and condition.shape == array.shape
    ):  # fmt: skip
        return np.where(condition, x, otherwise)
    kind = BITS[array.itemsize]
    if plain_zero(otherwise):
        return masked(array, condition)
    if plain_zero(x):
        return masked(array, np.logical_not(condition))
    a, b = (np.asarray(v, array.dtype) if type(v) is float else v for v in (x, otherwise))
    if not all(
        type(v) is np.ndarray and v.dtype == array.dtype and v.shape in ((), array.shape) for v in (a, b)
    ):
        return np.where(condition, x, otherwise)
    a, b = the_number(a), the_number(b)
    bits = np.bitwise_xor(a.view(kind), b.view(kind))
    bits = np.bitwise_and(bits, np.negative(condition.view(np.int8)), out=bits if bits.shape else None)
    bits ^= b.view(kind)
    return bits.view(array.dtype)


def masked(x: Array, condition: Array) -> Array:
    """x where the condition holds, else 0."""
    kind = BITS[x.itemsize]
    # -1 is all bits. NumPy is slow with integers of two lengths.
    bits = np.negative(condition.view(np.int8)).astype(kind)
    return np.bitwise_and(x.view(kind), bits, out=bits).view(x.dtype)


def plain_zero(x: Array) -> bool:
    return type(x) is float and x == 0.0 and math.copysign(1.0, x) > 0


def minus_one_at_label(xp: ArrayModule, p: Array, labels: Array) -> Array:
    result = p.copy()
    rows = result.reshape(math.prod(labels.shape), p.shape[-1])
    at = xp.arange(len(rows)), labels.reshape(-1)
    rows[at] = 0.0
    rows[at] = -sum_(xp, rows, axis=-1, keepdims=False)
    return result


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
        "multiply_from_zeros": multiply_from_zeros,
        "divide_from_zero": divide_from_zero,
        "erf": erf,
        "remainder": division.remainder,
        "floor_divide": division.floor_divide,
        "index_add": index_add,
        "argsort": lambda xp, x, *, axis: np.argsort(x, axis=axis, stable=True),
        "sum": sum_,
        "mean": mean,
        "broadcast_to": broadcast_to,
        "relu": relu,
        "where": chosen,
        "minus_one_at_label": minus_one_at_label,
        "astype": lambda xp, x, *, dtype: x.astype(dtype),
    },
)
