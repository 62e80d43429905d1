"""Where the time of a small compiled call goes: the step of an MLP 30-64-32-1, batch 32, Adam, on one core. Each part
runs separately, a few times in a row, and the parts take turns. A part that runs separately finds what it reads in the
nearest cache. In a whole call the program has emptied that cache: the difference is in the last row.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.networks import Task, tapegrad_training

EMITTERS = ("numpy", "native")
WARM_UP, ROUNDS, TIMES = 50, 800, 10


def parts(emitter: str) -> dict[str, Callable[[], Any]]:
    """What a call does, each part as a function; "whole call" first."""
    from tapegrad.autograd import writes
    from tapegrad.autograd.tensor import next_serial
    from tapegrad.autograd.whole import arithmetic_may_raise, uninterrupted

    train, *args = tapegrad_training(Task((30, 64, 32, 1), 32), emitter)
    for _ in range(WARM_UP):
        train(*args)
    case = train.shown()
    runner, arrays = case.runner, case.match(args, {})
    if arrays is None:
        raise SystemExit(f"{emitter}: the guards of the step do not hold")
    made = runner.step(*arrays)

    def held_back() -> None:
        with uninterrupted():
            pass

    def told() -> None:
        for leaf, g in runner.gradients:
            leaf._grad = g
        writes.mark_all(runner.places, next_serial())

    return {
        "whole call": lambda: train(*args),
        "guards": lambda: case.match(args, {}),
        "program": lambda: runner.step(*arrays),
        "holding Ctrl-C back": held_back,
        "whether arithmetic may raise": arithmetic_may_raise,
        "gradients, marks of what was written": told,
        "results": lambda: runner.results(made, args, {}),
    }


def measure(emitter: str) -> dict[str, list[float]]:
    """Microseconds of each part, in each round."""
    todo = parts(emitter)
    found: dict[str, list[float]] = {name: [] for name in todo}
    for _ in range(ROUNDS):
        for name, run in todo.items():
            start = time.perf_counter()
            for _ in range(TIMES):
                run()
            found[name].append((time.perf_counter() - start) / TIMES * 1e6)
    return found


def lines() -> Iterator[str]:
    """The tables, a line as soon as it is known."""
    yield "| emitter | part | median, µs | quartiles, µs | fastest, µs |\n|---|---|---|---|---|"
    for emitter in EMITTERS:
        found = measure(emitter)
        rest = [whole - sum(others) for whole, *others in zip(*found.values(), strict=True)]
        for name, each in {**found, "entry, choice of the program, the rest": rest}.items():
            low, middle, high = statistics.quantiles(each, n=4)
            yield f"| {emitter} | {name} | {middle:.2f} | {low:.2f} to {high:.2f} | {min(each):.2f} |"
