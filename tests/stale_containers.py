"""Containers, weak references, contexts, classes and data that Python offers."""

import array
import collections
import contextvars
import dataclasses
import enum
import functools
import threading
import weakref
from types import SimpleNamespace
from typing import Any, NamedTuple

import tapegrad as tg
from surroundings import Table, drive

CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager
NS: Any = SimpleNamespace

nn = tg.nn


@compiled
def a_class_attribute_by_its_metaclass(J: Any) -> Any:

    class M(type):
        def __getattr__(cls, name):
            return held[name]

    class A(metaclass=M):
        pass

    held = {"k": 1.0}
    return drive(J, lambda x: x * A.k, lambda: held.update(k=5.0))


@compiled
def a_property_of_a_metaclass(J: Any) -> Any:

    class M(type):
        @property
        def k(cls):
            return cls._k

    class A(metaclass=M):
        _k = 1.0

    return drive(J, lambda x: x * A.k, lambda: setattr(A, "_k", 5.0))


@compiled
def a_getattr_that_appears(J: Any) -> Any:

    class A:
        pass

    a = A()
    return drive(J, lambda x: x * getattr(a, "k", 1.0), lambda: setattr(A, "__getattr__", lambda s, n: 5.0))


@compiled
def a_descriptor_that_counts_elsewhere(J: Any) -> Any:

    class D:
        value = 1.0

        def __get__(s, o, t=None):
            return s.value

    class A:
        k = D()

    a = A()
    return drive(J, lambda x: x * a.k, lambda: setattr(vars(A)["k"], "value", 5.0))


@compiled
def a_descriptor_that_becomes_a_data_descriptor(J: Any) -> Any:

    class D:
        def __get__(s, o, t=None):
            return 5.0

    class A:
        k = D()

    a = A()
    a.__dict__["k"] = 1.0
    return drive(J, lambda x: x * a.k, lambda: setattr(D, "__set__", lambda s, o, v: None))


@compiled
def a_set_name(J: Any) -> Any:

    class D:
        def __set_name__(s, o, n):
            s.name = "_" + n

        def __get__(s, o, t=None):
            return getattr(o, s.name)

    class A:
        k = D()

    a = A()
    a._k = 1.0
    return drive(J, lambda x: x * a.k, lambda: setattr(a, "_k", 5.0))


@compiled
def a_property_that_is_replaced(J: Any) -> Any:

    class A:
        @property
        def k(self):
            return 1.0

    a = A()
    return drive(J, lambda x: x * a.k, lambda: setattr(A, "k", property(lambda s: 5.0)))


@compiled
def a_cached_property(J: Any) -> Any:

    class A:
        n = 1.0

        @functools.cached_property
        def k(self):
            return self.n * 2.0

    a = A()
    return drive(J, lambda x: x * a.k, lambda: a.__dict__.update(k=7.0))


@compiled
def a_cached_property_that_is_dropped(J: Any) -> Any:

    class A:
        n = 1.0

        @functools.cached_property
        def k(self):
            return self.n * 2.0

    a = A()

    def act():
        A.n = 4.0
        del a.__dict__["k"]

    return drive(J, lambda x: x * a.k, act)


@eager("weak")
def what_a_weak_reference_finds(J: Any) -> Any:

    class A:
        k = 1.0

    held = [A()]
    r = weakref.ref(held[0])
    return drive(J, lambda x: x * (r().k if r() is not None else 9.0), held.clear)


@eager("weak")
def an_attribute_through_a_weak_reference(J: Any) -> Any:

    class A:
        k = 1.0

    a = A()
    r = weakref.ref(a)
    yield from drive(J, lambda x: x * r().k, lambda: setattr(a, "k", 5.0))


@either("WeakValueDictionary", "d")
def a_weak_dictionary(J: Any) -> Any:

    class A:
        k = 1.0

    a = A()
    d = weakref.WeakValueDictionary(a=a)
    yield from drive(J, lambda x: x * d["a"].k, lambda: setattr(a, "k", 5.0))


@either("ContextVar")
def a_context_variable(J: Any) -> Any:
    v = contextvars.ContextVar("v", default=1.0)
    return drive(J, lambda x: x * v.get(), lambda: v.set(5.0))


@either("copy_context", "ContextVar", "run")
def a_copied_context(J: Any) -> Any:
    v = contextvars.ContextVar("v", default=1.0)
    c = contextvars.copy_context()
    return drive(J, lambda x: x * c.run(v.get), lambda: c.run(v.set, 5.0))


@either("local", "thread")
def a_local_of_threads(J: Any) -> Any:
    l = threading.local()
    l.k = 1.0
    return drive(J, lambda x: x * l.k, lambda: setattr(l, "k", 5.0))


@compiled
def a_map_of_a_chain(J: Any) -> Any:
    a, b = ({"k": 1.0}, {"k": 2.0})
    c = collections.ChainMap(a, b)
    return drive(J, lambda x: x * c["k"], lambda: a.pop("k"))


@compiled
def a_map_that_a_chain_gets(J: Any) -> Any:
    c = collections.ChainMap({"k": 1.0})
    return drive(J, lambda x: x * c["k"], lambda: c.maps.insert(0, {"k": 5.0}))


@compiled
def a_default_of_a_defaultdict(J: Any) -> Any:
    d = collections.defaultdict(lambda: k.v)
    k = NS(v=1.0)

    def f(x):
        y = x * d["a"]
        d.pop("a")
        return y

    return drive(J, f, lambda: setattr(k, "v", 5.0))


@compiled
def a_deque_that_turns(J: Any) -> Any:
    d = collections.deque([1.0, 2.0, 3.0])
    return drive(J, lambda x: x * d[0], lambda: d.rotate(1))


@compiled
def an_ordered_dict_that_moves(J: Any) -> Any:
    d = collections.OrderedDict(a=1.0, b=2.0)
    return drive(J, lambda x: x * next(iter(d.values())), lambda: d.move_to_end("a"))


@compiled
def a_counter(J: Any) -> Any:
    d = collections.Counter("aab")
    return drive(J, lambda x: x * d["a"], lambda: d.update("aaa"))


@compiled
def the_most_common(J: Any) -> Any:
    d = collections.Counter("aab")
    return drive(J, lambda x: x * d.most_common(1)[0][1], lambda: d.update("bbbb"))


@either("array")
def an_array_of_the_array_module(J: Any) -> Any:
    a = array.array("d", [1.0, 2.0])
    return drive(J, lambda x: x * a[0], lambda: a.__setitem__(0, 5.0))


@either("memoryview", "m ", "m is")
def a_memoryview(J: Any) -> Any:
    b = bytearray(b"\x01\x02")
    m = memoryview(b)
    return drive(J, lambda x: x * m[0], lambda: b.__setitem__(0, 5))


@either("bytearray", "b ")
def a_bytearray(J: Any) -> Any:
    b = bytearray(b"\x01\x02")
    return drive(J, lambda x: x * b[0], lambda: b.__setitem__(0, 5))


@compiled
def a_member_of_an_enumeration(J: Any) -> Any:

    class E(enum.Enum):
        A = 1.0
        B = 5.0

    s = NS(e=E.A)
    return drive(J, lambda x: x * s.e.value, lambda: setattr(s, "e", E.B))


@compiled
def an_attribute_of_a_member(J: Any) -> Any:

    class E(enum.Enum):
        A = 1.0

    E.A.k = 1.0
    return drive(J, lambda x: x * E.A.k, lambda: setattr(E.A, "k", 5.0))


@compiled
def flags_of_an_enumeration(J: Any) -> Any:

    class E(enum.Flag):
        A = 1
        B = 2

    s = NS(e=E.A)
    return drive(J, lambda x: x * (2.0 if E.B in s.e else 3.0), lambda: setattr(s, "e", E.A | E.B))


@compiled
def a_frozen_dataclass(J: Any) -> Any:

    @dataclasses.dataclass(frozen=True)
    class C:
        k: float

    c = C(1.0)
    return drive(J, lambda x: x * c.k, lambda: object.__setattr__(c, "k", 5.0))


@compiled
def a_dataclass_with_slots(J: Any) -> Any:

    @dataclasses.dataclass(slots=True)
    class C:
        k: float

    c = C(1.0)
    return drive(J, lambda x: x * c.k, lambda: setattr(c, "k", 5.0))


@compiled
def the_fields_of_a_dataclass(J: Any) -> Any:

    @dataclasses.dataclass
    class C:
        a: float = 1.0
        b: float = 2.0

    c = C()
    return drive(
        J, lambda x: x * sum(getattr(c, f.name) for f in dataclasses.fields(c)), lambda: setattr(c, "b", 7.0)
    )


@compiled
def a_field_of_a_named_tuple(J: Any) -> Any:

    class P(NamedTuple):
        a: float
        b: float = 2.0

    s = NS(p=P(1.0))
    return drive(J, lambda x: x * s.p.b, lambda: setattr(s, "p", s.p._replace(b=5.0)))


@compiled
def a_variable_that_is_bound_again_by_another_function(J: Any) -> Any:
    k = 1.0

    def put():
        nonlocal k
        k = 5.0

    return drive(J, lambda x: x * k, put)


@compiled
def a_variable_of_a_decorator(J: Any) -> Any:
    scale = 1.0

    def deco(g):

        def h(x):
            return g(x) * scale

        return h

    def put():
        nonlocal scale
        scale = 5.0

    return drive(J, deco(lambda x: x * 2.0), put)


@compiled
def arguments_of_a_partial(J: Any) -> Any:
    s = NS(f=functools.partial(lambda x, k: x * k, k=1.0))
    return drive(J, lambda x: s.f(x), lambda: s.f.keywords.update(k=5.0))
