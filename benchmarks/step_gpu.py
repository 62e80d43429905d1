"""One training step on a GPU, float32, with TF32 off and on: an MLP 30-64-32-1 with batch 32 and an MLP 784-512-256-10
with batch 128, both with Adam, and a wide one. tapegrad without tg.jit, with it (fused kernels), and with nvmath (one
CUDA graph), against PyTorch as it is, torch.compile(mode="reduce-overhead") and JAX.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from benchmarks import networks, steps
from benchmarks.harness import Case, Contestant, Promise

TASKS = {
    "small": steps.JOBS["step_small"].task,
    "medium": steps.JOBS["step_medium"].task,
    "wide": networks.Task((784, 2048, 2048, 10), 1024),
}
TITLES = {
    "small": "MLP 30-64-32-1, batch 32",
    "medium": "MLP 784-512-256-10, batch 128",
    "wide": "MLP 784-2048-2048-10, batch 1024",
}
EAGER, KERNELS, GRAPH = "tapegrad", "tapegrad jit, fused kernels", "tapegrad jit, CUDA graph"
TORCH, FUSED = "PyTorch eager", "PyTorch eager, fused optimizer"
COMPILED, JAX = "torch.compile, reduce-overhead", "JAX jit"
JAX_ON_CUDA = next(
    (p for p in ("jax_cuda13_plugin", "jax_cuda12_plugin") if find_spec(p)), "jax_cuda12_plugin"
)
NEEDS = {EAGER: "cupy", KERNELS: "cupy", GRAPH: "nvmath", TORCH: "torch", FUSED: "torch", COMPILED: "torch",
         JAX: JAX_ON_CUDA}  # fmt: skip


def measure(contestant: str, shape: str, tf32: str) -> dict[str, float]:
    """With tf32 "on", products may round their factors to 10 bits. Each in a process of its own."""
    task = TASKS[shape]
    os.environ["CUPY_TF32"] = "1" if tf32 == "on" else "0"
    if contestant in (TORCH, FUSED, COMPILED):
        import torch

        torch.set_float32_matmul_precision("high" if tf32 == "on" else "highest")
        step = (
            networks.pytorch_compiled(task)
            if contestant == COMPILED
            else networks.pytorch(task, "cuda", fused=contestant == FUSED)
        )
        return time_step(step, torch.cuda.synchronize)
    if contestant == JAX:
        import jax

        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if tf32 == "on" else "float32")
        return time_step(networks.jax_jit(task))
    import cupy

    if contestant == KERNELS:
        sys.modules["nvmath"] = None  # type: ignore[assignment]  # as where it is not installed
    step = networks.tapegrad(task, "" if contestant == EAGER else "cupy", "cuda:0")
    return time_step(step, cupy.cuda.Device().synchronize)


def time_step(step: networks.Step, synchronize: Callable[[], Any] = lambda: None) -> dict[str, float]:
    return steps.time_steps({"": step}, time.perf_counter, synchronize)[""]


def case(shape: str, tf32: str) -> Case:
    contestants = tuple(
        Contestant(name, ("-m", "benchmarks.step_gpu", name, shape, tf32), needs=needs)
        for name, needs in NEEDS.items()
    )
    limit = 1.0 if shape != "wide" else None
    promises = tuple(Promise("step", GRAPH, rival, limit) for rival in (TORCH, FUSED, COMPILED, JAX))
    promises += tuple(Promise("step", KERNELS, rival, None) for rival in (TORCH, COMPILED, JAX))
    title = f"{TITLES[shape]}, TF32 {tf32}"
    return Case(
        title, contestants, {"step": "µs per step", "fastest": "fastest block, µs"}, promises, rounds=3
    )


CASES = tuple(case(shape, tf32) for shape in TASKS for tf32 in ("off", "on"))

if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
