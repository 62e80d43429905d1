"""How operations are written for NumPy: the column `numpy` of their rows. Templates, and functions
(operation, operands, name of the result's array) -> source where a template is not enough."""

import inspect
import re
from collections.abc import Callable
from functools import cache
from string import Formatter
from typing import TYPE_CHECKING

import numpy as np

from tapegrad.autograd.ops.indexing import Slot
from tapegrad.backends.sums import is_long, long_sum

if TYPE_CHECKING:
    from tapegrad.compiler.ir.program import Op

# (op, names of the inputs, name of the result's array or "" where the operation allocates it) -> source
Spelling = Callable[["Op", list[str], str], str]

CALL = "{name}({args}{options})"
CALL_INTO = "copyto({out}, np.{name}({args}{options}))"
CALL_OURS = "copyto({out}, {name}({args}{options}))"
REDUCE = "cupy.{name}({0}, {over}, out={out})"
SUM_THERE = "cupy.sum({0}, {over}, dtype={dtype!r}, out={out})"
FIRST_PLACE = "asarray({name}({0}, axis={axis}, keepdims={keepdims}))"
FIRST_PLACE_THERE = "cupy.{name}({0}, axis={axis}, keepdims={keepdims})"


def call_of(library: str, into: bool) -> str:
    """The template for an operation that a library needs no words of its own for."""
    if library == "numpy":
        return CALL_INTO if into else CALL
    return "copyto({out}, cupy.{name}({args}{options}))" if into else "cupy.{name}({args}{options})"


def number(value: object) -> str:
    """A Python number as source."""
    text = repr(value)
    return {"inf": "float('inf')", "-inf": "-float('inf')", "nan": "float('nan')"}.get(text, text)


def over(op: "Op") -> str:
    """The axes of a reduction, as the keywords of a call."""
    keep = ", keepdims=True" if op.params.get("keepdims") else ""
    return f"axis={op.params.get('axis')}{keep}"


def index_text(template: tuple[object, ...], arrays: list[str]) -> str:
    """An index as it stands between brackets."""

    def part(i: object) -> str:
        if isinstance(i, Slot):
            return arrays[int(i)]
        if isinstance(i, slice):
            ends = (i.start, i.stop) if i.step is None else (i.start, i.stop, i.step)
            return ":".join("" if e is None else str(e) for e in ends)
        return "..." if i is Ellipsis else "None" if i is None else str(i)

    return ", ".join(part(i) for i in template) or "()"


def filled(template: str, op: "Op", args: list[str], out: str) -> str:
    """A template with the operands {0}, {1}… and {args}, the array {out}, and the parameters of the operation:
    {axis}, {shape}…; {over} for those of a reduction, {options} for all as keywords."""
    values = {"axis": None, "keepdims": False, "dtype": op.out.dtype, **op.params}
    values |= {"name": op.name, "args": ", ".join(args), "out": out}
    fields = fields_of(template)
    if "index" in fields:
        values["index"] = index_text(op.params["index"], args[op.operation.index_from or 1 :])
    if "dtype" in fields:
        values["dtype"] = str(np.dtype(values["dtype"]))
    if "over" in fields:
        values["over"] = over(op)
    if "options" in fields:
        values["options"] = "".join(f", {k}={v!r}" for k, v in op.params.items())
    return template.format(*args, **values)


@cache
def fields_of(template: str) -> frozenset[str]:
    """The names in the braces of a template."""
    return frozenset(name for _, name, _, _ in Formatter().parse(template) if name)


def permuted(op: "Op", args: list[str], out: str) -> str:
    axes = tuple(op.params["axes"])
    return f"{args[0]}.T" if axes == tuple(range(len(axes)))[::-1] else f"{args[0]}.transpose({axes})"


def broadcast(op: "Op", args: list[str], out: str) -> str:
    return f"broadcast_to({args[0]}, {tuple(op.params['shape'])})"


def convert(op: "Op", args: list[str], out: str) -> str:
    return f"copyto({out}, {args[0]}, casting='unsafe')" if op.out.shape else f"{out}[()] = {args[0]}"


def write(op: "Op", args: list[str], out: str) -> str:
    return f"copyto({args[0]}, {args[1]})" if op.out.shape else f"{args[0]}[()] = {args[1]}"


def scalar(template: str) -> Spelling:
    """Arithmetic on scalars. The operands that are 0-d arrays, by the parameter `arrays`, are read first."""

    def spell(op: "Op", args: list[str], out: str) -> str:
        operands = (f"{a}[()]" if i in op.params["arrays"] else a for i, a in enumerate(args))
        return template.format(*(f"({a})" if a.startswith("-") else a for a in operands))

    return spell


def power(op: "Op", args: list[str], out: str) -> str:
    """As `backends.powers` does it: of two numbers in float64 that of NumPy's scalars."""
    if op.out.shape or op.out.dtype.char != "d":
        return f"power({', '.join(args)}, out={out})"
    base, exponent = (f"{a}[()]" if a.isidentifier() else f"({a})" for a in args)
    return f"{out}[()] = {base} ** {exponent}"


def clip(op: "Op", args: list[str], out: str) -> str:
    return f"clip({args[0]}, {number(op.params['min'])}, {number(op.params['max'])}, out={out})"


FEW = 4096  # products, up to here


def multiply_from_zero(op: "Op", args: list[str], out: str) -> str:
    a, b = (getattr(i, "shape", None) for i in op.inputs)
    few = a == b and op.out.size <= FEW and op.out.dtype.itemsize > 2
    return f"multiply_from_zero({', '.join(args)}, out={out}{', few=True' * few})"


def sum_(op: "Op", args: list[str], out: str) -> str:
    if may_be_long(op):
        return f"copyto({out}, long_sum({args[0]}, {over(op)}))"
    return f"add.reduce({args[0]}, {over(op)}, dtype={str(op.out.dtype)!r}, out={out})"


def may_be_long(op: "Op") -> bool:
    x = op.vars[0]
    return x.dtype == op.out.dtype and is_long(x.shape, op.params.get("axis"), x.dtype)


def mean(op: "Op", args: list[str], out: str) -> str:
    count = op.vars[0].size // max(op.out.size, 1)
    half = op.out.dtype.itemsize <= 2
    if may_be_long(op):
        x = f"{args[0]}.astype('float32')" if half else args[0]
        return f"divide(long_sum({x}, {over(op)}), {count}, out={out}{', casting=' * half}{repr('unsafe') * half})"
    if half:  # NumPy's own adds float16 in float32
        return filled(CALL_INTO, op, args, out)
    if not op.out.shape:
        return f"{out}[()] = add.reduce({args[0]}, axis=None) / {count}"
    return f"add.reduce({args[0]}, {over(op)}, out={out}); divide({out}, {count}, out={out})"


def take_at(op: "Op", args: list[str], out: str) -> str:
    elements = f"{args[0]}[{index_text(op.params['index'], args[1:])}]"
    return elements if op.out.shape else f"asarray({elements})"


def put_at(op: "Op", args: list[str], out: str) -> str:
    same = "" if args[0] == out else f"copyto({out}, {args[0]}); "
    return f"{same}{out}[{index_text(op.params['index'], args[2:])}] = {args[1]}"


def add_at(op: "Op", args: list[str], out: str) -> str:
    """An element that an index array names twice gets both values; without such arrays none is named twice."""
    same = "" if args[0] == out else f"copyto({out}, {args[0]}); "
    where = index_text(op.params["index"], args[2:])
    if not args[2:]:
        return f"{same}{out}[{where}] += {args[1]}"
    values = args[1]
    if len(op.out.shape) == 1 and getattr(op.inputs[1], "ndim", 0) == 1:
        # NumPy 2.4's add.at does not repeat them along the axes of an index array, and reads past their end.
        wide = [i.shape for i in op.inputs[2:] if len(i.shape) > 1]
        values = f"broadcast_to({values}, {wide[0]})" if wide else values
    if op.out.dtype.char == "e":
        return (
            f"in_full = {args[0]}.astype('float32'); add.at(in_full, s_[{where}], {values}); "
            f"copyto({out}, in_full, casting='same_kind')"
        )
    return f"{same}add.at({out}, s_[{where}], {values})"


def take_at_checked(op: "Op", args: list[str], out: str) -> str:
    """On a GPU, where an index array is looked at before it is used."""
    where = index_text(op.params["index"], args[1:])
    return f"index_get(cupy, {args[0]}, index=s_[{where},])" if len(args) > 1 else f"{args[0]}[{where}]"


def put_at_checked(op: "Op", args: list[str], out: str) -> str:
    where = index_text(op.params["index"], args[2:])
    if len(args) > 2:
        return f"copyto({out}, index_set(cupy, {args[0]}, {args[1]}, index=s_[{where},]))"
    return f"copyto({out}, {args[0]}); {out}[{where}] = {args[1]}"


def guard(op: "Op", args: list[str], out: str) -> str:
    test = "not " if op.params["expected"] else ""
    return f"if {test}{args[0]}: raise LookupError('guard: {op.origin.part}: another case than recorded')"


def bounds(op: "Op", args: list[str], out: str) -> str:
    return f"check_bounds({op.params['shape']}, s_[{index_text(op.params['index'], args)},])"


# ---- functions that the emitted module defines itself: the column `helper` ----
MULTIPLY_FROM_ZERO = """

def multiply_from_zero(g, slope, out, few=False):
    # of few elements the BLAS adds up the products sooner than NumPy's warnings are switched off
    if few and -np.inf < np.vdot(g, slope) < np.inf:
        np.multiply(g, slope, out=out)
    else:
        fill_product(g, slope, out)


@np.errstate(invalid="ignore")
def fill_product(g, slope, out):
    # 0 * inf is 0 here: a branch that was not taken adds nothing
    np.multiply(g, slope, out=out)
    products = out.ravel("K")
    finite = products.itemsize > 2 and products.dot(products) < np.inf
    if not finite and np.isnan(out).any():
        np.copyto(out, 0, where=np.isnan(out) & np.equal(g, 0))
"""
MULTIPLY_FROM_ZEROS = """

def multiply_from_zeros(a, b, out):
    # 0 * inf is 0 here, whichever is which
    with np.errstate(invalid="ignore"):
        np.multiply(a, b, out=out)
        if np.isnan(out).any():
            np.copyto(out, 0, where=np.isnan(out) & (np.equal(a, 0) | np.equal(b, 0)))
"""
DIVIDE_FROM_ZERO = """

@np.errstate(all="ignore")
def divide_from_zero(g, x, out):
    # 0 / 0 is 0 here: a branch that was not taken adds nothing
    np.divide(g, x, out=out)
    if np.isnan(out).any():
        np.copyto(out, 0, where=np.isnan(out) & np.equal(g, 0))
"""
BOUNDED = """

def bounded(g, c):
    # g / maximum(|g| * c, 1), which is g itself where the root of the sum of all squares is below 1 / c
    lost = 1e-37 * g.size  # of squares that underflow
    limit = float(c)
    if (float(np.dot(g, g)) + lost) * limit * limit < 0.99:
        return g
    return g / np.maximum(np.abs(g) * c, 1.0)
"""
LONG_SUM = "\n\n" + re.sub("  # type: .*", "", inspect.getsource(long_sum))
DRAW = """
try:
    from tapegrad.autograd.random import draw
except ImportError:  # away from tapegrad: other random numbers, from the same distribution

    def draw(shape, dtype, place):
        return np.random.default_rng().random(shape).astype(dtype)
"""
