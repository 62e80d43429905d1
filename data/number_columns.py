"""Columns of numbers: how they are read, what is learned from the training rows, and how they are encoded."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from tapegrad.autograd.arguments import shortened
from tapegrad.data.aliases import PlainData
from tapegrad.data.cells import (
    DEFAULT,
    MULTIPLES,
    NUMBER,
    SAMPLE,
    WORDS,
    NumberFormat,
    as_format,
    find_format,
    is_mark,
    parse_numbers,
)
from tapegrad.data.encoded import Encoded
from tapegrad.data.numbers import (
    MAX_STRAY,
    described_bare,
    described_form,
    described_signs,
    quartiles,
    several_units,
    without_unit,
)
from tapegrad.data.table import Column, TableError, number_text

MAX_CATEGORIES = 50  # of a column of text
MARKED = 5  # training rows from which on what is missing gets a column
FAR = 1000.0  # times the distance of the quartiles: a number so far out would hide all others
NEAR = 10.0  # times it: where such a number is put
LARGEST = 1e100  # a number that no product overflows with
LIMIT = 1e6  # of a standardized number in prediction


class Numbers(NamedTuple):
    """A column read as numbers: `values` NaN where there is none; `strays` the rows whose text is neither a number nor
    a word for missing, and `words` the text of each such row."""

    values: np.ndarray
    form: NumberFormat
    strays: np.ndarray
    words: list[str]

    @property
    def missing(self) -> int:
        return int(np.count_nonzero(np.isnan(self.values)))


def read_numbers(column: Column, form: NumberFormat) -> Numbers:
    if column.texts is None:
        return Numbers(column.values, DEFAULT, np.array([], np.int64), [])
    by_text = parse_numbers(column.texts, form)
    stray_text = np.array(
        [np.isnan(v) and not is_missing_number(t) for v, t in zip(by_text, column.texts)] + [False], bool
    )
    values = np.append(by_text, np.nan)[column.values]
    strays = np.flatnonzero(stray_text[column.values])
    return Numbers(values, form, strays, [column.texts[column.values[row]] for row in strays])


def is_missing_number(text: str) -> bool:
    return is_mark(text) or text.lower() in WORDS


def find_numbers(column: Column, delimiter: str) -> Numbers | None:
    """The column as numbers, or None where it is better taken as text."""
    if column.texts is None:
        return read_numbers(column, DEFAULT)
    counts = column.counts()
    form = find_format(column.texts, counts, delimiter)
    some = column.texts[:SAMPLE]
    if np.isnan(parse_numbers(some, form)).sum() > 0.95 * len(some) > 20:
        return None  # text, and there may be a million different ones
    by_text = parse_numbers(column.texts, form)
    number = ~np.isnan(by_text)
    if not number.any():
        return None
    text = np.array([not is_missing_number(t) for t in column.texts]) & ~number
    share = counts[text].sum() / max(1, counts[number | text].sum())
    if share > MAX_STRAY and several_units(column):
        return None
    # Stray words among numbers; or codes, a few of which happen to be digits. A word that is frequent gets a column.
    rare = counts[text & (counts < MARKED)].sum() / max(1, counts[number | text].sum())
    if share > 0.5 or rare > MAX_STRAY or (share > MAX_STRAY and len(column.texts) <= MAX_CATEGORIES):
        return None
    return read_numbers(column, form)


def learn_numbers(
    column: Column, numbers: Numbers, rows: np.ndarray, train: np.ndarray
) -> tuple[PlainData, list[str]]:
    """(state, notes) of the training rows `rows`, whose numbers are `train`: one of them at least is not NaN."""
    gaps = np.isnan(train)
    some = bool(gaps.any())
    known = train[~gaps] if some else train
    state: PlainData = {"name": column.name, "kind": "number"}
    notes = []
    if numbers.form != DEFAULT:
        state["format"] = numbers.form.state()
        in_multiples = numbers.form.suffix.upper() in MULTIPLES
        state["united"] = not np.isin(without_unit(column, numbers.form), rows).any()
        state["always"] = in_multiples and not np.isin(rows, bare(column)).any()
        notes += described_form(column, numbers.form, rows)
    elif column.texts is not None:
        notes += described_signs(column.texts)
    first, median, third = quartiles(known)
    if cut := bounds(known, first, third):
        state["cut"] = cut
        notes += described_cut(column, numbers.values, cut)
        train = cut_off(train, cut)
    filled = np.where(gaps, median, train) if some else train
    state |= {"median": median, "mean": float(filled.mean()), "scale": float(filled.std()) or 1.0}
    words = words_in(numbers, rows)
    state["strays"] = sorted(words)[:MAX_CATEGORIES]
    state["words"] = sorted(word for word, count in words.items() if count >= MARKED)[:MAX_CATEGORIES]
    unmarked = int(np.count_nonzero(gaps)) - sum(words[word] for word in state["words"])
    state["missing"] = unmarked >= MARKED
    return state, notes + described_gaps(column, numbers, state)


def words_in(numbers: Numbers, rows: np.ndarray) -> Counter[str]:
    """How often each word stands among the numbers of these rows."""
    if not numbers.words:
        return Counter()
    return Counter(word for word, there in zip(numbers.words, np.isin(numbers.strays, rows)) if there)


def check_size(column: Column, values: np.ndarray) -> None:
    """TableError for an infinite cell, and for a column of numbers that overflow or differ by next to nothing."""
    low, high = np.fmin.reduce(values), np.fmax.reduce(values)  # NaN where there is no number
    if max(-low, high) <= LARGEST and not 0 < high - low < 1 / LARGEST:
        return
    with np.errstate(invalid="ignore"):
        infinite = np.flatnonzero(np.isinf(values))
        if infinite.size:
            raise TableError(
                f"column {column.name!r}, {column.on(infinite)}: infinite: leave the cell empty or fix it"
            )
        spread = np.nanmax(values) - np.nanmin(values) if not np.isnan(values).all() else 0.0
        if 0 < spread < 1 / LARGEST:
            raise TableError(
                f"column {column.name!r} has numbers that differ by less than {1 / LARGEST:g}: scale it first, or "
                f"leave it out with --drop {column.name!r}"
            )
        large = np.flatnonzero(np.abs(values) > LARGEST)
        if large.size * 2 > len(values):
            raise TableError(
                f"column {column.name!r} has numbers beyond {LARGEST:g}, as on {column.on(large)}: scale it first, or "
                f"leave it out with --drop {column.name!r}"
            )


def bounds(known: np.ndarray, first: float, third: float) -> list[float] | None:
    """[below which number, it is taken as this one, or as this one, above that number], where numbers are so far out
    that they would hide the differences of all others."""
    width = third - first
    far, near = (FAR * width, NEAR * width) if width else (LARGEST, 0.0)
    if known.min() >= first - far and known.max() <= third + far:
        return None
    return [first - far, first - near, third + near, third + far]


def cut_off(values: np.ndarray, cut: list[float]) -> np.ndarray:
    return np.where(values < cut[0], cut[1], np.where(values > cut[3], cut[2], values))


def described_cut(column: Column, values: np.ndarray, cut: list[float]) -> list[str]:
    out = np.flatnonzero((values < cut[0]) | (values > cut[3]))
    if not out.size:
        return []
    one = float(values[out[0]])
    return [
        f"{number_text(one)} on {column.on(out)} is so far from all others that it is taken as "
        f"{number_text(cut[1] if one < cut[0] else cut[2])}"
    ]


def described_gaps(column: Column, numbers: Numbers, state: PlainData) -> list[str]:
    """What is told of words among the numbers, and of missing cells."""
    notes = []
    if numbers.words:
        counts = Counter(numbers.words)
        shown = shortened([f"{w!r} ({n})" if n > 1 else repr(w) for w, n in counts.most_common()], 4)
        own = "each has a 0/1 column" if state["words"] else "taken as missing"
        notes.append(f"is numbers but for {shown} on {column.on(numbers.strays)}: {own}")
    if numbers.missing:
        marked = ", and marked in a 0/1 column" if state["missing"] else ""
        notes.append(
            f"filled {numbers.missing} missing with the median, {number_text(state['median'])}{marked}"
        )
    return notes


def bare(column: Column) -> np.ndarray:
    """The rows with a number and nothing behind it."""
    if column.texts is None:
        return np.flatnonzero(~np.isnan(column.values))
    texts = [n for n, t in enumerate(column.texts) if (found := NUMBER.fullmatch(t)) and not found["suffix"]]
    return np.flatnonzero(np.isin(column.values, texts))


def encode_numbers(state: PlainData, column: Column) -> Encoded:
    numbers = read_numbers(column, as_format(state.get("format")))
    if state.get("always") and (without := bare(column)).size:
        suffix = numbers.form.suffix or as_format(state["format"]).suffix
        raise TableError(
            f"column {column.name!r} has a number without {suffix!r} on {column.on(without)}, and the model was "
            f"trained on numbers that all have it, as 1.5{suffix}: write it so, if {suffix} is meant"
        )
    strange = without_unit(column, numbers.form) if state.get("united") else np.array([], np.int64)
    known = {*state["words"], *state.get("strays", ())}
    unknown = [at for at, word in enumerate(numbers.words) if word not in known]
    if len(unknown) * 2 > len(column):
        raise TableError(
            f"column {column.name!r} has {numbers.words[unknown[0]]!r}, no number, on "
            f"{column.on(numbers.strays[unknown])}, and the "
            "model was trained on numbers there: fix or empty the cells"
        )
    notes = described_gaps(column, numbers, state)
    if strange.size:
        notes += described_bare(column, numbers.form, strange)
    if "cut" in state:
        notes += described_cut(column, numbers.values, state["cut"])
    gaps, far = numbers.missing > 0, far_rows(numbers.values, state)
    if far.size:
        one = float(numbers.values[far[0]])
        end = state["mean"] + (LIMIT if one > state["mean"] else -LIMIT) * state["scale"]
        notes.append(
            f"{number_text(one)} on {column.on(far)} is far from all that was trained on: taken as {number_text(end)}"
        )
    flags = flags_of(numbers, state)

    def write(rows: slice, out: np.ndarray) -> None:
        values, scaled = numbers.values[rows], out[:, 0]
        if "cut" in state:
            values = cut_off(values, state["cut"])
        if gaps:
            values = np.where(np.isnan(values), state["median"], values)
        # What overflows is far, and put at the limit.
        with np.errstate(over="ignore"):
            np.divide(values - state["mean"], state["scale"], out=scaled)
        if far.size:
            np.clip(scaled, -LIMIT, LIMIT, out=scaled)
        for i, flag in enumerate(flags, start=1):
            out[:, i] = flag[rows]

    return Encoded(1 + len(flags), write, notes)


def far_rows(values: np.ndarray, state: PlainData) -> np.ndarray:
    """The rows whose number is beyond LIMIT once it is standardized."""
    if "cut" in state:
        values = cut_off(values, state["cut"])
    # The extremes tell it of nearly all columns.
    low, high = np.fmin.reduce(values, initial=np.inf), np.fmax.reduce(values, initial=-np.inf)
    with np.errstate(over="ignore"):
        if max(high - state["mean"], state["mean"] - low) / state["scale"] <= LIMIT:
            return np.array([], np.int64)
        return np.flatnonzero(np.abs((values - state["mean"]) / state["scale"]) > LIMIT)


def flags_of(numbers: Numbers, state: PlainData) -> list[np.ndarray]:
    """For each word of the state, which rows hold it; and which rows hold nothing, if the state asks for it."""
    missing = np.isnan(numbers.values) if state["words"] or state["missing"] else np.array([], bool)
    flags = []
    for word in state["words"]:
        places = numbers.strays[np.array([w == word for w in numbers.words], bool)]
        has = np.zeros(len(missing), bool)
        has[places], missing[places] = True, False
        flags.append(has)
    return [*flags, missing] if state["missing"] else flags
