"""Lengths and directions of vectors, whose squares neither overflow nor vanish. float16 is computed in float32."""

import math

from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.ops import abs, max_p, sqrt, square, square_factor, sum_p, where_p
from tapegrad.autograd.tensor import Tensor


def widened(x: Tensor) -> Tensor:
    """x, but float16 as float32: its squares overflow from 256 on and vanish below 2e-4."""
    return x.astype("float32", copy=False) if name_of(x.dtype) == "float16" else x


def direction(x: Tensor) -> Tensor:
    """x / |x| over the last axis, and 0 where x is; that of float16 is float32."""
    x = widened(x)
    x = x * square_factor(x, axis=(x.ndim - 1,))
    length = sqrt(sum_p(square(x), axis=(x.ndim - 1,), keepdims=True))
    return x / where_p(length == 0, float("inf"), length)


def norm(x: Tensor, p: float) -> Tensor:
    """(sum(|x|**p))**(1/p) over the last axis, with slope 0 at 0; that of float16 is float32."""
    x, axis = widened(x), (x.ndim - 1,)
    if p == math.inf:
        return max_p(abs(x), axis=axis, keepdims=False)
    if p == 1:
        return sum_p(abs(x), axis=axis, keepdims=False)
    if p == 2:
        factor = square_factor(x, axis=axis)
        return sqrt(sum_p(square(x * factor), axis=axis, keepdims=False)) / factor.squeeze(-1)
    top = max_p(abs(x.detach()), axis=axis, keepdims=True)
    top = where_p((top > 0) & (top < math.inf), top, 1.0)
    return sum_p(abs(x / top) ** p, axis=axis, keepdims=False) ** (1.0 / p) * top.squeeze(-1)
