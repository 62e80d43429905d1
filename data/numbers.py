"""What the cells of a column of numbers have in common: their units, the way signs are written, their quartiles."""

import numpy as np

from tapegrad.data.cells import DEFAULT, NUMBER, SAMPLE, NumberFormat, decimal_mark, parse_plain, units
from tapegrad.data.table import Column, number_text

MAX_STRAY = 0.2  # of the cells of a column of numbers may be text
QUARTERS = (0.25, 0.5, 0.75)
MANY = 5000  # values of which a part tells where a quartile lies
WIDTH = 200  # places of that part to each side: a random part of MANY errs by 35


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


def mixed_numbers(column: Column) -> str | None:
    """What keeps a column of text from being one of numbers, several units or two decimal marks; None of other text."""
    if (found := several_units(column)) is not None:
        return f"numbers in several units, {found}"
    if (found := two_marks(column)) is not None:
        return f"numbers with two decimal marks, {found}"
    return None


def two_marks(column: Column) -> str | None:
    """The decimal marks of a column of numbers that has both, as "'0.5' (200) and '0,5' (180)", or None."""
    assert column.texts is not None
    counts, numbers = column.counts(), 0
    found: dict[str, tuple[str, int]] = {}
    for text, count in zip(column.texts[:SAMPLE], counts.tolist()):
        if count and (match := NUMBER.fullmatch(text)):
            numbers += count
            if mark := decimal_mark(match["digits"]):
                example, before = found.get(mark, (text, 0))
                found[mark] = example, before + count
    if len(found) < 2 or numbers < 0.9 * counts[:SAMPLE].sum():
        return None
    return " and ".join(f"{text!r} ({count})" for text, count in sorted(found.values()))


def described_signs(texts: list[str]) -> list[str]:
    """A note on numbers that no program writes so, such as (3) and −3."""
    plain = parse_plain(texts[:SAMPLE])
    for text, value in zip(texts, plain):
        if np.isnan(value) and not np.isnan(read := DEFAULT.parse(text)):
            return [f"read {text!r} as {number_text(read)}"]
    return []


def described_form(column: Column, form: NumberFormat, rows: np.ndarray) -> list[str]:
    """How the cells of a column are read, by one that shows it; and where a unit is missing that others have."""
    read = [text for text in column.texts or [] if not np.isnan(form.parse(text))]
    example = next((text for text in read if np.isnan(parse_plain([text])[0])), read[0] if read else "")
    at = without_unit(column, form)
    told = [f"read {example!r} as {number_text(form.parse(example))}: {form.described()}"]
    here = at[np.isin(at, rows)]
    return told + (described_bare(column, form, here) if 0 < here.size < len(rows) else [])


def described_bare(column: Column, form: NumberFormat, at: np.ndarray) -> list[str]:
    """A note on rows whose number has no unit."""
    assert column.texts is not None
    text = column.texts[column.values[at[0]]]
    return [
        f"{text!r} has no {form.prefix or form.suffix!r} ({column.on(at)}) and is read as "
        f"{number_text(form.parse(text))} of the same unit: convert it in the file if it is another one"
    ]


def without_unit(column: Column, form: NumberFormat) -> np.ndarray:
    """The rows whose number lacks the unit of the format. 0 needs none."""
    unit = form.prefix or form.suffix
    if not unit or column.texts is None:
        return np.array([], np.int64)
    found = [n for n, text in enumerate(column.texts) if unit not in text and abs(form.parse(text)) > 0]
    return np.flatnonzero(np.isin(column.values, found))


def quartiles(values: np.ndarray) -> tuple[float, float, float]:
    """np.percentile(values, (25, 50, 75)), in less time for few values and for many. None of them is NaN."""
    if len(values) > MANY:
        part = np.sort(values[:: len(values) // MANY])
        first, median, third = (percentile_near(values, part, share) for share in QUARTERS)
    else:
        ordered = np.sort(values).tolist()
        first, median, third = (between(ordered, share * (len(ordered) - 1)) for share in QUARTERS)
    return first, median, third


def percentile_near(values: np.ndarray, part: np.ndarray, share: float) -> float:
    """The percentile, sought among the values near that of an ordered part of them, which are few."""
    middle = round(share * (len(part) - 1))
    low, high = part[max(0, middle - WIDTH)], part[min(len(part) - 1, middle + WIDTH)]
    below = values < low
    near = values[(values <= high) & ~below]
    place = share * (len(values) - 1) - int(np.count_nonzero(below))
    if not 0 <= place < len(near) - 1:
        return float(np.percentile(values, 100 * share))
    near.partition((int(place), int(place) + 1))
    return between([near[int(place)].item(), near[int(place) + 1].item()], place % 1)


def between(ordered: list[float], place: float) -> float:
    """The value at a place that may lie between two, as NumPy works it out."""
    low = int(place)
    part, after = place - low, ordered[min(low + 1, len(ordered) - 1)]
    step = after - ordered[low]
    return ordered[low] + step * part if part < 0.5 else after - step * (1 - part)
