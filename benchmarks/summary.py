"""All that is promised, in one table: of the newest results of each job, a row for each promise with a limit."""

import json
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import picture
from benchmarks.harness import ROOT, ratio
from benchmarks.picture import DOTS
from benchmarks.steps import JAX, NATIVE, NUMPY, TORCH

HEAD = ("what", "at most", "measured", "lowest to highest", "", "command")
RESULTS = Path(__file__).parent / "results"


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
                yield (f"{data['job']}, {row[0]}", *row[1:], f"`{command}`")


def rows_of(case: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    promises = [p for p in case["promises"] if p["limit"] is not None and p["ours"] in case["samples"]]
    promises = [p for p in promises if not p["against"] or p["against"] in case["samples"]]
    found = [
        (p, *ratio(case["samples"][p["ours"]], case["samples"].get(p["against"], []), p["key"]))
        for p in promises
    ]
    if case.get("ranked"):
        yield ranked(case, found)
        return
    for p, middle, low, high in found:
        whose = f"{p['ours']} / {p['against']}" if p["against"] else p["ours"]
        what = f"{case['title']}: {whose}, {case['columns'][p['key']]}"
        yield (
            what,
            f"{p['limit']:.3g}",
            f"{middle:.3g}",
            f"{low:.3g} to {high:.3g}",
            verdict(middle, p["limit"]),
        )


def ranked(case: dict[str, Any], found: list[Any]) -> tuple[str, ...]:
    """One row for all functions: how many kept what is promised of each, the worst, and the best to the worst."""
    limit, ratios = found[0][0]["limit"], [middle for _, middle, _, _ in found]
    kept = sum(r <= limit for r in ratios)
    what = f"{case['title']}: {kept} of {len(ratios)} functions keep it, the worst is at"
    spread = f"{min(ratios):.3g} to {max(ratios):.3g}"
    return what, f"{limit:.3g}", f"{max(ratios):.3g}", spread, verdict(max(ratios), limit)


def verdict(measured: float, limit: float) -> str:
    return "kept" if measured <= limit else "MISSED"


def table(found: Iterable[tuple[str, ...]]) -> str:
    """As Markdown, its columns aligned."""
    cells = [HEAD, *found]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEAD))]
    rule = tuple("-" * max(3, w) for w in widths)
    lines = [cells[0], rule, *cells[1:]]
    return "\n".join(
        f"| {' | '.join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))} |" for row in lines
    )


def speeds(results: dict[str, Path]) -> str:
    """The steps on one core as a table: tapegrad's programs against JAX and PyTorch."""
    pairs = [(ours, against) for against in (JAX, TORCH) for ours in (NATIVE, NUMPY)]
    heads = [f"{DOTS[ours][2].partition(', ')[2]} / {DOTS[against][2]}" for ours, against in pairs]
    lines = [f"| a training step of | {' | '.join(heads)} |", "|---" * (1 + len(pairs)) + "|"]
    for job, what in picture.ROWS.items():
        if job not in results:
            continue
        samples = json.loads(results[job].read_text(encoding="utf-8"))["cases"][0]["samples"]
        cells = []
        for ours, against in pairs:
            cells.append(spread(*ratio(samples[ours], samples[against], "step")))
        lines.append(f"| {what.replace(chr(10), ', ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(middle: float, low: float, high: float) -> str:
    return f"{round(middle, 3):.2f} ({low:.2f} to {high:.2f})"  # rounded as in its job's table


# The part of the project's README.md that is made of the results.
MARKS = ("<!-- made by python -m benchmarks summary -->\n", "<!-- end -->\n")
SENTENCES = """
![Time of a training step of seven networks, as a multiple of JAX's](benchmarks/results/steps.svg)

`Sequential.fit` of the article's network takes {fit} of the time of Keras's, 10 epochs, recording included,
and the whole of `tapegrad train` {job} of the same job in Keras, with {memory} of the memory.

[One table](benchmarks/results/README.md) has all promises, with what was measured and the command: of {count}, {kept}
are kept and {missed} are missed.
"""


def for_readme(results: dict[str, Path]) -> str:
    """The table of the steps, and the sentences below it."""
    article = {
        job: json.loads(results[job].read_text(encoding="utf-8")) for job in ("fit_article", "article_job")
    }
    fit, job = (data["cases"][0]["samples"] for data in article.values())
    verdicts = [row[4] for row in rows(results.values())]
    sentences = SENTENCES.format(
        fit=spread(*ratio(fit["tapegrad"], fit["Keras"], "fit")),
        job=spread(*ratio(job["tapegrad"], job["Keras"], "wall")),
        memory=f"{ratio(job['tapegrad'], job['Keras'], 'peak')[0]:.2f}",
        count=len(verdicts),
        kept=verdicts.count("kept"),
        missed=verdicts.count("MISSED"),
    )
    return f"\n{speeds(results)}\n{sentences}\n"


def write_readme(results: dict[str, Path], path: Path = ROOT / "README.md") -> None:
    """Put what was measured between the marks."""
    before, rest = path.read_text(encoding="utf-8").split(MARKS[0])
    _, after = rest.split(MARKS[1])
    path.write_text(MARKS[0].join([before, for_readme(results) + MARKS[1] + after]), encoding="utf-8")


def machines(results: dict[str, Path]) -> str:
    """On what the results were measured, and how busy it was with other work."""
    found: dict[str, list[float]] = {}
    for path in results.values():
        machine = json.loads(path.read_text(encoding="utf-8"))["machine"]
        what = f"{machine['cpu']}, {machine['cores']} cores, {machine.get('vectors', 'width of vectors not noted')}"
        found.setdefault(what, []).extend(map(float, machine.get("load", [])[1:2]))
    return "\n".join(
        f"- {what}"
        + (f"; load average while measured: {min(loads):.0f} to {max(loads):.0f}" if loads else "")
        for what, loads in found.items()
    )


def write(folder: Path = RESULTS) -> Path:
    """README.md in the folder of the results, and a picture of the steps if these are there."""
    results = newest(folder)
    if find_spec("matplotlib") and picture.ROWS.keys() & results.keys():
        picture.draw(results, folder / "steps.svg")
    text = (
        "# What is promised, and what was measured\n\n"
        "The newest results of each job; each ratio is the median of several rounds. Made by "
        "`python -m benchmarks summary`.\n\n"
        f"{machines(results)}\n\n"
        "Where the load is above the number of cores, other programs ran, too: believe the ratios on one core, which "
        "are of CPU time, and not the times, nor what is measured on all cores.\n\n"
        f"{speeds(results)}\n\n"
        "One core, with the lowest and the highest of the rounds. All promises:\n\n"
    )
    if folder == RESULTS:
        write_readme(results)
    path = folder / "README.md"
    path.write_text(text + table(rows(results.values())) + "\n", encoding="utf-8")
    return path
