"""The kernel of a product whose vectors lie along the columns of c, as LLVM IR text.

A tile of c stays in registers during a block of the depth: for each k it loads a few vectors of b, and one element of
each row of a into all lanes. Loops from the outside: the batch, blocks of the depth, tiles of columns (for each, a
panel of b is copied to lie in the first cache), tiles of rows. `GroupedKernel` has the tiles of columns inside.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from math import ceil, prod

from tapegrad.compiler.emit.native.product_kernel import Block, Kernel, Place
from tapegrad.compiler.emit.native.product_panels import Copy
from tapegrad.compiler.emit.native.products import BatchLoop, Loop, Product
from tapegrad.compiler.emit.native.vector_text import TYPES, Index, Text

# Terms that are summed in registers before they are added to c; there is one block with at most WHOLE terms.
BLOCK, WHOLE = 256, 384
# Of a cache line.
LINE_BYTES = 64

# What adds one term to each of a tile's sums: of a, b and the sums until now.
Term = Callable[[str, str, list[str]], list[str]]


def spans(length: int, most: int) -> list[tuple[int, int]]:
    """`length` cut into equal parts of at most `most`: [(how many, how long), …], longer ones first."""
    parts = ceil(length / most)
    short, longer = divmod(length, parts)
    return [(n, size) for n, size in ((longer, short + 1), (parts - longer, short)) if n]


def whole_lines(size: int) -> int:
    return -(-size // LINE_BYTES) * LINE_BYTES


@cache
def tile_size(rows: int, vectors: int, registers: int) -> tuple[int, int]:
    """Rows and vectors of the tiles for which the inner loops take the fewest cycles, by a simple model of a core.

    Each cycle starts two multiply-adds and two loads. A sum can go on after four cycles. Loads may wait for a cache.
    A tile of r x v needs r * v registers for its sums, one for an element of the left operand and,
    if it is read more than once, v for the right one.
    Each size that differs is code of its own, which counts a little.
    """

    def cycles(size: tuple[int, int]) -> float:
        heights, widths = spans(rows, size[0]), spans(vectors, size[1])
        total = 0.0
        for n, r in heights:
            for m, v in widths:
                total += n * m * (max(r * v / 2, (r + v) / 2, 4) + 0.1 * (r + 2 * v))
        return total * (1 + 0.02 * len(heights) * len(widths))

    sizes = [
        (r, v)
        for r in range(1, min(rows, registers) + 1)
        for v in range(1, min(vectors, registers) + 1)
        if r * v + v * (r > 1) + 1 <= registers
    ]
    return min(sizes, key=cycles)


def depth_blocks(depth: tuple[Loop, ...]) -> tuple[list[Loop], tuple[Loop, int] | None, list[Loop]]:
    """The loops around the blocks; the loop that is cut, if any, and the length of the cuts; the loops in a block."""
    inner: list[Loop] = []
    outer = list(depth)
    if any(loop[0] == 0 for loop in depth):
        return [], None, outer
    while outer and prod(loop[0] for loop in inner) * outer[-1][0] <= WHOLE:
        inner.insert(0, outer.pop())
    size = BLOCK // prod(loop[0] for loop in inner)
    if not outer or size < 2:
        return outer, None, inner
    return outer[:-1], (outer[-1], size), inner


class TileKernel(Kernel):
    """Vectors along the columns; for vectors along the rows, this is the transposed product.

    strip   how many elements a row of a copy of a takes; 0: a is read where it lies
    """

    strip = 0

    def __init__(self, product: Product, bits: int, fused: bool) -> None:
        swapped = product.vectors == "rows"
        product = product.transposed() if swapped else product
        columns, size = product.columns[0], TYPES[product.dtype][2]
        lanes = min(bits // 8 // size, 1 << (columns - 1).bit_length())
        registers = (32 if bits == 512 else 16) - (not fused)
        self.tile = tile_size(product.rows[0], ceil(columns / lanes), registers)
        self.width = self.tile[1] * lanes
        self.outer, self.cut, self.inner = depth_blocks(product.depth)
        self.most_terms = prod(loop[0] for loop in self.inner) * (self.cut[1] if self.cut else 1)
        # Loops around that read the same of the vectors' operand go on inside, where a panel of it is at hand.
        self.within = [loop for loop in product.batch if not loop[2]] if product.panels else []
        self.within += product.spread
        self.padded = ceil(columns / lanes) * lanes
        self.panel = "%scratch" if product.panels else ""
        # Room for a panel, with what a copy may overwrite behind it, in whole cache lines.
        spread = prod(loop[0] for loop in product.spread if loop[2])
        most = spread * self.most_terms + lanes
        self.scratch = whole_lines(most * self.width * size) if self.panel and not product.packed else 0
        super().__init__(product, Text(product.dtype, lanes, bits, fused), swapped)
        self.outside = [loop for loop in product.batch if loop not in self.within]

    # ---- blocks ----
    def inside(self, place: Place, first: str, last: str) -> None:
        self.around(self.outer, place, first, last, self.depth_cuts)

    def depth_cuts(self, place: Place, first: str, last: str) -> None:
        """A block for each cut of the loop that is cut."""
        if self.cut is None:
            self.row_blocks(place, Block(first, last))
            return
        t, ((n, left, right), size) = self.t, self.cut

        def turn(i: Index) -> None:
            length = t.least(size, t.minus(n, i))
            ends = t.both(last, t.equal(t.plus(i, length), n))
            block = Block(t.both(first, t.equal(i, 0)), ends, length, i)
            self.row_blocks(self.moved(place, i, (left, right, 0, 0)), block)

        self.each(n, turn, step=size)

    def row_blocks(self, place: Place, block: Block) -> None:
        self.columns(place, block, spans(self.product.rows[0], self.tile[0]))

    # ---- tiles ----
    def columns(self, place: Place, block: Block, heights: Sequence[tuple[int, int]]) -> None:
        t, start = self.t, 0
        for count, width in self.widths():

            def turn(j: Index, start: int = start, width: int = width) -> None:
                here = self.moved(place, t.plus(j, start), self.column_steps)
                self.tile_column(here, block, heights, t.plus(j, start), width)

            self.each(count * width, turn, step=width)
            start += count * width

    def tile_column(
        self, place: Place, block: Block, heights: Sequence[tuple[int, int]], column: Index, width: int
    ) -> None:
        """The tiles of a few columns."""
        right = place.b
        if self.product.packed:
            right = self.packed_at("%b", block, column)
        elif self.panel:
            right = self.panel
            self.copy_columns(place.b, block, width, right)
        self.again(Place(place.a, right, place.c, place.bias), block, heights, width, self.within)

    def again(
        self,
        place: Place,
        block: Block,
        heights: Sequence[tuple[int, int]],
        width: int,
        loops: list[BatchLoop],
    ) -> None:
        """The rows for each turn of the loops around that go on inside."""
        if not loops:
            self.rows(place, block, heights, width)
            return
        n, left, own, out = loops[0]
        right: Index = own
        # One behind the other, as `copy_columns` wrote them.
        if own and self.panel:
            moving = prod(loop[0] for loop in loops[1:] if loop[2])
            right = self.t.times(self.terms(block), moving * self.pace(width))
        steps = (left, right, out, 0)
        self.each(n, lambda i: self.again(self.moved(place, i, steps), block, heights, width, loops[1:]))

    def packed_at(self, copy: str, block: Block, column: Index) -> str:
        """Where the panel of a block and of the columns from `column` on begins, if all panels lie in one array."""
        before = prod(loop[0] for loop in self.inner) * self.padded
        return self.t.at(copy, (block.start, before), (column, self.terms(block)))

    def pace(self, width: int) -> int:
        """How many elements a row of a panel takes."""
        return ceil(width / self.t.lanes) * self.t.lanes

    def widths(self) -> list[tuple[int, int]]:
        """How many tiles of how many columns, where the last one may end within a vector."""
        lanes, columns = self.t.lanes, self.product.columns[0]
        result = [(n, size * lanes) for n, size in spans(ceil(columns / lanes), self.tile[1])]
        if missing := -columns % lanes:
            n, width = result.pop()
            result += [(n - 1, width)] * (n > 1) + [(1, width - missing)]
        return result

    def rows(self, place: Place, block: Block, heights: Sequence[tuple[int, int]], width: int) -> None:
        t, start = self.t, 0
        for count, height in heights:
            turn = lambda i, start=start, height=height: self.one_tile(
                self.moved(place, t.plus(i, start), self.row_steps), block, height, width
            )
            self.each(count * height, turn, step=height)
            start += count * height

    # ---- copies ----
    def copy_columns(self, b: str, block: Block, width: int, panel: str) -> None:
        """Copy the rows of a block of b, `width` columns of them, into a panel, one after another."""
        spread: list[tuple[Index, int]] = [(n, right) for n, _, right, _ in self.product.spread if right]
        loops = [*spread, *((n, right) for n, _, right in self.block_loops(block))]
        Copy(self.t, loops, self.product.columns[1], width, self.pace(width), self.whole()).write(b, panel)

    def whole(self) -> bool:
        """Whether the deepest loop of every block goes over whole vectors."""
        deepest = self.inner[-1] if self.inner else self.cut[0] if self.cut else (1, 0, 0)
        return deepest[0] % self.t.lanes == 0

    def block_loops(self, block: Block) -> list[tuple[Index, int, int]]:
        """The depth loops of a block; one of one turn if there is none."""
        cut = [(block.length, *self.cut[0][1:])] if self.cut else []
        return [*cut, *self.inner] or [(1, 0, 0)]

    def terms(self, block: Block) -> Index:
        """How many terms a block has."""
        inner = prod(loop[0] for loop in self.inner)
        return self.t.times(block.length, inner) if self.cut else inner

    # ---- one tile ----
    def one_tile(self, place: Place, block: Block, height: int, width: int) -> None:
        """Its sums over a block of the depth, added to c or stored."""
        t, out, vectors = self.t, self.product.rows[2], range(0, width, self.t.lanes)
        if self.panel:
            self.fetch(place.c, height, width)
        lanes = [min(t.lanes, width - q) for q in vectors]
        places = [(t.at(place.c, (r, out), (q, 1)), n) for r in range(height) for q, n in zip(vectors, lanes)]

        def bias() -> list[str]:
            if self.swapped:
                return [
                    x
                    for r in range(height)
                    for x in [t.spread(t.number(t.at(place.bias, (r, 1))))] * len(lanes)
                ]
            return [t.load(t.at(place.bias, (q, 1)), n) for q, n in zip(vectors, lanes)] * height

        sums = self.sums(place, block, height, width)
        sums = self.finished(sums, block, lambda: [t.load(p, n) for p, n in places], bias)
        for x, (where, n) in zip(sums, places):
            t.store(x, where, n)

    def fetch(self, c: str, height: int, width: int) -> None:
        """Have a tile's part of c brought in while its sums are worked out."""
        for r in range(height):
            for column in (*range(0, width, LINE_BYTES // self.t.size), width - 1):
                self.t.fetch(self.t.at(c, (r, self.product.rows[2]), (column, 1)))

    def sums(self, place: Place, block: Block, height: int, width: int) -> list[str]:
        """The sums of a tile over a block of the depth: height x vectors."""
        t, vectors = self.t, range(0, width, self.t.lanes)
        left = 1 if self.strip else self.product.rows[1]
        loops = self.depth_loops(block, width)

        def term(a: str, b: str, sums: list[str]) -> list[str]:
            # A panel has all lanes of its last vector.
            rights = [
                t.load(t.at(b, (q, 1)), None if self.panel else min(t.lanes, width - q)) for q in vectors
            ]
            results: list[str] = []
            for r in range(height):
                x = t.spread(t.number(t.at(a, (r, left))))
                results += [t.multiply_add(x, y, sums[len(results) + q]) for q, y in enumerate(rights)]
            return results

        def nest(a: str, b: str, sums: list[str], level: int) -> list[str]:
            n, along, down = loops[level]
            if level == len(loops) - 1:
                return self.deepest(loops[level], a, b, sums, height, term)
            return t.loop(n, lambda k, x: nest(t.at(a, (k, along)), t.at(b, (k, down)), x, level + 1), sums)

        zeros = ["zeroinitializer"] * (height * len(vectors))
        return nest(place.a, place.b, zeros, 0) if self.product.terms else zeros

    def deepest(
        self, loop: tuple[Index, int, int], a: str, b: str, sums: list[str], height: int, term: Term
    ) -> list[str]:
        """The innermost loop of a tile's sums, each turn of which is one term of each."""
        t, (n, along, down) = self.t, loop
        return t.loop(n, lambda k, x: term(t.at(a, (k, along)), t.at(b, (k, down)), x), sums)

    def depth_loops(self, block: Block, width: int) -> list[tuple[Index, int, int]]:
        """The depth loops of a block, with the strides of the copies where there are some."""
        result: list[tuple[Index, int, int]] = []
        turns = 1
        for n, left, right in reversed(self.block_loops(block)):
            left, right = (
                turns * self.strip if self.strip else left,
                turns * self.pace(width) if self.panel else right,
            )
            result.insert(0, (n, left, right))
            # A length that is not known is that of the outermost loop.
            turns *= n if isinstance(n, int) else 0
        return result


class PanelsKernel(TileKernel):
    """Copies the vectors' operand of a product into all the panels that its kernel reads, if it is `packed`."""

    def __init__(self, product: Product, bits: int, fused: bool) -> None:
        super().__init__(replace(product, packed=True), bits, fused)
        # The last panel's copy may write as much behind it.
        self.elements = max(self.product.terms, 1) * self.padded + self.t.lanes * self.width

    def text(self, name: str) -> str:
        self.pointers(("b", "copy"))
        self.inside(Place("%b", "%b", "%b", ""), "true", "true")
        return self.t.function(name)

    def row_blocks(self, place: Place, block: Block) -> None:
        self.columns(place, block, [])

    def tile_column(
        self, place: Place, block: Block, heights: Sequence[tuple[int, int]], column: Index, width: int
    ) -> None:
        self.copy_columns(place.b, block, width, self.packed_at("%copy", block, column))
