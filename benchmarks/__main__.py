"""`python -m benchmarks [job …]`: measure tapegrad against its peers on this machine. See benchmarks/README.md."""

import argparse
import dataclasses
import importlib.util
import os
import sys
import time
from pathlib import Path

from benchmarks import report, summary, sweep
from benchmarks.harness import Case, run_case
from benchmarks.jobs import JOBS, LEFT_OUT, PAGES
from tapegrad.cli import blas


def present(case: Case) -> Case:
    """The case without the contestants whose package is not installed."""
    found = tuple(c for c in case.contestants if importlib.util.find_spec(c.needs))
    for left_out in (c for c in case.contestants if c not in found):
        print(f"left out: {left_out.name} ({left_out.needs} is not installed)")
    return dataclasses.replace(case, contestants=found)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = (*JOBS, *PAGES, "summary")
    parser.add_argument(
        "jobs",
        nargs="*",
        metavar="job",
        help=f"of {', '.join(known)} (default: all but {', '.join(LEFT_OUT)}). summary: the table of all targets, "
        "from the results that are there",
    )
    parser.add_argument(
        "--rounds", type=int, help="how often each contestant runs (default: each case's own)"
    )
    parser.add_argument(
        "--one-core", action="store_true", help="leave out what runs on all cores: others need them, too"
    )
    parser.add_argument("--out", type=Path, default=summary.RESULTS, help="where the results go")
    options = parser.parse_args()
    if unknown := set(options.jobs) - set(known):
        parser.error(f"unknown job {', '.join(sorted(unknown))}: choose from {', '.join(known)}")
    return options


def with_fast_blas() -> None:
    """Start again with OPENBLAS_CORETYPE, where OpenBLAS would take AVX2 kernels on a CPU with AVX-512."""
    if blas.VARIABLE not in os.environ and blas.picked_slow_kernels():
        print(
            f"{blas.VARIABLE}={blas.BETTER} is set: OpenBLAS would take AVX2 kernels on this CPU, which has AVX-512"
        )
        os.execve(
            sys.executable,
            [sys.executable, "-m", "benchmarks", *sys.argv[1:]],
            {**os.environ, blas.VARIABLE: blas.BETTER},
        )


def run_job(job: str, options: argparse.Namespace) -> Path | None:
    """Measure, print the tables, and write them; the JSON's path, or None where there is nothing to measure."""
    doc, cases = JOBS[job]
    results: list[tuple[Case, report.Samples]] = []
    for case in map(present, cases):
        if not case.contestants or (options.one_core and case.cores != 1):
            continue
        case = dataclasses.replace(case, rounds=options.rounds or case.rounds)
        samples = run_case(case, lambda line: report.say(f"{job}: {line}"))
        report.say("")
        print(report.table(case, samples), flush=True)
        results.append((case, samples))
        # Written after each one, so that an interrupt loses only the next.
        path = report.write(job, (doc or "").strip(), results, options.out)
    if not results:
        print(f"{job}: no contestant is installed here, or it needs all cores")
        return None
    if job == "sweep":
        picture = sweep.draw(path.with_suffix(".json"))
        with path.open("a", encoding="utf-8") as page:
            page.write(f"\n![the table as a picture]({picture.name})\n")
    return path.with_suffix(".json")


def run_page(job: str, out: Path) -> None:
    doc, lines = PAGES[job]
    shown = []
    for line in lines():
        print(line, flush=True)
        shown.append(line)
    print(flush=True)
    report.write_page(job, (doc or "").strip(), "\n".join(shown) + "\n", out)


def main() -> None:
    options = arguments()
    if options.jobs == ["summary"]:
        print(summary.write(options.out).read_text(encoding="utf-8"))
        return
    with_fast_blas()
    print(f"{report.machine_line()}\n", flush=True)
    start, written = time.perf_counter(), []
    for job in options.jobs or [name for name in (*JOBS, *PAGES) if name not in LEFT_OUT]:
        print(f"## {job}\n", flush=True)
        if job in PAGES:
            run_page(job, options.out)
        elif (path := run_job(job, options)) is not None:
            written.append(path)
    if promised := list(summary.rows(written)):
        print(f"\n{summary.table(promised)}\n")
    print(f"{(time.perf_counter() - start) / 60:.0f} minutes. Results: {summary.write(options.out).parent}")


if __name__ == "__main__":
    main()
