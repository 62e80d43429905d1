"""NumPy's ufuncs and the functions here that stand for them: `np.exp(t)` on a Tensor is `tg.exp(t)`."""

from tapegrad.autograd import ops

_RENAMED = {
    "true_divide": "divide", "absolute": "abs", "fabs": "abs", "arcsin": "asin", "arccos": "acos", "arctan": "atan",
    "arctan2": "atan2", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "mod": "remainder", "rint": "round",
    "bitwise_and": "logical_and", "bitwise_or": "logical_or", "bitwise_xor": "logical_xor", "invert": "logical_not",
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
    "logical_and",
    "logical_or",
    "logical_xor",
    "logical_not",
    "isnan",
    "isinf",
    "isfinite",
    "matmul",
]
BY_UFUNC = {name: getattr(ops, name) for name in _SAME} | {
    n: getattr(ops, new) for n, new in _RENAMED.items()
}
