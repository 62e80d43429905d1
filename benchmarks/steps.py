"""The jobs that time one training step: a row of JOBS says which network, which contestants, and what is promised.

On one core, one process has all contestants, warms them up, and times blocks of their steps in turn, in CPU time. On
all cores, each has a process of its own and the clock counts: some libraries' threads go on spinning for a while. A
figure is the median block, per step. A block has as many steps as fit into some hundredths of a second, but not more
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

from benchmarks import timing
from benchmarks.deep import Gpt, Recurrent
from benchmarks.deep_layers import Convolutional, Encoder, GptOfLayers, LongShortTerm
from benchmarks.harness import THREADS, Case, Contestant, Promise
from benchmarks.networks import CONTESTANTS, START, Step, Task

WARM_UP = 0.4  # seconds, for 4 to 300 steps: the first two record
TURNS, BLOCK, MOST = 11, 0.03, 200  # how many blocks, seconds of each, most steps in one
FEWEST, LONG = 5, 0.1  # how many blocks of one step each, where a step takes this many seconds
# The loss must fall below this fraction of the first one, after this many more steps at most.
LEARNED, SOON = 0.8, 300

EAGER, NUMPY, NATIVE = "tapegrad", "tapegrad jit, NumPy", "tapegrad jit, native"
TORCH, FUSED, JAX, SCAN = "PyTorch eager", "PyTorch eager, fused optimizer", "JAX jit", "JAX jit, scan"
KERAS, SKLEARN, BARE = "Keras train_on_batch", "scikit-learn partial_fit", "bare matrix products"
ONE_THREAD = "tapegrad jit, native, one thread"
LIBRARIES = (EAGER, NUMPY, NATIVE, TORCH, FUSED, JAX)


@dataclass(frozen=True)
class StepJob:
    """`promises`: (ours, against, limit), on one core; `on_all`: those on all cores, where it runs there, too."""

    doc: str
    task: Any
    contestants: tuple[str, ...]
    promises: tuple[tuple[str, str, float | None], ...]
    on_all: tuple[tuple[str, str, float | None], ...] = ()
    rounds: int = 5


JOBS = {
    "step_small": StepJob(
        "One training step of an MLP 30-64-32-1, batch 32, Adam, binary cross-entropy on the logits.",
        Task((30, 64, 32, 1), 32),
        (*LIBRARIES, KERAS, SKLEARN, BARE),
        (
            (NATIVE, JAX, 0.18), (NUMPY, JAX, 0.95), (EAGER, TORCH, 0.5), (NATIVE, TORCH, 0.08),
            (NATIVE, FUSED, None), (NATIVE, KERAS, 0.04), (NATIVE, SKLEARN, 0.12), (NUMPY, TORCH, None),
            (EAGER, JAX, None),
        ),
        ((NATIVE, JAX, 0.20), (NATIVE, ONE_THREAD, 1.05)),
    ),
    "step_medium": StepJob(
        "One training step of an MLP 784-512-256-10, batch 128, Adam, cross-entropy on the logits.",
        Task((784, 512, 256, 10), 128),
        (*LIBRARIES, KERAS, SKLEARN, BARE),
        (
            (NATIVE, JAX, 0.85), (NUMPY, JAX, None), (NATIVE, TORCH, 0.35), (NUMPY, TORCH, 0.55),
            (NATIVE, FUSED, None), (NATIVE, BARE, None), (JAX, BARE, None), (TORCH, BARE, None),
        ),
        ((NATIVE, JAX, None), (NATIVE, ONE_THREAD, 0.65)),
        rounds=4,
    ),
    "step_large": StepJob(
        "One training step of an MLP 1024-2048-2048-1000, batch 512, SGD with momentum 0.9, cross-entropy on the "
        "logits.",
        Task((1024, 2048, 2048, 1000), 512, "momentum", lr=0.1),
        (*LIBRARIES, BARE),
        (
            (NATIVE, JAX, 0.8), (NATIVE, TORCH, 0.5), (NUMPY, JAX, 0.87), (NUMPY, TORCH, None), (NATIVE, BARE, 1.1),
            (NUMPY, BARE, None), (JAX, BARE, None), (TORCH, BARE, None),
        ),
        ((NATIVE, JAX, None), (NATIVE, ONE_THREAD, 0.65)),
        rounds=3,
    ),
    "logistic": StepJob(
        "One step of gradient descent of a logistic regression on 4096 rows of 100 features, all rows at once.",
        Task((100, 1), 4096, "sgd", lr=0.5),
        (*LIBRARIES, BARE),
        ((NATIVE, JAX, 0.55), (NUMPY, JAX, 0.85), (NATIVE, TORCH, None), (NUMPY, TORCH, None)),
    ),
    "rnn_50": StepJob(
        "One training step of a recurrent network of 50 steps, 16 units, batch 8, Adam. JAX unrolls it as we do, and "
        "with `lax.scan` it does not.",
        Recurrent(steps=50),
        (*LIBRARIES, SCAN),
        ((NATIVE, JAX, 0.15), (NATIVE, SCAN, None), (NUMPY, JAX, None), (NATIVE, TORCH, None), (NUMPY, TORCH, None)),
        rounds=4,
    ),
    "dense_100": StepJob(
        "One training step of 100 Dense layers of 16 units, tanh between them, batch 8, Adam.",
        Task((16,) * 101, 8, activation="tanh"),
        LIBRARIES,
        ((NATIVE, JAX, 0.06), (NUMPY, JAX, None), (NATIVE, TORCH, None), (NUMPY, TORCH, None)),
        rounds=4,
    ),
    "gpt": StepJob(
        "One training step of a GPT of 2 layers, 128 wide, 4 heads, 16 rows of 64 letters, Adam; of primitives, "
        "without a fused attention or layer norm, against PyTorch's fused ones.",
        Gpt(layers=2),
        LIBRARIES,
        ((NATIVE, TORCH, 0.6), (NUMPY, TORCH, None), (NATIVE, JAX, None), (NUMPY, JAX, None)),
        rounds=4,
    ),
    "gpt_4": StepJob(
        "One training step of a GPT of 4 layers, 128 wide, 4 heads, 16 rows of 64 letters, Adam; of the library's "
        "layers, against PyTorch's and JAX's fused functions.",
        GptOfLayers(layers=4),
        LIBRARIES,
        ((NATIVE, TORCH, 0.55), (NUMPY, TORCH, 1.5), (NATIVE, JAX, 0.55), (NUMPY, JAX, None)),
        rounds=4,
    ),
    "cnn": StepJob(
        "One training step of a convolutional network on 64 images of 28 x 28: 32 and 64 filters of 3 x 3, a pooling "
        "after each, Adam.",
        Convolutional(),
        LIBRARIES,
        ((NATIVE, TORCH, 0.5), (NUMPY, TORCH, 2.0), (NATIVE, JAX, None), (NUMPY, JAX, None)),
        rounds=4,
    ),
    "lstm": StepJob(
        "One training step of an LSTM of 128 units over 50 steps of 32 features, batch 32, Adam. JAX has `lax.scan`.",
        LongShortTerm(),
        LIBRARIES,
        ((NATIVE, TORCH, 0.8), (NUMPY, TORCH, 2.0), (NATIVE, JAX, None), (NUMPY, JAX, None)),
        rounds=4,
    ),
    "encoder": StepJob(
        "One training step of a transformer's encoder layer, 128 wide, 4 heads, 16 rows of 64 places, Adam.",
        Encoder(),
        LIBRARIES,
        ((NATIVE, TORCH, 0.65), (NUMPY, TORCH, 1.5), (NATIVE, JAX, None), (NUMPY, JAX, None)),
        rounds=4,
    ),
}  # fmt: skip


def cases(name: str, job: StepJob) -> tuple[Case, ...]:
    """On one core, and where something is promised there, on all of them."""
    one = Case(
        title="One core",
        contestants=tuple(Contestant(c, (), needs=CONTESTANTS[c][0]) for c in job.contestants),
        columns={"step": "µs per step", "fastest": "fastest block, µs"},
        promises=tuple(Promise("step", *promise) for promise in job.promises),
        cores=1,
        rounds=job.rounds,
        warm=True,
        together=("-m", "benchmarks.steps", name),
    )
    if not job.on_all:
        return (one,)
    one_thread = Contestant(
        ONE_THREAD,
        ("-m", "benchmarks.steps", name, "alone", NATIVE),
        "llvmlite",
        env=dict.fromkeys(THREADS, "1"),
    )
    alone = tuple(
        dataclasses.replace(c, args=("-m", "benchmarks.steps", name, "alone", c.name))
        for c in one.contestants
        if c.name in (NUMPY, NATIVE, TORCH, JAX)
    )
    every = dataclasses.replace(
        one,
        title="All cores",
        contestants=(*alone, one_thread),
        columns={**one.columns, "peak": "peak MB"},
        promises=tuple(Promise("step", *promise) for promise in job.on_all),
        cores=None,
        rounds=3,
        together=(),
    )
    return one, every


def warmed_up(step: Step, warm_up: float = WARM_UP) -> tuple[float, float]:
    """Whoever compiles has done so; returns the first loss and the seconds of a step."""
    one_step, value = step
    first = value(one_step())
    for _ in range(START):
        value(one_step())
    start, done = time.perf_counter(), 0
    while done < 4 or (done < 300 and time.perf_counter() - start < warm_up):
        value(one_step())
        done += 1
    return first, (time.perf_counter() - start) / done


def block(step: Step, synchronize: Callable[[], Any] = lambda: None) -> timing.Run:
    """A function that makes so many steps and waits for the last."""
    one_step, value = step

    def run(times: int) -> None:
        synchronize()
        for _ in range(times):
            loss = one_step()
        value(loss)
        synchronize()

    return run


def check_learning(step: Step, first: float, learned: float = LEARNED) -> None:
    """Raises where the loss does not fall."""
    one_step, value = step
    last, more = value(one_step()), 0
    while not last <= learned * first:
        last, more = value(one_step()), more + 1
        if more > SOON:
            raise SystemExit(f"the loss only went from {first} to {last}: this step does not train")


def time_steps(
    steps: dict[str, Step],
    clock: Callable[[], float] = time.process_time,
    synchronize: Callable[[], Any] = lambda: None,
    warm_up: float = WARM_UP,
    turns: int = TURNS,
    learned: float = LEARNED,
) -> dict[str, dict[str, float]]:
    """Of each contestant, µs per step: the median and the fastest of the blocks."""
    warm = {name: warmed_up(step, warm_up) for name, step in steps.items()}
    runs = {name: block(step, synchronize) for name, step in steps.items()}
    longest = max(each for _, each in warm.values())
    spent = timing.take_turns(runs, BLOCK, min(turns, FEWEST) if longest > LONG else turns, clock, MOST)
    for name, step in steps.items():
        check_learning(step, warm[name][0], learned)
    return {
        name: {"step": statistics.median(seconds) * 1e6, "fastest": min(seconds) * 1e6}
        for name, seconds in spent.items()
    }


def main(job: str, names: list[str]) -> None:
    """The figures of several contestants in turn, in CPU time; or of one, in a process of its own, by the clock."""
    alone = names[0] == "alone"
    built = {name: CONTESTANTS[name][1](JOBS[job].task) for name in names[alone:]}
    figures = time_steps(built, time.perf_counter if alone else time.process_time)
    print(json.dumps(figures[names[1]] if alone else figures))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
