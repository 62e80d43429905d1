"""Effects that only C code calls: what is handed on as a value is heard of, whoever calls it."""

import builtins
import collections
import contextlib
import functools
import io
import logging
import operator
import re
import sys
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np

from surroundings import Table, drive, x2

CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager
NS: Any = SimpleNamespace

log = logging.getLogger("tapegrad.test.handed")


def prints(value: Any) -> Any:
    print(value)
    return 1


@eager("print")
def a_key_that_prints_in_a_lambda(J: Any) -> Any:
    return drive(J, lambda x: (max([1, 2], key=lambda v: print(v) or v), x * 2.0)[1], lambda: None)


@eager("print")
def print_as_a_key(J: Any) -> Any:
    return drive(J, lambda x: (sorted([1], key=print), x * 2.0)[1], lambda: None)


@eager("print")
def a_function_that_prints_as_a_key(J: Any) -> Any:
    return drive(J, lambda x: (max([1, 2], key=prints), x * 2.0)[1], lambda: None)


@eager("print")
def print_by_another_name(J: Any) -> Any:
    p = print
    return drive(J, lambda x: (list(map(p, [1])), x * 2.0)[1], lambda: None)


@eager("print")
def print_in_a_table(J: Any) -> Any:
    p = {"a": print}
    return drive(J, lambda x: ([f(3) for f in p.values()], x * 2.0)[1], lambda: None)


@eager("print")
def print_in_a_table_through_map(J: Any) -> Any:
    p = {"a": print}
    return drive(J, lambda x: (list(map(p["a"], [1])), x * 2.0)[1], lambda: None)


@eager("print")
def print_as_an_argument_that_is_a_key(J: Any) -> Any:

    def h(k):
        return max([1.0, 2.0], key=k)

    def f(x):
        with contextlib.suppress(TypeError):
            h(print)
        return x * 2

    return drive(J, f, lambda: None)


@eager("xs")
def a_key_that_appends(J: Any) -> Any:
    xs = []
    return drive(
        J,
        lambda x: (sorted([1, 2], key=lambda v: (xs.append(v), v)[1]), x * 2.0)[1],
        lambda: None,
        lambda: list(xs),
    )


@eager("xs")
def append_through_map(J: Any) -> Any:
    xs = []
    return drive(J, lambda x: (list(map(xs.append, [1])), x * 2.0)[1], lambda: None, lambda: list(xs))


@eager("xs")
def an_effect_in_reduce(J: Any) -> Any:
    xs = []
    return drive(
        J,
        lambda x: x * functools.reduce(lambda a, b: (xs.append(b), a + b)[1], [1.0, 2.0, 3.0]),
        lambda: None,
        lambda: list(xs),
    )


@eager("print")
def print_as_a_default_factory(J: Any) -> Any:
    d = collections.defaultdict(print)

    def f(x):
        d["a"]
        d.pop("a")
        return x * 2

    return drive(J, f, lambda: None)


@eager("print")
def print_as_the_key_of_a_sort(J: Any) -> Any:

    def f(x):
        o = [1]
        o.sort(key=print)
        return x * 2

    return drive(J, f, lambda: None)


@eager("print")
def an_effect_in_a_replacement(J: Any) -> Any:

    def f(x):
        re.sub("a", lambda m: print("z") or "b", "aa")
        return x * 2

    return drive(J, f, lambda: None)


@eager("print")
def print_through_iter(J: Any) -> Any:

    def f(x):
        next(iter(print, 1))
        return x * 2

    return drive(J, f, lambda: None)


@eager("print", "write")
def write_through_map(J: Any) -> Any:

    def f(x):
        any(map(sys.stdout.write, ["a"]))
        return x * 2

    return drive(J, f, lambda: None)


@eager("print", "write")
def write_through_a_methodcaller(J: Any) -> Any:

    def f(x):
        operator.methodcaller("write", "zz")(sys.stdout)
        return x * 2

    return drive(J, f, lambda: None)


@eager("print")
def print_through_operator(J: Any) -> Any:

    def f(x):
        operator.call(print, "zz")
        return x * 2

    return drive(J, f, lambda: None)


@eager("print")
def print_by_its_method(J: Any) -> Any:

    def f(x):
        print.__call__("zz")
        return x * 2

    return drive(J, f, lambda: None)


@eager("print")
def a_decorator_that_prints(J: Any) -> Any:

    def deco(g):

        @functools.wraps(g)
        def h(*a):
            print("in")
            return g(*a)

        return h

    return drive(J, deco(lambda x: x * 2), lambda: None)


@eager("print")
def print_of_builtins(J: Any) -> Any:
    return drive(J, lambda x: (builtins.print("a"), x * 2)[1], lambda: None)


@eager("print")
def print_by_a_computed_name(J: Any) -> Any:
    return drive(J, lambda x: (getattr(builtins, "pr" + "int")("a"), x * 2)[1], lambda: None)


@eager("thread", "Thread")
def print_in_a_thread(J: Any) -> Any:

    def f(x):
        t = threading.Thread(target=print, args=("a",))
        t.start()
        t.join()
        return x * 2

    return drive(J, f, lambda: None)


@eager("print")
def print_as_a_static_method(J: Any) -> Any:

    class A:
        p = staticmethod(print)

    return drive(J, lambda x: (list(map(A.p, "ab")), x * 2)[1], lambda: None)


@eager("print")
def print_as_a_call(J: Any) -> Any:
    A = type("A", (), {"__getitem__": lambda s, i: 1, "__len__": lambda s: 1, "__call__": print})
    a = A()

    def f(x):
        a()
        return x * 2

    return drive(J, f, lambda: None)


@eager("print")
def print_as_a_callback(J: Any) -> Any:
    import contextlib

    def f(x):
        with contextlib.ExitStack() as s:
            s.callback(print, "a")
            return x * 2

    return drive(J, f, lambda: None)


@eager("print")
def an_effect_as_an_object_goes(J: Any) -> Any:

    class A:
        def __del__(s):
            print("gone")

    def f(x):
        a = A()
        del a
        return x * 2

    return drive(J, f, lambda: None)


@eager("print", "vectorize")
def print_in_vectorize(J: Any) -> Any:

    def f(x):
        np.vectorize(print, otypes=["O"])(np.array([1]))
        return x * 2

    return drive(J, f, lambda: None)


@eager("print")
def print_in_fromfunction(J: Any) -> Any:

    def f(x):
        np.fromfunction(lambda i: print("z") or i, (2,))
        return x * 2

    return drive(J, f, lambda: None)


@eager("print")
def print_over_axes(J: Any) -> Any:

    def f(x):
        np.apply_over_axes(lambda a, ax: print("q") or a.sum(ax, keepdims=True), np.ones((2, 2)), [0])
        return x * 2

    return drive(J, f, lambda: None)


@eager("random")
def a_seed_of_numpys(J: Any) -> Any:

    def f(x):
        np.random.seed(0)
        return x * 2

    J = J(f)
    for _ in range(6):
        yield (J(x2()), np.random.rand())


@eager("cache_clear")
def a_cache_that_is_cleared(J: Any) -> Any:

    @functools.cache
    def table(n):
        return n * 2.0

    def f(x):
        table.cache_clear()
        return x * 2

    J = J(f)
    for _ in range(6):
        table(1)
        yield (J(x2()), table.cache_info().currsize)


@eager("log")
def a_level_from_which_on_it_logs(J: Any) -> Any:
    buf = io.StringIO()
    h = logging.StreamHandler(buf)
    log.addHandler(h)
    log.propagate = False
    log.setLevel(logging.WARNING)

    def f(x):
        log.info("hi")
        return x * 2

    yield from drive(J, f, lambda: log.setLevel(logging.INFO), lambda: buf.getvalue())
    log.setLevel(logging.WARNING)


@eager("n")
def a_count_in_the_second_branch(J: Any) -> Any:
    s = NS(built=False, n=0)

    def f(x):
        if s.built:
            s.n += 1
        else:
            s.built = True
        return x * 2

    return drive(J, f, lambda: None, lambda: s.n)
