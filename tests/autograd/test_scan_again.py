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


@pytest.mark.parametrize("where", ["eager", "keep_lines", "jit of two dtypes"])
@pytest.mark.parametrize("given", ["carry", "slice", "closure", "view", "one for two"])
def test_a_carry_has_memory_of_its_own_also_step_by_step(given: str, where: str) -> None:
    """keep_lines runs the steps one after another, and so does a program whose results have several dtypes."""
    held, start, rows = (tg.tensor(np.zeros(s, "float32")) for s in (3, 3, (2, 3)))

    def body(c: Any, x: Any) -> Any:
        made = x + 1.0
        after = {"carry": c[0], "slice": x, "closure": held, "view": c[0].reshape((3,)), "one for two": made}[
            given
        ]
        return (after, made if given == "one for two" else c[1]), made.astype("float64")

    def f(start: Any, rows: Any) -> Any:
        (a, b), _ = tg.scan(body, (start, start), rows)
        a[...] = 5.0
        return b

    step = tg.jit(f, emitter="numpy") if where.startswith("jit") else f
    for _ in range(4):
        with tg.keep_lines() if where == "keep_lines" else tg.enable_grad():
            b = step(start, rows)
        assert not (held.numpy().any() or start.numpy().any() or rows.numpy().any())
        assert b.tolist() == [float(given == "one for two")] * 3


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


K, W0 = tg.tensor([3.0, 1.0, 2.0]), tg.tensor([0.5, 2.0, 1.5])
INNER: dict[str, Any] = {
    "grad": lambda x: tg.grad(lambda k: (k * k * x).sum())(K),
    "value_and_grad": lambda x: tg.value_and_grad(lambda k: (k * k * x).sum())(K)[1],
    "vjp": lambda x: tg.vjp(lambda k: k * k * x, K)[1](x)[0],
    "jvp": lambda x: tg.jvp(lambda k: k * k * x, (K,), (x,))[1],
    "jacobian": lambda x: tg.jacobian(lambda k: (k * k * x).sum())(K),
    "grad of grad": lambda x: tg.grad(lambda j: tg.grad(lambda k: (k**3 * x).sum())(j).sum())(K),
}


@pytest.mark.parametrize("around", ["scan", "checkpoint", "custom_gradient"])
@pytest.mark.parametrize("inner", INNER)
def test_a_transform_inside_for_a_constant(inner: str, around: str) -> None:
    """What it returns depends on a leaf that it made, for which nobody else can differentiate."""
    f = INNER[inner]
    xs = tg.tensor(np.random.default_rng(3).normal(size=(4, 3)))

    def loop(w: Any, x: Any) -> Any:
        return sum(((f(row) * w).sum() for row in x), tg.tensor(0.0, dtype="float64"))

    def whole(w: Any, x: Any) -> Any:
        if around == "scan":
            return tg.scan(lambda c, row: (c + (f(row) * w).sum(), None), tg.tensor(0.0, dtype="float64"), x)[
                0
            ]
        if around == "checkpoint":
            return tg.checkpoint(loop)(w, x)
        noted = tg.custom_gradient(lambda w, x: (loop(w, x), lambda g: tg.vjp(loop, w, x)[1](g)))
        return noted(w, x)

    for found, known in zip(*(tg.grad(g, (0, 1))(W0, xs) for g in (whole, loop)), strict=True):
        np.testing.assert_allclose(found.numpy(), known.numpy(), rtol=1e-6)


@pytest.mark.parametrize("around", ["scan", "checkpoint"])
def test_a_constant_of_a_transform_inside_that_is_written_to(around: str) -> None:
    held, x = tg.tensor([3.0, 1.0]), tg.tensor([1.0, 2.0], requires_grad=True)
    f = lambda x: tg.grad(lambda k: (k * k * x).sum())(held) * x
    if around == "scan":
        y = tg.scan(lambda c, row: (c, f(row)), tg.tensor(0.0), x[None])[1]
    else:
        y = tg.checkpoint(f)(x)
    with tg.no_grad():
        held *= 2.0
    with pytest.raises(RuntimeError, match="was written to"):
        y.sum().backward()


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
