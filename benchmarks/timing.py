"""Functions timed in turn in one process: whatever else the machine does hits all of them alike."""

import statistics
import time
from collections.abc import Callable
from typing import Any

Run = Callable[[int], Any]  # makes so many calls
MOST = 10**6  # calls in a block


def repeat(call: Callable[[], Any]) -> Run:
    """A function that makes so many calls of `call`."""

    def run(times: int) -> None:
        for _ in range(times):
            call()

    return run


def take_turns(
    runs: dict[str, Run],
    seconds: float,
    turns: int,
    clock: Callable[[], float] = time.process_time,
    most: int = MOST,
) -> dict[str, list[float]]:
    """Seconds of one call of each, a figure for each turn.

    In each turn every function makes a block of calls, and each turn starts with another function. The default clock
    counts CPU time of all threads: on one core, the time that the calls would take on a machine of their own.

    runs      name -> function that makes so many calls
    seconds   of a block, about; a block is at least one call and at most `most`
    """
    counts = {name: block_of(run, seconds, clock, most) for name, run in runs.items()}
    spent: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for turn in range(turns):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            start = clock()
            runs[name](counts[name])
            spent[name].append((clock() - start) / counts[name])
    return spent


def block_of(run: Run, seconds: float, clock: Callable[[], float], most: int) -> int:
    """How many calls take about so many seconds, found by running up to half as many."""
    times = 1
    while True:
        start = clock()
        run(times)
        passed = clock() - start
        if passed >= seconds / 4 or 2 * times > most:
            return max(1, min(most, round(times * seconds / max(passed, 1e-9))))
        times *= 2


def ratio(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """The median of the ratios within a turn, and their quartiles."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return middle, low, high
