"""How long the calls take that record a step, over the depth of its program: they must grow in proportion to the
operations. The exponent of growth is fitted over all sizes of a kind: 1 is linear, 2 quadratic.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from math import log
from typing import Any

from benchmarks.harness import Case, Contestant, Promise

SIZES = {
    "layers": (10, 100, 300, 1000),
    "buffers": (300, 3000),
    "chain": (5000, 50_000),
    "RNN": (20, 50, 200),
}
NAMES = {
    "layers": "{:,} Dense(2) layers, Adam",
    "buffers": "{:,} assigned buffers",
    "chain": "a chain of {:,} operations",
    "RNN": "an RNN of {:,} steps, Adam",
}


def training(model: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
    """A training step of a model with Adam."""
    import tapegrad as tg

    opt = tg.optim.Adam(model.parameters())

    def step(x: Any) -> Any:
        opt.zero_grad()
        loss = (forward(x) ** 2).mean()
        loss.backward()
        opt.step()
        return loss

    return step


def layers(count: int) -> tuple[Callable[..., Any], Any]:
    import tapegrad as tg

    model = tg.nn.Sequential(*[tg.nn.Dense(2, in_features=2) for _ in range(count)])
    return training(model, model), tg.ones((4, 2))


def buffers(count: int) -> tuple[Callable[..., Any], Any]:
    import tapegrad as tg

    arrays = [tg.zeros(3) for _ in range(count)]

    def step(x: Any) -> Any:
        for b in arrays:
            b.assign(b + x)
        return x * 2.0

    return step, tg.ones(3)


def chain(count: int) -> tuple[Callable[..., Any], Any]:
    import tapegrad as tg

    def step(x: Any) -> Any:
        for _ in range(count // 2):
            x = x * 0.5 + 1.0
        return x

    return step, tg.ones(3)


def recurrent(count: int, units: int = 8) -> tuple[Callable[..., Any], Any]:
    import tapegrad as tg

    inner = tg.nn.Dense(units, in_features=units)
    outer = tg.nn.Dense(units, in_features=units)

    def forward(xs: Any) -> Any:
        h = tg.zeros(xs.shape[1:])
        for t in range(count):
            h = tg.tanh(inner(xs[t]) + outer(h))
        return h

    return training(tg.nn.Sequential(inner, outer), forward), tg.ones((count, 4, units))


MAKERS = {"layers": layers, "buffers": buffers, "chain": chain, "RNN": recurrent}


def recorded(kind: str, size: int) -> dict[str, float]:
    """Seconds of the first and second call of a new step, the time of a later call, and the length of its source.

    CPU time: one thread does it all, and what other processes take does not count."""
    import tapegrad as tg

    function, x = MAKERS[kind](size)
    function(x)  # what an optimizer makes at its first step is there
    step = tg.jit(function, emitter="numpy")
    times = []
    gc.collect()
    for _ in range(4):
        start = time.process_time()
        step(x)
        times.append(time.process_time() - start)
    return {
        "first": times[0],
        "second": times[1],
        "later": min(times[2:]) * 1e3,
        "lines": step.source().count("\n"),
    }


def exponent(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """The slope of the least squares line through the logarithms."""
    xs, ys = [log(n) for n in sizes], [log(s) for s in seconds]
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    rise = sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True))
    return rise / sum((x - middle_x) ** 2 for x in xs)


def figures(kind: str, size: int) -> dict[str, float]:
    """What one process measures: of the largest size of a kind, the growth over all sizes."""
    recorded(kind, SIZES[kind][0])  # imports, and memory from the system
    sizes = SIZES[kind] if size == SIZES[kind][-1] else (size,)
    each = [recorded(kind, n) for n in sizes]
    both = [one["first"] + one["second"] for one in each]
    return each[-1] | ({"growth": exponent(sizes, both)} if len(sizes) > 1 else {})


def name(kind: str, size: int) -> str:
    return NAMES[kind].format(size)


CASES = (
    Case(
        title="Recording a step, NumPy emitter, one core",
        contestants=tuple(
            Contestant(name(kind, size), ("-m", "benchmarks.recording", kind, str(size)))
            for kind, sizes in SIZES.items()
            for size in sizes
        ),
        columns={
            "first": "first call, s",
            "second": "second call, s",
            "later": "later calls, ms",
            "lines": "lines of source",
            "growth": "exponent of growth",
        },
        promises=(
            Promise("first", name("layers", 1000), name("layers", 100), 12.0),
            Promise("first", name("buffers", 3000), name("buffers", 300), 12.0),
            Promise("first", name("chain", 50_000), name("chain", 5000), 12.0),
            Promise("first", name("RNN", 200), name("RNN", 50), 4.8),
        ),
        cores=1,
        rounds=3,
        note="The first call records, improves and emits; if the second one records once more to compare, it takes "
        "about as long as Python's part of the first. The exponent is that of both calls together, over all sizes "
        "of a kind: 1 is linear.",
    ),
)

if __name__ == "__main__":
    print(json.dumps(figures(sys.argv[1], int(sys.argv[2]))))
