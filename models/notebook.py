"""What a notebook shows of a History: a curve for each metric, with its best epoch."""

from collections.abc import Sequence
from numbers import Real

from tapegrad.autograd.diagnostics import plural
from tapegrad.autograd.pages.inline import sparkline, table
from tapegrad.data.metrics import larger_is_better
from tapegrad.models.history import History, shown


def history_as_html(history: History) -> str:
    rows = [
        row(name, values, history.epoch, larger_is_better(name, history.larger_is_better))
        for name, values in history.history.items()
    ]
    head = (plural(len(history.epoch), "epoch"), "first", "last", "best", "")
    return f"<div>{table(rows, head, html=4)}</div>"


def row(name: str, values: Sequence[object], epochs: list[int], rising: bool | None) -> list[str]:
    """Epochs are numbered from 1. What is no number, or NaN, is in no curve and is never the best. rising: whether more
    is better; None, where nobody knows, shows no best epoch."""
    if not values:
        return [name, "", "", "", ""]
    ends = [name, shown(values[0]), shown(values[-1])]
    numbers = [float(v) if isinstance(v, Real) else float("nan") for v in values]
    measured = [i for i, v in enumerate(numbers) if v == v]
    if not measured:
        return [*ends, "", ""]
    if rising is None:
        return [*ends, "", sparkline(numbers, f"{name} by epoch")]
    best = (max if rising else min)(measured, key=numbers.__getitem__)
    where = f"{shown(values[best])} in epoch {epochs[best] + 1 if best < len(epochs) else best + 1}"
    return [*ends, where, sparkline(numbers, f"{name} by epoch, best: {where}", best)]
