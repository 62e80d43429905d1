"""Programs whose surroundings change between calls: `tg.jit` gives what they give without, and ends as stated."""

from importlib import import_module
from pathlib import Path

import pytest

import tapegrad as tg
from surroundings import Case, check, run

CASES: dict[str, Case] = {}
for table in sorted(Path(__file__).parents[2].glob("stale_*.py")):
    CASES |= import_module(table.stem).CASES


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    check(CASES[name])


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.ends == "eager"])
def test_strict_refuses(name: str) -> None:
    """What would run eagerly raises instead, and names the same."""
    case = CASES[name]
    outcome = run(case, lambda f: tg.jit(f, emitter="numpy", strict=True))
    last = str(outcome.results[-1])
    assert last.startswith("raised TraceError") and any(word in last for word in case.words), last


# The run beside a program asks again whether the object has kept what the program has just put into it.
ASKED_TWICE = "one asked for with vars"


@pytest.mark.parametrize(
    "name", [n for n, case in CASES.items() if case.ends == "compiled" and not n.endswith(ASKED_TWICE)]
)
def test_checked_at_each_call(name: str) -> None:
    """With `check=1` each call runs eagerly beside the program: nothing differs, and the results are the same."""
    check(CASES[name], check=1)
