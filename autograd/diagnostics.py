"""What messages say: which tensor, which line of the user's code, and whether a result is finite."""

import linecache
import sys
import warnings
from functools import cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from tapegrad.autograd.dtypes import is_floating
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import backend_of

if TYPE_CHECKING:
    from tapegrad.autograd.aliases import Array

OWN_FOLDERS = tuple(str(Path(__file__).parent.parent / room) for room in
                    ("autograd", "nn", "optim", "models", "data", "backends", "compiler"))  # fmt: skip


def describe(a: "object") -> str:
    if isinstance(a, Tensor):
        return f"{a.dtype}{list(a.shape)}" + ("" if a.device == "cpu" else f"@{a.device}")
    return repr(a)


def plural(number: int, noun: str, several: str = "") -> str:
    """`1 call`, `2 calls`, `1,000 calls`."""
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"


def all_finite(array: "Array") -> bool:
    xp = backend_of(array).xp
    return not is_floating(array.dtype) or bool(xp.all(xp.isfinite(array)))


def user_frame() -> "FrameType | None":
    """The innermost frame that is not tapegrad's own, or None."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and is_own(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


@cache
def is_own(path: str) -> bool:
    """Whether a file is one of tapegrad's own."""
    return path.startswith(OWN_FOLDERS)


def user_line() -> str:
    """`  at file.py:12: y = x @ w`: where the user's code calls."""
    frame = user_frame()
    if frame is None:
        return "  (called from tapegrad itself)"
    path, number = frame.f_code.co_filename, frame.f_lineno
    return f"  at {path}:{number}: {linecache.getline(path, number).strip()}"


def warn_user(message: str, kind: type[Warning] = RuntimeWarning) -> None:
    """A warning at the line of the user's code that calls."""
    frame = user_frame()
    if frame is None:
        warnings.warn(message, kind, stacklevel=2)
        return
    code, seen = frame.f_code, frame.f_globals.setdefault("__warningregistry__", {})
    name = frame.f_globals.get("__name__", "<user>")
    warnings.warn_explicit(message, kind, code.co_filename, frame.f_lineno, name, seen)
