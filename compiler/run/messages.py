"""What is told to the user: in the log, in a warning, in a repr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer

from tapegrad.compiler.watch.rooms import room_of


def log(message: str, *values: object) -> None:
    """Tell the logger "tapegrad.jit"; nobody can listen before the program has imported `logging`."""
    if (logging := sys.modules.get("logging")) is not None:
        logging.getLogger("tapegrad.jit").info(message, *values)


def warn_in_log(message: str, *values: object) -> None:
    from logging import getLogger  # slow to import, and seldom asked for

    getLogger("tapegrad.jit").warning(message, *values)


@contextmanager
def told_after(seconds: float, message: str, *values: object) -> Iterator[None]:
    """Say so in the log, as a warning, while the block runs on after so many seconds."""
    timer = Timer(seconds, warn_in_log, (message, *values))
    timer.daemon = True
    with suppress(RuntimeError):  # a machine without threads is not told
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def frames_inside() -> int:
    """How many frames up the user's code is, for a warning."""
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and room_of(frame.f_code.co_filename) == "own":
        frame, depth = frame.f_back, depth + 1
    return depth
