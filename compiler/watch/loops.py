"""The lines of a check, with those of repeated layers as loops: less to compile, and what runs stays in the cache.

for v0, v1 in t345:
    o14 = o7[v0]
    if not (type(o14) is k36): return
    o16 = o14.__dict__['kernel']
    if not (o16 is v1): return
    ...
"""

import re
from collections.abc import Sequence
from typing import Any

from tapegrad.compiler.repeats import NAME, Repeat, filled, find_repeats

FEWEST = 4  # turns of a loop
LEAST_SAVED = 8  # lines that it replaces, beyond those inside
LOCAL = re.compile(r"o\d+")  # assigned by one line, "o1 = ...", before others use it
ELEMENT = re.compile(r"o\d+ = o\d+\[\d+\]")
# Locals, values, arrays and whole numbers, but for those in strings, which are names of attributes and keys.
HOLE = re.compile(r"""(?<![\w.'"])(?:[bkos]\d+(?![\w'"])|\d+(?![\w.'"]))""")
PLAIN_STRING = re.compile(r"'[\w.]*'")

Table = list[tuple[str, ...]]  # for each variable of a loop what it stands for at each turn


def with_loops(lines: Sequence[str], tables: dict[str, Table]) -> list[str]:
    """The lines, with loops. What varies from turn to turn, names of values and numbers, goes into new tables."""
    assigned = {found[0]: at for at, text in enumerate(lines) if (found := LOCAL.match(text))}
    split = [in_parts(text) for text in lines]
    last_use = {name: at for at, (_, names) in enumerate(split) for name in names}
    numbers: dict[str, int] = {}
    kinds = [numbers.setdefault(template, len(numbers)) for template, _ in split]
    begins = [rank(text) for text in lines]
    new: list[str] = []
    at = 0
    for repeat in find_repeats(kinds, begins, FEWEST, LEAST_SAVED):
        loop = Loop(repeat, split, assigned)
        kept = all(last_use[name] < loop.end_of_turn(line) for name, line in loop.inside.items())
        if kept and (text := loop.text(tables)) is not None:
            new += [*lines[at : repeat.start], *text]
            at = repeat.stop
    return [*new, *lines[at:]]


def in_parts(text: str) -> tuple[str, tuple[str, ...]]:
    """(what lines of two layers have in common, what stands in its holes)"""
    if "'" in text or '"' in text:
        rest = PLAIN_STRING.sub("", text)
        if "'" in rest or '"' in rest:  # a string that could hold anything
            return text, ()
    return HOLE.sub(NAME, text), tuple(HOLE.findall(text))


def rank(text: str) -> int:
    """How well a turn begins with this line: best with one that fetches an element of a list, a layer."""
    return 2 if ELEMENT.fullmatch(text) else int(LOCAL.match(text) is not None)


class Loop:
    """A repeat of lines, each split into its template and what stands in the holes.

    inside    the locals that its lines assign, and by which line
    """

    def __init__(
        self, repeat: Repeat, split: Sequence[tuple[str, tuple[str, ...]]], assigned: dict[str, int]
    ) -> None:
        self.repeat, self.split = repeat, split
        here = range(repeat.start, repeat.stop)
        self.inside = {name: at for name, at in assigned.items() if at in here}

    def end_of_turn(self, line: int) -> int:
        start, period = self.repeat.start, self.repeat.period
        return start + ((line - start) // period + 1) * period

    def text(self, tables: dict[str, Table]) -> list[str] | None:
        """The loop and its table; None where a turn uses what another one assigns."""
        variables: dict[tuple[str, ...], str] = {}
        body = []
        for offset in range(self.repeat.period):
            turns = [self.split[at] for at in self.repeat.positions(offset)]
            texts = []
            for column in zip(*(names for _, names in turns)):
                if all(name == column[0] for name in column):
                    texts.append(column[0])
                elif not any(map(LOCAL.fullmatch, column)):
                    texts.append(variables.setdefault(column, f"v{len(variables)}"))
                elif self.of_each_turn(column):
                    texts.append(column[0])
                else:
                    return None
            body.append(f" {filled(turns[0][0], texts)}")
        return [self.head(variables, tables), *body]

    def of_each_turn(self, column: tuple[str, ...]) -> bool:
        """Whether each of these locals is assigned in the turn that uses it."""
        start, period = self.repeat.start, self.repeat.period
        return all(
            name in self.inside and (self.inside[name] - start) // period == turn
            for turn, name in enumerate(column)
        )

    def head(self, variables: dict[tuple[str, ...], str], tables: dict[str, Table]) -> str:
        """The first line; what it goes through is put among the tables."""
        if not variables:
            return f"for _ in range({self.repeat.count}):"
        tables[table := f"t{len(tables)}"] = list(variables)
        return f"for {', '.join(variables.values())} in {table}:"


def rows(table: Table, values: dict[str, object]) -> list[Any]:
    """What a loop goes through."""
    columns = [[int(name) if name.isdigit() else values[name] for name in column] for column in table]
    return columns[0] if len(columns) == 1 else list(zip(*columns))
