"""Norms of gradients, and what scales them down: for raw arrays, and for Tensors while a recorder listens."""

from collections.abc import Iterable, Iterator

from tapegrad.autograd.aliases import DType, Value
from tapegrad.autograd.dtypes import float32, float64, name_of
from tapegrad.autograd.ops import abs, astype_p, max_p, maximum, move, sqrt, sum_p, where_p
from tapegrad.autograd.ops.shape import device_of as device_of
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import backend_of
from tapegrad.backends.aliases import Function

# The squares of what lies between, and their sums, are numbers of float64.
SMALL, LARGE, UP, DOWN = 2.0**-480, 2.0**480, 2.0**600, 2.0**-600


def block_size(device: str) -> int:
    """How many elements to work on at once. On a CPU what stays in its cache: the eight arrays of an Adam update in
    float32 are half a megabyte. On a GPU, where each pass costs a launch however small it is, what bounds the memory
    for intermediate results."""
    return 1 << 24 if device.startswith("cuda") else 1 << 14


def norm_of(arrays: Iterable[Value]) -> Value:
    """The Euclidean norm of 1-d arrays as one vector: 0-d, float64, on the device of the first.

    Squares are added in float64: in float16 they would overflow at 256, and vanish at 0.0001. Where a float64 array
    has elements whose squares would do so, all are multiplied with a power of two first, and the norm is divided by
    it. Numbers of ordinary size are not changed by that, and no finite norm overflows.
    """
    arrays = [g for g in arrays if g.shape[0]] or list(arrays)[:1]
    factor = None
    if any(name_of(g.dtype) == "float64" for g in arrays):
        largest = joined(
            (max_p(abs(part), axis=None, keepdims=False) for g in arrays for part in parts(g)), maximum
        )
        one = cast(largest == largest, float64)
        factor = where_p(largest > LARGE, DOWN, where_p(largest < SMALL, UP, one))
    total = joined((sum_of_squares(part, factor) for g in arrays for part in parts(g)), lambda a, b: a + b)
    return sqrt(total) if factor is None else sqrt(total) / factor


def parts(g: Value) -> Iterator[Value]:
    """A 1-d array in blocks; a Tensor in one piece."""
    n = g.shape[0]
    size = max(n, 1) if isinstance(g, Tensor) else block_size(device_of(g))
    for start in range(0, max(n, 1), size):
        yield g[start : min(start + size, n)]


def sum_of_squares(g: Value, factor: Value) -> Value:
    wide = cast(g, float64)
    if factor is not None:
        wide = wide * move_to(factor, device_of(g))
    return sum_p(wide * wide, axis=None, keepdims=False)


def joined(values: Iterable[Value], join: Function) -> Value:
    """All of them, two by two from the first on, in float64 on the device of the first."""
    result: Value = None
    for value in values:
        value = cast(value, float64)
        result = value if result is None else join(result, move_to(value, device_of(result)))
    return result


def clip_factor(norm: Value, limit: Value) -> Value:
    """What to multiply with, so that a norm becomes at most `limit`: limit / max(norm, limit)."""
    return limit / maximum(norm, limit)


def scaled(g: Value, factor: Value) -> Value:
    """g * factor in g's dtype. By way of float32 for float16, in which a small factor would become 0."""
    if name_of(g.dtype) == "float16":
        return cast(cast(g, float32) * cast(factor, float32), g.dtype)
    return g * cast(factor, g.dtype)


def cast(x: Value, dtype: DType) -> Value:
    """x in a dtype, which may be another backend's of the same name."""
    home = backend_of(x.data if isinstance(x, Tensor) else x)
    return astype_p(x, dtype=home.dtype(name_of(dtype)))


def move_to(x: Value, device: str) -> Value:
    return x if device_of(x) == device else move(x, place=device)
