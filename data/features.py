"""The columns a model learns from, turned into numbers.

What `fit` learns from the training rows, `columns`, is plain data: it goes into the model's file as JSON, and is all
that a prediction needs.
"""

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from tapegrad.data import kinds
from tapegrad.data.aliases import PlainData
from tapegrad.data.plan import ColumnPlan, plan_column
from tapegrad.data.table import Column, Table, TableError, listed

BLOCK = 2048  # rows that are written together, and stay in the cache while their columns come


class FeatureEncoder:
    """Turns the cells of each column into numbers, as data/kinds.py says.

    columns   the learned state of each column that is used
    plans     after `fit`: what is done with every column, those left out, too
    notes     after `transform`: what was filled, cut or not recognized
    """

    def __init__(self, columns: list[PlainData] | None = None) -> None:
        self.columns = columns or []
        self.plans: list[ColumnPlan] = []
        self.notes: list[str] = []
        self.idle_day_first = False

    @property
    def width(self) -> int:
        """How many numbers a row becomes."""
        return sum(kinds.width_of(state) for state in self.columns)

    @property
    def as_text(self) -> list[str]:
        """The columns whose cells are looked at as they are written."""
        return [c["name"] for c in self.columns if c["kind"] != "number" or "format" in c]

    def fit(
        self,
        table: Table,
        names: Iterable[str],
        rows: Any,
        target: Column | None = None,
        keep: Collection[str] = (),
        day_first: bool = False,
    ) -> "FeatureEncoder":
        """Learn from the given rows of the table. See `plan_column` for the arguments.

        Raises TableError for a cell that no model can take, and where no column is left.
        """
        rows = np.asarray(rows, np.int64)
        names = list(names)
        self.plans = [plan_column(table, name, rows, target, keep, day_first) for name in names]
        self.idle_day_first = day_first and not any(plan.ambiguous for plan in self.plans)
        if all(plan.state is None for plan in self.plans):
            # An index alone is poor, and better than nothing.
            for i, plan in enumerate(self.plans):
                if plan.harmless:
                    self.plans[i] = plan_column(table, plan.name, rows, None, [plan.name], day_first)
                    self.plans[i].notes.insert(0, f"{plan.why}; kept, as no other column is left")
        self.columns = [plan.state for plan in self.plans if plan.state is not None]
        if not self.columns:
            reasons = "; ".join(f"{plan.name!r} {plan.why}" for plan in self.plans[:8])
            raise TableError(f"{table.title}: no column is left to learn from{': ' * bool(reasons)}{reasons}")
        return self

    def plan_notes(self) -> list[str]:
        """What the user should know of each column, a line each."""
        notes: list[str] = []
        by_reason: dict[str, list[str]] = {}
        for plan in self.plans:
            if plan.state is None:
                by_reason.setdefault(plan.why if plan.harmless else "", []).append(plan.name)
            notes += [f"column {plan.name!r}: {note}" for note in plan.notes]
        left_out = [plan for plan in self.plans if plan.state is None]
        for plan in left_out[:8]:
            hint = f" (to use it: --keep {plan.name!r})" if plan.harmless else ""
            notes.append(f"column {plan.name!r} is left out: {plan.why}{hint}")
        if len(left_out) > 8:
            more = "1 more column is" if len(left_out) == 9 else f"{len(left_out) - 8} more columns are"
            notes.append(f"{more} left out: {listed(p.name for p in left_out[8:])}")
        if self.idle_day_first:
            notes.append("--day-first: no column has dates whose day and month could change places")
        return notes

    def transform(self, table: Table) -> np.ndarray:
        """float64, (rows, width). TableError for a column that is absent, or has text where numbers were learned."""
        if absent := [c["name"] for c in self.columns if c["name"] not in table.columns]:
            unnamed = [name for name in absent if name.startswith("column ") and table.header]
            hint = f" ({unnamed[0]!r} had no name in the header of the training file)" if unnamed else ""
            other_case = [n for n in table.columns if n.casefold() in {name.casefold() for name in absent}]
            if other_case:
                hint += f": it has {listed(other_case)}, and upper and lower case count"
            raise TableError(
                f"{table.title} lacks {len(absent)} of the {len(self.columns)} columns the model was trained on: "
                f"{listed(absent)}{hint}"
            )
        parts = [kinds.ENCODERS[c["kind"]](c, table.columns[c["name"]]) for c in self.columns]
        self.notes = [
            f"column {state['name']!r}: {note}"
            for state, part in zip(self.columns, parts)
            for note in part.notes
        ]
        encoded = np.empty((table.rows, self.width))
        for row in range(0, table.rows, BLOCK):
            rows, at = slice(row, row + BLOCK), 0
            for part in parts:
                part.write(rows, encoded[rows, at : at + part.width])
                at += part.width
        return encoded
