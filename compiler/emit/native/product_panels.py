"""LLVM IR text that copies rows of a strided matrix one after another, into a panel that a kernel reads many times."""

from dataclasses import dataclass

from tapegrad.compiler.emit.native.products import Pack
from tapegrad.compiler.emit.native.vector_text import TYPES, Index, Text

PACKED_VECTORS = 2  # of each row that a packing loop copies at a time


@dataclass
class Copy:
    """Rows, one for each turn of `loops` (length, stride), with `columns` elements that are `stride` apart.

    In the panel a row has `width` elements. Rows are written one after another as whole vectors, and squares as whole
    squares: what lies beyond the columns, and behind the last row, is overwritten by as much, unless `exact`. `whole`:
    the innermost loop's length is a multiple of the lanes.
    """

    text: Text
    loops: list[tuple[Index, int]]
    stride: int
    columns: int
    width: int
    whole: bool
    exact: bool = False

    def write(self, source: str, panel: str, level: int = 0) -> None:
        t, (n, stride) = self.text, self.loops[level]
        last = level == len(self.loops) - 1
        squares = last and stride == 1 and self.stride != 1 and t.lanes > 1
        squares = squares and (self.whole or not self.exact)
        pace: Index = self.width
        for length, _ in self.loops[level + 1 :]:
            pace = t.times(pace, length)

        def turn(i: Index, _: list[str]) -> list[str]:
            here, there = t.at(source, (i, stride)), t.at(panel, (i, pace))
            if squares:
                self.square(here, there, None if self.whole else t.minus(n, i))
            elif last:
                self.row(here, there)
            else:
                self.write(here, there, level + 1)
            return []

        t.loop(n, turn, step=t.lanes if squares else 1)

    def row(self, source: str, panel: str) -> None:
        t = self.text
        for start in range(0, self.columns, t.lanes):
            lanes, where = min(t.lanes, self.columns - start), t.at(source, (start, self.stride))
            vector = t.load(where, lanes) if self.stride == 1 else t.gather(where, self.stride, lanes)
            t.store(vector, t.at(panel, (start, 1)), lanes if self.exact else None)

    def square(self, source: str, panel: str, rows: Index | None) -> None:
        """As many rows as a vector has lanes, or `rows` if that is less, by transposes of squares.

        Where each has its own place they are copied one by one, else row by row, for a row overwrites the next one.
        """
        t = self.text
        full = self.columns // t.lanes * t.lanes if self.width % t.lanes == 0 else 0

        def turn(j: Index, _: list[str]) -> list[str]:
            self.squares(t.at(source, (j, self.stride)), t.at(panel, (j, 1)), rows, t.lanes)
            return []

        if full:
            t.loop(full, turn, step=t.lanes)
        if full < self.columns:
            rest = t.at(source, (full, self.stride)), t.at(panel, (full, 1))
            self.squares(*rest, rows, self.columns - full)

    def squares(self, source: str, panel: str, rows: Index | None, columns: int) -> None:
        t, squares = self.text, {}
        for start in range(0, columns, t.lanes):
            count = min(t.lanes, columns - start)
            lines = [t.load(t.at(source, (start + i, self.stride)), rows) for i in range(count)]
            squares[start] = t.transposed([*lines, *["zeroinitializer"] * (t.lanes - count)])
        for i in range(t.lanes):
            for start, square in squares.items():
                lanes = min(t.lanes, columns - start) if self.exact else None
                t.store(square[i], t.at(panel, (i, self.width), (start, 1)), lanes)


def pack_text(pack: Pack, name: str, bits: int) -> str:
    """The definition of `i32 name(ptr table, ptr scratch)` that does what a Pack says.

    The table holds its source and its copy.
    """
    *outer, (columns, stride) = zip(pack.source.shape, pack.source.strides)
    loops: list[tuple[Index, int]] = [*outer] or [(1, 0)]
    lanes = min(bits // 8 // TYPES[pack.source.dtype][2], 1 << (columns - 1).bit_length())
    t = Text(pack.source.dtype, lanes, bits, fused=False)
    for i, operand in enumerate(("source", "copy")):
        where = t.new(f"getelementptr ptr, ptr %table, i64 {i}")
        t.add(f"%{operand} = load ptr, ptr {where}")
    whole = isinstance(loops[-1][0], int) and loops[-1][0] % lanes == 0
    step = PACKED_VECTORS * lanes
    full = columns // step * step
    for start, count, width in ((0, full, step), (full, columns % step, columns % step)):
        if count:
            copy = Copy(t, loops, stride, width, columns, whole, exact=True)

            def turn(j: Index, _: list[str], start: int = start, copy: Copy = copy) -> list[str]:
                copy.write(t.at("%source", (j, stride), (start, stride)), t.at("%copy", (j, 1), (start, 1)))
                return []

            t.loop(count, turn, step=width)
    return t.function(name)
