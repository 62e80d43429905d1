"""The kernel of a product whose vectors lie along the depth, as LLVM IR text: matrix times vector, and dot products."""

from tapegrad.compiler.emit.native.product_kernel import Block, Kernel, Place
from tapegrad.compiler.emit.native.products import Product
from tapegrad.compiler.emit.native.vector_text import TYPES, Index, Text

CHAINS = 2  # vectors of sums for each element of c
VECTORS = 512  # of the depth, after which the sums are added to c


class DepthKernel(Kernel):
    """A few rows of c at once: each lane of a row's vectors sums every so many terms, then the lanes are added.

    The deepest loop has stride 1 in a and b. With more columns than rows, this is the transposed product.
    """

    def __init__(self, product: Product, bits: int, fused: bool) -> None:
        swapped = product.columns[0] > product.rows[0]
        product = product.transposed() if swapped else product
        *self.outer, deepest = product.depth or ((1, 1, 1),)
        self.length = deepest[0]
        lanes = min(bits // 8 // TYPES[product.dtype][2], 1 << max(self.length - 1, 0).bit_length())
        self.most_rows = min(lanes, 8 if bits == 512 else 4)
        super().__init__(product, Text(product.dtype, lanes, bits, fused), swapped)

    def inside(self, place: Place, first: str, last: str) -> None:
        self.around(self.outer if self.product.terms else [], place, first, last, self.blocks)

    def blocks(self, place: Place, first: str, last: str) -> None:
        """The deepest loop in blocks of VECTORS, and what is left of it."""
        t, size = self.t, VECTORS * self.t.lanes
        full, rest = divmod(self.length if self.product.terms else 0, size)
        if full:

            def turn(i: Index) -> None:
                starts = t.both(first, t.equal(i, 0))
                ends = "false" if rest else t.both(last, t.equal(i, (full - 1) * size))
                self.rows(self.moved(place, i, (1, 1, 0, 0)), Block(starts, ends, size))

            self.each(full * size, turn, step=size)
        if rest or not full:
            block = Block("false" if full else first, last, rest)
            self.rows(self.moved(place, full * size, (1, 1, 0, 0)), block)

    def rows(self, place: Place, block: Block) -> None:
        """Groups of 2^n rows, each with every column."""
        t, n, start, size = self.t, self.product.rows[0], 0, self.most_rows
        while start < n:
            while size > n - start:
                size //= 2
            count = (n - start) // size

            def turn(i: Index, start: int = start, size: int = size) -> None:
                row = self.moved(place, t.plus(i, start), self.row_steps)
                self.each(
                    self.product.columns[0],
                    lambda j: self.group(self.moved(row, j, self.column_steps), block, size),
                )

            self.each(count * size, turn, step=size)
            start += count * size

    def group(self, place: Place, block: Block, rows: int) -> None:
        """One column of a group of rows."""
        t, out = self.t, self.product.rows[2]
        total = t.totals(self.sums(place, block, rows))
        with t.narrowed(rows):
            bias = lambda: [t.load(place.bias) if self.swapped else t.spread(t.number(place.bias))]
            (total,) = self.finished([total], block, lambda: [t.gather(place.c, out)], bias)
            t.scatter(total, place.c, out)

    def sums(self, place: Place, block: Block, rows: int) -> list[str]:
        """One vector for each row, whose lanes are to be added."""
        t, left, length = self.t, self.product.rows[1], block.length
        assert isinstance(length, int)

        def term(k: Index, sums: list[str], start: int, chain: int, lanes: int) -> list[str]:
            """One vector of the depth, added to a chain of each row."""
            y, sums = t.load(t.at(place.b, (k, 1), (start, 1)), lanes), list(sums)
            for r in range(rows):
                x = t.load(t.at(place.a, (k, 1), (r, left), (start, 1)), lanes)
                sums[r * CHAINS + chain] = t.multiply_add(x, y, sums[r * CHAINS + chain])
            return sums

        def terms(k: Index, sums: list[str]) -> list[str]:
            for chain in range(CHAINS):
                sums = term(k, sums, chain * t.lanes, chain, t.lanes)
            return sums

        sums = ["zeroinitializer"] * (rows * CHAINS)
        step = CHAINS * t.lanes
        if full := length // step * step:
            sums = t.loop(full, terms, sums, step=step)
        for chain, start in enumerate(range(full, length, t.lanes)):
            sums = term(0, sums, start, chain, min(t.lanes, length - start))
        chains = [sums[r * CHAINS : (r + 1) * CHAINS] for r in range(rows)]
        return [x if y == "zeroinitializer" else t.sum(x, y) for x, y in chains]
