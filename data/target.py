"""The column a model predicts: classes or numbers, to what a loss takes and back."""

import re
from collections import Counter
from typing import Any

import numpy as np

from tapegrad.autograd.diagnostics import plural
from tapegrad.data.aliases import PlainData
from tapegrad.data.cells import (
    DEFAULT,
    MARKS,
    WORDS,
    NumberFormat,
    as_format,
    canonicals,
    find_format,
    parse_numbers,
    truth_words,
)
from tapegrad.data.dates import find_date_format
from tapegrad.data.kinds import without_marks
from tapegrad.data.number_columns import LARGEST
from tapegrad.data.numbers import described_form, mixed_numbers
from tapegrad.data.table import Column, Table, TableError, listed

MAX_CLASSES = 20  # of whole numbers that are taken as classes unless told otherwise
RARE = 5  # rows of a class, below which it is mentioned


class TargetEncoder:
    """Classes to 0, 1, 2, … and numbers to (y - mean) / standard deviation, so that the usual learning rates fit.

    `notes` tells how the cells were read; `whole` whether the cells are whole numbers, which may be either.
    """

    def __init__(self, state: PlainData | None = None) -> None:
        state = state or {}
        self.name: str = state.get("name", "")
        self.classes: list[str] | None = state.get("classes")
        self.fold: bool = state.get("fold", False)
        self.mean: float = state.get("mean", 0.0)
        self.scale: float = state.get("scale", 1.0)
        self.form: NumberFormat = as_format(state.get("format"))
        self.whole = False
        self.notes: list[str] = []

    def state(self) -> PlainData:
        if self.classes is not None:
            return {"name": self.name, "classes": self.classes, "fold": self.fold}
        format = {} if self.form == DEFAULT else {"format": self.form.state()}
        return {"name": self.name, "mean": self.mean, "scale": self.scale, **format}

    def read(self, column: Column, task: str | None, delimiter: str = ",") -> None:
        """Tell classes from numbers by all cells, unless `task` says it. TableError where the column is neither."""
        self.name = column.name
        column = without_missing(column)
        there = ~column.empty
        texts, counts = texts_of(column)
        if len(texts) < 2:
            value = (
                f"the one value {texts[0]!r} in {'the 1 row' if there.sum() == 1 else f'all {int(there.sum())} rows'}"
                if texts
                else "no value in any row"
            )
            raise TableError(
                f"the target {column.name!r} has {value}: there is nothing to learn; check --target and the file"
            )
        self.form = find_format(texts, counts, delimiter)
        numbers = parse_numbers(texts, self.form)
        text = [t for t, n in zip(texts, numbers) if np.isnan(n)]
        self.fold = truth_words(texts)
        keys = canonicals(texts, self.fold)
        with np.errstate(invalid="ignore"):  # infinite ones are told below
            self.whole = not text and bool((numbers % 1 == 0).all())
        if task is None:
            few = len(set(keys)) <= min(MAX_CLASSES, int(there.sum()) // 2)
            task = "classification" if text or (few and self.whole) else "regression"
        if task == "regression":
            self.read_numbers(column, numbers, text)
        else:
            values = None if text else dict(zip(keys, numbers.tolist()))
            self.read_classes(column, texts, counts, keys, text, values)

    def read_numbers(self, column: Column, numbers: np.ndarray, text: list[str]) -> None:
        if text:
            rows = rows_with(column, text)
            raise TableError(
                f"the target {self.name!r} has {text[0]!r}, no number, on {column.on(rows)}: regression needs numbers; "
                "for classes use --task classification"
            )
        if np.isinf(numbers).any() or np.abs(numbers).max() > LARGEST:
            values = self.numbers(column)
            rows = [int(row) for row in np.flatnonzero(~(np.abs(values) <= LARGEST) & ~column.empty)]
            raise TableError(
                f"the target {self.name!r} is infinite or beyond {LARGEST:g} on {column.on(rows)}: fix these cells, or "
                "scale the column"
            )
        if 0 < np.ptp(numbers) < 1 / LARGEST:
            raise TableError(
                f"the target {self.name!r} has numbers that differ by less than {1 / LARGEST:g}: scale the column"
            )
        if self.form != DEFAULT and column.texts is not None:
            self.notes += described_form(column, self.form, np.flatnonzero(~column.empty))

    def read_classes(
        self, column: Column, texts: list[str], counts: np.ndarray, keys: list[str], text: list[str],
        values: dict[str, float] | None,
    ) -> None:  # fmt: skip
        """`values`: the number that each key is read as, by which classes are ordered; None for texts."""
        rows = int((~column.empty).sum())
        different = len(set(keys))
        if different > max(MAX_CLASSES, rows // 2):
            hint = "" if text else ", or use --task regression"
            if text and len(text) * 2 < len(texts):
                hint = f", or fix {text[0]!r} on {column.on(rows_with(column, text))}, the rest are numbers"
            elif text and (mixed := mixed_numbers(column)) is not None:
                hint = f". It has {mixed}: convert them to one"
            elif text and find_date_format(texts, counts, False) is not None:
                hint = ", or turn its dates into numbers first, such as days"
            raise TableError(
                f"the target {self.name!r} has {different} different values in {plural(rows, 'row')}, too many for "
                "classes: "
                f"choose another --target{hint}"
            )
        spellings: dict[str, Counter[str]] = {}
        for written, key, count in zip(texts, keys, counts):
            spellings.setdefault(key, Counter())[written] += int(count)
        self.classes = [
            most_usual(spellings[key])
            for key in sorted(spellings, key=values.__getitem__ if values else None)
        ]
        if text and (mixed := mixed_numbers(column)) is not None:
            self.notes.append(f"{mixed}, are taken as texts: convert them to one")
        if different < len(texts):
            several = next(c for c in spellings.values() if len(c) > 1)
            self.notes.append(f"{listed(sorted(several), 4)} are one class")
        totals = {key: sum(c.values()) for key, c in spellings.items()}
        by_case = Counter(key.lower() for key in totals)
        if alike := [key for key in sorted(totals) if by_case[key.lower()] > 1]:
            self.notes.append(
                f"{listed(alike, 4)} differ only in upper and lower case, and are different classes"
            )
        if words := [key for key in sorted(totals) if key.lower() in WORDS]:
            self.notes.append(
                f"{words[0]!r} ({plural(totals[words[0]], 'row')}) is a class of its own; if it means missing: "
                f"--missing {words[0]}"
            )

    def fit(self, column: Column, rows: np.ndarray) -> np.ndarray:
        """Learn the scale from these rows, after `read`, and return the target of all rows encoded: int64 class
        numbers, or scaled float64."""
        if self.classes is not None:
            y = self.encode(column)
            if len(set(y[rows].tolist())) == 1:
                counts = np.bincount(y, minlength=len(self.classes))
                raise TableError(
                    f"the target {self.name!r} has the one class {self.classes[y[rows][0]]!r} in all training rows "
                    f"(the rarest class has {counts.min()} of {len(y)} rows): gather more rows of the others"
                )
            return y
        numbers = self.numbers(column)
        self.mean, self.scale = float(numbers[rows].mean()), float(numbers[rows].std()) or 1.0
        return (numbers - self.mean) / self.scale

    def encode(self, column: Column) -> np.ndarray:
        """Class numbers, -1 where a cell is missing or holds an unknown class; or scaled numbers, NaN there."""
        if self.classes is None:
            return (self.numbers(column) - self.mean) / self.scale
        column = without_missing(column)
        codes = codes_of(column)
        places = {key: i for i, key in enumerate(canonicals(self.classes, self.fold))}
        texts, _ = texts_of(column)
        return np.array([*(places.get(key, -1) for key in canonicals(texts, self.fold)), -1], np.int64)[codes]

    def with_gaps(self, column: Column) -> Column:
        """The column with the cells empty that hold no value: marks of a missing one, and words for it that are no
        class of this target."""
        column = without_missing(column)
        if column.texts is None:
            return column
        known = set(canonicals(self.classes or [], self.fold))
        keys = canonicals(column.texts, self.fold)
        words = [text for text, key in zip(column.texts, keys) if text.lower() in WORDS and key not in known]
        return column.without(words) if words else column

    def numbers(self, column: Column) -> np.ndarray:
        """The cells as numbers, NaN where there is none."""
        column = without_missing(column)
        if column.texts is None:
            return column.values
        return np.append(parse_numbers(column.texts, self.form), np.nan)[column.values]

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """A regression model's outputs in the target's own unit."""
        return outputs * self.scale + self.mean


def without_missing(column: Column) -> Column:
    """The column with the cells empty that hold a mark for a missing value; among numbers, a word for it, too."""
    if column.texts is None:
        return column
    column = without_marks(column)
    assert column.texts is not None
    words = np.array([text.lower() in WORDS for text in column.texts])
    others = [t for t, word in zip(column.texts, words) if not word and t.lower() not in MARKS]
    if words.any() and others and all(re.search(r"\d", t) for t in others):
        codes = np.where(np.append(words, False)[column.values], -1, column.values)
        return Column(column.name, codes, column.texts, column.lines)
    return column


def texts_of(column: Column) -> tuple[list[str], np.ndarray]:
    """(the different cells as text, how often each occurs)."""
    if column.texts is None:
        values, counts = np.unique(column.values[~column.empty], return_counts=True)
        return [f"{v:.15g}" for v in values], counts
    counts = column.counts()
    return [t for t, n in zip(column.texts, counts) if n], counts[counts > 0]


def codes_of(column: Column) -> np.ndarray:
    """Each cell's place in `texts_of`, -1 where it is empty."""
    if column.texts is None:
        known = np.unique(column.values[~column.empty])
        return np.where(column.empty, -1, np.searchsorted(known, np.nan_to_num(column.values)))
    places = np.cumsum(column.counts() > 0) - 1
    return np.append(places, -1)[column.values]


def rows_with(column: Column, texts: list[str]) -> list[int]:
    assert column.texts is not None
    wanted = np.array([text in set(texts) for text in column.texts] + [False])
    return [int(row) for row in np.flatnonzero(wanted[column.values])]


def most_usual(spellings: Counter[str]) -> str:
    """The spelling that most cells have, of several the shortest."""
    return min(spellings, key=lambda text: (-spellings[text], len(text), text))


def usable_rows(table: Table, column: Column) -> tuple[np.ndarray, list[str]]:
    """(the rows whose target is there, a note on the others)."""
    empty = without_missing(column).empty
    gaps = np.flatnonzero(empty)
    if not gaps.size or gaps.size == table.rows:
        return np.arange(table.rows), []
    rows = f"{gaps.size} rows have" if gaps.size > 1 else "1 row has"
    return np.flatnonzero(~empty), [
        f"{rows} no {column.name!r} ({column.on([int(g) for g in gaps])}) and "
        f"{'are' if gaps.size > 1 else 'is'} left out"
    ]


def split_rows(
    y: np.ndarray, classes: list[str] | None, test_size: float, seed: int
) -> tuple[Any, Any, list[str]]:
    """(training rows, test rows, notes): stratified by class; the rows of a class that has but one are trained on."""
    from tapegrad.data.splitting import train_test_indices

    if classes is None:
        return *train_test_indices(len(y), test_size, seed), []
    counts = np.bincount(y, minlength=len(classes))
    rare = [i for i in np.argsort(counts, kind="stable") if counts[i] < RARE]
    notes = [
        f"class {classes[i]!r} has {counts[i]} row{'s' * int(counts[i] > 1)}"
        + (", which is in training: nothing tests it" if counts[i] == 1 else ": its scores mean little")
        for i in rare[:4]
    ]
    if len(rare) > 4:
        more = "1 more class has" if len(rare) == 5 else f"{len(rare) - 4} more classes have"
        notes.append(f"{more} fewer than {RARE} rows")
    single = np.isin(y, np.flatnonzero(counts == 1))
    rest = np.flatnonzero(~single)
    try:
        train, test = train_test_indices(len(rest), test_size, seed, stratify=y[rest])
    except ValueError:  # more classes than the test has rows
        train, test = train_test_indices(len(rest), test_size, seed)
        notes.append("the classes are too many for the few rows of the test to hold each of them")
    return np.concatenate([rest[train], np.flatnonzero(single)]).astype(np.int64), rest[test], notes
