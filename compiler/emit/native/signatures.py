"""What a nest does, without the names of arrays, indices and values: equal nests are equal texts.

It takes a fraction of the time that the text takes, for the functions of ours that a value calls are not looked into.
"""

from typing import Any

from tapegrad.compiler.emit.native.forms import (
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


def signature(nest: Nest) -> Any:
    """Equal for nests of equal texts, if their arrays lie in memory alike."""
    signer = Signer()
    arrays = tuple((signer.number("array", slot), slot.dtype) for slot in nest.arrays)
    return arrays, tuple(map(signer.statement, nest.body))


class Signer:
    """Numbers things in the order in which they appear."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[str, Any], int] = {}
        self.values: dict[int, int] = {}
        self.kept: list[Any] = []  # so that no other value gets the id of one

    def number(self, kind: str, name: object) -> int:
        return self.numbers.setdefault((kind, name), len(self.numbers))

    def place(self, place: Place) -> Any:
        at = (self.value(i) if isinstance(i, Value) else self.number("index", i) for i in place.at)
        return self.number("array", place.array), tuple(at)

    def value(self, v: Value) -> Any:
        """The first time its parts, then a number."""
        if id(v) in self.values:
            return self.values[id(v)]
        self.values[id(v)] = len(self.values)
        self.kept.append(v)
        if isinstance(v, Number):
            return "number", v.dtype, repr(v.value)
        if isinstance(v, Local):
            return "local", self.number("local", v.name)
        if isinstance(v, Index):
            return "index", self.number("index", v.name), v.dtype
        if isinstance(v, Load):
            return "load", self.place(v.place)
        if isinstance(v, Folded):
            return "folded", self.number("total", v.total.name)
        if isinstance(v, Rare):
            return "rare", *map(self.value, (v.condition, v.rare, v.usual))
        assert isinstance(v, (Applied, Called))
        return type(v).__name__, v.name, v.dtype, *map(self.value, v.args)

    def statement(self, s: object) -> Any:
        if isinstance(s, Loop):
            return self.number("index", s.index), s.length, s.inner, tuple(map(self.statement, s.body))
        if isinstance(s, Let):
            return self.number("local", s.local.name), self.value(s.value)
        if isinstance(s, Store):
            return self.place(s.place), self.value(s.value)
        if isinstance(s, Total):
            return "total", self.number("total", s.name), s.dtype, repr(s.start.value), s.ufunc, bool(s.lost)
        if isinstance(s, Take):
            return "take", self.number("total", s.total.name), self.value(s.value)
        assert isinstance(s, Check)
        return "check", self.value(s.condition)
