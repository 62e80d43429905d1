"""`python -m benchmarks [job …]`: measure tapegrad against its peers on this machine. See benchmarks/README.md."""

import argparse
import dataclasses
import importlib.util
from pathlib import Path

from benchmarks import article_job, deep_chain, report, step_gpu, step_small
from benchmarks.harness import Case, run_case

JOBS = {"step_small": step_small, "article_job": article_job, "deep_chain": deep_chain, "gpu": step_gpu}
DEFAULT = ["step_small", "article_job", "deep_chain"]


def present(case: Case) -> Case:
    """The case without the contestants whose package is not installed."""
    found = tuple(c for c in case.contestants if importlib.util.find_spec(c.needs))
    for left_out in (c for c in case.contestants if c not in found):
        print(f"left out: {left_out.name} ({left_out.needs} is not installed)")
    return dataclasses.replace(case, contestants=found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "jobs", nargs="*", metavar="job", help=f"of {', '.join(JOBS)} (default: {' '.join(DEFAULT)})"
    )
    parser.add_argument(
        "--rounds", type=int, help="how often each contestant runs (default: each case's own)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="where the results go"
    )
    options = parser.parse_args()
    if unknown := set(options.jobs) - set(JOBS):
        parser.error(f"unknown job {', '.join(sorted(unknown))}: choose from {', '.join(JOBS)}")
    for job in options.jobs or DEFAULT:
        results = []
        for case in map(present, JOBS[job].CASES):
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
        doc = (JOBS[job].__doc__ or "").strip()
        print(f"written: {report.write(job, doc, results, options.out)} and .json\n", flush=True)


if __name__ == "__main__":
    main()
