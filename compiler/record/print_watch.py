"""What is printed while a function is recorded, whoever prints it."""

import sys
from _thread import get_ident
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, TextIO

NAMES = ("stdout", "stderr")


class PrintWatch:
    """While it lasts, `sys.stdout` and `sys.stderr` are streams that tell of each write, and write what they are given.

    The profiler does not hear of a print that C code calls: `sorted(xs, key=print)`, `model.summary()`.
    """

    def __init__(self, tell: Callable[[FrameType | None], None]) -> None:
        """tell   called with the frame that a write was called from"""
        self.tell, self.thread = tell, get_ident()
        self.streams: dict[str, Stream] = {}

    def written(self) -> None:
        if get_ident() == self.thread:
            self.tell(sys._getframe(2))

    def __enter__(self) -> "PrintWatch":
        for name in NAMES:
            if (real := getattr(sys, name)) is not None:
                self.streams[name] = Stream(real, self.written)
                setattr(sys, name, self.streams[name])
        return self

    def __exit__(self, *error: object) -> None:
        for name, stream in self.streams.items():
            if getattr(sys, name) is stream:
                setattr(sys, name, stream._real)
        self.streams.clear()  # they know this watch


class Stream:
    """A stream that tells when something is written to it, and otherwise is the real one."""

    def __init__(self, real: TextIO, written: Callable[[], None]) -> None:
        self._real, self._written = real, written

    __class__ = property(lambda self: type(self._real))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def write(self, text: str) -> int:
        self._written()
        return self._real.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self._written()
        self._real.writelines(lines)
