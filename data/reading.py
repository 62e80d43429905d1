"""A CSV file as a Table. pandas reads the cells; what it would guess or lose silently is looked at here.

    file -> Layout (encoding, delimiter, names) -> pandas.read_csv -> Column of numbers, or of text

An empty cell is missing and no other is: what a word such as NA means depends on the column (data/kinds.py).
"""

import csv
import mmap
import re
import unicodedata
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad.autograd.diagnostics import plural
from tapegrad.backends.install import install_line
from tapegrad.data.aliases import Frame
from tapegrad.data.layout import AROUND, Layout, find_layout, not_text, plain
from tapegrad.data.table import Column, Lines, Table, TableError, asked_name, is_float, listed

RULE = re.compile(r":?-{2,}:?")
SAMPLE = 20_000  # rows that hold all the texts of most columns
REPEATED = 0.9  # different texts per cell from which on they are hardly repeated
INSTALL = f"reading CSV files needs pandas: {install_line('data')}"


def read_csv(
    path: str | Path,
    *,
    header: bool = True,
    encoding: str | None = None,
    as_text: Collection[str] = (),
    only: Collection[str] | None = None,
) -> Table:
    """Read a CSV file: a header line, then a row per line; commas, semicolons, tabs or bars between the cells.

    header     False: there is no header, and the columns are called 'column 1', 'column 2', …
    encoding   None: UTF-8, or UTF-16 where the file says so
    as_text    columns whose cells are kept as they are written, numbers too
    only       columns to read; None: all

    Raises TableError for a file that is missing, empty, ragged, not text, or that has a header and no rows.
    """
    layout = find_layout(Path(path), header, encoding)
    check_bytes(layout)
    frame = read_frame(layout, as_text, only)
    if not len(frame):
        raise TableError(f"{path} has a header ({listed(layout.names)}) and no rows")
    last = layout.fields - 1
    if layout.fields > 1 and (last not in frame or is_empty(frame[last]).any()):
        check_widths(layout)  # pandas fills up rows that are too short
    rows = len(frame) - trailing_blanks(frame)
    if rows < len(frame):
        layout.notes.append(f"skipped {plural(len(frame) - rows, 'empty row')} at the end")
        frame = frame.iloc[:rows]
    # pandas keeps whole numbers beyond 64 bits as objects of Python.
    great = [i for i, kind in frame.dtypes.items() if kind == np.dtype(object) and is_of_integers(frame[i])]
    frame = frame.astype(dict.fromkeys(great, np.float64)) if great else frame
    lines = line_finder(layout)
    frame, lines, rows = without_repeated_header(layout, frame, lines, rows)
    columns = {}
    for i, name in enumerate(layout.names):
        if i in frame:
            columns[name] = as_column(name, frame[i], lines)
    return Table(str(path), columns, rows, layout.notes, layout.twice, header, layout.delimiter)


def is_of_integers(column: Frame) -> bool:
    return isinstance(next((cell for cell in column if cell == cell), None), int)


def without_repeated_header(
    layout: Layout, frame: Frame, lines: Lines, rows: int
) -> tuple[Frame, Lines, int]:
    """The frame without rows that are the header once more, as joined files have, or a line under it: |---|---|."""
    numbers = [kind.kind in "iufb" for kind in frame.dtypes]
    text = [i for i, number in zip(frame, numbers) if not number]
    of_numbers = (frame[i] for i, number in zip(frame, numbers) if number)
    if not layout.header or len(text) < 2 or any(column.notna().any() for column in of_numbers):
        return frame, lines, rows
    extra = np.ones(rows, bool)
    for i in text:
        extra &= holds(frame[i], layout.names[i])
        if not extra.any():
            break
    first = [str(cell).strip() for cell in frame.iloc[0].dropna()] if rows else []
    if first and all(map(RULE.fullmatch, first)):
        extra[0] = True
    if not extra.any() or extra.all():
        return frame, lines, rows
    there = np.flatnonzero(~extra)
    one = np.flatnonzero(extra)
    column = Column("", np.zeros(rows), None, lines)
    layout.notes.append(f"skipped the header that stands again on {column.on(one)}")
    return frame.iloc[there], column.lines_of(there), len(there)


def holds(column: Frame, text: str) -> np.ndarray:
    """bool, (rows,): where a column of text holds this one."""
    if column.dtype != "category":
        forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
        return column.str.strip(AROUND).isin(forms).to_numpy(bool, na_value=False)
    return np.array([plain(str(t)) == text for t in column.cat.categories] + [False])[column.cat.codes]


def check_bytes(layout: Layout) -> None:
    """TableError for a NUL byte beyond the head, which pandas would take for the end of a cell."""
    if layout.encoding.startswith(("utf-16", "utf-32")):
        return
    with (
        open(layout.path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as contents,
    ):
        if (at := contents.find(b"\0")) >= 0:
            raise TableError(
                f"{layout.path} is no text (byte {at + 1} is NUL): save the table as CSV in UTF-8, or copy the file "
                "again"
            )


def read_frame(layout: Layout, as_text: Collection[str], only: Collection[str] | None) -> Frame:
    """The cells as pandas reads them, its columns numbered from 0."""
    try:
        import pandas as pd
    except ImportError:
        raise TableError(INSTALL) from None
    numbers = {name: i for i, name in enumerate(layout.names)}
    written = [asked_name(name, layout.header) for name in as_text]
    # As text first: pandas makes numbers of categories that are all numbers.
    kinds: dict[int, Any] = {numbers[name]: str for name in written if name in numbers}
    kinds |= dict.fromkeys(text_columns(layout), "category")
    try:
        with layout.open() as file, warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                file,
                sep=layout.delimiter,
                header=None,
                names=list(range(layout.fields)),
                usecols=None if only is None else [i for n, i in numbers.items() if n in only],
                dtype=kinds,
                keep_default_na=False,
                na_values=[""],
                skipinitialspace=True,
                index_col=False,
                low_memory=False,
            )
    except pd.errors.EmptyDataError:
        return pd.DataFrame({i: [] for i in range(layout.fields)})
    except UnicodeDecodeError as error:
        raise not_text(layout.path, layout.encoding, error) from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        check_widths(layout, unclosed="EOF inside string" in str(error))
        raise TableError(f"{layout.path} cannot be read as CSV: {str(error).splitlines()[0]}") from None


def text_columns(layout: Layout) -> list[int]:
    """The columns that hold text in the first rows, and the same one several times. As categories, pandas reads these
    in half the time, and others in twice."""
    rows = [row for row in layout.first if len(row) == layout.fields]
    return [
        i
        for i, cells in enumerate(zip(*rows))
        if len(set(cells)) < REPEATED * len(cells) and any(map(is_text, cells))
    ]


def is_text(cell: str) -> bool:
    """Whether a cell is neither empty nor a number or a truth value, however it is written."""
    cell = cell.strip()
    return cell != "" and not is_float(cell) and cell.lower() not in ("true", "false")


def check_widths(layout: Layout, unclosed: bool = False) -> None:
    """TableError for the first row that has too few or too many cells; `unclosed`: for a quote that never ends."""
    cells, line = [""], 0
    try:
        for cells, _, line in layout.records():
            if len(cells) != layout.fields and not unclosed:
                raise TableError(
                    f"{layout.path}, line {line}: {len(cells)} fields where the header has {layout.fields}: quote "
                    "fields that hold the delimiter, and give every row the same number of fields"
                )
    except csv.Error as error:
        raise TableError(f"{layout.path} cannot be read as CSV: {error}") from None
    except UnicodeDecodeError as error:
        raise not_text(layout.path, layout.encoding, error) from None
    if unclosed:
        opened = line - cells[-1].count("\n") + cells[-1].endswith("\n")
        raise TableError(
            f"{layout.path}, line {opened}: a quote opens here and is never closed: close it, or write a quote inside "
            'a cell twice, as in "6"" pipe"'
        )


def trailing_blanks(frame: Frame) -> int:
    """How many rows at the end have no cell that holds anything, as spreadsheets leave them."""
    count = 0
    while count < len(frame) and is_empty(frame.iloc[-1 - count]).all():
        count += 1
    return count


def is_empty(cells: Frame) -> Frame:
    """Where cells are empty: pandas leaves them "" where text and whole numbers beyond 64 bits meet."""
    return cells.isna() if cells.dtype.kind in "iufb" else cells.isna() | (cells == "")


def line_finder(layout: Layout) -> Lines:
    """Row numbers to lines, by reading the file once more: only messages need them."""
    found: list[int] = []

    def lines(rows: Sequence[int]) -> list[int]:
        if not found:
            found.extend(line for _, _, line in layout.records())
        return [found[row] for row in rows]

    return lines


def as_column(name: str, series: Frame, lines: Lines) -> Column:
    kind = series.dtype.kind
    if kind in "iuf":
        return Column(name, series.to_numpy(np.float64), None, lines)
    if kind == "b":
        return Column(name, series.to_numpy(np.int64), ["False", "True"], lines)
    codes, texts = factorized(series)
    stripped = [str(text).strip() for text in texts]
    if len(set(stripped)) < len(stripped) or "" in stripped:
        places = {text: i for i, text in enumerate(dict.fromkeys(t for t in stripped if t))}
        where = np.array([places.get(text, -1) for text in stripped] + [-1])
        codes, stripped = where[codes], list(places)
    return Column(name, np.asarray(codes, np.int64), stripped, lines)


def factorized(series: Frame) -> tuple[np.ndarray, Sequence[str]]:
    """(codes, the different texts): those there are, in the order of their first cells, and -1 for an empty cell."""
    if series.dtype != "category":
        codes, texts = series.factorize()
        return codes, texts
    texts, codes = series.cat.categories, series.cat.codes.to_numpy(np.int64)
    first = first_rows(codes[:SAMPLE], len(texts))
    if (first == SAMPLE).any() and len(codes) > SAMPLE:
        first = first_rows(codes, len(texts))
    order = np.argsort(first)[: np.count_nonzero(first < len(codes))]
    places = np.full(len(texts) + 1, -1)
    places[order] = np.arange(len(order))
    return places[codes], texts[order]


def first_rows(codes: np.ndarray, count: int) -> np.ndarray:
    """The row where each of the codes 0, 1, … stands first; how many rows there are for one that stands nowhere."""
    first = np.full(count + 1, len(codes))
    # Of several values for one place NumPy keeps the last: from the end on, the first row. -1 is the last place.
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return first[:-1]
