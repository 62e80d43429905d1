"""What code reads without naming it, and which object is which."""

import abc
import collections
import dataclasses
import enum
import operator
import types
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import Table, change

CASES = Table()
compiled = CASES.compiled
NS: Any = types.SimpleNamespace
nn, optim = tg.nn, tg.optim


@compiled
def the_value_of_a_member_of_an_enum(J: Any) -> Any:
    class E(enum.Enum):
        A = 2.0

    return change(J, lambda x: x * E.A.value, lambda: setattr(E.A, "_value_", 4.0))


@compiled
def an_attribute_of_a_member_of_an_enum(J: Any) -> Any:
    class E(enum.Enum):
        A = 2.0

        @property
        def k(self):
            return self.extra

    E.A.extra = 2.0
    return change(J, lambda x: x * E.A.k, lambda: setattr(E.A, "extra", 4.0))


@compiled
def the_length_of_a_deque_at_most(J: Any) -> Any:
    s = NS(d=collections.deque([2.0], maxlen=5))
    return change(J, lambda x: x * s.d.maxlen, lambda: setattr(s, "d", collections.deque([2.0], maxlen=6)))


@compiled
def a_subclass_of_user_list(J: Any) -> Any:
    class L(collections.UserList):
        pass

    m = L([2.0])
    return change(J, lambda x: x * m[0], lambda: m.__setitem__(0, 5.0))


@compiled
def an_attribute_of_an_array(J: Any) -> Any:
    class A(np.ndarray):
        pass

    a = np.zeros(2).view(A)
    a.k = 2.0
    return change(J, lambda x: x * a.k, lambda: setattr(a, "k", 3.0))


@compiled
def a_class_registered_with_an_abc(J: Any) -> Any:
    class B(abc.ABC):  # noqa: B024
        pass

    class A:
        pass

    a = A()
    return change(J, lambda x: x * (3.0 if isinstance(a, B) else 2.0), lambda: B.register(A))


@compiled
def a_field_that_a_match_reads(J: Any) -> Any:
    @dataclasses.dataclass
    class P:
        a: int
        b: float

    s = NS(p=P(1, 2.0))

    def f(x):
        match s.p:
            case P(1, b):
                return x * b
            case P(2, b):
                return x * b * 2

    return change(J, f, lambda: setattr(s.p, "a", 2))


@compiled
def the_name_of_a_class(J: Any) -> Any:
    class A:
        pass

    a = A()
    return change(J, lambda x: x * len(type(a).__name__), lambda: setattr(A, "__name__", "Abcd"))


@compiled
def the_name_of_a_function(J: Any) -> Any:
    def h():
        pass

    return change(J, lambda x: x * len(h.__name__), lambda: setattr(h, "__name__", "Abcd"))


@compiled
def the_docstring_of_a_function(J: Any) -> Any:
    def h():
        "ab"

    return change(J, lambda x: x * len(h.__doc__), lambda: setattr(h, "__doc__", "Abcd"))


@compiled
def the_defaults_of_a_function_that_are_read(J: Any) -> Any:
    def h(a=2.0):
        pass

    return change(J, lambda x: x * h.__defaults__[0], lambda: setattr(h, "__defaults__", (5.0,)))


@compiled
def an_object_as_a_key(J: Any) -> Any:
    class A:
        pass

    a, b = A(), A()
    d = {a: 2.0, b: 3.0}
    s = NS(a=a)
    return change(J, lambda x: x * d[s.a], lambda: setattr(s, "a", b))


@compiled
def an_attrgetter_with_dots(J: Any) -> Any:
    s = NS(a=NS(b=2.0))
    g = operator.attrgetter("a.b")
    return change(J, lambda x: x * g(s), lambda: setattr(s.a, "b", 4.0))


@compiled
def an_itemgetter(J: Any) -> Any:
    s = {"zz k": 2.0}
    g = operator.itemgetter("zz k")
    return change(J, lambda x: x * g(s), lambda: s.update({"zz k": 4.0}))


@compiled
def a_methodcaller_of_a_patched_method(J: Any) -> Any:
    class A:
        def k(self):
            return 2.0

    a = A()
    m = operator.methodcaller("k")
    return change(J, lambda x: x * m(a), lambda: setattr(A, "k", lambda s: 5.0))


@compiled
def a_property_that_appears(J: Any) -> Any:
    class A:
        pass

    a = A()
    a.k = 2.0
    return change(J, lambda x: x * a.k, lambda: setattr(A, "k", property(lambda s: 9.0)))


@compiled
def attributes_by_a_metaclass(J: Any) -> Any:
    d = {"k": 2.0}

    class M(type):
        def __getattr__(cls, n):
            return d[n]

    class A(metaclass=M):
        pass

    return change(J, lambda x: x * A.k, lambda: d.update(k=4.0))


@compiled
def a_metaclass_that_is_called(J: Any) -> Any:
    class M(type):
        scale = 2.0

        def __call__(cls, *a):
            return cls.scale

    class A(metaclass=M):
        pass

    return change(J, lambda x: x * A(), lambda: setattr(M, "scale", 4.0))


@compiled
def code_of_the_step(J: Any) -> Any:
    def h(x):
        return x * 2.0

    def g(x):
        return x * 3.0

    return change(J, h, lambda: setattr(h, "__code__", g.__code__))


@compiled
def two_objects_that_become_one(J: Any) -> Any:
    class A:
        pass

    s = NS(a=A(), b=A())
    return change(J, lambda x: x * (2.0 if s.a is s.b else 3.0), lambda: setattr(s, "a", s.b))


@compiled
def one_object_that_becomes_two(J: Any) -> Any:
    class A:
        pass

    o = A()
    s = NS(a=o, b=o)
    return change(J, lambda x: x * (2.0 if s.a is s.b else 3.0), lambda: setattr(s, "a", A()))


@compiled
def an_object_in_a_list(J: Any) -> Any:
    class A:
        pass

    a, b = A(), A()
    s = NS(a=a, l=[b])
    return change(J, lambda x: x * (2.0 if s.a in s.l else 3.0), lambda: setattr(s, "a", b))


@compiled
def an_address_as_a_key(J: Any) -> Any:
    class A:
        pass

    a, b = A(), A()
    d = {id(a): 2.0, id(b): 3.0}
    s = NS(a=a)
    return change(J, lambda x: x * d[id(s.a)], lambda: setattr(s, "a", b))


@compiled
def an_object_in_a_set(J: Any) -> Any:
    class A:
        pass

    a, b = A(), A()
    d = {a}
    s = NS(a=a)
    return change(J, lambda x: x * (2.0 if s.a in d else 3.0), lambda: setattr(s, "a", b))
