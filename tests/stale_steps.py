"""Training steps: gradients, accumulation, writes, state that the step itself changes; and what the machine tells."""

import contextvars
import datetime
import functools
import itertools
import logging
import os
import pathlib
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import T, Table, change, each_call, ones_layer, x2

nn = tg.nn
CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager
COUNTER = 0


# ---- gradients ----
def by_hand(parameters: Any) -> None:
    for p in parameters:
        p.assign((p - 0.1 * p.grad).detach())


def updates_outside_of(J: Any, function: Any) -> Any:
    w = T([1.0, 2.0, 3.0]).requires_grad_()
    f = J(function(w))
    for i in range(7):
        w.grad = None
        ((w * w).sum() * (i + 1) / 8).backward()
        f()
        yield w.numpy()


@compiled
def gradients_read_by_a_helper(J: Any) -> Any:
    return updates_outside_of(J, lambda w: functools.partial(by_hand, [w]))


@compiled
def gradients_read_by_a_hidden_helper(J: Any) -> Any:
    def hidden(w: Any) -> Any:
        inner = lambda: by_hand([w])
        return lambda: inner()

    return updates_outside_of(J, hidden)


@compiled
def whether_there_is_a_gradient(J: Any) -> Any:
    w = T([1.0, 1.0]).requires_grad_()

    def update() -> None:
        if w.grad is not None:
            w.assign((w - w.grad).detach())

    f = J(update)
    for k in range(9):
        if k >= 3:
            w.grad = T([2.0, 4.0])
        f()
        yield w.numpy()


@compiled(programs=2)
def accumulation(J: Any) -> Any:
    """Two programs of the step that adds: with and without a gradient that is there."""
    tg.manual_seed(1)
    m = nn.Dense(3, in_features=3)
    o = tg.optim.SGD(m, lr=0.1)

    def micro(x: Any) -> Any:
        loss = ((m(x) - 1.0) ** 2).sum()
        loss.backward()
        return loss.detach()

    micro, rng = J(micro), np.random.default_rng(0)
    for _ in range(8):
        for _ in range(4):
            yield micro(T(rng.normal(size=(5, 3)) / 4))
        o.step()
        o.zero_grad()
        yield m.kernel.numpy()


@compiled
def accumulation_and_a_compiled_update(J: Any) -> Any:
    tg.manual_seed(1)
    m = nn.Dense(3, in_features=3)
    o = tg.optim.Adam(m, lr=0.1)

    def micro(x: Any) -> Any:
        loss = ((m(x) - 1.0) ** 2).sum()
        loss.backward()
        return loss.detach()

    def update() -> None:
        o.step()
        o.zero_grad()

    micro, update, rng = J(micro), J(update), np.random.default_rng(0)
    for _ in range(8):
        for _ in range(3):
            yield micro(T(rng.normal(size=(5, 3))))
        update()
        yield m.kernel.numpy()


@compiled(programs=1)
def an_adversarial_example(J: Any) -> Any:
    """A leaf made inside, and its gradient."""
    m = ones_layer(1)

    def adversary(x: Any) -> Any:
        x = x.detach().requires_grad_()
        loss = (m(x) ** 2).sum()
        m.zero_grad()
        loss.backward()
        return (x + tg.sign(x.grad)).detach()

    f = J(adversary)
    for k in range(8):
        yield f(tg.full((1, 2), k - 2.5))


@compiled(programs=1)
def a_learning_rate_set_outside(J: Any) -> Any:
    m = ones_layer(1)
    o = tg.optim.SGD(m, lr=0.1)

    def train(x: Any) -> Any:
        loss = (m(x) ** 2).mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss.detach()

    f = J(train)
    for i in range(8):
        o.lr = 0.1 / (i + 1)
        yield f(tg.ones((1, 2)))


@compiled
def an_mlp_with_adam(J: Any) -> Any:
    tg.manual_seed(1)
    m = nn.Sequential(nn.Dense(8, "relu", in_features=3), nn.Dense(8, "relu"), nn.Dense(1))
    m.build((3,))
    o, k = tg.optim.Adam(m, lr=0.01), 2.0

    def train(x: Any, y: Any) -> Any:
        loss = ((m(x) - y) ** 2).mean() * k
        o.zero_grad()
        loss.backward()
        o.step()
        return loss.detach()

    f, rng = J(train), np.random.default_rng(0)
    for _ in range(8):
        yield f(T(rng.normal(size=(4, 3))), T(rng.normal(size=(4, 1))))


# ---- writes ----
@compiled
def a_write_without_gradients(J: Any) -> Any:
    w = T([1.0, 2.0]).requires_grad_()

    def train(x: Any) -> Any:
        w.grad = None
        loss = ((w * x) ** 2).sum()
        loss.backward()
        with tg.no_grad():
            w.assign(w - 0.1 * w.grad)
        return loss.detach()

    return each_call(J, train, 7)


@either("'w'", '"w"')
def a_parameter_bound_anew(J: Any) -> Any:
    ps = {"w": T([1.0, 2.0]).requires_grad_()}

    def train(x: Any) -> Any:
        ps["w"].grad = None
        loss = ((ps["w"] * x) ** 2).sum()
        loss.backward()
        with tg.no_grad():
            g = ps["w"].grad
            ps["w"] = ps["w"].detach()
            ps["w"] -= 0.1 * g
            ps["w"].requires_grad_()
        return loss.detach()

    return each_call(J, lambda x: train(x / 10), 7)


@compiled(programs=1)
def an_element_of_a_buffer(J: Any) -> Any:
    buf = T([0.0, 0.0])

    def g(x: Any) -> Any:
        buf[0] = x[0] + buf[0]
        return buf * 1.0

    return each_call(J, g, 7)


# ---- state that the step binds anew ----
@either(".h")
def hidden_state_of_a_module(J: Any) -> Any:
    class R(nn.Module):
        def __init__(self) -> None:
            self.h = tg.zeros(2)

        def forward(self, x: Any) -> Any:
            self.h = tg.tanh(self.h + x)
            return self.h

    return each_call(J, R())


@either("'h'", '"h"')
def hidden_state_in_a_dict(J: Any) -> Any:
    state = {"h": tg.zeros(2)}

    def f(x: Any) -> Any:
        state["h"] = tg.tanh(state["h"] + x)
        return state["h"]

    return each_call(J, f)


@eager("history")
def a_history_that_the_step_writes(J: Any) -> Any:
    history: list[Any] = []

    def step(x: Any) -> Any:
        history.append(x.detach())
        return x * 2

    f = J(step)
    for _ in range(40):
        yield f(x2()), len(history)


@eager("COUNTER")
def a_counter_in_a_global(J: Any) -> Any:
    global COUNTER
    COUNTER = 0

    def count(x: Any) -> Any:
        global COUNTER
        COUNTER += 1
        return x * 5 if COUNTER % 5 == 0 else x

    return each_call(J, count, 12)


# ---- iterators, generators ----
@eager("draw", "iterator", "cycle")
def a_method_of_an_iterator(J: Any) -> Any:
    draw = itertools.cycle([1.0, 1.0, 1.0, 1.0, 9.0]).__next__
    return each_call(J, lambda x: x * draw(), 8)


@eager("counter", "iterator", "count")
def a_counter_out_of_sight(J: Any) -> Any:
    counter = itertools.count()
    tick = lambda: next(counter)
    return each_call(J, lambda x: x * 3 if tick() >= 4 else x, 8)


@eager("generator")
def a_generator_function(J: Any) -> Any:
    def g(x: Any) -> Any:
        for i in range(3):
            yield x * i

    f = J(g)
    for k in range(6):
        yield list(f(x2() * k))


@eager("noise", "Generator", "random")
def a_generator_of_random_numbers_that_is_rarely_decisive(J: Any) -> Any:
    class L(nn.Module):
        def __init__(self) -> None:
            self.noise = np.random.default_rng(0)

        def forward(self, x: Any) -> Any:
            return x * 5 if self.noise.random() < 0.1 else x

    return each_call(J, L(), 60)


@eager("default_rng", "random", "Generator")
def a_generator_made_inside(J: Any) -> Any:
    return each_call(J, lambda x: x * 5 if np.random.default_rng().random() < 0.0 else x)


# ---- time, files, settings of the machine ----
@eager("time")
def a_clock(J: Any) -> Any:
    start = time.time()
    f = lambda x: x * (1 if time.time() - start < 1.5 else 2)
    return each_call(J, f, 6, lambda i: time.sleep(1.6 * (i == 4)))


@eager("datetime", "now")
def a_date(J: Any) -> Any:
    start = datetime.datetime.now()
    f = lambda x: x * (1 if (datetime.datetime.now() - start).total_seconds() < 1.5 else 2)
    return each_call(J, f, 6, lambda i: time.sleep(1.6 * (i == 4)))


@either("environ")
def a_variable_of_the_environment(J: Any) -> Any:
    os.environ["TAPEGRAD_TEST_K"] = "2"
    f = lambda x: x * float(os.environ["TAPEGRAD_TEST_K"])
    return change(J, f, lambda: os.environ.__setitem__("TAPEGRAD_TEST_K", "3"))


@either("environ", "getenv")
def a_variable_of_the_environment_by_getenv(J: Any) -> Any:
    os.environ["TAPEGRAD_TEST_K"] = "2"
    f = lambda x: x * float(os.getenv("TAPEGRAD_TEST_K", "0"))
    return change(J, f, lambda: os.environ.__setitem__("TAPEGRAD_TEST_K", "3"))


@eager("open", "file")
def a_file(J: Any) -> Any:
    path = pathlib.Path(tempfile.mkdtemp(), "k.txt")
    path.write_text("2")

    def f(x: Any) -> Any:
        with open(path) as file:
            return x * float(file.read())

    return change(J, f, lambda: path.write_text("3"))


@either("ContextVar", "context")
def a_context_variable(J: Any) -> Any:
    v: Any = contextvars.ContextVar("v", default=2.0)
    return change(J, lambda x: x * v.get(), lambda: v.set(3.0))


@either("log")
def a_logger_below_its_level(J: Any) -> Any:
    log = logging.getLogger("tapegrad.test.quiet")
    return each_call(J, lambda x: (log.debug("step"), x * 2)[1])


@either("submit", "thread", "executor")
def an_operation_in_a_thread(J: Any) -> Any:
    with ThreadPoolExecutor(1) as executor:
        f = J(lambda x: executor.submit(lambda: x * 2).result() + 1)
        for i in range(6):
            yield f(x2() * i)


@either("errstate")
def a_silenced_division_by_zero(J: Any) -> Any:
    def f(x: Any) -> Any:
        with np.errstate(all="ignore"):
            return x / 0

    return each_call(J, f)
