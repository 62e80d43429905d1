"""Streams and graphs of the stand-in for CuPy. What is launched runs at once; while a stream is being captured nothing
runs and nothing waits.
"""

from collections.abc import Callable
from typing import ClassVar


class State:
    waits = 0
    events: ClassVar[list[str]] = []  # what streams and graphs did
    recording: list[Callable[[], None]] | None = None  # of the stream that is being captured


def wait() -> None:
    if State.recording is not None:
        raise RuntimeError(
            "cudaErrorStreamCaptureUnsupported: the host waits for a stream that is being captured"
        )
    State.waits += 1


def launch(work: Callable[[], None]) -> None:
    if State.recording is None:
        work()
    else:
        State.recording.append(work)


class Stream:
    """A stream in order: what is launched runs at once, or is kept while it is being captured."""

    current: list["Stream"] = []

    def __init__(self, non_blocking: bool = False) -> None:
        self.non_blocking, self.ptr = non_blocking, id(self)

    def __enter__(self) -> "Stream":
        Stream.current.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        Stream.current.pop()

    def record(self) -> object:
        return object()

    def wait_event(self, event: object) -> None:
        State.events.append("wait")

    def synchronize(self) -> None:
        wait()

    def begin_capture(self) -> None:
        assert self.non_blocking and Stream.current[-1] is self, (
            "capture on a non-blocking stream that is current"
        )
        State.events.append("capture")
        State.recording = []

    def end_capture(self) -> "Graph":
        if State.recording is None:
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        work, State.recording = State.recording, None
        return Graph(work)


class Graph:
    def __init__(self, work: list[Callable[[], None]]) -> None:
        self.work = work

    def launch(self) -> None:
        State.events.append("launch")
        for part in self.work:
            part()
