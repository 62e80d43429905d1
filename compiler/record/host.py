"""Numbers that Python works out before each call of a program: what a schedule of the user's own gives for a step."""

import types
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from tapegrad.autograd import random, writes
from tapegrad.autograd.aliases import Array, Params, Result, Value
from tapegrad.autograd.flags import changed_flags
from tapegrad.autograd.recorder import HostNumber, Recorder
from tapegrad.autograd.tensor import Tensor, next_serial
from tapegrad.compiler.watch.functions import does_more

if TYPE_CHECKING:
    from tapegrad.compiler.record.trace import Trace

REMEDY = "Set it outside, between two calls"


class Acts(Exception):
    """The user's function does more than to give a number."""


class Looked(Recorder):
    """What the user's function looks at and does while it works out a number.

    arrays   what it looks at; `gradient_asked`, whether at a gradient, too
    trace    the recording that takes back what it does; None: it may do nothing, and raises Acts
    """

    def __init__(self, trace: "Trace | None") -> None:
        self.arrays: list[Array] = []
        self.gradient_asked = self.acts = False
        self.trace = trace

    def primitive(self, primitive: Any, args: tuple[Value, ...], params: Params, result: Result) -> None:
        self.arrays += [a.data for a in args if isinstance(a, Tensor)]

    def read(self, tensor: Tensor, what: str, remedy: str) -> None:
        self.arrays.append(tensor.data)

    def gradient_read(self, leaf: Tensor) -> None:
        self.gradient_asked = True

    def acting(self) -> "Trace":
        self.acts = True
        if self.trace is None:
            raise Acts
        return self.trace

    def write(self, tensor: Tensor, value: Tensor) -> None:
        self.acting().save(tensor.data, tensor.backend)

    def gradient(self, leaf: Tensor, gradient: Tensor | None, before: Tensor | None) -> None:
        self.acting().gradient(leaf, gradient, before)

    def moved(self, tensor: Tensor, view: Array) -> None:
        self.acting().moved(tensor, view)

    def restructured(self, names: str) -> None:
        self.acting()

    def reseeded(self) -> None:
        self.acting()


def worked_out(number: HostNumber, trace: "Trace | None" = None) -> tuple[float, Looked]:
    """The number, and what was looked at and done for it. Raises Acts where no recording takes that back."""
    looked, streams = Looked(trace), random.snapshot()
    try:
        with changed_flags(recorder=looked):
            value = number.work_out()
        if random.snapshot()[:3] != streams[:3]:
            looked.acting()
    except Acts:
        random.go_back(streams)
        raise
    return value, looked


def code_of(function: Callable[..., Any]) -> list[Any]:
    """The functions whose code runs where this is called."""
    if isinstance(function, types.FunctionType):
        return [function]
    if isinstance(function, types.MethodType):
        return code_of(function.__func__)
    if isinstance(function, partial):
        return code_of(function.func)
    return [getattr(type(function), name, None) for name in ("__call__", "at")]


class HostNumbers:
    """Those of one run. There is a program only if nothing that they depend on is made or written by the run itself,
    and if the user's functions do nothing else.

    looked_at   the arrays that they were worked out from, and which number it was
    """

    def __init__(self) -> None:
        self.began = next_serial()
        self.found: list[HostNumber] = []
        self.looked_at: list[tuple[Array, str]] = []

    def add(self, trace: "Trace", number: HostNumber) -> None:
        """Work one out, and write it where it belongs."""
        value, looked = worked_out(number, trace)
        what = f"{number.what} is a function of your own"
        if writes.since(number.of.data, self.began):
            trace.refuse(
                f"{what}, and its optimizer makes two steps in one call",
                "Take a schedule of tg.optim.schedules, or make one step a call",
            )
        if looked.gradient_asked or any(trace.made_here(a) for a in looked.arrays):
            trace.refuse(f"{what} that looks at what this call has made", REMEDY)
        more = next(filter(None, (does_more(f, given=True) for f in code_of(number.function))), "")
        if looked.acts or more:
            trace.refuse(f"{what} that does more than to give a number{more and f': it {more}'}", REMEDY)
        self.looked_at += [(a, what) for a in looked.arrays]
        trace.save(number.into.data, number.into.backend)
        with changed_flags(recorder=None):
            number.into.assign(value)
        self.found.append(number)

    def why_stale(self) -> str | None:
        """What, at the end of the run, it has written to though a number was worked out from it."""
        for array, what in self.looked_at:
            if writes.since(array, self.began):
                return f"{what} that looks at what this call writes to. {REMEDY}"
        return None
