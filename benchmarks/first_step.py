"""How long a new process takes until its first compiled training step of step_small is done: from the first import
to the loss, so without Python's own start. That is the second step, for all: `tg.jit` records in the first one.
"native" finds its machine code in the cache folder, where an earlier process left it; "nothing cached" is that earlier
process. JAX runs as installed, and with its compilation cache on disk.
"""

import json
import sys
import time

from benchmarks.harness import Case, Contestant, Promise

JAX_CACHE = {
    "JAX_COMPILATION_CACHE_DIR": "{cache}/jax",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
# name in the table -> builder's name in networks.CONTESTANTS, package, environment
STARTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "tapegrad": ("tapegrad", "tapegrad", {}),
    "tapegrad jit, NumPy": ("tapegrad jit, NumPy", "tapegrad", {}),
    "tapegrad jit, native": ("tapegrad jit, native", "llvmlite", {"TAPEGRAD_CACHE": "{cache}/tapegrad"}),
    "tapegrad jit, native, nothing cached": ("tapegrad jit, native", "llvmlite", {"TAPEGRAD_CACHE": "{out}"}),
    "PyTorch eager": ("PyTorch eager", "torch", {}),
    "JAX jit": ("JAX jit", "jax", {}),
    "JAX jit, its cache on disk": ("JAX jit", "jax", JAX_CACHE),
}


def measure(contestant: str) -> dict[str, float]:
    start = time.perf_counter()
    from benchmarks.networks import CONTESTANTS, START  # brings NumPy, which all of them need
    from benchmarks.steps import JOBS

    step, value = CONTESTANTS[contestant][1](JOBS["step_small"].task)
    value(step())
    first = time.perf_counter() - start
    for _ in range(START - 1):
        value(step())
    return {"first": first, "compiled": time.perf_counter() - start}


def case(title: str, cores: int | None) -> Case:
    return Case(
        title=title,
        contestants=tuple(
            Contestant(name, ("-m", "benchmarks.first_step", built), needs=package, env=env)
            for name, (built, package, env) in STARTS.items()
        ),
        columns={
            "first": "import to first step, s",
            "compiled": "to first compiled step, s",
            "wall": "whole process, s",
            "peak": "peak MB",
        },
        promises=(
            Promise("compiled", "tapegrad jit, native", "JAX jit", 0.7),
            Promise("compiled", "tapegrad jit, NumPy", "JAX jit", None),
            Promise("compiled", "tapegrad jit, native", "JAX jit, its cache on disk", None),
        ),
        cores=cores,
        rounds=3,
    )


CASES = (case("One core", 1), case("All cores", None))

if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
