"""Calls that raise or are taken back, where something was made or moved inside; caught errors; files."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import T, Table

CASES = Table()
compiled, eager = CASES.compiled, CASES.eager


def train(J: Any, optimizer_made: str, bad: str = "", calls: int = 6) -> Iterator[Any]:
    """A step that makes its optimizer at its first call, before or after the forward pass. With `bad`, the first call
    is one that leaves no trace on the weights: it "raises", or only prepares."""
    w = tg.nn.Parameter(np.ones(2, "f4"))
    made: list[Any] = []
    raising = [bad == "raises"]

    def optimizer():
        if not made:
            made.append(tg.optim.Adam([w], lr=0.1))
        return made[0]

    def step(x):
        if optimizer_made == "before":
            optimizer()
        loss = (w * x).sum()
        opt = optimizer()
        opt.zero_grad()
        loss.backward()
        opt.step()
        if raising[0]:
            raise KeyError
        return loss.detach()

    f = J(step)
    if bad == "raises" and hasattr(f, "stats"):  # as it is, the call would change the weights
        with suppress(KeyError):
            f(tg.ones(2))
    if bad == "prepares" and hasattr(f, "prepare"):
        f.prepare(tg.ones(2))
    raising[0] = False
    for _ in range(calls):
        yield f(tg.ones(2))
        yield w
        yield made[0].steps


@compiled
def an_optimizer_made_inside(J: Any) -> Any:
    yield from train(J, "before")


@compiled
def an_optimizer_made_inside_after_the_forward_pass(J: Any) -> Any:
    yield from train(J, "after")


@compiled
def an_optimizer_made_inside_a_call_that_raises(J: Any) -> Any:
    yield from train(J, "before", "raises")


@compiled
def an_optimizer_made_after_the_forward_pass_of_a_call_that_raises(J: Any) -> Any:
    yield from train(J, "after", "raises")


@eager("Make it outside")
def an_optimizer_made_while_preparing(J: Any) -> Any:
    yield from train(J, "before", "prepares")


@compiled
def an_average_made_inside_a_call_that_raises(J: Any) -> Any:
    averages: list[Any] = []
    raising = [True]

    def f(x):
        if not averages:
            averages.append(tg.zeros(2))
            averages[0].assign(tg.ones(2) * 5.0)
            if raising[0]:
                raise KeyError
        averages[0] += x
        return averages[0] * 1.0

    g = J(f)
    with suppress(KeyError):
        g(tg.ones(2))
    raising[0] = False
    for _ in range(5):
        yield g(tg.ones(2))


@compiled
def a_model_of_another_dtype_before_a_call_that_raises(J: Any) -> Any:
    model = tg.nn.Dense(1, in_features=2)
    model.kernel.assign(np.ones((2, 1), "f4"))
    opt = tg.optim.Adam(model.parameters(), lr=0.1)
    raising = [False]

    def f(x):
        loss = model(x).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
        if raising[0]:
            raise KeyError
        return loss.detach()

    g = J(f)
    for i in range(8):
        if i == 3:
            model.to(tg.float64)
            raising[0] = True
            if g is not f:  # as it is, the call would change the weights
                with suppress(KeyError):
                    g(tg.ones((1, 2), dtype="float64"))
            raising[0] = False
        yield g(tg.ones((1, 2), dtype=model.kernel.dtype))
        yield opt.steps


@eager("optimizer")
def two_optimizers_of_one_parameter_in_a_call_that_raises(J: Any) -> Any:
    w = tg.nn.Parameter(np.ones(2, "f4"))
    first, second = tg.optim.SGD([w], lr=0.1), tg.optim.SGD([w], lr=0.01)
    raising = [True]

    def f(x):
        (w * x).sum().backward()
        first.step()
        second.step()
        w.grad = None
        if raising[0]:
            raise KeyError
        return x * 2.0

    g = J(f)
    if g is not f:
        with suppress(KeyError):
            g(tg.ones(2))
    raising[0] = False
    yield w
    yield first.steps, second.steps
    for _ in range(4):
        yield g(tg.ones(2))
        yield w


# ---- errors that are caught ----
def caught(J: Any, f: Any, bad: Any, good: Any) -> Iterator[Any]:
    g = J(f)
    for given in (bad, bad, bad, good, bad, good):
        yield g(tg.ones(3), given)


@eager("getitem")
def an_index_out_of_range_is_caught(J: Any) -> Any:
    def f(x, i):
        try:
            return x[i]
        except IndexError:
            return x * 0.0 - 1.0

    yield from caught(J, f, tg.tensor([0, 9, 1]), tg.tensor([0, 1, 2]))


@eager("take")
def a_place_to_take_from_out_of_range_is_suppressed(J: Any) -> Any:
    def f(x, i):
        y = x * 0.0 - 1.0
        with suppress(IndexError):
            y = tg.take(x, i)
        return y

    yield from caught(J, f, tg.tensor([0, 9, 1]), tg.tensor([0, 1, 2]))


@eager("power")
def a_negative_power_of_integers_is_caught(J: Any) -> Any:
    def f(x, i):
        try:
            return i**i
        except ValueError:
            return i * 0 - 1

    yield from caught(J, f, tg.tensor([1, -1, 1]), tg.tensor([1, 2, 3]))


@eager("divide")
def a_division_by_zero_that_raises_is_caught(J: Any) -> Any:
    def f(x, d):
        try:
            with np.errstate(all="raise"):
                return x / d
        except FloatingPointError:
            return x * 0.0 - 1.0

    yield from caught(J, f, tg.tensor([1.0, 0.0, 1.0]), tg.tensor([1.0, 2.0, 4.0]))


@eager("detect_anomaly")
def a_look_for_nan_inside(J: Any) -> Any:
    def f(x):
        with tg.detect_anomaly():
            return tg.log(x)

    g = J(f)
    for value in (1.0, 1.0, 1.0, 1.0, 0.0):
        try:
            yield g(T(value))
        except FloatingPointError:
            yield "raised"


# ---- gradients that are another tensor's, too ----
@eager("gradient")
def one_gradient_for_two_parameters(J: Any) -> Any:
    p, q = tg.nn.Parameter(np.ones(3, "f4")), tg.nn.Parameter(np.ones(3, "f4"))

    def f(x):
        p.grad = None
        (p * x).sum().backward()
        q.grad = p.grad

    g = J(f)
    for _ in range(5):
        g(tg.ones(3))
        p.grad += 1.0
        yield p.grad
        yield q.grad


@eager("gradient")
def a_gradient_that_is_a_buffer(J: Any) -> Any:
    p, buffer = tg.nn.Parameter(np.ones(3, "f4")), tg.zeros(3)

    def f(x):
        p.grad = buffer
        return x * 2.0

    g = J(f)
    for _ in range(5):
        g(tg.ones(3))
        buffer.assign(buffer + 1.0)
        yield p.grad


# ---- files ----
def path() -> str:
    return os.path.join(tempfile.mkdtemp(), "t.safetensors")


@eager("tg.save")
def a_file_that_is_written(J: Any) -> Any:
    at = path()

    def f(x):
        tg.save(at, {"x": x})
        return x * 2.0

    g = J(f)
    for i in range(5):
        yield g(T(float(i)))
        yield tg.load(at)["x"]


@eager("tg.load")
def a_file_that_is_read(J: Any) -> Any:
    at = path()
    tg.save(at, {"x": tg.ones(1)})
    g = J(lambda x: x * tg.load(at)["x"])
    for i in range(6):
        if i > 3:
            tg.save(at, {"x": T(float(i))})
        yield g(T(1.0))


@eager("tg.read_metadata")
def metadata_that_are_read(J: Any) -> Any:
    at = path()
    tg.save(at, {"x": tg.ones(1)}, metadata={"scale": "1"})
    g = J(lambda x: x * float(tg.read_metadata(at)["scale"]))
    for i in range(6):
        if i > 3:
            tg.save(at, {"x": tg.ones(1)}, metadata={"scale": str(i)})
        yield g(T(1.0))
