"""Where a sequence of emitted lines repeats itself: layers of a deep network, time steps of a recurrence."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

# A piece of source: a string, a number, or a name that is neither an attribute nor a keyword of a call.
PIECE = re.compile(
    r"""'[^']*'|"[^"]*"|(?<![\w.])(?P<number>\d[\w.]*(?:(?<=[eE])[+-]\d+)?)"""
    r"""|(?<![\w.])(?P<name>[^\W\d]\w*)(?!\w|=(?!=))"""
)
NAME, NUMBER = "\0", "\1"  # what a template has in place of a name, and of a whole number
HOLES = re.compile(f"[{NAME}{NUMBER}]")
LONGEST = 512  # lines of a repeated group: the search takes time in proportion to this and to the lines


def substituted(text: str, replace: Callable[[str], str]) -> str:
    """The source with each name and each whole number as `replace` gives it."""

    def change(found: re.Match[str]) -> str:
        piece = found[0]
        return replace(piece) if found.lastgroup == "name" or piece.isdigit() else piece

    return PIECE.sub(change, text)


class Templates:
    """Lines without the names of arrays and whole numbers in them: what lines of two layers have in common.

    names    those of arrays; any other name, as that of a function, is part of the template
    """

    def __init__(self, names: Collection[str]) -> None:
        self.names = names
        self.known: dict[str, tuple[str, tuple[str, ...]]] = {}

    def split(self, text: str) -> tuple[str, tuple[str, ...]]:
        """(the line with holes, what stands in them)"""
        known = self.known.get(text)
        if known is None:
            values: list[str] = []
            known = self.known[text] = (substituted(text, partial(self.take, values)), tuple(values))
        return known

    def take(self, values: list[str], piece: str) -> str:
        if piece not in self.names and not piece.isdigit():
            return piece
        values.append(piece)
        return NUMBER if piece.isdigit() else NAME


def filled(template: str, values: Sequence[str]) -> str:
    """The line with these values in its holes."""
    parts = HOLES.split(template)
    return "".join(text for pair in zip(parts, (*values, "")) for text in pair)


@dataclass(frozen=True)
class Repeat:
    """The `count` groups of `period` lines each that begin at `start` have the same templates."""

    start: int
    period: int
    count: int

    @property
    def stop(self) -> int:
        return self.start + self.period * self.count

    def positions(self, offset: int) -> range:
        """Where the lines are that stand at this offset in their group."""
        return range(self.start + offset, self.stop, self.period)


def find_repeats(kinds: Sequence[int], breaks: Sequence[int], fewest: int, least_saved: int) -> list[Repeat]:
    """The repeats that save most lines, none inside another, in order.

    kinds         a number for each line, the same for lines of the same template
    breaks        how good it is to begin a group at each line; below 0: no group begins there
    fewest        how often a group must come
    least_saved   lines that a repeat must save
    """
    array = np.asarray(kinds, dtype=np.int64)
    open_ = np.ones(len(array) + 1, dtype=bool)
    open_[-1] = False
    chosen: list[Repeat] = []
    by_savings = sorted(runs(array, fewest), key=lambda run: (-(run[1] // run[2] - 1) * run[2], run[2]))
    for start, length, period in by_savings:
        for low, high in free_ranges(open_, start, start + length):
            repeat = aligned(low, high, period, breaks)
            if repeat.count >= fewest and (repeat.count - 1) * period >= least_saved:
                open_[repeat.start : repeat.stop] = False
                chosen.append(repeat)
    return sorted(chosen, key=lambda repeat: repeat.start)


def runs(kinds: np.ndarray, fewest: int) -> Iterator[tuple[int, int, int]]:
    """(start, length, period) of the longest runs in which each line is as the one a period before."""
    for period in range(1, min(LONGEST, len(kinds) // max(fewest, 1)) + 1):
        same = kinds[period:] == kinds[:-period]
        needed = period * (fewest - 1)
        if np.count_nonzero(same) < needed:
            continue
        ends = np.flatnonzero(np.concatenate([[True], ~same, [True]]))
        lengths = np.diff(ends) - 1
        for k in np.flatnonzero(lengths >= needed):
            yield int(ends[k]), int(lengths[k]) + period, period


def free_ranges(open_: np.ndarray, start: int, stop: int) -> list[tuple[int, int]]:
    """The ranges between start and stop that no repeat has taken yet."""
    if open_[start:stop].all():
        return [(start, stop)]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], open_[start:stop], [False]])))
    return [(start + int(a), start + int(b)) for a, b in edges.reshape(-1, 2)]


def aligned(start: int, stop: int, period: int, breaks: Sequence[int]) -> Repeat:
    """The repeat within this range whose groups begin where a reader would begin them: at most one group is given up
    for it."""
    most = (stop - start) // period
    choices = []
    for offset in range(min(period, stop - start)):
        count = (stop - start - offset) // period
        end = start + offset + count * period
        if end < len(breaks) and breaks[end] < 0:
            count -= 1
        if breaks[start + offset] >= 0 and count >= most - 1:
            choices.append((breaks[start + offset], count, -offset))
    best = max(choices, default=(0, 0, 0))
    return Repeat(start - best[2], period, best[1])
