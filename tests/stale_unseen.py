"""What code of the user's runs or reads unseen."""

import dataclasses
import functools
import inspect
import sys
import types
from typing import Any

import tapegrad as tg
from surroundings import T, Table, X, drive

CASES = Table()
compiled = CASES.compiled
NS: Any = types.SimpleNamespace
nn, optim = tg.nn, tg.optim


@compiled
def a_class_that_is_told_by_a_property(J: Any) -> Any:
    log = []

    class A:
        @property
        def __class__(s):
            log.append(1)
            return A

    a = A()
    a.k = 2.0
    return drive(J, lambda x: x * a.k, lambda: setattr(a, "k", 3.0), show=lambda: len(log))


@compiled
def attributes_that_are_counted(J: Any) -> Any:
    log = []

    class A:
        def __getattribute__(s, n):
            log.append(n)
            return object.__getattribute__(s, n)

    a = A()
    a.k = 2.0
    return drive(J, lambda x: x * 2.0 if a is not None else x, lambda: None, show=lambda: list(log))


@compiled
def keys_that_equal_everything(J: Any) -> Any:
    log = []

    class A:
        def __eq__(s, o):
            log.append(1)
            return True

        def __hash__(s):
            log.append(2)
            return 1

    a = A()
    d = {a: 2.0}
    return drive(J, lambda x: x * next(iter(d.values())), lambda: d.update({a: 3.0}), show=lambda: 0)


@compiled
def a_signature_that_is_set(J: Any) -> Any:
    def h(a):
        pass

    def h2(a, b):
        pass

    return drive(
        J,
        lambda x: x * len(inspect.signature(h).parameters),
        lambda: setattr(h, "__signature__", inspect.signature(h2)),
    )


@compiled
def the_code_of_a_function_that_is_read(J: Any) -> Any:
    def h(a):
        pass

    def h2(a, b):
        pass

    return drive(J, lambda x: x * h.__code__.co_argcount, lambda: setattr(h, "__code__", h2.__code__))


@compiled
def a_closure_that_is_read(J: Any) -> Any:
    k = 2.0

    def h():
        return k

    def setk(v):
        nonlocal k
        k = v

    return drive(J, lambda x: x * h.__closure__[0].cell_contents, lambda: setk(3.0))


@compiled
def the_name_of_a_module(J: Any) -> Any:
    m = types.ModuleType("mm")
    m.__file__ = "/opt/mm.py"
    return drive(J, lambda x: x * len(m.__name__), lambda: setattr(m, "__name__", "mmmm"))


@compiled
def an_object_in_a_module_made_by_hand(J: Any) -> Any:
    m = types.ModuleType("mm4")
    m.k = NS(a=2.0)
    return drive(J, lambda x: x * m.k.a, lambda: setattr(m.k, "a", 3.0))


@compiled
def an_attribute_of_a_subclass_of_parameter(J: Any) -> Any:
    class W(nn.Parameter):
        scale = 2.0

    w = W(tg.ones(2))
    return drive(J, lambda x: (x * w).detach() * w.scale, lambda: setattr(W, "scale", 3.0))


@compiled
def a_dataclass_as_a_tuple(J: Any) -> Any:
    @dataclasses.dataclass
    class A:
        k: float

    a = A(1.0)
    return drive(J, lambda x: x * dataclasses.astuple(a)[0], lambda: setattr(a, "k", 222.0))


@compiled
def a_namespace_as_text(J: Any) -> Any:
    a = NS(k=1)
    return drive(J, lambda x: x * len(repr(a)), lambda: setattr(a, "k", 222))


@compiled
def two_namespaces_that_become_equal(J: Any) -> Any:
    a, b = NS(k=1), NS(k=2)
    return drive(J, lambda x: x * (2.0 if a == b else 3.0), lambda: setattr(a, "k", 2))


@compiled
def missing_attributes_that_are_counted(J: Any) -> Any:
    log = []

    class A:
        def __getattr__(s, n):
            log.append(n)
            raise AttributeError(n)

    a = A()
    a.k = 2.0
    return drive(J, lambda x: x * a.k, lambda: setattr(a, "k", 3.0), show=lambda: list(log))


@compiled
def objects_in_a_set_made_inside(J: Any) -> Any:
    class A:
        pass

    a, b = A(), A()
    s = NS(l=[a, b])
    return drive(J, lambda x: x * len(set(s.l)), lambda: s.l.__setitem__(1, a))


@compiled
def objects_as_keys_made_inside(J: Any) -> Any:
    class A:
        pass

    a, b = A(), A()
    s = NS(l=[a, b])
    return drive(J, lambda x: x * len({o: 1 for o in s.l}), lambda: s.l.__setitem__(1, a))


@compiled
def layers_told_apart_by_address(J: Any) -> Any:
    a, b = nn.Dense(2, in_features=2), nn.Dense(2, in_features=2)
    s = NS(l=[a, b])
    return drive(J, lambda x: x * len({id(o) for o in s.l}), lambda: s.l.__setitem__(1, a))


@compiled
def bases_in_another_order(J: Any) -> Any:
    class A:
        def k(s):
            return 2.0

    class M1(A):
        def k(s):
            return super().k() + 1

    class M2(A):
        def k(s):
            return super().k() * 5

    class Z(M1, M2):
        pass

    z = Z()
    return drive(J, lambda x: x * z.k(), lambda: setattr(Z, "__bases__", (M2, M1)))


@compiled
def a_length_that_is_an_object(J: Any) -> Any:
    class Z:
        n = 2

        def __call__(s):
            return s.n

    z = Z()

    class A:
        __len__ = z

    a = A()
    return drive(J, lambda x: x * len(a), lambda: setattr(z, "n", 3))


@compiled
def a_call_that_is_a_partial(J: Any) -> Any:
    # From Python 3.13 on, one that is found in a class warns that it will be a method some day.
    kept: Any = staticmethod if sys.version_info >= (3, 13) else lambda f: f

    class A:
        __call__ = kept(functools.partial(lambda k, x: x * k, 2.0))

    a = A()
    other = kept(functools.partial(lambda k, x: x * k, 3.0))
    return drive(J, lambda x: a(x), lambda: setattr(A, "__call__", other))


@compiled
def an_instance_check_of_a_metaclass(J: Any) -> Any:
    class M(type):
        ok = False

        def __instancecheck__(c, o):
            return c.ok

    class A(metaclass=M):
        pass

    return drive(J, lambda x: x * (2.0 if isinstance(3, A) else 3.0), lambda: setattr(M, "ok", True))


@compiled
def gradients_set_outside(J: Any) -> Any:
    w = T([1.0, 2.0]).requires_grad_()

    def f(x):
        ((x * w) ** 2).sum().backward()
        return w.grad

    g = J(f)
    for i in range(12):
        if i % 4 == 1:
            w.grad = None
        if i % 4 == 2:
            w.grad = T([1.0, 1.0])
        yield g(X())


@compiled
def a_gradient_of_two_parameters(J: Any) -> Any:
    w = T([1.0, 2.0]).requires_grad_()
    v = T([1.0, 2.0]).requires_grad_()

    def f(x):
        ((x * w * v) ** 2).sum().backward()
        return w.grad

    g = J(f)
    for i in range(12):
        if i == 6:
            v.grad = w.grad
        yield g(X()), v.grad


@compiled
def a_dict_that_makes_what_is_missing(J: Any) -> Any:
    class D(dict):
        base = 2.0

        def __missing__(s, k):
            return s.base

    d = D()
    return drive(J, lambda x: x * d["k"], lambda: setattr(D, "base", 3.0))


@compiled
def a_method_chosen_by_class(J: Any) -> Any:
    class A:
        @functools.singledispatchmethod
        def scaled(self, x: Any) -> Any:
            return x * 2.0

    a = A()
    dispatch: Any = vars(A)["scaled"]
    return drive(J, lambda x: a.scaled(x), lambda: dispatch.register(tg.Tensor)(lambda self, x: x * 3.0))


@compiled
def what_a_partial_in_a_property_holds(J: Any) -> Any:
    held = types.SimpleNamespace(k=2.0)

    class A:
        k = property(functools.partial(lambda h, self: h.k, held))

    a = A()
    return drive(J, lambda x: x * a.k, lambda: setattr(held, "k", 3.0))


@compiled
def what_a_partial_in_a_static_method_holds(J: Any) -> Any:
    held = types.SimpleNamespace(k=2.0)

    class A:
        scaled = staticmethod(functools.partial(lambda h, x: x * h.k, held))

    a = A()
    return drive(J, lambda x: a.scaled(x), lambda: setattr(held, "k", 3.0))


@compiled
def a_call_that_is_a_static_partial(J: Any) -> Any:
    class A:
        __call__ = staticmethod(functools.partial(lambda k, x: x * k, 2.0))

    a = A()
    other = staticmethod(functools.partial(lambda k, x: x * k, 3.0))
    return drive(J, lambda x: a(x), lambda: setattr(A, "__call__", other))
