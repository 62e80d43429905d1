"""What an elementwise operation is on values: the column `native` of its row, with our functions."""

import re
from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from tapegrad.compiler.emit.native import forms
from tapegrad.compiler.emit.native.forms import Called, Value, choose, convert, number
from tapegrad.compiler.emit.native.functions import FUNCTIONS, LIMITS
from tapegrad.compiler.ir.cuda_forms import Cuda
from tapegrad.compiler.ir.operations import Kind, Operation
from tapegrad.compiler.ir.program import Op, Var

FLOATS = ("float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = frozenset({*FLOATS, *INTEGERS, "bool"})
BOOLEAN = {"a + b": "a | b", "a * b": "a & b"}  # what the sum and the product of truth values are


OURS = (
    FUNCTIONS.keys() - LIMITS.keys()
)  # the others are NumPy's: beyond some size of an argument ours do not serve


def ours(name: str) -> Callable[..., Any]:
    """A function of ours that makes a call of values."""
    function = FUNCTIONS[name]

    def call(*args: Value) -> Value:
        body = function(*args)
        return Called(body.dtype, name, args, body)

    return call


HELPERS: dict[str, Any] = {
    **{name: getattr(forms, name) for name in ("choose", "root", "magnitude", "rounded", "floor", "ceil", "trunc")},
    **{name: ours(name) for name in OURS}, "inf": inf,
}  # fmt: skip


def known(op: Op) -> bool:
    """Whether machine code is made for an elementwise operation or reduction; else it is a call of NumPy."""
    form, dtypes = op.operation.native, [str(v.dtype) for v in (op.out, *op.vars)]
    if (
        not DTYPES.issuperset(dtypes)
        or (not form and op.name != "clip")
        or not all(v.size for v in (op.out, *op.vars))
    ):
        return False
    if op.kind is Kind.REDUCTION:
        return not isinstance(op.operation.identity, float) or op.vars[0].dtype.kind in "fi"
    if not moves(op) and len({str(v.dtype) for v in op.vars}) > 1:
        return False  # NumPy promotes them
    dtype = operand_dtype(op)
    if op.kind is Kind.ELEMENTWISE and not moves(op) and dtypes[0] not in (dtype, "bool"):
        return False  # NumPy promotes an array and a number
    if not all(isinstance(x, Var) or held(x, dtype) for x in op.inputs):
        return False
    if op.name == "clip" and not all(
        b is None or (b == b and held(b, dtype)) for b in (op.params["min"], op.params["max"])
    ):
        return False
    called = set(re.findall(r"\w+(?=\()", form))
    if not called <= HELPERS.keys() or (called & OURS and dtypes[0] not in FLOATS):
        return False
    if op.name == "astype" and dtypes[0] in ("uint32", "uint64") and op.vars[0].dtype.kind == "f":
        return False
    unsigned = any(d.startswith("uint") for d in dtypes)
    return not (("-1" in form or op.name == "clip") and (unsigned or dtypes[0] == "bool"))


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
        return str(op.out.dtype)
    return str(next((v.dtype for v in op.vars), op.out.dtype))


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
    if op.name == "clip":
        return clipped(values[0], op.params["min"], op.params["max"])
    if dtype not in FLOATS and (whole := of_integers(row)) is not None:
        return values[0] if whole == "{0}" else number(whole == "true", "bool")
    return convert(evaluated(form_for(row, dtype), values), str(op.out.dtype))


def of_integers(row: Operation) -> str | None:
    """What is known of an operation on integers, which have no fraction and are finite."""
    form = row.cuda.integer if isinstance(row.cuda, Cuda) else ""
    return form if form in ("{0}", "true", "false") else None


def form_for(row: Operation, dtype: str) -> str:
    return BOOLEAN.get(row.native, row.native) if dtype == "bool" else row.native


def evaluated(form: str, values: list[Value]) -> Value:
    return eval(form, {"__builtins__": {}}, {**HELPERS, **dict(zip("abc", values))})


def as_dtype(x: Value, dtype: str) -> Value:
    return x != 0 if dtype == "bool" != x.dtype else convert(x, dtype)


def clipped(x: Value, low: Any, high: Any) -> Value:
    """NumPy's: first not below `low`, then not above `high`; a NaN stays."""
    for bound, sign in ((low, "lt"), (high, "gt")):
        if bound is not None:
            at = number(bound, x.dtype)
            x = choose(forms.applied(sign, x, at), at, x)
    return x


def combined(op: Op) -> Callable[[Any, Any], Any]:
    """How two partial results of a reduction become one."""
    form = op.operation.native
    return lambda a, b: evaluated(form, [a, b])
