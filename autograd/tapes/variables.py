"""What the user calls a tensor or a module: the variable that holds it, or its place in a dict, list or tuple."""

import sys
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Any

from tapegrad.autograd.diagnostics import is_own
from tapegrad.autograd.structure import is_module
from tapegrad.autograd.tensor import Tensor

Variables = Mapping[str, Any]
RUNPY = ("<frozen runpy>", "runpy.py")  # which runs a program, and holds its variables in one of its own


class Block:
    """The code under a `with`: what runs in it are the function that has the `with`, and those that it calls.

    before   the frames that ran already when the block began; a frame holds all its variables, so `end` drops them
    """

    def __init__(self) -> None:
        self.before = {*running_frames()}

    def end(self) -> None:
        self.before = set()

    def scopes(self) -> list[Variables]:
        """The variables of the function with the `with` and of its module, then of the functions that it has called,
        the outermost first. In another thread, which the block did not start from, those of the innermost alone."""
        called: list[FrameType] = []
        for frame in running_frames():
            if frame in self.before:
                return [frame.f_locals, frame.f_globals, *(f.f_locals for f in reversed(called))]
            called.append(frame)
        if self.before or not called:
            return [f.f_locals for f in called[:1]]
        # Of a program that `tapegrad tape` runs: its module is the outermost.
        return [called[-1].f_locals, called[-1].f_globals, *(f.f_locals for f in reversed(called[:-1]))]


def running_frames() -> Iterable[FrameType]:
    """Those of the user's code, the innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if not is_own(path) and not path.endswith(RUNPY):
            yield frame
        frame = frame.f_back


def names_in(value: object, scopes: Iterable[Variables]) -> tuple[str, ...]:
    """What the user calls a value, the best name first: the outermost function that holds it comes first. A function's
    own name for it does not count where one further out calls something else by it: `what_if({"x": …})` is about the x
    that the user sees there."""
    found: list[str] = []
    outer: list[Variables] = []
    for variables in scopes:
        for name in names_of(value, variables):
            variable = name.partition("[")[0]
            if not any(is_other(variables[variable], o.get(variable)) for o in outer):
                found.append(name)
        outer.append(variables)
    return tuple(dict.fromkeys(found))


def names_of(value: object, variables: Variables) -> Iterable[str]:
    """The variables that hold a value, then its places in those that are a dict, list or tuple."""
    shown = [(name, held) for name, held in [*variables.items()] if not name.startswith("_")]
    yield from (name for name, held in shown if held is value)
    for name, held in shown:
        if type(held) in (list, tuple, dict):
            inside = held.items() if isinstance(held, dict) else enumerate(held)
            yield from (f"{name}[{key!r}]" for key, part in inside if part is value)


def is_other(held: object, outer: object) -> bool:
    """Whether a variable further out holds something else that has a name on a tape, or things that have."""
    named = type(outer) in (list, tuple, dict) or isinstance(outer, Tensor) or is_module(outer)
    return named and outer is not held
