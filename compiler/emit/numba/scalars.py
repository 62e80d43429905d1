"""What one elementwise operation is on single elements, as an expression that numba compiles."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.compiler.ir.program import Op

INFIX = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "equal": "==", "not_equal": "!=", "less": "<",
    "less_equal": "<=", "greater": ">", "greater_equal": ">=", "bitwise_and": "&", "bitwise_or": "|",
    "bitwise_xor": "^", "logical_and": "&", "logical_or": "|", "logical_xor": "^",
}  # fmt: skip
CALLS = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "asinh": "arcsinh", "acosh": "arccosh",
    "atanh": "arctanh", "round": "rint", "abs": "abs",
}  # fmt: skip
# Of float32, these are our own: see numba_math.
OWN = ("exp", "expm1", "log", "log1p", "tanh")


def number(value: Any, dtype: np.dtype) -> str:
    """A Python number as the source of a scalar of a dtype."""
    if dtype.kind == "b":
        return repr(bool(value))
    text = repr(value)
    text = {"inf": "np.inf", "-inf": "-np.inf", "nan": "np.nan"}.get(text, text)
    return f"np.{dtype}({text})"


def expression(op: Op, element: Callable[[Any, np.dtype], str]) -> str:
    """The operation on what `element` calls its inputs: (input, dtype for a Python number) -> source."""
    name, out = op.name, op.out.dtype
    operand = next((v.dtype for v in op.vars[1 if name == "where" else 0 :]), out)
    dtype = out if name in ("where", "copy") else operand
    args = [element(v, dtype) for v in op.inputs]
    a, b = args[0], args[-1]
    if name == "where":
        return f"{args[1]} if {a} else {b}"
    if name in ("multiply_from_zero", "divide_from_zero"):
        zero = number(0, dtype)
        return f"{zero} if {a} == {zero} else {a} {'*' if name.startswith('m') else '/'} {b}"
    if name in INFIX or name == "square":
        text = f"{a} {INFIX[name]} {b}" if name in INFIX else f"{a} * {a}"
        narrow = (
            out.kind == "i" and out.itemsize < 8
        )  # numba's integers are of 64 bits, and would not wrap around
        return f"np.{out}({text})" if narrow else text
    if name in ("copy", "positive"):
        return a
    if name == "negative":
        return f"-{a}"
    if name in ("logical_not", "bitwise_invert"):
        return f"not {a}" if out.kind == "b" else f"~{a}"
    if name == "astype":
        return f"{a} != 0" if out.kind == "b" else f"np.{out}({a})"
    if name == "maximum":  # a NaN stays
        return f"{a} if {a} > {b} or {a} != {a} else {b}"
    if name == "minimum":
        return f"{a} if {a} < {b} or {a} != {a} else {b}"
    if name == "erf":
        return f"np.{out}(math.erf({a}))"
    if name == "power":
        return f"np.{out}({a} ** {b})"
    if name == "sign":
        zero, one = number(0, dtype), number(1, dtype)
        return f"{one} if {a} > {zero} else (-{one} if {a} < {zero} else {a})"
    if name in OWN and out == np.float32:
        return f"numba_math.{name}({a})"
    call = f"np.{CALLS.get(name, name)}({', '.join(args)})"
    return call if out.kind == "b" else f"np.{out}({call})"
