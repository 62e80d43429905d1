"""Nests and products cut into parts that may run at once, by a rule of their sizes. The bits are those of the whole.

A nest is cut along a loop that no reduction goes over, a product along its batch, rows or columns; one whose turns add
to the same rows, along its batch or columns. So no result is made
of the results of parts, and how many there are makes no difference to any. (`chunks` makes nests that can be cut of
reductions of all elements.)
"""

from dataclasses import replace
from math import ceil
from typing import Any

from tapegrad.compiler.emit.native.forms import (
    Applied,
    Check,
    Let,
    Loop,
    Nest,
    Place,
    Slot,
    Store,
    Take,
)
from tapegrad.compiler.emit.native.products import Product
from tapegrad.compiler.emit.native.walks import loops, places_of, statements, values_of

# What a nest costs in nanoseconds, roughly: an operation on one element, and a byte that is read or written.
OPERATION, BYTE = 0.05, 0.03
# From how many nanoseconds on a nest is cut, and operations on a product: it takes a worker 5 to 50 µs to wake up.
NEST, PRODUCT = 60_000, 2_000_000
# How many parts there are for each thread: a thread that is late, or held up, leaves its parts to others.
PARTS = 2
# Of columns of a product, and of elements of a row of memory, a part has a multiple.
COLUMNS, ROW = 16, 64
# From so many columns and bytes of its left operand on, a product is large.
WIDE, LEFT_LARGE = 128, 384 * 1024


def parts_for(size: float, smallest: float, threads: int) -> int:
    """How many parts something of a size is cut into."""
    return 1 if threads == 1 or size < smallest else min(PARTS * threads, ceil(2 * size / smallest))


def pieces(length: int, parts: int, multiple: int) -> list[tuple[int, int]]:
    """(start, length) of at most so many parts; all but the last are of one length, a multiple of the given."""
    size = ceil(length / parts / multiple) * multiple
    return [(start, min(size, length - start)) for start in range(0, length, size)]


# ---- nests ----
Cut = dict[Slot, int]  # the axis along which each array is cut


def parts_of_nest(nest: Nest, threads: int) -> list[tuple[Nest, dict[Slot, tuple[int, slice]]]]:
    """The parts: each a nest, and the axis and range of each array that it sees a part of."""
    count = parts_for(cost(nest), NEST, threads)
    found = best_cut(nest) if count > 1 else None
    if found is None:
        return [(nest, {})]
    indices, axes, length, inner = found
    return [
        (
            Nest(with_length(nest.body, indices, size), nest.arrays),
            {slot: (axis, slice(start, start + size)) for slot, axis in axes.items()},
        )
        for start, size in pieces(length, count, ROW if inner else 1)
    ]


def best_cut(nest: Nest) -> tuple[set[str], Cut, int, bool] | None:
    """The outermost loop that can be cut in more than one part: (indices, axes, length, whether it is innermost)."""
    if nest.whole or any(isinstance(s, Check) for s, _ in statements(nest.body)):
        return None
    places = [place for s, _ in statements(nest.body) for place in places_of(s)]
    stores = [s.place for s, _ in statements(nest.body) if isinstance(s, Store)]
    for loop in loops(nest.body):
        found = cut_along(loop.index, places)
        if found is None or not all(found[0] & set(place.at) for place in stores):
            continue
        cut = [other for other in loops(nest.body) if other.index in found[0]]
        inner = any(other.inner for other in cut)
        if {other.length for other in cut} == {loop.length} and loop.length >= (2 * ROW if inner else 2):
            return *found, loop.length, inner
    return None


def cut_along(index: str, places: list[Place]) -> tuple[set[str], Cut] | None:
    """If the loop of an index is cut: all indices whose loops must be cut with it, and the axes of the arrays that
    they run along. None if an array is seen in another way, too."""
    axes: Cut = {}
    indices, before = {index}, -1
    while before != len(indices) + len(axes):
        before = len(indices) + len(axes)
        for place in places:
            along = [axis for axis, i in enumerate(place.at) if i in indices]
            if place.array in axes and along not in ([axes[place.array]], []):
                return None
            if along:
                axes[place.array] = along[0]
            elif (axis := axes.get(place.array)) is not None:
                if place.at[axis] == "0":
                    return None
                indices.add(str(place.at[axis]))
    return indices, axes


def with_length(body: list[Any], indices: set[str], length: int) -> list[Any]:
    return [
        replace(
            s, length=length if s.index in indices else s.length, body=with_length(s.body, indices, length)
        )
        if isinstance(s, Loop)
        else s
        for s in body
    ]


def cost(nest: Nest) -> float:
    """What a nest takes on one core, in nanoseconds, roughly."""
    total = 0.0
    for s, turns in statements(nest.body):
        if isinstance(s, (Let, Store, Take)):
            operations = sum(isinstance(v, Applied) for v in values_of(s))
            size = sum(SIZE.get(place.array.dtype[-2:], 1) for place in places_of(s))
            total += turns * (OPERATION * operations + BYTE * size)
    return total


SIZE = {"64": 8, "32": 4, "16": 2}  # bytes, by the end of a dtype's name


# ---- products ----
def parts_of_product(product: Product, threads: int) -> list[tuple[Product, dict[str, int]]]:
    """The parts: each a product, and by how many elements its operands a, b and c and its bias begin later."""
    count = parts_for(product.operations, PRODUCT, threads)
    if count == 1:
        return [(product, {})]
    if product.batch and product.batch[0][0] >= count:
        length, left, right, out = product.batch[0]
        return [
            (
                replace(product, batch=((size, left, right, out), *product.batch[1:])),
                {"a": start * left, "b": start * right, "c": start * out},
            )
            for start, size in pieces(length, count, 1)
        ]
    if product.spread and product.columns[0] < 2 * COLUMNS:
        return [(product, {})]
    if product.spread or along_columns(product, count):
        length, right, out = product.columns
        return [
            (
                replace(product, columns=(size, right, out)),
                {"b": start * right, "c": start * out, "bias": start},
            )
            for start, size in pieces(length, count, COLUMNS)
        ]
    length, left, out = product.rows
    return [
        (replace(product, rows=(size, left, out)), {"a": start * left, "c": start * out})
        for start, size in pieces(length, count, COLUMNS)
    ]


def along_columns(product: Product, count: int) -> bool:
    """Whether columns are shared rather than rows: where the copies that each part makes for itself are fewer."""
    rows, columns = product.rows[0], product.columns[0]
    if min(rows, columns) < COLUMNS * count:
        return columns > rows
    if product.vectors == "depth":
        return columns > rows
    swapped = product.vectors == "rows"
    along, others = (rows, columns) if swapped else (columns, rows)
    large = along // count >= WIDE and 4 * others * product.terms >= LEFT_LARGE
    by_vectors = (others if large else 0) <= (along if product.panels else 0)
    return by_vectors != swapped
