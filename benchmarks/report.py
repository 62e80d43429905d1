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

from benchmarks.harness import ROOT, Case, median, ratio

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
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpu": gpu_model(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "blas": blas,
        "openblas_coretype": os.environ.get("OPENBLAS_CORETYPE", "not set"),
        "versions": versions(),
    }


def table(case: Case, samples: dict[str, list[dict[str, float]]]) -> str:
    """A Markdown table of medians, and a line for each promise or other ratio."""
    if case.ranked:
        return ranked(case, samples)
    lines = [f"### {case.title}", "", *([case.note, ""] if case.note else [])]
    rows = [["", *case.columns.values()]]
    for name, runs in samples.items():
        cells = [median(runs, key) for key in case.columns]
        rows.append(
            [
                name,
                *("" if cell is None else f"{cell:,.3g}" if cell < 100 else f"{cell:,.0f}" for cell in cells),
            ]
        )
    if case.upright:
        rows = [list(column) for column in zip(*rows, strict=True)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for i, row in enumerate(rows):
        cells = [
            cell.ljust(w) if j == 0 else cell.rjust(w)
            for j, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("| " + " | ".join(cells) + " |")
        if i == 0:
            rules = ("-" * (w - 1) + (":" if j else "-") for j, w in enumerate(widths))
            lines.append("| " + " | ".join(rules) + " |")
    lines.append("")
    for promise in case.promises:
        if promise.ours in samples and promise.against in (*samples, ""):
            overall, low, high = ratio(samples[promise.ours], samples.get(promise.against, []), promise.key)
            verdict = ""
            if promise.limit is not None:
                verdict = "kept" if overall <= promise.limit else "MISSED"
                verdict = f"; promised at most {promise.limit:.3g}: {verdict}"
            what = case.columns[promise.key]
            whose = " / ".join(filter(None, (promise.ours, promise.against)))
            lines.append(
                f"- {what}: {whose} = **{overall:.3f}** "
                f"({low:.3f} to {high:.3f} over {len(samples[promise.ours])} rounds){verdict}"
            )
    return "\n".join(lines) + "\n"


def ranked(case: Case, samples: dict[str, list[dict[str, float]]]) -> str:
    """A Markdown table of the columns, sorted by the figure that is promised, with its spread over the rounds."""
    rows, kept = [], 0
    for p in case.promises:
        overall, low, high = ratio(samples[p.ours], [], p.key)
        title = p.key.removesuffix(f"; {case.ranked[0]}")
        others = [median(samples[p.ours], f"{title}; {what}") or 0.0 for what in case.ranked[1:]]
        missed = p.limit is not None and overall > p.limit
        kept += not missed
        cells = [
            case.columns[title],
            f"{overall:.2f} ({low:.2f} to {high:.2f})",
            *(f"{x:,.3g}" for x in others),
        ]
        rows.append((overall, f"| {' | '.join(cells)} | {'MISSED' * missed} |"))
    rows.sort(key=lambda row: -row[0])
    head = [
        f"### {case.title}",
        "",
        f"| | {' | '.join(case.ranked)} | |",
        f"|---|{'--:|' * len(case.ranked)}---|",
    ]
    limit = case.promises[0].limit
    return (
        "\n".join([*head, *(row for _, row in rows), "", f"- at most {limit}: {kept} of {len(rows)}"]) + "\n"
    )


def write(
    job: str, doc: str, results: list[tuple[Case, dict[str, list[dict[str, float]]]]], folder: Path
) -> Path:
    """`<date>-<job>.md` and `.json` in `folder`; returns the Markdown file's path."""
    about = machine()
    described = [
        f"{about['date']}, commit {about['commit']}",
        f"{about['cpu']}, {about['cores']} cores" + (f", GPU {about['gpu']}" if about["gpu"] else ""),
        f"{about['system']}, Python {about['python']}, BLAS {'; '.join(about['blas'])}, "
        f"OPENBLAS_CORETYPE {about['openblas_coretype']}",
        ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
    ]
    tables = [table(case, samples) for case, samples in results]
    command = f"python -m benchmarks {job}"
    head = f"# {job}\n\n{doc}\n\nMade by `{command}`.\n\n" + "".join(f"- {line}\n" for line in described)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{about['date'][:10]}-{job}.md"
    path.write_text(head + "\n" + "\n".join(tables), encoding="utf-8")
    cases = [{**asdict(case), "samples": samples} for case, samples in results]
    data = json.dumps({"job": job, "machine": about, "cases": cases}, indent=1)
    path.with_suffix(".json").write_text(data + "\n", encoding="utf-8")
    return path


def say(line: str) -> None:
    """Progress, on one line of a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
