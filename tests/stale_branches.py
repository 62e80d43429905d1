"""Ordinary code: branches that were not taken, caches of numbers, and names that look like effects."""

import collections
import dataclasses
import functools
import io
import logging
import sys
from types import SimpleNamespace
from typing import Any

from surroundings import Table, drive, x2

CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager
NS: Any = SimpleNamespace

log = logging.getLogger("tapegrad.test.branches")


@compiled
def a_bounded_cache_of_numbers(J: Any) -> Any:

    @functools.lru_cache(4)
    def g(n):
        return 1.0 / n

    return drive(J, lambda x: x * g(4), lambda: [g(i) for i in range(3, 20)])


@compiled
def a_bounded_cache_of_texts(J: Any) -> Any:

    @functools.lru_cache
    def g(n, m=2):
        return (1.0 / n, "a")

    return drive(J, lambda x: x * g(4)[0], lambda: g.cache_clear())


@compiled
def a_cached_method(J: Any) -> Any:

    class A:
        k = 2.0
        g = functools.lru_cache(8)(lambda self, n: self.k / n)

    a = A()
    return drive(J, lambda x: x * a.g(4), lambda: None)


@compiled
def a_cache_that_is_only_named(J: Any) -> Any:

    @functools.lru_cache(8)
    def g(n):
        return NS(a=n)

    g(3)
    flag = False

    def f(x):
        if flag:
            return x * g(3).a
        return x * 2

    return drive(J, f, lambda: None)


@compiled
def a_log_record_below_the_level(J: Any) -> Any:
    log.setLevel(logging.WARNING)

    def f(x):
        if log.isEnabledFor(logging.DEBUG):
            log.debug("loss %s", x.sum().item())
        return x * 2

    return drive(J, f, lambda: None)


@compiled
def a_call_of_a_log_below_the_level(J: Any) -> Any:
    log.setLevel(logging.WARNING)

    def f(x):
        log.debug("hi")
        logging.debug("a")
        return x * 2

    return drive(J, f, lambda: None)


@compiled
def streams_in_a_branch_that_is_not_taken(J: Any) -> Any:
    out = io.StringIO()
    gen = (i for i in range(9))
    debug = False

    def f(x):
        if debug:
            out.write(str(x))
            next(gen)
        return x * 2

    return drive(J, f, lambda: None)


@compiled
def streams_that_are_attributes(J: Any) -> Any:

    class A:
        pass

    a = A()
    a.out = io.StringIO()
    a.it = iter([1.0])
    a.verbose = False

    def f(x):
        if a.verbose:
            print("x", file=a.out)
            next(a.it)
        return x * 2

    return drive(J, f, lambda: None)


@compiled
def a_stream_as_a_default(J: Any) -> Any:

    def h(x, out=sys.stdout, log=print):
        if out is None:
            out.write("a")
        return x * 2

    return drive(J, lambda x: h(x), lambda: None)


@compiled
def print_handed_to_a_function_of_the_users(J: Any) -> Any:

    def h(x, log):
        if x.shape[0] > 100:
            log("a")
        return x * 2

    return drive(J, lambda x: h(x, print), lambda: None)


@compiled
def attributes_called_as_functions_of_pythons(J: Any) -> Any:

    class A:
        pass

    a = A()
    a.map = 2.0
    a.key = 3.0
    a.filter = 1.0
    a.sorted = 1.0

    def h(x, cb):
        return x

    return drive(
        J, lambda x: h(x, print) * a.map * a.key * a.filter * a.sorted, lambda: setattr(a, "map", 5.0)
    )


@compiled
def attributes_called_as_functions_of_modules(J: Any) -> Any:
    import os
    import time

    class A:
        pass

    a = A()
    a.time = 2.0
    a.open = 3.0

    def f(x):
        if x.ndim > 7:
            time.sleep(1)
            os.getcwd()
        return x * a.time * a.open

    return drive(J, f, lambda: setattr(a, "time", 5.0))


@compiled
def the_repr_of_a_dataclass(J: Any) -> Any:

    @dataclasses.dataclass
    class C:
        k: float = 2.0

    c = C()

    def f(x):
        s = repr(c)
        return x * len(s)

    return drive(J, f, lambda: setattr(c, "k", 33.0))


@compiled
def the_equality_of_dataclasses(J: Any) -> Any:

    @dataclasses.dataclass
    class C:
        k: float = 2.0

    c, d = (C(), C())
    return drive(J, lambda x: x * 2 if c == d else x, lambda: setattr(c, "k", 33.0))


@compiled
def a_dataclass_with_a_field_replaced(J: Any) -> Any:

    @dataclasses.dataclass
    class C:
        k: float = 2.0

    c = C()
    return drive(J, lambda x: x * dataclasses.replace(c, k=4.0).k, lambda: setattr(c, "k", 33.0))


@compiled
def the_text_of_a_named_tuple(J: Any) -> Any:
    C = collections.namedtuple("C", "a b")
    c = NS(c=C(1.0, 2.0))
    return drive(J, lambda x: x * len(str(c.c)), lambda: setattr(c, "c", C(111.0, 2.0)))


@compiled
def what_is_built_at_the_first_call(J: Any) -> Any:
    s = NS(w=None, k=2.0)

    def f(x):
        if s.w is None:
            s.w = 3.0
        y = x * s.w
        if s.k > 1:
            y = y * s.k
        return y

    return drive(J, f, lambda: setattr(s, "k", 5.0))


@eager("changes made")
def a_cached_function_that_changes_a_list(J: Any) -> Any:
    made = []

    @functools.lru_cache(8)
    def g(n):
        made.append(n)
        return n * 2.0

    return drive(J, lambda x: x * g(3), g.cache_clear, lambda: list(made))


@eager("print")
def a_cached_function_that_prints(J: Any) -> Any:

    @functools.cache
    def g(n):
        print("a")
        return n * 2.0

    g(3)
    return drive(J, lambda x: x * g(3), g.cache_clear)


@eager("lru_cache")
def a_cache_of_dicts(J: Any) -> Any:

    @functools.lru_cache(8)
    def cfg():
        return {"a": 1.0}

    return drive(J, lambda x: x * cfg()["a"], lambda: cfg().update(a=5.0))


@eager("lru_cache")
def an_unbounded_cache_of_dicts(J: Any) -> Any:

    @functools.cache
    def cfg():
        return {"a": 1.0}

    return drive(J, lambda x: x * cfg()["a"], lambda: cfg().update(a=5.0))


@eager("lru_cache")
def a_cache_of_dicts_that_is_cleared(J: Any) -> Any:
    made = NS(n=1.0)

    @functools.cache
    def cfg():
        return {"a": made.n}

    return drive(J, lambda x: x * cfg()["a"], lambda: (setattr(made, "n", 7.0), cfg.cache_clear()))


@either("lru")
def a_cache_older_than_what_it_reads(J: Any) -> Any:
    made = NS(n=1.0)

    @functools.cache
    def cfg():
        return made.n

    return drive(J, lambda x: x * cfg(), lambda: setattr(made, "n", 7.0))


@compiled
def a_cache_that_is_cleared_outside(J: Any) -> Any:
    made = NS(n=1.0)

    @functools.cache
    def cfg():
        return made.n

    def act():
        made.n = 7.0

    f = J(lambda x: x * cfg())
    for i in range(12):
        if i == 3:
            made.n = 7.0
        if i == 8:
            cfg.cache_clear()
        yield f(x2())


@eager("d")
def a_new_key_at_each_call(J: Any) -> Any:
    f = J(lambda x, d: x * len(d))
    for i in range(70):
        yield f(x2(), {f"k{i}": 1.0})
