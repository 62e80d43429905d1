"""A table as columns of numbers or of text, each cell with the line of the file it stands on."""

import csv
import importlib.util
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import numpy as np

from tapegrad.autograd.arguments import shortened


class TableError(ValueError):
    """A table cannot be used as asked: the message, one line, says what is wrong and what to do."""


# Row numbers to the lines of the file that these rows end on.
Lines = Callable[[Sequence[int]], list[int]]


@dataclass(frozen=True)
class Column:
    """One column. Of numbers: `values` float64, NaN where a cell is empty, and `texts` None. Of text: `values` int64,
    each cell's place in `texts`, the different texts of the column, or -1 where a cell is empty."""

    name: str
    values: np.ndarray
    texts: list[str] | None
    lines: Lines

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def empty(self) -> np.ndarray:
        """bool, (rows,): where a cell is empty. Kept, and not to be written to."""
        return np.isnan(self.values) if self.texts is None else self.values < 0

    @property
    def cells(self) -> list[str]:
        """Every cell as text, "" where it is empty."""
        if self.texts is None:
            return ["" if np.isnan(v) else repr(float(v)).removesuffix(".0") for v in self.values]
        texts = [*self.texts, ""]  # code -1 is the last
        return [texts[code] for code in self.values]

    def counts(self) -> np.ndarray:
        """Of a column of text: how often each of `texts` occurs."""
        assert self.texts is not None
        there = self.values[~self.empty] if self.empty.any() else self.values
        return np.bincount(there, minlength=len(self.texts))

    def on(self, rows: Sequence[int] | np.ndarray, limit: int = 3) -> str:
        """Where in the file these rows are: `line 7`, `lines 7, 9, 12 and 4 more`."""
        shown = ", ".join(map(str, self.lines([int(row) for row in rows[:limit]])))
        return f"line{'s' * (len(rows) > 1)} {shown}" + (
            f" and {len(rows) - limit} more" * (len(rows) > limit)
        )

    def take(self, rows: np.ndarray) -> "Column":
        return Column(self.name, self.values[rows], self.texts, self.lines_of(rows))

    def without(self, words: Collection[str]) -> "Column":
        if self.texts is None:
            numbers = [float(word) for word in words if is_float(word)]
            values = np.where(np.isin(self.values, numbers), np.nan, self.values)
        else:
            named = np.array([text in words for text in self.texts] + [False])
            values = np.where(named[self.values], -1, self.values)
        return Column(self.name, values, self.texts, self.lines)

    def lines_of(self, rows: np.ndarray) -> Lines:
        return lambda some: self.lines([int(rows[i]) for i in some])


@dataclass(frozen=True)
class Table:
    """`notes` tells how the file was read; `twice` are names that the header gives more than one column; `header` is
    False where the columns are numbered; `delimiter` separates the cells."""

    title: str
    columns: dict[str, Column]
    rows: int
    notes: list[str] = field(default_factory=list)
    twice: frozenset[str] = frozenset()
    header: bool = True
    delimiter: str = ","

    def column(self, name: str) -> Column:
        """Raises TableError with the names that come near."""
        return self.columns[self.name_of(name)]

    def name_of(self, name: str) -> str:
        """The column that a user means: by its name, or where there is no header by its number."""
        wanted = asked_name(name, self.header)
        if wanted in self.twice:
            raise TableError(
                f"{self.title}: the header names {wanted!r} twice: give every column its own name"
            )
        if wanted not in self.columns:
            near = get_close_matches(wanted, self.columns, n=3, cutoff=0.5)
            hint = (
                f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has {listed(self.columns)}"
            )
            if len(self.columns) == 1 and len(parts := re.split(r"[\s:~^]+", next(iter(self.columns)))) > 1:
                hint = (
                    f"it has the one column {next(iter(self.columns))!r}: commas, semicolons, tabs or bars separate "
                    f"cells here. If these are the {len(parts)} columns {listed(parts)}, write "
                    "pandas.read_csv(path, sep=…).to_csv(new, index=False), with sep=r'\\s+' for spaces"
                )
            raise TableError(f"{self.title} has no column {wanted!r}: {hint}")
        return wanted

    def without(self, words: Collection[str]) -> "Table":
        """The table with the cells empty that hold one of these words, or numbers."""
        if not words:
            return self
        columns = {name: column.without(words) for name, column in self.columns.items()}
        return replace(self, columns=columns)

    def take(self, rows: np.ndarray) -> "Table":
        """The table of these rows alone."""
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        return replace(self, columns=columns, rows=len(rows))


def asked_name(name: str, header: bool) -> str:
    """The name of a column as it stands in a Table."""
    name = unicodedata.normalize("NFC", name).strip()
    return f"column {name}" if not header and name.isdigit() else name


def listed(names: Iterable[object], limit: int = 8) -> str:
    """`'a', 'b', 'c' and 4 more`."""
    return shortened([repr(str(name)) for name in names], limit)


def number_text(value: float) -> str:
    """A number as a person writes it: 5, 1.426, 1e+30."""
    return str(int(value)) if value % 1 == 0 and abs(value) < 1e15 else f"{value:.12g}"


def is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


MEASURES = (
    *("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points"),
    *("symmetry", "fractal dimension"),
)
FEATURES = (
    [f"mean {m}" for m in MEASURES] + [f"{m} error" for m in MEASURES] + [f"worst {m}" for m in MEASURES]
)


def breast_cancer() -> Table:
    """The Wisconsin breast cancer data, 569 x 30 and the column 'diagnosis', from the file scikit-learn ships.

    The file is read where it lies, because importing scikit-learn takes longer than the training.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise TableError("the built-in data set comes with scikit-learn: pip install scikit-learn")
    path = Path(package.submodule_search_locations[0], "datasets", "data", "breast_cancer.csv")
    with open(path, newline="", encoding="utf-8") as file:
        (_, _, *classes), *rows = csv.reader(file)

    def lines(some: Sequence[int]) -> list[int]:
        return [row + 2 for row in some]

    numbers = np.array(rows, np.float64)
    columns = {name: Column(name, numbers[:, i], None, lines) for i, name in enumerate(FEATURES)}
    columns["diagnosis"] = Column("diagnosis", numbers[:, -1].astype(np.int64), classes, lines)
    return Table("Wisconsin breast cancer", columns, len(rows))
