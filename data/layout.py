"""How a CSV file is laid out, seen from its first lines: encoding, delimiter, lines above the header, the header."""

import codecs
import csv
import io
import itertools
import string
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tapegrad.data.table import TableError, is_float, listed

DELIMITERS = ",;\t|"
HEAD = 1 << 16  # bytes that are looked at
LONGEST = 1 << 26  # of them where the lines are long
SAMPLE = 50  # lines that must agree on the delimiter
FIRST = 500  # rows that tell which columns hold text
# Around a name: blanks, and marks of byte order, which files that were joined have in the middle.
AROUND = "\ufeff" + string.whitespace
MARKS = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
# (encoding, bytes of a letter, the place of the one that is not 0 in most alphabets' letters)
WIDE = (("utf-32-le", 4, 0), ("utf-32-be", 4, 3), ("utf-16-le", 2, 0), ("utf-16-be", 2, 1))


@dataclass
class Layout:
    """`skipped` lines stand above the header; `fields` is how many cells a row has; `first` are the first rows."""

    path: Path
    encoding: str
    delimiter: str
    skipped: int
    names: list[str]
    header: bool
    notes: list[str] = field(default_factory=list)
    twice: frozenset[str] = frozenset()
    first: list[list[str]] = field(default_factory=list)

    @property
    def fields(self) -> int:
        return len(self.names)

    def open(self) -> io.TextIOWrapper:
        """The file, at its first row of data."""
        file = open(self.path, newline="", encoding=self.encoding)  # noqa: SIM115
        for _ in range(self.skipped):
            file.readline()
        if self.header:
            next(csv.reader(iter(file.readline, ""), delimiter=self.delimiter), None)
        return file

    def records(self) -> Iterator[tuple[list[str], int, int]]:
        """(cells, first line, last line) of each row, by Python's own reader: slow, and sure of its lines."""
        with self.open() as file:
            start = self.skipped
            if self.header:
                with open(self.path, newline="", encoding=self.encoding) as again:
                    for _ in range(self.skipped):
                        again.readline()
                    reader = csv.reader(again, delimiter=self.delimiter)
                    next(reader, None)
                    start += reader.line_num
            reader = csv.reader(file, delimiter=self.delimiter)
            previous = start
            for row in reader:
                line = start + reader.line_num
                if row and not (len(row) == 1 and row[0].isspace()):  # pandas skips these, too
                    yield row, previous + 1, line
                previous = line


def find_layout(path: Path, header: bool = True, encoding: str | None = None) -> Layout:
    """Look at the beginning of a file; TableError where it is missing, empty or no text."""
    head = read_head(path)
    check_kind(path, head)
    encoding, notes = find_encoding(path, head, encoding)
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeError as error:
        raise not_text(path, encoding, error) from None
    lines = text.splitlines(keepends=True)
    if len(head) >= HEAD and len(lines) > 1 and path.stat().st_size > len(head):
        lines.pop()  # cut off in the middle
    skipped, delimiter, found = lines_above(lines)
    notes += found
    delimiter = delimiter or find_delimiter(lines[skipped:])
    first = list(itertools.islice((r for r in csv.reader(lines[skipped:], delimiter=delimiter) if r), FIRST))
    rows = first[:SAMPLE]
    if not any(cell.strip() for row in rows[:1] for cell in row):
        raise TableError(f"{path} is empty: it needs a header line with column names, and rows")
    names, twice, found = column_names(rows, header)
    if not header:
        if twice:
            twice = frozenset()
        names = [f"column {i}" for i in range(1, len(rows[0]) + 1)]
    layout = Layout(path, encoding, delimiter, skipped, names, header, notes + found, twice, first[header:])
    if header:
        check_header(layout, rows)
    return layout


def read_head(path: Path) -> bytes:
    """The first bytes, more of a file with long lines: three of them at least."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise TableError(
            f"{path} is no file but a pipe or a device, and a table is read more than once: write what comes of it to "
            "a file first"
        )
    try:
        with open(path, "rb") as file:
            head = part = file.read(HEAD)
            while part and head.count(b"\n") < 3 and len(head) < LONGEST:
                part = file.read(len(head))
                head += part
            return head
    except FileNotFoundError:
        raise TableError(f"{path}: there is no such file") from None
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror}") from None


# What files of other kinds begin with, and how to make a table of them.
KINDS = (
    ((b"PK\x03\x04",), "an Excel workbook or a zip file", "save the sheet as CSV"),
    ((b"\xd0\xcf\x11\xe0",), "an old Excel workbook", "save the sheet as CSV"),
    ((b"\x1f\x8b", b"\xfd7zXZ", b"(\xb5/\xfd"), "a compressed file", "unpack it first"),
    (tuple(b"BZh%d1AY&SY" % n for n in range(1, 10)), "a compressed file", "unpack it first"),
    ((b"PAR1\x15",), "a Parquet file", "write pandas.read_parquet(path).to_csv(new, index=False)"),
    ((b"%PDF",), "a PDF file", "save the table as CSV"),
    ((b"<!doctype", b"<html", b"<table"), "a page of HTML", "write pandas.read_html(path)[0].to_csv(new, index=False)"),
    ((b"<?xml",), "XML", "write pandas.read_xml(path).to_csv(new, index=False)"),
    ((b'[{', b'[["'), "JSON", "write pandas.read_json(path).to_csv(new, index=False)"),
    ((b'{"',), "JSON", "write pandas.read_json(path, lines=True).to_csv(new, index=False) (False of one object)"),
)  # fmt: skip


def check_kind(path: Path, head: bytes) -> None:
    """TableError for a file that is no CSV, which its first bytes tell."""
    start = head[:1000].removeprefix(codecs.BOM_UTF8).lstrip()
    for marks, kind, remedy in KINDS:
        if start.startswith(marks) or (marks[0][:1] == b"<" and start.lower().startswith(marks)):
            raise TableError(f"{path} is {kind}, no CSV: {remedy}")


def find_encoding(path: Path, head: bytes, given: str | None) -> tuple[str, list[str]]:
    """(the encoding, notes): the one given, the one that a mark at the start names, UTF-16 or UTF-32 where every other
    byte is 0, or three of four, else UTF-8."""
    if given is not None:
        try:
            # Python counts rot13 and base64 as encodings, too, and refuses them for text.
            "a".encode(given)
            return codecs.lookup(given).name, []
        except (LookupError, UnicodeError):
            raise TableError(
                f"--encoding {given}: unknown for text; usual are utf-8, cp1252, latin-1, utf-16"
            ) from None
    # The mark of UTF-32 begins as that of UTF-16 does.
    for name, marks in MARKS.items():
        if head.startswith(marks):
            return name, []
    if b"\0" not in head:
        return "utf-8-sig", []
    for name, width, place in WIDE:
        letters = head[place::width]
        zeros, others = head.count(0) - letters.count(0), len(head) - len(letters)
        if zeros > 0.7 * others and letters.count(0) < 0.1 * len(letters):
            zeros_in = "every other byte is" if width == 2 else "three of four bytes are"
            return name, [f"read as {name.upper()}: {zeros_in} 0"]
    raise TableError(
        f"{path} is no text (byte {head.index(0) + 1} is NUL): save the table as CSV in UTF-8, or copy the file again"
    )


def not_text(path: Path, encoding: str, error: UnicodeError) -> TableError:
    name = "UTF-8" if encoding == "utf-8-sig" else encoding
    if not isinstance(error, UnicodeDecodeError):
        # UTF-16 and UTF-32 name no order of bytes, and the file has no mark that tells it.
        return TableError(
            f"{path} is not {name} text ({error}): leave --encoding away, or name the one it has, as in --encoding "
            f"{name}-le or cp1252"
        )
    return TableError(
        f"{path} is not {name} text (byte 0x{error.object[error.start]:02x}): save it as CSV in UTF-8, or name its "
        "encoding, as in --encoding cp1252"
    )


def lines_above(lines: list[str]) -> tuple[int, str | None, list[str]]:
    """(how many lines stand above the header, the delimiter that one of them names, notes)."""
    skipped, delimiter, notes = 0, None, []
    for number, line in enumerate(lines):
        bare = line.strip()
        if not bare:
            skipped = number + 1
        elif bare.lower().startswith("sep=") and len(bare) <= 5:
            delimiter, skipped = line.rstrip("\r\n")[4:5] or None, number + 1
        elif is_title(lines[number:]):
            notes.append(f"line {number + 1} was skipped as a title: {bare[:60]!r}")
            skipped = number + 1
        else:
            break
    return skipped, delimiter, notes


def is_title(lines: list[str]) -> bool:
    """Whether the first of these lines is a comment or a title: fewer cells than all the lines below it have."""
    rest = [line for line in lines[1:SAMPLE] if line.strip()]
    if lines[0].startswith("#"):
        rest = [line for line in rest if not line.startswith("#")] or rest
    if not rest or common_delimiter([lines[0], *rest]):
        return False
    delimiter = find_delimiter(rest)
    width = {len(row) for row in csv.reader(rest, delimiter=delimiter) if row}
    own = len(next(csv.reader([lines[0]], delimiter=delimiter)))
    if lines[0].startswith("#"):
        return own not in width
    return len(rest) > 1 and len(width) == 1 and min(width) > 1 and own == 1


def find_delimiter(lines: list[str]) -> str:
    """The delimiter that splits all the first lines alike, else the first one that the header has."""
    lines = [line for line in lines if line.strip()][:SAMPLE]
    return common_delimiter(lines) or next((d for d in DELIMITERS if lines and d in lines[0]), ",")


def common_delimiter(lines: list[str]) -> str | None:
    """The delimiter that splits all lines into equally many cells, of several the one that makes the most."""
    found: dict[str, int] = {}
    for delimiter in DELIMITERS:
        try:
            widths = {len(row) for row in csv.reader(lines, delimiter=delimiter) if row}
        except csv.Error:
            continue
        if len(widths) == 1 and min(widths) > 1:
            found[delimiter] = min(widths)
    return max(found, key=found.__getitem__, default=None)


def plain(text: str) -> str:
    """A name of the header without what stands around it."""
    return unicodedata.normalize("NFC", text).strip(AROUND)


def column_names(rows: list[list[str]], header: bool) -> tuple[list[str], frozenset[str], list[str]]:
    """(a name for each column, the names that two have, notes). A column without a name, and a second one of a name,
    gets one."""
    written = [plain(name) for name in rows[0]]
    notes = []
    wider = {len(row) for row in rows[1:]}
    if header and len(rows) > 1 and wider == {len(written) + 1}:
        if any(row[-1].strip() for row in rows[1:]):  # as R's write.table and DataFrame.to_csv of an index do
            written = ["", *written]
            notes.append(
                "the rows have one cell more than the header: their first one is taken as the rows' name"
            )
        else:
            written = [*written, ""]
    names: list[str] = []
    taken: set[str] = set()
    twice: set[str] = set()
    for i, name in enumerate(written, start=1):
        unique = name or f"column {i}"
        if unique in taken:
            twice.add(unique)
            number = 2
            while f"{unique} ({number})" in taken:
                number += 1
            unique = f"{unique} ({number})"
        taken.add(unique)
        names.append(unique)
    if header and twice:
        notes.append(f"the header names {listed(sorted(twice))} twice: the later ones are called 'name (2)'")
    return names, frozenset(twice), notes


def check_header(layout: Layout, rows: list[list[str]]) -> None:
    """Note that a header looks like a row of data; TableError where it could not serve as a header anyway."""
    first, rest = [cell.strip() for cell in rows[0]], rows[1:]
    if not rest or counts_up(first):
        return
    evidence = 0
    for i, cell in enumerate(first):
        column = [row[i].strip() for row in rest if i < len(row)]
        numbers = sum(map(is_float, column))
        evidence += bool(cell) and (
            (is_float(cell) and numbers > len(column) / 2) or (numbers == 0 and cell in column)
        )
    if not any(map(is_float, first)) or evidence < max(1, 0.5 * len(first)):
        return
    text = (
        f"the first line looks like data, not like a header ({', '.join(first[:6])}{', …' * (len(first) > 6)}): "
        f"if it is, use --no-header, where the columns are called 1 to {layout.fields}"
    )
    if layout.twice:
        raise TableError(f"{layout.path}: {text}")
    layout.notes.append(text)


def counts_up(names: list[str]) -> bool:
    """Whether names are numbers that count, as those of an array's columns (0, 1, 2, …) or of years do."""
    numbers = [name for name in names if name.isdigit()]
    return len(numbers) > 2 and all(int(b) - int(a) == 1 for a, b in itertools.pairwise(numbers))
