"""What an operation is: one row for each, which the passes, the plan and the emitters ask.

To add an operation, add a row here. A target without a spelling in the row gets one call of the library between its
compiled parts. An operation without a row, which a user's own primitive may bring, is one call of the library too.
"""

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from tapegrad.compiler.ir import evaluation as e
from tapegrad.compiler.ir import spelling as s
from tapegrad.compiler.ir.cuda_forms import (
    CHOICE,
    CLIP,
    DIVISION,
    LARGER,
    MOVE,
    POWER,
    REMAINDER,
    SIGN,
    SMALLER,
    Cuda,
)
from tapegrad.compiler.ir.evaluation import Evaluate
from tapegrad.compiler.ir.spelling import Spelling

if TYPE_CHECKING:
    from tapegrad.compiler.ir.program import Op, Program


class Kind(Enum):
    """What the compiler may do with an operation."""

    VIEW = "the result shares the memory of the first input"
    ELEMENTWISE = "each element of the result is a function of the elements at its place"
    REDUCTION = "each element of the result combines a run of elements, in any order"
    INDEX = "elements are read or written at places that arrays may name"
    PRODUCT = "a product of matrices"
    JOIN = "the inputs, one behind the other"
    SPREAD = "each element of the inputs goes to a place of its own, and zeros everywhere else"
    CALL = "one call of the library"
    RANDOM = "other numbers at each call"
    WRITE = "puts the second input into the captured array that is the first"
    GUARD = "stops a call of another case than was recorded"


@dataclass(frozen=True)
class LoopBody:
    """A step, how many of its arguments are carried and how many are slices, and the shapes of the results."""

    step: "Program"
    carries: int
    slices: int
    length: int
    reverse: bool
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Operation:
    """One row.

    name        as NumPy calls it, and the printed list
    kind        what the compiler may do with it
    evaluate    (arrays, parameters, library) -> the result, while recording and where constants are folded
    numpy       source: a template of str.format, or a function of the operation, its operands and the result's array;
                "" for a call of the function of that name
    cupy        the same for CuPy, of what is no part of a kernel
    helper      source of a function that `numpy` calls, where the emitted module defines it itself
    module      where the function that `numpy` calls stands, if not in NumPy
    cuda        C for one element; of a reduction, how two partial results become one
    native      an expression for one element of values a, b, c, with the functions of emit/native; of a reduction, how
                two partial results a and b become one
    allocates   the targets whose library makes a new array for the result at each call
    effect      runs once for each time it is written down: it is never dropped, merged or folded
    identity    of a reduction: what changes nothing
    in_place    the result may take the place of an input; not where the first one is looked at again afterwards
    or_first    the result may be the first input itself
    over_first  the result may be made in the memory of the first input, of which it changes some elements
    scalar      the same on NumPy's scalars, a template, where a pass makes an operation of its own of that
    filled      whether NumPy is faster with an array that is one number all over than with the number
    extreme     of a place: the reduction that finds the element
    mean        of a reduction: whether the total is divided by the number of elements
    typed_from  from which input on the inputs have the dtype of the result
    index_from  from which input on the inputs are index arrays, whose elements may be out of bounds
    bits        the inputs, and -1 for the result, that NumPy sees as integers of the same length
    options     parameters that a call may give by position, after the array
    operator    Python's special method for it, without underscores
    primitive   the primitive that is recorded as this operation
    label       the first part of the name of a result
    body        of a loop: its step, as a program
    """

    name: str
    kind: Kind
    evaluate: Evaluate
    numpy: str | Spelling = ""
    cupy: str | Spelling = ""
    helper: str = ""
    module: str = "numpy"
    cuda: Cuda | str | None = None
    native: str = ""
    allocates: frozenset[str] = frozenset()
    effect: bool = False
    identity: Any = None
    in_place: bool = True
    or_first: bool = False
    over_first: bool = False
    scalar: str = ""
    filled: bool = False
    extreme: str = ""
    mean: bool = False
    typed_from: int = 0
    index_from: int | None = None
    bits: tuple[int, ...] = ()
    options: tuple[str, ...] = ()
    operator: str = ""
    primitive: str = ""
    label: str = ""
    body: "LoopBody | None" = None

    def source(self, op: "Op", args: list[str], out: str = "", library: str = "numpy") -> str:
        """The call in a library's words: into the array `out`, or an expression for a new array."""
        spelling = (self.cupy if library == "cupy" else self.numpy) or s.call_of(library, into=bool(out))
        return s.filled(spelling, op, args, out) if isinstance(spelling, str) else spelling(op, args, out)


BOTH = frozenset({"numpy", "cupy"})


def view(name: str, numpy: str | Spelling, **more: Any) -> Operation:
    return Operation(
        name, Kind.VIEW, more.pop("evaluate", e.call(name, more.get("options", ()))), numpy, numpy, **more
    )


def elementwise(name: str, cuda: Cuda | str, **more: Any) -> Operation:
    """The same function in NumPy, which takes `out`, unless `numpy` says otherwise."""
    form = Cuda(cuda) if isinstance(cuda, str) else cuda
    numpy = more.pop("numpy", f"{name}({{args}}, out={{out}})")
    return Operation(name, Kind.ELEMENTWISE, more.pop("evaluate", e.call(name)), numpy, cuda=form, **more)


def called(name: str, **more: object) -> Operation:
    """A function of one floating-point number that C has under the same name."""
    return elementwise(name, f"{name}({{0}})", native=more.pop("native", f"{name}(a)"), **more)


def rounded(name: str) -> Operation:
    """One that leaves integers as they are."""
    return elementwise(name, Cuda(f"{name}({{0}})", integer="{0}"), native=f"{name}(a)")


def infix(name: str, sign: str, operator: str, boolean: str = "", **more: Any) -> Operation:
    form = Cuda(f"{{0}} {sign} {{1}}", boolean=boolean)
    return elementwise(name, form, native=f"a {sign} b", operator=operator, **more)


def reduction(name: str, ufunc: str, cuda: str, identity: object, native: str = "", **more: Any) -> Operation:
    numpy = more.pop("numpy", f"{ufunc}.reduce({{0}}, {{over}}, dtype={{dtype!r}}, out={{out}})")
    return Operation(
        name,
        Kind.REDUCTION,
        e.call(name),
        numpy,
        more.pop("cupy", s.REDUCE),
        cuda=cuda,
        native=native,
        identity=identity,
        **more,
    )


def alike(name: str, kind: Kind, evaluate: Evaluate, source: str | Spelling, **more: Any) -> Operation:
    """The same words for NumPy and CuPy."""
    return Operation(name, kind, evaluate, source, source, **more)


def from_zero(
    name: str, sign: str, helper: str, either: bool = False, numpy: Spelling | None = None
) -> Operation:
    """A product or quotient in which 0 stays 0, whatever the other input is: a function of the emitted module. either:
    the second input's, too. numpy: its call, if that has more than the two inputs."""
    form = f"{{0}} == 0{' || {1} == 0' * either} ? 0 : {{0}} {sign} {{1}}"
    evaluate = e.kernel(name)
    zero = "((a == 0) | (b == 0))" if either else "(a == 0)"
    native = f"choose((a {sign} b != a {sign} b) & {zero}, 0, a {sign} b)"
    return elementwise(
        name,
        form,
        numpy=numpy or f"{name}({{args}}, out={{out}})",
        helper=helper,
        evaluate=evaluate,
        native=native,
        in_place=False,
        primitive=name,
    )


def running(name: str, ufunc: str, short: str) -> Operation:
    """A running sum or product along an axis, in the dtype of the result."""
    numpy = f"{ufunc}.accumulate({{0}}, axis={{axis}}, dtype={{dtype!r}}, out={{out}})"
    there = f"copyto({{out}}, cupy.{short}({{0}}, axis={{axis}}, dtype={{dtype!r}}))"
    return Operation(name, Kind.CALL, e.call(short), numpy, there, options=("axis",))


# NaN propagates. Of equal values b is taken, as on x86, since one may be -0.
LARGER_VALUE, SMALLER_VALUE = (f"choose((a {sign} b) | (a != a), a, b)" for sign in (">", "<"))
ROWS = (
    # ---- views ----
    view("reshape", "{0}.reshape({shape})", options=("shape",), label="shaped"),
    view("permute_dims", s.permuted, options=("axes",), label="transposed"),
    view("broadcast_to", s.broadcast, options=("shape",), label="spread"),
    view("slice", "{0}[{index}]", evaluate=e.take_at, label="part"),
    # ---- elementwise: arithmetic ----
    infix("add", "+", "add", boolean="{0} || {1}", scalar="{0} + {1}"),
    infix("subtract", "-", "sub", scalar="{0} - {1}"),
    infix("multiply", "*", "mul", boolean="{0} && {1}", scalar="{0} * {1}"),
    infix("divide", "/", "truediv", scalar="{0} / {1}"),
    from_zero("multiply_from_zero", "*", s.MULTIPLY_FROM_ZERO, numpy=s.multiply_from_zero),
    from_zero("multiply_from_zeros", "*", s.MULTIPLY_FROM_ZEROS, either=True),
    from_zero("divide_from_zero", "/", s.DIVIDE_FROM_ZERO),
    elementwise("floor_divide", DIVISION, native="floor_divide(a, b)", operator="floordiv"),
    elementwise("remainder", REMAINDER, native="remainder(a, b)", operator="mod"),
    elementwise(
        "power", POWER, native="power(a, b)", operator="pow", scalar="{0} ** {1}", numpy=s.power, evaluate=e.power
    ),
    elementwise("negative", "-{0}", native="-a", operator="neg"),
    elementwise("positive", MOVE, native="a", operator="pos"),
    elementwise("square", "{0} * {0}", native="a * a"),
    elementwise(
        "abs", Cuda("fabs({0})", integer="{0} < 0 ? -{0} : {0}", unsigned="{0}"), native="magnitude(a)",
        operator="abs",
    ),
    elementwise("sign", SIGN, native="sign(a)"),
    elementwise("maximum", LARGER, native=LARGER_VALUE, filled=True),
    elementwise("minimum", SMALLER, native=SMALLER_VALUE, filled=True),
    elementwise("clip", CLIP, numpy=s.clip, evaluate=e.clip, options=("min", "max")),
    # ---- elementwise: functions ----
    *map(called, ("exp", "expm1", "log", "log1p", "log2", "log10")),
    called("sqrt", native="root(a)", scalar="sqrt({0})"),
    *map(called, ("sin", "cos", "tan", "asin", "acos", "atan")),
    *map(called, ("sinh", "cosh", "tanh", "asinh", "acosh", "atanh")),
    elementwise("atan2", "atan2({0}, {1})", native="atan2(a, b)"),
    elementwise("hypot", "hypot({0}, {1})", native="hypot(a, b)"),
    called("erf", evaluate=e.kernel("erf"), module="scipy.special"),
    *map(rounded, ("floor", "ceil", "trunc")),
    elementwise("round", Cuda("rint({0})", integer="{0}"), native="rounded(a)"),
    # ---- elementwise: truth ----
    infix("equal", "==", "eq"),
    infix("not_equal", "!=", "ne"),
    infix("less", "<", "lt"),
    infix("less_equal", "<=", "le"),
    infix("greater", ">", "gt"),
    infix("greater_equal", ">=", "ge"),
    elementwise("logical_and", "({0} != 0) && ({1} != 0)", native="(a != 0) & (b != 0)"),
    elementwise("logical_or", "({0} != 0) || ({1} != 0)", native="(a != 0) | (b != 0)"),
    elementwise("logical_xor", "({0} != 0) != ({1} != 0)", native="(a != 0) ^ (b != 0)"),
    elementwise("logical_not", Cuda("{0} == 0", boolean="!{0}"), native="a == 0"),
    infix("bitwise_and", "&", "and"),
    infix("bitwise_or", "|", "or"),
    infix("bitwise_xor", "^", "xor"),
    elementwise(
        "bitwise_invert", Cuda("~{0}", boolean="!{0}"), operator="invert",
        evaluate=e.call("invert"), numpy="invert({args}, out={out})", native="~a",
    ),
    elementwise("isnan", Cuda("isnan({0}) != 0", integer="false"), native="a != a"),
    elementwise("isinf", Cuda("isinf({0}) != 0", integer="false"), native="magnitude(a) == inf"),
    elementwise("isfinite", Cuda("isfinite({0}) != 0", integer="true"), native="magnitude(a) < inf"),
    # ---- elementwise: choice and conversion ----
    elementwise(
        "where", CHOICE, native="choose(a, b, c)", numpy=s.CALL, allocates=frozenset({"numpy"}), typed_from=1,
    ),
    elementwise("astype", MOVE, native="a", numpy=s.convert, evaluate=e.astype, options=("dtype",)),
    elementwise("copy", MOVE, native="a", numpy=s.convert, evaluate=e.copy),
    # What the pass zero_masks makes of `where`, for NumPy.
    # True is 1 as an integer, and -1 is all bits.
    Operation("mask_bits", Kind.ELEMENTWISE, e.mask_bits, "negative({0}, out={out})", bits=(0,)),
    Operation("and_bits", Kind.ELEMENTWISE, e.and_bits, "bitwise_and({0}, {1}, out={out})", bits=(0, -1)),
    # Of the pass bounds, for NumPy.
    Operation(
        "bounded", Kind.CALL, e.bounded, s.CALL, helper=s.BOUNDED, allocates=frozenset({"numpy"}), or_first=True
    ),
    # ---- reductions ----
    reduction("sum", "add", "a + b", 0, "a + b", numpy=s.sum_, cupy=s.SUM_THERE, helper=s.LONG_SUM),
    reduction("prod", "multiply", "a * b", 1, "a * b"),
    reduction("max", "maximum", "a >= b || a != a ? a : b", float("-inf"), LARGER_VALUE),
    reduction("min", "minimum", "a <= b || a != a ? a : b", float("inf"), SMALLER_VALUE),
    reduction("any", "logical_or", "a || b", False, "a | b"),
    reduction("all", "logical_and", "a && b", True, "a & b"),
    Operation(
        "mean", Kind.REDUCTION, e.call("mean"), s.mean, s.REDUCE, cuda="a + b", native="a + b", identity=0,
        mean=True, helper=s.LONG_SUM,
    ),
    # ---- products and joins ----
    alike("matmul", Kind.PRODUCT, e.call("matmul"), "matmul({args}, out={out})", operator="matmul"),
    # Of the pass windows, for kernels that read windows where they lie.
    view("windows_of", "windows_of({0}{options})", evaluate=e.over_windows("windows_of"), module=e.WINDOWS),
    *(
        Operation(name, Kind.PRODUCT, e.over_windows(name), s.CALL_OURS, module=e.WINDOWS)
        for name in ("convolve_windows", "convolve_kernel", "convolve_input")
    ),
    Operation("put_windows", Kind.SPREAD, e.over_windows("put_windows"), s.CALL_OURS, module=e.WINDOWS),
    Operation("concat", Kind.JOIN, e.concat, "concatenate(({args},), axis={axis}, out={out})"),
    # ---- at an index ----
    Operation(
        "take_at", Kind.INDEX, e.take_at, s.take_at, s.take_at_checked, allocates=BOTH, index_from=1,
        primitive="getitem",
    ),
    Operation(
        "put_at", Kind.INDEX, e.put_at, s.put_at, s.put_at_checked, index_from=2, primitive="index_update",
        over_first=True,
    ),
    Operation(
        "add_at", Kind.INDEX, e.add_at, s.add_at, "index_add(cupy, {0}, {1}, index=s_[{index},])",
        allocates=frozenset({"cupy"}), index_from=2, primitive="index_add_at", over_first=True,
    ),
    alike(
        "take_along_axis", Kind.INDEX, e.call("take_along_axis"), "take_along_axis({0}, {1}, axis={axis})",
        allocates=BOTH, index_from=1,
    ),
    # ---- calls ----
    Operation("argmax", Kind.CALL, e.call("argmax"), s.FIRST_PLACE, s.FIRST_PLACE_THERE, allocates=BOTH, extreme="max"),
    Operation("argmin", Kind.CALL, e.call("argmin"), s.FIRST_PLACE, s.FIRST_PLACE_THERE, allocates=BOTH, extreme="min"),
    Operation(
        "argsort", Kind.CALL, e.kernel("argsort"), "argsort({0}, axis={axis}, stable=True)",
        "argsort({0}, axis={axis})", allocates=BOTH,
    ),
    running("cumulative_sum", "add", "cumsum"),
    running("cumulative_prod", "multiply", "cumprod"),
    # ---- effects ----
    alike(
        "random_uniform", Kind.RANDOM, e.draw, "draw({shape}, {dtype!r}, {place!r})",
        helper=s.DRAW, allocates=BOTH, effect=True,
    ),
    Operation("write", Kind.WRITE, e.written, s.write, "copyto({0}, {1})", effect=True),
    Operation("guard", Kind.GUARD, e.guard, s.guard, allocates=BOTH, effect=True),
    # What the emitter of CUDA graphs makes of an index array: its elements are looked at before the launch.
    alike("bounds", Kind.GUARD, e.bounds, s.bounds, allocates=BOTH, effect=True),
)  # fmt: skip
# What the pass scalars makes of them, for NumPy.
ROWS += tuple(
    Operation(
        f"scalar_{r.name}", Kind.CALL, e.scalar(r.name), s.scalar(r.scalar), allocates=frozenset({"numpy"})
    )
    for r in ROWS
    if r.scalar
)
OPERATIONS: dict[str, Operation] = {row.name: row for row in ROWS}
# Loops, each of a step of its own, by names that follow from what they are; known as long as a program has them.
LOOPS: WeakValueDictionary[str, Operation] = WeakValueDictionary()


def loop(
    name: str, step: "Program", carries: int, slices: int, length: int, reverse: bool, shapes: list[tuple[int, ...]]
) -> Operation:  # fmt: skip
    """The row of a loop, whose step is a program: (carry, slices, others) -> (carry, y). Its inputs are the carry, what
    is sliced, and the others; its result the last carry, the ys and, where there are more shapes, the carries before
    each step, end to end."""
    body = LoopBody(step, carries, slices, length, reverse, tuple(shapes))
    return Operation(
        name, Kind.CALL, e.call(name), f"{name}({{args}}, out={{out}})", body=body, label="scan", effect=True
    )


def operation(name: str) -> Operation:
    """The row of an operation; for a function of the library without one, a row that says so."""
    row = OPERATIONS.get(name) or LOOPS.get(name)
    return Operation(name, Kind.CALL, e.call(name)) if row is None else row


def allocating(target: str) -> frozenset[str]:
    """The operations whose results are new arrays at each call of a target's program."""
    return frozenset(row.name for row in ROWS if target in row.allocates)


def plain_axis(axis: Any, ndim: int) -> Any:
    """One way to write each axis, so that the same operation is known again."""
    axes = tuple(a % ndim for a in axis) if isinstance(axis, tuple) else (axis % ndim,)
    return axes[0] if len(axes) == 1 else axes
