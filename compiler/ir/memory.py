"""Where arrays lie in memory: what shares memory with what."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from tapegrad.autograd.aliases import Array
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program, Var


def span(array: Array) -> tuple[int, int]:
    """Where the memory of a raw array begins and ends."""
    if isinstance(array, np.ndarray):
        return np.lib.array_utils.byte_bounds(array)
    start = array.__cuda_array_interface__["data"][0]
    reach = [(n - 1) * step for n, step in zip(array.shape, array.strides)] if array.size else []
    low, high = sum(r for r in reach if r < 0), sum(r for r in reach if r > 0)
    return start + low, start + high + array.dtype.itemsize * bool(array.size)


def order_of(array: Array) -> tuple[int, ...] | None:
    """The axes of a raw array by their steps in memory, the largest first; None if they are in order. NumPy adds up
    in the order of the memory, and gives the result of an elementwise operation that of its inputs."""
    if array.ndim < 2 or array.flags.c_contiguous:
        return None
    steps = array.strides
    axes = tuple(sorted(range(array.ndim), key=lambda axis: -abs(steps[axis])))
    return None if axes == tuple(range(array.ndim)) else axes


def share(a: Array, b: Array) -> bool:
    """Whether two raw arrays may share memory."""
    (a0, a1), (b0, b1) = span(a), span(b)
    return a0 < b1 and b0 < a1


def memory_of(array: Array) -> int:
    """The id of the array that owns the memory that this one looks into."""
    base = array.base
    while type(base) is type(array):
        array, base = base, base.base
    return id(array)


def bases(ops: Iterable[Op]) -> dict[Var, Var]:
    """View -> the Var whose memory it looks into; likewise of what may be its first input itself."""
    base: dict[Var, Var] = {}
    for op in ops:
        if op.kind is Kind.VIEW or op.operation.or_first:
            source = op.vars[0]
            base[op.out] = base.get(source, source)
    return base


def written(program: Program) -> list[Var]:
    """The captured arrays that a program writes to, as they were before."""
    return [op.inputs[0] for op in program.ops if op.kind is Kind.WRITE]


class Spans:
    """Captured arrays, sorted by where their memory begins: a search tree over the spans of bytes.

    Node i of the tree is the array in the middle of a range of the sorted list. Both halves of the range are its
    children, and `furthest[i]` is the last byte that any array of the range reaches.
    """

    def __init__(self, arrays: Iterable[Var]) -> None:
        self.arrays = sorted(dict.fromkeys(arrays), key=lambda v: v.span)
        self.starts = [v.span[0] for v in self.arrays]
        self.ends = list(accumulate((v.span[1] for v in self.arrays), max))  # the furthest up to each
        self.furthest = [0] * len(self.arrays)
        ranges = [(0, len(self.arrays))]
        for low, high in ranges:  # parents before their children
            if high - low > 1:
                middle = (low + high) // 2
                ranges += [(low, middle), (middle + 1, high)]
        for low, high in reversed(ranges):
            if low < high:
                middle = (low + high) // 2
                left = self.furthest[(low + middle) // 2] if low < middle else 0
                right = self.furthest[(middle + 1 + high) // 2] if middle + 1 < high else 0
                self.furthest[middle] = max(self.arrays[middle].span[1], left, right)

    def overlapping(self, v: Var) -> list[Var]:
        """The arrays that share memory with v, those of the same span and v itself among them."""
        start, end = v.span
        found: list[Var] = []
        until = bisect_left(self.starts, end)  # arrays from here on begin behind v
        ranges = [(0, len(self.arrays))]
        while ranges:
            low, high = ranges.pop()
            if low >= min(high, until):
                continue
            middle = (low + high) // 2
            if self.furthest[middle] <= start:
                continue
            if middle < until and self.arrays[middle].span[1] > start:
                found.append(self.arrays[middle])
            ranges += [(low, middle), (middle + 1, high)]
        return found

    def sharing(self) -> set[Var]:
        """Those of the arrays that share memory with another one of them."""
        found: set[Var] = set()
        before: Var | None = None  # of those so far, the one that ends last
        for v in self.arrays:
            if before is not None and v.overlaps(before):
                found |= {before, v}
            if before is None or v.span[1] > before.span[1]:
                before = v
        return found

    def overlap(self, v: Var) -> bool:
        """Whether any of the arrays shares memory with v, in a time that does not grow with how many do."""
        before = bisect_left(self.starts, v.span[1])
        return bool(before) and self.ends[before - 1] > v.span[0]


@dataclass
class Stretch:
    """Memory that arrays cover without a gap, up to `end`: trees of them, each of which is larger than the next."""

    end: int
    trees: list[Spans]

    def add(self, v: Var) -> None:
        arrays = [v]
        while self.trees and len(self.trees[-1].arrays) <= len(arrays):
            arrays += self.trees.pop().arrays
        self.trees.append(Spans(arrays))
        self.end = max(self.end, v.span[1])


class GrowingSpans:
    """The same for arrays that are met one by one. Most share memory with no other, and are a stretch of their own."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.stretches: list[Stretch] = []  # one behind the other

    def touched(self, v: Var) -> slice:
        """Those of the stretches in which v has memory."""
        start, end = v.span
        first = bisect_right(self.starts, start)
        if first and self.stretches[first - 1].end > start:
            first -= 1
        return slice(first, max(first, bisect_left(self.starts, end)))

    def add(self, v: Var) -> None:
        at = self.touched(v)
        found = self.stretches[at]
        start = min([v.span[0], *self.starts[at]])
        if len(found) != 1:
            arrays = [array for stretch in found for tree in stretch.trees for array in tree.arrays]
            ends = [stretch.end for stretch in found]
            found = [Stretch(max(ends, default=0), [Spans(arrays)] if arrays else [])]
        found[0].add(v)
        self.starts[at], self.stretches[at] = [start], found

    def overlapping(self, v: Var) -> list[Var]:
        trees = [tree for stretch in self.stretches[self.touched(v)] for tree in stretch.trees]
        return [found for tree in trees for found in tree.overlapping(v)]
