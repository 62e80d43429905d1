"""Random worlds that change between the calls of a function: what `tg.jit` gives is what the function gives."""

import contextlib
import io
import random
import warnings
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from surroundings import JitWarning, kept, same

hypothesis = pytest.importorskip("hypothesis")
from random_surroundings import World, worlds  # noqa: E402


def outcomes(world: World, wrap: Any) -> tuple[list[Any], str, list[str], Any, list[int]]:
    """What each call gave and what could be seen then, what was printed and warned, and when a program ran."""
    np.random.seed(0)
    random.seed(0)
    tg.manual_seed(0)
    before, printed, found, ran = tg.get_default_dtype(), io.StringIO(), [], []
    try:
        with warnings.catch_warnings(record=True) as warned, contextlib.redirect_stdout(printed):
            warnings.simplefilter("always")
            around = world.surroundings()
            f = wrap(around["f"])
            for i, changes in enumerate(world.schedule):
                for change in changes:
                    try:
                        exec(change, around)
                    except Exception as error:
                        found.append(type(error).__name__)
                x = tg.tensor(np.array([0.5 + i % 3, 1.0], "float32"))
                try:
                    found.append(kept(f(x)))
                except Exception as error:
                    found.append(f"raised {type(error).__name__}")
                found.append(kept([eval(seen, around) for seen in world.seen]))
                if hasattr(f, "stats"):
                    ran.append(f.stats().get("compiled", 0))
    finally:
        tg.set_default_dtype(before)
    told = [str(w.message) for w in warned if w.category is JitWarning]
    return found, printed.getvalue(), told, f, ran


@hypothesis.settings(max_examples=200)
@hypothesis.given(world=worlds())
def test_random_worlds(world: World) -> None:
    want, printed, *_ = outcomes(world, lambda f: f)
    got, also_printed, told, f, ran = outcomes(world, lambda f: tg.jit(f, emitter="numpy"))
    assert len(got) == len(want) and printed == also_printed
    for i, (a, b) in enumerate(zip(got, want)):
        assert same(a, b), f"{i}: {a!r}, without tg.jit {b!r}\n{f.stats()}\n{world!r}"
    stats = f.stats()
    assert len(told) <= 1, told
    if world.settles and not str(want[-2]).startswith("raised"):
        assert ran[-1] > ran[-2] and not told, f"it does not settle: {stats}\n{told}\n{world!r}"
    else:
        assert ran[-1] > ran[-2] or len(told) == 1 or str(want[-2]).startswith("raised"), f"{stats}\n{told}"
