"""Which instructions of a piece of code ran, so that what a branch names that was not taken does not count."""

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from tapegrad.compiler.watch.shown import showing, shows_no_place

MOST = 100_000  # instructions of one run that are told apart; in a longer loop all of the code counts
MONITORING: Any = getattr(sys, "monitoring", None)  # from Python 3.12 on
TOOL = 4  # our number there


def nothing_more(frame: FrameType) -> bool:
    """The run is over. What was asked before goes with its last reference."""
    return False


class Traced:
    """By a trace function, which is set in frames of such code alone: `trace` says what it is for a code's id.

    met   code -> the offsets of its instructions that were met
    telling   code -> those of them that made a text which may say where an object lies
    """

    def __init__(self, is_followed: Callable[[FrameType], bool]) -> None:
        self.is_followed = is_followed
        self.met: dict[CodeType, set[int]] = {}
        self.telling: dict[CodeType, set[int]] = {}
        self.marks: dict[int, Callable[..., Any]] = {}  # id of code -> what Python calls in its frames
        self.left = MOST
        self.on = False

    def start(self) -> None:
        self.on = sys.gettrace() is None  # else a debugger is on, and all of the code counts
        if self.on:
            sys.settrace(self.begin)

    def stop(self) -> None:
        if sys.gettrace() == self.begin:
            sys.settrace(None)
        else:  # a debugger was begun inside, or there was too much
            self.on = False
        self.marks.clear()
        self.is_followed = nothing_more

    def follow(self, code: CodeType) -> None:
        met, texts = self.met.setdefault(code, set()), showing(code)

        def mark(frame: FrameType, event: str, arg: object) -> Any:
            if event == "opcode":
                met.add(frame.f_lasti)
                if frame.f_lasti in texts:
                    self.look(frame, frame.f_lasti)
                self.left -= 1
                if self.left < 0:
                    sys.settrace(None)
            return mark

        self.marks[id(code)] = mark

    def look(self, frame: FrameType, offset: int) -> bool:
        """Whether the text that an instruction is about to make may say where an object lies."""
        telling = not shows_no_place(frame, showing(frame.f_code)[offset])
        if telling:
            self.telling.setdefault(frame.f_code, set()).add(offset)
        return telling

    def begin(self, frame: FrameType, event: str, arg: object) -> Any:
        """What Python calls for each frame that begins."""
        if not self.is_followed(frame):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.marks.get(id(frame.f_code))

    def offsets(self, code: CodeType) -> frozenset[int] | None:
        """Of the instructions that were met; None: nobody knows."""
        return frozenset(self.met[code]) if self.on and code in self.met else None

    def quiet(self, code: CodeType) -> frozenset[int]:
        """Of those that made texts, and never one that may say where an object lies."""
        return (self.offsets(code) or frozenset()) & showing(code).keys() - self.telling.get(code, set())


class Monitored(Traced):
    """By events of the code itself, each told once, which costs nothing anywhere else."""

    def start(self) -> None:
        self.on = MONITORING.get_tool(TOOL) is None  # else another recording is going on
        if self.on:
            MONITORING.use_tool_id(TOOL, "tapegrad")
            MONITORING.register_callback(TOOL, MONITORING.events.INSTRUCTION, self.meet)
            MONITORING.restart_events()

    def stop(self) -> None:
        if self.on:
            for code in self.met:
                MONITORING.set_local_events(TOOL, code, 0)
            MONITORING.register_callback(TOOL, MONITORING.events.INSTRUCTION, None)
            MONITORING.free_tool_id(TOOL)
        self.is_followed = nothing_more

    def follow(self, code: CodeType) -> None:
        self.met.setdefault(code, set())
        if self.on:
            MONITORING.set_local_events(TOOL, code, MONITORING.events.INSTRUCTION)

    def meet(self, code: CodeType, offset: int) -> Any:
        self.met[code].add(offset)
        if offset in showing(code) and not self.look(sys._getframe(1), offset):
            return None  # another time it may be of another object
        return MONITORING.DISABLE


INSTRUCTIONS: type[Traced] = Traced if MONITORING is None else Monitored
