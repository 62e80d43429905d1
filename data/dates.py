"""Dates and times as numbers: days since 1970, and where in the year, the week and the day they lie."""

import re
from collections.abc import Sequence

import numpy as np

from tapegrad.data.aliases import PlainData

# Tried in this order, the month first where it may be either; the first that reads nearly all texts is taken.
SHORT = ("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%m-%d-%Y", "%d-%m-%Y")
FORMATS = (
    *("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "ISO8601"),
    *(*SHORT, "%Y/%m/%d", "%d.%m.%Y", "%d.%m.%y"),
    *(f"{day} {time}" for time in ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p") for day in SHORT),
    *("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d-%b-%Y %H:%M:%S", "%d-%b-%Y %H:%M", "%B %d %Y %H:%M"),
    *("%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d, %Y", "%b %d %Y", "%d %B %Y", "%B %d, %Y", "%B %d %Y"),
    *("%b %Y", "%B %Y", "%b-%Y", "%b-%y", "%Y-%m", "%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p"),
)
ENOUGH = 0.9  # of the cells
SAMPLE = 200
# A date stands for none, as 9999-12-31 does, that is half a century from the middle one, in days, and so many times as
# far as half of the different dates.
HALF_A_CENTURY, FAR = 18_262.0, 20.0
NO_DATE = ("0", "10101", "99999999")  # written for none where all dates are as 20240131
OFFSET = re.compile(r"[Tt ]\d\d[\d:.,]*\s*(?:[Zz]|[-+]\d\d(?::?\d\d)?)")
CYCLES = {"month": 12, "weekday": 7, "hour": 24}


def parse_dates(texts: Sequence[str], form: str) -> np.ndarray:
    """Days since 1970 as float64, NaN where a text is no date of this form."""
    import pandas as pd

    found = pd.to_datetime(pd.Series(list(texts), dtype=object), format=form, errors="coerce", utc=True)
    stamps = found.to_numpy(dtype="datetime64[us]")
    return np.where(np.isnat(stamps), np.nan, stamps.astype(np.int64) / 86_400e6)


def find_date_format(texts: Sequence[str], counts: np.ndarray, day_first: bool) -> tuple[str, bool] | None:
    """(the form of the dates, whether day and month could change places), or None where the texts are no dates."""
    if not any(any(c.isdigit() for c in text) for text in texts[:SAMPLE]):
        return None
    order = np.argsort(-counts, kind="stable")[:SAMPLE]
    sample, weights = [texts[i] for i in order], counts[order]
    for form in FORMATS:
        read = ~np.isnan(parse_dates(sample, form))
        if weights[read].sum() >= ENOUGH * weights.sum():
            break
    else:
        return None
    if (other := swapped(form)) == form or other not in FORMATS:
        return form, False
    # A few days beyond the twelfth, maybe none of the sample, tell which of the two it is.
    one, two = (counts[~np.isnan(parse_dates(texts, f))].sum() for f in (form, other))
    if two < ENOUGH * counts.sum():
        return form, False
    if day_first:
        return min(form, other), True
    return (form if one >= two else other), bool(one == two)


def limits_of(days: np.ndarray) -> list[float]:
    """[the first day, the last] that is meant as a day. Each different date counts once: most cells may hold one that
    means none."""
    known = np.unique(days[~np.isnan(days)])
    middle = (len(known) - 1) // 2
    distance = np.sort(np.abs(known - known[middle]))[middle]
    most = max(HALF_A_CENTURY, FAR * float(distance))
    return [float(known[middle]) - most, float(known[middle]) + most]


def has_offset(text: str) -> bool:
    """Whether a time ends with its offset from UTC, as in 2024-01-31T12:00:00+02:00."""
    return OFFSET.search(text) is not None


def swapped(form: str) -> str:
    """The same form with day and month in each other's place."""
    return form.replace("%m", "*").replace("%d", "%m").replace("*", "%d")


def date_parts(days: np.ndarray) -> dict[str, np.ndarray]:
    """The day, and month, weekday and hour as numbers from 0."""
    filled = np.where(np.isnan(days), 0.0, days)
    stamps = np.round(filled * 86_400e6).astype("datetime64[us]")
    whole = stamps.astype("datetime64[D]").astype(np.int64)
    parts = {
        "month": stamps.astype("datetime64[M]").astype(np.int64) % 12,
        "weekday": (whole + 3) % 7,  # 1970-01-01 was a Thursday; Monday is 0
        "hour": (filled - whole) * 24,
    }
    return {name: np.where(np.isnan(days), np.nan, part) for name, part in parts.items()}


def circle(part: np.ndarray, cycle: int) -> np.ndarray:
    """(rows, 2): sine and cosine, so that December lies next to January."""
    angle = 2 * np.pi * np.where(np.isnan(part), 0.0, part) / cycle
    there = ~np.isnan(part)
    return np.stack([np.sin(angle) * there, np.cos(angle) * there], axis=1)


def state_of(days: np.ndarray) -> PlainData:
    """What `encode_dates` needs of the training rows' days."""
    known = days[~np.isnan(days)]
    parts = [name for name, part in date_parts(np.unique(known)).items() if np.ptp(np.round(part, 6)) > 0]
    return {"mean": float(known.mean()), "scale": float(known.std()) or 1.0, "parts": parts}


def encode_dates(state: PlainData, days: np.ndarray) -> np.ndarray:
    """(rows, 1 + 2 for each part); the mean where a date is missing."""
    scaled = (np.where(np.isnan(days), state["mean"], days) - state["mean"]) / state["scale"]
    parts = date_parts(days)
    return np.concatenate(
        [scaled[:, None], *(circle(parts[name], CYCLES[name]) for name in state["parts"])], axis=1
    )
