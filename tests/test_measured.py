"""What the README and docs say was measured is what the results hold."""

import re
from pathlib import Path

from benchmarks import summary

ROOT = Path(__file__).resolve().parent.parent
README, INSTALL = ((ROOT / page).read_text() for page in ("README.md", "docs/install.md"))


def test_the_speeds_of_the_readme_are_the_newest_measured() -> None:
    fast = README.partition("## How fast")[2].partition("\n## ")[0]
    start, end = summary.MARKS
    results = summary.newest(summary.RESULTS)
    measured = summary.for_readme(results)
    assert "`make bench`" in fast and len(re.findall(r"\b\d\.\d\d\b", measured)) > 55
    assert f"{start}{measured}{end}" in fast, "run: python -m benchmarks summary"
    for number in re.findall(r"\b[01]\.\d\d\b", fast):
        assert number in measured, f"{number} is not measured"
    assert summary.text(results) == (summary.RESULTS / "README.md").read_text(), (
        "run: python -m benchmarks summary"
    )


def test_what_was_not_measured_is_said_beside_its_target() -> None:
    """In the table of benchmarks/README.md, whose rows are written by hand."""
    text = (ROOT / "benchmarks" / "README.md").read_text()
    said = {job for job, row in re.findall(r"^\| `(\w+)` \|(.+)$", text, re.M) if "not measured" in row}
    assert said == {job for _, _, job, _ in summary.not_measured(summary.newest(summary.RESULTS))}


def test_functions_forward_and_with_their_gradient_have_a_row_each() -> None:
    """A part that was recorded without a limit is held to that of the other part."""
    keys = {"exp; forward; r": 3.0, "erf; forward; r": 0.5, "exp; and backward; r": 0.9}
    limits = {key: 1.0 if "backward" in key else None for key in keys}
    promises = [{"key": key, "ours": "r", "against": "", "limit": limit} for key, limit in limits.items()]
    case = {"title": "8", "ranked": ("r",), "promises": promises, "samples": {"r": [keys]}}
    assert list(summary.rows_of(case)) == [
        ("8, forward: 1 of 2 functions meet it, the worst is at", "1", "3", "0.5 to 3", "MISSED"),
        (
            "8, forward and backward: 1 of 1 functions meet it, the worst is at",
            "1",
            "0.9",
            "0.9 to 0.9",
            "met",
        ),
    ]


def test_the_weights_of_the_page_are_the_newest_measured() -> None:
    path = max((ROOT / "benchmarks" / "results").glob("*-install.md"))
    table = re.findall(r"^\| ([^|]+) \| *(\d+) \| *(\d+) \|$", path.read_text(), re.M)
    weight = {what: (packages, size) for what, packages, size in table}
    packages, size = weight["tapegrad's own requirements"]
    assert f"{size} MB in {packages} packages" in INSTALL
    assert f"llvmlite: {weight['what `[jit]` adds'][1]} MB" in INSTALL
    packages, size = weight["torch with its requirements"]
    assert f"PyTorch for CPUs is {size} MB in {packages} packages" in INSTALL
    assert f"](../benchmarks/results/{path.name})" in INSTALL
