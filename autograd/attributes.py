"""Which attributes users may set on an object. An attribute that nothing reads is refused."""

import inspect
import sys
from collections.abc import Callable, Mapping, Set
from difflib import get_close_matches
from typing import Any, TypeAlias

from tapegrad.autograd.diagnostics import describe, user_line
from tapegrad.autograd.foreign import answer
from tapegrad.autograd.signatures import signature
from tapegrad.autograd.tensor import Parameter, Tensor

Check: TypeAlias = Callable[[str, object], object]
MISSING = object()
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
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


def keep_methods(made: object, name: str, value: object) -> None:
    """Raise AttributeError where a value that cannot be called would take the place of a method.

    `model.train = False` would not switch, and the next `model.train()` would fail.
    """
    kind = type(made)
    method = getattr(kind, name, None)
    if not callable(method) or callable(value) or name.startswith("_") or not inspect.isroutine(method):
        return
    if not is_ours(kind.__module__) and not is_ours(getattr(method, "__module__", None) or ""):
        return
    arguments = [n for n in signature(method).parameters if n != "self"]
    call = repr(value) if len(arguments) == 1 and type(value) in PLAIN else ", ".join(arguments)
    raise AttributeError(
        f"{kind.__name__}.{name} is a method, got {shown(value)} to set in its place: call it, .{name}({call}), or "
        "give the attribute another name"
    )


def shown(value: object) -> str:
    return describe(value) if value is None or isinstance(value, (Tensor, *PLAIN)) else type(value).__name__


class KeepsMethods:
    """A base of classes whose objects take any attribute but one in the place of a method."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> None:
        keep_methods(self, name, value)
        super().__setattr__(name, value)


class Checked:
    """A base of classes with options that are checked when they are set, by the constructor or later.

    A class says in `checks` how its options are, besides those of its bases.
    """

    __slots__ = ()
    # (what messages call the option, its value) -> the value to keep
    checks: Mapping[str, Check] = {}
    _checks: Mapping[str, Check] = {}  # with those of the bases
    _agrees_on: frozenset[str] = frozenset()  # what an object must have before its options can agree

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if is_ours(cls.__module__):
            own = [vars(kind).get("checks", {}) for kind in reversed(cls.__mro__)]
            cls._checks = {name: check for checks in own for name, check in checks.items()}
            cls._agrees_on = frozenset(name for name in cls._checks if not hasattr(cls, name))

    def agree(self) -> None:
        """Raise ValueError where options contradict each other. Called when all that have a check are there."""

    def _keep_options(self, given: Mapping[str, Any]) -> None:
        """Keep those of a constructor's arguments, by name, that have a check."""
        for name in [name for name in given if name in self._checks]:
            setattr(self, name, given[name])

    def _keep(self, name: str, value: object) -> None:
        """Keep a value; of an option what its check makes of it, if the options then agree."""
        if name not in self._checks:
            object.__setattr__(self, name, value)
            return
        kind = type(self)
        checked = self._checks[name](f"{kind.__name__}: {name}", value)
        before = vars(self).get(name, MISSING)
        object.__setattr__(self, name, checked)
        if kind.agree is not Checked.agree and vars(self).keys() >= self._agrees_on:
            try:
                self.agree()
            except BaseException:
                if before is not MISSING:
                    object.__setattr__(self, name, before)
                raise


class Options(Checked):
    """A base of classes whose objects have options and nothing else to be set.

    An option that only the constructor reads raises when it is set later, as does any name that is not in `checks`. A
    class of the user's takes any name.
    """

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> None:
        keep_methods(self, name, value)
        kind = type(self)
        if name not in self._checks and is_ours(kind.__module__) and not set_by_us():
            raise AttributeError(self._not_for_setting(name))
        self._keep(name, value)

    def _not_for_setting(self, name: str) -> str:
        kind = type(self).__name__
        arguments = [p.name for p in signature(type(self)).parameters.values() if p.kind is not p.VAR_KEYWORD]
        if name in arguments:
            return (
                f"{kind}.{name}: only the constructor reads this option: make a new one, {kind}(…, {name}=…)"
            )
        if name in vars(self) or hasattr(type(self), name):
            return f"{kind}.{name} is not for setting: it is what the object has become"
        close = get_close_matches(name, [*self._checks, *arguments], n=1)
        said = (
            f"did you mean {close[0]!r}?"
            if close
            else f"its options are {', '.join(self._checks) or 'fixed'}"
        )
        return f"nothing reads the attribute {name!r} of {kind}: {said}"


class KnownAttributes(Checked):
    """A base of classes whose objects refuse an attribute that is misspelt or has another library's name.

    `layer.trainable = False` and `layer.activaton = "relu"` raise, since nothing reads them. Any other new name is
    accepted as a note of the user, and a class of the user takes any name.
    """

    __slots__ = ()
    # Options that the object was made of, and that nothing reads afterwards.
    made_of: Set[str] = frozenset()
    # What is saved with the object. Another value in its place would not be.
    _saved: tuple[type[Tensor], ...] = ()

    def __setattr__(self, name: str, value: object) -> None:
        keep_methods(self, name, value)
        if name in self.made_of:
            self._refuse_late(name, value)
        if name not in vars(self):
            self._refuse_unread(name)
        if value is not None and isinstance(vars(self).get(name), self._saved):
            self._refuse_loss(name, value)
        self._keep(name, value)

    def _refuse_unread(self, name: str) -> None:
        """Raise AttributeError for a new attribute that nothing reads: one misspelt, or an option that is not kept."""
        kind = type(self)
        if not is_ours(kind.__module__) or set_by_us():
            return
        option = signature(kind).parameters.get(name)
        if (
            option is not None
            and option.kind in NAMED
            and not isinstance(getattr(kind, name, None), property)
        ):
            raise AttributeError(
                f"{kind.__name__}.{name}: only the constructor reads this option: make a new one, "
                f"{kind.__name__}(…, {name}=…)"
            )
        if not may_set(self, name) and (said := answer("module", name, dir(self))):
            raise AttributeError(f"nothing reads the attribute {name!r} of {kind.__name__}: {said}")

    def _refuse_late(self, name: str, value: object) -> None:
        """Raise AttributeError where another value of an option would be read by nothing any more."""
        kind = type(self)
        made = name in vars(self) and getattr(self, "built", True)
        if not made or not is_ours(kind.__module__) or set_by_us():
            return
        if (old := vars(self)[name]) is value or (type(old) is type(value) in PLAIN and old == value):
            return
        given = repr(value) if type(value) in PLAIN else "…"
        raise AttributeError(
            f"{kind.__name__}.{name}: it is made already, and nothing reads this option any more: make a new one, "
            f"{kind.__name__}(…, {name}={given})"
        )

    def _refuse_loss(self, name: str, value: object) -> None:
        """Raise TypeError where a plain Tensor, an array or a number is to replace a Parameter or a Buffer."""
        if isinstance(value, (*self._saved, KnownAttributes)):
            return
        trained = isinstance(vars(self)[name], Parameter)
        kind, lost = ("Parameter", "trained nor saved") if trained else ("Buffer", "saved nor moved")
        raise TypeError(
            f"{type(self).__name__}.{name} is a {kind}, got {shown(value)}, which would be neither {lost}: write "
            f"self.{name}.assign(value) for new numbers, self.{name} = nn.{kind}(value) for a new {kind}, or "
            f"vars(self)[{name!r}] = value to only compute with it\n"
            f"{user_line()}"
        )
