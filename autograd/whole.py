"""`with uninterrupted():` a change of several things is made whole, although Ctrl-C may come at any moment.

Python runs the handler of SIGINT between two bytecodes of the main thread, so KeyboardInterrupt can be raised between
any two writes. Inside this block a handler stands in its place that only takes note. At the end the user's own is put
back, and called if a signal came. What can fail for other reasons belongs before the block: work out first, then write.
"""

# The functions behind `signal`, without its wrapping of numbers into enumerations: half the time.
import _signal  # type: ignore[import-not-found]
import os
import sys
import warnings
from _thread import get_ident
from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat
from threading import main_thread
from types import FrameType, ModuleType

import numpy as np

SIGINT = int(_signal.SIGINT)

_main = main_thread().ident
_depth = 0  # how many blocks the main thread is in
_came = False  # whether a signal came in meanwhile
# The user's, while another stands in its place.
_handler: Callable[[int, FrameType | None], object] | None = None


def _take_note(number: int, frame: FrameType | None) -> None:
    global _came
    _came = True


class Uninterrupted:
    """The block. One object does for all: what it needs to know concerns the main thread alone."""

    __slots__ = ()

    def __enter__(self) -> None:
        global _depth, _handler, _came
        if get_ident() != _main:  # KeyboardInterrupt is raised in the main thread and nowhere else
            return
        if not _depth:
            handler = _signal.getsignal(SIGINT)
            # A handler of the system's ends the process or does nothing; one that is not Python's cannot be put back.
            if callable(handler):
                _came = False
                _handler = _signal.signal(SIGINT, _take_note)
        _depth += 1

    def __exit__(self, *error: object) -> None:
        global _depth, _handler, _came
        if get_ident() != _main:
            return
        _depth -= 1
        if _depth or _handler is None:
            return
        handler, _handler = _handler, None
        if (set_inside := _signal.signal(SIGINT, handler)) is not _take_note:
            _signal.signal(SIGINT, set_inside)  # by the user, inside the block
        if _came:
            handler(SIGINT, sys._getframe(1))


_BLOCK = Uninterrupted()


def uninterrupted() -> Uninterrupted:
    """A block that Ctrl-C does not end in the middle: KeyboardInterrupt, or what the user's handler does, comes at its
    end. May be nested; costs a microsecond in the main thread, and next to nothing inside another block or elsewhere.
    """
    return _BLOCK


def set_all(objects: Sequence[object], name: str, values: Sequence[object]) -> None:
    """Set an attribute, a slot, of each object to its value: of all or, if Ctrl-C comes, of none.

    One call in C, while which Python runs no handler; a fifth of what the block costs.
    """
    if len(objects) == 1:
        setattr(objects[0], name, values[0])
        return
    deque(map(setattr, objects, repeat(name), values), maxlen=0)


def _after_fork() -> None:
    global _main, _depth, _handler, _came
    if get_ident() == _main:
        return
    if _handler is not None:  # the thread that forked is the child's main thread, and was in no block
        _signal.signal(SIGINT, _handler)
    _main, _depth, _handler, _came = get_ident(), 0, None, False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def arithmetic_may_raise() -> bool:
    """Whether overflow, division by zero and the like may raise an exception here: under `np.errstate(all="raise")`, or
    "call" and "log", where a function of the user's hears of them, or where warnings are errors."""
    global _asked
    settings, filters = numpy_settings(), warnings.filters
    # A new filter comes first, or last.
    count, first = len(filters), filters[0] if filters else None
    known, may_raise = _asked
    if not (settings is known[0] and filters is known[1] and count == known[2] and first is known[3]):
        may_raise = bool(kinds_heard()) or _warnings_raise()
        _asked = ((settings, filters, count, first), may_raise)
    return may_raise


def kinds_heard() -> list[str]:
    """Which of overflow and the like raise, or call a function of the user's, as `np.errstate` asks."""
    return [kind for kind, how in np.geterr().items() if how in ("raise", "call", "log", "print")]


# NumPy's settings for this thread: one object, which `np.errstate` replaces. To ask for what is in it takes two
# microseconds. A NumPy that keeps them elsewhere is asked each time: every object is a new one.
_umath: ModuleType | None = getattr(getattr(np, "_core", None), "umath", None)
numpy_settings: Callable[[], object] = getattr(getattr(_umath, "_extobj_contextvar", None), "get", object)

# (what the answer depends on, the answer). It keeps these alive, so that no other object gets the place of one.
_asked: tuple[tuple[object, ...], bool] = ((None,) * 4, False)


def _warnings_raise() -> bool:
    """Whether a RuntimeWarning is turned into an exception."""
    for action, message, kind, module, line in warnings.filters:
        if issubclass(RuntimeWarning, kind):
            if action == "error":
                return True
            if message is None and module is None and not line:  # what comes after this one is never asked
                return False
    return False
