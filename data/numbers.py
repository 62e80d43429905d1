"""What the cells of a column of numbers have in common: their units, the way signs are written, their quartiles."""

import numpy as np

from tapegrad.data.cells import DEFAULT, SAMPLE, parse_plain, units
from tapegrad.data.table import Column, number_text

MAX_STRAY = 0.2  # of the cells of a column of numbers may be text


def several_units(column: Column) -> str | None:
    """The units of a column of numbers that has several, as "'g' (100) and 'kg' (80)", or None."""
    assert column.texts is not None
    counts = column.counts()
    found = units(column.texts, counts)
    cells = int(counts.sum())
    most = sorted(found, key=lambda unit: (-found[unit], unit))
    if len(most) < 2 or sum(found.values()) < 0.9 * cells or found[most[0]] > (1 - MAX_STRAY) * cells:
        return None
    return " and ".join(f"{unit!r} ({found[unit]})" for unit in most[:3])


def described_signs(texts: list[str]) -> list[str]:
    """A note on numbers that no program writes so, such as (3) and −3."""
    plain = parse_plain(texts[:SAMPLE])
    for text, value in zip(texts, plain):
        if np.isnan(value) and not np.isnan(read := DEFAULT.parse(text)):
            return [f"read {text!r} as {number_text(read)}"]
    return []


def quartiles(values: np.ndarray) -> tuple[float, float, float]:
    """np.percentile(values, (25, 50, 75)), without its set-up for few values, which tables of many columns have."""
    if len(values) > 1000:
        first, median, third = np.percentile(values, (25, 50, 75)).tolist()
        return first, median, third
    ordered = np.sort(values).tolist()
    found = []
    for share in (0.25, 0.5, 0.75):
        place = share * (len(ordered) - 1)
        low = int(place)
        part, step = place - low, ordered[min(low + 1, len(ordered) - 1)] - ordered[low]
        found.append(
            ordered[low] + step * part
            if part < 0.5
            else ordered[min(low + 1, len(ordered) - 1)] - step * (1 - part)
        )
    return found[0], found[1], found[2]
