"""Cases of what sets, keys, caches and numbers of the user's classes hold, and of effects that C code is handed."""

import enum
import fractions
import functools
import types
from typing import Any

import tapegrad as tg
from surroundings import Table, drive

CASES = Table()
compiled = CASES.compiled
NS: Any = types.SimpleNamespace


@compiled
def the_order_of_a_set(J: Any) -> Any:
    held = {"s": {0, 8}}
    return drive(J, lambda x: tg.stack([x * v for v in held["s"]]), lambda: held.update(s={8, 0}))


@compiled
def the_order_of_keys_of_an_enumeration(J: Any) -> Any:
    class Kind(enum.Enum):
        A = 1
        B = 2

    weights = {Kind.A: 1.0, Kind.B: 0.5}

    def f(x: Any) -> Any:
        for w in weights.values():
            x = (x + 1.0) * w
        return x

    return drive(J, f, lambda: weights.update({Kind.A: weights.pop(Kind.A)}))


@compiled
def keys_that_are_equal_and_others(J: Any) -> Any:
    held: Any = {"d": {1: 2.0}}
    return drive(J, lambda x: x * next(iter(held["d"])), lambda: held.update(d={True: 2.0}))


@compiled
def a_number_of_a_class_of_the_users(J: Any) -> Any:
    class Rate(float):
        pass

    held = NS(rate=Rate(1.0))
    return drive(J, lambda x: x * held.rate, lambda: setattr(held, "rate", Rate(2.0)))


@compiled
def a_fraction_of_a_class_of_the_users(J: Any) -> Any:
    class Part(fractions.Fraction):
        pass

    held = NS(part=Part(1, 2))
    return drive(J, lambda x: x * float(held.part), lambda: setattr(held, "part", Part(3, 2)))


@compiled
def a_class_called_as_one_of_pythons(J: Any) -> Any:
    class Event:
        k = 1.0

    event = Event()
    return drive(J, lambda x: x * event.k, lambda: setattr(event, "k", 5.0))


@compiled
def an_attribute_by_a_computed_name_through_an_alias(J: Any) -> Any:
    config = NS(lr=1.0, wd=2.0)
    read, keys = functools.partial(getattr, config), ["lr", "wd"]
    return drive(J, lambda x: x * sum(map(read, keys)), lambda: setattr(config, "lr", 5.0))


__scale__ = [1.0]


@compiled
def a_global_with_two_underscores(J: Any) -> Any:
    def put(value: float) -> None:
        globals()["__scale__"] = [value]

    put(1.0)
    yield from drive(J, lambda x: x * __scale__[0], lambda: put(5.0))


@CASES.eager("lru_cache")
def what_a_cache_keeps(J: Any) -> Any:
    @functools.lru_cache
    def config() -> Any:
        return NS(lr=1.0)

    return drive(J, lambda x: x * config().lr, lambda: setattr(config(), "lr", 9.0))


@CASES.eager("print")
def what_is_printed_by_a_partial(J: Any) -> Any:
    tell = functools.partial(print, flush=True)

    def f(x: Any) -> Any:
        tell("hi")
        return x * 2.0

    return drive(J, f, lambda: None)


@CASES.eager("print")
def what_is_printed_through_map(J: Any) -> Any:
    def f(x: Any) -> Any:
        list(map(print, ["a", "b"]))
        return x * 2.0

    return drive(J, f, lambda: None)
