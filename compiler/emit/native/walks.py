"""Walks through a nest: its loops, its statements, and the values and places of these."""

from collections.abc import Iterator
from typing import Any

from tapegrad.compiler.emit.native.forms import (
    Applied,
    Called,
    Load,
    Loop,
    Place,
    Store,
    Value,
    parts_of,
)


def loops(body: list[Any]) -> Iterator[Loop]:
    """All loops, outer ones before those inside."""
    for s in body:
        if isinstance(s, Loop):
            yield s
            yield from loops(s.body)


def statements(body: list[Any], turns: int = 1) -> Iterator[tuple[Any, int]]:
    """All statements, and how often each is carried out."""
    for s in body:
        if isinstance(s, Loop):
            yield from statements(s.body, turns * s.length)
        else:
            yield s, turns


def values_of(s: object) -> Iterator[Value]:
    """All values of a statement, each once."""
    found: dict[int, Value] = {}
    waiting = [getattr(s, "value", None)]
    while waiting:
        v = waiting.pop()
        if isinstance(v, Value) and id(v) not in found:
            found[id(v)] = v
            waiting += [v.body] if isinstance(v, Called) else parts_of(v)
    yield from found.values()


def places_of(s: object) -> list[Place]:
    """Where a statement reads and writes."""
    read = [v.place for v in values_of(s) if isinstance(v, Load)]
    return [*read, s.place] if isinstance(s, Store) else read


def operations(body: list[Any]) -> int:
    """How many operations of the machine these statements are, at all turns of their loops."""
    return sum(turns * sum(isinstance(v, Applied) for v in values_of(s)) for s, turns in statements(body))


def size(value: Value) -> int:
    """How many operations of the machine a value is, each counted once."""
    seen: set[int] = set()
    todo: list[Any] = [value]
    count = 0
    while todo:
        v = todo.pop()
        if id(v) not in seen:
            seen.add(id(v))
            count += isinstance(v, Applied)
            todo += [v.body] if isinstance(v, Called) else parts_of(v)
    return count
