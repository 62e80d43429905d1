"""What the machine tells the step: random numbers, time, iterators."""

import itertools
import queue
import random
import secrets
import time
import uuid
from types import SimpleNamespace
from typing import Any

import numpy as np

from surroundings import T, Table, change, each_call, x2

CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager
RANDOM = random.Random(0)


# ---- random numbers ----
@eager("random")
def a_random_shuffle(J: Any) -> Any:
    def f(x: Any) -> Any:
        order = [1.0, 2.0, 3.0, 4.0]
        random.shuffle(order)
        return x * order[0]

    return each_call(J, f, 12)


@eager("random")
def a_permutation_of_numpy(J: Any) -> Any:
    return each_call(J, lambda x: x * float(np.random.permutation(10)[0]), 12)


@eager("random", "RANDOM")
def a_generator_of_the_module(J: Any) -> Any:
    RANDOM.seed(0)
    return each_call(J, lambda x: x * RANDOM.gauss(0, 1))


@eager("random", "rng", "Generator")
def a_generator_in_a_list(J: Any) -> Any:
    generators = {"rng": [np.random.default_rng(0)]}
    return each_call(J, lambda x: x + T(generators["rng"][0].normal(size=2)))


@eager("random", "rng", "Generator")
def a_bound_method_of_a_generator(J: Any) -> Any:
    draw = np.random.default_rng(0).normal
    return each_call(J, lambda x: x * float(draw()))


@eager("random", "seed")
def a_seed_set_inside(J: Any) -> Any:
    def f(x: Any) -> Any:
        np.random.seed(3)
        return x * float(np.random.random())

    g = J(f)
    for _ in range(5):
        yield g(x2()), float(np.random.random())


@eager("urandom", "secrets", "token", "random", "stale_host.py:")
def random_bytes_of_the_system(J: Any) -> Any:
    """What differs is not compared: that it differs is."""
    f, seen = J(lambda x: x * float(secrets.randbelow(10**6))), set()
    for _ in range(6):
        seen.add(f(x2()).numpy()[0].item())
    yield len(seen) > 1


@eager("uuid", "urandom", "random", "stale_host.py:")
def a_uuid(J: Any) -> Any:
    f, seen = J(lambda x: x * float(uuid.uuid4().int % 10**6)), set()
    for _ in range(6):
        seen.add(f(x2()).numpy()[0].item())
    yield len(seen) > 1


@eager("random")
def a_mask_of_the_host(J: Any) -> Any:
    return each_call(J, lambda x: x * T(np.random.rand(2) > 0.5))


# ---- time ----
@eager("perf_counter", "time")
def elapsed_time(J: Any) -> Any:
    f, seen = J(lambda x: x * time.perf_counter()), set()
    for _ in range(6):
        seen.add(f(x2()).numpy()[0].item())
        time.sleep(0.01)
    yield len(seen) > 1


@eager("monotonic", "time")
def a_deadline_in_a_helper(J: Any) -> Any:
    class Deadline:
        def __init__(self) -> None:
            self.at = time.monotonic() + 0.3

        @property
        def over(self) -> bool:
            return time.monotonic() > self.at

    d = Deadline()
    f = lambda x: x * (2.0 if d.over else 3.0)
    return each_call(J, f, 6, lambda i: time.sleep(0.4 * (i == 4)))


# ---- iterators ----
@eager("batches", "iterator")
def an_iterator_in_an_attribute(J: Any) -> Any:
    state = SimpleNamespace(batches=iter([float(i) for i in range(20)]))
    return each_call(J, lambda x: x * next(state.batches))


@eager("batches", "iterator", "zip")
def a_zip_in_an_attribute(J: Any) -> Any:
    state = SimpleNamespace(batches=zip(range(20), range(20, 40)))
    return each_call(J, lambda x: x * sum(next(state.batches)))


@eager("numbers", "generator")
def a_generator_in_a_closure(J: Any) -> Any:
    def count() -> Any:
        n = 0.0
        while True:
            yield n
            n += 1.0

    numbers = count()
    return each_call(J, lambda x: x * next(numbers))


@eager("loader", "iterator", "position")
def a_loader_of_the_users(J: Any) -> Any:
    class Loader:
        def __init__(self) -> None:
            self.position = 0

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> float:
            self.position += 1
            return float(self.position)

    loader = Loader()
    return each_call(J, lambda x: x * next(loader))


@eager("stack", "pop")
def a_list_that_is_popped(J: Any) -> Any:
    stack = [float(i) for i in range(20)]
    return each_call(J, lambda x: x * stack.pop())


@eager("queue", "Queue", "get")
def a_queue(J: Any) -> Any:
    q: Any = queue.Queue()
    for i in range(20):
        q.put(float(i))
    return each_call(J, lambda x: x * q.get())


@eager("ticket", "count", "iterator")
def a_ticket_from_itertools(J: Any) -> Any:
    state = {"ticket": itertools.count(1)}
    return each_call(J, lambda x: x * next(state["ticket"]))


@compiled
def an_iterator_made_inside(J: Any) -> Any:
    numbers = [2.0, 3.0]

    def f(x: Any) -> Any:
        it = iter(numbers)
        return x * next(it) + next(it)

    return change(J, f, lambda: numbers.__setitem__(1, 7.0))
