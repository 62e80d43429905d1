"""What the kernels of all forms share, as LLVM IR text: pointers that move on, loops around, what c becomes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tapegrad.compiler.emit.native.products import Loop, Product
from tapegrad.compiler.emit.native.vector_text import Index, Text


@dataclass(frozen=True)
class Place:
    """Pointers into a, b, c and the bias, which is "" where there is none."""

    a: str
    b: str
    c: str
    bias: str


@dataclass(frozen=True)
class Block:
    """A part of the depth whose terms are summed before they go to c.

    `first` and `last`: conditions that c has no sums before it, and none after it. `length`: where a loop is cut into
    blocks, how much of it this one has; `start`: how much those before have.
    """

    first: str
    last: str
    length: Index = 0
    start: Index = 0


class Kernel:
    """A product on vectors of `lanes`. If `swapped`, a kernel of the transposed product.

    scratch   bytes of memory that it writes copies to
    """

    scratch = 0

    def __init__(self, product: Product, text: Text, swapped: bool) -> None:
        self.product, self.t, self.swapped = product, text, swapped
        self.outside = list(product.batch)
        self.biased = "bias" in product.epilogue
        _, left, out = product.rows
        self.row_steps = (left, 0, out, int(self.swapped))  # in a, b, c and the bias
        _, right, out = product.columns
        self.column_steps = (0, right, out, int(not self.swapped))

    def text(self, name: str) -> str:
        operands = [*("bac" if self.swapped else "abc"), *(["bias"] if self.biased else [])]
        self.pointers(operands)
        self.prepare()
        self.batches(Place("%a", "%b", "%c", "%bias" if self.biased else ""), 0)
        return self.t.function(name)

    def title(self, packed: bool) -> str:
        """What it computes, and how: rows x terms x columns."""
        p = self.product.transposed() if self.swapped else self.product
        batch = "".join(f"{n} of " for n, *_ in p.batch)
        copies = "copied once" if packed else "copied" if p.panels else "read as they lie"
        form = f"vectors of {self.t.lanes} along the {p.vectors}, {copies}"
        depth = "*".join(str(n) for n, *_ in p.depth) or str(p.terms)
        added = f", at {'*'.join(str(n) for n, *_ in p.spread)} places" if p.spread else ""
        return f"{batch}{p.rows[0]} x {depth} x {p.columns[0]}{added}, {p.dtype}: {form}"

    def pointers(self, operands: Sequence[str]) -> None:
        """What the table holds, by names."""
        for i, operand in enumerate(operands):
            where = self.t.new(f"getelementptr ptr, ptr %table, i64 {i}")
            self.t.add(f"%{operand} = load ptr, ptr {where}")

    def prepare(self) -> None:
        """What stands before all loops."""

    def inside(self, place: Place, first: str, last: str) -> None:
        """The rows and columns, for the depth loops that are left."""
        raise NotImplementedError

    def moved(self, place: Place, i: Index, steps: tuple[Index, Index, Index, Index]) -> Place:
        at = self.t.at
        pointers = zip((place.a, place.b, place.c, place.bias), steps)
        return Place(*(at(pointer, (i, step)) if pointer else "" for pointer, step in pointers))

    def batches(self, place: Place, level: int) -> None:
        """One loop for each axis of the batch, outermost first."""
        if level == len(self.outside):
            self.inside(place, "false" if self.product.accumulate else "true", "true")
            return
        n, left, right, out = self.outside[level]
        self.each(n, lambda i: self.batches(self.moved(place, i, (left, right, out, 0)), level + 1))

    def each(self, count: Index, body: Callable[[Index], None], step: int = 1) -> None:
        """A loop that carries nothing."""

        def turn(i: Index, _: list[str]) -> list[str]:
            body(i)
            return []

        self.t.loop(count, turn, step=step)

    def around(
        self, loops: list[Loop], place: Place, first: str, last: str, body: Callable[[Place, str, str], None]
    ) -> None:
        """body(place, first, last) in depth loops, each turn of which is a block or several."""
        if not loops:
            body(place, first, last)
            return
        t, (n, left, right) = self.t, loops[0]

        def turn(i: Index) -> None:
            starts, ends = t.both(first, t.equal(i, 0)), t.both(last, t.equal(i, n - 1))
            self.around(loops[1:], self.moved(place, i, (left, right, 0, 0)), starts, ends, body)

        self.each(n, turn)

    def finished(
        self, sums: list[str], block: Block, before: Callable[[], list[str]], bias: Callable[[], list[str]]
    ) -> list[str]:
        """What c becomes: `before`, what it is, with the sums added; after the last block, the epilogue."""
        t = self.t
        added = lambda: [t.sum(x, y) for x, y in zip(before(), sums)]
        sums = t.when(t.negated(block.first), added, sums)
        return t.when(block.last, lambda: self.epilogue(sums, bias), sums) if self.product.epilogue else sums

    def epilogue(self, sums: list[str], bias: Callable[[], list[str]]) -> list[str]:
        for name in self.product.epilogue:
            if name == "bias":
                sums = [self.t.sum(x, y) for x, y in zip(sums, bias())]
            else:
                sums = [self.t.positive(x) for x in sums]
        return sums
