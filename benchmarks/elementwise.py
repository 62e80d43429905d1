"""Every elementwise primitive and activation of `eager.py` in float32: one compiled call of the native program against
PyTorch's eager calls.

Both run in one process on one core, in turn. Values are normal ones, of either sign (±) and without it (+), where the
function is defined there. "Forward and backward" returns the value and the gradient for a cotangent that is given.
"""

import json
import statistics
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import timing
from benchmarks.eager import FUNCTIONS, Function, named
from benchmarks.harness import Case, Contestant, Promise

TURNS, SECONDS = 9, 0.004  # blocks of each, and how long one is
FORWARD, BOTH = "forward", "forward and backward"
FIGURES = ((1000, BOTH), (1_000_000, FORWARD), (1_000_000, BOTH))
RATIO, OURS, THEIRS = "native / PyTorch", "native, µs", "PyTorch, µs"


def ours(f: Function, arrays: list[np.ndarray], g: np.ndarray | None) -> Callable[[], Any]:
    """The compiled call of the function, and of its gradient where there is a cotangent g."""
    import tapegrad as tg
    from tapegrad.autograd import ops

    function = named(tg if callable(f.ours) else tg.nn if f.ours.startswith("functional.") else ops, f.ours)
    xs = [tg.tensor(a) for a in arrays]
    if g is None:
        compiled = tg.jit(lambda *xs: function(*xs), emitter="native", strict=True)

        def forward() -> Any:
            with tg.no_grad():
                return compiled(*xs)

        return forward

    def weighted(g: Any, *xs: Any) -> Any:
        y = function(*xs)
        return (y * g).sum(), y.detach()

    both = tg.grad(weighted, argnums=tuple(range(1, 1 + len(xs))), has_aux=True)
    step = tg.jit(lambda g, *xs: both(g, *xs), emitter="native", strict=True)
    cotangent = tg.tensor(g)
    return lambda: step(cotangent, *xs)


def theirs(f: Function, arrays: list[np.ndarray], g: np.ndarray | None) -> Callable[[], Any]:
    import torch

    torch.set_num_threads(1)
    function = named(torch, f.theirs or f.ours)
    xs = [torch.from_numpy(a).requires_grad_(g is not None) for a in arrays]
    if g is None:

        def forward() -> Any:
            with torch.no_grad():
                return function(*xs)

        return forward
    cotangent = torch.from_numpy(g)

    def both() -> Any:
        y = function(*xs)
        return torch.autograd.grad(y, xs, cotangent), y

    return both


def titles(what: str) -> dict[str, tuple[Function, str]]:
    """The rows' titles: the function, and the signs of its arguments."""
    return {
        f"{name}, {sign}": (f, sign)
        for name, f in FUNCTIONS.items()
        for sign in ("±+" if all(make is np.array for make in f.inputs) else "±")
        if f.gradient or what == FORWARD
    }


def arguments(f: Function, sign: str, size: int) -> list[np.ndarray]:
    draw = np.random.default_rng(0).standard_normal
    arrays = [np.asarray(make(draw(size)), np.float32) for make in f.inputs]
    return [np.abs(a) for a in arrays] if sign == "+" else arrays


def figures(size: int, what: str) -> dict[str, float]:
    cotangent = np.random.default_rng(1).standard_normal(size, dtype=np.float32)
    result = {}
    for title, (f, sign) in titles(what).items():
        arrays, g = arguments(f, sign, size), None if what == FORWARD else cotangent
        runs = {name: timing.repeat(make(f, arrays, g)) for name, make in ((OURS, ours), (THEIRS, theirs))}
        for run in runs.values():
            run(3)  # the first two record
        spent = timing.take_turns(runs, SECONDS, TURNS)
        result[f"{title}; {RATIO}"] = timing.ratio(*spent.values())[0]
        result |= {f"{title}; {name}": statistics.median(s) * 1e6 for name, s in spent.items()}
    return result


def case(size: int, what: str) -> Case:
    return Case(
        title=f"{size:,} elements, {what}",
        contestants=(Contestant(RATIO, ("-m", "benchmarks.elementwise", str(size), what), "torch"),),
        columns={title: title for title in titles(what)},
        promises=tuple(Promise(f"{title}; {RATIO}", RATIO, "", 1.0) for title in titles(what)),
        cores=1,
        ranked=(RATIO, OURS, THEIRS),
        rounds=3,
        warm=True,
    )


CASES = tuple(case(size, what) for size, what in FIGURES)

if __name__ == "__main__":
    print(json.dumps(figures(int(sys.argv[1]), sys.argv[2])))
