"""Matrix products as calls of kernels: what is copied first, and what one kernel does, as a key.

    c[…, i, j] (+)= sum over k of a[…, i, k] * b[…, k, j]

Each index is a loop: a length, and by how many elements each turn moves on in the operands that it indexes. k may be
several loops (the window and the channels of a convolution). Lengths and strides are constants of a kernel, pointers
are not: equal `Product`s share one kernel, which `product_text.product_text` writes.
"""

from dataclasses import dataclass, replace
from math import ceil, inf, prod
from typing import Any

# A loop over the batch moves in a, b and c; over the rows in a and c; the columns in b and c; the depth in a and b.
BatchLoop = tuple[int, int, int, int]
Loop = tuple[int, int, int]

# Lanes of the vectors that the choice of a form counts in: the same on every machine.
NOMINAL = 8
# Sums under way at a time, below which a multiply-add waits for the last one.
CHAINS = 8
# The cost of an element copied from along the depth, or from anywhere, where that of a multiply-add of vectors is 1.
TRANSPOSE, COPY = 0.6, 2.0
# From so many rows and elements on panels pay though the vectors' operand need not be transposed.
PANEL_ROWS, PANEL_ELEMENTS = 32, 8192
# With as many rows (or columns) the kernel's own copy of an operand costs little, even where other products need one.
FEW_ROWS = 96


@dataclass(frozen=True)
class Matrix:
    """An array of one or more axes. Strides are in elements, of any sign or 0."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Pack:
    """Copy an operand, "a" or "b", into a contiguous scratch array of source.shape, which the product then reads.

    `source` views the operand's memory from its first element on, with the axes in the order that the kernel reads.
    """

    operand: str
    source: Matrix


@dataclass(frozen=True)
class Product:
    """One call of a kernel. `vectors` names the index along which its vectors lie, and so the order of the sums:

    columns  a tile of c in registers; terms are added one by one in order of k, each 256 or so into c
    rows     the same of the transposed product
    depth    each lane has the sum of every so many terms; the lanes are added at the end

    `panels` says that the kernel first copies the vectors' operand, a panel at a time; `packed`, that somebody did so,
    and the operand is an array of all panels (`product_text.panels_text`). The epilogue is applied to each
    sum: "bias" adds a fourth array, with one element for each column, and "relu" takes max(x, 0).

    `spread`: loops whose turns add to places of c that may be the same, one turn after the other: what `accumulate`
    adds to, each time. They are the windows that overlap in the gradient of a convolution's input.
    """

    batch: tuple[BatchLoop, ...]
    rows: Loop
    columns: Loop
    depth: tuple[Loop, ...]
    dtype: str
    vectors: str = "columns"
    panels: bool = False
    packed: bool = False
    accumulate: bool = False
    epilogue: tuple[str, ...] = ()
    spread: tuple[BatchLoop, ...] = ()

    @property
    def terms(self) -> int:
        return prod(length for length, _, _ in self.depth)

    @property
    def operations(self) -> int:
        """Multiplications and additions of one call."""
        around = prod(loop[0] for loop in (*self.batch, *self.spread))
        return 2 * around * self.rows[0] * self.columns[0] * self.terms

    def turns(self, operand: str, moving: bool) -> int:
        """How many turns the loops around have that move in an operand, "a" or "b", or that do not."""
        at = 1 + "ab".index(operand)
        return prod(loop[0] for loop in (*self.batch, *self.spread) if bool(loop[at]) == moving)

    def transposed(self) -> "Product":
        """The product of which c is the transpose: a and b change places."""
        return replace(
            self,
            batch=tuple((n, right, left, out) for n, left, right, out in self.batch),
            spread=tuple((n, right, left, out) for n, left, right, out in self.spread),
            rows=self.columns,
            columns=self.rows,
            depth=tuple((n, right, left) for n, left, right in self.depth),
        )


Step = Pack | Product


def steps(a: Matrix, b: Matrix, c: Matrix, epilogue: tuple[str, ...] = ()) -> list[Step]:
    """The calls that are np.matmul(a, b, out=c): at most two copies, and one product.

    Shapes (…, m, k), (…, k, n) and (…, m, n), where an operand of one axis has no m or n, and batches broadcast.
    Raises ValueError if the shapes do not match.
    """
    m, left_m = (a.shape[-2], a.strides[-2]) if len(a.shape) > 1 else (1, 0)
    n, right_n = (b.shape[-1], b.strides[-1]) if len(b.shape) > 1 else (1, 0)
    k, right_k = (b.shape[-2], b.strides[-2]) if len(b.shape) > 1 else (b.shape[0], b.strides[0])
    wanted = (m,) * (len(a.shape) > 1) + (n,) * (len(b.shape) > 1)
    batch = c.shape[: len(c.shape) - len(wanted)]
    lefts, rights = _batch_strides(a, batch), _batch_strides(b, batch)
    if a.shape[-1] != k or c.shape != batch + wanted or lefts is None or rights is None:
        raise ValueError(f"matmul: shapes {a.shape} and {b.shape} do not make {c.shape}")
    if not prod(c.shape):
        return []
    out_m = c.strides[len(batch)] if len(a.shape) > 1 else 0
    out_n = c.strides[-1] if len(b.shape) > 1 else 0
    product = Product(
        tuple(zip(batch, lefts, rights, c.strides)),
        (m, left_m, out_m),
        (n, right_n, out_n),
        ((k, a.strides[-1], right_k),),
        c.dtype,
        epilogue=epilogue,
    )
    return arranged(product)


def _batch_strides(x: Matrix, batch: tuple[int, ...]) -> tuple[int, ...] | None:
    """Its strides along the axes of the batch, 0 where it is broadcast; None if its shape does not fit."""
    shape, strides = x.shape[:-2], x.strides[:-2]
    missing = len(batch) - len(shape)
    if missing < 0 or any(n not in (1, length) for n, length in zip(shape, batch[missing:])):
        return None
    return (0,) * missing + tuple(0 if n == 1 else s for n, s in zip(shape, strides))


# ---- fewer and longer loops ----
def simplified(product: Product) -> Product:
    """The same with as few loops as it takes: loops that go on where another ends are joined, those of one turn left.

    A batch of products with the same right operand becomes more rows, with the same left operand more columns.
    """
    rows, columns = _one_turn(product.rows), _one_turn(product.columns)
    batch = _joined([loop for loop in product.batch if loop[0] != 1])
    for loop in list(batch):
        n, left, right, out = loop
        if right == 0 and (rows[0] == 1 or (left, out) == (rows[0] * rows[1], rows[0] * rows[2])):
            rows = (n * rows[0], *((left, out) if rows[0] == 1 else rows[1:]))
        elif left == 0 and (
            columns[0] == 1 or (right, out) == (columns[0] * columns[1], columns[0] * columns[2])
        ):
            if "bias" in product.epilogue:
                continue
            columns = (n * columns[0], *((right, out) if columns[0] == 1 else columns[1:]))
        else:
            continue
        batch.remove(loop)
    depth = _joined([loop for loop in product.depth if loop[0] != 1])
    return replace(product, batch=tuple(batch), rows=rows, columns=columns, depth=tuple(depth))


def _one_turn(loop: Loop) -> Loop:
    return loop if loop[0] != 1 else (1, 0, 0)


def _joined(loops: list[Any]) -> list[Any]:
    """Loops, outermost first, where one that starts where the next ends is one with it."""
    result: list[Any] = []
    for loop in loops:
        length, *strides = loop
        if result and all(outer == length * inner for outer, inner in zip(result[-1][1:], strides)):
            loop = (result.pop()[0] * length, *strides)
        result.append(loop)
    return result


# ---- the form of the kernel ----
def arranged(product: Product) -> list[Step]:
    """The cheapest form of a product, after the copies that it needs. Strides decide, and lengths; no machine does."""
    product = simplified(product)
    # Lanes that are added at the end make no sums that grow turn by turn.
    forms = [name for name in FORMS if name != "depth" or not product.spread]
    form = min(forms, key=lambda name: FORMS[name](product))
    if not product.terms:
        return [replace(product, vectors=form)]
    product = replace(product, vectors=form)
    if form == "depth":
        return _packed(product, [x for x in "ab" if not _along_depth(product, x)])
    operand = "b" if form == "columns" else "a"
    unit = _along_vectors(product, operand)
    others = product.turns(operand, False) * (product.rows[0] if form == "columns" else product.columns[0])
    length = product.columns[0] if form == "columns" else product.rows[0]
    large = others >= PANEL_ROWS and product.terms * length >= PANEL_ELEMENTS
    return [replace(product, panels=large or not unit)]


def packable(product: Product) -> str:
    """The operand, "a" or "b", of which one copy in panels pays if several products read it; "" if none does."""
    if not product.panels or len(product.depth) != 1:
        return ""
    operand, others = ("b", product.rows) if product.vectors == "columns" else ("a", product.columns)
    moves = any(loop[1 + "ab".index(operand)] for loop in product.batch)
    return operand if others[0] < FEW_ROWS and not moves else ""


def readable(product: Product) -> bool:
    """Whether the kernel's vectors lie one element after another, or are copied so by the kernel."""
    if product.vectors == "depth":
        return not product.terms or all(_along_depth(product, operand) for operand in "ab")
    operand = "b" if product.vectors == "columns" else "a"
    return _tile_cost(product, operand) < inf and (
        not product.terms or product.panels or _along_vectors(product, operand)
    )


def _along_vectors(product: Product, operand: str) -> bool:
    length, stride, _ = product.columns if operand == "b" else product.rows
    return length == 1 or stride == 1


def _along_depth(product: Product, operand: str) -> bool:
    return not product.depth or product.depth[-1][1 + "ab".index(operand)] == 1


def _tile_cost(product: Product, operand: str) -> float:
    """Of vectors along the rows or columns, which `operand` has: one for each multiply-add of vectors."""
    along, others = (product.columns, product.rows) if operand == "b" else (product.rows, product.columns)
    if along[0] > 1 and along[2] != 1:
        return inf  # vectors cannot be stored
    count = others[0] * product.turns(operand, False) * ceil(along[0] / NOMINAL)
    cost: float = product.terms * max(count, CHAINS if count < CHAINS else 0)
    if not _along_vectors(product, operand):
        cost += product.terms * along[0] * (TRANSPOSE if _along_depth(product, operand) else COPY)
    return product.turns(operand, True) * cost


def _depth_cost(product: Product) -> float:
    """Of vectors along the depth: each sum ends with additions of lanes."""
    lengths, terms = {"a": product.rows[0], "b": product.columns[0]}, product.terms
    inner = product.depth[-1][0] if product.depth else 1
    vectors = ceil(inner / NOMINAL) * (terms / inner if inner else 0)
    copies = [n * product.turns(x, True) for x, n in lengths.items() if not _along_depth(product, x)]
    around = prod(loop[0] for loop in (*product.batch, *product.spread))
    return around * prod(lengths.values()) * (1.3 * vectors + 2) + sum(copies) * terms * COPY


FORMS = {
    "columns": lambda product: _tile_cost(product, "b"),
    "rows": lambda product: _tile_cost(product, "a"),
    "depth": _depth_cost,
}


def _packed(product: Product, operands: list[str]) -> list[Step]:
    """Copies of operands in the order in which the kernel reads them, and the product that reads the copies."""
    packs: list[Step] = []
    for operand in operands:
        at = 1 + "ab".index(operand)
        batch = [loop for loop in product.batch if loop[at]]
        own = product.rows if operand == "a" else product.columns
        outer = [(loop[0], loop[at]) for loop in batch]
        inner = [(loop[0], loop[at]) for loop in product.depth]
        axes = [*outer, own[:2], *inner] if product.vectors == "depth" else [*outer, *inner, own[:2]]
        shape = tuple(n for n, _ in axes)
        packs.append(Pack(operand, Matrix(shape, tuple(s for _, s in axes), product.dtype)))
        strides = [prod(shape[i + 1 :]) for i in range(len(shape))]
        product = _with_strides(product, operand, strides)
    return [*packs, product]


def _with_strides(product: Product, operand: str, strides: list[int]) -> Product:
    """The product with the operand's strides in the order of the copy's axes."""
    at, rest = 1 + "ab".index(operand), list(strides)
    moved: Any = lambda loop, stride: (*loop[:at], stride, *loop[at + 1 :])
    batch = tuple(moved(loop, rest.pop(0)) if loop[at] else loop for loop in product.batch)
    own = rest.pop(0 if product.vectors == "depth" else -1)
    depth = tuple(moved(loop, stride) for loop, stride in zip(product.depth, rest))
    length, _, out = product.rows if operand == "a" else product.columns
    loop = (length, own if length > 1 else 0, out)
    if operand == "a":
        return replace(product, batch=batch, depth=depth, rows=loop)
    return replace(product, batch=batch, depth=depth, columns=loop)
