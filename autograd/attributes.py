"""Which attributes users may set on an object. An attribute that nothing reads is refused."""

import sys
from collections.abc import Callable, Mapping, Set

from tapegrad.autograd.diagnostics import describe, user_line
from tapegrad.autograd.foreign import answer
from tapegrad.autograd.tensor import Parameter, Tensor

PLAIN = (bool, int, float, str, tuple)


def may_set(value: object, name: str) -> bool:
    """Whether setting an attribute of this name, in the frame that sets it, does something.

    An object of one of tapegrad's classes takes no new attribute from outside of tapegrad, since nothing would read
    it. A class of the user's takes any.
    """
    kind = type(value)
    if name in value.__dict__ or not is_ours(kind.__module__) or hasattr(kind, name):
        return True
    return set_by_us()


def set_by_us() -> bool:
    """Whether the line that sets an attribute is tapegrad's own."""
    frame = sys._getframe(2)
    while frame.f_globals is globals() or frame.f_code.co_name == "__setattr__":
        if frame.f_back is None:
            break
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
    # Options that the object was made of, and that nothing reads afterwards.
    made_of: Set[str] = frozenset()
    # What is saved with the object. Another value in its place would not be.
    _saved: tuple[type[Tensor], ...] = ()

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.made_of:
            self._refuse_late(name, value)
        if name in self.checks:
            value = self.checks[name](f"{type(self).__name__}.{name}", value)
        if not may_set(self, name) and (said := answer("module", name, dir(self))):
            raise AttributeError(f"nothing reads the attribute {name!r} of {type(self).__name__}: {said}")
        if value is not None and isinstance(self.__dict__.get(name), self._saved):
            self._refuse_loss(name, value)
        object.__setattr__(self, name, value)

    def _refuse_late(self, name: str, value: object) -> None:
        """Raise AttributeError where another value of an option would be read by nothing any more."""
        kind = type(self)
        made = name in vars(self) and getattr(self, "built", True)
        if not made or not is_ours(kind.__module__) or set_by_us():
            return
        if (old := vars(self)[name]) is value or (type(old) is type(value) in PLAIN and old == value):
            return
        shown = repr(value) if type(value) in PLAIN else "…"
        raise AttributeError(
            f"{kind.__name__}.{name}: it is made already, and nothing reads this option any more: make a new one, "
            f"{kind.__name__}(…, {name}={shown})"
        )

    def _refuse_loss(self, name: str, value: object) -> None:
        """Raise TypeError where a plain Tensor, an array or a number is to replace a Parameter or a Buffer."""
        if isinstance(value, (*self._saved, KnownAttributes)):
            return
        trained = isinstance(vars(self)[name], Parameter)
        kind, lost = ("Parameter", "trained nor saved") if trained else ("Buffer", "saved nor moved")
        given = describe(value) if isinstance(value, (Tensor, *PLAIN)) else type(value).__name__
        raise TypeError(
            f"{type(self).__name__}.{name} is a {kind}, got {given}, which would be neither {lost}: write "
            f"self.{name}.assign(value) for new numbers, self.{name} = nn.{kind}(value) for a new {kind}, or "
            f"vars(self)[{name!r}] = value to only compute with it\n"
            f"{user_line()}"
        )
