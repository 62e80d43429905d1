"""A nest as LLVM IR: `i32 name(ptr table, ptr scratch)`, where the table holds the pointers of its arrays.

The innermost loop goes on by LANES elements at a time, as vectors; what is left of it is one masked turn, whose idle
lanes repeat the first element. Shapes and strides are constants of the text, and no name of the user's stands in it, so
that equal nests are equal texts. Without flags that allow it LLVM neither joins a product and a sum nor reorders sums:
each operation is rounded as NumPy's is.
"""

from collections.abc import Mapping, Sequence

from tapegrad.compiler.emit.native.forms import (
    LANES,
    Applied,
    Check,
    Let,
    Local,
    Loop,
    Nest,
    Number,
    Place,
    Slot,
    Store,
    Take,
    Total,
    Value,
)
from tapegrad.compiler.emit.native.llvm_values import (
    SLOW_NAMES,
    SUFFIXES,
    TYPES,
    Lines,
    bytes_of,
    constant,
    kind,
    memory_type,
)
from tapegrad.compiler.emit.native.totals import error_of
from tapegrad.compiler.emit.native.walks import values_of

# Of two numbers that no element has, such as inf and 0, these may set a flag.
SETTING_FLAGS = frozenset({"mul", "div", "root", "fmod"}) | SLOW_NAMES


class Text(Lines):
    """The function of one nest.

    strides   of each array, in bytes, one for each axis
    """

    def __init__(self, nest: Nest, strides: Mapping[Slot, Sequence[int]]) -> None:
        self.nest, self.strides = nest, strides
        super().__init__()
        self.stack: list[str] = []
        self.mask = ""  # of the lanes that are not idle, in the last turn
        self.indices: dict[str, str] = {}
        self.totals: dict[str, str] = {}  # a total -> the name of its partial results
        self.lane_index = ""
        self.checks: list[str] = []
        self.read: set[Place] = set()

    def function(self, name: str) -> str:
        """The definition. Declarations it needs are in `intrinsics`."""
        pointers = []
        self.base = {}
        for k, array in enumerate(self.nest.arrays):
            pointers += [
                f"%at{k} = getelementptr ptr, ptr %table, i64 {k}",
                f"%array{k} = load ptr, ptr %at{k}",
            ]
            self.base[array] = f"%array{k}"
        for statement in self.nest.body:
            self.statement(statement)
        ends = ["ret i32 0", *(["stop:", "ret i32 1"] if self.checks else [])]
        body = "\n".join(
            f"  {line}" if not line.endswith(":") else line
            for line in (*self.stack, *pointers, *self.lines, *ends)
        )
        return f"define i32 @{name}(ptr %table, ptr %scratch) #0 {{\nentry:\n{body}\n}}\n"

    # ---- memory ----
    def room(self, kind: str) -> str:
        name = f"%room{len(self.stack)}"
        self.stack.append(f"{name} = alloca {kind}, align 64")
        return name

    def address(self, place: Place) -> tuple[str, int, str]:
        """Of a place in an array, in an innermost loop that of the first lane: the pointer, the stride from lane to
        lane in bytes, and where lanes have indices of their own, the name of a vector of the offsets of all."""
        offset, offsets, step = "0", "", 0
        for index, stride in zip(place.at, self.strides[place.array], strict=True):
            if isinstance(index, str):
                if index == "0" or not stride:
                    continue
                step += stride * (index == self.lane_index)
                offset = self.plus(offset, self.new(f"mul nsw i64 {self.indices[index]}, {stride}"), 1)
                continue
            lanes = self.lanes_of(index)
            by = stride if lanes == 1 else f"splat (i64 {stride})"
            term = self.new(f"mul nsw {self.typed('int64', lanes)} {self.value(index, lanes)}, {by}")
            if lanes == 1:
                offset = self.plus(offset, term, 1)
            else:
                offsets = self.plus(offsets, term, lanes)
        if offsets and step:
            offsets, step = self.plus(offsets, self.numbers(step), LANES), 0
        base = self.base[place.array]
        return self.new(f"getelementptr inbounds i8, ptr {base}, i64 {offset}"), step, offsets

    def plus(self, a: str, b: str, lanes: int) -> str:
        return b if a in ("", "0") else self.new(f"add nsw {self.typed('int64', lanes)} {a}, {b}")

    def numbers(self, step: int = 1) -> str:
        """A vector of 0, step, … for the lanes."""
        return f"<{', '.join(f'i64 {k * step}' for k in range(LANES))}>"

    def index(self, name: str) -> tuple[str, int]:
        at = self.indices[name]
        if name != self.lane_index:
            return at, 1
        return self.plus(self.as_vector(at, "int64"), self.numbers(), LANES), LANES

    def pointers(self, pointer: str, step: int, offsets: str) -> str:
        """A vector of the pointers of all lanes."""
        return self.new(f"getelementptr i8, ptr {pointer}, <{LANES} x i64> {offsets or self.numbers(step)}")

    def load(self, place: Place) -> tuple[str, int]:
        dtype = place.array.dtype
        self.read.add(place)
        pointer, step, offsets = self.address(place)
        memory = memory_type(dtype)
        if self.lanes == 1 or not (step or offsets):
            x = self.new(f"load {memory}, ptr {pointer}, align {bytes_of(dtype)}")
            return (x if dtype != "bool" else self.new(f"icmp ne i8 {x}, 0")), 1
        vector, size = f"<{LANES} x {memory}>", bytes_of(dtype)
        if step == size and not self.mask:
            x = self.new(f"load {vector}, ptr {pointer}, align {size}")
        else:
            x = self.load_some(pointer, step, offsets, memory, size)
        return (x if dtype != "bool" else self.new(f"icmp ne {vector} {x}, zeroinitializer")), LANES

    def load_some(self, pointer: str, step: int, offsets: str, memory: str, size: int) -> str:
        """Elements that do not lie one after another, or of some lanes alone: idle lanes have the first one."""
        vector, suffix = f"<{LANES} x {memory}>", f"v{LANES}{SUFFIXES[memory]}"
        mask = self.mask or "splat (i1 true)"
        first = self.new(f"load {memory}, ptr {pointer}, align {size}")
        one = self.new(f"insertelement {vector} poison, {memory} {first}, i64 0")
        idle = self.new(f"shufflevector {vector} {one}, {vector} poison, <{LANES} x i32> zeroinitializer")
        if step == size:
            return self.new(self.call(vector, f"llvm.masked.load.{suffix}.p0", [
                ("ptr", f"align {size} {pointer}"), (f"<{LANES} x i1>", mask), (vector, idle)]))  # fmt: skip
        where = f"align {size} {self.pointers(pointer, step, offsets)}"
        return self.new(self.call(vector, f"llvm.masked.gather.{suffix}.v{LANES}p0", [
            (f"<{LANES} x ptr>", where), (f"<{LANES} x i1>", mask), (vector, idle)]))  # fmt: skip

    def store(self, place: Place, value: Value) -> None:
        dtype = place.array.dtype
        pointer, step, offsets = self.address(place)
        lanes = LANES if self.lanes > 1 and (step or offsets) else 1
        x, memory, size = self.value(value, lanes), memory_type(dtype), bytes_of(dtype)
        if dtype == "bool":
            old, new = self.typed("bool", lanes), f"<{LANES} x i8>" if lanes > 1 else "i8"
            x = self.new(f"zext {old} {x} to {new}")
        if lanes == 1:
            self.lines.append(f"store {memory} {x}, ptr {pointer}, align {size}")
            return
        vector, suffix = f"<{LANES} x {memory}>", f"v{LANES}{SUFFIXES[memory]}"
        mask = (f"<{LANES} x i1>", self.mask or "splat (i1 true)")
        if step == size and not self.mask:
            # LLVM makes a masked store of a choice between what is there and something else, which is ten times slower.
            how = "store volatile" if x in self.chosen and place in self.read else "store"
            self.lines.append(f"{how} {vector} {x}, ptr {pointer}, align {size}")
        elif step == size:
            where = ("ptr", f"align {size} {pointer}")
            self.lines.append(self.call("void", f"llvm.masked.store.{suffix}.p0", [(vector, x), where, mask]))
        else:  # from the first lane to the last, so that of two in one place the last stays
            where = (f"<{LANES} x ptr>", f"align {size} {self.pointers(pointer, step, offsets)}")
            name = f"llvm.masked.scatter.{suffix}.v{LANES}p0"
            self.lines.append(self.call("void", name, [(vector, x), where, mask]))

    # ---- statements ----
    def statement(self, s: object) -> None:
        if isinstance(s, Loop):
            self.loop(s)
        elif isinstance(s, Let):
            self.locals[s.local.name] = self.found(s.value) if not isinstance(s.value, Number) else (
                self.value(s.value, 1), 1)  # fmt: skip
        elif isinstance(s, Store):
            self.store(s.place, s.value)
        elif isinstance(s, Total):
            self.start(s)
        elif isinstance(s, Take):
            self.take(s)
        else:
            assert isinstance(s, Check)
            self.checks.append("")
            go_on = f"checked{len(self.checks)}"
            self.lines.append(f"br i1 {self.value(s.condition)}, label %{go_on}, label %stop")
            self.label(go_on)

    def loop(self, s: Loop) -> None:
        if not s.inner:
            self.turns(s, s.length, 1)
            return
        whole = s.length // LANES * LANES
        self.lane_index, self.lanes = s.index, LANES
        if whole:
            self.turns(s, whole, LANES)
        if rest := s.length - whole:
            self.indices[s.index] = str(whole)
            self.mask = self.first_lanes(rest, opaque=any(map(sets_flags, s.body)))
            self.turn(s)
            self.mask = ""
        self.lane_index, self.lanes = "", 1

    def first_lanes(self, count: int, opaque: bool) -> str:
        """The mask of so many lanes. Of a constant one LLVM leaves out what the idle lanes hold, and works on anything
        instead: that may set a flag which no element sets. It does not look through the empty assembly."""
        if not opaque:
            return f"<{', '.join(f'i1 {str(k < count).lower()}' for k in range(LANES))}>"
        unknown = self.new(f'call i64 asm "", "=r,0"(i64 {count})')
        one = self.new(f"insertelement <{LANES} x i64> poison, i64 {unknown}, i64 0")
        all_of = self.new(
            f"shufflevector <{LANES} x i64> {one}, <{LANES} x i64> poison, <{LANES} x i32> zeroinitializer"
        )
        lanes = f"<{', '.join(f'i64 {k}' for k in range(LANES))}>"
        return self.new(f"icmp ult <{LANES} x i64> {lanes}, {all_of}")

    def turn(self, s: Loop) -> None:
        """The statements inside. What they work out is not known outside."""
        before = self.known, self.locals, self.spread, self.equal
        self.known, self.locals = dict(self.known), dict(self.locals)
        self.spread, self.equal = dict(self.spread), dict(self.equal)
        for statement in s.body:
            self.statement(statement)
        self.known, self.locals, self.spread, self.equal = before

    def turns(self, s: Loop, length: int, step: int) -> None:
        self.count += 1
        name, before = f"loop{self.count}", self.block
        index = self.indices[s.index] = f"%{name}i"
        self.lines.append(f"br label %{name}")
        self.label(name)
        at = len(self.lines)
        self.lines.append("")  # the phi, once it is known where the turn ends
        self.turn(s)
        following = self.new(f"add nuw nsw i64 {index}, {step}")
        self.lines[at] = f"{index} = phi i64 [0, %{before}], [{following}, %{self.block}]"
        again = self.new(f"icmp slt i64 {following}, {length}")
        self.lines.append(f"br i1 {again}, label %{name}, label %{name}end")
        self.label(f"{name}end")

    # ---- totals ----
    def start(self, s: Total) -> None:
        """The partial results lie on the stack, where LLVM makes registers of them."""
        vector = f"<{LANES} x {memory_type(s.dtype)}>"
        self.totals[s.name] = f"%total{len(self.totals)}"
        value = constant(s.start.value, s.dtype) if s.dtype != "bool" else str(int(s.start.value))
        self.stack.append(f"{self.totals[s.name]} = alloca {vector}, align 64")
        self.lines.append(
            f"store {vector} splat ({memory_type(s.dtype)} {value}), ptr {self.totals[s.name]}, align 64"
        )

    def partial(self, s: Total) -> str:
        vector = f"<{LANES} x {memory_type(s.dtype)}>"
        x = self.new(f"load {vector}, ptr {self.totals[s.name]}, align 64")
        return x if s.dtype != "bool" else self.new(f"icmp ne {vector} {x}, zeroinitializer")

    def take(self, s: Take) -> None:
        total = s.total
        held = Local(total.dtype, f"{total.name} so far")
        self.locals[held.name] = self.partial(total), LANES
        if total.lost is not None:
            self.take(error_of(total, held, s.value))
        x = self.value(total.combine(held, s.value), LANES)
        t, memory = self.typed(total.dtype, LANES), f"<{LANES} x {memory_type(total.dtype)}>"
        if self.mask:
            x = self.new(f"select <{LANES} x i1> {self.mask}, {t} {x}, {t} {self.locals[held.name][0]}")
        if total.dtype == "bool":
            x = self.new(f"zext {t} {x} to {memory}")
        self.lines.append(f"store {memory} {x}, ptr {self.totals[total.name]}, align 64")

    def fold(self, total: Total) -> str:
        x, lanes = self.partial(total), LANES
        while lanes > 1:
            before, lanes = self.typed(total.dtype, lanes), lanes // 2
            halves = []
            for begin in (0, lanes):
                picked = ", ".join(f"i32 {k}" for k in range(begin, begin + lanes))
                half = self.new(f"shufflevector {before} {x}, {before} poison, <{lanes} x i32> <{picked}>")
                if lanes == 1:
                    half = self.new(f"extractelement <1 x {TYPES[total.dtype]}> {half}, i64 0")
                halves.append(half)
            x = self.combine(total, halves, lanes)
        return x

    def combine(self, total: Total, halves: list[str], lanes: int) -> str:
        a, b = Local(total.dtype, "first half"), Local(total.dtype, "second half")
        self.locals |= {a.name: (halves[0], lanes), b.name: (halves[1], lanes)}
        return self.value(total.combine(a, b), lanes)


def sets_flags(statement: object) -> bool:
    """Whether it has an operation on floats that sets a flag for some numbers."""
    return any(
        isinstance(v, Applied) and v.name in SETTING_FLAGS and kind(v.args[-1].dtype) == "f"
        for v in values_of(statement)
    )
