"""Names, classes, modules and views whose meaning changes where nobody looks."""

import builtins
import contextlib
import copy
import copyreg
import datetime
import decimal
import importlib
import sys
import types
import weakref
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import T, Table, X, drive, x2

CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager
NS: Any = SimpleNamespace


def holder() -> None:
    return None


held_here = 1.0


@compiled
def a_name_that_appears_among_builtins(J: Any) -> Any:

    def g():
        try:
            return scale_zz
        except NameError:
            return 1.0

    try:
        yield from drive(J, lambda x: x * g(), lambda: setattr(builtins, "scale_zz", 5.0))
    finally:
        del builtins.scale_zz


@compiled
def the_context_of_decimals_by_another_name(J: Any) -> Any:
    D = decimal.Decimal
    try:
        yield from drive(
            J, lambda x: x * float(D(1) / D(3)), lambda: setattr(decimal.getcontext(), "prec", 1)
        )
    finally:
        decimal.getcontext().prec = 28


@eager("import_module")
def a_module_by_import_module(J: Any) -> Any:
    conf = types.ModuleType("conf")
    conf.k = 1.0
    sys.modules["conf"] = conf
    return drive(J, lambda x: x * importlib.import_module("conf").k, lambda: setattr(conf, "k", 5.0))


@compiled
def one_code_in_two_modules(J: Any) -> Any:
    code = compile("def rate():\n    return RATE\n", "conf.py", "exec")
    first, second = ({"RATE": 1.0}, {"RATE": 5.0})
    exec(code, first)
    exec(code, second)
    r = NS(rate=first["rate"])
    return drive(J, lambda x: x * r.rate(), lambda: setattr(r, "rate", second["rate"]))


@compiled
def builtins_of_a_function(J: Any) -> Any:
    space = {"__builtins__": {"max": lambda *a: 2.0}}
    rate = types.FunctionType((lambda: max(1.0, 2.0)).__code__, space)
    return drive(J, lambda x: x * rate(), lambda: space["__builtins__"].update(max=lambda *a: 7.0))


@compiled
def a_slot_by_its_descriptor(J: Any) -> Any:

    class C:
        __slots__ = ("k",)

    c = C()
    c.k = 1.0
    held = [vars(C)["k"]]
    return drive(J, lambda x: x * held[0].__get__(c), lambda: setattr(c, "k", 5.0))


@compiled
def the_match_args_of_a_class(J: Any) -> Any:

    class C:
        __match_args__ = ("k",)

    c = C()
    c.k, c.z = (1.0, 9.0)

    def f(x):
        match c:
            case C(1.0):
                return x * 5.0
            case _:
                return x * 3.0

    return drive(J, f, lambda: setattr(C, "__match_args__", ("z",)))


@compiled
def the_base_of_a_view(J: Any) -> Any:
    array = np.ones(3)
    view = array[1:]
    return drive(J, lambda x: x * float(view.base[0]), lambda: array.__setitem__(0, 5.0))


@eager("timestamp")
def a_time_without_a_zone(J: Any) -> Any:
    day = datetime.datetime(2020, 1, 1)
    return drive(J, lambda x: x * (day.timestamp() % 86400), lambda: None)


@compiled
def the_most_digits_of_numbers(J: Any) -> Any:
    before = sys.get_int_max_str_digits()
    text = "9" * 4500

    def f(x):
        try:
            int(text)
        except ValueError:
            return x * 2
        return x

    try:
        yield from drive(J, f, lambda: sys.set_int_max_str_digits(5000))
    finally:
        sys.set_int_max_str_digits(before)


@eager("np.random.get_state")
def the_state_of_the_random_numbers(J: Any) -> Any:
    return drive(J, lambda x: x * float(np.random.get_state()[1][0]), lambda: np.random.seed(6))


@eager("__import__")
def a_module_by_dunder_import(J: Any) -> Any:
    conf = types.ModuleType("conf_a21")
    conf.k = 1.0
    sys.modules["conf_a21"] = conf
    return drive(J, lambda x: x * __import__("conf_a21").k, lambda: setattr(conf, "k", 5.0))


@compiled
def a_method_of_tensors_that_is_patched(J: Any) -> Any:
    before = tg.Tensor.exp
    try:
        yield from drive(J, lambda x: x.exp(), lambda: setattr(tg.Tensor, "exp", lambda self: self * 7.0))
    finally:
        tg.Tensor.exp = before


@compiled
def objects_that_are_linked_deeply(J: Any) -> Any:
    head = None
    for _ in range(600):
        head = NS(value=1.0, after=head)

    def f(x):
        total, node = (0.0, head)
        while node is not None:
            total, node = (total + node.value, node.after)
        return x * total

    return drive(J, f, lambda: setattr(head.after.after, "value", 5.0))


@compiled
def an_attribute_that_appears_on_a_layer(J: Any) -> Any:
    model = tg.nn.Sequential(tg.nn.Dense(4, in_features=3))
    return drive(
        J, lambda x: x * getattr(model, "temperature", 1.0), lambda: setattr(model, "temperature", 5.0)
    )


@compiled
def an_attribute_that_appears_on_tensors(J: Any) -> Any:
    try:
        yield from drive(
            J, lambda x: x * getattr(x, "scale_a26", 1.0), lambda: setattr(tg.Tensor, "scale_a26", 5.0)
        )
    finally:
        del tg.Tensor.scale_a26


@eager("__globals__")
def globals_of_a_function(J: Any) -> Any:
    globals().update(held_here=1.0)
    return drive(J, lambda x: x * holder.__globals__["held_here"], lambda: globals().update(held_here=5.0))


@compiled
def a_copy_that_is_registered(J: Any) -> Any:

    class C:
        k = 1.0

    def made():
        o = C()
        o.k = 5.0
        return o

    c = C()
    try:
        yield from drive(J, lambda x: x * copy.copy(c).k, lambda: copyreg.pickle(C, lambda o: (made, ())))
    finally:
        del copyreg.dispatch_table[C]


@compiled
def a_class_that_becomes_a_mapping(J: Any) -> Any:

    class C:
        def __len__(self):
            return 1

        def keys(self):
            return ["k"]

        def get(self, key, default=None):
            return 1.0

    c = C()

    def f(x):
        match c:
            case {"k": 1.0}:
                return x * 2.0
            case _:
                return x

    return drive(J, f, lambda: Mapping.register(C))


@compiled
def a_getattr_that_appears_in_a_module(J: Any) -> Any:
    conf = types.ModuleType("conf_a31")
    return drive(
        J, lambda x: x * getattr(conf, "rate", 1.0), lambda: setattr(conf, "__getattr__", lambda name: 5.0)
    )


@eager("weakref.proxy")
def a_weak_proxy(J: Any) -> Any:

    class C:
        k = 1.0

    c = C()
    p = weakref.proxy(c)
    return drive(J, lambda x: x * p.k, lambda: setattr(c, "k", 5.0))


@compiled
def the_values_of_a_dict(J: Any) -> Any:
    d = {"a": 1.0, "b": 2.0}
    v = d.values()
    return drive(J, lambda x: x * sum(v), lambda: d.update(a=5.0))


@either("recurses")
def a_recursion_to_the_limit(J: Any) -> Any:
    most = sys.getrecursionlimit()
    s = NS(k=1.0)

    def deep(n):
        return 0 if n == 0 else deep(n - 1)

    def f(x):
        with contextlib.suppress(RecursionError):
            deep(most)
        return x * s.k

    return drive(J, f, lambda: setattr(s, "k", 5.0))


@compiled
def a_tensor_that_is_an_argument_and_in_a_place(J: Any) -> Any:
    s = NS(w=T([1.0, 2.0]))
    g = J(lambda a: a * s.w * (2.0 if a is s.w else 3.0))
    for i in range(20):
        if i < 6:
            s.w = T([1.0, 3.0])
        yield g(s.w if i in (9, 13, 14, 15, 18) else T([1.0, 2.0]))


@compiled
def a_list_that_is_returned_twice(J: Any) -> Any:

    def f0(x):
        rows = [x * 2]
        return {"rows": rows, "last": rows}

    f = J(f0)
    for _i in range(8):
        r = f(x2())
        yield (r, r["rows"] is r["last"])


@compiled
def containers_that_are_returned_as_they_are(J: Any) -> Any:
    hist = []
    cfg = NS(a=1)
    f = J(lambda x, d: (x * 2, hist, d, cfg))
    for _i in range(8):
        d = {"a": 1}
        y, h, e, c = f(x2(), d)
        yield (y, h is hist, e is d, c is cfg)


@compiled
def an_argument_that_is_returned(J: Any) -> Any:

    class A:
        def __init__(s):
            s.t = X()

    f = J(lambda a: (a.t * 2, a))
    for _i in range(8):
        a = A()
        y, b = f(a)
        yield (y, a is b)


@compiled
def a_captured_tensor_that_is_returned(J: Any) -> Any:
    w = tg.ones(2)
    f = J(lambda x: (x + w, w))
    for _i in range(8):
        y, v = f(x2())
        yield (y, v)
