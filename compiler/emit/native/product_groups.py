"""The kernel of a product of large operands whose vectors lie along the columns of c, as LLVM IR text.

Panels of b are copied for as many columns as the second cache has room for. Then each tile of rows goes over all of
these: a is read once, and b from the second cache, which is fast enough, for each vector of it serves all rows of a
tile. While a tile is worked out, what the next one reads of a is brought in.
"""

from math import ceil

from tapegrad.compiler.emit.native.product_kernel import Block, Place
from tapegrad.compiler.emit.native.product_panels import Copy
from tapegrad.compiler.emit.native.product_tiles import LINE_BYTES, Term, TileKernel, spans, whole_lines
from tapegrad.compiler.emit.native.products import Product
from tapegrad.compiler.emit.native.vector_text import Index

# Of the panels that are copied at a time: half of a second cache of today.
GROUP_BYTES = 512 * 1024
# Of a transposed a whose terms lie so far apart, so many rows are copied at a time.
FAR_BYTES, STRIP = 2048, 96

# Panels side by side: the column where the first begins, how many they are, how many columns each has.
Run = tuple[int, int, int]


def is_grouped(product: Product, bits: int) -> bool:
    """Whether this kernel computes it: one that copies panels, and has no loops around that read them again. A tile of
    narrow vectors is done with an element of a soon, and waits for those of a transposed one."""
    operand, other = ("b", 1) if product.vectors == "columns" else ("a", 2)
    if bits < 512 and product.depth and product.depth[-1][other] != 1:
        return False
    return (
        product.vectors != "depth"
        and product.panels
        and not product.packed
        and not product.spread
        and product.turns(operand, False) == 1
    )


class GroupedKernel(TileKernel):
    """Tiles of columns inside, tiles of rows outside.

    Where a is transposed, the elements of a tile lie apart: if they are far apart, often in the same few places of a
    cache. Then STRIP rows of a are copied first.
    """

    def __init__(self, product: Product, bits: int, fused: bool) -> None:
        super().__init__(product, bits, fused)
        t, rows = self.t, self.product.rows
        most = max(1, GROUP_BYTES // t.size // max(self.most_terms, 1) // self.width)  # panels of a group
        self.groups = self.cut_into_groups(most)
        columns = max(sum(n * self.pace(width) for _, n, width in runs) for _, _, runs in self.groups)
        right = whole_lines((columns * self.most_terms + t.lanes * self.width) * t.size)
        apart = abs(self.product.depth[-1][1]) * t.size if self.product.depth else 0
        if rows[1] == 1 and apart >= FAR_BYTES:
            self.strip = ceil(min(STRIP // self.tile[0] * self.tile[0], rows[0]) / t.lanes) * t.lanes
        self.strip_at = right
        self.scratch = right + whole_lines((self.strip * self.most_terms + t.lanes) * t.size)
        self.coming = ""  # where the strip after this one is

    def prepare(self) -> None:
        if self.strip:
            self.t.add(f"%strip = getelementptr i8, ptr %scratch, i64 {self.strip_at}")

    def cut_into_groups(self, most: int) -> list[tuple[int, int, list[Run]]]:
        """[(how many groups, how many columns each has, its panels), …]."""
        widths = self.widths()
        if sum(n for n, _ in widths) <= most:
            widths_before = [sum(n * width for n, width in widths[:k]) for k in range(len(widths))]
            runs = [(start, n, width) for start, (n, width) in zip(widths_before, widths)]
            return [(1, self.product.columns[0], runs)]
        return [
            (count, n * width, [(0, n, width)])
            for panels, width in widths
            for count, n in spans(panels, most)
        ]

    def row_blocks(self, place: Place, block: Block) -> None:
        t, start = self.t, 0
        for count, columns, runs in self.groups:

            def turn(j: Index, start: int = start, runs: list[Run] = runs) -> None:
                here = self.moved(place, t.plus(j, start), self.column_steps)
                for first, n, width in runs:
                    self.copy_panels(here.b, block, first, n, width)
                self.strips(here, block, runs)

            self.each(count * columns, turn, step=columns)
            start += count * columns

    def copy_panels(self, b: str, block: Block, first: int, count: int, width: int) -> None:
        def turn(j: Index) -> None:
            column = self.t.plus(j, first)
            source = self.t.at(b, (column, self.product.columns[1]))
            self.copy_columns(source, block, width, self.panel_of(block, column))

        self.each(count * width, turn, step=width)

    def panel_of(self, block: Block, column: Index) -> str:
        return self.t.at(self.panel, (column, self.terms(block)))

    # ---- rows ----
    def strips(self, place: Place, block: Block, runs: list[Run]) -> None:
        """All rows, tile by tile; where they are copied, as many tiles at a time as a strip has."""
        t, start = self.t, 0
        for count, height in spans(self.product.rows[0], self.tile[0]):
            for n, tiles in spans(count, max(1, self.strip // height)) if self.strip else [(count, 1)]:

                def turn(i: Index, start: int = start, tiles: int = tiles, height: int = height) -> None:
                    here = self.moved(place, t.plus(i, start), self.row_steps)
                    if self.strip:
                        self.copy_strip(here.a, block, tiles * height)
                    self.each(
                        tiles * height, lambda r: self.row_of_tiles(here, block, runs, height, r), height
                    )

                self.each(n * tiles * height, turn, step=tiles * height)
                start += n * tiles * height

    def copy_strip(self, a: str, block: Block, rows: int) -> None:
        loops = [(n, along) for n, along, _ in self.block_loops(block)]
        Copy(self.t, loops, 1, rows, self.strip, self.whole()).write(a, "%strip")

    def row_of_tiles(self, place: Place, block: Block, runs: list[Run], height: int, row: Index) -> None:
        """The tiles of a few rows, the first of which is `row` of a strip."""
        t = self.t
        here = self.moved(place, row, self.row_steps)
        if self.strip:
            self.coming = t.at(here.a, (self.strip, 1))
        a = t.at("%strip", (row, 1)) if self.strip else here.a
        for first, count, width in runs:

            def turn(j: Index, first: int = first, width: int = width) -> None:
                column = t.plus(j, first)
                there = self.moved(here, column, self.column_steps)
                panel = self.panel_of(block, column)
                self.one_tile(Place(a, panel, there.c, there.bias), block, height, width)

            self.each(count * width, turn, step=width)

    # ---- one tile ----
    def deepest(
        self, loop: tuple[Index, int, int], a: str, b: str, sums: list[str], height: int, term: Term
    ) -> list[str]:
        """Has what the next tile, strip or block reads of a brought in meanwhile."""
        t, (n, along, down) = self.t, loop
        depth = self.product.depth

        def turn(k: Index, x: list[str]) -> list[str]:
            here = t.at(a, (k, along))
            if self.strip and len(depth) == 1:
                t.fetch(t.at(self.coming, (k, depth[0][1])), write=False)
            elif not self.strip and self.cut:
                (_, block, _), size = self.cut
                t.fetch(t.at(here, (size, block)), write=False)
            return term(here, t.at(b, (k, down)), x)

        if self.strip or along != 1:
            return t.loop(n, turn, sums)
        line, left = LINE_BYTES // t.size, self.product.rows[1]

        def part(start: Index, x: list[str]) -> list[str]:
            here, there = t.at(a, (start, 1)), t.at(b, (start, down))
            for r in range(height, 2 * height):
                t.fetch(t.at(here, (r, left)), write=False)
            count = line if isinstance(n, int) and n % line == 0 else t.least(line, t.minus(n, start))
            return t.loop(count, lambda k, y: term(t.at(here, (k, 1)), t.at(there, (k, down)), y), x)

        return t.loop(n, part, sums, step=line)
