"""Which kernels NumPy's matrix products run on, and whether this CPU could do better.

OpenBLAS picks its kernels when NumPy loads it, and on some CPUs with AVX-512 (AMD's Zen 4 and 5) it takes those for
AVX2, which are about half as fast. OPENBLAS_CORETYPE=SkylakeX in the environment corrects it. `import tapegrad` loads
NumPy, so the command cannot set it for itself in time; where it pays, it starts itself anew.
"""

import os
import subprocess
import sys

VARIABLE, BETTER = "OPENBLAS_CORETYPE", "SkylakeX"
NEEDED = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}
AVX2_KERNELS = ("Haswell", "Zen")
LARGE_FILE = 4_000_000  # bytes

GEMM = """
import time
import numpy as np
a = np.ones((1024, 1024), np.float32)
def seconds():
    start = time.perf_counter()
    a @ a
    return time.perf_counter() - start
print(2 * 1024**3 / min(seconds() for _ in range(8)) / 1e9)
"""


def cpu() -> tuple[str, set[str]]:
    """The CPU's name and its flags, as far as the system tells (/proc/cpuinfo on Linux)."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            fields = dict(line.partition(":")[::2] for line in file if ":" in line)
    except OSError:
        return "unknown CPU", set()
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    return fields.get("model name", "unknown CPU"), set(fields.get("flags", "").split())


def library() -> dict[str, object]:
    """What threadpoolctl says of the BLAS that NumPy loaded: internal_api, version, architecture, num_threads."""
    import numpy  # noqa: F401 (so that its BLAS is loaded)
    from threadpoolctl import threadpool_info

    found = [info for info in threadpool_info() if info["user_api"] == "blas"]
    return next((info for info in found if "numpy" in info["filepath"]), found[0] if found else {})


def picked_slow_kernels() -> bool:
    """Whether OpenBLAS took its AVX2 kernels on a CPU that has AVX-512."""
    return cpu()[1] >= NEEDED and library().get("architecture") in AVX2_KERNELS


def gflops(**env: str) -> float:
    """Billions of operations per second in a float32 matrix product, measured in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", GEMM], env={**os.environ, **env}, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def restart_if_slow(arguments: list[str], data: str | None) -> None:
    """Start this command anew with the variable set, where that speeds matrix products up. It takes a quarter of a
    second, so only for a large file; and only for a process that is the command's own."""
    large = data is not None and os.path.exists(data) and os.path.getsize(data) > LARGE_FILE
    if not large or VARIABLE in os.environ or not picked_slow_kernels():
        return
    sys.stdout.flush()
    os.execve(
        sys.executable, [sys.executable, "-m", "tapegrad", *arguments], {**os.environ, VARIABLE: BETTER}
    )
