"""From a table and the options of a command to numbers, with everything said that the user should know."""

import argparse
import csv
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tapegrad.autograd.arguments import shortened
from tapegrad.autograd.diagnostics import plural
from tapegrad.cli.arguments import Mistake
from tapegrad.data.aliases import PlainData
from tapegrad.data.features import FeatureEncoder
from tapegrad.data.reading import read_csv
from tapegrad.data.table import Column, Table, breast_cancer, listed
from tapegrad.data.target import TargetEncoder, split_rows, usable_rows

MIN_ROWS = 10
TEST_SIZE = 0.2


@dataclass
class Prepared:
    """A table with its target read. `names` are the columns to learn from; rows without a target are gone."""

    table: Table
    target: TargetEncoder
    names: list[str]
    keep: list[str]
    day_first: bool
    missing: tuple[str, ...]
    all_names: list[str]
    notes: list[str] = field(default_factory=list)

    def features(self, rows: np.ndarray) -> FeatureEncoder:
        """The encoder that these rows teach."""
        column = self.table.columns[self.target.name]
        if self.target.classes is None:
            column = Column(column.name, self.target.numbers(column), None, column.lines)
        return FeatureEncoder().fit(self.table, self.names, rows, column, self.keep, self.day_first)

    def labels(self) -> np.ndarray:
        """Class numbers, or the target's own numbers."""
        column = self.table.columns[self.target.name]
        return self.target.numbers(column) if self.target.classes is None else self.target.encode(column)

    def split(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """(training rows, test rows); what is to be said of them goes to `notes`."""
        train, test, notes = split_rows(self.labels(), self.target.classes, TEST_SIZE, seed)
        self.notes += notes
        return train, test

    def state(self, features: FeatureEncoder) -> PlainData:
        """All that a prediction needs to know of tables, as plain data."""
        return {
            "features": features.columns,
            "target": self.target.state(),
            "data": self.table.title,
            "missing": list(self.missing),
            "header": self.table.header,
            "columns": self.all_names,
        }


def read_table(options: argparse.Namespace) -> Prepared:
    """Read the table that the options name. TableError or Mistake where it cannot be learned from."""
    if options.data is None:
        table, name = breast_cancer(), "diagnosis"
    else:
        # The target as it is written: 007 and 1e5 may be names of classes.
        table = read_csv(
            options.data,
            header=not options.no_header,
            encoding=options.encoding,
            as_text=[options.target] if options.target else [],
        )
        if not options.target:
            raise Mistake(
                f"name the column to predict with --target; {table.title} has {listed(table.columns)}"
            )
        name = table.name_of(options.target)
    all_names = list(table.columns)
    unused = [word for word in options.missing if stands_nowhere(table, word)]
    table = table.without(options.missing)
    dropped = columns_named(table, options.drop)
    if name in dropped:
        raise Mistake(f"--drop {name!r}: this is the target")
    keep = columns_named(table, options.keep)
    if both := [name for name in keep if name in dropped]:
        raise Mistake(f"--keep and --drop both name {listed(both)}: leave one away")
    if table.rows < MIN_ROWS:
        raise Mistake(
            f"{table.title} has {plural(table.rows, 'row')}, and at least {MIN_ROWS} are needed to train and to test"
        )
    target = TargetEncoder()
    target.read(table.columns[name], options.task, table.delimiter)
    rows, notes = usable_rows(table, table.columns[name])
    if len(rows) < table.rows:
        table = table.take(rows)
    if table.rows < MIN_ROWS:
        raise Mistake(
            f"{plural(table.rows, 'row')} of {table.title} with {name!r}: at least {MIN_ROWS} are needed"
        )
    names = [n for n in table.columns if n != name and n not in dropped]
    notes = [*table.notes, *notes, *(f"target {name!r}: {note}" for note in target.notes)]
    if name in keep:
        notes.append(f"--keep {name!r}: this is the target, and no column to learn from")
    notes += [f"--missing {word}: no cell holds it; upper and lower case count" for word in unused]
    return Prepared(table, target, names, keep, options.day_first, tuple(options.missing), all_names, notes)


def stands_nowhere(table: Table, word: str) -> bool:
    """Whether no cell holds a word that --missing names."""
    columns = table.columns.values()
    return all(np.array_equal(column.empty, column.without([word]).empty) for column in columns)


def columns_named(table: Table, given: Sequence[str]) -> list[str]:
    """The columns that --drop or --keep names, separated by commas, which may be part of a name."""
    found: list[str] = []
    for text in given:
        if unicodedata.normalize("NFC", text).strip() in table.columns:
            found.append(table.name_of(text))
            continue
        parts = next(csv.reader([text], skipinitialspace=True))
        while parts:
            # The longest run of parts that is a name.
            for length in range(len(parts), 0, -1):
                for joined in (",".join(parts[:length]), ", ".join(parts[:length])):
                    if length == 1 or unicodedata.normalize("NFC", joined).strip() in table.columns:
                        found.append(table.name_of(joined))
                        break
                else:
                    continue
                del parts[:length]
                break
    return found


def described_target(target: TargetEncoder, labels: np.ndarray) -> str:
    if target.classes is None:
        return f"numbers from {labels.min():.10g} to {labels.max():.10g} (for classes: --task classification)"
    counts = [f"{printable(name)} ({int((labels == i).sum())})" for i, name in enumerate(target.classes)]
    shown = shortened(counts, 6)
    hint = " (for numbers: --task regression)" if target.whole and len(counts) > 2 else ""
    return f"{len(counts)} classes, {shown}{hint}"


def printable(text: str) -> str:
    """A text of the user's file for a terminal: escape sequences are shown, not obeyed."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def plan_table(features: FeatureEncoder) -> list[str]:
    """The lines of --dry-run: each column, its kind, what is done with it, and what else there is to say."""
    rows = [["column", "kind", "what is done"]]
    rows += [[printable(plan.name), plan.kind, plan.done] for plan in features.plans]
    widths = [min(40, max(len(row[i]) for row in rows)) for i in range(2)]
    lines = []
    notes = [[], *(plan.notes for plan in features.plans)]
    for row, extra in zip(rows, notes):
        lines.append(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}")
        lines += [" " * (widths[0] + widths[1] + 4) + note for note in extra]
    return lines
