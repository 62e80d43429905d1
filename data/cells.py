"""Reading the cells of a column: numbers, text, or nothing."""

import numpy as np

from tapegrad.data.table import Column, TableError

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))


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
