"""From columns of text to numbers and back: what `fit` learns from the training rows is all that `predict` needs.

Everything learned is in `state()`, which goes into a model's file as JSON.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from tapegrad.data.table import Column, Table, TableError, listed

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))
MAX_CATEGORIES = 50  # of a text column, each of which becomes a 0/1 column
MAX_CLASSES = 20  # of whole numbers that are taken as classes unless told otherwise


def is_missing(cell: str) -> bool:
    return cell.lower() in MISSING


def parse_number(cell: str) -> float | None:
    """A cell as a float, NaN where it is missing, None where it is text."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return np.nan if is_missing(cell) else None


def parse_numbers(column: Column) -> tuple[np.ndarray, list[int]]:
    """(the column as float64 with NaN for missing cells and for text, the rows that hold text)."""
    values = [parse_number(cell) for cell in column.cells]
    array = np.array([np.nan if v is None else v for v in values])
    if np.isinf(array).any():
        row = int(np.flatnonzero(np.isinf(array))[0])
        raise TableError(
            f"column {column.name!r}, line {column.lines[row]}: infinite: leave the cell empty or fix it"
        )
    return array, [i for i, v in enumerate(values) if v is None]


class FeatureEncoder:
    """Numbers: missing ones become the median, then (x - mean) / standard deviation. Text: one 0/1 column per category,
    missing ones become the most frequent; a category not seen in training gets zeros.

    `notes` tells the user what was filled, left out or not recognized.
    """

    def __init__(self, columns: list[dict[str, Any]] | None = None) -> None:
        self.columns = columns or []
        self.notes: list[str] = []

    @property
    def width(self) -> int:
        """How many numbers a row becomes."""
        return sum(len(c.get("categories", ".")) for c in self.columns)

    def fit(self, table: Table, names: Iterable[str], rows: list[int]) -> "FeatureEncoder":
        """Learn from the given rows of the table; TableError for a column that cannot be used."""
        for name in names:
            column = table.column(name)
            numbers, text = parse_numbers(column)
            if text:
                self.columns.append(self._learn_text(column, text, column.take(rows)))
                continue
            known = numbers[rows]
            known = known[~np.isnan(known)]
            if not known.size:
                self.notes.append(f"column {name!r} is empty and left out")
                continue
            filled = np.where(np.isnan(numbers[rows]), median := float(np.median(known)), numbers[rows])
            scale = float(filled.std())
            if scale <= 1e-12 * abs(float(filled.mean())):
                self.notes.append(
                    f"column {name!r} has the one value {median:g} in training and tells nothing"
                )
                scale = 1.0
            self.columns.append(
                {"name": name, "median": median, "mean": float(filled.mean()), "scale": scale or 1.0}
            )
        if not self.columns:
            raise TableError(f"{table.title}: no column is left to learn from")
        return self

    def _learn_text(self, column: Column, text: list[int], train: Column) -> dict[str, Any]:
        if len(set(column.cells)) > MAX_CATEGORIES:
            cell, line = column.cells[text[0]], column.lines[text[0]]
            if len(text) * 2 < len(column.cells):
                raise TableError(
                    f"column {column.name!r} is numbers except in {len(text)} rows (line {line}: {cell!r}): fix or "
                    f"empty these cells, or leave the column out with --drop {column.name!r}"
                )
            raise TableError(
                f"column {column.name!r} has {len(set(column.cells))} different texts, and a category needs at most "
                f"{MAX_CATEGORIES}: group them, or leave the column out with --drop {column.name!r}"
            )
        counts = Counter(cell for cell in train.cells if not is_missing(cell))
        if not counts:
            raise TableError(f"column {column.name!r} is empty in all training rows: --drop {column.name!r}")
        frequent = max(sorted(counts), key=counts.__getitem__)
        return {"name": column.name, "categories": sorted(counts), "most_frequent": frequent}

    def transform(self, table: Table) -> np.ndarray:
        """float64, (rows, width). TableError for a column that is absent, or has text where numbers were learned."""
        if absent := [c["name"] for c in self.columns if c["name"] not in table.columns]:
            raise TableError(
                f"{table.title} lacks {len(absent)} of the {len(self.columns)} columns the model was trained on: "
                f"{listed(absent)}"
            )
        return np.concatenate([self._encode(c, table.columns[c["name"]]) for c in self.columns], axis=1)

    def _encode(self, learned: dict[str, Any], column: Column) -> np.ndarray:
        missing = sum(map(is_missing, column.cells))
        filler: Any = learned.get("most_frequent", learned.get("median"))
        if missing:
            kind = "most frequent" if "categories" in learned else "median"
            self.notes.append(
                f"column {column.name!r}: {missing} missing values filled with the {kind}, {filler}"
            )
        if "categories" in learned:
            categories = learned["categories"]
            cells = [filler if is_missing(cell) else cell for cell in column.cells]
            if strange := sorted(set(cells) - set(categories)):
                self.notes.append(
                    f"column {column.name!r}: not seen in training, taken as none: {listed(strange)}"
                )
            return np.array([[cell == c for c in categories] for cell in cells], dtype=np.float64)
        numbers, text = parse_numbers(column)
        if text:
            cell, line = column.cells[text[0]], column.lines[text[0]]
            raise TableError(
                f"column {column.name!r}, line {line}: {cell!r} is not a number, and the model was trained on numbers "
                f"there (also in {len(text) - 1} more rows): fix or empty the cell"
            )
        filled = np.where(np.isnan(numbers), filler, numbers)
        return ((filled - learned["mean"]) / learned["scale"])[:, None]


class TargetEncoder:
    """Classes to 0, 1, 2, … and numbers to (y - mean) / standard deviation, so that the usual learning rates fit."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.name: str = (state or {}).get("name", "")
        self.classes: list[str] | None = (state or {}).get("classes")
        self.mean: float = (state or {}).get("mean", 0.0)
        self.scale: float = (state or {}).get("scale", 1.0)

    def state(self) -> dict[str, Any]:
        if self.classes is not None:
            return {"name": self.name, "classes": self.classes}
        return {"name": self.name, "mean": self.mean, "scale": self.scale}

    def fit(self, column: Column, task: str | None, rows: list[int]) -> np.ndarray:
        """Learn the target, and return it encoded: int64 class numbers, or scaled float64. `task` None: by its type."""
        self.name = column.name
        empty = [line for cell, line in zip(column.cells, column.lines) if is_missing(cell)]
        if empty:
            raise TableError(
                f"the target {column.name!r} is missing in {len(empty)} rows (the first is line {empty[0]}): fill "
                "these cells or remove the rows, a model cannot learn from them"
            )
        numbers, text = parse_numbers(column)
        distinct = sorted(set(column.cells))
        if len(distinct) == 1:
            raise TableError(
                f"the target {column.name!r} has the one value {distinct[0]!r} in all {len(column.cells)} rows: there "
                "is nothing to learn; check --target and the file"
            )
        if task is None:
            few = len(distinct) <= min(MAX_CLASSES, len(column.cells) // 2)
            task = "classification" if text or (few and (numbers % 1 == 0).all()) else "regression"
        if task == "regression":
            return self._fit_numbers(column, numbers, text, rows)
        return self._fit_classes(column, numbers, text, rows)

    def _fit_numbers(
        self, column: Column, numbers: np.ndarray, text: list[int], rows: list[int]
    ) -> np.ndarray:
        if text:
            raise TableError(
                f"the target {column.name!r} is not a number in {len(text)} rows (line {column.lines[text[0]]}: "
                f"{column.cells[text[0]]!r}): regression needs numbers; for classes use --task classification"
            )
        self.mean, self.scale = float(numbers[rows].mean()), float(numbers[rows].std()) or 1.0
        return (numbers - self.mean) / self.scale

    def _fit_classes(
        self, column: Column, numbers: np.ndarray, text: list[int], rows: list[int]
    ) -> np.ndarray:
        labels = column.cells if text else [f"{n:.15g}" for n in numbers]  # 1 and 1.0 are one class
        counts = Counter(labels)
        if len(counts) > max(MAX_CLASSES, len(labels) // 2):
            raise TableError(
                f"the target {column.name!r} has {len(counts)} different values in {len(labels)} rows, too many for "
                "classes: choose another --target" + ("" if text else ", or use --task regression")
            )
        self.classes = sorted(counts, key=None if text else float)
        if len({labels[i] for i in rows}) == 1:
            raise TableError(
                f"the target {column.name!r} has the one class {labels[rows[0]]!r} in all training rows (the rarest "
                f"class has {min(counts.values())} of {len(labels)} rows): gather more rows of the others"
            )
        number = {label: i for i, label in enumerate(self.classes)}
        return np.array([number[label] for label in labels])

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """A regression model's outputs in the target's own unit."""
        return outputs * self.scale + self.mean
