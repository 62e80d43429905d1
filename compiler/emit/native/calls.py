"""Functions of a compiled module bound to arrays, and run by one call from Python."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tapegrad.autograd.aliases import Array
from tapegrad.compiler.emit.native import pool
from tapegrad.compiler.emit.native.arithmetic import flags_asked_for, take_back
from tapegrad.compiler.emit.native.machine import BEFORE, RECORD, Code

# One prepared argument: each costs a tenth of a microsecond.
RUN = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
POOL, WANTED = RECORD.index("pool"), RECORD.index("wanted")


@dataclass
class Part:
    """What a function reads or writes: an array, from so many bytes behind its first element on."""

    array: Array
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
        self.table = np.array(rows, np.int64)
        self.function = RUN(code.address("run"))
        self.wanted = 0
        self.record = np.array([self.table.ctypes.data, len(rows), scratch.ctypes.data, 0, 0], np.int64)
        self.given = ctypes.c_void_p(self.record.ctypes.data)

    def run(self) -> int:
        """0, the flags that were set and are asked for, or STOPPED + the number of the call that stopped. Raises
        FloatingPointError if one was set before the program writes."""
        if self.workers:
            self.record[POOL] = pool.pool(self.workers, len(self.scratch))
        if (wanted := flags_asked_for()) != self.wanted:
            self.record[WANTED] = self.wanted = wanted
        code: int = self.function(self.given)
        if code >> BEFORE:
            take_back(code >> BEFORE)
        return code

    def looking_into(self, array: Array) -> tuple[np.ndarray, np.ndarray]:
        """(which pointers look into an array's memory, how far behind its beginning)."""
        begin, end = address(array), address(array) + array.nbytes
        which = np.flatnonzero((self.pointers >= begin) & (self.pointers < end))
        return which, self.pointers[which] - begin


def address(array: Array) -> int:
    """Where an array's first element is."""
    found: int = array.__array_interface__["data"][0]
    return found
