"""The arrays of repeated lines as lists, made when the step is built: `kernels = [layers_0_kernel, …]`, and buffers and
views of them by one comprehension each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

from tapegrad.compiler.repeats import PIECE, Templates, filled

SHORTEST = 3  # members of one definition: fewer have a line each
LONGEST_CYCLE = 4  # of members that come in turn


def arithmetic(values: Sequence[int]) -> range | None:
    """The range that these numbers are."""
    if len(values) < 2:
        return range(values[0], values[0] + 1) if len(values) else None
    step = values[1] - values[0]
    steady = step and all(b - a == step for a, b in pairwise(values))
    return range(values[0], values[-1] + (1 if step > 0 else -1), step) if steady else None


def pieces(places: Sequence[tuple[str, int]]) -> Iterator[tuple[int, int, int]]:
    """(start, stop, period) of the pieces of a sequence of places in lists: with period 0, the indices of one list go
    on by one step; else the first `period` places come again and again."""
    start = 0
    while start < len(places):
        stop, period = start + 1, 0
        group, index = places[start]
        step = places[stop][1] - index if stop < len(places) else 0
        if group and step:
            while stop < len(places) and places[stop] == (group, index + step * (stop - start)):
                stop += 1
        for times in range(1, LONGEST_CYCLE + 1):
            end = start + times
            while end < len(places) and places[end] == places[end - times]:
                end += 1
            if end - start >= 2 * times and end - start > max(stop - start, SHORTEST - 1):
                stop, period = end, times
        if stop - start < SHORTEST:
            stop = start + 1
        yield start, stop, period
        start = stop


def sliced(name: str, indices: range, length: int) -> str:
    """These elements of a list of this length."""
    if indices == range(length):
        return name
    start, stop, step = indices.start, indices.stop, indices.step
    end = "" if stop < 0 else str(stop)
    return f"{name}[{start}:{end}]" if step == 1 else f"{name}[{start}:{end}:{step}]"


class Tables:
    """Definitions of a module in which groups of arrays are lists.

    definitions   name -> its expression, in an order in which each finds what it needs
    opaque        names whose expressions are long and hold no other names: constants
    groups        name of a list -> its members; no array is in two
    """

    def __init__(
        self,
        definitions: Mapping[str, str],
        opaque: frozenset[str],
        groups: Mapping[str, Sequence[str]],
        templates: Templates,
        unique: Callable[[str], str],
    ) -> None:
        self.definitions, self.opaque, self.groups = definitions, opaque, groups
        self.templates = templates
        self.group_of = {m: (name, i) for name, members in groups.items() for i, m in enumerate(members)}
        self.each = [unique("each"), *(unique(f"each_{n}") for n in range(2, 10))]
        self.unnamed: set[str] = set()  # members that are made inside a comprehension
        for name in groups:
            self.unnamed |= {m for run in self.runs(name) if len(run) >= SHORTEST for m in run}

    def runs(self, group: str) -> Iterator[list[str]]:
        """The members, those together whose definitions follow one template."""
        run: list[str] = []
        last = None
        for member in self.groups[group]:
            text = None if member in self.opaque else self.definitions.get(member)
            template = None if text is None else self.templates.split(text)[0]
            if run and (template is None or template != last):
                yield run
                run = []
            run.append(member)
            last = template
        if run:
            yield run

    def columns(self, run: Sequence[str]) -> list[tuple[str, ...]]:
        """What stands in each hole of their definitions, for one member after another."""
        return list(zip(*(self.templates.split(self.definitions[m])[1] for m in run)))

    # ---- as text ----
    def reference(self, name: str) -> str:
        if name not in self.unnamed:
            return name
        group, index = self.group_of[name]
        return f"{group}[{index}]"

    def sequence(self, values: Sequence[str]) -> str:
        """An expression for these names, or whole numbers, in this order."""
        number = values[0].isdigit()
        places = [("range", int(v)) if number else self.group_of.get(v, ("", 0)) for v in values]
        named = [place if place[0] else (v, 0) for place, v in zip(places, values)]
        parts = []
        for start, stop, period in pieces(named):
            run = values[start:stop]
            if period:
                parts.append(f"*{self.repeated(run, period)}")
            elif stop - start < SHORTEST or not places[start][0]:
                parts.append(", ".join(map(self.reference, run)))
            else:
                indices = arithmetic([index for _, index in places[start:stop]])
                assert indices is not None
                parts.append(f"*{self.elements(places[start][0], indices)}")
        whole = parts[0].removeprefix("*")
        return whole if len(parts) == 1 and parts[0] != whole else f"[{', '.join(parts)}]"

    def elements(self, group: str, indices: range) -> str:
        if group != "range":
            return sliced(group, indices, len(self.groups[group]))
        step = f", {indices.step}" if indices.step != 1 else ""
        return f"range({indices.start}, {indices.stop}{step})"

    def repeated(self, values: Sequence[str], period: int) -> str:
        """The first few again and again."""
        times = -(-len(values) // period)
        whole = f"[{', '.join(map(self.reference, values[:period]))}] * {times}"
        return whole if times * period == len(values) else f"({whole})[:{len(values)}]"

    def comprehension(self, run: Sequence[str]) -> str:
        template = self.templates.split(self.definitions[run[0]])[0]
        columns = self.columns(run)
        varying = list(dict.fromkeys(c for c in columns if len(set(c)) > 1))
        if len(varying) > len(self.each):
            return f"[{', '.join(self.expression(m) for m in run)}]"
        names = self.each[: len(varying)]
        named = dict(zip(varying, names))
        text = filled(template, [named.get(c) or self.reference(c[0]) for c in columns])
        if not varying:
            return f"[{text} for _ in range({len(run)})]"
        sequences = [self.sequence(c) for c in varying]
        over = sequences[0] if len(varying) == 1 else f"zip({', '.join(sequences)})"
        return f"[{text} for {', '.join(names)} in {over}]"

    def expression(self, name: str) -> str:
        """The definition of one array, which may look into members of lists."""
        text = self.definitions[name]
        if name in self.opaque:
            return text
        template, values = self.templates.split(text)
        return filled(template, [self.reference(v) for v in values])

    def list_text(self, group: str) -> str:
        parts: list[str] = []
        for run in self.runs(group):
            if run[0] in self.unnamed:
                parts.append(f"*{self.comprehension(run)}")
            else:
                parts += run
        if len(parts) == 1 and parts[0].startswith("*"):
            return parts[0][1:]
        return f"[{', '.join(parts)}]"

    # ---- in order ----
    def ordered(self) -> dict[str, str]:
        """All definitions, each after what it needs."""
        while True:
            texts = {name: self.expression(name) for name in self.definitions if name not in self.unnamed}
            texts |= {group: self.list_text(group) for group in self.groups}
            done, left = in_order(texts, self.opaque)
            if not left:
                return done
            # Lists that look into each other: the members of one get names of their own.
            group = next(g for g in self.groups if g in left and self.unnamed.intersection(self.groups[g]))
            self.unnamed.difference_update(self.groups[group])


def in_order(texts: Mapping[str, str], opaque: frozenset[str]) -> tuple[dict[str, str], set[str]]:
    """(definitions, each after those that it names, else in the order given; those that name each other)"""
    place = {name: n for n, name in enumerate(texts)}
    names = list(texts)
    needed: dict[str, int] = {}
    needed_by: dict[str, list[str]] = {}
    for name, text in texts.items():
        found = set() if name in opaque else {m["name"] for m in PIECE.finditer(text)}
        needs = found & place.keys()  # a list of views of its own members needs itself
        needed[name] = len(needs)
        for other in needs:
            needed_by.setdefault(other, []).append(name)
    ready = [place[name] for name, count in needed.items() if not count]
    heapify(ready)
    done: dict[str, str] = {}
    while ready:
        name = names[heappop(ready)]
        done[name] = texts[name]
        for other in needed_by.get(name, ()):
            needed[other] -= 1
            if not needed[other]:
                heappush(ready, place[other])
    return done, texts.keys() - done.keys()
