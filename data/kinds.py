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

import numpy as np

from tapegrad.autograd.diagnostics import plural
from tapegrad.data.aliases import PlainData
from tapegrad.data.cells import WORDS, canonicals, is_mark, letters, truth_words
from tapegrad.data.dates import NO_DATE, encode_dates, has_offset, limits_of, parse_dates, state_of
from tapegrad.data.encoded import Encoded, by_code
from tapegrad.data.number_columns import MARKED, MAX_CATEGORIES, encode_numbers
from tapegrad.data.table import Column, TableError, listed, number_text


def without_marks(column: Column) -> Column:
    """A column of text, with the cells empty that hold a mark for a missing value."""
    assert column.texts is not None
    marks = np.array([is_mark(text) for text in column.texts] + [False])
    if not marks.any():
        return column
    return Column(column.name, np.where(marks[column.values], -1, column.values), column.texts, column.lines)


# --- dates ---

ISO = "ISO8601"  # the one form that takes offsets from UTC


def learn_dates(column: Column, form: str, rows: np.ndarray) -> tuple[PlainData, list[str]]:
    """(state, notes) of the training rows `rows`."""
    assert column.texts is not None
    by_text = np.append(parse_dates(column.texts, form), np.nan)
    strays = np.flatnonzero(np.isnan(by_text)[column.values] & ~column.empty)
    notes = []
    if strays.size:
        words = listed(list(dict.fromkeys(column.texts[column.values[row]] for row in strays)), 4)
        notes.append(f"is dates but for {words} on {column.on(strays)}: taken as missing")
    train = column.values[rows]
    limits = limits_of(by_text[train])
    offset = form == ISO and any(has_offset(column.texts[code]) for code in np.unique(train[train >= 0]))
    by_text, far = without_far(column, by_text, limits)
    none = np.isnan(by_text)
    missing = int(none[train].sum()) >= MARKED
    if gaps := int(none[column.values].sum()):
        marked = ", and marked in a 0/1 column" * missing
        far.append(f"filled {gaps} missing with the mean date{marked}")
    state = {"name": column.name, "kind": "date", "form": form, "missing": missing}
    state |= {"limits": limits, "offset": offset, **state_of(by_text[train])}
    return state, [*notes, *far, *described_offsets(column, state)]


def without_far(column: Column, by_text: np.ndarray, limits: list[float]) -> tuple[np.ndarray, list[str]]:
    """(the days of the texts, NaN where one lies beyond the limits; a note on those)."""
    assert column.texts is not None
    far = (by_text < limits[0]) | (by_text > limits[1])
    at = np.flatnonzero(far[column.values])
    if not at.size:
        return by_text, []
    words = listed(list(dict.fromkeys(column.texts[column.values[row]] for row in at)), 4)
    note = f"{words} on {column.on(at)}: so far from all other dates that it is taken as missing"
    return np.where(far, np.nan, by_text), [note]


def described_offsets(column: Column, state: PlainData) -> list[str]:
    """A note on times without an offset from UTC where training rows have one, and the reverse."""
    if state["form"] != ISO:
        return []
    texts, expected = column.texts or [], state.get("offset", False)
    odd = np.array([has_offset(text) != expected for text in texts] + [False], bool)
    at = np.flatnonzero(odd[column.values])
    if not at.size:
        return []
    example, on = repr(texts[column.values[at[0]]]), column.on(at)
    if expected:
        return [f"{example} on {on} has no offset from UTC, which others have, and is read as UTC"]
    return [f"{example} on {on} has an offset from UTC, which no training row has, and is turned into UTC"]


def encode_date_column(state: PlainData, column: Column) -> Encoded:
    column = as_text(column)
    by_text = np.append(parse_dates(column.texts or [], state["form"]), np.nan)
    empty = [text in NO_DATE and state["form"] == "%Y%m%d" for text in column.texts or []]
    strays = np.flatnonzero((np.isnan(by_text) & ~np.array([*empty, True]))[column.values])
    if len(strays) * 2 > len(column):
        raise TableError(
            f"column {column.name!r} has {column.cells[strays[0]]!r} on {column.on(strays)}, and the model was trained "
            f"on dates of the form {state['form']} there: write them so, or empty the cells"
        )
    notes = described_offsets(column, state)
    if missing := int(np.isnan(by_text)[column.values].sum()):
        are = "is" if missing == 1 else "are"
        notes.append(f"{plural(missing, 'cell')} without a date {are} taken as the mean date")
    if "limits" in state:
        by_text, far = without_far(column, by_text, state["limits"])
        notes += far
    encoded = encode_dates(state, by_text)
    if state["missing"]:
        encoded = np.column_stack([encoded, np.isnan(by_text)])
    return by_code(encoded, column.values, notes)


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
            f"({plural(rest, 'training row')}) one together"
        )
    missing = bool((train < 0).any())
    if gaps := int(column.empty.sum()):
        notes.append(
            f"{gaps} missing are a category of their own" if missing else f"{gaps} missing are no category"
        )
    state = {"name": column.name, "kind": "category", "categories": sorted(kept), "missing": missing}
    return {**state, "other": other, "fold": fold}, notes


def described_texts(column: Column, counts: Counter[str], fold: bool) -> list[str]:
    notes = described_forms(column.texts or [])
    words = [key for key in sorted(counts) if key.lower() in WORDS]
    if words:
        shown = ", ".join(f"{key!r} ({counts[key]})" for key in words)
        notes.append(f"{shown} kept as a category; if it means missing: --missing {words[0]}")
    by_case = Counter(key.lower() for key in counts)
    if not fold and (alike := [key for key in sorted(counts) if by_case[key.lower()] > 1]):
        notes.append(f"{listed(alike, 4)} differ only in upper and lower case, and are different categories")
    return notes


def described_forms(texts: list[str]) -> list[str]:
    """A note on texts that are written in several forms of Unicode, as é, or with other spaces."""
    forms: dict[str, set[str]] = {}
    for text in texts:
        forms.setdefault(letters(text), set()).add(text)
    several = [text for text in sorted(forms) if len(forms[text]) > 1]
    if not several:
        return []
    return [
        f"{listed(several, 4)}: cells that write the same letters in several forms of Unicode, or with other spaces, "
        "are one text"
    ]


def encode_categories(state: PlainData, column: Column) -> Encoded:
    categories = state["categories"]
    column = as_text(column)
    texts = column.texts or []
    places = {key: i for i, key in enumerate(canonicals(categories, state["fold"]))}
    width = len(categories) + state["other"] + state["missing"]
    other = len(categories) if state["other"] else width  # the place `width` has no 1
    gap = len(categories) + state["other"] if state["missing"] else width
    by_text = np.array([places.get(key, other) for key in canonicals(texts, state["fold"])] + [gap], np.int64)
    notes = []
    unseen = np.bincount(column.values[column.values >= 0], minlength=len(texts)) > 0
    strange = sorted(text for text, there, place in zip(texts, unseen, by_text) if there and place == width)
    if strange:
        notes.append(f"not seen in training, taken as none: {listed(strange)}")
    if gap == width and column.empty.any():
        notes.append(f"{int(column.empty.sum())} missing, which training had none of, are taken as none")
    one_hot = np.eye(width + 1, width)

    def write(rows: slice, out: np.ndarray) -> None:
        out[...] = one_hot[by_text[column.values[rows]]]

    return Encoded(width, write, notes)


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


def encode_words(state: PlainData, column: Column) -> Encoded:
    column = as_text(column)
    texts = [*(column.texts or []), ""]
    places = {word: i for i, word in enumerate(state["words"])}
    by_text = np.zeros((len(texts), len(places)))
    for row, text in enumerate(texts):
        for word in words_of(text):
            if word in places:
                by_text[row, places[word]] = 1.0
    return by_code(by_text, column.values, [])


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
