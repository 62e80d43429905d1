"""The body of a scan runs more often than there are steps: what it writes, counts or reads meanwhile is noticed."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg


@pytest.mark.parametrize("emitter", [None, "numpy", "native"])
@pytest.mark.parametrize("length", [0, 2])
@pytest.mark.parametrize("kind", ["float32", "int64", "bool"])
def test_what_it_gives_has_memory_of_its_own(emitter: str | None, length: int, kind: str) -> None:
    held = tg.zeros(3, dtype=kind)

    def f(x: Any) -> Any:
        (a, b), ys = tg.scan(lambda c, x: (c, c[0]), (held, held), x)
        a[...] = True
        return b, ys

    step = f if emitter is None else tg.jit(f, emitter=emitter)
    for _ in range(4):
        b, ys = step(tg.ones((length, 3)))
        assert not (held.numpy().any() or b.numpy().any() or ys.numpy().any())


@pytest.mark.parametrize("emitter", [None, "numpy"])
def test_a_write_of_a_carry_into_what_was_there_before(emitter: str | None) -> None:
    """Refused at the first call, whatever the way it is written, and nothing is written."""
    held = tg.zeros(3)

    def body(c: Any, x: Any) -> Any:
        held[...] = held + x
        return c + x, None

    f = lambda x: tg.scan(body, tg.zeros(3), x)[0]
    with pytest.raises(RuntimeError, match="which it did not make"):
        (f if emitter is None else tg.jit(f, emitter=emitter))(tg.ones((4, 3)))
    assert not held.numpy().any()


@pytest.mark.parametrize("emitter", [None, "numpy", "native"])
@pytest.mark.parametrize("kind", ["a counter", "an iterator", "NumPy's random numbers"])
def test_a_body_that_gives_something_else_each_time(emitter: str | None, kind: str) -> None:
    def f(xs: Any) -> Any:
        count, each, rng = [0], iter(range(100)), np.random.default_rng(0)

        def body(c: Any, x: Any) -> Any:
            count[0] += 1
            k = {"a counter": lambda: count[0], "an iterator": lambda: next(each)}.get(kind, rng.random)()
            return c + x * k, None

        return tg.scan(body, tg.zeros(3), xs)[0]

    with pytest.raises(RuntimeError, match="other results when it ran again"):
        (f if emitter is None else tg.jit(f, emitter=emitter))(tg.ones((4, 3)))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", ["a number", "an array"])
@pytest.mark.parametrize("part", [0, 1])
def test_what_changes_before_the_backward_pass(reverse: bool, kind: str, part: int) -> None:
    """Tensors are known to have been written to; of what else the body uses, its results tell."""
    held, w = {"a number": 1.0, "an array": np.ones(3, "float32")}, tg.Parameter(tg.ones(3))

    def body(c: Any, x: Any) -> Any:
        y = c * w * held[kind]
        return (y + x, None) if part == 0 else (c * 1.0, y)

    xs = tg.tensor(np.random.default_rng(0).normal(size=(4, 3)), dtype="float32")
    out = tg.scan(body, tg.ones(3), xs, reverse=reverse)[part]
    held["a number"] = 5.0
    held["an array"][...] = 5.0
    with pytest.raises(RuntimeError, match="stay as it is until the backward pass"):
        out.sum().backward()
    assert w.grad is None
