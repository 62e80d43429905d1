"""Which captured arrays of a program share memory, found without comparing each with each."""

from bisect import bisect_left
from collections.abc import Iterable

from tapegrad.compiler.ir.program import Var


class Spans:
    """Captured arrays, sorted by where their memory begins: a search tree over the spans of bytes.

    Node i of the tree is the array in the middle of a range of the sorted list. Both halves of the range are its
    children, and `furthest[i]` is the last byte that any array of the range reaches.
    """

    def __init__(self, arrays: Iterable[Var]) -> None:
        self.arrays = sorted(dict.fromkeys(arrays), key=lambda v: v.span)
        self.starts = [v.span[0] for v in self.arrays]
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

    def overlap(self, v: Var) -> bool:
        """Whether any of the arrays shares memory with v."""
        return bool(self.overlapping(v))
