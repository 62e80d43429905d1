"""What a compiled function keeps alive of the arguments it was called with."""

import gc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import tapegrad as tg

KNOWN: dict[Any, float] = {}


class Batch:
    def __init__(self, number: int) -> None:
        self.x, self.number, self.weights = tg.ones(3) + number, number, {self: 2.0}

    def halved(self) -> Any:
        return self.x * 0.5


def alive_after(f: Any, given: Callable[[Batch], Any], calls: int) -> int:
    """How many of the batches of so many calls are still there."""
    batches = []
    for number in range(calls):
        batch = Batch(number)
        batches.append(weakref.ref(batch))
        f(given(batch))
    del batch
    gc.collect()
    return sum(b() is not None for b in batches)


REFUSED: dict[str, Callable[[Any], Any]] = {
    "a text": lambda b: b.x * len(repr(b)),
    "a number": lambda b: b.x * KNOWN.get(id(b), 1.0),
    "a key": lambda b: b.x * b.weights[b],
    "an attribute that differs": lambda b: b.x * b.number,
}
REACHED: dict[str, Callable[[Batch], Any]] = {
    "a function": lambda b: lambda: b.x * 0.5,
    "a method": lambda b: b.halved,
    "a partial": lambda b: partial(Batch.halved, b),
    "a list of functions": lambda b: [lambda: b.x * 0.5],
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_strict_one_that_raises_keeps_the_last_argument_alone(name: str) -> None:
    f, raised = tg.jit(REFUSED[name], emitter="numpy", strict=True), []

    def call(b: Batch) -> None:
        try:
            f(b)
        except tg.TraceError as error:
            raised.append(str(error))

    assert alive_after(call, lambda b: b, 20) <= 1
    assert len(raised) == 8 and all("recorded 12 times in a row" in told for told in raised)


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_a_function_that_is_refused_keeps_no_argument(name: str) -> None:
    f = tg.jit(REFUSED[name], emitter="numpy")
    assert alive_after(f, lambda b: b, 20) == 0
    reason = f.stats()["refused"]
    assert "recorded 12 times in a row" in reason and f.stats()["programs"] == [f"Python: {reason}"]
    assert reason in f.source() and reason in f.explain() and reason in repr(f)
    f(Batch(1))


@pytest.mark.parametrize("name", REACHED)
def test_a_program_keeps_nothing_of_a_function_that_is_an_argument(name: str) -> None:
    f = tg.jit(lambda g: (g[0] if isinstance(g, list) else g)() * 3.0, emitter="numpy")
    assert alive_after(f, REACHED[name], 20) == 0
    assert f.stats()["compiled"] >= 16


def test_the_step_of_a_model_that_is_refused_says_why_it_has_no_source() -> None:
    class Counted(tg.nn.Module):
        calls = 0

        def forward(self, x: Any) -> Any:
            self.calls += 1
            return x * float(self.calls)

    model = tg.models.Sequential([Counted(), tg.nn.Dense(1)])
    model.compile(loss="mse")
    x = tg.ones((4, 2)).numpy()
    with pytest.warns(tg.JitWarning):
        model.fit(x, x[:, :1], epochs=100, verbose=0)
    with pytest.raises(tg.TraceError, match=r"it changes model.layers\[0\].calls"):
        model.source("train")


class Plain:
    pass


TELLING: dict[str, Callable[[Any, Any], float]] = {
    "a text": lambda held, known: len(repr(held[0])) * 1.0,
    "a weak set, which runs as Python": lambda held, known: known.add(held[0]) or 2.0,
}


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
@pytest.mark.parametrize("name", TELLING)
def test_an_object_of_which_the_place_counts_may_go(name: str) -> None:
    held: list[Plain] = [Plain()]
    known: Any = weakref.WeakSet()
    f = tg.jit(lambda x: x * TELLING[name](held, known), emitter="numpy")
    for _ in range(2):
        for _ in range(3):
            f(tg.ones(1))
        before = weakref.ref(held[0])
        held[0] = Plain()
        gc.collect()
        assert before() is None and len(known) == 0
