"""Which attributes users may set on an object. An attribute that nothing reads is refused."""

import inspect
import sys
from collections.abc import Callable, Mapping, Set
from copy import deepcopy
from difflib import get_close_matches
from typing import TypeAlias

from tapegrad.autograd.diagnostics import describe, user_line
from tapegrad.autograd.foreign import answer
from tapegrad.autograd.signatures import signature
from tapegrad.autograd.tensor import Parameter, Tensor

# (what messages call an option, its value) -> the value to keep
Check: TypeAlias = Callable[[str, object], object]
MISSING = object()
# Options that a trial is made without: the size of the input, so that it makes no weights if that can be, and one of
# PyTorch's layers that becomes a weight.
LEFT_OUT = frozenset(("in_features", "input_shape", "bias"))
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
    method = None if callable(value) else getattr(kind, name, None)
    if name.startswith("_") or not inspect.isroutine(method):
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


class Options:
    """A base of classes whose objects have options and nothing else to be set.

    An option in `checks` is checked when it is set, by the constructor or later. One that only the constructor reads
    raises when it is set later, as does any other name. A class of the user's takes any name.
    """

    __slots__ = ()
    checks: Mapping[str, Check] = {}

    def __setattr__(self, name: str, value: object) -> None:
        keep_methods(self, name, value)
        kind, before = type(self), vars(self).get(name, MISSING)
        if name in self.checks:
            value = self.checks[name](f"{kind.__name__}: {name}", value)
        elif is_ours(kind.__module__) and not set_by_us():
            raise AttributeError(self._not_for_setting(name))
        object.__setattr__(self, name, value)
        if name in self.checks and vars(self).keys() >= self.checks.keys():
            try:
                self.agree()
            except BaseException:
                if before is not MISSING:
                    object.__setattr__(self, name, before)
                raise

    def agree(self) -> None:
        """Raise ValueError where options contradict each other. Called when all of them are there."""

    def _not_for_setting(self, name: str) -> str:
        kind = type(self).__name__
        arguments = [p.name for p in signature(type(self)).parameters.values() if p.kind is not p.VAR_KEYWORD]
        if name in arguments:
            return (
                f"{kind}.{name}: only the constructor reads this option: make a new one, {kind}(…, {name}=…)"
            )
        if name in vars(self) or hasattr(type(self), name):
            return f"{kind}.{name} is not for setting: it is what the object has become"
        close = get_close_matches(name, [*self.checks, *arguments], n=1)
        said = (
            f"did you mean {close[0]!r}?" if close else f"its options are {', '.join(self.checks) or 'fixed'}"
        )
        return f"nothing reads the attribute {name!r} of {kind}: {said}"


class KnownAttributes:
    """A base of classes whose objects refuse an attribute that is misspelt or has another library's name.

    `layer.trainable = False` and `layer.activaton = "relu"` raise, since nothing reads them. Any other new name is
    accepted as a note of the user, and a class of the user takes any name.
    """

    __slots__ = ()
    # Attributes that are checked when they are set: (what messages call it, the value) -> the value to keep.
    checks: Mapping[str, Check] = {}
    # Options that the object was made of, and that nothing reads afterwards.
    made_of: Set[str] = frozenset()
    # What is saved with the object. Another value in its place would not be.
    _saved: tuple[type[Tensor], ...] = ()

    def __setattr__(self, name: str, value: object) -> None:
        keep_methods(self, name, value)
        if name in self.made_of:
            self._refuse_late(name, value)
        if name in self.checks:
            value = self.checks[name](f"{type(self).__name__}.{name}", value)
        elif is_ours(type(self).__module__) and not set_by_us():
            value = as_constructed(self, name, value)
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


def as_constructed(made: "KnownAttributes", name: str, value: object) -> object:
    """What a new object with this option would keep of its value: the function of a name, a tuple for a number.

    Raises what the constructor raises, and AttributeError for an option that is not kept. A value is kept as it is
    where there is no such option, or where it takes the place of a weight.
    """
    kind, kept = type(made), vars(made)
    arguments = [p.name for p in signature(kind).parameters.values() if p.kind in NAMED]
    properties = {n for n in arguments if isinstance(getattr(kind, n, None), property)}
    if name not in arguments or name in properties:
        return value
    if name not in kept:
        raise AttributeError(
            f"{kind.__name__}.{name}: only the constructor reads this option: make a new one, "
            f"{kind.__name__}(…, {name}=…)"
        )
    if kept[name] is value or name == "bias" or isinstance(kept[name], Parameter):
        return value
    options = {n: getattr(made, n) for n in arguments if n in kept.keys() | properties and n not in LEFT_OUT}
    options = {n: v for n, v in options.items() if not isinstance(v, Parameter)}
    found = made_with(kind, options, name, value)
    return value if isinstance(value, KnownAttributes) else found


def made_with(kind: type, options: dict[str, object], name: str, value: object) -> object:
    """What an object of these options keeps of the value of one more; the value, where they make none without it."""
    from tapegrad.autograd.flags import changed_flags
    from tapegrad.autograd.random import own_streams

    with own_streams(0), changed_flags(recorder=None, raw=False):
        # A layer around others may change them.
        options = {n: deepcopy(v) if isinstance(v, KnownAttributes) else v for n, v in options.items()}
        try:
            return vars(kind(**options | {name: value})).get(name, value)
        except (TypeError, ValueError):
            try:
                kind(**options)
            except (TypeError, ValueError):
                return value
            raise
