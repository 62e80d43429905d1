"""The columns a model learns from, turned from text into numbers.

What `fit` learns from the training rows, `columns`, is plain data: it goes into the model's file as JSON, and is all
that a prediction needs.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from tapegrad.data.cells import is_missing, parse_numbers
from tapegrad.data.table import Column, Table, TableError, listed

MAX_CATEGORIES = 50  # of a text column, each of which becomes a 0/1 column


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
            if len(text) * 2 < len(column.cells):
                raise TableError(
                    f"column {column.name!r} is numbers but for {column.cells[text[0]]!r} and the like on "
                    f"{column.on(text)}: fix or empty these cells, or leave the column out with --drop {column.name!r}"
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
            self.notes.append(f"column {column.name!r}: filled {missing} missing with the {kind}, {filler}")
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
            raise TableError(
                f"column {column.name!r} has {column.cells[text[0]]!r}, no number, on {column.on(text)}, and the model "
                "was trained on numbers there: fix or empty the cells"
            )
        filled = np.where(np.isnan(numbers), filler, numbers)
        return ((filled - learned["mean"]) / learned["scale"])[:, None]
