"""NumPy's functions and those here that stand for them: `np.exp(t)` on a Tensor is `tg.exp(t)`, and `np.mean(t)` is
`tg.mean(t)`."""

import inspect

import numpy as np

from tapegrad.autograd import foreign, ops
from tapegrad.autograd.aliases import Params, Value
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function

_RENAMED = {
    "true_divide": "divide", "absolute": "abs", "fabs": "abs", "arcsin": "asin", "arccos": "acos", "arctan": "atan",
    "arctan2": "atan2", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "mod": "remainder", "rint": "round",
    "invert": "bitwise_invert",
}  # fmt: skip
_SAME = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "negative",
    "positive",
    "square",
    "power",
    "remainder",
    "exp",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "sqrt",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "maximum",
    "minimum",
    "sign",
    "floor",
    "ceil",
    "trunc",
    "floor_divide",
    "equal",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "logical_and",
    "logical_or",
    "logical_xor",
    "logical_not",
    "isnan",
    "isinf",
    "isfinite",
    "hypot",
    "matmul",
]
BY_UFUNC = {name: getattr(ops, name) for name in _SAME} | {
    n: getattr(ops, new) for n, new in _RENAMED.items()
}

# NumPy's functions that are no ufuncs, and give a Tensor: those of the same meaning. The others read the values.
BY_FUNCTION = {
    **{
        name: getattr(ops, name) for name in ("sum", "mean", "prod", "max", "min", "any", "all", "std", "var")
    },
    **{name: getattr(ops, name) for name in ("argmax", "argmin")},
    "amax": ops.max,
    "amin": ops.min,
}
WRITERS = {"copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask"}
WORDS = {"ddof": "correction"}  # NumPy's keywords that have another name here


def call_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Value, ...], kwargs: Params) -> Value:
    """A ufunc on Tensors: recorded and differentiated like any other function."""
    function = BY_UFUNC.get(ufunc.__name__)
    out = kwargs.get("out", (None,))[0]
    if function is not None and method == "__call__" and len(kwargs) == 1 and isinstance(out, np.ndarray):
        from tapegrad.autograd.in_place import into_array

        return into_array(function, inputs, out)
    if function is None or method != "__call__" or kwargs:
        if function is None and method == "__call__":
            name = f"np.{ufunc.__name__}"
            entry = foreign.table("tg").get(ufunc.__name__)
            said = str(entry._replace(theirs=name)) if entry else "use functions of tapegrad"
            raise TypeError(
                f"{name} is not recorded on Tensors: {said}, or give .detach().numpy() to leave the graph"
            )
        said = foreign.answer("tg", ufunc.__name__, ()) if function is None else ""
        raise TypeError(
            f"np.{ufunc.__name__} with method {method!r} and options {sorted(kwargs)} has no counterpart on Tensors: "
            f"{said or 'use a function of tapegrad'}, or .detach().numpy() to leave the graph"
        )
    return function(*inputs)


def call_function(numpy: Function, args: tuple[Value, ...], kwargs: Params) -> Value:
    """One of NumPy's other functions on Tensors."""
    name = numpy.__name__
    if name in ("round", "around") and "out" not in kwargs:
        return _rounded(*args, **kwargs)
    if name in BY_FUNCTION and numpy is getattr(np, name):
        parameters = inspect.signature(numpy).parameters
        given = {**dict(zip(parameters, args, strict=False)), **kwargs}
        x = given.pop("a")
        x = x if isinstance(x, Tensor) else ops.as_tensor(x)
        unset = {word: p.default for word, p in parameters.items()}
        options = {WORDS.get(w, w): v for w, v in given.items() if v is not unset[w] and v is not None}
        if name in ("mean", "std", "var") and "dtype" in options:
            x = x.astype(options.pop("dtype"))
        return BY_FUNCTION[name](x, **options)
    if (name in WRITERS and args and isinstance(args[0], Tensor)) or isinstance(kwargs.get("out"), Tensor):
        raise TypeError(
            f"np.{name} writes into an array: write into a tensor with t[index] = value or t.assign(value)"
        )
    if any(t.requires_grad for t in _tensors((args, kwargs))):
        said = foreign.answer("tg", name, ()) or f"use functions of tapegrad to write np.{name}"
        raise TypeError(
            f"np.{name} of a tensor that requires grad would cut the graph: {said}, or give .detach().numpy() if "
            "the cut is meant"
        )
    return numpy(*_values(args), **_values(kwargs))


def _rounded(a: Value, decimals: int = 0) -> Value:
    return round(a, decimals)


def _tensors(value: Value) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [t for part in inside for t in _tensors(part)]


def _values(value: Value) -> Value:
    """The arguments with NumPy arrays in place of Tensors."""
    if isinstance(value, Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {key: _values(part) for key, part in value.items()}
    return type(value)(map(_values, value)) if type(value) in (list, tuple) else value
