"""What an elementwise operation is on values: the column `native` of its row, with our functions."""

import re
from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from tapegrad.backends.aliases import Function
from tapegrad.compiler.emit.native import forms
from tapegrad.compiler.emit.native.forms import Called, Local, Number, Value, choose, convert, named, number
from tapegrad.compiler.emit.native.functions import FUNCTIONS
from tapegrad.compiler.emit.native.functions_division import (
    few_factors,
    floor_divide,
    product_power,
    remainder,
)
from tapegrad.compiler.emit.native.walks import size as size_of
from tapegrad.compiler.ir.cuda_forms import Cuda
from tapegrad.compiler.ir.operations import Kind, Operation
from tapegrad.compiler.ir.program import Op, Var

FLOATS = ("float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = frozenset({*FLOATS, *INTEGERS, "bool"})
BOOLEAN = {"a + b": "a | b", "a * b": "a & b"}  # what the sum and the product of truth values are


OURS = frozenset({*FUNCTIONS, "product_power"})


def called(name: str, function: Function) -> Callable[..., Any]:
    """A function of ours that makes a call of values, which is printed by that name."""

    def call(*args: Value) -> Value:
        return Called(args[0].dtype, name, args, function)

    return call


def sign(x: Value) -> Value:
    """-1, 0 or 1, of the dtype of x; NaN stays, and an unsigned x is not negative."""
    if x.dtype.startswith("uint"):
        return choose(x > 0, 1, x)
    return choose(x > 0, 1, choose(x < 0, -1, choose(x == 0, 0, x)))


HELPERS: dict[str, Any] = {
    **{name: getattr(forms, name) for name in ("choose", "root", "magnitude", "rounded", "floor", "ceil", "trunc")},
    **{f.__name__: called(f.__name__, f) for f in FUNCTIONS.values()}, "inf": inf, "sign": sign,
    **{f.__name__: called(f"np.{f.__name__}", f) for f in (remainder, floor_divide)},  # of NumPy's bits
}  # fmt: skip
OF_FLOATS = OURS | {"root"}  # which serve no integers


def known(op: Op) -> bool:
    """Whether machine code is made for an elementwise operation or reduction; else it is a call of NumPy."""
    if op.kind is Kind.SPREAD:
        return True
    form, dtypes = op.operation.native, [named(v.dtype) for v in (op.out, *op.vars)]
    if not DTYPES.issuperset(dtypes) or (not form and op.name != "clip"):
        return False
    if op.kind is Kind.REDUCTION:
        extremes = isinstance(op.operation.identity, float)
        return op.vars[0].size > 0 < op.out.size and (not extremes or op.vars[0].dtype.kind in "fiu")
    if not moves(op) and len({named(v.dtype) for v in op.vars}) > 1:
        return False  # NumPy promotes them
    dtype = operand_dtype(op)
    if not moves(op) and dtypes[0] not in (dtype, "bool"):
        return False  # NumPy promotes an array and a number
    if not all(isinstance(x, Var) or held(x, dtype) for x in op.inputs):
        return False
    if op.name == "clip" and not all(
        b is None or (b == b and held(b, dtype)) for b in (op.params["min"], op.params["max"])
    ):
        return False
    if dtype == "bool" and op.name == "clip":
        return False
    return dtype in FLOATS or of_integers(op) or not OF_FLOATS & set(re.findall(r"\w+(?=\()", form))


def of_integers(op: Op) -> bool:
    """Whether an operation that serves floats by a function of ours has a form of its own for these integers."""
    if op.name == "power":
        return (
            isinstance(op.inputs[0], Var)
            and not isinstance(op.inputs[1], Var)
            and few_factors(op.inputs[1], named(op.out.dtype))
        )
    return settled(op.operation) is not None


def held(x: Any, dtype: str) -> bool:
    """Whether a Python number is a number of the dtype."""
    if dtype in FLOATS or isinstance(x, bool):
        return True
    if dtype == "bool":
        return False
    limits = np.iinfo(dtype)
    return limits.min <= x <= limits.max and x == int(x)


def moves(op: Op) -> bool:
    """Whether an operation computes nothing: its operands are taken as the result's dtype."""
    return isinstance(op.operation.cuda, Cuda) and op.operation.cuda.moves


def operand_dtype(op: Op) -> str:
    """The dtype in which an operation works: that of its arrays."""
    if moves(op):
        return named(op.out.dtype)
    return named(next((v.dtype for v in op.vars), op.out.dtype))


def element(op: Op, args: list[Any]) -> Value:
    """The operation on values and Python numbers."""
    dtype = operand_dtype(op)
    row = op.operation
    values = [x if isinstance(x, Value) else number(x, dtype) for x in args]
    if op.name == "where":
        test = values[0] if values[0].dtype == "bool" else values[0] != 0
        return choose(test, *(convert(x, dtype) for x in values[1:]))
    if moves(op):
        return as_dtype(values[0], dtype)
    if op.name == "power" and isinstance(values[1], Number) and few_factors(values[1].value, dtype):
        return to_product_power(values[0], values[1])
    if op.name == "clip":
        return clipped(values[0], op.params["min"], op.params["max"])
    if dtype not in FLOATS and (whole := settled(row)) is not None:
        return values[0] if whole == "{0}" else number(whole == "true", "bool")
    return convert(evaluated(form_for(row, dtype), values), named(op.out.dtype))


def settled(row: Operation) -> str | None:
    """What an operation on integers, which have no fraction and are finite, comes to without a computation."""
    form = row.cuda.integer if isinstance(row.cuda, Cuda) else ""
    return form if form in ("{0}", "true", "false") else None


def form_for(row: Operation, dtype: str) -> str:
    return BOOLEAN.get(row.native, row.native) if dtype == "bool" else row.native


def evaluated(form: str, values: list[Value]) -> Value:
    return eval(form, {"__builtins__": {}}, {**HELPERS, **dict(zip("abc", values))})


def as_dtype(x: Value, dtype: str) -> Value:
    return x != 0 if dtype == "bool" != x.dtype else convert(x, dtype)


def to_product_power(x: Value, exponent: Number) -> Value:
    if exponent.value == 0:
        return number(1, x.dtype)
    return Called(
        x.dtype, "product_power", (x, exponent), lambda x, exponent: product_power(x, exponent.value)
    )


def clipped(x: Value, low: Any, high: Any) -> Value:
    """NumPy's: first not below `low`, then not above `high`; a NaN stays."""
    for bound, sign in ((low, "lt"), (high, "gt")):
        if bound is not None:
            at = number(bound, x.dtype)
            x = choose(forms.applied(sign, x, at), at, x)
    return x


def combined(row: Operation) -> Callable[[Any, Any], Any]:
    """How two partial results of a reduction become one."""
    return lambda a, b: evaluated(row.native, [a, b])


def sizes() -> Callable[[Op], int]:
    """A function that tells how many operations of the machine an operation is: a measure of the text that it adds to a
    loop. It remembers what it has counted; a reduction adds next to nothing."""
    found: dict[Any, int] = {}

    def size(op: Op) -> int:
        if op.kind in (Kind.REDUCTION, Kind.SPREAD):
            return 1
        kinds = tuple(named(x.dtype) if isinstance(x, Var) else repr(x) for x in op.inputs)
        key = op.name, named(op.out.dtype), kinds
        if key not in found:
            values = [Local(named(x.dtype), "") if isinstance(x, Var) else x for x in op.inputs]
            found[key] = size_of(element(op, values))
        return found[key]

    return size
