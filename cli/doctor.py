"""`tapegrad doctor`: what is installed, what it runs on, and what to do about what is slow or missing."""

import os
import platform
import sys

from tapegrad.autograd.diagnostics import plural
from tapegrad.backends import BackendError, default_place, get_backend, resolve
from tapegrad.backends.install import found, install_line, lacking
from tapegrad.cli import blas

CORE = ("numpy", "scipy", "scikit-learn", "threadpoolctl", "safetensors")
# What tapegrad can do without: the extra of pyproject.toml that names it, and what is missing without it.
OPTIONAL = {
    "pandas": ("data", "train, predict, evaluate and compare read no CSV file without pandas"),
    "matplotlib": ("plot", "no pictures without matplotlib"),
    "llvmlite": ("jit", "compiled steps run 2 to 10 times as fast with llvmlite"),
    "pyarrow": ("parquet", "data.ParquetRows reads no Parquet file without pyarrow"),
}
THREADS = ("TAPEGRAD_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def line(title: str, text: str) -> None:
    print(f"{title:<10} {text}")


def doctor() -> int:
    remedies: list[str] = []
    line("tapegrad", found("tapegrad") or "not installed: running from the source tree")
    line("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    packages(remedies)
    processor(remedies)
    native()
    backends(remedies)
    print()
    for remedy in remedies:
        print(f"  ! {remedy}")
    if not remedies:
        print("  nothing to remedy")
    return 0


def packages(remedies: list[str]) -> None:
    there = {name: found(name) for name in (*CORE, *OPTIONAL)}
    line("packages", ", ".join(f"{name} {version}" for name, version in there.items() if version))
    if absent := [name for name in OPTIONAL if not there[name]]:
        line("", "not installed: " + ", ".join(absent))
    for name, (extra, missing) in OPTIONAL.items():
        if not there[name]:
            remedies.append(f"{missing}: {install_line(extra)}")
        elif wrong := lacking(extra):
            remedies.append(f"tapegrad needs {wrong}: {install_line(extra)}")
    for name in CORE:
        if not there[name]:
            remedies.append(f"{name} is missing, which tapegrad depends on: pip install {name}")


def processor(remedies: list[str]) -> None:
    name, flags = blas.cpu()
    widest = "AVX-512" if flags >= blas.NEEDED else "AVX2" if "avx2" in flags else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    line("cpu", ", ".join(filter(None, (name, plural(cores, "core"), widest))))

    library = blas.library()
    speed = blas.gflops()
    kernel = library.get("architecture", "unknown")
    title = f"{library.get('internal_api', 'unknown BLAS')} {library.get('version', '')}".strip()
    threads = library.get("num_threads")
    on = plural(threads, "thread") if isinstance(threads, int) else "an unknown number of threads"
    line("blas", f"{title}, {kernel} kernels, {on}, {speed:.0f} GFLOP/s (float32)")
    if blas.picked_slow_kernels():
        better = blas.gflops(**{blas.VARIABLE: blas.BETTER})
        if better > 1.1 * speed:
            remedies.append(
                f"OpenBLAS chose its {kernel} kernels though this CPU has AVX-512; with {blas.VARIABLE}={blas.BETTER} "
                f"set before Python starts, matrix products run at {better:.0f} GFLOP/s, {better / speed:.1f} times as "
                "fast (the command line does so by itself for large files)"
            )
    settings = {name: os.environ[name] for name in (*THREADS, blas.VARIABLE) if name in os.environ}
    line("threads", ", ".join(f"{k}={v}" for k, v in settings.items()) or "no limit set")
    for name in THREADS:
        if settings.get(name, "").isdigit() and int(settings[name]) > cores:
            remedies.append(
                f"{name}={settings[name]} is more than the {plural(cores, 'core')} of this machine: unset it"
            )


def native() -> None:
    """What the emitter native makes machine code for, and how fast its products are beside those of BLAS."""
    if wrong := lacking("jit"):
        line("native", f"not ready: it needs {wrong}")
        return
    from tapegrad.compiler.emit.native import machine, pool
    from tapegrad.compiler.emit.native.speed import gflops

    bits = machine.vector_bits()
    fused = ", multiply and add in one instruction" if machine.fused() else ""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    line("native", f"vectors of {bits} bits{fused}; steps on {plural(pool.threads(), 'thread')}")
    line("", f"float32 products on one core: {gflops(1024):.0f} GFLOP/s, BLAS {blas.gflops(**one):.0f}")


def backends(remedies: list[str]) -> None:
    line("numpy", "ready")
    try:
        info = get_backend("cupy").memory_info()
        line(
            "cupy",
            f"ready, {gpu_name()}, {info['free_bytes'] / 2**30:.1f} of {info['total_bytes'] / 2**30:.1f} GiB free",
        )
    except BackendError as error:
        line("cupy", f"not ready: {error}")
        if has_nvidia_driver():
            remedies.append(f"there is an NVIDIA driver, but CuPy cannot use it: {error}")
    line("default", f"new tensors are made on {default_place()!r} (TAPEGRAD_BACKEND, tg.set_backend)")
    try:
        resolve(default_place())
    except BackendError as error:
        remedies.append(f"TAPEGRAD_BACKEND={default_place()} does not work: {error}")


def gpu_name() -> str:
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(0)["name"]
    return f"{name.decode() if isinstance(name, bytes) else name}, CuPy {cupy.__version__}"


def has_nvidia_driver() -> bool:
    return os.path.exists("/proc/driver/nvidia/version") or (
        sys.platform == "win32" and os.path.exists(r"C:\Windows\System32\nvcuda.dll")
    )
