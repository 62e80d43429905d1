"""Closures, modules, arrays, models, generators, classes and matches."""

import argparse
import copy
import functools
import itertools
import math
import operator
import os
import pickle
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import Table, drive

CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager
NS: Any = SimpleNamespace

nn = tg.nn


@compiled
def a_partial_that_is_set(J: Any) -> Any:
    f = functools.partial(lambda x, k: x * k, k=1.0)
    return drive(J, lambda x: f(x), lambda: f.__setstate__((f.func, f.args, {"k": 5.0}, None)))


@compiled
def a_function_of_a_module_that_is_patched(J: Any) -> Any:
    before = math.sqrt
    try:
        yield from drive(J, lambda x: x * math.sqrt(4.0), lambda: setattr(math, "sqrt", lambda v: 7.0))
    finally:
        math.sqrt = before


@compiled
def an_array_through_a_view(J: Any) -> Any:
    a = np.ones(4)
    v = a[1:3]
    return drive(J, lambda x: x * a[1], lambda: v.__setitem__(0, 5.0))


@compiled
def an_array_through_its_transpose(J: Any) -> Any:
    a = np.ones((2, 2))
    return drive(J, lambda x: x * a[0, 1], lambda: a.T.__setitem__((1, 0), 5.0))


@compiled
def an_array_through_a_memoryview(J: Any) -> Any:
    a = np.ones(2)
    m = memoryview(a)
    return drive(J, lambda x: x * a[0], lambda: m.__setitem__(0, 5.0))


@compiled
def the_shape_of_an_array(J: Any) -> Any:
    a = np.ones((2, 3))

    def act():
        a.shape = (3, 2)

    return drive(J, lambda x: x * a.shape[0], act)


@compiled
def the_dtype_of_an_array(J: Any) -> Any:
    a = np.ones(2, "f4")

    def act():
        a.dtype = "i4"

    return drive(J, lambda x: x * float(a[0]), act)


@compiled
def a_scalar_in_an_array_of_none_dimensions(J: Any) -> Any:
    a = np.array(1.0)
    return drive(J, lambda x: x * float(a), lambda: a.__setitem__((), 5.0))


@compiled
def a_field_of_records(J: Any) -> Any:
    a = np.zeros(2, [("k", "f8")])
    a["k"] = 1.0
    return drive(J, lambda x: x * a["k"][0], lambda: a["k"].__setitem__(0, 5.0))


@compiled
def a_variable_of_the_environment(J: Any) -> Any:
    os.environ["TG_T5"] = "1.0"
    try:
        yield from drive(J, lambda x: x * float(os.environ["TG_T5"]), lambda: os.environ.update(TG_T5="5.0"))
    finally:
        del os.environ["TG_T5"]


@compiled
def a_variable_that_appears_in_the_environment(J: Any) -> Any:
    try:
        yield from drive(
            J, lambda x: x * float(os.environ.get("TG_T5B", "2")), lambda: os.environ.update(TG_T5B="5.0")
        )
    finally:
        del os.environ["TG_T5B"]


@compiled
def the_default_dtype(J: Any) -> Any:
    try:
        yield from drive(J, lambda x: tg.zeros(2) + 1.0, lambda: tg.set_default_dtype("float64"))
    finally:
        tg.set_default_dtype("float32")


@compiled
def a_forward_of_an_instance(J: Any) -> Any:
    m = nn.Dense(2, in_features=2)
    return drive(J, lambda x: m(x).detach(), lambda: setattr(m, "forward", lambda x: x * 3.0))


@compiled
def a_call_of_the_class_of_a_model(J: Any) -> Any:

    class M(nn.Module):
        def forward(self, x):
            return x * 2.0

    m = M()
    return drive(J, lambda x: m(x), lambda: setattr(M, "__call__", lambda s, x: x * 7.0))


@compiled
def a_layer_that_is_replaced_in_a_list(J: Any) -> Any:
    m = nn.Sequential(nn.Dense(2, in_features=2), nn.Dense(2, in_features=2))
    return drive(J, lambda x: m(x).detach(), lambda: m.layers.reverse())


@compiled
def a_default_argument_that_is_changed(J: Any) -> Any:

    def h(x, ks=None):
        return x * ks[0]

    h.__defaults__ = ([1.0],)
    return drive(J, lambda x: h(x), lambda: h.__defaults__[0].__setitem__(0, 5.0))


@compiled
def a_default_argument_by_name(J: Any) -> Any:

    def h(x, *, k=1.0):
        return x * k

    return drive(J, lambda x: h(x), lambda: h.__kwdefaults__.update(k=5.0))


@compiled
def a_generator_made_inside(J: Any) -> Any:
    s = NS(n=3)

    def g():
        for i in range(s.n):
            yield float(i)

    return drive(J, lambda x: x * sum(g()), lambda: setattr(s, "n", 5))


@either("gen", "iterator")
def a_generator_that_is_held(J: Any) -> Any:
    gen = (float(i) for i in itertools.count())
    return drive(J, lambda x: x * next(gen), lambda: next(gen))


@either("count", "iterator", "c ")
def a_count(J: Any) -> Any:
    c = itertools.count()
    return drive(J, lambda x: x * next(c), lambda: None)


@either("iterator", "c ")
def a_cycle(J: Any) -> Any:
    c = itertools.cycle([1.0, 2.0])
    return drive(J, lambda x: x * next(c), lambda: None)


@compiled
def a_class_that_is_assigned(J: Any) -> Any:

    class A:
        k = 1.0

    class B:
        k = 5.0

    a = A()
    return drive(J, lambda x: x * a.k, lambda: setattr(a, "__class__", B))


@compiled
def bases_that_are_assigned(J: Any) -> Any:

    class A:
        k = 1.0

    class B:
        k = 5.0

    class C(A):
        pass

    class D(C):
        pass

    d = D()
    return drive(J, lambda x: x * d.k, lambda: setattr(C, "__bases__", (B,)))


@compiled
def a_function_made_by_exec(J: Any) -> Any:
    space = {"k": 1.0}
    exec("def f(x):\n    return x*k", space)
    return drive(J, space["f"], lambda: space.update(k=5.0))


@compiled
def a_function_made_by_exec_again(J: Any) -> Any:
    space = {}
    exec("def g(x):\n    return x*2", space)
    return drive(J, lambda x: space["g"](x), lambda: exec("def g(x):\n    return x*7", space))


@compiled
def a_match_of_a_literal(J: Any) -> Any:
    s = NS(mode="a")

    def f(x):
        match s.mode:
            case "a":
                return x * 2.0
            case "b" | "c":
                return x * 3.0
            case _:
                return x * 4.0

    return drive(J, f, lambda: setattr(s, "mode", "c"))


@compiled
def a_match_of_a_sequence(J: Any) -> Any:
    s = NS(v=[1.0, 2.0])

    def f(x):
        match s.v:
            case [a, b]:
                return x * a * b
            case [a, *rest]:
                return x * a * len(rest)

    return drive(J, f, lambda: s.v.append(9.0))


@compiled
def a_match_of_a_value(J: Any) -> Any:

    class K:
        one = 1.0

    s = NS(v=1.0)

    def f(x):
        match s.v:
            case K.one:
                return x * 2.0
            case _:
                return x * 3.0

    return drive(J, f, lambda: setattr(K, "one", 4.0))


@compiled
def a_walrus_in_a_comprehension(J: Any) -> Any:
    s = NS(vs=[1.0, 2.0, 3.0])
    return drive(J, lambda x: x * sum(y for v in s.vs if (y := (v * 2)) > 3), lambda: s.vs.append(9.0))


@compiled
def a_comprehension_over_a_dict(J: Any) -> Any:
    d = {"a": 1.0, "b": 2.0}
    return drive(J, lambda x: x * sum((v for k, v in d.items() if k != "a")), lambda: d.update(c=9.0))


@compiled
def an_item_by_operator(J: Any) -> Any:
    d = {"a": NS(k=[1.0, 2.0])}
    get = operator.itemgetter("a")
    k = operator.attrgetter("k")
    return drive(J, lambda x: x * k(get(d))[0], lambda: d["a"].k.__setitem__(0, 5.0))


@compiled
def a_method_by_methodcaller(J: Any) -> Any:

    class A:
        k = 1.0

        def m(self):
            return self.k

    a = A()
    call = operator.methodcaller("m")
    return drive(J, lambda x: x * call(a), lambda: setattr(a, "k", 5.0))


@compiled
def a_copy_of_a_model(J: Any) -> Any:
    s = NS(m=nn.Dense(2, in_features=2))

    def act():
        s.m = copy.deepcopy(s.m)
        s.m.kernel.assign(s.m.kernel * 3.0)

    return drive(J, lambda x: s.m(x).detach(), act)


@compiled
def a_copy_made_inside(J: Any) -> Any:
    c = NS(k=[1.0])
    return drive(J, lambda x: x * copy.deepcopy(c).k[0], lambda: c.k.__setitem__(0, 5.0))


@compiled
def an_object_that_was_pickled_between(J: Any) -> Any:
    class_of = argparse.Namespace
    s = NS(c=class_of(k=1.0))

    def act():
        s.c = pickle.loads(pickle.dumps(s.c))
        s.c.k = 5.0

    return drive(J, lambda x: x * s.c.k, act)


@compiled
def a_thread_that_changes_between_calls(J: Any) -> Any:
    s = NS(k=1.0)

    def act():
        t = threading.Thread(target=lambda: setattr(s, "k", 5.0))
        t.start()
        t.join()

    return drive(J, lambda x: x * s.k, act)


@compiled
def a_key_that_is_compared_by_value(J: Any) -> Any:

    class K:
        def __init__(s, v):
            s.v = v

        def __hash__(s):
            return 1

        def __eq__(s, o):
            return s.v == o.v

    a, b = (K(1), K(2))
    d = {a: 1.0, b: 2.0}
    s = NS(k=K(1))
    return drive(J, lambda x: x * d[s.k], lambda: setattr(s.k, "v", 2))
