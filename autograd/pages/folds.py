"""What of a tape is folded on its page: the calls of a module, and the turns of a loop."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

Item: TypeAlias = "int | Fold"
# The modules that run, outermost first: (label, number of the call).
Path: TypeAlias = tuple[tuple[str, int], ...]
LONGEST = 200  # items of one turn: the search takes time in proportion to this and to the items
FEWEST, LEAST_SAVED = 3, 6  # turns of a loop, and items that folding it saves


@dataclass(frozen=True)
class Fold:
    """Rows that are shown as one until they are asked for.

    kind    "module"; "loop", whose items are its turns; "turn"
    items   numbers of rows, and Folds
    """

    kind: str
    label: str
    items: "list[Item]"

    def data(self) -> list[object]:
        """As JSON has it."""
        return [self.kind[0], self.label, [i if isinstance(i, int) else i.data() for i in self.items]]


def folded(paths: Sequence[Path], kinds: Sequence[Hashable]) -> list[Item]:
    """The rows in their order, with folds.

    paths   for each row the calls of modules that it ran in
    kinds   what a call has in common with that of another turn of a loop; None for a leaf, which is part of the call
            behind it
    """
    roots = {path[0] for path in paths if path}
    depth = 1 if len(roots) == 1 else 0

    def kind_of(item: Item) -> Hashable:
        if isinstance(item, int):
            return kinds[item]
        return (item.label, *(kind for part in item.items if (kind := kind_of(part)) is not None))

    return with_loops(by_module(paths, range(len(paths)), depth), kind_of)


def by_module(paths: Sequence[Path], rows: Sequence[int], depth: int) -> list[Item]:
    """Rows that follow each other and ran in one call of a module, as one item."""
    items: list[Item] = []
    start = 0
    while start < len(rows):
        called = paths[rows[start]][depth] if len(paths[rows[start]]) > depth else None
        stop = start + 1
        while called is not None and stop < len(rows) and paths[rows[stop]][depth : depth + 1] == (called,):
            stop += 1
        if called is not None and stop - start > 1:
            items.append(Fold("module", called[0], by_module(paths, rows[start:stop], depth + 1)))
        else:
            items += rows[start:stop]
        start = stop
    return items


def with_loops(items: list[Item], kind_of: Callable[[Item], Hashable]) -> list[Item]:
    """The items, with those that repeat themselves as turns of a loop, inside of folds as well."""
    units: list[list[Item]] = [[]]  # leaves and what they are for
    numbers: dict[Hashable, int] = {}
    kinds: list[int] = []
    for item in items:
        units[-1].append(
            item if isinstance(item, int) else Fold(item.kind, item.label, with_loops(item.items, kind_of))
        )
        if (kind := kind_of(units[-1][-1])) is not None:
            kinds.append(numbers.setdefault(kind, len(numbers)))
            units.append([])
    return [*fold_runs(units[:-1], np.array(kinds, dtype=np.int64)), *units[-1]]


def fold_runs(units: list[list[Item]], kinds: np.ndarray) -> list[Item]:
    start, period, count = best_run(kinds)
    if not count:
        return [item for unit in units for item in unit]
    stop = start + period * count
    turns: list[Item] = []
    for k in range(start, stop, period):
        only = units[k][0]
        if period == 1 and len(units[k]) == 1 and isinstance(only, Fold):
            turns.append(Fold("turn", only.label, only.items))
        else:
            turns.append(Fold("turn", "", fold_runs(units[k : k + period], kinds[k : k + period])))
    return [
        *fold_runs(units[:start], kinds[:start]),
        Fold("loop", "", turns),
        *fold_runs(units[stop:], kinds[stop:]),
    ]


def best_run(kinds: np.ndarray) -> tuple[int, int, int]:
    """(start, period, count) of the run that saves most items; count 0: none saves enough."""
    best = (0, 0, 0)
    saved = LEAST_SAVED - 1
    for period in range(1, min(LONGEST, len(kinds) // FEWEST) + 1):
        same = kinds[period:] == kinds[:-period]
        if np.count_nonzero(same) < period * (FEWEST - 1):
            continue
        edges = np.flatnonzero(np.concatenate([[True], ~same, [True]]))
        lengths = np.diff(edges) - 1
        k = int(np.argmax(lengths))
        count = int(lengths[k]) // period + 1
        if count >= FEWEST and (count - 1) * period > saved:
            # What is left over belongs to the turn that is cut at the beginning: a loop ends with a whole turn.
            start = int(edges[k]) + int(lengths[k]) % period
            best, saved = (start, period, count), (count - 1) * period
    return best
