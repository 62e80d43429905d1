"""Which attributes may be set on an object: an accepted line does something."""

import sys
from difflib import get_close_matches
from typing import Any


def may_set(value: Any, name: str) -> bool:
    """Whether setting an attribute of this name, in the frame that called the caller, does something.

    An object of one of tapegrad's classes takes no new attribute from outside of tapegrad, since nothing would read
    it. A class of the user's takes any.
    """
    kind = type(value)
    if name in value.__dict__ or not is_ours(kind.__module__) or hasattr(kind, name):
        return True
    return is_ours(sys._getframe(2).f_globals.get("__name__", ""))


def is_ours(module: str) -> bool:
    return module.partition(".")[0] == "tapegrad"


class KnownAttributes:
    """A base of classes whose objects take no attribute that nothing reads."""

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        if not may_set(self, name):
            raise unread(self, name)
        object.__setattr__(self, name, value)


def unread(value: Any, name: str, remedy: str = "") -> AttributeError:
    """The error for an attribute that nothing reads."""
    known = [n for n in dir(value) if not n.startswith("_")]
    close = get_close_matches(name, known, n=1)
    hint = remedy or (f"did you mean {close[0]!r}?" if close else "a class of your own takes any attribute")
    return AttributeError(f"nothing reads the attribute {name!r} of {type(value).__name__}: {hint}")
