"""`LiveTape`: a tape whose page asks what the figures are on other numbers of its leaves."""

from typing import Any

import numpy as np

from tapegrad.autograd.pages.page import assembled, in_a_frame, title_of
from tapegrad.autograd.pages.record import Row, TapeRecord, record_of, rows_in_order, taken_once
from tapegrad.autograd.tapes.names import converted_from
from tapegrad.autograd.tapes.tape import Tape
from tapegrad.autograd.tensor import Tensor

WORDS = {"nan": np.nan, "inf": np.inf, "+inf": np.inf, "-inf": -np.inf, "true": 1, "false": 0}


class LiveTape:
    """A tape, and the changes that its page has asked for.

    The page sends {"row", "cell", "text"}: the row of a leaf, the number of a cell in its corner, and what was typed
    there; or {"reset": True}. `answer` gives what the page then shows.

    first    the record of the tape as it ran
    changes  leaf -> its values now
    """

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.title = title_of(tape)
        self.first = record_of(tape, self.title)
        self.rows = rows_in_order(tape, taken_once(tape))
        self.changes: dict[Tensor, np.ndarray] = {}

    def page(self) -> str:
        return assembled("tape", self.title, {**self.first.data(), "live": True})

    def frame(self) -> str:
        """The page inside of another one."""
        return in_a_frame(self.page())

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The figures of all rows after a change: `rows`, [values, cotangents] of each, as the page's data has them,
        `types`, and `marks`, 1 where the values differ from the first ones, 2 where the cotangents do, 3 where both do.

        Where there are none, `wrong` says why, and the changes are those from before.
        """
        before = dict(self.changes)
        try:
            if asked.get("reset"):
                self.changes.clear()
            else:
                self.change(asked["row"], asked["cell"], asked["text"])
            record = record_of(self.tape.what_if(self.changes), self.title) if self.changes else self.first
        except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
            self.changes = before
            return {"wrong": str(error).removeprefix("what_if: "), **asked}
        data = record.data()
        rows = [[values, cotangents] for *_, values, cotangents, _ in data["rows"]]  # type: ignore[attr-defined]
        return {"rows": rows, "types": data["types"], "marks": marks(self.first, record), **asked}

    def change(self, row: int, cell: int, text: str) -> None:
        """Take what was typed into a cell of a leaf's corner."""
        leaf = self.rows[row]
        assert isinstance(leaf, Tensor)
        if leaf not in self.tape.names:  # of a copy in another dtype, what has the name changes
            leaf = next((t for t in converted_from(leaf) if t in self.tape.names), leaf)
        values = self.changes.get(leaf)
        values = leaf.numpy() if values is None else values.copy()
        columns = len(self.first.rows[row].values[0].corner[0])
        place = (*(0,) * (leaf.ndim - 2), *divmod(cell, columns))[max(0, 2 - leaf.ndim) :]
        values[place] = read(text, values.dtype)
        self.changes[leaf] = values


def read(text: str, dtype: np.dtype) -> Any:
    """The number that was typed, for an array of a dtype. Raises ValueError for what is none."""
    text = text.strip().replace("−", "-")
    if dtype.kind == "f":
        try:
            number = WORDS.get(text.lower())
            number = float(text) if number is None else number
        except ValueError:
            raise ValueError(f"{text!r} is not a number: write one such as 0.5, -2 or 1e-3") from None
        with np.errstate(over="ignore"):
            if np.isfinite(number) and not np.isfinite(dtype.type(number)):
                raise ValueError(f"{text} is too large for {dtype}: the largest is {np.finfo(dtype).max:.4g}")
        return number
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    try:
        number = WORDS[text.lower()] if dtype.kind == "b" and text.lower() in WORDS else int(text)
    except ValueError:
        what = "True or False" if dtype.kind == "b" else "a whole number"
        raise ValueError(f"{text!r} is not {what}, which {dtype} holds") from None
    if not low <= number <= high:
        raise ValueError(f"{text} is out of the range of {dtype}: {low} to {high}")
    return number


def marks(first: TapeRecord, record: TapeRecord) -> list[int]:
    """For each row, whether its figures differ: 1 the values, 2 the cotangents, 3 both."""

    # As text, where NaN is like NaN, and with all digits.
    def differ(a: Row, b: Row) -> int:
        return (repr(a.values) != repr(b.values)) + 2 * (repr(a.cotangents) != repr(b.cotangents))

    return [differ(a, b) for a, b in zip(first.rows, record.rows, strict=True)]
