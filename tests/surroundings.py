"""Programs whose surroundings change between the calls of a function, and how each must end under `tg.jit`.

A case is a generator of results. `check` runs it twice, with the identity for J (the truth) and with `tg.jit`, and
compares all results and what was printed. It also states how the case ends, so that a compiler that refuses everything
fails as well as one that is stale:

@compiled        the last calls ran a program, and nothing was warned about
@eager("word")   the function runs as Python, and the one warning names the word, a line and a remedy
@either("word")  one of both
"""

import io
import itertools
import random
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tapegrad as tg

JitWarning: type[Warning] = getattr(tg, "JitWarning", UserWarning)
PLAIN = (bool, int, float, complex, str, bytes, type(None))


@dataclass(frozen=True)
class Case:
    run: Callable[[Any], Iterator[Any]]
    ends: str  # "compiled", "eager" or "either"
    words: tuple[str, ...] = ()  # one of which the reason for running eagerly contains
    programs: int | None = None  # how many programs are recorded, all functions of the case together


class Table(dict[str, Case]):
    """The cases of one module, by name."""

    def compiled(self, run: Any = None, *, programs: int | None = None) -> Any:
        if run is None:
            return lambda g: self.add(g, Case(g, "compiled", (), programs))
        return self.add(run, Case(run, "compiled"))

    def eager(self, *words: str) -> Any:
        assert all(type(word) is str for word in words), "write @eager(…), with a word of the reason"
        return lambda run: self.add(run, Case(run, "eager", words))

    def either(self, *words: str) -> Any:
        assert all(type(word) is str for word in words), "write @either(…), with a word of the reason"
        return lambda run: self.add(run, Case(run, "either", words))

    def add(self, run: Any, case: Case) -> Any:
        assert run.__name__ not in self, run.__name__
        self[run.__name__] = case
        return run


@dataclass
class Outcome:
    results: list[Any] = field(default_factory=list)
    printed: str = ""
    warned: list[Any] = field(default_factory=list)
    made: list[Any] = field(default_factory=list)
    # Calls and compiled calls, at each result.
    counts: list[list[tuple[int, int]]] = field(default_factory=list)

    @property
    def user_warnings(self) -> set[tuple[str, str]]:
        return {(w.category.__name__, str(w.message)) for w in self.warned if w.category is not JitWarning}

    @property
    def jit_warnings(self) -> list[str]:
        return [str(w.message) for w in self.warned if w.category is JitWarning]

    def last_calls_compiled(self, number: int) -> bool:
        """Whether every call between the last two results, of those with calls, ran a program."""
        counts = [row[number] for row in self.counts if number < len(row)]
        for (calls, compiled), (calls_after, compiled_after) in reversed(
            list(itertools.pairwise([(0, 0), *counts]))
        ):
            if calls_after > calls:
                return compiled_after - compiled == calls_after - calls
        return False


def kept(value: Any) -> Any:
    """A copy of a result that later calls do not change."""
    if isinstance(value, tg.Tensor):
        return ("tensor", str(value.dtype), value.requires_grad, value.detach().numpy().copy())
    if isinstance(value, np.ndarray):
        return ("array", str(value.dtype), False, value.copy())
    if isinstance(value, (list, tuple)):
        return [kept(v) for v in value]
    if isinstance(value, dict):
        return {k: kept(v) for k, v in value.items()}
    return value if isinstance(value, PLAIN) else repr(value)


def same(got: Any, want: Any) -> bool:
    """Equal, floating arrays within 1e-5 of the largest element."""
    if isinstance(want, tuple):
        if not isinstance(got, tuple) or got[:-1] != want[:-1] or got[-1].shape != want[-1].shape:
            return False
        a, b = got[-1], want[-1]
        if b.dtype.kind not in "fc":
            return bool(np.array_equal(a, b))
        scale = max(1e-6, float(np.max(np.abs(b), initial=0.0, where=np.isfinite(b))))
        return bool(np.allclose(a, b, rtol=0, atol=1e-5 * scale, equal_nan=True))
    if isinstance(want, (list, dict)):
        if type(got) is not type(want) or len(got) != len(want):
            return False
        keys = want if isinstance(want, dict) else range(len(want))
        return all((k in got if isinstance(want, dict) else True) and same(got[k], want[k]) for k in keys)
    return type(got) is type(want) and (got == want or got != got)


def run(case: Case, jit: Any = None) -> Outcome:
    """The results of a case, with `jit` or as it is; an exception is the last of them."""
    outcome = Outcome()

    def wrap(f: Any) -> Any:
        if jit is None:
            return f
        outcome.made.append(jit(f))
        return outcome.made[-1]

    np.random.seed(0)
    random.seed(0)
    tg.manual_seed(0)
    printed = io.StringIO()
    with warnings.catch_warnings(record=True) as outcome.warned, redirect_stdout(printed):
        warnings.simplefilter("always")
        try:
            for value in case.run(wrap):
                outcome.results.append(kept(value))
                stats = [f.stats() if hasattr(f, "stats") else {} for f in outcome.made]
                outcome.counts.append([(s.get("calls", 0), s.get("compiled", -1)) for s in stats])
        except Exception as error:
            outcome.results.append(f"raised {type(error).__name__}: {error}")
    outcome.printed = printed.getvalue()
    return outcome


def difference(got: Outcome, want: Outcome) -> str | None:
    """What is stale or lost, in words; None if nothing is."""
    for number, (a, b) in enumerate(zip(got.results, want.results)):
        if not same(a, b):
            return f"result {number} is {a!r}, without tg.jit {b!r}"
    if len(got.results) != len(want.results):
        return f"{len(got.results)} results, without tg.jit {len(want.results)}"
    if got.printed != want.printed:
        return f"it printed {got.printed!r}, without tg.jit {want.printed!r}"
    if got.user_warnings != want.user_warnings:
        return f"it warned {got.user_warnings}, without tg.jit {want.user_warnings}"
    return None


def wrong_end(case: Case, outcome: Outcome) -> str | None:
    """In what the end of the case is not the stated one; None if it is."""
    stats = [f.stats() for f in outcome.made if hasattr(f, "stats")]
    numbers = [i for i, s in enumerate(stats) if s["calls"]]
    compiled = all(outcome.last_calls_compiled(i) for i in numbers) and bool(numbers)
    refused = [s.get("refused") for s in stats if s.get("refused")]
    told = f"{stats}\n{outcome.jit_warnings}"
    if case.programs is not None:
        programs, recordings = (
            sum(n(s) for s in stats) for n in (lambda s: len(s["programs"]), lambda s: s["recordings"])
        )
        if programs != case.programs or recordings > programs + 1:
            return f"{programs} programs and {recordings} recordings instead of {case.programs}: {told}"
    if compiled and case.ends != "eager":
        return None if not outcome.jit_warnings else f"it is compiled, and warns: {told}"
    if case.ends == "compiled":
        return f"the last calls ran no program: {told}"
    if compiled or not refused:
        return f"it does not say that it runs eagerly: {told}"
    if len(outcome.jit_warnings) != len(refused):
        return f"one warning for each function that runs eagerly: {told}"
    for reason in (*refused, *outcome.jit_warnings):
        if not any(word in reason for word in case.words):
            return f"the reason names none of {case.words}: {told}"
    if not all(re.search(r"\S+:\d+", warning) for warning in outcome.jit_warnings):
        return f"the warning names no line: {told}"
    return None


def truth(case: Case) -> Outcome:
    """The results without `tg.jit`: no case may end in an exception of its own."""
    want = run(case)
    assert want.results and not str(want.results[-1]).startswith("raised "), want.results[-1:]
    return want


def check(case: Case, **options: Any) -> None:
    """A case gives with `tg.jit` what it gives without, and ends as stated."""
    want = truth(case)
    got = run(case, lambda f: tg.jit(f, emitter="numpy", **options))
    assert (wrong := difference(got, want)) is None, wrong
    assert (wrong := wrong_end(case, got)) is None, wrong


def report(tables: dict[str, Table], only: list[str]) -> int:
    """Print the cases that fail, and how; the number of them."""
    found: dict[str, list[str]] = {"STALE": [], "END": [], "BROKEN": []}
    number = 0
    for cases in tables.values():
        for name, case in cases.items():
            if only and name not in only:
                continue
            number += 1
            try:
                want = truth(case)
            except AssertionError as error:
                found["BROKEN"].append(f"{name}: {error}")
                continue
            got = run(case, lambda f: tg.jit(f, emitter="numpy"))
            wrong = difference(got, want)
            kind = "END" if wrong is None else "STALE"
            if wrong := wrong or wrong_end(case, got):
                found[kind].append(
                    f"{name} ({case.ends}): {wrong if only else ' '.join(wrong[:150].split())}"
                )
    for kind, lines in found.items():
        for line in lines:
            print(f"{kind:6} {line}")
    print(f"{number} cases:", ", ".join(f"{len(lines)} {kind}" for kind, lines in found.items()))
    return sum(map(len, found.values()))


# ---- what the cases share ----
def T(values: Any) -> Any:
    return tg.tensor(np.array(values, "float32"))


def X() -> Any:
    return T([[1.0, 2.0]])


def drive(J: Any, f: Any, act: Any, show: Any = lambda: None) -> Any:
    """Eight calls of f; after four of them something changes. What `show` gives counts as well."""
    g = J(f)
    for i in range(8):
        if i == 4:
            act()
        yield g(X()), show()


def x2() -> Any:
    return T([1.0, 2.0])


def ones_layer(units: int = 2, inputs: int = 2, kernel: str = "ones") -> Any:
    return tg.nn.Dense(units, in_features=inputs, kernel_initializer=kernel)


def change(J: Any, f: Any, act: Any, calls: int = 8, at: int = 3, back: Any = None) -> Iterator[Any]:
    """f at each of `calls` calls, with `act` done before one of them, and undone before a later one."""
    g = J(f)
    for i in range(calls):
        if i == at:
            act()
        yield g(x2())
    if back is not None:
        back()
        for _ in range(4):
            yield g(x2())


def swapped(J: Any, f: Any, set_to: Any, values: Any = (2.0, 3.0, 2.0)) -> Iterator[Any]:
    """f while a setting has one value, then another, then the first again: the last program is there already."""
    g = J(f)
    for value in values:
        set_to(value)
        for _ in range(4):
            yield g(x2())


def each_call(J: Any, f: Any, calls: int = 6, before: Any = lambda i: None) -> Iterator[Any]:
    """f at each of `calls` calls, with something done before each."""
    g = J(f)
    for i in range(calls):
        before(i)
        yield g(x2())


if __name__ == "__main__":
    from importlib import import_module
    from pathlib import Path

    modules = sorted(p.stem for p in Path(__file__).parent.glob("stale_*.py"))
    sys.exit(bool(report({m: import_module(m).CASES for m in modules}, sys.argv[1:])))
