"""A nest as Python that runs as it stands, on NumPy's arrays and numbers."""

from collections.abc import Mapping
from typing import Any

from tapegrad.compiler.emit.native.forms import (
    UNARY,
    Applied,
    Called,
    Check,
    Folded,
    Index,
    Let,
    Load,
    Local,
    Loop,
    Nest,
    Number,
    Place,
    Rare,
    Store,
    Take,
    Total,
    Value,
)
from tapegrad.compiler.emit.native.totals import error_of

INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|", "xor": "^", "shl": "<<", "shr": ">>",
    "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=",
}  # fmt: skip
SPECIAL = {"inf": "np.inf", "-inf": "-np.inf", "nan": "np.nan"}


def value_text(v: Value) -> str:
    """The source of a value."""
    if isinstance(v, Number):
        text = repr(v.value)
        return text if v.dtype == "bool" else f"np.{v.dtype}({SPECIAL.get(text, text)})"
    if isinstance(v, Local):
        return v.name
    if isinstance(v, Index):
        return f"np.{v.dtype}({v.name})"
    if isinstance(v, Load):
        return place_text(v.place)
    if isinstance(v, Called):
        return f"{v.name}({', '.join(map(value_text, v.args))})"
    if isinstance(v, Folded):
        return f"folded({v.total.name}, np.{v.total.ufunc})"
    if isinstance(v, Rare):
        parts = (v.rare, v.condition, v.usual)
        return "{} if {} else {}".format(*(f"({value_text(p)})" for p in parts))
    assert isinstance(v, Applied)
    return applied_text(v)


def applied_text(v: Applied) -> str:
    args = [value_text(a) for a in v.args]
    inner = [f"({text})" if needs_brackets(a) else text for text, a in zip(args, v.args)]
    if v.name in INFIX:
        return f"{inner[0]} {INFIX[v.name]} {inner[1]}"
    if v.name == "neg":
        return f"-{inner[0]}"
    if v.name == "invert":
        return f"not {inner[0]}" if v.dtype == "bool" else f"~{inner[0]}"
    if v.name == "choose":
        return f"{inner[1]} if {inner[0]} else {inner[2]}"
    if v.name == "convert":
        return f"np.{v.dtype}({args[0]})" if v.dtype != "bool" else f"bool({args[0]})"
    if v.name == "fmod":
        return f"np.fmod({args[0]}, {args[1]})"
    if v.name == "bits":
        return f"{inner[0]}.view(np.{v.dtype})"
    return f"np.{UNARY[v.name].numpy.__name__}({args[0]})"


def needs_brackets(v: Value) -> bool:
    return isinstance(v, Applied) and (v.name in INFIX or v.name in ("choose", "neg", "invert"))


def place_text(place: Place) -> str:
    at = (value_text(i) if isinstance(i, Value) else i for i in place.at)
    return f"{place.array.name}[{', '.join(at) or '()'}]"


def lines(nest: Nest) -> list[tuple[str, list[Any]]]:
    """(a line, the operations that it is part of, where the nest says so): the head of a loop, of all those inside."""
    return [line for statement in nest.body for line in statement_lines(statement, "", nest.ops)]


def statement_lines(s: object, lane: str, ops: Mapping[Any, Any]) -> list[tuple[str, list[Any]]]:
    """The lines of a statement; lane: the index of the innermost loop around it."""
    if isinstance(s, Loop):
        lane = s.index if s.inner else lane
        inside = [line for part in s.body for line in statement_lines(part, lane, ops)]
        all_inside = [*dict.fromkeys(op for _, own in inside for op in own)]
        head = (f"for {s.index} in range({s.length}):", all_inside)
        return [head, *((f"    {text}", own) for text, own in inside)]
    return [(text, [ops[s]] if s in ops else []) for text in plain_lines(s, lane)]


def plain_lines(s: object, lane: str) -> list[str]:
    if isinstance(s, Let):
        return [f"{s.local.name} = {value_text(s.value)}"]
    if isinstance(s, Store):
        return [f"{place_text(s.place)} = {value_text(s.value)}"]
    if isinstance(s, Total):
        return [f"{s.name} = lanes({value_text(s.start)})"]
    if isinstance(s, Take):
        held = Local(s.total.dtype, f"{s.total.name}[{lane} % LANES]")
        lost = plain_lines(error_of(s.total, held, s.value), lane) if s.total.lost is not None else []
        return [*lost, f"{held.name} = {value_text(s.total.combine(held, s.value))}"]
    assert isinstance(s, Check)
    return [f"if not ({value_text(s.condition)}):", f"    raise {s.error}({s.message!r})"]
