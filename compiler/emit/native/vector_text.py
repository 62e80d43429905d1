"""A function as LLVM IR text: fresh names, loops that carry vectors, loads and stores of vectors, transposes and sums.

An index or a length is an int where it is known as the text is written, and the name of a value (%v7) otherwise: the
text of `times(3, 4)` is the number 12, and a loop of one turn is no loop.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

TYPES = {"float32": ("float", "f32", 4), "float64": ("double", "f64", 8)}  # LLVM's type, its suffix, bytes
# A function that uses vectors of 512 bits says so: LLVM takes 256 on CPUs that lower their clock for more.
WIDTH = '"prefer-vector-width"="{0}" "min-legal-vector-width"="{0}"'

Index = int | str
Body = Callable[[Index, list[str]], list[str]]


def declarations(bits: int) -> list[str]:
    """The intrinsics that the kernels of a vector width call, one line each."""
    lines = []
    for kind, suffix, size in TYPES.values():
        for lanes in (2**i for i in range((bits // 8 // size).bit_length())):
            vector, name, mask = f"<{lanes} x {kind}>", f"v{lanes}{suffix}", f"<{lanes} x i1>"
            lines += [
                f"declare {vector} @llvm.fma.{name}({vector}, {vector}, {vector})",
                f"declare {vector} @llvm.masked.load.{name}.p0(ptr, {mask}, {vector})",
                f"declare void @llvm.masked.store.{name}.p0({vector}, ptr, {mask})",
            ]
    return [*lines, "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)"]


class Text:
    """The lines of one function on vectors of `lanes` numbers."""

    def __init__(self, dtype: str, lanes: int, bits: int, fused: bool) -> None:
        self.dtype, self.lanes, self.bits, self.fused = dtype, lanes, bits, fused
        self.kind, _, self.size = TYPES[dtype]
        self.lines: list[str] = []
        self.count = 0

    @property
    def vector(self) -> str:
        return f"<{self.lanes} x {self.kind}>"

    @property
    def suffix(self) -> str:
        return f"v{self.lanes}{TYPES[self.dtype][1]}"

    @contextmanager
    def narrowed(self, lanes: int) -> Iterator[None]:
        """Vectors of fewer lanes meanwhile."""
        before, self.lanes = self.lanes, lanes
        yield
        self.lanes = before

    # ---- lines ----
    def add(self, line: str) -> None:
        self.lines.append(f"  {line}")

    def new(self, instruction: str) -> str:
        self.count += 1
        self.add(f"%v{self.count} = {instruction}")
        return f"%v{self.count}"

    def block(self, name: str) -> None:
        """Go on in a new block, from this one."""
        self.lines += [f"  br label %{name}", f"{name}:"]

    def function(self, name: str) -> str:
        width = WIDTH.format(max(self.bits, 128))
        return "\n".join(
            [
                f"define i32 @{name}(ptr %table, ptr noalias %scratch) {width} {{",
                "entry:",
                *self.lines,
                "  ret i32 0",
                "}",
            ]
        )

    # ---- numbers ----
    def plus(self, x: Index, y: Index) -> Index:
        if isinstance(x, int) and isinstance(y, int):
            return x + y
        return y if x == 0 else x if y == 0 else self.new(f"add nsw i64 {x}, {y}")

    def times(self, x: Index, y: Index) -> Index:
        if isinstance(x, int) and isinstance(y, int):
            return x * y
        if 0 in (x, y):
            return 0
        return y if x == 1 else x if y == 1 else self.new(f"mul nsw i64 {x}, {y}")

    def minus(self, x: Index, y: Index) -> Index:
        return x - y if isinstance(x, int) and isinstance(y, int) else self.new(f"sub nsw i64 {x}, {y}")

    def least(self, x: int, y: Index) -> Index:
        if isinstance(y, int):
            return min(x, y)
        below = self.new(f"icmp slt i64 {x}, {y}")
        return self.new(f"select i1 {below}, i64 {x}, i64 {y}")

    def at(self, pointer: str, *steps: tuple[Index, Index]) -> str:
        """The pointer moved on by the sum of index times stride, in elements."""
        constant = 0
        for index, stride in steps:
            offset = self.times(index, stride)
            if isinstance(offset, int):
                constant += offset
            else:
                pointer = self.new(f"getelementptr {self.kind}, ptr {pointer}, i64 {offset}")
        return self.new(f"getelementptr {self.kind}, ptr {pointer}, i64 {constant}") if constant else pointer

    # ---- control ----
    def loop(self, count: Index, body: Body, carried: Sequence[str] = (), step: int = 1) -> list[str]:
        """Calls body(index, carried) for index = 0, step, … below count (at least 1); returns what it carried last."""
        if isinstance(count, int) and count <= step:
            return body(0, list(carried))
        self.count += 1
        name, index = f"loop{self.count}", f"%i{self.count}"
        self.block(f"{name}.before")
        self.block(name)
        heads = len(self.lines)
        phis = [f"%c{self.count}.{i}" for i in range(len(carried))]
        results = body(index, phis)
        self.block(f"{name}.next")
        following = self.new(f"add nuw nsw i64 {index}, {step}")
        more = self.new(f"icmp slt i64 {following}, {count}")
        self.lines += [f"  br i1 {more}, label %{name}, label %{name}.after", f"{name}.after:"]
        before, after = f"%{name}.before", f"%{name}.next"
        self.lines[heads:heads] = [
            f"  {index} = phi i64 [0, {before}], [{following}, {after}]",
            *(
                f"  {p} = phi {self.vector} [{x}, {before}], [{y}, {after}]"
                for p, x, y in zip(phis, carried, results)
            ),
        ]
        return results

    def when(self, condition: str, body: Callable[[], list[str]], otherwise: Sequence[str] = ()) -> list[str]:
        """The vectors that body() returns if the condition holds, else those given. A known condition is no branch."""
        if condition == "true":
            return body()
        if condition == "false":
            return list(otherwise)
        self.count += 1
        name = f"when{self.count}"
        self.block(f"{name}.before")
        self.lines += [f"  br i1 {condition}, label %{name}, label %{name}.after", f"{name}:"]
        results = body()
        self.block(f"{name}.last")
        self.block(f"{name}.after")
        return [
            self.new(f"phi {self.vector} [{x}, %{name}.last], [{y}, %{name}.before]")
            for x, y in zip(results, otherwise)
        ]

    def both(self, x: str, y: str) -> str:
        """Whether two conditions hold."""
        if "false" in (x, y):
            return "false"
        return y if x == "true" else x if y == "true" else self.new(f"and i1 {x}, {y}")

    def negated(self, condition: str) -> str:
        known = {"true": "false", "false": "true"}
        return known.get(condition) or self.new(f"xor i1 {condition}, true")

    def equal(self, x: Index, y: Index) -> str:
        if isinstance(x, int) and isinstance(y, int):
            return "true" if x == y else "false"
        return self.new(f"icmp eq i64 {x}, {y}")

    # ---- memory ----
    def load(self, pointer: str, lanes: Index | None = None) -> str:
        """A vector; of its first `lanes` lanes alone, the others 0."""
        if lanes is None or lanes == self.lanes:
            return self.new(f"load {self.vector}, ptr {pointer}, align {self.size}")
        mask = f"ptr align {self.size} {pointer}, <{self.lanes} x i1> {self.mask(lanes)}"
        return self.new(
            f"call {self.vector} @llvm.masked.load.{self.suffix}.p0({mask}, {self.vector} zeroinitializer)"
        )

    def mask(self, lanes: Index) -> str:
        """Whether a lane is one of the first."""
        if isinstance(lanes, int):
            return f"<{', '.join('i1 true' if i < lanes else 'i1 false' for i in range(self.lanes))}>"
        order = f"<{', '.join(f'i64 {i}' for i in range(self.lanes))}>"
        one = self.new(f"insertelement <{self.lanes} x i64> poison, i64 {lanes}, i64 0")
        same = f"<{self.lanes} x i64> poison, <{self.lanes} x i32> zeroinitializer"
        limit = self.new(f"shufflevector <{self.lanes} x i64> {one}, {same}")
        return self.new(f"icmp slt <{self.lanes} x i64> {order}, {limit}")

    def store(self, vector: str, pointer: str, lanes: int | None = None) -> None:
        """Write a vector, or its first lanes: at once where the machine has masks, else in pieces of 2^n lanes."""
        if lanes is None or lanes == self.lanes:
            self.add(f"store {self.vector} {vector}, ptr {pointer}, align {self.size}")
        elif self.bits == 512:
            where = f"ptr align {self.size} {pointer}, <{self.lanes} x i1> {self.mask(lanes)}"
            self.add(f"call void @llvm.masked.store.{self.suffix}.p0({self.vector} {vector}, {where})")
        else:
            start = 0
            for piece in (2**i for i in reversed(range(self.lanes.bit_length()))):
                if lanes & piece:
                    part = self.pick(vector, range(start, start + piece))
                    where = self.at(pointer, (start, 1))
                    self.add(f"store <{piece} x {self.kind}> {part}, ptr {where}, align {self.size}")
                    start += piece

    def gather(self, pointer: str, stride: int, lanes: int | None = None) -> str:
        """A vector of elements that are `stride` apart; of its first `lanes` lanes alone, the others 0."""
        count = self.lanes if lanes is None else lanes
        if stride == 1 or count == self.lanes == 1:
            return self.load(pointer, count)
        vector = "zeroinitializer"
        for i in range(count):
            number = self.number(self.at(pointer, (i, stride)))
            vector = self.new(f"insertelement {self.vector} {vector}, {self.kind} {number}, i64 {i}")
        return vector

    def scatter(self, vector: str, pointer: str, stride: int) -> None:
        """Write the lanes of a vector `stride` elements apart."""
        if stride == 1 or self.lanes == 1:
            self.store(vector, pointer)
            return
        for i in range(self.lanes):
            number = self.new(f"extractelement {self.vector} {vector}, i64 {i}")
            where = self.at(pointer, (i, stride))
            self.add(f"store {self.kind} {number}, ptr {where}, align {self.size}")

    def fetch(self, pointer: str, write: bool = True) -> None:
        """Have a cache line brought in that will be read; `write`: and written."""
        self.add(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 {int(write)}, i32 3, i32 1)")

    # ---- vectors ----
    def number(self, pointer: str) -> str:
        return self.new(f"load {self.kind}, ptr {pointer}, align {self.size}")

    def spread(self, number: str) -> str:
        """A vector with one number in all lanes."""
        one = self.new(f"insertelement {self.vector} poison, {self.kind} {number}, i64 0")
        return self.pick(one, [0] * self.lanes)

    def pick(self, x: str, lanes: Sequence[int], y: str = "poison", width: int | None = None) -> str:
        """The lanes given of x and, counted on, y; both are of `width` lanes."""
        order = f"<{len(lanes)} x i32> <{', '.join(f'i32 {i}' for i in lanes)}>"
        kind = f"<{width or self.lanes} x {self.kind}>"
        return self.new(f"shufflevector {kind} {x}, {kind} {y}, {order}")

    def multiply_add(self, x: str, y: str, z: str) -> str:
        """x * y + z, rounded once where the machine has that."""
        if self.fused:
            args = ", ".join(f"{self.vector} {v}" for v in (x, y, z))
            return self.new(f"call {self.vector} @llvm.fma.{self.suffix}({args})")
        return self.sum(self.new(f"fmul {self.vector} {x}, {y}"), z)

    def sum(self, x: str, y: str, width: int | None = None) -> str:
        return self.new(f"fadd <{width or self.lanes} x {self.kind}> {x}, {y}")

    def positive(self, x: str) -> str:
        """max(x, 0), and NaN where x is NaN."""
        keep = self.new(f"fcmp ugt {self.vector} {x}, zeroinitializer")
        return self.new(
            f"select <{self.lanes} x i1> {keep}, {self.vector} {x}, {self.vector} zeroinitializer"
        )

    def transposed(self, vectors: Sequence[str]) -> list[str]:
        """The columns of a square of vectors: for each bit of an index, half of each pair of rows changes places."""
        rows, n = list(vectors), self.lanes
        for bit in (2**i for i in range(n.bit_length() - 1)):
            for i in (i for i in range(n) if not i & bit):
                x, y = rows[i], rows[i + bit]
                rows[i] = self.pick(x, [j + n - bit if j & bit else j for j in range(n)], y)
                rows[i + bit] = self.pick(x, [j + n if j & bit else j + bit for j in range(n)], y)
        return rows

    def totals(self, vectors: Sequence[str]) -> str:
        """The sums over the lanes of 2^n vectors (at most as many as lanes), as one vector of 2^n lanes.

        Neighbours are added, and two vectors of half as many sums become one; the order of the rows stays.
        """
        rows, width = list(vectors), self.lanes
        while len(rows) > 1:
            pairs = list(zip(rows[::2], rows[1::2]))
            even, odd = range(0, 2 * width, 2), range(1, 2 * width, 2)
            rows = [self.sum(self.pick(x, even, y), self.pick(x, odd, y)) for x, y in pairs]
        total = rows[0]
        while width > len(vectors):
            halves = [self.pick(total, range(start, width, 2), width=width) for start in (0, 1)]
            width //= 2
            total = self.sum(halves[0], halves[1], width)
        return total
