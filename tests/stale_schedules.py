"""Schedules that a step calls by hand, through a function, or in a layer, and that are replaced between calls."""

from collections.abc import Iterator
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import Table
from tapegrad.optim import schedules

CASES = Table()
compiled, eager = CASES.compiled, CASES.eager
X = np.array([1.0, -2.0], "f4")


@compiled
def a_schedule_bound_anew(J: Any) -> Iterator[Any]:
    schedule: schedules.Schedule = schedules.Exponential(2.0, 0.5)
    f = J(lambda x: x * schedule(3))
    for rate in (2.0, 2.0, 5.0, 5.0, 5.0, 5.0):
        schedule = schedules.Exponential(rate, 0.5)
        yield f(tg.tensor(X))


@compiled
def a_schedule_in_a_list_of_settings(J: Any) -> Iterator[Any]:
    settings = {"scales": [schedules.Cosine(1.0, 10), schedules.Constant(2.0)]}
    f = J(lambda x: x * settings["scales"][0](2) + settings["scales"][1](2))
    for last in (10, 10, 20, 20, 20, 20):
        settings["scales"][0] = schedules.Cosine(1.0, last)
        yield f(tg.tensor(X))


@compiled
def a_schedule_inside_the_function_that_is_the_schedule(J: Any) -> Iterator[Any]:
    base: schedules.Schedule = schedules.Constant(0.1)
    w = tg.nn.Parameter(np.ones(2, "f4"))
    opt = tg.optim.SGD([w], lr=lambda n: base(n) * 0.5)

    def step(x):
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()

    f = J(step)
    for rate in (0.1, 0.1, 0.4, 0.4, 0.4, 0.4):
        base = schedules.Constant(rate)
        f(tg.tensor(X))
        yield w


@compiled
def a_schedule_that_a_layer_calls(J: Any) -> Iterator[Any]:
    class Warm(tg.nn.Module):
        def __init__(self):
            super().__init__()
            self.temperature = schedules.Warmup(schedules.Constant(2.0), 4)

        def forward(self, x):
            return x * self.temperature(2)

    layer = Warm()
    f = J(layer)
    for steps in (4, 4, 8, 8, 8, 8):
        layer.temperature = schedules.Warmup(schedules.Constant(2.0), steps)
        yield f(tg.tensor(X))


@compiled
def a_schedule_of_the_user_that_gives_one_number_in_an_array(J: Any) -> Iterator[Any]:
    base = tg.tensor([0.1])
    w = tg.nn.Parameter(np.ones(2, "f4"))
    opt = tg.optim.SGD([w], lr=lambda n: base * 0.5)

    def step(x):
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()

    f = J(step)
    for _ in range(5):
        f(tg.tensor(X))
        yield w
