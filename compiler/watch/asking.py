"""Which attributes code asks for by a name in a text, as in `getattr(b, "x")`, and where it computes that name."""

import dis
import re
from collections.abc import Sequence
from dis import Instruction

from tapegrad.compiler.watch.code import CONSTANT, JUMPS, NAMED, Part

BEFORE_CALL = "PRECALL" if "PRECALL" in dis.opmap else "CALL"  # what takes the arguments off the stack first
BY_NAME = {"getattr": 1, "hasattr": 1, "setattr": 1}  # function -> which of its arguments is the name
GETTERS = ("attrgetter", "methodcaller")
OF_TEXT = frozenset({"format", "format_map"})
# What asks for an attribute by a name that the code need not have.
ASKING = frozenset({"getattr", "vars", "dir", "__dict__", "__getattribute__"})
# For what code in C reads all attributes.
READING_ALL = frozenset({"__getstate__", "__reduce__", "__reduce_ex__"})
# Among names: something of these is known by another name, which is in no code.
ELSEWHERE = "<another name>"
ALSO_ASKING = ASKING | {ELSEWHERE, "attrgetter", "methodcaller", "hasattr", "setattr", *OF_TEXT}


def asked_by_text(part: Part, asking: frozenset[str] = ALSO_ASKING) -> set[str] | None:
    """The names that texts in a piece of code give to what asks for an attribute; None: it computes some of them."""
    if asking.isdisjoint(part.names):
        return set()
    at = [n for n, i in enumerate(part.ran) if i.opcode in NAMED and str(i.argval) in asking]
    found = [names_at(part.ran, n) for n in at]
    return None if None in found else {name for names in found for name in names or ()}


def names_at(ran: Sequence[Instruction], n: int) -> Sequence[str] | None:
    """The names that the n-th instruction, which loads something of ALSO_ASKING, asks for; None: nobody knows."""
    asking, loads_global = str(ran[n].argval), ran[n].opname == "LOAD_GLOBAL"
    if asking in BY_NAME and loads_global:
        return text_given(ran, n, BY_NAME[asking])
    if asking in GETTERS:
        return given_to_getter(ran, n)
    if asking == "format" and loads_global:  # it asks for no attribute
        return ()
    if asking in OF_TEXT and n and isinstance(text := ran[n - 1].argval, str):
        return re.findall(r"\w+", text) if ran[n - 1].opcode in CONSTANT else None
    if asking == "vars" and loads_global:
        end = end_of_call(ran, n, 1)
        if end is not None and n and ran[end + 1].opname == "CONTAINS_OP":
            return name_of(ran[n - 1])
        return None if end is None else key_taken(ran, end)
    return key_taken(ran, n) if asking == "__dict__" and ran[n].opname == "LOAD_ATTR" else None


def given_to_getter(ran: Sequence[Instruction], n: int) -> Sequence[str] | None:
    """The attributes that an attrgetter, or the method that a methodcaller, asks for: made where the code names it."""
    ends = ends_of_arguments(ran, n)
    all_of_them = len(ends) if ran[n].argval == "attrgetter" else 2
    texts = [ran[ends[k]].argval for k in range(1, min(all_of_them, len(ends))) if ends[k] == ends[k - 1] + 1]
    if len(texts) != all_of_them - 1 or not texts or not all(type(text) is str for text in texts):
        return None
    if any(ran[ends[k]].opcode not in CONSTANT for k in range(1, all_of_them)):
        return None
    names = [part for text in texts for part in text.split(".")]
    return names if ALSO_ASKING.isdisjoint(names) else None


def key_taken(ran: Sequence[Instruction], n: int) -> Sequence[str] | None:
    """What is taken of a dict that the n-th instruction leaves: `d["x"]` or `d.get("x")`."""
    following = [*ran[n + 1 : n + 3], None, None]
    first, second = following[:2]
    if first is None or second is None:
        return None
    if first.opname in ("LOAD_ATTR", "LOAD_METHOD") and first.argval == "get":
        return text_given(ran, n + 1, 0)
    is_taken = second.opname == "BINARY_SUBSCR" or second.argrepr == "[]"
    return name_of(first) if is_taken else None


def text_given(ran: Sequence[Instruction], n: int, position: int) -> Sequence[str] | None:
    """The name that is the argument at a position of the call of what the n-th instruction loads."""
    ends = ends_of_arguments(ran, n)
    before, end = ends.get(position), ends.get(position + 1)
    return name_of(ran[end]) if before is not None and end == before + 1 else None


def end_of_call(ran: Sequence[Instruction], n: int, count: int) -> int | None:
    """Where the call of what the n-th instruction loads is over, if that has so many arguments."""
    ends = ends_of_arguments(ran, n)
    if max(ends, default=0) != count:
        return None
    return next(m for m in range(ends[count], len(ran)) if ran[m].opname == "CALL")


def ends_of_arguments(ran: Sequence[Instruction], n: int) -> dict[int, int]:
    """Of the call of what the n-th instruction loads: number of an argument, from 1 on -> the instruction that leaves
    it on the stack; 0 -> the last one before these. Nothing if it is not called at once, or a branch is in the way."""
    # As in `operator.add(1, 2)`; from Python 3.13 on the mark of a call comes behind the function.
    of_module = n > 0 and ran[n].opname == "LOAD_ATTR" and "NULL" in ran[n - 1].argrepr
    if n + 1 < len(ran) and ran[n + 1].opname == "PUSH_NULL":
        n += 1
    elif not of_module and "NULL" not in ran[n].argrepr and ran[n].opname != "LOAD_METHOD":
        return {}
    depth, ends = 0, {0: n}
    for m in range(n + 1, len(ran)):
        i = ran[m]
        if i.opname == BEFORE_CALL and i.arg == depth:
            return {number: end for number, end in ends.items() if number <= depth}
        if i.opname == "CALL_KW" and i.arg == depth - 1:  # on top of the arguments lie the names of some
            return {number: end for number, end in ends.items() if number < depth}
        if i.opcode in JUMPS:
            return {}
        depth += dis.stack_effect(i.opcode, i.arg)
        if depth < 0:
            return {}
        ends[depth] = m
    return {}


def name_of(i: Instruction) -> Sequence[str] | None:
    """What it loads, if that is a text that may be the name of an attribute."""
    is_name = i.opcode in CONSTANT and isinstance(i.argval, str) and i.argval.isidentifier()
    return (i.argval,) if is_name else None
