"""What the check before a compiled call costs: the time of `case.match(args, {})`, which compares all that the program
depends on with what it was when it was recorded, and its share of a whole call of the step, NumPy's program. A process
takes blocks of checks and blocks of steps in turn; its figures are those of the median block.
"""

import json
import statistics
import sys
from itertools import pairwise
from typing import Any

from benchmarks import timing
from benchmarks.harness import Case, Contestant, Promise

# name in the table -> units of each layer, from the inputs on; rows of a batch
NETWORKS = {"MLP 30-64-32-1": ((30, 64, 32, 1), 32), "100 Dense layers": ((16,) * 100 + (1,), 32)}
PROMISED = {"MLP 30-64-32-1": 3.0, "100 Dense layers": 25.0}  # microseconds
BLOCKS, BLOCK, STEPS = 30, 0.005, 20
SHARE = 5.0  # percent


def training(sizes: tuple[int, ...], rows: int) -> tuple[Any, tuple[Any, Any]]:
    """A compiled training step with Adam, and its arguments."""
    import tapegrad as tg

    *hidden, (a, b) = pairwise(sizes)
    layers = [tg.nn.Dense(n, activation="relu", in_features=m) for m, n in hidden]
    model = tg.nn.Sequential(*layers, tg.nn.Dense(b, in_features=a))
    opt = tg.optim.Adam(model.parameters())

    def step(x: Any, y: Any) -> Any:
        opt.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        opt.step()
        return loss

    return tg.jit(step, emitter="numpy"), (tg.ones((rows, sizes[0])), tg.ones((rows, sizes[-1])))


def measure(network: str) -> dict[str, float]:
    step, args = training(*NETWORKS[network])
    for _ in range(STEPS):
        step(*args)
    case = step.cases[0]
    if not case.ready or case.match(args, {}) is None:
        raise SystemExit(f"{network}: no program is ready: {step.stats()}")
    runs = {"check": lambda: case.match(args, {}), "step": lambda: step(*args)}
    spent = timing.take_turns({name: timing.repeat(call) for name, call in runs.items()}, BLOCK, BLOCKS)
    checks, steps = ([s * 1e6 for s in each] for each in spent.values())
    check, whole = statistics.median(checks), statistics.median(steps)
    low, _, high = statistics.quantiles(checks, n=4)
    return {"check": check, "low": low, "high": high, "step": whole, "share": check / whole * 100}


CASES = (
    Case(
        title="The check before a compiled call, NumPy's program, one core",
        contestants=tuple(Contestant(name, ("-m", "benchmarks.guards", name)) for name in NETWORKS),
        columns={
            "check": "check, µs",
            "low": "lower quartile, µs",
            "high": "upper quartile, µs",
            "step": "whole step, µs",
            "share": "share of the step, %",
        },
        promises=(
            *(Promise("check", name, "", limit) for name, limit in PROMISED.items()),
            *(Promise("share", name, "", SHARE) for name in NETWORKS),
        ),
        cores=1,
    ),
)

if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
