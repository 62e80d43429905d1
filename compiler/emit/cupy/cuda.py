"""Elementwise operations in CUDA C++, kept to the part of it that is C as well: the same text is compiled by a C
compiler where there is no GPU, which is how the tests run it.

Every operation is done in the dtype that NumPy does it in, float16 by way of float32, and every result is rounded to
its own dtype, so that fusing changes nothing but what the compiler contracts to a fused multiply-add.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.compiler.ir.cuda_forms import Cuda
from tapegrad.compiler.ir.program import Op, Var

TYPES = {
    "bool": "bool", "int8": "signed char", "int16": "short", "int32": "int", "int64": "long long",
    "uint8": "unsigned char", "uint16": "unsigned short", "uint32": "unsigned int", "uint64": "unsigned long long",
    "float16": "float16", "float32": "float", "float64": "double",
}  # fmt: skip
SUFFIX = {"int64": "LL", "uint32": "U", "uint64": "ULL", "float32": "f"}


def literal(value: Any, dtype: np.dtype) -> str:
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


def wide(dtype: np.dtype) -> np.dtype:
    """The dtype that a dtype is computed in."""
    return np.dtype("float32") if dtype == np.float16 else np.dtype(dtype)


def converted(text: str, source: np.dtype, target: np.dtype) -> str:
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
    row, out = op.operation, op.out.dtype
    assert isinstance(row.cuda, Cuda)

    def at(i: str | int, dtype: np.dtype) -> str:
        if isinstance(i, Var):
            return converted(named(i), i.dtype, dtype)
        return literal(i, dtype) if dtype != np.float16 else f"(float16){literal(i, wide(dtype))}"

    if row.cuda.moves:
        first = [at(i, np.dtype("bool")) for i in op.inputs[: row.typed_from]]
        return row.cuda.floating.format(*first, *[at(i, out) for i in op.inputs[row.typed_from :]])
    dtype = computed_in(op)
    text = formed(op, row.cuda, dtype, [at(i, dtype) for i in op.inputs], helpers)
    if out.kind == "b":
        return text
    promoted = dtype.kind in "iu" and dtype.itemsize < 4  # C computes with int
    return text if dtype == out and not promoted else f"({TYPES[str(out)]})({text})"


def formed(op: Op, cuda: Cuda, dtype: np.dtype, args: list[str], helpers: dict[str, str]) -> str:
    """The form of an operation, on operands of one dtype."""
    form = cuda.form(dtype.kind)
    if helper := cuda.helper(dtype.kind):
        typed = helper.replace("NAME", str(dtype)).replace("T ", f"{TYPES[str(dtype)]} ")
        helpers[f"{op.name}_{dtype}"] = typed.replace("(T)", f"({TYPES[str(dtype)]})")
    numbers = {"zero": literal(0, dtype), "one": literal(1, dtype), **bounds(op, dtype)}
    return form.format(*args, dtype=dtype, **numbers)


def bounds(op: Op, dtype: np.dtype) -> dict[str, str]:
    """The parameters min and max, if an operation has them, as constants; for None, what bounds nothing."""
    if "min" not in op.params:
        return {}
    lowest, highest = (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    low, high = op.params["min"], op.params["max"]
    return {
        "low": literal(lowest if low is None else low, dtype),
        "high": literal(highest if high is None else high, dtype),
    }
