"""Whether two values are the same, as far as code can tell. Nothing here runs code of the user's."""

from types import FunctionType
from typing import Any

import numpy as np

from tapegrad.compiler.watch.kinds import PLAIN
from tapegrad.compiler.watch.rooms import room_of


def same(a: Any, b: Any) -> bool:
    """Whether two plain values are the same in type and value: 1 is not 1.0, 0.0 is not -0.0, and a NaN, which may
    have a sign, is itself alone."""
    if type(a) is not type(b):
        return False
    if type(a) in (str, bytes, int, bool):
        return bool(a == b)
    if isinstance(a, (float, complex, np.inexact)) or type(a).__module__ == "decimal":
        return a is b or bool(a == b and repr(a) == repr(b))
    if isinstance(a, np.dtype):
        return a == b and (a.isalignedstruct, repr(a.metadata)) == (b.isalignedstruct, repr(b.metadata))
    # Empty ranges, times of two zones, and 1 day and 24 hours are equal, too, and not the same.
    return bool(a == b) and repr(a) == repr(b)


def alike(a: Any, b: Any) -> bool:
    """The same for what a set or the keys of a dict hold: objects must be the same ones. Runs no code of the user's."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if type(a) is tuple:
        return len(a) == len(b) and all(map(alike, a, b))
    return type(a).__module__ in ("builtins", "numpy") and isinstance(a, PLAIN) and same(a, b)


def in_order(held: Any, known: list[Any]) -> bool:
    """Whether a set, or the keys of a dict, hold the same in the same order."""
    return len(held) == len(known) and all(map(alike, held, known))


def found_in_c(key: Any) -> bool:
    """Whether to look a key up in a dict runs no code of the user's."""
    if type(key) is tuple:
        return all(map(found_in_c, key))
    methods = [getattr(type(key), name) for name in ("__hash__", "__eq__")]
    return not any(isinstance(m, FunctionType) and room_of(m.__code__.co_filename) == "user" for m in methods)


# The plain number or text in one of a class of the user's.
UNWRAP: dict[type, Any] = {
    int: lambda x: int.__add__(x, 0), float: lambda x: float.__mul__(x, 1.0),
    str: lambda x: str.__add__(x, ""), bytes: lambda x: bytes.__add__(x, b""),
}  # fmt: skip
