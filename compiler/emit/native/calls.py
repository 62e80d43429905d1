"""Functions of a compiled module bound to arrays, and run by one call from Python."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.compiler.emit.native import pool
from tapegrad.compiler.emit.native.arithmetic import take_back
from tapegrad.compiler.emit.native.machine import BEFORE, STOPPED, Code

RUN = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)


@dataclass
class Part:
    """What a function reads or writes: an array, from so many bytes behind its first element on."""

    array: Any
    offset: int = 0


# Calls that may run at once: (function, what its table points to) of each. An empty one is no call: from here on the
# program writes to what outlives a call.
Stage = list[tuple[str, list[Part]]]


class Calls:
    """Functions with their arrays, run one after another by one call from Python, which lets other threads run.

    The calls of a stage may be shared among `threads`.
    """

    def __init__(self, code: Code, stages: Sequence[Stage], scratch: np.ndarray, threads: int) -> None:
        self.code, self.scratch, self.workers = code, scratch, 0
        if threads > 1 and any(len(stage) > 1 for stage in stages):
            self.workers = threads - 1
        parts = [part for stage in stages for _, parts in stage for part in parts]
        self.arrays = [part.array for part in parts]  # alive as long as their pointers
        self.pointers = np.array([address(p.array) + p.offset for p in parts] or [0], np.int64)
        rows, start = [], self.pointers.ctypes.data
        for stage in stages:
            if not stage:
                rows.append((0, 0, 0))
            for k, (name, given) in enumerate(stage):
                rows.append((code.address(name), start, len(stage) if k == 0 else 1))
                start += 8 * len(given)
        self.table, self.count = np.array(rows, np.int64), len(rows)
        self.function = RUN(code.address("run"))
        self.where, self.room = ctypes.c_void_p(self.table.ctypes.data), ctypes.c_void_p(scratch.ctypes.data)

    def run(self) -> int:
        """0, the flags that were set, or STOPPED + the number of the call that stopped. Raises FloatingPointError if a
        flag was set that is asked for, before it writes."""
        threads = pool.pool(self.workers, len(self.scratch)) if self.workers else None
        code = int(self.function(self.where, self.count, self.room, threads))
        if not code >> BEFORE:
            return code
        take_back(code >> BEFORE)
        done = code % (1 << BEFORE) - STOPPED + 1
        rest = ctypes.c_void_p(self.where.value + done * self.table.itemsize * self.table.shape[1])
        code = int(self.function(rest, self.count - done, self.room, threads))
        return code + done if code >= STOPPED else code

    def looking_into(self, array: Any) -> tuple[np.ndarray, np.ndarray]:
        """(which pointers look into an array's memory, how far behind its beginning)."""
        begin, end = address(array), address(array) + array.nbytes
        which = np.flatnonzero((self.pointers >= begin) & (self.pointers < end))
        return which, self.pointers[which] - begin


def address(array: Any) -> int:
    """Where an array's first element is."""
    found: int = array.__array_interface__["data"][0]
    return found
