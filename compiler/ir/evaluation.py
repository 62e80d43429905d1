"""What operations compute, on real arrays: the column `evaluate`. (arrays, parameters, library) -> array"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.autograd import random
from tapegrad.autograd.aliases import Params, Value
from tapegrad.autograd.ops.indexing import Slot
from tapegrad.backends import backend_of
from tapegrad.backends.aliases import Array, ArrayModule
from tapegrad.backends.indexing import check_bounds
from tapegrad.backends.numpy_backend import BITS
from tapegrad.backends.powers import is_number, power_of_numbers
from tapegrad.compiler.ir import windows

WINDOWS = windows.__name__
Evaluate = Callable[[list[Value], Params, ArrayModule], Array]


def call(name: str, options: tuple[str, ...] = ()) -> Evaluate:
    """The library's function of that name. The options are given by position: libraries name them differently."""

    def evaluate(values: list[Value], params: Params, xp: ArrayModule) -> Array:
        with np.errstate(all="ignore"):
            if options:
                return getattr(xp, name)(*values, *(params[option] for option in options))
            return getattr(xp, name)(*values, **params)

    return evaluate


def kernel(name: str) -> Evaluate:
    """The backend's own kernel, where the library has no function for it."""

    def evaluate(values: list[Value], params: Params, xp: ArrayModule) -> Array:
        array = next(v for v in values if hasattr(v, "shape"))
        return backend_of(array).kernels[name](xp, *values, **params)

    return evaluate


def over_windows(name: str) -> Evaluate:
    """A function of `ir.windows`, for NumPy's arrays."""
    return lambda values, params, xp: getattr(windows, name)(*values, **params)


def index_of(template: tuple[object, ...], arrays: list[Array]) -> tuple[Any, ...]:
    """An index with the arrays in the places that are kept for them."""
    return tuple(arrays[i] if isinstance(i, Slot) else i for i in template)


def take_at(values: list[Value], params: Params, xp: ArrayModule) -> Array:
    return values[0][index_of(params["index"], values[1:])]


def put_at(values: list[Value], params: Params, xp: ArrayModule) -> Array:
    new = xp.array(values[0])
    new[index_of(params["index"], values[2:])] = values[1]
    return new


def add_at(values: list[Value], params: Params, xp: ArrayModule) -> Array:
    add = backend_of(values[0]).kernels["index_add"]
    return add(xp, values[0], values[1], index=index_of(params["index"], values[2:]))


def copy(values: list[Value], params: Params, xp: ArrayModule) -> Array:
    return xp.array(values[0])


def astype(values: list[Value], params: Params, xp: ArrayModule) -> Array:
    return xp.asarray(values[0]).astype(params["dtype"])


def power(values: list[Value], params: Params, xp: ArrayModule) -> Array:
    if all(is_number(v) for v in values):
        with np.errstate(all="ignore"):
            return xp.asarray(power_of_numbers(*values))
    return call("power")(values, params, xp)


def clip(values: list[Value], params: Params, xp: ArrayModule) -> Array:
    return xp.clip(values[0], params["min"], params["max"])


def concat(values: list[Value], params: Params, xp: ArrayModule) -> Array:
    return xp.concatenate(values, axis=params["axis"])


def mask_bits(values: list[Value], params: Params, xp: ArrayModule) -> Array:
    """All bits where it is true, none elsewhere."""
    return xp.negative(values[0].view("int8"))


def and_bits(values: list[Value], params: Params, xp: ArrayModule) -> Array:
    """The elements whose mask has all bits, and 0 elsewhere."""
    x, mask = values
    return (x.view(BITS[x.dtype.itemsize]) & mask).view(x.dtype)


def bounded(values: list[Value], params: Params, xp: ArrayModule) -> Array:
    g, c = values
    with np.errstate(all="ignore"):
        return g / xp.maximum(xp.abs(g) * c, 1.0)


def scalar(name: str) -> Evaluate:
    """The function of that name on arrays of one number."""
    return lambda values, params, xp: xp.asarray(call(name)(values, {}, xp))


def guard(values: list[Value], params: Params, xp: ArrayModule) -> Array:
    return xp.asarray(bool(values[0]))


def bounds(values: list[Value], params: Params, xp: ArrayModule) -> Array:
    check_bounds(params["shape"], index_of(params["index"], values))
    return xp.asarray(True)


def written(values: list[Value], params: Params, xp: ArrayModule) -> Array:
    return values[1]


def draw(values: list[Value], params: Params, xp: ArrayModule) -> Array:
    return random.draw(params["shape"], str(params["dtype"]), params["place"])
