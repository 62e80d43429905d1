"""The training step of step_small, and a wide one (784-2048-2048-10, batch 1024), on a GPU: tapegrad on CuPy, PyTorch
on CUDA, and tapegrad on NumPy beside them.
"""

import json
import sys

from benchmarks import networks, steps
from benchmarks.harness import Case, Contestant

TASKS = {"small": steps.JOBS["step_small"].task, "wide": networks.Task((784, 2048, 2048, 10), 1024)}


def measure(contestant: str, shape: str) -> dict[str, float]:
    task = TASKS[shape]
    if contestant == "PyTorch":
        import torch

        return steps.time_steps(networks.pytorch(task, "cuda"), torch.cuda.synchronize)
    import tapegrad as tg

    if contestant == "NumPy":
        return steps.time_steps(networks.tapegrad(task))
    import cupy

    tg.set_backend("cupy")
    return steps.time_steps(networks.tapegrad(task), cupy.cuda.Device().synchronize)


def case(shape: str, title: str, rivals: dict[str, str]) -> Case:
    """`rivals`: the contestant as the table names it -> as `measure` does."""
    needs = {"CuPy": "cupy", "PyTorch": "torch", "NumPy": "tapegrad"}
    contestants = tuple(
        Contestant(name, ("-m", "benchmarks.step_gpu", key, shape), needs=needs[key])
        for name, key in rivals.items()
    )
    return Case(title, contestants, {"step": "µs per step", "fastest": "fastest block, µs"}, rounds=3)


GPU = {"tapegrad on CuPy": "CuPy", "PyTorch on CUDA": "PyTorch"}
CASES = (
    case("small", "MLP 30-64-32-1, batch 32", {**GPU, "tapegrad on NumPy": "NumPy"}),
    case("wide", "MLP 784-2048-2048-10, batch 1024", GPU),
)

if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
