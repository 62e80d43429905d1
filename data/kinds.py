"""The kinds of column that a model learns from. Each kind learns a state from the training rows, plain data that goes
into the model's file, and turns cells into numbers by it.

    number     (x - mean) / standard deviation; the median where a cell is missing; a 0/1 column for "missing", and one
               for each word that stands among the numbers, where at least 5 training rows have it
    date       days since 1970 in the same way; month, weekday and hour as sine and cosine where they differ
    category   a 0/1 column for each text, for "missing", and beyond 50 texts for all others
    words      a 0/1 column for each frequent word of texts that are nearly all different
"""

import re
from collections import Counter
from typing import NamedTuple

import numpy as np

from tapegrad.data.aliases import PlainData
from tapegrad.data.cells import (
    DEFAULT,
    SAMPLE,
    WORDS,
    NumberFormat,
    as_format,
    canonicals,
    find_format,
    is_mark,
    parse_numbers,
    truth_words,
)
from tapegrad.data.dates import encode_dates, parse_dates, state_of
from tapegrad.data.numbers import MAX_STRAY, described_signs, quartiles, several_units
from tapegrad.data.table import Column, TableError, listed, number_text

MAX_CATEGORIES = 50  # and as many words
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
        return int(np.isnan(self.values).sum())


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
    # Stray words among numbers; or codes, a few of which happen to be digits.
    if share > 0.5 or (share > MAX_STRAY and len(column.texts) <= MAX_CATEGORIES):
        return None
    return read_numbers(column, form)


def without_marks(column: Column) -> Column:
    """A column of text, with the cells empty that hold a mark for a missing value."""
    assert column.texts is not None
    marks = np.array([is_mark(text) for text in column.texts] + [False])
    if not marks.any():
        return column
    return Column(column.name, np.where(marks[column.values], -1, column.values), column.texts, column.lines)


# --- numbers ---


def learn_numbers(column: Column, numbers: Numbers, rows: np.ndarray) -> tuple[PlainData, list[str]]:
    """(state, notes) of the training rows `rows`, at least one of which holds a number."""
    train = numbers.values[rows]
    known = train[~np.isnan(train)]
    state: PlainData = {"name": column.name, "kind": "number"}
    notes = []
    if numbers.form != DEFAULT:
        state["format"] = numbers.form.state()
        example = next((t for t in column.texts or [] if not np.isnan(numbers.form.parse(t))), "")
        notes.append(
            f"read {example!r} as {number_text(numbers.form.parse(example))}: {numbers.form.described()}"
        )
    elif column.texts is not None:
        notes += described_signs(column.texts)
    first, median, third = quartiles(known)
    if cut := bounds(known, first, third):
        state["cut"] = cut
        out = np.flatnonzero((numbers.values < cut[0]) | (numbers.values > cut[3]))
        one = float(numbers.values[out[0]])
        notes.append(
            f"{number_text(one)} on {column.on(out)} is so far from all others that it is taken as "
            f"{number_text(cut[1] if one < cut[0] else cut[2])}"
        )
        train = cut_off(train, cut)
    filled = np.where(np.isnan(train), median, train)
    state |= {"median": median, "mean": float(filled.mean()), "scale": float(filled.std()) or 1.0}
    in_training = np.isin(numbers.strays, rows)
    counts = Counter(word for word, there in zip(numbers.words, in_training) if there)
    state["words"] = sorted(word for word, count in counts.items() if count >= MARKED)[:MAX_CATEGORIES]
    unmarked = int(np.isnan(train).sum()) - sum(counts[word] for word in state["words"])
    state["missing"] = unmarked >= MARKED
    return state, notes + described_gaps(column, numbers, state)


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


def described_gaps(column: Column, numbers: Numbers, state: PlainData) -> list[str]:
    """What is told of words among the numbers, and of missing cells."""
    notes = []
    if numbers.words:
        counts = Counter(numbers.words)
        shown = ", ".join(f"{w!r} ({n})" if n > 1 else repr(w) for w, n in counts.most_common(4))
        more = f" and {len(counts) - 4} more" * (len(counts) > 4)
        own = "each has a 0/1 column" if state["words"] else "taken as missing"
        notes.append(f"is numbers but for {shown}{more} on {column.on(numbers.strays)}: {own}")
    if numbers.missing:
        marked = ", and marked in a 0/1 column" if state["missing"] else ""
        notes.append(
            f"filled {numbers.missing} missing with the median, {number_text(state['median'])}{marked}"
        )
    return notes


def encode_numbers(state: PlainData, column: Column) -> tuple[np.ndarray, list[str]]:
    numbers = read_numbers(column, as_format(state.get("format")))
    if len(numbers.strays) * 2 > len(column):
        raise TableError(
            f"column {column.name!r} has {numbers.words[0]!r}, no number, on {column.on(numbers.strays)}, and the "
            "model was trained on numbers there: fix or empty the cells"
        )
    notes = described_gaps(column, numbers, state)
    values = cut_off(numbers.values, state["cut"]) if "cut" in state else numbers.values
    missing = np.isnan(values)
    filled = np.where(missing, state["median"], values) if missing.any() else values
    scaled = (filled - state["mean"]) / state["scale"]
    beyond = max(scaled.max(initial=0.0), -scaled.min(initial=0.0)) > LIMIT
    far = np.flatnonzero(np.abs(scaled) > LIMIT) if beyond else np.array([], np.int64)
    if far.size:
        notes.append(
            f"{number_text(float(numbers.values[far[0]]))} on {column.on(far)} is far from all that was trained on: "
            f"taken as {number_text(state['mean'] + float(np.sign(scaled[far[0]])) * LIMIT * state['scale'])}"
        )
        scaled = np.clip(scaled, -LIMIT, LIMIT)
    parts = [scaled]
    for word in state["words"]:
        places = numbers.strays[np.array([w == word for w in numbers.words], bool)]
        has = np.zeros(len(column))
        has[places] = 1.0
        missing[places] = False
        parts.append(has)
    if state["missing"]:
        parts.append(missing.astype(np.float64))
    return np.stack(parts, axis=1) if len(parts) > 1 else scaled[:, None], notes


# --- dates ---


def learn_dates(column: Column, form: str, rows: np.ndarray) -> tuple[PlainData, list[str]]:
    """(state, notes) of the training rows `rows`."""
    assert column.texts is not None
    by_text = np.append(parse_dates(column.texts, form), np.nan)
    none = np.isnan(by_text)
    missing = int(none[column.values[rows]].sum()) >= MARKED
    state = {"name": column.name, "kind": "date", "form": form, "missing": missing}
    strays = np.flatnonzero(none[column.values] & ~column.empty)
    notes = []
    if strays.size:
        words = listed(list(dict.fromkeys(column.texts[column.values[row]] for row in strays)), 4)
        notes.append(f"is dates but for {words} on {column.on(strays)}: taken as missing")
    if gaps := int(none[column.values].sum()):
        marked = ", and marked in a 0/1 column" * missing
        notes.append(f"filled {gaps} missing with the mean date{marked}")
    return {**state, **state_of(by_text[column.values[rows]])}, notes


def encode_date_column(state: PlainData, column: Column) -> tuple[np.ndarray, list[str]]:
    column = as_text(column)
    by_text = np.append(parse_dates(column.texts or [], state["form"]), np.nan)
    strays = np.flatnonzero(np.isnan(by_text)[column.values] & ~column.empty)
    if len(strays) * 2 > len(column):
        raise TableError(
            f"column {column.name!r} has {column.cells[strays[0]]!r} on {column.on(strays)}, and the model was trained "
            f"on dates of the form {state['form']} there: write them so, or empty the cells"
        )
    encoded = encode_dates(state, by_text)
    if state["missing"]:
        encoded = np.column_stack([encoded, np.isnan(by_text)])
    missing = int(np.isnan(by_text)[column.values].sum())
    notes = [f"{missing} cells without a date are taken as the mean date"] if missing else []
    return encoded[column.values], notes


# --- categories ---


def learn_categories(column: Column, rows: np.ndarray) -> tuple[PlainData, list[str]]:
    """(state, notes): the texts of the training rows, at most 50 of them, the most frequent ones."""
    assert column.texts is not None
    fold = truth_words(column.texts)
    keys = canonicals(column.texts, fold)
    train = column.values[rows]
    counts: Counter[str] = Counter()
    for code, count in enumerate(np.bincount(train[train >= 0], minlength=len(keys))):
        if count:
            counts[keys[code]] += int(count)
    kept = sorted(counts, key=lambda key: (-counts[key], key))
    other = len(kept) > MAX_CATEGORIES
    notes = described_texts(column, counts, fold)
    if other:
        kept = kept[:MAX_CATEGORIES]
        rest = len(rows) - int((train < 0).sum()) - sum(counts[key] for key in kept)
        notes.append(
            f"{len(counts)} different texts: the {MAX_CATEGORIES} most frequent have a 0/1 column each, the others "
            f"({rest} training rows) one together"
        )
    missing = bool((train < 0).any())
    if gaps := int(column.empty.sum()):
        notes.append(
            f"{gaps} missing are a category of their own" if missing else f"{gaps} missing are no category"
        )
    state = {"name": column.name, "kind": "category", "categories": sorted(kept), "missing": missing}
    return {**state, "other": other, "fold": fold}, notes


def described_texts(column: Column, counts: Counter[str], fold: bool) -> list[str]:
    notes = []
    words = [key for key in sorted(counts) if key.lower() in WORDS]
    if words:
        shown = ", ".join(f"{key!r} ({counts[key]})" for key in words)
        notes.append(f"{shown} kept as a category; if it means missing: --missing {words[0]}")
    by_case = Counter(key.lower() for key in counts)
    if not fold and (alike := [key for key in sorted(counts) if by_case[key.lower()] > 1]):
        notes.append(f"{listed(alike, 4)} differ only in upper and lower case, and are different categories")
    return notes


def encode_categories(state: PlainData, column: Column) -> tuple[np.ndarray, list[str]]:
    categories = state["categories"]
    column = as_text(column)
    texts = column.texts or []
    places = {key: i for i, key in enumerate(categories)}
    width = len(categories) + state["other"] + state["missing"]
    other = len(categories) if state["other"] else width  # the place `width` is cut off below
    gap = len(categories) + state["other"] if state["missing"] else width
    by_text = np.array([places.get(key, other) for key in canonicals(texts, state["fold"])] + [gap], np.int64)
    where = by_text[column.values]
    encoded = np.zeros((len(column), width + 1))
    encoded[np.arange(len(column)), where] = 1.0
    notes = []
    unseen = np.bincount(column.values[column.values >= 0], minlength=len(texts)) > 0
    strange = sorted(text for text, there, place in zip(texts, unseen, by_text) if there and place == width)
    if strange:
        notes.append(f"not seen in training, taken as none: {listed(strange)}")
    if gap == width and column.empty.any():
        notes.append(f"{int(column.empty.sum())} missing, which training had none of, are taken as none")
    return encoded[:, :width], notes


def as_text(column: Column) -> Column:
    """A column that pandas read as numbers, as texts."""
    if column.texts is not None:
        return without_marks(column)
    values, codes = np.unique(np.nan_to_num(column.values), return_inverse=True)
    texts = [number_text(float(value)) for value in values]
    return Column(column.name, np.where(column.empty, -1, codes), texts, column.lines)


# --- words ---

WORD = re.compile(r"[^\W\d_]{3,}")


def words_of(text: str) -> set[str]:
    return set(WORD.findall(text.lower()))


def learn_words(column: Column, rows: np.ndarray) -> PlainData | None:
    """The words that at least 5 and a fiftieth of the training rows share, the 50 most frequent; None without two."""
    assert column.texts is not None
    train = column.values[rows]
    counts: Counter[str] = Counter()
    for code, count in enumerate(np.bincount(train[train >= 0], minlength=len(column.texts))):
        if count:
            for word in words_of(column.texts[code]):
                counts[word] += int(count)
    least, most = max(MARKED, len(rows) / 50), 0.95 * len(rows)
    frequent = [w for w in sorted(counts, key=lambda w: (-counts[w], w)) if least <= counts[w] <= most]
    if len(frequent) < 2:
        return None
    return {"name": column.name, "kind": "words", "words": sorted(frequent[:MAX_CATEGORIES])}


def encode_words(state: PlainData, column: Column) -> tuple[np.ndarray, list[str]]:
    column = as_text(column)
    texts = [*(column.texts or []), ""]
    places = {word: i for i, word in enumerate(state["words"])}
    by_text = np.zeros((len(texts), len(places)))
    for row, text in enumerate(texts):
        for word in words_of(text):
            if word in places:
                by_text[row, places[word]] = 1.0
    return by_text[column.values], []


ENCODERS = {
    "number": encode_numbers,
    "date": encode_date_column,
    "category": encode_categories,
    "words": encode_words,
}


def width_of(state: PlainData) -> int:
    """How many numbers a cell of the column becomes."""
    if state["kind"] == "number":
        return 1 + len(state["words"]) + state["missing"]
    if state["kind"] == "date":
        return 1 + 2 * len(state["parts"]) + state["missing"]
    if state["kind"] == "category":
        return len(state["categories"]) + state["other"] + state["missing"]
    return len(state["words"])
