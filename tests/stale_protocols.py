"""Copies, operators, protocols, functions and what is decided by numbers."""

import abc
import bisect
import collections
import contextlib
import functools
import heapq
import re
import types
from types import SimpleNamespace
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import Table, drive, x2

CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager
NS: Any = SimpleNamespace

nn = tg.nn


@compiled
def an_operator_of_an_object(J: Any) -> Any:

    class R:
        v = 1.0

        def __rmul__(s, o):
            return o * s.v

        __array_ufunc__ = None

    r = R()
    return drive(J, lambda x: 3.0 * r * x if False else x * (3.0 * r), lambda: setattr(r, "v", 5.0))


@compiled
def a_context_manager(J: Any) -> Any:
    s = NS(k=1.0)

    @contextlib.contextmanager
    def scaled():
        yield s.k

    def f(x):
        with scaled() as k:
            return x * k

    return drive(J, f, lambda: setattr(s, "k", 5.0))


@compiled
def a_super_call(J: Any) -> Any:

    class A:
        def k(s):
            return 1.0

    class B(A):
        def k(s):
            return super().k() * 2.0

    b = B()
    return drive(J, lambda x: x * b.k(), lambda: setattr(A, "k", lambda s: 5.0))


@compiled
def an_abstract_method(J: Any) -> Any:

    class A(abc.ABC):
        @abc.abstractmethod
        def k(s): ...

    class B(A):
        def k(s):
            return 1.0

    b = B()
    return drive(J, lambda x: x * b.k(), lambda: setattr(B, "k", lambda s: 5.0))


@compiled
def a_single_dispatch(J: Any) -> Any:

    @functools.singledispatch
    def h(v):
        return 1.0

    h.register(int, lambda v: 2.0)
    return drive(J, lambda x: x * h(3), lambda: h.register(int, lambda v: 5.0))


@compiled
def a_template_of_text(J: Any) -> Any:
    s = NS(t="{0}1")
    return drive(J, lambda x: x * float(s.t.format(2)), lambda: setattr(s, "t", "{0}9"))


@compiled
def a_pattern(J: Any) -> Any:
    s = NS(p=re.compile("a+"))
    return drive(J, lambda x: x * len(s.p.match("aab").group()), lambda: setattr(s, "p", re.compile("a")))


@compiled
def a_place_in_a_sorted_list(J: Any) -> Any:
    v = [1.0, 3.0]
    return drive(J, lambda x: x * bisect.bisect(v, 2.0), lambda: v.insert(0, 0.0))


@compiled
def a_heap(J: Any) -> Any:
    v = [2.0, 3.0]
    return drive(J, lambda x: x * v[0], lambda: heapq.heappush(v, 1.0))


@compiled
def a_slice_that_is_held(J: Any) -> Any:
    s = NS(s=slice(0, 1))
    return drive(J, lambda x: x[:, s.s].sum(), lambda: setattr(s, "s", slice(0, 2)))


@compiled
def a_range_that_is_held(J: Any) -> Any:
    s = NS(r=range(3))
    return drive(J, lambda x: x * sum(s.r), lambda: setattr(s, "r", range(5)))


@compiled
def a_user_list(J: Any) -> Any:
    u = collections.UserList([1.0, 2.0])
    return drive(J, lambda x: x * u[0], lambda: u.__setitem__(0, 5.0))


@compiled
def a_complex_number(J: Any) -> Any:
    s = NS(c=1 + 2j)
    return drive(J, lambda x: x * s.c.real, lambda: setattr(s, "c", 3 + 2j))


@compiled
def a_tensor_in_a_place_of_numbers(J: Any) -> Any:
    s = NS(k=2.0)
    return drive(J, lambda x: x * s.k, lambda: setattr(s, "k", tg.tensor(5.0)))


@compiled
def a_number_in_a_place_of_a_tensor(J: Any) -> Any:
    s = NS(k=tg.tensor(5.0))
    return drive(J, lambda x: x * s.k, lambda: setattr(s, "k", 2.0))


@compiled
def a_parameter_that_is_tied_later(J: Any) -> Any:
    a, b = (nn.Dense(2, in_features=2), nn.Dense(2, in_features=2))
    return drive(J, lambda x: b(a(x)).detach(), lambda: setattr(b, "kernel", a.kernel))


@compiled
def a_hook_list(J: Any) -> Any:
    hooks = []

    def f(x):
        y = x * 2.0
        for h in hooks:
            y = h(y)
        return y

    return drive(J, f, lambda: hooks.append(lambda y: y + 1.0))


@compiled
def a_registry_by_a_decorator(J: Any) -> Any:
    table = {}

    def register(name):

        def put(g):
            table[name] = g
            return g

        return put

    register("f")(lambda x: x * 2.0)
    return drive(J, lambda x: table["f"](x), lambda: register("f")(lambda x: x * 7.0))


@compiled
def a_bound_method_that_is_held(J: Any) -> Any:

    class A:
        k = 1.0

        def m(s, x):
            return x * s.k

    a = A()
    m = a.m
    return drive(J, lambda x: m(x), lambda: setattr(a, "k", 5.0))


@compiled
def a_star_import_of_names(J: Any) -> Any:
    m = types.ModuleType("m_t5")
    m.k = 1.0
    space = dict(vars(m))
    exec("def f(x):\n    return x*k", space)
    return drive(J, space["f"], lambda: space.update(k=5.0))


@compiled
def an_annotation(J: Any) -> Any:

    def h(a: float = 1.0) -> float:
        return a

    return drive(
        J,
        lambda x: x * (2.0 if h.__annotations__["a"] is float else 3.0),
        lambda: h.__annotations__.update(a=int),
    )


@compiled
def a_docstring(J: Any) -> Any:

    def h():
        """two"""

    return drive(J, lambda x: x * len(h.__doc__), lambda: setattr(h, "__doc__", "other"))


@compiled
def a_name_of_a_function(J: Any) -> Any:

    def h():
        pass

    return drive(J, lambda x: x * len(h.__name__), lambda: setattr(h, "__name__", "other"))


@compiled
def the_order_of_resolution(J: Any) -> Any:

    class A:
        k = 1.0

    class B:
        k = 5.0

    class C(A, B):
        pass

    c = C()
    return drive(J, lambda x: x * c.k, lambda: setattr(C, "__bases__", (B, A)))


@compiled
def an_instance_check(J: Any) -> Any:

    class M(type):
        flag = False

        def __instancecheck__(cls, o):
            return cls.flag

    class A(metaclass=M):
        pass

    return drive(J, lambda x: x * (2.0 if isinstance(3, A) else 3.0), lambda: setattr(A, "flag", True))


@compiled
def an_or_of_dicts(J: Any) -> Any:
    a, b = ({"k": 1.0}, {"j": 2.0})
    return drive(J, lambda x: x * sum((a | b).values()), lambda: b.update(k=5.0))


@compiled
def a_starred_call(J: Any) -> Any:
    args, kw = ([2.0], {"b": 3.0})

    def h(x, a, b):
        return x * a * b

    return drive(J, lambda x: h(x, *args, **kw), lambda: kw.update(b=5.0))


@compiled
def a_try_that_fails_later(J: Any) -> Any:
    d = {"k": 1.0}

    def f(x):
        try:
            return x * d["k"]
        except KeyError:
            return x * 9.0

    return drive(J, f, d.clear)


@compiled
def an_assert_that_is_met(J: Any) -> Any:
    s = NS(k=1.0)

    def f(x):
        try:
            assert s.k < 2.0
            return x
        except AssertionError:
            return x * 9.0

    return drive(J, f, lambda: setattr(s, "k", 3.0))


@compiled
def a_while_loop_of_numbers(J: Any) -> Any:
    s = NS(n=3)

    def f(x):
        i = 0
        while i < s.n:
            x = x + 1.0
            i += 1
        return x

    return drive(J, f, lambda: setattr(s, "n", 5))


@compiled
def a_lambda_in_a_default(J: Any) -> Any:
    fs = [lambda x, i=i: x * i for i in range(3)]
    return drive(J, lambda x: sum(f(x) for f in fs), lambda: fs.append(lambda x: x * 7.0))


@compiled
def a_frozen_set(J: Any) -> Any:
    s = NS(s=frozenset({1}))
    return drive(J, lambda x: x * (2.0 if 3 in s.s else 1.0), lambda: setattr(s, "s", frozenset({3})))


@compiled
def where_gradients_are_off(J: Any) -> Any:
    w = tg.Parameter(np.ones(2, "f"))
    f = J(lambda x: (x * w).detach())
    for i in range(10):
        with tg.no_grad() if i % 2 else contextlib.nullcontext():
            yield f(x2())


@compiled
def the_truth_of_an_object(J: Any) -> Any:

    class A:
        n = 0

        def __bool__(s):
            return s.n > 0

    a = A()
    return drive(J, lambda x: x * 2.0 if a else x, lambda: setattr(a, "n", 1))


@compiled
def the_length_of_an_object(J: Any) -> Any:

    class A:
        n = 0

        def __len__(s):
            return s.n

    a = A()
    return drive(J, lambda x: x * 2.0 if a else x, lambda: setattr(a, "n", 1))


@compiled
def a_number_like_object(J: Any) -> Any:

    class R:
        v = 1.0

        def __float__(s):
            return s.v

        def __index__(s):
            return 2

    r = R()
    return drive(J, lambda x: x * float(r), lambda: setattr(r, "v", 5.0))
