"""Which attributes users may set on an object. An attribute that nothing reads is refused."""

import sys
from collections.abc import Callable, Mapping

from tapegrad.autograd.foreign import answer


def may_set(value: object, name: str) -> bool:
    """Whether setting an attribute of this name, in the frame that sets it, does something.

    An object of one of tapegrad's classes takes no new attribute from outside of tapegrad, since nothing would read
    it. A class of the user's takes any.
    """
    kind = type(value)
    if name in value.__dict__ or not is_ours(kind.__module__) or hasattr(kind, name):
        return True
    frame = sys._getframe(2)
    while frame.f_code.co_name == "__setattr__" and frame.f_back is not None:
        frame = frame.f_back
    return is_ours(frame.f_globals.get("__name__", ""))


def is_ours(module: str) -> bool:
    return module.partition(".")[0] == "tapegrad"


class KnownAttributes:
    """A base of classes whose objects refuse an attribute that is misspelt or has another library's name.

    `layer.trainable = False` and `layer.activaton = "relu"` raise, since nothing reads them. Any other new name is
    accepted as a note of the user, and a class of the user takes any name.
    """

    __slots__ = ()
    # Attributes that are checked when they are set: (what messages call it, the value) -> the value to keep.
    checks: Mapping[str, Callable[[str, object], object]] = {}

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.checks:
            value = self.checks[name](f"{type(self).__name__}.{name}", value)
        if not may_set(self, name) and (said := answer("module", name, dir(self))):
            raise AttributeError(f"nothing reads the attribute {name!r} of {type(self).__name__}: {said}")
        object.__setattr__(self, name, value)
