"""Values as lines of LLVM IR: one number, or a vector of one for each lane."""

import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from tapegrad.compiler.emit.native.forms import (
    LANES,
    SLOW,
    UNARY,
    Applied,
    Called,
    Folded,
    Index,
    Load,
    Local,
    Number,
    Place,
    Rare,
    Total,
    Value,
)
from tapegrad.compiler.emit.native.machine import FLAGS

TYPES = {"float32": "float", "float64": "double", "bool": "i1", **{f"{u}int{n}": f"i{n}" for u in ("", "u")
         for n in (8, 16, 32, 64)}}  # fmt: skip
FLOAT_FORMS = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
INTEGER_FORMS = frozenset({"add", "sub", "mul", "and", "or", "xor", "shl"})
ORDERS = {"lt": ("olt", "slt", "ult"), "le": ("ole", "sle", "ule"), "gt": ("ogt", "sgt", "ugt"),
          "ge": ("oge", "sge", "uge"), "eq": ("oeq", "eq", "eq"), "ne": ("une", "ne", "ne")}  # fmt: skip


def kind(dtype: str) -> str:
    """ "f", "i" (signed), or "u" (unsigned, and truth)."""
    return {"f": "f", "i": "i"}.get(dtype[0], "u")


def memory_type(dtype: str) -> str:
    return "i8" if dtype == "bool" else TYPES[dtype]


def bytes_of(dtype: str) -> int:
    return np.dtype(dtype).itemsize


def constant(value: float, dtype: str) -> str:
    if dtype == "bool":
        return "true" if value else "false"
    if dtype[0] == "f":
        return f"0x{struct.unpack('<Q', struct.pack('<d', float(value)))[0]:016X}"
    return str(int(value))


SLOW_NAMES = frozenset(row.name for row in SLOW.values())
SUFFIXES = {"float": "f32", "double": "f64", **{f"i{n}": f"i{n}" for n in (1, 8, 16, 32, 64)}}


def vector_suffix(dtype: str, lanes: int) -> str:
    suffix = SUFFIXES[TYPES[dtype]]
    return suffix if lanes == 1 else f"v{lanes}{suffix}"


class Lines(ABC):
    """Lines of a function, and what is known by then.

    lanes       1, or LANES inside an innermost loop
    known       value -> (its name, its lanes); locals: the same of what a nest named
    spread      a number's name -> that of the vector of it
    equal       an instruction that depends on its operands alone -> the name of its result
    intrinsics  declarations of what the lines call
    chosen      names of the results of choices
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0
        self.block = "entry"  # the label of the block that lines are added to
        self.lanes = 1
        self.known: dict[Value, tuple[str, int]] = {}
        self.locals: dict[str, tuple[str, int]] = {}
        self.spread: dict[str, str] = {}
        self.equal: dict[str, str] = {}
        self.intrinsics: set[str] = set()
        self.chosen: set[str] = set()

    @abstractmethod
    def load(self, place: Place) -> tuple[str, int]:
        """(the name of what is at a place, its lanes)."""

    @abstractmethod
    def room(self, kind: str) -> str:
        """A place on the stack."""

    @abstractmethod
    def index(self, name: str) -> tuple[str, int]:
        """(the name of a loop's index as a number, its lanes)."""

    @abstractmethod
    def fold(self, total: Total) -> str:
        """The name of what a total came to."""

    # ---- lines ----
    def new(self, text: str) -> str:
        """The name of an instruction's result: that of an equal one before it, unless it reads memory."""
        if text in self.equal:
            return self.equal[text]
        self.count += 1
        name = f"%x{self.count}"
        self.lines.append(f"{name} = {text}")
        if not text.startswith(("load ", "phi ")) and "@llvm.masked." not in text:
            self.equal[text] = name
        return name

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    def typed(self, dtype: str, lanes: int) -> str:
        return TYPES[dtype] if lanes == 1 else f"<{lanes} x {TYPES[dtype]}>"

    def call(self, result: str, name: str, args: Sequence[tuple[str, str]]) -> str:
        self.intrinsics.add(f"declare {result} @{name}({', '.join(t for t, _ in args)})")
        return f"call {result} @{name}({', '.join(f'{t} {x}' for t, x in args)})"

    # ---- values ----
    def value(self, v: Value, lanes: int | None = None) -> str:
        """The name of a value, as one number or as a vector."""
        lanes = self.lanes if lanes is None else lanes
        if isinstance(v, Number):
            text = constant(v.value, v.dtype)
            return text if lanes == 1 else f"splat ({TYPES[v.dtype]} {text})"
        name, own = self.found(v)
        return name if own == lanes else self.as_vector(name, v.dtype)

    def as_vector(self, name: str, dtype: str) -> str:
        if name not in self.spread:
            vector = self.typed(dtype, LANES)
            one = self.new(f"insertelement {vector} poison, {TYPES[dtype]} {name}, i64 0")
            self.spread[name] = self.new(
                f"shufflevector {vector} {one}, {vector} poison, <{LANES} x i32> zeroinitializer"
            )
        return self.spread[name]

    def found(self, v: Value) -> tuple[str, int]:
        if isinstance(v, Local):
            return self.locals[v.name]
        if v not in self.known:
            self.known[v] = self.made(v)
        return self.known[v]

    def made(self, v: Value) -> tuple[str, int]:
        if isinstance(v, Load):
            return self.load(v.place)
        if isinstance(v, Index):
            return self.index(v.name)
        if isinstance(v, Called):
            return self.found(v.body)
        if isinstance(v, Folded):
            return self.fold(v.total), 1
        if isinstance(v, Rare):
            return self.rare(v)
        assert isinstance(v, Applied)
        lanes = max((self.lanes_of(a) for a in v.args), default=1)
        return self.applied(v, [self.value(a, lanes) for a in v.args], lanes), lanes

    def rare(self, v: Rare) -> tuple[str, int]:
        """A branch around what no lane needs. What is worked out inside is not known behind it."""
        lanes = max(self.lanes_of(v.condition), self.lanes_of(v.usual))
        test, usual, t = (
            self.value(v.condition, lanes),
            self.value(v.usual, lanes),
            self.typed(v.dtype, lanes),
        )
        some = test
        if lanes > 1:
            some = self.new(self.call("i1", f"llvm.vector.reduce.or.v{lanes}i1", [(f"<{lanes} x i1>", test)]))
        expected = self.new(self.call("i1", "llvm.expect.i1", [("i1", some), ("i1", "false")]))
        self.count += 1
        name, before = f"rare{self.count}", self.block
        self.lines.append(f"br i1 {expected}, label %{name}, label %{name}end")
        outside = dict(self.known), dict(self.spread), dict(self.equal)
        self.label(name)
        rare = self.value(v.rare, lanes)
        chosen = self.new(f"select {self.typed('bool', lanes)} {test}, {t} {rare}, {t} {usual}")
        last = self.block
        self.lines.append(f"br label %{name}end")
        self.label(f"{name}end")
        self.known, self.spread, self.equal = outside
        return self.new(f"phi {t} [{usual}, %{before}], [{chosen}, %{last}]"), lanes

    def lanes_of(self, v: Value) -> int:
        return 1 if isinstance(v, Number) else self.found(v)[1]

    def applied(self, v: Applied, args: list[str], lanes: int) -> str:
        name, dtype = v.name, v.args[-1].dtype
        t = self.typed(dtype, lanes)
        if name in ORDERS:
            order = ORDERS[name]["fiu".index(kind(dtype))]
            return self.new(f"{'fcmp' if kind(dtype) == 'f' else 'icmp'} {order} {t} {args[0]}, {args[1]}")
        if name in FLOAT_FORMS and kind(dtype) == "f":
            return self.new(f"{FLOAT_FORMS[name]} {t} {args[0]}, {args[1]}")
        if name == "div":
            return self.new(f"{'sdiv' if kind(dtype) == 'i' else 'udiv'} {t} {args[0]}, {args[1]}")
        if name == "fmod" or name in SLOW_NAMES:
            return self.one_by_one(name, args, dtype, lanes)
        if name.startswith("noted "):
            flag = FLAGS[name.removeprefix("noted ")]
            self.lines.append(self.call("i32", "feraiseexcept", [("i32", str(flag))]))
            return args[0]
        if name in INTEGER_FORMS:
            return self.new(f"{name} {t} {args[0]}, {args[1]}")
        if name == "shr":
            return self.new(f"{'ashr' if kind(dtype) == 'i' else 'lshr'} {t} {args[0]}, {args[1]}")
        if name == "neg":
            zero = constant(0, dtype) if lanes == 1 else "zeroinitializer"
            return self.new(f"fneg {t} {args[0]}" if kind(dtype) == "f" else f"sub {t} {zero}, {args[0]}")
        if name == "invert":
            ones = "true" if dtype == "bool" else "-1"
            ones = ones if lanes == 1 else f"splat ({TYPES[dtype]} {ones})"
            return self.new(f"xor {t} {args[0]}, {ones}")
        if name == "choose":
            found = self.new(f"select {self.typed('bool', lanes)} {args[0]}, {t} {args[1]}, {t} {args[2]}")
            self.chosen.add(found)
            return found
        if name == "bits":
            return self.new(f"bitcast {t} {args[0]} to {self.typed(v.dtype, lanes)}")
        if name == "convert":
            return self.convert(args[0], dtype, v.dtype, lanes)
        return self.intrinsic(name, args[0], dtype, lanes)

    def one_by_one(self, name: str, args: list[str], dtype: str, lanes: int) -> str:
        """A function of the C library, of all lanes, by a helper: so the loop around, which seldom comes here, has one
        call."""
        t = self.typed(dtype, lanes)
        places = [self.room(t) for _ in args]
        for x, place in zip(args, places):
            self.lines.append(f"store {t} {x}, ptr {place}, align 64")
        helper = f"lanes_{name}_{vector_suffix(dtype, lanes)}"
        result = f"frem {t} %x0, %x1"
        if name != "fmod":
            function = f"@llvm.{UNARY[name].llvm}.{vector_suffix(dtype, lanes)}"
            self.intrinsics.add(f"declare {t} {function}({t})")
            result = f"call {t} {function}({t} %x0)"
        loads = [f"  %x{k} = load {t}, ptr %at{k}, align 64\n" for k in range(len(args))]
        self.intrinsics.add(
            f"define internal void @{helper}({', '.join(f'ptr %at{k}' for k in range(len(args)))}) "
            f"noinline cold nounwind {{\n{''.join(loads)}  %y = {result}\n"
            f"  store {t} %y, ptr %at0, align 64\n  ret void\n}}"
        )
        self.lines.append(f"call void @{helper}({', '.join(f'ptr {p}' for p in places)})")
        return self.new(f"load {t}, ptr {places[0]}, align 64")

    def intrinsic(self, name: str, x: str, dtype: str, lanes: int) -> str:
        t = self.typed(dtype, lanes)
        if kind(dtype) != "f":
            if kind(dtype) == "u" or name != "magnitude":
                return x
            suffix = TYPES[dtype] if lanes == 1 else f"v{lanes}{TYPES[dtype]}"
            return self.new(self.call(t, f"llvm.abs.{suffix}", [(t, x), ("i1", "false")]))
        return self.new(self.call(t, f"llvm.{UNARY[name].llvm}.{vector_suffix(dtype, lanes)}", [(t, x)]))

    def convert(self, x: str, old: str, new: str, lanes: int) -> str:
        """Between dtypes, as C does; a float that an integer cannot hold gives what the processor does."""
        before, after = self.typed(old, lanes), self.typed(new, lanes)
        if kind(old) == "f" and kind(new) == "f":
            return self.new(f"{'fpext' if new == 'float64' else 'fptrunc'} {before} {x} to {after}")
        if kind(new) == "f":
            return self.new(f"{'sitofp' if kind(old) == 'i' else 'uitofp'} {before} {x} to {after}")
        if kind(old) == "f":
            return self.to_integer(x, old, new, lanes)
        sizes = (1 if old == "bool" else 8 * bytes_of(old)), 8 * bytes_of(new)
        if sizes[0] == sizes[1]:
            return x
        how = "trunc" if sizes[0] > sizes[1] else "sext" if kind(old) == "i" else "zext"
        return self.new(f"{how} {before} {x} to {after}")

    def to_integer(self, x: str, old: str, new: str, lanes: int) -> str:
        """Cut off; what an integer cannot hold gives what x86 does, as NumPy there, and the flag of an invalid
        operation: the conversion is of x itself, though its result is not taken."""
        if new in ("uint32", "uint64"):
            return self.to_unsigned(x, old, new, lanes)
        middle = "int64" if bytes_of(new) == 8 else "int32"
        before, t, truth = self.typed(old, lanes), self.typed(middle, lanes), self.typed("bool", lanes)
        bits = 8 * bytes_of(middle)
        low, high = (self.filled(constant(sign * 2.0 ** (bits - 1), old), old, lanes) for sign in (-1, 1))
        above = self.new(f"fcmp oge {before} {x}, {low}")
        below = self.new(f"fcmp olt {before} {x}, {high}")
        inside = self.new(f"and {truth} {above}, {below}")
        whole = self.of_all_lanes(self.new(f"fptosi {before} {x} to {t}"), middle, lanes)
        least = self.filled(str(-(1 << (bits - 1))), middle, lanes)
        found = self.new(f"select {truth} {inside}, {t} {whole}, {t} {least}")
        if bytes_of(new) == bytes_of(middle):
            return found
        return self.new(f"trunc {t} {found} to {self.typed(new, lanes)}")

    def of_all_lanes(self, x: str, dtype: str, lanes: int) -> str:
        """Integers that are worked out though they may not be taken: AVX-512 would do so for the chosen lanes alone,
        and set no flag for the others."""
        if lanes == 1:
            return x
        floating = f"float{8 * bytes_of(dtype)}"
        t, as_float = self.typed(dtype, lanes), self.typed(floating, lanes)
        seen = self.new(f"bitcast {t} {x} to {as_float}")
        fence = f"llvm.arithmetic.fence.{vector_suffix(floating, lanes)}"
        return self.new(
            f"bitcast {as_float} {self.new(self.call(as_float, fence, [(as_float, seen)]))} to {t}"
        )

    def to_unsigned(self, x: str, old: str, new: str, lanes: int) -> str:
        """As a signed integer; what is too large for that, less 2**31 or 2**63, and then the first bit changed."""
        before, t, truth = self.typed(old, lanes), self.typed(new, lanes), self.typed("bool", lanes)
        first = 1 << (8 * bytes_of(new) - 1)
        half = self.filled(constant(float(first), old), old, lanes)
        large = self.new(f"fcmp oge {before} {x}, {half}")
        less = self.new(f"fsub {before} {x}, {half}")
        rest = self.new(f"select {truth} {large}, {before} {less}, {before} {x}")
        whole = self.to_integer(rest, old, new[1:], lanes)
        more = self.new(f"xor {t} {whole}, {self.filled(str(-first), new, lanes)}")
        return self.new(f"select {truth} {large}, {t} {more}, {t} {whole}")

    def filled(self, text: str, dtype: str, lanes: int) -> str:
        return text if lanes == 1 else f"splat ({TYPES[dtype]} {text})"
