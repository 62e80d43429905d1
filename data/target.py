"""The column a model predicts: classes or numbers, to what a loss takes and back."""

from collections import Counter
from typing import Any

import numpy as np

from tapegrad.data.cells import is_missing, parse_numbers
from tapegrad.data.table import Column, TableError

MAX_CLASSES = 20  # of whole numbers that are taken as classes unless told otherwise


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
        if empty := [i for i, cell in enumerate(column.cells) if is_missing(cell)]:
            raise TableError(
                f"the target {column.name!r} is missing on {column.on(empty)}: fill these cells or remove the rows, a "
                "model cannot learn from them"
            )
        numbers, text = parse_numbers(column)
        labels = column.cells if text else [f"{n:.15g}" for n in numbers]  # 1 and 1.0 are one value
        distinct = sorted(set(labels))
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
        return self._fit_classes(column, labels, text, rows)

    def _fit_numbers(
        self, column: Column, numbers: np.ndarray, text: list[int], rows: list[int]
    ) -> np.ndarray:
        if text:
            raise TableError(
                f"the target {column.name!r} has {column.cells[text[0]]!r}, no number, on "
                f"{column.on(text)}: regression needs numbers; for classes use --task classification"
            )
        self.mean, self.scale = float(numbers[rows].mean()), float(numbers[rows].std()) or 1.0
        return (numbers - self.mean) / self.scale

    def _fit_classes(self, column: Column, labels: list[str], text: list[int], rows: list[int]) -> np.ndarray:
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
