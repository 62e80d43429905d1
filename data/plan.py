"""What is done with each column: `plan_column` decides, and `FeatureEncoder` follows it."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from tapegrad.autograd.diagnostics import plural
from tapegrad.data import kinds, number_columns
from tapegrad.data.aliases import PlainData
from tapegrad.data.cells import canonicals, truth_words
from tapegrad.data.dates import NO_DATE, find_date_format, parse_dates
from tapegrad.data.numbers import mixed_numbers, two_marks
from tapegrad.data.table import Column, Table, listed, number_text

# Columns that are called so and differ in every row name the rows, and say nothing about them.
ID_NAME = re.compile(
    r"(?i:column \d+|unnamed: ?\d+|index|row|row_?names?|uuid|guid|key|id)|.*(?:[_ -](?i:id)|[a-z]I[dD]|I[dD])"
)
NEARLY_ALL = 0.5  # different texts per cell from which on a column is no category
FEWEST = 20  # different texts that may always be one
ROUNDING = 2e-3  # of the target's range
ALIKE = 1e-12  # of the numbers themselves: a column that differs by less is constant
NO_DAYS = (*map(float, NO_DATE), 99991231.0)  # for none, among dates such as 20240131
LEAST_ROWS = 10  # from which on chance makes no copy of the target


@dataclass
class ColumnPlan:
    """`kind` is one of data/kinds.py, or "left out"; `why` says how it was told, `notes` what the user should know.
    `state` is None for a column left out; `harmless`: it could be learned from all the same; `ambiguous`: of its dates
    no cell tells the day from the month."""

    name: str
    kind: str
    why: str
    notes: list[str] = field(default_factory=list)
    state: PlainData | None = None
    harmless: bool = False
    ambiguous: bool = False

    @property
    def done(self) -> str:
        """What is done with it, in a few words."""
        if self.state is None:
            return self.why
        width = kinds.width_of(self.state)
        return f"{self.why}, as {width} number{'s' * (width > 1)}"


def plan_column(
    table: Table,
    name: str,
    rows: np.ndarray,
    target: Column | None = None,
    keep: Collection[str] = (),
    day_first: bool = False,
) -> ColumnPlan:
    """How to learn from a column of the table, by its training rows. TableError for a cell that no model can take.

    target   the column to predict, of which a copy is left out; keep: columns that are not left out for what they say
    """
    column = table.columns[name]
    if column.texts is not None:
        column = kinds.without_marks(column)
    if column.empty[rows].all():
        return ColumnPlan(name, "left out", "empty in the training rows")
    if name not in keep:
        reason, harmless = rows_named(table, column), column.texts is None
        if reason is None:
            reason, harmless = copy_of(column, target), True
        if reason is not None:
            return ColumnPlan(name, "left out", reason, harmless=harmless)
    if (dates := as_dates(column, rows)) is not None:
        return dates
    numbers = number_columns.find_numbers(column, table.delimiter)
    if numbers is not None and not np.isnan(numbers.values[rows]).all():
        plan = plan_numbers(column, numbers, rows)
        if target is not None and name not in keep and plan.state is not None and near_copy(column, target):
            plan.notes.append(
                f"is nearly {target.name!r} itself, in another unit: if it is not known beforehand, --drop {name!r}"
            )
        return plan
    return plan_text(column, rows, name in keep, day_first)


def as_dates(column: Column, rows: np.ndarray) -> ColumnPlan | None:
    """The plan of numbers such as 20240131, all of which are dates; None for other columns."""
    # Of most columns the first cells tell that these are no dates.
    if column.texts is not None or not may_be_days(column.values[:1000]).all():
        return None
    values = column.values[~column.empty & ~np.isin(column.values, NO_DAYS)]
    if len(values) < LEAST_ROWS or not may_be_days(column.values).all():
        return None
    different = [number_text(float(value)) for value in np.unique(values)]
    if len(different) < 2 or np.isnan(parse_dates(different, "%Y%m%d")).any():
        return None
    state, notes = kinds.learn_dates(kinds.as_text(column), "%Y%m%d", rows)
    note = f"{number_text(float(values[0]))} is read as a date"
    return ColumnPlan(column.name, "date", "date %Y%m%d, days since 1970", [note, *notes], state)


def may_be_days(values: np.ndarray) -> np.ndarray:
    """Which numbers may be dates such as 20240131, or stand for none."""
    return (values >= 19000101) & (values <= 21001231) | np.isin(values, NO_DAYS) | np.isnan(values)


def plan_numbers(column: Column, numbers: number_columns.Numbers, rows: np.ndarray) -> ColumnPlan:
    train = numbers.values[rows]
    number_columns.check_size(column, numbers.values)
    low, high = float(np.fmin.reduce(train)), float(np.fmax.reduce(train))
    if constant := high - low <= ALIKE * max(-low, high):
        value = (
            f"the one value {number_text(low)}" if low == high else f"nearly one value, {number_text(low)},"
        )
        left_out = ColumnPlan(column.name, "left out", f"has {value} in the training rows")
        if not np.isnan(train).any():
            return left_out
    state, notes = number_columns.learn_numbers(column, numbers, rows, train)
    if constant and kinds.width_of(state) == 1:
        return left_out
    return ColumnPlan(column.name, "number", "standardized", notes, state)


def plan_text(column: Column, rows: np.ndarray, kept: bool, day_first: bool) -> ColumnPlan:
    assert column.texts is not None
    name, counts = column.name, column.counts()
    train = column.values[rows]
    texts = [column.texts[code] for code in np.unique(train[train >= 0])]
    different, cells = len(texts), int((train >= 0).sum())
    if different <= number_columns.MAX_CATEGORIES:
        different = len(set(canonicals(texts, truth_words(column.texts))))
    if different == 1 and cells == len(train):
        return ColumnPlan(
            name, "left out", f"has the one value {column.texts[train[0]]!r} in the training rows"
        )
    if (found := find_date_format(column.texts, counts, day_first)) is not None:
        form, ambiguous = found
        state, notes = kinds.learn_dates(column, form, rows)
        example = column.texts[int(column.values[column.values >= 0][0])]
        if ambiguous:
            order = "day first" if day_first else "month first (if not: --day-first)"
            notes.append(f"{example!r} is read with the {order}")
        return ColumnPlan(name, "date", f"date {form}, days since 1970", notes, state, ambiguous=ambiguous)
    if different > FEWEST and different > NEARLY_ALL * cells and not kept:
        if (mixed := mixed_numbers(column)) is not None:
            return ColumnPlan(name, "left out", f"has {mixed}: convert them to one")
        state_or_none = kinds.learn_words(column, rows)
        if state_or_none is None:
            rows_there = plural(cells, "training row")
            return ColumnPlan(name, "left out", f"has {different} different texts in {rows_there}")
        shown = listed(state_or_none["words"], 3)
        return ColumnPlan(
            name, "words", f"{different} different texts, their words {shown}", [], state_or_none
        )
    state, notes = kinds.learn_categories(column, rows)
    if (different > FEWEST or two_marks(column)) and (mixed := mixed_numbers(column)) is not None:
        notes.append(f"{mixed}, are taken as texts: convert them to one")
    kind = "1 category" if different == 1 else f"{different} categories"
    return ColumnPlan(name, "category", kind, notes, state)


def rows_named(table: Table, column: Column) -> str | None:
    """Why a column only tells the rows apart, or None: it counts them, or is called so and differs in each."""
    values = column.values
    if len(values) < LEAST_ROWS or column.empty.any():
        return None
    id_name = table.header and ID_NAME.fullmatch(column.name) is not None
    if column.texts is not None:
        if id_name and len(column.texts) == len(values):
            return "differs in every row: an ID"
        return None
    if values[0] in (0, 1) and values[-1] - values[0] == len(values) - 1 and (np.diff(values) == 1).all():
        return "counts the rows: an index"
    if id_name and (values % 1 == 0).all() and len(np.unique(values)) == len(values):
        return "differs in every row: an ID"
    return None


def copy_of(column: Column, target: Column | None) -> str | None:
    """Why a column tells the target of every row, or None."""
    if target is None or len(column) < LEAST_ROWS or column.empty.any() or target.empty.any():
        return None
    first = slice(0, 1000)  # most columns are no copy, which a few rows tell
    other, different = target_labels(target)
    if column.texts is None and target.texts is None and different > 20:
        return line_through(column.values, target.values)
    if column.texts is None and len(np.unique(column.values[first])) != different:
        return None
    own = labels(column)
    for part in (first, slice(None)):
        pairs = np.unique(np.stack([own[part], other[part]]), axis=1).shape[1]
        if pairs != len(np.unique(own[part])) or pairs != len(np.unique(other[part])):
            return None
    if pairs == len(own):
        return None
    return f"tells {target.name!r} of every row: a copy of the target"


def target_labels(target: Column) -> tuple[np.ndarray, int]:
    """(labels of the target, how many the first rows have), worked out once for all the columns."""
    kept: PlainData = vars(target)
    if "_labels" not in kept:
        own = labels(target)
        kept["_labels"] = own, len(np.unique(own[:1000]))
    found: tuple[np.ndarray, int] = kept["_labels"]
    return found


def labels(column: Column) -> np.ndarray:
    """A number for each different value."""
    if column.texts is None:
        return column.values
    keys = canonicals(column.texts, truth_words(column.texts))
    return np.unique(np.array(keys), return_inverse=True)[1][column.values]


def line_through(values: np.ndarray, target: np.ndarray) -> str | None:
    """Whether the target is a·x + b of the column, to the last digits."""
    slope, error = line_of(values, target)
    if not error <= 1e-9:
        return None
    return "is the target itself, in another unit" if slope != 1 else "is the target itself"


def near_copy(column: Column, target: Column) -> bool:
    """Whether the target is a·x + b of the column but for the rounding of a conversion."""
    if column.texts is not None or target.texts is not None or len(column) < LEAST_ROWS:
        return False
    if column.empty.any() or target.empty.any() or target_labels(target)[1] <= FEWEST:
        return False
    return line_of(column.values, target.values)[1] <= ROUNDING


def line_of(values: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """(a, the largest error as a part of the target's range) of the line a·x + b through the column's extremes."""
    low, high = int(np.argmin(values)), int(np.argmax(values))
    with np.errstate(all="ignore"):
        slope = (target[high] - target[low]) / (values[high] - values[low])
        errors = np.abs(target[low] + slope * (values - values[low]) - target)
        if slope == 0 or not np.isfinite(slope):
            return 0.0, np.inf
        return float(slope), float(errors.max() / (target.max() - target.min()))
