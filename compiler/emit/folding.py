"""Repeated lines of a program as loops: the layers of a deep network, the time steps of a recurrence.

    # 50 times: rnn.py:12: h = tg.tanh(x @ w + h @ u)
    for matmul_i, tanh_i, h_i in loop_1:
        matmul(h_i, u, out=matmul_i)
        ...

The loop runs the same calls on the same arrays in the same order as the lines did, so the bits are the same. What an
array is at each turn stands in a table that is made when the step is built. An array that is made at each call has one
name at all turns, where no two are needed at a time; else it is an element of a list.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tapegrad.compiler.emit.tables import Tables
from tapegrad.compiler.ir.program import Op, Origin
from tapegrad.compiler.repeats import HOLES, NAME, Repeat, Templates, filled, find_repeats, substituted

FEWEST = 4  # turns of a loop
LEAST_SAVED = 8  # lines that it replaces, beyond those inside


@dataclass
class Line:
    """A line that runs at each call, and the operations that it carries out: those of all turns, in a loop.

    lead     "50 times", of the head of a loop
    """

    text: str
    ops: list[Op]
    lead: str = ""
    origins: list[Origin] = field(default_factory=list)  # of all turns, where they differ
    quiet: bool = False  # whether it needs no word on what it makes

    def assigned(self) -> list[str]:
        """The names that the line gives to what it makes, or goes through."""
        text = self.text.lstrip()
        if text.startswith("for "):
            return text.removeprefix("for ").partition(" in ")[0].split(", ")
        name = text.partition(" = ")[0]
        return [name] if name.isidentifier() else []


@dataclass
class Body:
    """What a module consists of, as names and expressions."""

    definitions: dict[str, str]  # made when the step is built
    lines: list[Line]
    results: list[str]
    gradients: list[str]
    lists: dict[str, Sequence[str]] = field(default_factory=dict)  # of definitions -> those it makes


class Classes:
    """Names that stand at the same place in several turns, joined to groups."""

    def __init__(self) -> None:
        self.parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        path = []
        while (above := self.parent.setdefault(name, name)) != name:
            path.append(name)
            name = above
        for passed in path:
            self.parent[passed] = name
        return name

    def join(self, names: Iterable[str]) -> bool:
        """Put these into one group; whether that is news."""
        roots = list(dict.fromkeys(map(self.find, names)))
        for other in roots[1:]:
            self.parent[other] = roots[0]
        return len(roots) > 1

    def groups(self) -> list[list[str]]:
        """The members of each group, in the order in which they were first named."""
        found: dict[str, list[str]] = {}
        for name in list(self.parent):
            found.setdefault(self.find(name), []).append(name)
        return list(found.values())


@dataclass(eq=False)
class Loop:
    """A repeat, and what changes from turn to turn: for each varying column of values the name of its variable."""

    repeat: Repeat
    lines: list[tuple[str, list[tuple[str, ...]]]]  # of one turn: a template, and the columns in its holes
    variables: dict[tuple[str, ...], str] = field(default_factory=dict)

    def columns(self) -> dict[tuple[str, ...], None]:
        """What varies, once each."""
        return {c: None for _, columns in self.lines for c in columns if any(v != c[0] for v in c)}


class Folding:
    """Turns a body into one with loops.

    outside    names of arrays that are there before the step is built
    arguments  names of those that are given at each call
    opaque     names of constants
    """

    def __init__(
        self, body: Body, outside: Iterable[str], arguments: Iterable[str], opaque: Iterable[str]
    ) -> None:
        self.body, self.arguments, self.opaque = body, list(arguments), frozenset(opaque)
        self.steady = {*body.definitions, *outside}
        per_call = {name for line in body.lines for name in line.assigned()}
        self.names = {*self.steady, *self.arguments, *per_call}
        self.taken = set(self.names)
        self.variables: set[str] = set()  # of all loops: two loops may use the same
        self.templates = Templates(self.names)
        self.classes = Classes()
        self.replaced: dict[str, str] = {}  # a name of each call -> what stands for it
        self.in_list: dict[str, tuple[str, int]] = {}  # a name of each call -> its list, and where
        self.spoken: dict[str, str] = {}  # a buffer -> what was last put into it

    def unique(self, name: str) -> str:
        self.taken.add(found := unused(name, self.taken, self.variables))
        return found

    def folded(self) -> Body:
        lines = self.body.lines
        if len(lines) < FEWEST * 2:
            return self.body
        loops = [loop for repeat in self.repeats() if (loop := self.loop(repeat)) is not None]
        if not loops:
            return self.body
        for loop in loops:
            for column in loop.columns():
                if not column[0].isdigit():
                    self.classes.join(column)
        self.join_definitions()
        steady: list[list[str]] = []
        per_call: list[list[str]] = []
        for members in self.classes.groups():
            if len(members) > 1:
                (steady if self.steady.issuperset(members) else per_call).append(members)
        before = self.name_per_call(per_call)
        groups = {self.unique(f"{stem(members[0])}_all"): members for members in steady}
        tables = Tables(self.body.definitions, self.opaque, groups, self.templates, self.unique)
        new, heads = self.with_loops(loops)
        return self.assembled(before + new, heads, tables)

    # ---- what repeats ----
    def repeats(self) -> list[Repeat]:
        numbers: dict[object, int] = {}
        kinds, breaks = [], []
        last = None
        for line in self.body.lines:
            out = line.ops[0].out
            key = (self.templates.split(line.text)[0], out.shape, out.dtype)
            kinds.append(numbers.setdefault(key, len(numbers)))
            breaks.append(-1 if line.text[:1] == " " else rank(line.ops[0].origin, last))
            last = line.ops[0].origin
        return find_repeats(kinds, breaks, FEWEST, LEAST_SAVED)

    def loop(self, repeat: Repeat) -> Loop | None:
        """The turns of a repeat in which each place has arrays of one kind: those that stay, or those of each call. A
        first step that begins with an argument remains by itself."""
        found = []
        for offset in range(repeat.period):
            split = [self.templates.split(self.body.lines[at].text) for at in repeat.positions(offset)]
            found.append((split[0][0], list(zip(*(values for _, values in split)))))
        kinds = [tuple(map(self.steady.__contains__, c)) for _, columns in found for c in columns]
        cuts = [0, *sorted({at for kind in set(kinds) for at in changes(kind)}), repeat.count]
        start, stop = max(pairwise(cuts), key=lambda part: part[1] - part[0])
        if stop - start < FEWEST or (stop - start - 1) * repeat.period < LEAST_SAVED:
            return None
        part = Repeat(repeat.start + start * repeat.period, repeat.period, stop - start)
        return Loop(part, [(template, [c[start:stop] for c in columns]) for template, columns in found])

    def join_definitions(self) -> None:
        """What is made from the members of a group in the same way is made from a group, too."""
        news = True
        while news:
            news = False
            for members in self.classes.groups():
                texts = [self.body.definitions.get(m) for m in members]
                if len(members) < FEWEST or None in texts or not self.opaque.isdisjoint(members):
                    continue
                split = [self.templates.split(text) for text in texts if text is not None]
                if len({template for template, _ in split}) > 1:
                    continue
                for column in zip(*(values for _, values in split)):
                    if not column[0].isdigit() and len(set(column)) > 1:
                        news |= self.classes.join(column)

    # ---- names of each call ----
    def name_per_call(self, groups: list[list[str]]) -> list[Line]:
        """One name for each group of arrays that are made at each call, or a list where several are needed at a time;
        returns the lines that make the lists."""
        number = {name: n for n, members in enumerate(groups) for name in members}
        current: dict[int, str] = {}
        several = {number[name] for name in number if name in self.steady or name in self.arguments}
        first: dict[int, str] = {}
        texts = [(line.text, line.assigned()) for line in self.body.lines]
        for text, assigned in [*texts, *((result, []) for result in self.body.results)]:
            for name in self.templates.split(text)[1]:
                if name in number and name not in assigned and current.get(number[name]) != name:
                    several.add(number[name])
            for name in assigned:
                if name in number:
                    first.setdefault(number[name], name)
                    current[number[name]] = name
        lines = []
        for n, members in enumerate(groups):
            if n not in several:
                self.replaced |= dict.fromkeys(members, first[n])
                continue
            name = self.unique(f"{stem(members[0])}_all")
            self.in_list |= {m: (name, i) for i, m in enumerate(members)}
            self.replaced |= {m: f"{name}[{i}]" for i, m in enumerate(members)}
            given = [m if m in self.steady or m in self.arguments else "None" for m in members]
            whole = f"[None] * {len(members)}" if set(given) == {"None"} else f"[{', '.join(given)}]"
            lines.append(Line(f"{name} = {whole}", []))
        return lines

    # ---- the loops ----
    def with_loops(self, loops: list[Loop]) -> tuple[list[Line], dict[str, list[tuple[str, ...]]]]:
        """(the lines, with loops; the columns of the table of each loop)"""
        new: list[Line] = []
        heads: dict[str, list[tuple[str, ...]]] = {}
        at = 0
        for loop in loops:
            new += map(self.straight, self.body.lines[at : loop.repeat.start])
            self.name_variables(loop)
            given = [c for c in loop.variables if c[0].isdigit() or c[0] in self.steady]
            table = self.unique(f"loop_{len(heads) + 1}") if given else ""
            if given:
                heads[table] = given
            new += self.loop_lines(loop, table)
            at = loop.repeat.stop
        new += map(self.straight, self.body.lines[at:])
        return new, heads

    def straight(self, line: Line) -> Line:
        written = self.written(line.text)
        if written:
            self.spoken[written] = stem(line.ops[0].out.name)
        if self.replaced:
            text = substituted(line.text, lambda name: self.replaced.get(name, name))
            line = Line(text, line.ops, quiet=line.quiet)
        return line

    def written(self, text: str) -> str:
        """The array that a line puts its result into."""
        found = re.search(r"out=([^\W\d]\w*)", text)
        return found[1] if found else ""

    def name_variables(self, loop: Loop) -> None:
        """Names for what varies: an array after the result that it holds at the end of a turn."""
        holds: dict[tuple[str, ...], str] = {}
        here: set[str] = set()
        for offset, (template, columns) in enumerate(loop.lines):
            out = self.body.lines[loop.repeat.start + offset].ops[0].out
            before, found, _ = template.partition(f"out={NAME}")
            if found:
                holds[columns[len(HOLES.findall(before))]] = stem(out.name)
        for column in loop.columns():
            if column[0] in self.in_list:
                column = tuple(str(self.in_list[v][1]) for v in column)
            if column[0] in self.replaced or column in loop.variables or len(set(column)) == 1:
                continue
            if column[0].isdigit():
                name = "i"
            else:
                name = f"{holds.get(column) or self.previous(column, holds)}_i"
            loop.variables[column] = unused(name, self.taken, here)
            here.add(loop.variables[column])
        self.variables |= here
        for column, name in holds.items():
            self.spoken |= dict.fromkeys(column, name)

    def previous(self, column: tuple[str, ...], holds: Mapping[tuple[str, ...], str]) -> str:
        """A name for an array that a loop only reads: it may be what the turn before has made."""
        for other, name in holds.items():
            if column[1:] == other[:-1]:
                return f"last_{name}"
        return self.spoken.get(column[0]) or stem(column[0])

    def loop_lines(self, loop: Loop, table: str) -> list[Line]:
        repeat, lines = loop.repeat, self.body.lines
        ops = [op for line in lines[repeat.start : repeat.stop] for op in line.ops]
        named = {c: name for c, name in loop.variables.items()}
        over = table or f"range({repeat.count})"
        head = Line(f"for {', '.join(named.values()) or '_'} in {over}:", ops, f"{repeat.count} times")
        new = [head]
        for offset, (template, columns) in enumerate(loop.lines):
            same = [lines[at] for at in repeat.positions(offset)]
            texts = [self.in_loop(column, named) for column in columns]
            origins = list(dict.fromkeys(line.ops[0].origin for line in same))
            new.append(
                Line(
                    f"    {filled(template, texts)}",
                    [op for line in same for op in line.ops],
                    "",
                    origins,
                    same[0].quiet,
                )
            )
        head.origins = new[1].origins
        return new

    def in_loop(self, column: tuple[str, ...], named: Mapping[tuple[str, ...], str]) -> str:
        if all(v == column[0] for v in column):
            return self.replaced.get(column[0], column[0])
        if column[0] in self.in_list:
            name, _ = self.in_list[column[0]]
            return f"{name}[{named[tuple(str(self.in_list[v][1]) for v in column)]}]"
        return self.replaced.get(column[0]) or named[column]

    # ---- the whole ----
    def assembled(
        self, lines: list[Line], heads: Mapping[str, Sequence[tuple[str, ...]]], tables: Tables
    ) -> Body:
        """Put the tables in front, with names for members of lists that are also used outside of loops."""
        more: dict[str, str] = {}
        definitions = tables.ordered()
        for line in lines:
            for name in self.templates.split(line.text)[1]:
                if name in tables.unnamed:
                    more.setdefault(name, tables.reference(name))
        results = [substituted(r, lambda name: self.replaced.get(name, name)) for r in self.body.results]
        for text in results:
            more |= {n: tables.reference(n) for n in self.templates.split(text)[1] if n in tables.unnamed}
        for table, columns in heads.items():
            sequences = [tables.sequence(column) for column in columns]
            more[table] = sequences[0] if len(columns) == 1 else f"list(zip({', '.join(sequences)}))"
        gradients = [g if g in more else tables.reference(g) for g in self.body.gradients]
        lists: dict[str, Sequence[str]] = {
            name: [m for m in members if m in tables.unnamed] for name, members in tables.groups.items()
        }
        return Body(definitions | more, lines, results, gradients, lists)


def changes(values: Sequence[bool]) -> list[int]:
    """Where a value is another than the one before."""
    return [at for at in range(1, len(values)) if values[at] is not values[at - 1]]


def unused(name: str, *taken: Collection[str]) -> str:
    """The name, with a number if it is taken."""
    number, found = 1, name
    while any(found in names for names in taken):
        number += 1
        found = f"{name}_{number}"
    return found


def stem(name: str) -> str:
    """What the names of several layers or steps have in common: layers_kernel of layers_0_kernel."""
    return "_".join(part for part in name.split("_") if not part.isdigit()) or "array"


def rank(origin: Origin, before: Origin | None) -> int:
    """How much of a new beginning for a reader it is."""
    if before is None or origin.module != before.module:
        return 3
    return 2 if origin.line != before.line else int(origin.part != before.part)
