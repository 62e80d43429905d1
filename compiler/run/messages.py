"""What is told to the user: in the log, in a warning, in a repr."""

import sys
from typing import Any

from tapegrad.compiler.watch.listen import room_of


def log(message: str, *values: Any) -> None:
    from logging import getLogger  # slow to import, and few recordings are made

    getLogger("tapegrad.jit").info(message, *values)


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def frames_inside() -> int:
    """How many frames up the user's code is, for a warning."""
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and room_of(frame.f_code.co_filename) == "own":
        frame, depth = frame.f_back, depth + 1
    return depth
