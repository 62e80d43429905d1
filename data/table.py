"""A CSV file as columns of text, and the built-in data set in the same form."""

import csv
import importlib.util
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

DELIMITERS = ",;\t|"


class TableError(ValueError):
    """A table cannot be used as asked: the message, one line, says what is wrong and what to do."""


class Column(NamedTuple):
    """The cells of one column, stripped, with the line of the file each stands on."""

    name: str
    cells: list[str]
    lines: list[int]

    def on(self, rows: list[int], limit: int = 3) -> str:
        """Where in the file these rows are: `line 7`, `lines 7, 9, 12 and 4 more`."""
        shown = ", ".join(str(self.lines[i]) for i in rows[:limit])
        return f"line{'s' * (len(rows) > 1)} {shown}" + (
            f" and {len(rows) - limit} more" * (len(rows) > limit)
        )

    def take(self, rows: list[int]) -> "Column":
        return Column(self.name, [self.cells[i] for i in rows], [self.lines[i] for i in rows])


@dataclass(frozen=True)
class Table:
    title: str
    columns: dict[str, Column]
    rows: int

    def column(self, name: str) -> Column:
        """Raises TableError with the names that come near."""
        if name not in self.columns:
            near = get_close_matches(name, self.columns, n=3, cutoff=0.5)
            hint = (
                f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has {listed(self.columns)}"
            )
            raise TableError(f"{self.title} has no column {name!r}: {hint}")
        return self.columns[name]


def listed(names: object, limit: int = 8) -> str:
    """`'a', 'b', 'c' and 4 more`."""
    quoted = [repr(str(name)) for name in names]  # type: ignore[attr-defined]
    return ", ".join(quoted[:limit]) + (f" and {len(quoted) - limit} more" if len(quoted) > limit else "")


def read_csv(path: str | Path) -> Table:
    """Read a CSV file: UTF-8, a header line, commas (or semicolons, tabs, bars, where the header has no comma).

    Raises TableError for a file that is missing, empty, ragged, not text, or that has a header and no rows.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            delimiter = next((d for d in DELIMITERS if d in head), ",")
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            header = [name.strip() for name in next(reader, [])]
            rows, lines = [], []
            for row in reader:
                if len(row) == len(header):
                    rows.append(row)
                    lines.append(reader.line_num)
                elif row:
                    raise TableError(
                        f"{path}, line {reader.line_num}: {len(row)} fields where the header has {len(header)}: "
                        "quote fields that hold the delimiter, and give every row the same number of fields"
                    )
    except FileNotFoundError:
        raise TableError(f"{path}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path} is not UTF-8 text (byte 0x{error.object[error.start]:02x}): save it as CSV in UTF-8"
        ) from None
    except csv.Error as error:
        raise TableError(f"{path} cannot be read as CSV: {error}") from None
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror}") from None
    if not any(header):
        raise TableError(f"{path} is empty: it needs a header line with column names, and rows")
    if not rows:
        raise TableError(f"{path} has a header ({listed(header)}) and no rows")
    header = [name or f"column {i}" for i, name in enumerate(header, start=1)]
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise TableError(f"{path}: the header names {listed(twice)} twice: give every column its own name")
    return make_table(str(path), header, rows, lines)


def make_table(title: str, header: list[str], rows: list[list[str]], lines: list[int]) -> Table:
    columns = {
        name: Column(name, [cell.strip() for cell in cells], lines) for name, cells in zip(header, zip(*rows))
    }
    return Table(title, columns, len(rows))


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
    cells = [[*row[:-1], classes[int(row[-1])]] for row in rows]
    return make_table("Wisconsin breast cancer", [*FEATURES, "diagnosis"], cells, [*range(2, len(rows) + 2)])
