"""`python -m benchmarks [job …]`: measure tapegrad against its peers on this machine. See benchmarks/README.md."""

import argparse
import dataclasses
import importlib.util
import os
import sys
from pathlib import Path

from benchmarks import (
    article_job,
    deep_chain,
    eager,
    elementwise,
    first_step,
    fit_article,
    functions,
    guards,
    memory,
    products,
    recording,
    report,
    step_gpu,
    steps,
    sweep,
)
from benchmarks.harness import Case, run_case
from tapegrad.cli import blas

JOBS = {
    **{name: (job.doc, steps.cases(name, job)) for name, job in steps.JOBS.items()},
    "fit_article": (fit_article.__doc__, fit_article.CASES),
    "first_step": (first_step.__doc__, first_step.CASES),
    "memory": (memory.__doc__, memory.CASES),
    "sweep": (sweep.__doc__, sweep.CASES),
    "article_job": (article_job.__doc__, article_job.CASES),
    "deep_chain": (deep_chain.__doc__, deep_chain.CASES),
    "recording": (recording.__doc__, recording.CASES),
    "products": (products.__doc__, products.CASES),
    "eager": (eager.__doc__, eager.CASES),
    "guards": (guards.__doc__, guards.CASES),
    "gpu": (step_gpu.__doc__, step_gpu.CASES),
}
TABLES = {
    "functions": functions.main,
    "elementwise": elementwise.main,
}  # what is measured without contestants
DEFAULT = [name for name in JOBS if name != "gpu"]


def present(case: Case) -> Case:
    """The case without the contestants whose package is not installed."""
    found = tuple(c for c in case.contestants if importlib.util.find_spec(c.needs))
    for left_out in (c for c in case.contestants if c not in found):
        print(f"left out: {left_out.name} ({left_out.needs} is not installed)")
    return dataclasses.replace(case, contestants=found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "jobs",
        nargs="*",
        metavar="job",
        help=f"of {', '.join((*JOBS, *TABLES))} (default: all but gpu, functions and elementwise)",
    )
    parser.add_argument(
        "--rounds", type=int, help="how often each contestant runs (default: each case's own)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="where the results go"
    )
    options = parser.parse_args()
    if unknown := set(options.jobs) - {*JOBS, *TABLES}:
        parser.error(f"unknown job {', '.join(sorted(unknown))}: choose from {', '.join((*JOBS, *TABLES))}")
    if blas.VARIABLE not in os.environ and blas.picked_slow_kernels():
        print(
            f"{blas.VARIABLE}={blas.BETTER} is set: OpenBLAS would take AVX2 kernels on this CPU, which has AVX-512"
        )
        os.execve(
            sys.executable,
            [sys.executable, "-m", "benchmarks", *sys.argv[1:]],
            {**os.environ, blas.VARIABLE: blas.BETTER},
        )
    for job in options.jobs or DEFAULT:
        if job in TABLES:
            TABLES[job]()
            continue
        doc, cases = JOBS[job]
        results = []
        for case in map(present, cases):
            if not case.contestants:
                continue
            if options.rounds:
                case = dataclasses.replace(case, rounds=options.rounds)
            samples = run_case(case, report.say)
            report.say("")
            print(report.table(case, samples), flush=True)
            results.append((case, samples))
        if not results:
            parser.exit(1, f"{job}: no contestant is installed here\n")
        path = report.write(job, (doc or "").strip(), results, options.out)
        print(f"written: {path} and .json", flush=True)
        if job == "sweep":
            picture = sweep.draw(path.with_suffix(".json"))
            with path.open("a", encoding="utf-8") as page:
                page.write(f"\n![the table as a picture]({picture.name})\n")
            print(f"drawn: {picture}", flush=True)
        print(flush=True)


if __name__ == "__main__":
    main()
