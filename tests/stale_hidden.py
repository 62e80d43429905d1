"""Cases of what objects written in C hold and no attribute shows, and of tables of Python's own modules."""

import abc
import copyreg
import functools
import operator
import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from surroundings import Table, change, each_call, x2

CASES = Table()
compiled, eager = CASES.compiled, CASES.eager


# ---- locks ----
# How a step may take a lock, or ask for it: each gives whether it could.
TAKES: dict[str, Callable[[Any], Callable[[], bool]]] = {
    "named": lambda lock: lambda: lock.acquire(blocking=False),
    "with a time": lambda lock: lambda: lock.acquire(timeout=0.001),
    "bound": lambda lock: functools.partial(lambda take: take(False), lock.acquire),
    "by a text": lambda lock: functools.partial(operator.methodcaller("acquire", False), lock),
    "by map": lambda lock: lambda: all(map(lock.acquire, [False])),
    "held, of its class": lambda lock: functools.partial(every, type(lock).acquire_lock, [lock], [False]),
}


def every(f: Any, *given: Any) -> bool:
    return all(map(f, *given))


@eager("acquire")
def a_lock_that_is_taken(J: Any) -> Any:
    """It is released between two calls."""

    def one(take: Callable[[Any], Callable[[], bool]]) -> Any:
        lock = threading.Lock()
        taken = take(lock)
        f = J(lambda x: x * (2.0 if taken() else 3.0))
        for n in range(8):
            if n in (3, 6) and lock.locked():
                lock.release()
            yield f(x2()), lock.locked()

    for take in TAKES.values():
        yield from one(take)


@eager("__enter__")
def a_lock_that_is_entered_and_not_left(J: Any) -> Any:
    def one(lock: Any, enter: Any, *given: Any) -> Any:
        f = J(lambda x: x * (2.0 if every(enter, *given) else 3.0))
        for _ in range(5):
            yield f(x2()), lock.locked()
            lock.release()

    of_class, bound = threading.Lock(), threading.Lock()
    yield from one(of_class, type(of_class).__enter__, [of_class])
    yield from one(bound, functools.partial(apply, bound.__enter__), [()])


def apply(f: Any, given: Any) -> Any:
    return f(*given)


@eager("acquire", "release")
def a_lock_that_counts_who_holds_it(J: Any) -> Any:
    lock = threading.RLock()

    def taking(x: Any) -> Any:
        lock.acquire()
        return x * 2.0

    def releasing(x: Any) -> Any:
        lock.release()
        return x * 2.0

    for f in (taking, releasing):
        for result in each_call(J, f):
            yield result, repr(lock).partition("count=")[2].partition(" ")[0]


@eager("release")
def a_lock_that_is_released_inside(J: Any) -> Any:
    lock = threading.Lock()

    def step(x: Any) -> Any:
        try:
            lock.release()
        except RuntimeError:
            return x * 2.0
        return x * 3.0

    f = J(step)
    for n in range(8):
        got = n > 2 and lock.acquire(timeout=0.01)
        yield f(x2()), got, lock.locked()


@eager("_is_owned")
def whether_a_condition_is_held(J: Any) -> Any:
    held = threading.Condition()
    return change(J, lambda x: x * (2.0 if held._is_owned() else 3.0), held.acquire, back=held.release)


@compiled
def the_text_of_a_lock(J: Any) -> Any:
    lock = threading.Lock()
    return change(
        J, lambda x: x * (2.0 if "unlocked" in repr(lock) else 3.0), lock.acquire, back=lock.release
    )


@compiled
def what_is_read_under_a_lock(J: Any) -> Any:
    """It is held while the step runs, and free again after it. A method of the user's may be called as one of it."""

    class Shared:
        def __init__(self) -> None:
            self.lock, self.again, self.k = threading.Lock(), threading.RLock(), 2.0

        def release(self) -> float:
            with self.lock, self.again:
                return self.k

    shared = Shared()
    return change(J, lambda x: x * shared.release(), lambda: setattr(shared, "k", 5.0))


# ---- objects that show little of what they hold ----
class Holder:
    held: Any = None
    k = 2.0


SEEDED: dict[str, Callable[[Any], float]] = {
    "entropy": lambda s: float(s.entropy),
    "state": lambda s: float(s.state["n_children_spawned"]),
    "generate_state": lambda s: float(s.generate_state(1)[0] % 97),
    "default_rng": lambda s: float(np.random.default_rng(s).normal()),
}


@eager("SeedSequence")
def a_seed(J: Any) -> Any:
    """Another one, then one that has given seeds to others."""

    def one(read: Callable[[Any], float]) -> Any:
        holder = Holder()
        holder.held = np.random.SeedSequence(3)
        f = lambda x: x * read(holder.held)
        yield from change(J, f, lambda: setattr(holder, "held", np.random.SeedSequence(5)), at=2)

    for read in SEEDED.values():
        yield from one(read)


@eager("SeedSequence")
def a_seed_that_gives_seeds(J: Any) -> Any:
    seeds = np.random.SeedSequence(3)

    def step(x: Any) -> Any:
        seeds.spawn(1)
        return x * 2.0

    for result in each_call(J, step):
        yield result, seeds.n_children_spawned


def traceback_of(lines: int) -> types.TracebackType | None:
    try:
        exec("\n" * lines + "1/0")
    except ZeroDivisionError as error:
        return error.__traceback__.tb_next if error.__traceback__ else None
    return None


@eager("tb_lineno")
def the_line_of_a_traceback(J: Any) -> Any:
    holder = Holder()
    holder.held = traceback_of(1)
    return change(J, lambda x: x * holder.held.tb_lineno, lambda: setattr(holder, "held", traceback_of(4)))


@compiled
def whether_there_is_a_traceback(J: Any) -> Any:
    holder = Holder()
    holder.held = traceback_of(1)
    return change(
        J, lambda x: x * (2.0 if holder.held is None else 3.0), lambda: setattr(holder, "held", None)
    )


# ---- tables of Python's own modules ----
@compiled
def a_class_that_comes_to_be_an_abstract_one(J: Any) -> Any:
    """The choice among functions was made before, and is kept until then."""

    measured: Any = abc.ABCMeta("Measured", (), {})

    class Thing:
        pass

    @functools.singledispatch
    def scale(value: object) -> float:
        return 2.0

    scale.register(measured, lambda value: 5.0)
    thing = Thing()
    scale(thing)
    return change(J, lambda x: x * scale(thing), lambda: measured.register(Thing))


@eager("copyreg.pickle")
def how_a_class_is_pickled(J: Any) -> Any:
    """The step says so at each call; it is taken back outside."""

    class Thing:
        pass

    def step(x: Any) -> Any:
        copyreg.pickle(Thing, lambda thing: (Thing, ()))
        return x * 2.0

    known: Any = copyreg.dispatch_table
    for n, result in enumerate(each_call(J, step, before=lambda i: known.pop(Thing, None))):
        yield n, result, Thing in known
    known.pop(Thing, None)
