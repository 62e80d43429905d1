"""A column as numbers, written block by block: no array of the whole column is made beside the result."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Encoded:
    """`write(rows, out)` puts the numbers of these rows into `out`, (rows, width); `notes` say what the user should
    know."""

    width: int
    write: Callable[[slice, np.ndarray], None]
    notes: list[str] = field(default_factory=list)


def by_code(numbers: np.ndarray, codes: np.ndarray, notes: list[str]) -> Encoded:
    """Encode each row as the row of `numbers` that its code names; -1 names the last one."""

    def write(rows: slice, out: np.ndarray) -> None:
        out[...] = numbers[codes[rows]]

    return Encoded(numbers.shape[1], write, notes)
