"""Norms of gradients, and what scales them down: for raw arrays, and for Tensors while a recorder listens."""

from collections.abc import Iterable
from typing import Any

from tapegrad.autograd.dtypes import float32, float64, name_of
from tapegrad.autograd.ops import astype_p, maximum, move, sqrt, sum_p
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import backend_of


def block_size(device: str) -> int:
    """How many elements to work on at once. On a CPU what stays in its cache: the eight arrays of an Adam update in
    float32 are half a megabyte. On a GPU, where each pass costs a launch however small it is, what bounds the memory
    for intermediate results."""
    return 1 << 24 if device.startswith("cuda") else 1 << 14


def squared_norm(g: Any) -> Any:
    """The sum of the squares of a 1-d array, worked out in float64: in float16 it would overflow at 256 squared, and
    nothing would be left of the square of 0.0001."""
    n = g.shape[0]
    size = block_size(device_of(g)) if not isinstance(g, Tensor) else max(n, 1)

    def part(start: int) -> Any:
        wide = cast(g[start : min(start + size, n)], float64)
        return sum_p(wide * wide, axis=None, keepdims=False)

    return total_of(part(start) for start in range(0, max(n, 1), size))


def total_of(parts: Iterable[Any]) -> Any:
    """Their sum, on the device of the first."""
    total: Any = None
    for part in parts:
        total = part if total is None else total + to(part, device_of(total))
    return total


def clip_factor(total: Any, limit: float) -> Any:
    """What to multiply with, so that a norm whose square is `total` becomes at most `limit`."""
    return limit / maximum(sqrt(total), limit)


def scaled(g: Any, factor: Any) -> Any:
    """g * factor in g's dtype. By way of float32 for float16, in which a small factor would become 0."""
    if name_of(g.dtype) == "float16":
        return cast(cast(g, float32) * cast(factor, float32), g.dtype)
    return g * cast(factor, g.dtype)


def cast(x: Any, dtype: Any) -> Any:
    """x in a dtype, which may be another backend's of the same name."""
    home = backend_of(x.data if isinstance(x, Tensor) else x)
    return astype_p(x, dtype=home.dtype(name_of(dtype)))


def device_of(x: Any) -> str:
    array = x.data if isinstance(x, Tensor) else x
    return backend_of(array).device_of(array)


def to(x: Any, device: str) -> Any:
    return x if device_of(x) == device else move(x, place=device)
