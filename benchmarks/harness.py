"""Contestants taken in turn over several rounds; medians and ratios with their spread.

A round runs every contestant once, each in a process of its own, starting with another one each time; or one process
that takes turns between all of them (`timing.take_turns`). Whatever else the machine does hits all of them alike. A
ratio is the median of those of the rounds; its spread is the lowest and the highest of them.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TAPEGRAD_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)


@dataclass(frozen=True)
class Contestant:
    """What one process runs: `python <args>`. Its last line of output is a JSON object of figures.

    {out} in `args` becomes an empty folder, which must hold the files named by `writes` (patterns) afterwards; in the
    values of `env`, too. {cache} there becomes a folder that all rounds share, empty before the first of them.
    `needs` is the package without which the contestant is left out.
    """

    name: str
    args: tuple[str, ...]
    needs: str = "tapegrad"
    figures: bool = True
    writes: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Promise:
    """The figure `key` of `ours` is to be at most `limit` times that of `against`; without a limit, only shown. Where
    `against` is empty, the figure itself is to be at most `limit`."""

    key: str
    ours: str
    against: str
    limit: float | None


@dataclass(frozen=True)
class Case:
    """One table: contestants that do the same work on `cores` cores (None: all of them)."""

    title: str
    contestants: tuple[Contestant, ...]
    columns: dict[str, str]  # figure -> its heading, unit included
    promises: tuple[Promise, ...] = ()
    cores: int | None = None
    note: str = ""
    rounds: int = 5
    warm: bool = False  # the contestants have just run in another case: no first round is left out
    # The arguments of a process that measures all contestants: it is given their names, too, and reports the figures of
    # each, {name: {figure: value}}. Then those of the contestants themselves are not used.
    together: tuple[str, ...] = ()
    upright: bool = False  # a row for each figure, a column for each contestant
    # A row for each column, the highest figure first: its figures, whose keys are "<column>; <what is ranked>", the
    # first of which is promised.
    ranked: tuple[str, ...] = ()


def run_once(contestant: Contestant, cores: int | None, cache: str) -> dict[str, float]:
    """The figures a contestant reports, and of its whole process the wall time (s) and peak memory (MB)."""
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "Agg"}
    # An installed package has its bytecode; let the source tree have it, too.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    pin: Callable[[], None] | None = None
    if cores:
        env.update(dict.fromkeys(THREADS, str(cores)), TF_NUM_INTEROP_THREADS=str(cores))
        if available:
            pin = lambda: os.sched_setaffinity(0, available[-cores:])
    with tempfile.TemporaryDirectory() as out, open(Path(out, "stdout"), "w+b") as log:
        folder = Path(out, "out")
        folder.mkdir()
        env |= {name: value.format(cache=cache, out=folder) for name, value in contestant.env.items()}
        command = [sys.executable, *(part.format(out=folder) for part in contestant.args)]
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT, preexec_fn=pin
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        text = log.read().decode(errors="replace")
        missing = [pattern for pattern in contestant.writes if not any(folder.rglob(pattern))]
    if process.returncode or missing:
        raise SystemExit(
            f"{contestant.name} failed (status {process.returncode}, not written: {missing}):\n{text[-3000:]}"
        )
    peak = usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024 * 1024)
    reported = json.loads(text.strip().splitlines()[-1]) if contestant.figures else {}
    return {"wall": wall, "peak": peak, **reported}


def run_case(case: Case, say: Callable[[str], None]) -> dict[str, list[dict[str, float]]]:
    """The figures of every contestant in every round; one round before them, to fill caches, does not count."""
    samples: dict[str, list[dict[str, float]]] = {contestant.name: [] for contestant in case.contestants}
    with tempfile.TemporaryDirectory() as cache:
        for number in range(1 if case.warm else 0, case.rounds + 1):
            say(f"{case.title}: round {number} of {case.rounds}")
            figures = (
                run_together(case, number, cache) if case.together else run_round(case, number, cache, say)
            )
            if number:
                for name, found in figures.items():
                    samples[name].append(found)
    return samples


def run_round(case: Case, number: int, cache: str, say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """Each contestant in a process of its own."""
    shift = number % len(case.contestants)
    figures = {}
    for contestant in (*case.contestants[shift:], *case.contestants[:shift]):
        say(f"{case.title}: round {number} of {case.rounds}: {contestant.name}")
        figures[contestant.name] = run_once(contestant, case.cores, cache)
    return figures


def run_together(case: Case, number: int, cache: str) -> dict[str, dict[str, float]]:
    """All contestants in one process."""
    names = tuple(contestant.name for contestant in case.contestants)
    found: Any = run_once(Contestant(case.title, (*case.together, *names)), case.cores, cache)
    return {name: found[name] for name in names}


def median(samples: list[dict[str, float]], key: str) -> float | None:
    values = [sample[key] for sample in samples if key in sample]
    return statistics.median(values) if values else None


def ratio(
    ours: list[dict[str, float]], against: list[dict[str, float]], key: str
) -> tuple[float, float, float]:
    """The median of the ratios of the rounds, the lowest and the highest; against nothing, of the figures."""
    against = against or [{key: 1.0}] * len(ours)
    each = [a[key] / b[key] for a, b in zip(ours, against, strict=True)]
    return statistics.median(each), min(each), max(each)
