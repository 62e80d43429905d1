"""Where in the user's code something is named: a reason that was found out otherwise is told with a line."""

import dis
import os
import re
from collections.abc import Iterable
from types import CodeType

HAS_LINE = re.compile(r" at ([^:]+\.\w+|<[^>]+>):\d+")
PATH = re.compile(r"[^\W\d]\w*(?:\.\w+|\[[^\]]*\])*")
CHANGES = ("STORE_ATTR", "STORE_GLOBAL", "STORE_DEREF", "STORE_NAME", "STORE_SUBSCR", "DELETE_ATTR")


def with_line(reason: str, codes: Iterable[CodeType], at_end: bool = False) -> str:
    """A reason with the line of the user's code that names what it speaks of; as it is if it has one already."""
    if HAS_LINE.search(reason):
        return reason
    sorted_codes = sorted(codes, key=lambda c: (c.co_filename, c.co_firstlineno))
    line = next(filter(None, (line_of(word, sorted_codes) for word in words_of(reason))), None)
    if line is None:
        if not sorted_codes:
            return reason
        line = f"{os.path.basename(sorted_codes[0].co_filename)}:{sorted_codes[0].co_firstlineno}"
    marks = () if at_end else (", which", ": ", ". ")
    at = min((i for mark in marks if (i := reason.find(mark)) > 0), default=len(reason))
    return f"{reason[:at]} at {line}{reason[at:]}"


def it_changes(names: Iterable[str]) -> str:
    """The reason why a function with such an effect is not compiled."""
    first = ", ".join([*dict.fromkeys(names)][:3])
    return f"it changes {first}, which a program would leave as it was. Return it, or change it outside"


def words_of(reason: str) -> list[str]:
    """The names in a reason: those of paths from the end, then single words."""
    paths = [re.findall(r"[^\W\d]\w*", path) for path in PATH.findall(reason)]
    return [w for path in paths if len(path) > 1 for w in reversed(path)] + [
        w for path in paths if len(path) == 1 for w in path
    ]


def line_of(word: str, codes: list[CodeType]) -> str | None:
    """The first line that changes what has this name; else the first that reads it."""
    read = None
    for code in codes:
        line = code.co_firstlineno
        for i in dis.get_instructions(code):
            line = (i.positions.lineno if i.positions else None) or line
            if i.argval == word and isinstance(i.argval, str):
                found = f"{os.path.basename(code.co_filename)}:{line}"
                if i.opname in CHANGES:
                    return found
                read = read or found
    return read
