"""Numbers that Python works out before each call of a program: what a schedule of the user's own gives for a step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tapegrad.autograd import writes
from tapegrad.autograd.aliases import Array, Params, Result, Value
from tapegrad.autograd.flags import changed_flags
from tapegrad.autograd.recorder import Recorder
from tapegrad.autograd.tensor import Tensor, next_serial

if TYPE_CHECKING:
    from tapegrad.compiler.record.trace import Trace

REMEDY = "Set it outside, between two calls"


@dataclass(frozen=True)
class HostNumber:
    """`work_out()` gives the number, and `into` is where the program reads it."""

    work_out: Callable[[], float]
    into: Tensor


class Looked(Recorder):
    """Which arrays Python looks at while it works out a number, and whether it looks at a gradient."""

    def __init__(self) -> None:
        self.arrays: list[Array] = []
        self.gradient_asked = False

    def primitive(self, primitive: Any, args: tuple[Value, ...], params: Params, result: Result) -> None:
        self.arrays += [a.data for a in args if isinstance(a, Tensor)]

    def read(self, tensor: Tensor, what: str, remedy: str) -> None:
        self.arrays.append(tensor.data)

    def gradient_read(self, leaf: Tensor) -> None:
        self.gradient_asked = True


def worked_out(number: HostNumber) -> tuple[float, Looked]:
    """The number, and what was looked at for it."""
    looked = Looked()
    with changed_flags(recorder=looked):
        return number.work_out(), looked


class HostNumbers:
    """Those of one run. There is a program only if nothing that they depend on is made or written by the run itself.

    looked_at   the arrays that they were worked out from, and which number it was
    """

    def __init__(self) -> None:
        self.began = next_serial()
        self.found: list[HostNumber] = []
        self.looked_at: list[tuple[Array, str]] = []

    def add(self, trace: "Trace", number: HostNumber, of: Tensor, what: str) -> None:
        """Work one out, and write it where it belongs. of: the count of steps, which it depends on, too."""
        value, looked = worked_out(number)
        if writes.since(of.data, self.began):
            trace.refuse(
                f"{what} is a function of your own, and its optimizer makes two steps in one call",
                "Take a schedule of tg.optim.schedules, or make one step a call",
            )
        if looked.gradient_asked or any(trace.made_here(a) for a in looked.arrays):
            trace.refuse(f"{what} is a function of your own that looks at what this call has made", REMEDY)
        self.looked_at += [(a, what) for a in looked.arrays]
        trace.save(number.into.data, number.into.backend)
        with changed_flags(recorder=None):
            number.into.assign(value)
        self.found.append(number)

    def why_stale(self) -> str | None:
        """What, at the end of the run, it has written to though a number was worked out from it."""
        for array, what in self.looked_at:
            if writes.since(array, self.began):
                return f"{what} is a function of your own that looks at what this call writes to. {REMEDY}"
        return None
