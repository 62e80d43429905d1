"""All targets in one place: of the newest results of each job, a row for each figure that has a limit."""

import json
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import picture
from benchmarks.harness import ROOT, ratio
from benchmarks.jobs import JOBS
from benchmarks.picture import DOTS
from benchmarks.steps import EAGER, JAX, NATIVE, NUMPY, TORCH

HEAD = ("what", "target: at most", "measured", "lowest to highest", "", "date", "command")
RESULTS = Path(__file__).parent / "results"
MET, MISSED = "met", "MISSED"
# What a job with many functions measures of each: the last word of a figure's name -> how its row is called.
PARTS = {"forward": "forward", "and backward": "forward and backward"}


def newest(folder: Path) -> dict[str, Path]:
    """The last JSON of each job; the job with the width of vectors, where that was limited."""
    return {path.stem[11:]: path for path in sorted(folder.glob("????-??-??-*.json"))}


def rows(paths: Iterable[Path]) -> Iterator[tuple[str, ...]]:
    for path in paths:
        data = json.loads(path.read_text(encoding="utf-8"))
        bits = data["machine"].get("vector_bits_set")
        command = f"{f'TAPEGRAD_VECTOR_BITS={bits} ' if bits else ''}python -m benchmarks {data['job']}"
        for case in data["cases"]:
            for row in rows_of(case):
                yield (f"{data['job']}, {row[0]}", *row[1:], data["machine"]["date"][:10], f"`{command}`")


def rows_of(case: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    promises = [p for p in case["promises"] if p["ours"] in case["samples"]]
    promises = [p for p in promises if not p["against"] or p["against"] in case["samples"]]
    if case.get("ranked"):
        yield from ranked(case, promises)
        return
    for p in promises:
        if p["limit"] is not None:
            middle, low, high = ratio(
                case["samples"][p["ours"]], case["samples"].get(p["against"], []), p["key"]
            )
            spread = f"{low:.3g} to {high:.3g}"
            yield what(case, p), f"{p['limit']:.3g}", f"{middle:.3g}", spread, verdict(middle, p["limit"])


def what(case: dict[str, Any], p: dict[str, Any]) -> str:
    whose = f"{p['ours']} / {p['against']}" if p["against"] else p["ours"]
    return f"{case['title']}: {whose}, {case['columns'][p['key']]}"


def ranked(case: dict[str, Any], promises: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """One row for all functions forward, and one for both ways: how many are at the target, the worst, best to worst.

    The limit is that of the case: a part that was measured without one is held to it, too.
    """
    limit = next(p["limit"] for p in promises if p["limit"] is not None)
    parts: dict[str, list[float]] = {}
    for p in promises:
        part = next((f", {PARTS[word]}" for word in p["key"].split("; ") if word in PARTS), "")
        parts.setdefault(part, []).append(ratio(case["samples"][p["ours"]], [], p["key"])[0])
    for part, ratios in parts.items():
        kept = sum(r <= limit for r in ratios)
        title = f"{case['title']}{part}: {kept} of {len(ratios)} functions meet it, the worst is at"
        spread = f"{min(ratios):.3g} to {max(ratios):.3g}"
        yield title, f"{limit:.3g}", f"{max(ratios):.3g}", spread, verdict(max(ratios), limit)


def verdict(measured: float, limit: float) -> str:
    return MET if measured <= limit else MISSED


def not_measured(results: dict[str, Path]) -> Iterator[tuple[str, str, str, str]]:
    """The targets that no result is about: what, at most, the job, the command."""
    for job, (_, cases) in JOBS.items():
        recorded = json.loads(results[job].read_text(encoding="utf-8"))["cases"] if job in results else []
        samples = {case["title"]: case["samples"] for case in recorded}
        for case in cases:
            there = {"", *samples.get(case.title, ())}
            for p in case.promises:
                if p.limit is not None and not {p.ours, p.against} <= there:
                    told = {"title": case.title, "columns": case.columns}
                    row = what(told, {"ours": p.ours, "against": p.against, "key": p.key})
                    yield f"{job}, {row}", f"{p.limit:.3g}", job, f"`python -m benchmarks {job}`"


def table(found: Iterable[tuple[str, ...]], head: tuple[str, ...] = HEAD) -> str:
    """As Markdown, its columns aligned."""
    cells = [head, *found]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    rule = tuple("-" * max(3, w) for w in widths)
    lines = [cells[0], rule, *cells[1:]]
    return "\n".join(
        f"| {' | '.join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))} |" for row in lines
    )


PAIRS = ((NATIVE, JAX), (NUMPY, JAX), (NATIVE, TORCH), (NUMPY, TORCH), (EAGER, TORCH))


def speeds(results: dict[str, Path], spreads: bool = True) -> str:
    """The steps on one core as a table: tapegrad's programs against JAX and PyTorch, with the rounds' spread or not."""
    ours = {NATIVE: "native", NUMPY: "NumPy", EAGER: "without `tg.jit`"}
    heads = [f"{ours[own]} / {DOTS[against][2]}" for own, against in PAIRS]
    lines = [f"| a training step of | {' | '.join(heads)} |", "|---" * (1 + len(PAIRS)) + "|"]
    for job, network in picture.ROWS.items():
        if job not in results:
            continue
        samples = json.loads(results[job].read_text(encoding="utf-8"))["cases"][0]["samples"]
        ratios = [ratio(samples[own], samples[against], "step") for own, against in PAIRS]
        cells = [spread(*r) if spreads else short(r[0]) for r in ratios]
        lines.append(f"| {network.replace(chr(10), ', ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def short(ratio: float) -> str:
    return f"{round(ratio, 3):.2f}"  # rounded as in its job's table


def spread(middle: float, low: float, high: float) -> str:
    return f"{short(middle)} ({low:.2f} to {high:.2f})"


# The part of the project's README.md that is made of the results.
MARKS = ("<!-- made by python -m benchmarks summary -->\n", "<!-- end -->\n")
SENTENCES = """
`Sequential.fit` of the article's network takes {fit} of the time of Keras's, 10 epochs, recording included,
and the whole of `tapegrad train` {job} of the same job in Keras, with {memory} of the memory.
Without `tg.jit`, {quick} of {calls} calls of one function on 10⁶ elements take at most twice PyTorch's time, and the
slowest takes {slowest} times as long.

[All results](benchmarks/results/README.md) have the spread of the rounds, a picture, and the machine, date and command.
Of {count} targets, most of them set on another machine, {met} are met and {missed} missed; {open} were not measured.
"""


def for_readme(results: dict[str, Path]) -> str:
    """The table of the steps, and the sentences below it."""
    of_job = {
        job: json.loads(results[job].read_text(encoding="utf-8"))["cases"]
        for job in ("fit_article", "article_job", "eager")
    }
    fit, job = of_job["fit_article"][0]["samples"], of_job["article_job"][0]["samples"]
    large = of_job["eager"][-1]
    calls = [ratio(large["samples"][p["ours"]], [], p["key"])[0] for p in large["promises"]]
    verdicts = [row[4] for row in rows(results.values())]
    sentences = SENTENCES.format(
        fit=spread(*ratio(fit["tapegrad"], fit["Keras"], "fit")),
        job=spread(*ratio(job["tapegrad"], job["Keras"], "wall")),
        memory=f"{ratio(job['tapegrad'], job['Keras'], 'peak')[0]:.2f}",
        quick=sum(call <= 2 for call in calls),
        calls=len(calls),
        slowest=f"{max(calls):.1f}",
        count=len(verdicts) + len(list(not_measured(results))),
        met=verdicts.count(MET),
        missed=verdicts.count(MISSED),
        open=len(list(not_measured(results))),
    )
    return f"\n{speeds(results, spreads=False)}\n{sentences}\n"


def write_readme(results: dict[str, Path], path: Path = ROOT / "README.md") -> None:
    """Put what was measured between the marks."""
    before, rest = path.read_text(encoding="utf-8").split(MARKS[0])
    _, after = rest.split(MARKS[1])
    path.write_text(MARKS[0].join([before, for_readme(results) + MARKS[1] + after]), encoding="utf-8")


def by_machine(results: dict[str, Path]) -> dict[str, list[Path]]:
    """What was measured on each machine, the one with most results first."""
    found: dict[str, list[Path]] = {}
    for path in results.values():
        machine = json.loads(path.read_text(encoding="utf-8"))["machine"]
        name = f"{machine['cpu']}, {machine['cores']} cores, {machine.get('vectors', 'width of vectors not noted')}"
        found.setdefault(name, []).append(path)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def load(paths: Iterable[Path]) -> str:
    """How busy the machine was with other work."""
    machines = [json.loads(path.read_text(encoding="utf-8"))["machine"] for path in paths]
    loads = [float(machine["load"][1]) for machine in machines if "load" in machine]
    return f"Load average while measured: {min(loads):.0f} to {max(loads):.0f}.\n\n" if loads else ""


TOP = """# Targets, and what was measured

Made by `python -m benchmarks summary`, of the newest results of each job. Each ratio is the median of several rounds,
with the lowest and the highest of them.

## A training step

One core, CPU time, against eager PyTorch (`torch.compile` was not measured on a CPU) and JAX's jit. Below 1, tapegrad
is faster.

{speeds}

![Time of a training step of each network, as a multiple of JAX's](steps.svg)

## Targets

A target is a limit to work towards. They were set between 2026-11-22 and 2026-11-27, most of them on one core of a Zen
5 processor with AVX-512, which is none of the machines below. Where the load is above the number of cores, other
programs ran at the same time: believe the ratios on one core, which are of CPU time, and neither the times nor what is
measured on all cores.

"""


def text(results: dict[str, Path]) -> str:
    """The page of all results: the steps, the targets of each machine, and those that were not measured."""
    parts = [TOP.format(speeds=speeds(results))]
    for machine, paths in by_machine(results).items():
        if found := list(rows(paths)):
            parts.append(f"### {machine}\n\n{load(paths)}{table(found)}\n\n")
    if missing := [(row, limit, command) for row, limit, _, command in not_measured(results)]:
        parts.append(f"### Not measured\n\n{table(missing, ('what', 'target: at most', 'command'))}\n")
    return "".join(parts).rstrip("\n") + "\n"


def write(folder: Path = RESULTS) -> Path:
    """README.md in the folder of the results, and a picture of the steps if these are there."""
    results = newest(folder)
    if find_spec("matplotlib") and picture.ROWS.keys() & results.keys():
        picture.draw(results, folder / "steps.svg")
    if folder == RESULTS:
        write_readme(results)
    path = folder / "README.md"
    path.write_text(text(results), encoding="utf-8")
    return path
