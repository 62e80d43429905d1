"""What is recorded again, what is prepared, and how arguments are taken."""

import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

F = tg.nn.functional
jit = partial(tg.jit, emitter="numpy")
X = tg.tensor([1.0, 2.0])


# ---- recorded again ----
def test_a_shape_that_changed_is_recorded_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    step = jit(lambda x, c=1.0: x * c)
    model = tg.nn.Dropout(0.5)
    predict = jit(lambda x: model(x))
    inputs = [((X,), "the first call"), ((tg.ones(3),), "x: a tensor of shape (3,) instead of (2,)"),
              ((X, 2.0), "another number of arguments"), ((X, 3.0), "c: 3.0 instead of 2.0"),
              ((X.astype("float64"),), "x: a tensor of dtype float64 instead of float32")]  # fmt: skip
    with caplog.at_level(logging.INFO, "tapegrad.jit"), tg.no_grad():
        for given, reason in inputs:
            for _ in range(3):
                assert step(*given).tolist() == (given[0] * (given[1] if len(given) > 1 else 1.0)).tolist()
            assert step.stats()["reasons"][-1] == reason
        assert step.stats()["calls"] == 15 and step.stats()["recordings"] == step.stats()["compiled"] == 5
        for mode in (True, False, True):
            model.train(mode)
            for _ in range(3):
                predict(X)
    said = [record.getMessage() for record in caplog.records]
    for number, ((_, reason), message) in enumerate(zip(inputs, said)):
        assert message == f"<lambda>: recording {number + 1} ({reason}), run by numpy"
    assert said[-1] == "<lambda>: recording 2 (model.training: False instead of True), run by numpy"
    assert {record.levelname for record in caplog.records} == {"INFO"} and len(said) == len(inputs) + 2


OTHERWISE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "an array that is written to": (lambda w: setattr(w, "data", w.data.copy()), "was replaced"),
    "another shape": (lambda w: setattr(w, "data", np.full(1, 0.25, "float32")), "another shape, dtype or place"),
    "frozen": (lambda w: w.requires_grad_(False), "requires_grad of w"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_it_captured_changed(name: str) -> None:
    change, reason = OTHERWISE[name]
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    f = lambda x: w.detach() * x + (0.0 if name == "another shape" else 1.0)
    step = jit(f if name != "an array that is written to" else lambda x: w.assign(w.detach() * x))
    for _ in range(3):
        step(X)
    change(w)
    before = w.detach() + 0.0
    found = step(X)
    assert reason in step.stats()["reasons"][1] and step.stats()["recordings"] == 2
    assert (w if found is None else found).tolist() == (before * X if found is None else f(X)).tolist()


# ---- Python's own values ----
def test_what_python_closes_over_is_followed() -> None:
    """A number of Python's is a guard; held in a tensor it takes no further recording."""
    factor, held, several = 2.0, tg.tensor(2.0), {"factor": 2.0}
    closed = jit(lambda x: x * factor)
    inside = jit(lambda x: x * several["factor"])
    tensor = jit(lambda x: x * held)
    for value in (2.0, 3.0, 2.0):
        factor = several["factor"] = value
        held.assign(value)
        for f in (closed, inside, tensor):
            for _ in range(3):
                assert f(X).tolist() == [value, 2.0 * value]
    assert [f.stats()["recordings"] for f in (closed, inside, tensor)] == [2, 2, 1]
    assert closed.stats()["reasons"][1] == "factor: 3.0 instead of 2.0"
    assert inside.stats()["reasons"][1] == "several['factor']: 3.0 instead of 2.0"


# ---- before the first call ----
PREPARED: dict[str, Callable[[Any], Any]] = {
    "arrays": lambda f: f(np.ones(3, "float32")),
    "by name": lambda f: f(x=tg.ones(3), c=3.0),
    "in its place": lambda f: f(tg.ones(3), 3.0),
}


@pytest.mark.parametrize("name", PREPARED)
def test_what_was_prepared_is_what_the_first_call_runs(name: str) -> None:
    step = jit(lambda x, c=2.0: x * c)
    PREPARED[name](step.prepare)
    PREPARED[name](step)
    assert (step.stats()["compiled"], step.stats()["recordings"]) == (1, 1)


def test_prepared_with_and_without_gradients() -> None:
    step = jit(lambda x: x * 2.0).prepare(X)
    with tg.no_grad():
        step.prepare(X)
        step(X)
    step(X)
    assert (step.stats()["compiled"], step.stats()["recordings"]) == (2, 2)


def test_preparing_what_runs_as_python_says_so() -> None:
    step = jit(lambda x: print("effect") or x)
    with pytest.warns(tg.JitWarning, match="print"):
        step.prepare(X)
    assert "print" in step.stats()["refused"]


def test_preparing_what_does_something_else_at_each_call_says_so() -> None:
    times = iter(range(99))
    step = jit(lambda x: x * next(times).__float__())
    with pytest.warns(tg.JitWarning, match=r"next at test_refusals.py|times"):
        step.prepare(X)
    assert step.stats()["refused"]
    step = jit(lambda x: print("effect") or x, strict=True)
    with pytest.raises(tg.TraceError, match="print"):
        step.prepare(X)


# ---- a profiler ----
def test_a_profiler_is_left_on_and_nothing_is_recorded() -> None:
    """Recording takes the place of one: a call runs as Python then, and so does `prepare` nothing."""
    step, called = jit(lambda x: x * 2.0), []

    def profiler(*event: Any) -> None:
        called.append(event)

    sys.setprofile(profiler)
    try:
        with pytest.warns(tg.JitWarning, match="a profiler is on") as told:
            step.prepare(X)
            assert step(X).tolist() == [2.0, 4.0]
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert len(told) == 1 and step.stats()["recordings"] == 0
    assert "a profiler is on" in step.stats()["refused"] and "a profiler is on" in step.source()
    step.prepare(X)(X)
    assert step.stats()["compiled"] == 1 and step.stats()["refused"] is None


# ---- arguments ----
KINDS_OF_RUN: dict[str, Callable[[Any, Any], Any]] = {
    "recorded and compiled": lambda step, a: [step(a) for _ in range(3)],
    "inside another one": lambda step, a: [jit(lambda y: step(a) * y)(X) for _ in range(3)],
    "being differentiated": lambda step, a: [tg.grad(lambda y: (step(a) * y).sum())(X)],
}


@pytest.mark.parametrize("name", KINDS_OF_RUN)
def test_arrays_arrive_as_tensors_however_it_runs(name: str) -> None:
    step = jit(lambda a: a.detach() * 2.0)
    for result in KINDS_OF_RUN[name](step, X.numpy()):
        assert isinstance(result, tg.Tensor) and result.shape == (2,)


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
def test_arrays_arrive_as_tensors_where_it_runs_as_python() -> None:
    seen = []

    def f(x: Any, c: float) -> Any:
        seen.append(type(x))
        return x * c

    step = jit(f)
    assert all(step(X.numpy(), float(i)).tolist() == [i, 2.0 * i] for i in range(70))
    assert step.stats()["refused"] and set(seen) == {tg.Tensor}


def test_the_order_of_arguments_by_name_is_no_new_case() -> None:
    """But f sees those that it takes in a dict in the order in which they were given."""

    def f(x: Any, *, a: float, b: float) -> Any:
        return x * a + b

    step = jit(f)
    for _ in range(3):
        step(X, a=1.0, b=2.0)
    assert step(x=X, b=2.0, a=1.0).tolist() == step(X, b=2.0, a=1.0).tolist() == [3.0, 4.0]
    assert (step.stats()["recordings"], step.stats()["compiled"]) == (1, 3)
    names = jit(lambda x, **more: [*more])
    assert names(X, b=1.0, a=2.0) == names(x=X, b=1.0, a=2.0) == ["b", "a"]


class Slotted:
    __slots__ = ("inside",)

    def __init__(self, inside: Any) -> None:
        self.inside = inside


def test_an_argument_that_is_returned_is_the_one_that_was_given() -> None:
    step = jit(lambda pair, held, x: (pair[1]["o1"], held.inside, x * 2.0))
    for _ in range(4):
        inner, slotted = tg.ones(3), Slotted(tg.ones(2))
        first, second, doubled = step((1.0, {"o1": inner}), slotted, X)
        assert first is inner and second.tolist() == [1.0, 1.0] and doubled.tolist() == [2.0, 4.0]
        assert second is slotted.inside or step.stats()["compiled"] == 0
    assert step.stats()["compiled"] == 2
