"""Peak memory of a training step: of 8 layers of 1024, batch 4096, plain SGD (so that the optimizer keeps nothing),
cross-entropy on the logits; and of the networks of the jobs cnn, lstm, encoder and gpt_4. The figure is the highest
resident memory while steps run, less the resident memory before the first one, when the model, the optimizer and the
batch are there: activations, gradients, buffers, whatever a step needs. Steps of a tiny network come before, so that
imports, compilers and thread pools are not counted. The first two steps record, trace and compile; "later" is the peak
over the steps after them, with what those left behind.

Memory from 1 MB on is asked of and given back to the system directly (MALLOC_MMAP_THRESHOLD_), for all alike, so that
what is resident is what is in use. Linux only: it reads and resets the peak in /proc/self.
"""

import gc
import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import Case, Contestant, Promise
from benchmarks.networks import CONTESTANTS, START, Task
from benchmarks.steps import JOBS

TINY, MLP = Task((4, 4, 2), 4, "sgd"), "8 layers of 1024"
NETWORKS: dict[str, Any] = {
    MLP: Task((1024,) * 9, 4096, "sgd", lr=0.1),
    **{name: JOBS[name].task for name in ("cnn", "lstm", "encoder", "gpt_4")},
}
NAMES = ("tapegrad", "tapegrad jit, NumPy", "tapegrad jit, native", "PyTorch eager", "JAX jit")
STEPS = 2  # after those that record and compile


def resident(line: str) -> float:
    """MB in use now ("VmRSS") or at most since the last reset ("VmHWM")."""
    found = re.search(rf"^{line}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) / 1024


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def measure(network: str, contestant: str) -> dict[str, float]:
    _, build = CONTESTANTS[contestant]
    tiny, value = build(TINY)
    for _ in range(START + STEPS):
        value(tiny())
    del tiny
    step, value = build(NETWORKS[network])
    gc.collect()
    before = resident("VmRSS")
    reset_peak()
    for _ in range(START):
        value(step())
    first = resident("VmHWM")
    gc.collect()
    reset_peak()
    for _ in range(STEPS):
        value(step())
    return {"first": first - before, "later": resident("VmHWM") - before}


def case(network: str) -> Case:
    return Case(
        title=f"Peak memory of a step, all cores: {network}",
        contestants=tuple(
            Contestant(
                name,
                ("-m", "benchmarks.memory", network, name),
                needs=CONTESTANTS[name][0],
                env={"MALLOC_MMAP_THRESHOLD_": "1048576"},
            )
            for name in NAMES
        ),
        columns={"first": "first two steps, MB", "later": "later steps, MB", "peak": "whole process, MB"},
        promises=tuple(Promise("later", name, "tapegrad", None) for name in NAMES[1:3])
        + tuple(Promise("later", "tapegrad jit, native", name, None) for name in NAMES[3:]),
        rounds=2,
    )


CASES = tuple(map(case, NETWORKS))

if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
