"""`tapegrad doctor`: what is installed, what it runs on, and what to do about what is slow or missing."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from tapegrad.backends import BackendError, default_place, get_backend, resolve
from tapegrad.cli import blas

CORE = ("numpy", "scipy", "scikit-learn", "safetensors")
OPTIONAL = {
    "matplotlib": "plot",
    "pandas": "data",
    "llvmlite": "jit",
}
THREADS = ("TAPEGRAD_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def line(title: str, text: str) -> None:
    print(f"{title:<10} {text}")


def doctor() -> int:
    remedies: list[str] = []
    line("tapegrad", installed("tapegrad") or "not installed: running from the source tree")
    line("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    packages(remedies)
    processor(remedies)
    native(remedies)
    backends(remedies)
    print()
    for remedy in remedies:
        print(f"  ! {remedy}")
    if not remedies:
        print("  nothing to remedy")
    return 0


def packages(remedies: list[str]) -> None:
    found = {name: installed(name) for name in (*CORE, *OPTIONAL)}
    line("packages", ", ".join(f"{name} {v}" for name, v in found.items() if v))
    if absent := [name for name in OPTIONAL if not found[name]]:
        line("", "not installed: " + ", ".join(absent))
    for name in absent:
        if name == "matplotlib":
            remedies.append('no pictures without matplotlib: pip install "tapegrad[plot]"')
    for name in CORE:
        if not found[name]:
            remedies.append(f"{name} is missing, which tapegrad depends on: pip install {name}")


def processor(remedies: list[str]) -> None:
    name, flags = blas.cpu()
    widest = "AVX-512" if flags >= blas.NEEDED else "AVX2" if "avx2" in flags else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    line("cpu", ", ".join(filter(None, (name, f"{cores} cores", widest))))

    library = blas.library()
    speed = blas.gflops()
    kernel = library.get("architecture", "unknown")
    title = f"{library.get('internal_api', 'unknown BLAS')} {library.get('version', '')}".strip()
    line(
        "blas",
        f"{title}, {kernel} kernels, {library.get('num_threads', '?')} threads, {speed:.0f} GFLOP/s (float32)",
    )
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
        if settings.get(name, "").isdigit() and cores and int(settings[name]) > cores:
            remedies.append(f"{name}={settings[name]} is more than the {cores} cores there are: unset it")


def native(remedies: list[str]) -> None:
    """What the emitter native makes machine code for, and how fast its products are beside those of BLAS."""
    if not installed("llvmlite"):
        line("native", "llvmlite is not installed")
        remedies.append('compiled steps run 2 to 10 times as fast with llvmlite: pip install "tapegrad[jit]"')
        return
    from tapegrad.compiler.emit.native import machine, pool
    from tapegrad.compiler.emit.native.speed import gflops

    bits = machine.vector_bits()
    fused = ", multiply and add in one instruction" if machine.fused() else ""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    line("native", f"vectors of {bits} bits{fused}; steps on {pool.threads()} threads")
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
