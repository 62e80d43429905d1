"""What it costs until a step runs compiled: the first call, which records, and the second, which records again,
compares, and makes the program. In a new process each time, with an empty cache of machine code and with one that an
earlier process filled, beside JAX's time to trace and compile the same step. CPU time on one core: that of a machine of
its own.

"Making the program" is the part of the second call that is not recording: passes, source, compiling or loading machine
code, and guards. A recording is "paid back" after so many steps as it takes until both calls, and the compiled ones
after them, have taken less time than eager steps.
"""

import json
import statistics
import sys
import time
from typing import Any

from benchmarks.deep import Gpt, Recurrent
from benchmarks.harness import Case, Contestant, Promise
from benchmarks.networks import jax_training, tapegrad
from benchmarks.steps import JOBS

# name -> network, and the seconds promised of a second call that finds nothing cached
NETWORKS: dict[str, tuple[Any, float]] = {
    "MLP 30-64-32-1": (JOBS["step_small"].task, 0.3),
    "RNN of 50 steps": (Recurrent(steps=50), 0.6),
    "RNN of 200 steps": (Recurrent(steps=200), 1.6),
    "100 Dense layers": (JOBS["dense_100"].task, 0.6),
    "GPT of 2 layers": (Gpt(layers=2), 1.6),
    "CNN": (JOBS["cnn"].task, 2.0),
    "LSTM of 50 steps": (JOBS["lstm"].task, 2.0),
    "Encoder layer": (JOBS["encoder"].task, 2.0),
    "GPT of 4 layers": (JOBS["gpt_4"].task, 2.0),
}
COLD, WARM = "tapegrad jit, native, nothing cached", "tapegrad jit, native, from disk"
NUMPY, JAX = "tapegrad jit, NumPy", "JAX jit"
# name in the table -> emitter, package, where machine code is kept
CONTESTANTS = {
    COLD: ("native", "llvmlite", {"TAPEGRAD_CACHE": "{out}"}),
    WARM: ("native", "llvmlite", {"TAPEGRAD_CACHE": "{cache}"}),
    NUMPY: ("numpy", "tapegrad", {}),
    JAX: ("jax", "jax", {}),
}
FROM_DISK = 0.05  # seconds of making the program, where its machine code is on disk
PAID_BACK = 150  # steps
STEPS = 20  # of those that are timed afterwards


def seconds(call: Any) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def making() -> list[float]:
    """A list that gets the seconds of each program that is made from now on."""
    from tapegrad.compiler.run.case import Case

    settle, spent = Case.settle, []

    def timed(case: Any) -> None:
        spent.append(seconds(lambda: settle(case)))

    Case.settle = timed  # type: ignore[method-assign]
    return spent


def measure(network: str, emitter: str) -> dict[str, float]:
    task, _ = NETWORKS[network]
    if emitter == "jax":
        return measure_jax(task)
    eager, value = tapegrad(task)
    step, _ = tapegrad(task, emitter)
    value(eager())
    each_eager = statistics.median(seconds(eager) for _ in range(STEPS))
    spent = making()
    first, second = seconds(step), seconds(step)
    later = statistics.median(seconds(step) for _ in range(STEPS))
    paid_back = (first + second - 2 * later) / (each_eager - later)
    return {"first": first, "second": second, "made": spent[0], "later": later * 1e6, "paid_back": paid_back}


def measure_jax(task: Any) -> dict[str, float]:
    compiled, state, batch = jax_training(task)
    start = time.process_time()
    lowered = compiled.lower(*state, *batch)
    middle = time.process_time()
    lowered.compile()
    return {"first": middle - start, "second": time.process_time() - start}


def case(network: str, limit: float) -> Case:
    paid_back = PAID_BACK if network.startswith("MLP") else None
    return Case(
        title=network,
        contestants=tuple(
            Contestant(name, ("-m", "benchmarks.second_call", network, emitter), package, env=env)
            for name, (emitter, package, env) in CONTESTANTS.items()
        ),
        columns={
            "first": "first call (JAX: tracing), s",
            "second": "second call (JAX: tracing and compiling), s",
            "made": "of it, making the program, s",
            "later": "later calls, µs",
            "paid_back": "paid back after, steps",
        },
        promises=(
            Promise("second", COLD, "", limit),
            Promise("second", COLD, JAX, 1.0),
            Promise("made", WARM, "", FROM_DISK),
            Promise("paid_back", NUMPY, "", paid_back),
            Promise("paid_back", COLD, "", None),
            Promise("paid_back", WARM, "", None),
        ),
        cores=1,
        rounds=3,
    )


CASES = tuple(case(network, limit) for network, (_, limit) in NETWORKS.items())

if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2])))
