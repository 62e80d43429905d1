"""The training step of step_small, and a wide one (784-2048-2048-10, batch 1024), on a GPU: tapegrad on CuPy, PyTorch
on CUDA, and tapegrad on NumPy beside them.
"""

import json
import sys

from benchmarks import step_small
from benchmarks.harness import Case, Contestant

WIDE = ((784, 2048, 2048, 10), 1024)
SHAPES = {"small": (step_small.SIZES, step_small.BATCH), "wide": WIDE}


def measure(contestant: str, shape: str) -> dict[str, float]:
    sizes, rows = SHAPES[shape]
    if contestant == "PyTorch":
        import torch

        return step_small.time_steps(step_small.pytorch(sizes, rows, "cuda"), torch.cuda.synchronize)
    import tapegrad as tg

    if contestant == "NumPy":
        return step_small.time_steps(step_small.tapegrad(sizes, rows))
    import cupy

    tg.set_backend("cupy")
    return step_small.time_steps(step_small.tapegrad(sizes, rows), cupy.cuda.Device().synchronize)


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
