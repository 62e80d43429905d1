"""Whose code a file holds."""

import os
import sysconfig
from functools import cache
from pathlib import Path

import numpy as np

ROOMS = ("autograd", "backends", "compiler", "nn", "optim", "data", "models")
# The folder of the rooms, as imported; OWN resolves links as well.
HERE = Path(__file__).absolute().parents[2]
OWN = tuple(f"{top}{os.sep}{room}{os.sep}" for top in {HERE, HERE.resolve(), Path(__file__).resolve().parents[2]}
            for room in ROOMS)  # fmt: skip
NUMPY = os.path.dirname(np.__file__)
SITE = sysconfig.get_paths()["purelib"]
STDLIB = sysconfig.get_paths()["stdlib"]


@cache
def room_of(path: str) -> str:
    """Whose code a file holds: "own" (tapegrad), "library" (Python's, NumPy's), or "user"."""
    if path.startswith(OWN):
        return "own"
    if path.startswith(NUMPY + os.sep) or path in ("<__array_function__ internals>",):
        return "library"
    if path.startswith(SITE + os.sep):
        return "user"
    if path.startswith((STDLIB + os.sep, "<frozen ")):
        return "library"
    return "library" if path.startswith(("<tg.jit", "<guards of")) else "user"
