"""Parts of arrays, and matrix products, as numba is quickest to compile them: NumPy's slicing, `reshape` and `dot`
stand for much code in it, which each program would compile anew."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import lower_builtin, type_callable
from numba.np.arrayobj import make_array, populate_array


def cut(array: Any, start: int, shape: tuple[int, ...]) -> Any:
    """The elements of a 1-d array from `start` on, as an array of that shape."""
    return array[start : start + prod(shape)].reshape(shape)


@type_callable(cut)
def _type_cut(context: Any) -> Callable[..., Any]:
    return lambda array, start, shape: types.Array(array.dtype, len(shape), "C")


@lower_builtin(cut, types.Array, types.Integer, types.BaseTuple)
def _lower_cut(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """A pointer, and the shape and strides as constants, which the loops over it are then compiled for."""
    source, start, shape = signature.args
    result = make_array(signature.return_type)(context, builder)
    memory = make_array(source)(context, builder, values[0]).data
    lengths = cgutils.unpack_tuple(builder, values[2], len(shape)) if len(shape) else []
    itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(source.dtype)))
    strides: list[Any] = []
    step = itemsize
    for n in reversed(lengths):
        strides.insert(0, step)
        step = builder.mul(step, n)
    at = context.cast(builder, values[1], start, types.intp)
    populate_array(result, builder.gep(memory, [at]), lengths, strides, itemsize, meminfo=None)
    return result._getvalue()


def kept(f: Callable[..., Any]) -> Any:
    """Compiled once for all programs: kept beside this file or in the user's cache, if one of them can be written."""
    try:
        return njit(cache=True, nogil=True)(f)
    except RuntimeError:
        return njit(nogil=True)(f)


@kept
def dot(a: Any, b: Any, out: Any) -> None:
    np.dot(a, b, out)
