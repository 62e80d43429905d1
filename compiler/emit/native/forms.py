"""What a loop nest is between the blocks of a program and machine code: typed values, and a page of statements.

`python_text` prints a nest as Python that runs as it stands, `llvm_text` as LLVM IR. Both print the same operations in
the same order, each rounded by itself.

The functions at the end (`choose`, `bits`, …) make values of values and numbers of numbers: one function serves both.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, TypeAlias

import numpy as np

COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})

Operand: TypeAlias = Any  # a Value, or a number of NumPy's: the functions of values serve both
Statement: TypeAlias = "Let | Store | Total | Take | Check | Loop"


class Value:
    """A number of a dtype that a nest works out. Two uses of one object are computed once."""

    dtype: str

    def __add__(self, other: Operand) -> "Value":
        return applied("add", self, other)

    def __radd__(self, other: Operand) -> "Value":
        return applied("add", other, self)

    def __sub__(self, other: Operand) -> "Value":
        return applied("sub", self, other)

    def __rsub__(self, other: Operand) -> "Value":
        return applied("sub", other, self)

    def __mul__(self, other: Operand) -> "Value":
        return applied("mul", self, other)

    def __rmul__(self, other: Operand) -> "Value":
        return applied("mul", other, self)

    def __truediv__(self, other: Operand) -> "Value":
        return applied("div", self, other)

    def __rtruediv__(self, other: Operand) -> "Value":
        return applied("div", other, self)

    def __and__(self, other: Operand) -> "Value":
        return applied("and", self, other)

    def __or__(self, other: Operand) -> "Value":
        return applied("or", self, other)

    def __xor__(self, other: Operand) -> "Value":
        return applied("xor", self, other)

    def __lshift__(self, other: Operand) -> "Value":
        return applied("shl", self, other)

    def __rshift__(self, other: Operand) -> "Value":
        return applied("shr", self, other)

    def __neg__(self) -> "Value":
        return Applied(self.dtype, "neg", (self,))

    def __invert__(self) -> "Value":
        return Applied(self.dtype, "invert", (self,))

    def __lt__(self, other: Operand) -> "Value":
        return applied("lt", self, other)

    def __le__(self, other: Operand) -> "Value":
        return applied("le", self, other)

    def __gt__(self, other: Operand) -> "Value":
        return applied("gt", self, other)

    def __ge__(self, other: Operand) -> "Value":
        return applied("ge", self, other)

    def __eq__(self, other: object) -> Any:
        return applied("eq", self, other)

    def __ne__(self, other: object) -> Any:
        return applied("ne", self, other)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError("a value has no truth before it runs: use choose(condition, a, b), and & | ~")


@dataclass(frozen=True, eq=False)
class Number(Value):
    """A constant."""

    dtype: str
    value: float


@dataclass(frozen=True, eq=False)
class Local(Value):
    """What a `Let` named."""

    dtype: str
    name: str


@dataclass(frozen=True, eq=False)
class Index(Value):
    """The index of a loop, as a number."""

    name: str
    dtype: str = "int64"


@dataclass(frozen=True, eq=False)
class Load(Value):
    """The element of an array at a place."""

    place: "Place"

    @property
    def dtype(self) -> str:  # type: ignore[override]
        return self.place.array.dtype


@dataclass(frozen=True, eq=False)
class Applied(Value):
    """An operation of the machine on values of one dtype: add, lt, choose, convert, bits, root, …"""

    dtype: str
    name: str
    args: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class Called(Value):
    """A function of ours, as exp: printed as its call, and compiled as what it is made of, the `body`."""

    dtype: str
    name: str
    args: tuple[Value, ...]
    function: Callable[..., Value]

    @cached_property
    def body(self) -> Value:
        return self.function(*self.args)


@dataclass(frozen=True, eq=False)
class Rare(Value):
    """`rare` where the condition holds, else `usual`; the first is worked out only if a lane needs it."""

    dtype: str
    condition: Value
    rare: Value
    usual: Value


@dataclass(frozen=True, eq=False)
class Folded(Value):
    """What a `Total` came to: its partial results combined, half with half until one is left."""

    total: "Total"

    @property
    def dtype(self) -> str:  # type: ignore[override]
        return self.total.dtype


# ---- statements ----
@dataclass(frozen=True)
class Slot:
    """An array that a nest reads or writes. shape: as the nest sees it, for a reshaped one."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """An element of an array: for each axis the index of a loop, 0, or a value, which is within the bounds."""

    array: Slot
    at: tuple[str | Value, ...]


@dataclass(frozen=True, eq=False)
class Let:
    local: Local
    value: Value


@dataclass(frozen=True, eq=False)
class Store:
    place: Place
    value: Value


@dataclass(frozen=True, eq=False)
class Total:
    """Partial results, one for each lane of the innermost loop, that start as what changes nothing.

    combine    makes one of two
    lost       what the additions of a sum lost: whatever it takes in, this takes in the rounding error
    """

    name: str
    dtype: str
    start: Number
    combine: Callable[[Operand, Operand], Operand]
    ufunc: str  # NumPy's, which makes one of two arrays
    lost: "Total | None" = None


@dataclass(frozen=True, eq=False)
class Take:
    """A total takes in a value: the partial result of the lane at hand."""

    total: Total
    value: Value


@dataclass(frozen=True, eq=False)
class Check:
    """Stops the program unless the condition holds."""

    condition: Value
    message: str
    error: str = "LookupError"


@dataclass(frozen=True, eq=False)
class Loop:
    """`for index in range(length)`. The innermost one goes through its turns in lanes, LANES at a time."""

    index: str
    length: int
    body: list[Statement]
    inner: bool = False


@dataclass
class Nest:
    """The statements of one block, and the arrays in the order in which they are first used.

    whole    its loops are not to be cut in parts: where it reads and writes is a matter of values
    ops      statement -> the operation of the program that it is part of, where there are several
    """

    body: list[Statement] = field(default_factory=list)
    arrays: dict[Slot, None] = field(default_factory=dict)
    whole: bool = False
    ops: dict[Any, Any] = field(default_factory=dict)


def nest_of(body: list[Statement]) -> Nest:
    """The nest of these statements, with the arrays that they use."""
    arrays: dict[Slot, None] = {}
    todo: list[object] = list(reversed(body))
    whole = False
    while todo:
        part = todo.pop()
        if isinstance(part, Slot):
            arrays.setdefault(part)
            continue
        whole = whole or isinstance(part, Index) or (isinstance(part, Place) and len(parts_of(part)) > 1)
        todo += reversed(parts_of(part))
    return Nest(body, arrays, whole)


def parts_of(part: object) -> list[object]:
    """What a statement, value or place is made of."""
    if isinstance(part, Place):
        return [part.array, *(i for i in part.at if isinstance(i, Value))]
    if isinstance(part, (Applied, Called)):
        return list(part.args)
    names = {
        Loop: ("body",), Let: ("value",), Store: ("value", "place"), Take: ("value",), Check: ("condition",),
        Load: ("place",), Rare: ("condition", "rare", "usual"),
    }  # fmt: skip
    found = [getattr(part, name) for name in names.get(type(part), ())]
    return found[0] if isinstance(part, Loop) else found


LANES = 16  # turns of an innermost loop at a time, whatever the width of the machine: so the bits are the same on all


# ---- making values ----
def applied(name: str, a: Operand, b: Operand) -> Value:
    """An operation on two values, or a value and a Python number, which takes the value's dtype."""
    dtype = a.dtype if isinstance(a, Value) else b.dtype
    args = tuple(x if isinstance(x, Value) else number(x, dtype) for x in (a, b))
    if any(x.dtype != dtype for x in args):
        raise TypeError(f"{name}: values of {args[0].dtype} and {args[1].dtype}: convert one of them")
    return Applied("bool" if name in COMPARISONS else dtype, name, args)


def number(value: float, dtype: str) -> Number:
    return Number(dtype, np.dtype(dtype).type(value).item())


named = cache(str)  # of a dtype, which NumPy takes long to name


def dtype_of(x: Operand) -> str:
    return x.dtype if isinstance(x, Value) else named(np.asarray(x).dtype)


def choose(condition: Operand, a: Operand, b: Operand) -> Operand:
    """a where the condition holds, else b. Both are worked out."""
    if not isinstance(condition, Value):
        dtype = next(x.dtype for x in (a, b) if hasattr(x, "dtype"))
        chosen: Operand = np.where(condition, a, b)
        return chosen.astype(dtype)[()]
    dtype = a.dtype if isinstance(a, Value) else b.dtype
    a, b = (x if isinstance(x, Value) else number(x, dtype) for x in (a, b))
    return Applied(dtype, "choose", (condition, a, b))


def rarely(condition: Operand, rare: Callable[[], Operand], usual: Operand) -> Operand:
    """What `rare` makes where the condition holds, else `usual`. For what takes long and is seldom wanted."""
    if not isinstance(condition, Value):
        return choose(condition, rare(), usual) if np.any(condition) else usual
    return Rare(usual.dtype, condition, rare(), usual)


# What sets each flag, by NumPy.
NOTED = {
    "invalid": lambda: np.subtract(np.inf, np.inf),
    "divide": lambda: np.divide(1.0, 0.0),
    "over": lambda: np.multiply(1e308, 1e308),
}


def noted(flag: str, x: Operand) -> Operand:
    """x, and the processor's flag is set, whatever x is: for `rarely`, and where an operation that sets it would be
    worked out by the compiler, or is one on integers."""
    if isinstance(x, Value):
        return Applied(x.dtype, f"noted {flag}", (x,))
    NOTED[flag]()
    return x


def fmod(a: Operand, b: Operand) -> Operand:
    """What is left of a / b cut off: exact, of the sign of a. The C library's, one lane after the other."""
    return applied("fmod", a, b) if isinstance(a, Value) else np.fmod(a, b)


def convert(x: Operand, dtype: str) -> Operand:
    """As another dtype; from a float to an integer, cut off."""
    if not isinstance(x, Value):
        return np.asarray(x).astype(dtype)[()]
    return x if x.dtype == dtype else Applied(dtype, "convert", (x,))


def bits(x: Operand) -> Operand:
    """The bits of a float as an integer of the same length."""
    if not isinstance(x, Value):
        return np.asarray(x).view(f"int{8 * x.dtype.itemsize}")[()]
    return Applied({"float32": "int32", "float64": "int64"}[x.dtype], "bits", (x,))


def from_bits(x: Operand) -> Operand:
    """The float of these bits."""
    if not isinstance(x, Value):
        return np.asarray(x).view(f"float{8 * x.dtype.itemsize}")[()]
    return Applied({"int32": "float32", "int64": "float64"}[x.dtype], "bits", (x,))


@dataclass(frozen=True)
class Unary:
    """An operation of the processor on one number: its name among ours, as NumPy calls it, and as LLVM does."""

    name: str
    numpy: Callable[..., Operand]
    llvm: str

    def __call__(self, x: Operand) -> Operand:
        return Applied(x.dtype, self.name, (x,)) if isinstance(x, Value) else self.numpy(x)[()]


root = Unary("root", np.sqrt, "sqrt")
magnitude = Unary("magnitude", np.abs, "fabs")
rounded = Unary("rounded", np.rint, "rint")
floor = Unary("floor", np.floor, "floor")
ceil = Unary("ceil", np.ceil, "ceil")
trunc = Unary("trunc", np.trunc, "trunc")
# The C library's functions of float64, one lane after the other: slow, and good for any finite number.
SLOW = {
    f.__name__: Unary(f"slow_{f.__name__}", np.vectorize(f, otypes="d"), f.__name__)
    for f in (math.sin, math.cos, math.tan)
}
UNARY = {row.name: row for row in (root, magnitude, rounded, floor, ceil, trunc, *SLOW.values())}
