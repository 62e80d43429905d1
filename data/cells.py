"""What the text of a cell says: a number, however it is written; a mark for a missing value; a category."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from tapegrad.data.aliases import PlainData
from tapegrad.data.table import is_float

# Written by machines for a value that is not there: missing in every column.
MARKS = frozenset(("nan", "null", "<na>", "#n/a", "#na", "#null!", "#value!", "#ref!", "?", "nat"))
# Words for a missing value among numbers. In a column of text they are a category: None may be a diagnosis.
WORDS = frozenset(("na", "n/a", "n.a.", "none", "-", "--", ".", "..", "...", "missing"))
TRUTH = ({"true", "false"}, {"yes", "no"}, {"y", "n"}, {"t", "f"}, {"on", "off"})

SPACES = "\u00a0\u202f\u2009"  # non-breaking and thin ones, which separate thousands
CURRENCY = (
    r"(?:US\$|R\$|A\$|C\$|[$€£¥₹₩₽฿₺]|\b(?:USD|EUR|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|CAD|AUD|Rs\.?|kr\.?)\b)"
)
NUMBER = re.compile(
    rf"(?P<open>\()?(?P<minus>[-+−])?\s*(?P<prefix>{CURRENCY})?\s*(?P<inner>[-+−])?"
    rf"(?P<digits>\d[\d.,'{SPACES} ]*\d|\d[.,]?|[.,]\d[\d.,'{SPACES} ]*\d|[.,]\d)"
    r"(?P<power>[eE][-+]?\d{1,3}(?![\w]))?"
    rf"\s*(?P<suffix>{CURRENCY}|[%°‰\"″′a-zA-Zµ²³][^\d\s]{{0,8}})?(?P<after>[-−])?(?P<close>\))?"
)
MULTIPLES = {"K": 1e3, "M": 1e6, "MN": 1e6, "B": 1e9, "BN": 1e9, "T": 1e12}
PLAIN = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
INVISIBLE = re.compile("[\u200b\u2060\ufeff]")  # between letters, and of no width
# May be a number of thousands.
THREES = re.compile(r"[1-9]\d{0,2}(?:[.,]\d{3})+")
SAMPLE = 1000  # different texts that decide how numbers are written


@dataclass(frozen=True)
class NumberFormat:
    """How the numbers of a column are written: the decimal mark, what separates thousands ("" for nothing), what stands
    before and after ("$", "kg"), and whether 1.2K is 1200 and 3M 3000000."""

    decimal: str = "."
    thousands: str = ""
    prefix: str = ""
    suffix: str = ""
    multiples: bool = False

    def parse(self, text: str) -> float:
        """The number, or NaN for a text that is none in this format."""
        match = NUMBER.fullmatch(text)
        if match is None or (match["prefix"] or "") not in ("", self.prefix):
            return np.nan
        suffix, factor = match["suffix"] or "", 1.0
        if self.multiples and suffix.upper() in MULTIPLES:
            suffix, factor = "", MULTIPLES[suffix.upper()]
        if suffix not in ("", self.suffix) or bool(match["open"]) != bool(match["close"]):
            return np.nan
        digits = match["digits"]
        if self.thousands:
            separator = re.escape(self.thousands)
            whole, _, fraction = digits.partition(self.decimal)
            between = "3" if self.thousands == "." else "2,3"  # 12,34,567 in India; 1.10.100 is a version
            if not re.fullmatch(rf"\d*|\d{{1,3}}({separator}\d{{{between}}})*{separator}\d{{3}}", whole):
                return np.nan
            if self.thousands in ".," and self.thousands in fraction:
                return np.nan  # 1,234.5 where 1.234,5 is usual
            digits = digits.replace(self.thousands, "")
        try:
            value = float(digits.replace(self.decimal, ".", 1) + (match["power"] or ""))
        except ValueError:
            return np.nan
        if self.decimal == "," and "." in digits:
            return np.nan
        signs = [match[name] for name in ("minus", "inner", "after") if match[name]]
        negative = bool(match["open"]) or any(sign in "-−" for sign in signs)
        return -value * factor if negative else value * factor

    def state(self) -> PlainData:
        return asdict(self)

    def described(self) -> str:
        parts = []
        if self.decimal == ",":
            parts.append("the comma is the decimal mark")
        if self.thousands:
            name = {",": "comma", ".": "dot", "'": "apostrophe"}.get(self.thousands, "space")
            parts.append(f"the {name} separates thousands")
        if self.prefix or self.suffix:
            parts.append(f"{(self.prefix or self.suffix)!r} is left away")
        if self.multiples:
            parts.append("K is 1000, M a million, B a billion")
        return ", ".join(parts)


DEFAULT = NumberFormat()


def is_mark(text: str) -> bool:
    return text.lower() in MARKS


def parse_plain(texts: Sequence[str]) -> np.ndarray:
    """Each text as a float, NaN where it is no number as programs write them."""
    return np.array([float(text) if is_float(text) else np.nan for text in texts], np.float64)


def parse_numbers(texts: Sequence[str], form: NumberFormat) -> np.ndarray:
    """Each text as a float, NaN where it is none: plain ones first, the others in the format."""
    if form.decimal == "," or form.thousands == ".":
        return np.array([form.parse(text) for text in texts], np.float64)  # 1.234 is not plain here
    values = parse_plain(texts)
    for i in np.flatnonzero(np.isnan(values)).tolist():
        values[i] = form.parse(texts[i])
    return values


def find_format(texts: Sequence[str], counts: np.ndarray, delimiter: str) -> NumberFormat:
    """The format in which the most cells are numbers; the default one where it does as well."""
    order = np.argsort(-counts, kind="stable")[:SAMPLE]
    sample, weights = [texts[i] for i in order], counts[order]
    plain = parse_plain(sample)
    others = [i for i in np.flatnonzero(np.isnan(plain)) if re.search(r"\d", sample[i])]
    matches = [m for m in (NUMBER.fullmatch(sample[i]) for i in others) if m]
    if not matches:
        return DEFAULT
    written = [m["digits"] for m in (NUMBER.fullmatch(text) for text in sample) if m]
    if all(map(is_address, written)):
        return DEFAULT
    decimal, thousands = find_marks(written, delimiter)
    prefix = most_common([m["prefix"] or "" for m in matches])
    suffixes = [m["suffix"] or "" for m in matches]
    multiples = are_multiples(set(suffixes), bool((~np.isnan(plain)).any()))
    suffix = "" if multiples else most_common(suffixes)
    form = NumberFormat(decimal, thousands, prefix, suffix, multiples)
    by_form, by_default = (~np.isnan(parse_numbers(sample, f)) for f in (form, DEFAULT))
    return form if weights[by_form].sum() > weights[by_default].sum() else DEFAULT


def are_multiples(suffixes: set[str], plain: bool) -> bool:
    """Whether what stands behind numbers multiplies them: two of K, M and B, or one beside numbers without."""
    found = suffixes - {""}
    if not found or not all(suffix.upper() in MULTIPLES for suffix in found):
        return False
    return len({suffix.upper() for suffix in found}) > 1 or (plain and found <= {"K", "k", "M", "B"})


def units(texts: Sequence[str], counts: np.ndarray) -> dict[str, int]:
    """How many cells are numbers with each unit, that is, with what stands before or behind them."""
    found: dict[str, int] = {}
    for text, count in zip(texts, counts):
        if count and (match := NUMBER.fullmatch(text)):
            unit = (match["prefix"] or match["suffix"] or "").strip()
            found[unit] = found.get(unit, 0) + int(count)
    return found


def most_common(texts: list[str]) -> str:
    return max(sorted(set(texts)), key=texts.count)


def is_address(text: str) -> bool:
    """Whether digits are an address of the Internet: 192.168.100.101 is none of 192 billion."""
    parts = text.split(".")
    return len(parts) == 4 and all(part.isdigit() and int(part) <= 255 for part in parts)


def find_marks(written: list[str], delimiter: str) -> tuple[str, str]:
    """(decimal mark, separator of thousands) of numbers as they are written. A lone comma before three digits, as in
    1,234, separates thousands, but in a file whose cells are separated by semicolons it is the decimal mark."""
    text = "\n".join(written)
    for space in (*SPACES, " ", "'"):
        if re.search(rf"\d{space}\d{{3}}", text):
            return ("," if "," in text else "."), space
    comma, dot = "," in text, "." in text
    if comma and dot:
        both = [t for t in written if "," in t and "." in t]
        if any(t.rfind(",") > t.rfind(".") for t in both):
            return ",", "."
        # 1,234 beside 0,5 and 0.5 is no number of thousands.
        return ".", "" if any(decimal_mark(t) == "," for t in written) else ","
    if comma:
        grouped = [t for t in written if "," in t]
        in_threes = all(re.fullmatch(r"[1-9]\d{0,2}(,\d{2,3})*,\d{3}", t) for t in grouped)
        if in_threes and (delimiter != ";" or any(t.count(",") > 1 for t in grouped)):
            return ".", ","
        return ",", ""
    if any(t.count(".") > 1 for t in written):
        return ",", "."
    return ".", ""


def decimal_mark(digits: str) -> str:
    """The decimal mark of a number, "" where it has none or may have none."""
    last = max(digits.rfind("."), digits.rfind(","))
    if last < 0 or THREES.fullmatch(digits):
        return ""
    return digits[last] if digits.count(digits[last]) == 1 else ""


def letters(text: str) -> str:
    """A text in one form of Unicode, with plain single spaces, and without characters of no width."""
    if text.isascii() and "  " not in text and "\t" not in text:
        return text
    return " ".join(INVISIBLE.sub("", unicodedata.normalize("NFC", text)).split())


def canonical(text: str) -> str:
    """What two spellings of one category share: 1 and 1.0, -0 and 0, the two forms of é. 007 stays apart from 7."""
    text = letters(text)
    if PLAIN.fullmatch(text) and not re.match(r"[-+]?0\d", text):
        if re.fullmatch(r"[-+]?\d{15,}", text):
            return text.lstrip("+")  # a float64 does not hold all of its digits
        if (value := float(text)).is_integer() and abs(value) < 2**53:
            return str(int(value))
        return f"{float(text) + 0.0:.15g}"  # -0.0 + 0.0 is 0.0
    return text


def truth_words(texts: Sequence[str]) -> bool:
    """Whether all texts are spellings of true and false, or of another such pair."""
    lowered = {text.lower() for text in texts}
    return any(lowered <= pair for pair in TRUTH)


def canonicals(texts: Sequence[str], fold: bool) -> list[str]:
    """`canonical` of each; `fold`: True, true and TRUE are one (see `truth_words`)."""
    return [text.lower() if fold else canonical(text) for text in texts]


def as_format(state: PlainData | None) -> NumberFormat:
    return NumberFormat(**(state or {}))
