"""What a program does, by the user's modules and lines: a table, with the rows of repeated layers and steps folded."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Program
from tapegrad.compiler.repeats import find_repeats

WIDEST = 72  # columns of a line of the user's


@dataclass
class Row:
    """Operations that follow each other and come from one line, run by one module."""

    module: str
    line: str
    operations: int = 0
    nbytes: int = 0

    def add(self, op: Op) -> None:
        """Count what the passes count: views compute nothing, and a write makes no array."""
        if op.kind is not Kind.VIEW:
            self.operations += 1
            self.nbytes += op.out.nbytes if op.kind is not Kind.WRITE else 0

    @property
    def kind(self) -> tuple[str, str, int, int]:
        """What the rows of two layers, or time steps, have in common."""
        return re.sub(r"\d+", "#", self.module), self.line, self.operations, self.nbytes


def rows_of(program: Program) -> list[Row]:
    rows: list[Row] = []
    for op in program.ops:
        module, line = op.origin.module, op.origin.line
        if not rows or (line, module) not in ((rows[-1].line, rows[-1].module), ("", "")):
            rows.append(Row(module, line))
        rows[-1].add(op)
    return [row for row in rows if row.operations]


def by_line(program: Program) -> list[str]:
    """The table, line by line: operations that compute, bytes of the arrays they make, how often, where from."""
    rows = rows_of(program)
    numbers: dict[object, int] = {}
    kinds = [numbers.setdefault(row.kind, len(numbers)) for row in rows]
    alike: list[list[Row]] = []
    at = 0
    for repeat in find_repeats(kinds, [0] * len(rows), fewest=2, least_saved=1):
        alike += [[row] for row in rows[at : repeat.start]]
        alike += [[rows[k] for k in repeat.positions(offset)] for offset in range(repeat.period)]
        at = repeat.stop
    alike += [[row] for row in rows[at:]]
    repeated = any(len(rows) > 1 for rows in alike)
    times = f" {'times':>7}" if repeated else ""
    head = f"{'operations':>10} {'bytes made':>12}{times}  by line of yours"
    return [head, *(text_of(rows, repeated) for rows in alike)]


def text_of(rows: Sequence[Row], repeated: bool) -> str:
    """One row of the table, for rows of the same kind: the counts are those of each. repeated: some row has several."""
    first, last = rows[0], rows[-1]
    modules = " to ".join(dict.fromkeys([first.module, last.module]))
    where = ": ".join(filter(None, (modules, cut_to_width(first.line)))) or "[no line of yours]"
    times = f" {times_text(len(rows)):>7}" if repeated else ""
    return f"{first.operations:10d} {first.nbytes:12,d}{times}  {where}"


def times_text(count: int) -> str:
    """How often a row stands for the same: nothing for once."""
    return f"x {count}" if count > 1 else ""


def cut_to_width(line: str) -> str:
    return line if len(line) <= WIDEST else f"{line[: WIDEST - 1]}…"
