"""The jobs that time one training step: a row of JOBS says which network, which contestants, and what is promised.

Each process makes the network, warms up, then times blocks of steps; its figure is the median block, per step. A block
has as many steps as fit into a tenth of a second, so that a process takes a few seconds whatever the size; but not more
than 200, since a network that knows its batch by heart ends with denormal numbers, which slow some libraries down.
Nothing waits for the result of a step before the block's last one.
"""

import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import Case, Contestant, Promise
from benchmarks.networks import CONTESTANTS, START, Step, Task

WARM_UP = 0.4  # seconds, for 4 to 300 steps: the first two record
BLOCKS, BLOCK, MOST = 10, 0.1, 200  # how many blocks, seconds of each, most steps in one
FEWEST = 4  # blocks of one step each, where a step takes long
LEARNED, SOON = (
    0.8,
    300,
)  # the loss must fall below this fraction of the first one, after this many more steps at most

EAGER, NUMPY, NATIVE = "tapegrad", "tapegrad jit, NumPy", "tapegrad jit, native"
TORCH, FUSED, JAX = "PyTorch eager", "PyTorch eager, fused optimizer", "JAX jit"
KERAS, SKLEARN, BARE = "Keras train_on_batch", "scikit-learn partial_fit", "bare matrix products"


@dataclass(frozen=True)
class StepJob:
    """`promises`: (ours, against, limit); those of `one_core` hold on one core only, and are ratios elsewhere."""

    doc: str
    task: Task
    contestants: tuple[str, ...]
    promises: tuple[tuple[str, str, float | None], ...]
    one_core: bool = False
    rounds: int = 5


JOBS = {
    "step_small": StepJob(
        "One training step of an MLP 30-64-32-1, batch 32, Adam, binary cross-entropy on the logits.",
        Task((30, 64, 32, 1), 32),
        (EAGER, NUMPY, NATIVE, TORCH, FUSED, KERAS, SKLEARN, JAX, BARE),
        (
            (EAGER, TORCH, 0.5),
            (NUMPY, JAX, 0.95),
            (NATIVE, JAX, 0.18),
            (NATIVE, TORCH, 0.08),
            (NATIVE, FUSED, None),
            (NATIVE, KERAS, 0.04),
            (NATIVE, SKLEARN, 0.12),
        ),
    ),
    "step_medium": StepJob(
        "One training step of an MLP 784-512-256-10, batch 128, Adam, cross-entropy on the logits.",
        Task((784, 512, 256, 10), 128),
        (EAGER, NUMPY, NATIVE, TORCH, FUSED, KERAS, SKLEARN, JAX, BARE),
        (
            (NATIVE, JAX, 0.85),
            (NUMPY, JAX, None),
            (NATIVE, TORCH, 0.35),
            (NUMPY, TORCH, 0.55),
            (NATIVE, FUSED, None),
            (NATIVE, BARE, None),
            (JAX, BARE, None),
            (TORCH, BARE, None),
        ),
        one_core=True,
        rounds=4,
    ),
    "step_large": StepJob(
        "One training step of an MLP 1024-2048-2048-1000, batch 512, SGD with momentum 0.9, cross-entropy on the "
        "logits.",
        Task((1024, 2048, 2048, 1000), 512, "momentum", lr=0.1),
        (EAGER, NUMPY, NATIVE, TORCH, FUSED, JAX, BARE),
        (
            (NATIVE, BARE, 1.1),
            (NATIVE, JAX, 0.8),
            (NATIVE, TORCH, 0.5),
            (NUMPY, JAX, 0.87),
            (NUMPY, BARE, None),
            (JAX, BARE, None),
            (TORCH, BARE, None),
        ),
        one_core=True,
        rounds=3,
    ),
    "logistic": StepJob(
        "One step of gradient descent of a logistic regression on 4096 rows of 100 features, all rows at once.",
        Task((100, 1), 4096, "sgd", lr=0.5),
        (EAGER, NUMPY, NATIVE, TORCH, FUSED, JAX, BARE),
        ((NATIVE, JAX, 0.55), (NUMPY, JAX, 0.85), (NATIVE, TORCH, None)),
    ),
}


def cases(name: str, job: StepJob) -> tuple[Case, ...]:
    one = Case(
        title="One core",
        contestants=tuple(
            Contestant(c, ("-m", "benchmarks.steps", name, c), needs=CONTESTANTS[c][0])
            for c in job.contestants
        ),
        columns={"step": "µs per step", "fastest": "fastest block, µs", "peak": "peak MB"},
        promises=tuple(Promise("step", *promise) for promise in job.promises),
        cores=1,
        rounds=job.rounds,
    )
    promises = tuple(dataclasses.replace(p, limit=None) if job.one_core else p for p in one.promises)
    every = dataclasses.replace(one, title="All cores", promises=promises, cores=None, rounds=3, warm=True)
    return one, every


def time_steps(
    step: Step,
    synchronize: Callable[[], Any] = lambda: None,
    warm_up: float = WARM_UP,
    blocks: int = BLOCKS,
    learned: float = LEARNED,
) -> dict[str, float]:
    """µs per step, the median and the fastest of the blocks."""
    one_step, value = step
    first = value(one_step())
    for _ in range(START):
        value(one_step())
    start, done = time.perf_counter(), 0
    while done < 4 or (done < 300 and time.perf_counter() - start < warm_up):
        value(one_step())
        done += 1
    each = (time.perf_counter() - start) / done
    steps = max(1, min(MOST, round(BLOCK / each)))
    blocks = max(min(FEWEST, blocks), min(blocks, round(blocks * BLOCK / each)))
    seconds = []
    for _ in range(blocks):
        synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            loss = one_step()
        last = value(loss)
        synchronize()
        seconds.append((time.perf_counter() - start) / steps)
    more = 0
    while not last <= learned * first:
        last, more = value(one_step()), more + 1
        if more > SOON:
            raise SystemExit(f"the loss only went from {first} to {last}: this step does not train")
    return {"step": statistics.median(seconds) * 1e6, "fastest": min(seconds) * 1e6}


if __name__ == "__main__":
    _, build = CONTESTANTS[sys.argv[2]]
    print(json.dumps(time_steps(build(JOBS[sys.argv[1]].task))))
