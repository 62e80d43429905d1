"""Elementwise operations in CUDA C++, kept to the part of it that is C as well: the same text is compiled by a C
compiler where there is no GPU, which is how the tests run it.

Every operation is done in the dtype that NumPy does it in, float16 by way of float32, and every result is rounded to
its own dtype, so that fusing changes nothing but what the compiler contracts to a fused multiply-add.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.compiler.ir.program import Op, Var

TYPES = {
    "bool": "bool", "int8": "signed char", "int16": "short", "int32": "int", "int64": "long long",
    "uint8": "unsigned char", "uint16": "unsigned short", "uint32": "unsigned int", "uint64": "unsigned long long",
    "float16": "float16", "float32": "float", "float64": "double",
}  # fmt: skip
SUFFIX = {"int64": "LL", "uint32": "U", "uint64": "ULL", "float32": "f"}
INFIX = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "equal": "==", "not_equal": "!=", "less": "<",
    "less_equal": "<=", "greater": ">", "greater_equal": ">=", "bitwise_and": "&", "bitwise_or": "|",
    "bitwise_xor": "^",
}  # fmt: skip
LOGICAL = {"logical_and": "&&", "logical_or": "||", "logical_xor": "!="}
CALLED = frozenset(  # of one name here and in C, but for round
    "exp expm1 log log1p log2 log10 sqrt sin cos tan asin acos atan atan2 hypot sinh cosh tanh asinh acosh atanh "  # noqa: SIM905
    "floor ceil trunc round erf".split()
)

# What C's own / and % do otherwise than Python's, for a type T called NAME.
FLOATING = {
    "remainder": """
__device__ T remainder_NAME(T a, T b) {  // of the sign of b
    const T r = fmod(a, b);
    return r == 0 ? copysign((T)0, b) : (r < 0) != (b < 0) ? r + b : r;
}
""",
    "floor_divide": """
__device__ T floor_divide_NAME(T a, T b) {
    const T r = fmod(a, b);
    const T q = (a - r) / b - (r != 0 && (r < 0) != (b < 0) ? 1 : 0);
    const T f = floor(q);
    return b == 0 ? a / b : q == 0 ? copysign((T)0, a / b) : q - f > (T)0.5 ? f + 1 : f;
}
""",
}
INTEGER = {
    "remainder": """
__device__ T remainder_NAME(T a, T b) {  // of the sign of b; 0 for b = 0
    const T r = b == 0 || ((T)-1 < 0 && b == (T)-1) ? 0 : a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
""",
    "floor_divide": """
__device__ T floor_divide_NAME(T a, T b) {  // towards minus infinity; 0 for b = 0
    if (b == 0) return 0;
    if ((T)-1 < 0 && b == (T)-1) return (T)(0 - (unsigned long long)a);
    const T q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}
""",
    "power": """
__device__ T power_NAME(T a, T b) {
    if (b < 0) return a == 1 ? 1 : a == (T)-1 ? (b % 2 ? -1 : 1) : 0;
    T y = 1;
    for (T x = a; b > 0; b /= 2, x *= x) y *= b % 2 ? x : (T)1;
    return y;
}
""",
}


def literal(value: Any, dtype: Any) -> str:
    """A Python number as a constant of a dtype."""
    name = str(dtype)
    if name == "bool":
        return "true" if value else "false"
    if dtype.kind == "f":
        rounded = np.dtype(dtype).type(value)
        f = SUFFIX.get(name, "")
        if not np.isfinite(rounded):
            sign = "-" if rounded < 0 else ""
            return f"({'0' if np.isnan(rounded) else sign + '1'}.0{f} / 0.0{f})"
        text = repr(float(rounded)) if name == "float64" else str(rounded)
        text = text if any(c in text for c in ".e") else text + ".0"
        return f"({text}{f})" if text.startswith("-") else text + f
    number = int(value)
    limits = np.iinfo(dtype)
    if not limits.min <= number <= limits.max:
        raise OverflowError(f"{number} does not fit into {name}")
    if number == limits.min and number < 0 and name in ("int32", "int64"):
        return f"({number + 1}{SUFFIX.get(name, '')} - 1)"
    return f"({number}{SUFFIX.get(name, '')})" if number < 0 else f"{number}{SUFFIX.get(name, '')}"


def wide(dtype: Any) -> np.dtype:
    """The dtype that a dtype is computed in."""
    return np.dtype("float32") if dtype == np.float16 else np.dtype(dtype)


def converted(text: str, source: Any, target: Any) -> str:
    if source == target:
        return text
    if target.kind == "b":
        return f"({text} != 0)" if source != np.float16 else f"((float){text} != 0)"
    inner = f"(float){text}" if source == np.float16 and target.kind != "f" else text
    inner = f"(float){inner}" if target == np.float16 and source.kind != "f" else inner
    return f"({TYPES[str(target)]}){inner}"


def computed_in(op: Op) -> np.dtype:
    """The dtype of an operation's operands."""
    if op.out.dtype.kind == "f":
        return wide(op.out.dtype)
    dtype = np.result_type(*[i.dtype if isinstance(i, Var) else i for i in op.inputs])
    if dtype.kind == "b":
        return op.out.dtype
    numbers = [int(i) for i in op.inputs if not isinstance(i, Var)] if dtype.kind in "iu" else []
    fits = all(np.iinfo(dtype).min <= n <= np.iinfo(dtype).max for n in numbers)
    return wide(dtype) if fits else np.dtype("int64")  # where it is compared with a number beyond its range


def expression(op: Op, named: Callable[[Var], str], helpers: dict[str, str]) -> str:
    """C for one element of an elementwise operation, of its own dtype. `helpers` collects functions that it calls."""
    name, out = op.name, op.out.dtype

    def at(i: Any, dtype: np.dtype) -> str:
        if isinstance(i, Var):
            return converted(named(i), i.dtype, dtype)
        return literal(i, dtype) if dtype != np.float16 else f"(float16){literal(i, wide(dtype))}"

    if name in ("astype", "copy", "positive"):
        return at(op.inputs[0], out)
    if name == "where":
        condition, a, b = op.inputs
        return f"{at(condition, np.dtype('bool'))} ? {at(a, out)} : {at(b, out)}"
    dtype = computed_in(op)
    text = plain(op, dtype, [at(i, dtype) for i in op.inputs], helpers)
    if out.kind == "b":
        return text
    promoted = dtype.kind in "iu" and dtype.itemsize < 4  # C computes with int
    return text if dtype == out and not promoted else f"({TYPES[str(out)]})({text})"


def plain(op: Op, dtype: np.dtype, args: list[str], helpers: dict[str, str]) -> str:
    """C on operands of one dtype."""
    name, floating, boolean = op.name, dtype.kind == "f", dtype.kind == "b"
    a, b = args[0], args[-1]
    if boolean and name in ("add", "maximum"):
        return f"{a} || {b}"
    if boolean and name in ("multiply", "minimum"):
        return f"{a} && {b}"
    if name in INFIX:
        return f"{a} {INFIX[name]} {b}"
    if name in LOGICAL:
        return f"({a} != 0) {LOGICAL[name]} ({b} != 0)"
    if name == "logical_not" or (name == "bitwise_invert" and boolean):
        return f"!{a}" if boolean else f"{a} == 0"
    if name == "bitwise_invert":
        return f"~{a}"
    if name == "negative":
        return f"-{a}"
    if name == "square":
        return f"{a} * {a}"
    if name in ("maximum", "minimum"):  # a NaN stays
        first = f"{a} {'>=' if name == 'maximum' else '<='} {b}"
        return f"{first} || {a} != {a} ? {a} : {b}" if floating else f"{first} ? {a} : {b}"
    if name == "abs":
        return f"fabs({a})" if floating else a if dtype.kind in "bu" else f"{a} < 0 ? -{a} : {a}"
    if name == "sign":
        zero, one = literal(0, dtype), literal(1, dtype)
        other = f"{a} < 0 ? -{one} : {a} == 0 ? {zero} : {a}" if floating else f"{a} < 0 ? -{one} : {zero}"
        return f"{a} > 0 ? {one} : {other}"
    if name in ("isnan", "isinf", "isfinite"):
        if not floating:
            return "true" if name == "isfinite" else "false"
        return f"{name}({a}) != 0"
    if name in CALLED and not floating:  # floor and its like leave integers as they are
        return a
    if name in CALLED:
        return f"{'rint' if name == 'round' else name}({', '.join(args)})"
    if name == "power" and floating:
        return f"pow({a}, {b})"
    form = (FLOATING if floating else INTEGER)[name]  # remainder, floor_divide, power
    helpers[f"{name}_{dtype}"] = form.replace("NAME", str(dtype)).replace("T ", f"{TYPES[str(dtype)]} ").replace(
        "(T)", f"({TYPES[str(dtype)]})")  # fmt: skip
    return f"{name}_{dtype}({a}, {b})"
