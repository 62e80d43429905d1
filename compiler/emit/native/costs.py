"""What each call of a program costs: operations, bytes, and its share of the time, which a timed run tells."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from tapegrad.autograd.aliases import Array
from tapegrad.compiler.emit.module import parts_of as places
from tapegrad.compiler.emit.native.alike import Loops
from tapegrad.compiler.emit.native.calls import Calls
from tapegrad.compiler.emit.native.emitter import Call, Library
from tapegrad.compiler.emit.native.machine import Code, scratch_of
from tapegrad.compiler.emit.native.parts import Parts
from tapegrad.compiler.emit.native.walks import operations
from tapegrad.compiler.emit.summary import cut_to_width, times_text
from tapegrad.compiler.ir.operations import Kind

# A call is repeated for so many seconds, so many times at most; the best of a few tries counts.
SECONDS, REPEATS, TRIES = 2e-4, 100, 3


@dataclass
class Row:
    """Calls that do the same, as the layers of a network: the counts are those of each, the seconds those of all."""

    what: str
    arithmetic: int
    nbytes: int
    times: int = 0
    seconds: float = 0.0

    def text(self, total: float, repeated: bool) -> str:
        times = f" {times_text(self.times):>7}" if repeated else ""
        time = f"{self.seconds / total:6.1%} {self.seconds * 1e6:9.2f} " if total else ""
        return f"{time}{self.arithmetic:12,d} {self.nbytes:13,d}{times}  {self.what}"


def table(
    calls: Sequence[Call], parts: Parts, arrays: dict[str, Array], seconds: Sequence[float]
) -> list[str]:
    """A line for each kind of call; where the seconds of each are given, those that take longest come first."""
    rows: dict[object, Row] = {}
    products = iter(parts.kernels)
    for n, call in enumerate(calls):
        row = row_of(call, products, arrays)
        kind = re.sub(r"\d+", "#", row.what.partition("   ")[2]), row.what.partition("   ")[0]
        row = rows.setdefault((kind, row.arithmetic, row.nbytes), row)
        row.times += 1
        row.seconds += seconds[n] if seconds else 0.0
    total = sum(row.seconds for row in rows.values())
    head = f"{'share':>6} {'µs':>9} " if total else ""
    ordered = sorted(rows.values(), key=lambda row: -row.seconds)
    repeated = any(row.times > 1 for row in ordered)
    times = f" {'times':>7}" if repeated else ""
    head += (
        f"{'arithmetic':>12} {'bytes':>13}{times}  by call: loops, a product (m x k x n, and how), or NumPy's"
    )
    return [head, *(row.text(total, repeated) for row in ordered)]


def row_of(call: Call, products: Any, arrays: dict[str, Array]) -> Row:
    """The arithmetic on single numbers, of a product its additions and multiplications, and the bytes of all arrays
    that it reads and writes."""
    if isinstance(call, Library):
        count, how = 0, f"NumPy's {call.ops[0].name}"
        names = [n for n in re.findall(r"\w+", call.text) if hasattr(arrays.get(n), "nbytes")]
    elif isinstance(call, Loops):
        count, how = operations(call.nest.body), "loops"
        names = [slot.name for slot in call.nest.arrays]
    else:
        (count, title), names = next(products), [call.a, call.b, call.out]
        how = title()
    # A view and a joining of arrays that are made in their place leave nothing to do.
    done = [op for op in call.ops if op.kind is not Kind.VIEW and op.name != "concat"] or call.ops
    origins = list(dict.fromkeys(op.origin for op in done))
    line = next((o.line for o in origins if o.line), "")
    where = ": ".join(filter(None, (cut_to_width(line), f"[{places(origins)}]")))
    return Row(f"{how}   {where}", count, sum(int(arrays[n].nbytes) for n in dict.fromkeys(names)))


def timed(parts: Parts, code: Code) -> list[float]:
    """How many seconds each call takes, run in their order, each repeated. What it writes to is not what it was."""
    scratch = scratch_of(parts.scratch)
    found, before = [], (0, 0)
    for end in parts.ends:
        first = before if before[0] == end[0] else (end[0], 0)
        part = parts.calls[end[0] - 1] if end != before else []
        stages = [s for s in part[first[1] : end[1]] if s] if isinstance(part, list) else part
        found.append(seconds_of(stages, code, scratch, parts.threads))
        before = end
    return found


def seconds_of(stages: Any, code: Code, scratch: np.ndarray, threads: int) -> float:
    """Of the stages of a call, or of a call of NumPy."""
    several: Callable[[int], Callable[[], Any]] = lambda n: Calls(code, stages * n, scratch, threads).run
    if not isinstance(stages, list):
        several = lambda n: lambda: [stages() for _ in range(n)]
    elif not stages:
        return 0.0

    def best(n: int) -> float:
        run, times = several(n), []
        for _ in range(TRIES):
            start = perf_counter()
            with suppress(LookupError):  # a check of values, which are not those of a call
                run()
            times.append(perf_counter() - start)
        return min(times) / n

    return best(max(1, min(REPEATS, int(SECONDS / best(1)))))
