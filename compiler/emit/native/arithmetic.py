"""What the processor noted during a call, overflow and the like, and what `np.errstate` asks to be done about it.

The processor notes more than NumPy tells of: what comes of a comparison with NaN, or of the branch of a choice that is
not taken. So a call in which it noted what is asked for is taken back before it has written to anything, and runs as
Python, which warns or raises at the line where the number comes up. What comes up later, in the writing, is taken back
only where an exception may follow: the Runner has copies then. Else a warning names the program.
"""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from tapegrad.autograd.aliases import Array
from tapegrad.autograd.whole import arithmetic_may_raise, numpy_settings
from tapegrad.compiler.emit.native.machine import FLAGS

WORDS = {"invalid": "invalid value", "divide": "divide by zero", "over": "overflow", "under": "underflow"}


# NumPy's settings, and the flags of what they do not ignore.
_asked_for: tuple[object, int] = (None, 0)


def flags_asked_for() -> int:
    """The flags of what NumPy's settings of this thread do not ignore."""
    global _asked_for
    settings, (known, flags) = numpy_settings(), _asked_for
    if settings is not known:
        flags = sum(FLAGS[name] for name in asked(sum(FLAGS.values())))
        _asked_for = settings, flags
    return flags


def asked(flags: int) -> list[str]:
    """The names of the flags that are set, and that NumPy's settings do not ignore."""
    reactions: dict[str, Any] = {**np.geterr()}
    return [name for name, flag in FLAGS.items() if flags & flag and reactions[name] != "ignore"]


def take_back(flags: int) -> None:
    """Raises what has the call taken back and run as Python, where one of these flags is asked for."""
    if names := asked(flags):
        raise FloatingPointError(" and ".join(WORDS[name] for name in names))


def tell(flags: int, title: str, read: Iterable[Array]) -> None:
    """The same for flags that were set when the call had written already. read: arrays that it has not written to."""
    names = asked(flags)
    if names and arithmetic_may_raise():
        take_back(flags)
    if "invalid" in names and not finite(read):
        names.remove("invalid")  # NaN meets comparisons
    for name in names:
        warnings.warn(f"{WORDS[name]} encountered in {title}", RuntimeWarning, stacklevel=4)


def finite(arrays: Iterable[Array]) -> bool:
    """Whether no number among arrays, and numbers, is infinite or NaN."""
    return all(a.dtype.kind != "f" or np.isfinite(a).all() for a in arrays if isinstance(a, np.ndarray))
