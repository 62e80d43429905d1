"""What was measured, on what: as a table to read and as JSON to compare."""

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Case, Promise, median, ratio

Samples = dict[str, list[dict[str, float]]]

PACKAGES = (
    "tapegrad",
    "numpy",
    "scipy",
    "scikit-learn",
    "torch",
    "tensorflow-cpu",
    "tensorflow",
    "keras",
    "jax",
    "llvmlite",
)
PACKAGES += ("cupy-cuda12x", "cupy-cuda13x", "matplotlib", "pandas")


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def vectors() -> str:
    """How wide the vectors of native code are, and by whose choice."""
    try:
        from tapegrad.compiler.emit.native.machine import vector_bits

        width = f"vectors of {vector_bits()} bits"
    except ImportError:
        return "no native code"
    return width + (" (TAPEGRAD_VECTOR_BITS)" if os.environ.get("TAPEGRAD_VECTOR_BITS") else "")


def versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit measured, with a plus sign if the tree had changes on top of it."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")


def gpu_model() -> str | None:
    try:
        import cupy

        return (
            str(cupy.cuda.runtime.getDeviceProperties(0)["name"].decode())
            if cupy.cuda.is_available()
            else None
        )
    except ImportError:
        return None


def machine() -> dict[str, Any]:
    """Date, processor, GPU, versions, and which kernels the BLAS of NumPy and that of SciPy chose."""
    import numpy  # noqa: F401  (loads the BLAS that threadpoolctl then looks at)

    try:
        import scipy.linalg  # noqa: F401
        import threadpoolctl

        blas = [
            f"{'SciPy' if 'scipy' in pool['filepath'] else 'NumPy'}'s {pool['internal_api']} {pool['version']} "
            f"{pool.get('architecture', '')} threads={pool['num_threads']}"
            for pool in threadpoolctl.threadpool_info()
            if pool["user_api"] == "blas"
        ]
    except ImportError:
        blas = ["unknown (SciPy or threadpoolctl is not installed)"]
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "vectors": vectors(),
        "vector_bits_set": os.environ.get("TAPEGRAD_VECTOR_BITS", ""),
        "load": [f"{load:.1f}" for load in os.getloadavg()] if hasattr(os, "getloadavg") else ["unknown"],
        "gpu": gpu_model(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "blas": blas,
        "openblas_coretype": os.environ.get("OPENBLAS_CORETYPE", "not set"),
        "versions": versions(),
    }


def grid(rows: list[list[str]]) -> list[str]:
    """A Markdown table, its columns aligned: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rule = ["-" * (w - 1) + (":" if i else "-") for i, w in enumerate(widths)]
    aligned = [
        [cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        for row in rows
    ]
    return [f"| {' | '.join(cells)} |" for cells in (aligned[0], rule, *aligned[1:])]


def number(value: float | None) -> str:
    return "" if value is None else f"{value:,.3g}" if value < 100 else f"{value:,.0f}"


def table(case: Case, samples: Samples) -> str:
    """A Markdown table of medians, and a line for each promise or other ratio."""
    if case.ranked:
        return ranked(case, samples)
    rows = [["", *case.columns.values()]]
    for name, runs in samples.items():
        rows.append([name, *(number(median(runs, key)) for key in case.columns)])
    if case.upright:
        rows = [list(column) for column in zip(*rows, strict=True)]
    note = [case.note, ""] if case.note else []
    ratios = [
        ratio_line(case, promise, samples)
        for promise in case.promises
        if promise.ours in samples and promise.against in (*samples, "")
    ]
    return "\n".join([f"### {case.title}", "", *note, *grid(rows), "", *ratios]) + "\n"


def ratio_line(case: Case, promise: Promise, samples: Samples) -> str:
    overall, low, high = ratio(samples[promise.ours], samples.get(promise.against, []), promise.key)
    verdict = ""
    if promise.limit is not None:
        verdict = "met" if overall <= promise.limit else "MISSED"
        verdict = f"; target: at most {promise.limit:.3g}: {verdict}"
    whose = " / ".join(filter(None, (promise.ours, promise.against)))
    return (
        f"- {case.columns[promise.key]}: {whose} = **{overall:.3f}** "
        f"({low:.3f} to {high:.3f} over {len(samples[promise.ours])} rounds){verdict}"
    )


def ranked(case: Case, samples: Samples) -> str:
    """A Markdown table of the columns, sorted by the figure that is promised, with its spread over the rounds."""
    rows, kept = [], 0
    for p in case.promises:
        overall, low, high = ratio(samples[p.ours], [], p.key)
        title = p.key.removesuffix(f"; {case.ranked[0]}")
        others = [median(samples[p.ours], f"{title}; {what}") or 0.0 for what in case.ranked[1:]]
        missed = p.limit is not None and overall > p.limit
        kept += not missed
        spread = f"{overall:.2f} ({low:.2f} to {high:.2f})"
        rows.append(
            (overall, [case.columns[title], spread, *(f"{x:,.3g}" for x in others), "MISSED" * missed])
        )
    rows.sort(key=lambda row: -row[0])
    lines = grid([["", *case.ranked, ""], *(row for _, row in rows)])
    count = f"- at most {case.promises[0].limit}: {kept} of {len(rows)}"
    return "\n".join([f"### {case.title}", "", *lines, "", count]) + "\n"


def head(job: str, doc: str, about: dict[str, Any]) -> str:
    """The title of a page, what it is about, and on what it was measured."""
    described = [
        f"{about['date']}, commit {about['commit']}",
        f"{about['cpu']}, {about['cores']} cores, {about['vectors']}"
        + (f", GPU {about['gpu']}" if about["gpu"] else ""),
        f"load average of the last 1, 5 and 15 minutes: {', '.join(about['load'])} (one is this job)",
        f"{about['system']}, Python {about['python']}, BLAS {'; '.join(about['blas'])}, "
        f"OPENBLAS_CORETYPE {about['openblas_coretype']}",
        ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
    ]
    made = f"Made by `python -m benchmarks {job}`."
    return f"# {job}\n\n{doc}\n\n{made}\n\n" + "".join(f"- {line}\n" for line in described)


def place(job: str, about: dict[str, Any], folder: Path) -> Path:
    """Where a page goes; results with narrower vectors stand beside the others."""
    folder.mkdir(parents=True, exist_ok=True)
    narrow = f"-{about['vector_bits_set']}bits" if about["vector_bits_set"] else ""
    return folder / f"{about['date'][:10]}-{job}{narrow}.md"


def write_page(job: str, doc: str, text: str, folder: Path) -> Path:
    """`<date>-<job>.md` in `folder`."""
    about = machine()
    path = place(job, about, folder)
    path.write_text(f"{head(job, doc, about)}\n{text}", encoding="utf-8")
    return path


def write(job: str, doc: str, results: list[tuple[Case, Samples]], folder: Path) -> Path:
    """`<date>-<job>.md` and `.json` in `folder`; returns the Markdown file's path."""
    about = machine()
    path = place(job, about, folder)
    tables = "\n".join(table(case, samples) for case, samples in results)
    path.write_text(f"{head(job, doc, about)}\n{tables}", encoding="utf-8")
    cases = [{**asdict(case), "samples": rounded(samples)} for case, samples in results]
    data = json.dumps({"job": job, "machine": about, "cases": cases}, indent=1)
    path.with_suffix(".json").write_text(data + "\n", encoding="utf-8")
    return path


def rounded(samples: Samples) -> Samples:
    """To six digits, as many as may mean something."""
    return {
        name: [{key: float(f"{value:.6g}") for key, value in run.items()} for run in runs]
        for name, runs in samples.items()
    }


def machine_line() -> str:
    """What is to be known before the first figure."""
    return f"{cpu_model()}, {os.cpu_count()} cores, {vectors()}. Figures are medians; ratios hold better than times."


def say(line: str) -> None:
    """Progress, on one line of a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
