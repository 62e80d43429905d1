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
from collections.abc import Sequence
from itertools import repeat
from threading import main_thread
from typing import Any

import numpy as np

SIGINT = int(_signal.SIGINT)

_main = main_thread().ident
_depth = 0  # how many blocks the main thread is in
_came = False  # whether a signal came in meanwhile
_handler: Any = None  # the user's, while another stands in its place


def _take_note(number: int, frame: Any) -> None:
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


def set_all(objects: Sequence[Any], name: str, values: Sequence[Any]) -> None:
    """Set an attribute, a slot, of each object to its value: of all or, if Ctrl-C comes, of none.

    One call in C, while which Python runs no handler; a fifth of what the block costs.
    """
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
    reactions = np.geterr().values()
    if "raise" in reactions or "call" in reactions or "log" in reactions or "print" in reactions:
        return True
    global _filters
    now = warnings.filters
    known = (id(now), len(now), id(now[0]) if now else 0)  # a new filter comes first, or last
    if known != _filters[0]:
        _filters = (known, _warnings_raise(), now[:1])
    return _filters[1]


# (what the filters were known by, whether they raise, the first of them, so that no other one gets its id)
_filters: tuple[Any, bool, Any] = (None, False, None)


def _warnings_raise() -> bool:
    """Whether a RuntimeWarning is turned into an exception."""
    for action, message, kind, module, line in warnings.filters:
        if issubclass(RuntimeWarning, kind):
            if action == "error":
                return True
            if message is None and module is None and not line:  # what comes after this one is never asked
                return False
    return False
