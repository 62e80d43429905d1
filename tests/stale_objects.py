"""Attributes, classes, containers and arrays that change between calls."""

import array
import collections
import ctypes
import dataclasses
import functools
import operator
import types
import weakref
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import T, Table, change, ones_layer, x2

nn = tg.nn
CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager


class Cfg:
    k = 2.0


# ---- Modules ----
def model_change(J: Any, act: Any, make: Any = None) -> Any:
    m = nn.Sequential(ones_layer(), ones_layer()) if make is None else make()
    f = J(lambda x: m(x).detach())
    for k in range(8):
        if k == 3:
            act(m)
        yield f(tg.ones((1, 2)))


@compiled
def a_layer_is_appended(J: Any) -> Any:
    return model_change(J, lambda m: m.layers.append(ones_layer()))


@compiled
def a_layer_is_replaced(J: Any) -> Any:
    return model_change(J, lambda m: m.layers.__setitem__(0, ones_layer(kernel="zeros")))


@compiled
def an_activation_is_replaced(J: Any) -> Any:
    return model_change(J, lambda m: setattr(m.layers[0], "activation", tg.tanh))


@compiled
def an_activation_is_replaced_past_the_module(J: Any) -> Any:
    return model_change(J, lambda m: object.__setattr__(m.layers[0], "activation", tg.tanh))


@compiled
def a_forward_is_patched(J: Any) -> Any:
    return model_change(J, lambda m: setattr(m.layers[0], "forward", lambda x: x * 7))


@compiled
def a_forward_of_the_class_is_replaced(J: Any) -> Any:
    class N(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 2

    return model_change(J, lambda m: setattr(N, "forward", lambda self, x: x * 9), N)


@compiled
def a_flag_of_a_module(J: Any) -> Any:
    class M(nn.Module):
        def __init__(self) -> None:
            self.disabled = False

        def forward(self, x: Any) -> Any:
            return x if self.disabled else x * 3

    return model_change(J, lambda m: setattr(m, "disabled", True), M)


@compiled
def a_training_flag_that_is_only_read(J: Any) -> Any:
    class M(nn.Module):
        def forward(self, x: Any) -> Any:
            return x

    m = M()
    functions = [lambda x: x * 2 if m.training else x * 3]
    return change(J, lambda x: functions[0](x), m.eval)


# ---- objects of the user's ----
@compiled
def a_dataclass_as_argument(J: Any) -> Any:
    @dataclasses.dataclass
    class C:
        lr: float

    c = C(0.1)
    f = J(lambda x, c: x * c.lr)
    for k in range(8):
        if k == 3:
            c.lr = 0.5
        yield f(x2(), c)


@compiled
def a_class_method(J: Any) -> Any:
    class A:
        k = 3.0

        @classmethod
        def times(cls, x: Any) -> Any:
            return x * cls.k

    return change(J, A.times, lambda: setattr(A, "k", 5.0))


@compiled
def a_class_attribute(J: Any) -> Any:
    Cfg.k = 2.0
    return change(J, lambda x: x * Cfg.k, lambda: setattr(Cfg, "k", 3.0))


@compiled
def a_slot(J: Any) -> Any:
    class S:
        __slots__ = ("k",)

    s = S()
    s.k = 2.0
    return change(J, lambda x: x * s.k, lambda: setattr(s, "k", 3.0))


@compiled
def a_slot_that_is_filled(J: Any) -> Any:
    class A:
        __slots__ = ("on",)

    a = A()
    return change(J, lambda x: x * 2 if hasattr(a, "on") else x, lambda: setattr(a, "on", 1))


@compiled
def an_attribute_that_is_added(J: Any) -> Any:
    class A:
        pass

    a = A()
    return change(J, lambda x: x * 2 if hasattr(a, "on") else x, lambda: setattr(a, "on", 1))


@compiled
def a_property(J: Any) -> Any:
    class S:
        def __init__(self) -> None:
            self._k = 2.0

        @property
        def k(self) -> Any:
            return self._k

    s = S()
    return change(J, lambda x: x * s.k, lambda: setattr(s, "_k", 3.0))


@compiled
def an_attribute_of_the_metaclass(J: Any) -> Any:
    class M(type):
        k = 2.0

    class A(metaclass=M):
        pass

    return change(J, lambda x: x * A.k, lambda: setattr(M, "k", 3.0))


@compiled
def nested_namespaces(J: Any) -> Any:
    s = types.SimpleNamespace(a=types.SimpleNamespace(k=2.0))
    return change(J, lambda x: x * s.a.k, lambda: setattr(s.a, "k", 3.0))


@compiled
def an_attrgetter(J: Any) -> Any:
    c = types.SimpleNamespace(k=2.0)
    return change(J, lambda x: x * operator.attrgetter("k")(c), lambda: setattr(c, "k", 3.0))


@compiled
def a_match_statement(J: Any) -> Any:
    @dataclasses.dataclass
    class C:
        k: float

    c = C(2.0)

    def f(x: Any) -> Any:
        match c:
            case C(k=2.0):
                return x * 2
            case _:
                return x * 3

    return change(J, f, lambda: setattr(c, "k", 3.0))


@compiled
def an_object_that_a_registry_gives(J: Any) -> Any:
    class Registry:
        def __init__(self) -> None:
            self.items: dict[str, Any] = {}

        def get(self, name: str) -> Any:
            return self.items[name]

    r = Registry()
    r.items["a"] = types.SimpleNamespace(k=2.0)
    return change(J, lambda x: x * r.get("a").k, lambda: setattr(r.items["a"], "k", 3.0))


@compiled
def a_history_that_is_written_outside(J: Any) -> Any:
    class Trainer:
        def __init__(self) -> None:
            self.m = ones_layer(1)
            self.o = tg.optim.SGD(self.m, lr=0.1)
            self.history: list[Any] = []
            self.epoch = 0

        def step(self, x: Any) -> Any:
            loss = (self.m(x) ** 2).mean()
            self.o.zero_grad()
            loss.backward()
            self.o.step()
            return loss.detach()

    t = Trainer()
    f = J(t.step)
    for _ in range(8):
        v = f(tg.ones((1, 2)))
        t.history.append(v)
        t.epoch += 1
        yield v


# ---- containers ----
@compiled
def a_set_as_argument(J: Any) -> Any:
    s = {1, 2}
    f = J(lambda x, s: x * sum(s))
    for k in range(8):
        if k == 3:
            s.add(5)
        yield f(x2(), s)


@compiled
def a_deque_of_tensors_as_argument(J: Any) -> Any:
    d = collections.deque([x2()], maxlen=1)
    f = J(lambda x, d: x * d[0])
    for k in range(8):
        if k == 3:
            d.append(T([100.0, 100.0]))
        yield f(x2(), d)


@compiled
def a_list_of_numbers(J: Any) -> Any:
    numbers = [1.0, 2.0]
    return change(J, lambda x: x * sum(numbers), lambda: numbers.__setitem__(1, 5.0))


@compiled
def a_counter(J: Any) -> Any:
    d = collections.Counter(k=2)
    return change(J, lambda x: x * d["k"], lambda: d.update(k=1))


@compiled
def a_dict_with_attributes(J: Any) -> Any:
    class D(dict):
        def __getattr__(self, n: str) -> Any:
            if n in self:
                return self[n]
            raise AttributeError(n)

    d = D(k=2.0)

    def act() -> None:
        d.unused = 1
        d["k"] = 3.0

    return change(J, lambda x: x * d.k, act)


@either("mappingproxy", "proxy")
def a_mapping_proxy(J: Any) -> Any:
    d = {"k": 2.0}
    proxy = types.MappingProxyType(d)
    return change(J, lambda x: x * proxy["k"], lambda: d.update(k=3.0))


@either("weakref", "reference")
def a_weak_reference(J: Any) -> Any:
    class Held:
        k = 2.0

    o = Held()
    reference = weakref.ref(o)
    return change(J, lambda x: x * reference().k, lambda: setattr(o, "k", 3.0))


@either("weak", "Weak")
def a_weak_dictionary(J: Any) -> Any:
    class Held:
        k = 2.0

    o = Held()
    weak: Any = weakref.WeakValueDictionary()
    weak["a"] = o
    return change(J, lambda x: x * weak["a"].k, lambda: setattr(o, "k", 3.0))


# ---- arrays ----
@compiled
def a_numpy_array(J: Any) -> Any:
    w = np.array([1.0, 2.0], "f")
    return change(J, lambda x: x * w, lambda: w.__setitem__(slice(None), [3, 4]))


@either("table")
def a_large_numpy_array(J: Any) -> Any:
    table = np.ones(20000, "f")
    f = J(lambda x: x * table)
    for k in range(8):
        if k == 3:
            table[:] = 2
        yield f(tg.ones(20000))


@either("objects", "array")
def a_numpy_array_of_objects(J: Any) -> Any:
    objects = np.array([2.0, None], object)
    return change(J, lambda x: x * objects[0], lambda: objects.__setitem__(0, 3.0))


@either("array", "numbers")
def an_array_of_the_standard_library(J: Any) -> Any:
    numbers = array.array("d", [2.0])
    return change(J, lambda x: x * numbers[0], lambda: numbers.__setitem__(0, 3.0))


@either("ctypes", "c_double")
def a_number_of_c(J: Any) -> Any:
    v = ctypes.c_double(2.0)
    return change(J, lambda x: x * v.value, lambda: setattr(v, "value", 3.0))


@either("pandas", "Series", "series")
def a_series_of_pandas(J: Any) -> Any:
    import pandas as pd

    series = pd.Series([1.0, 2.0])
    return change(J, lambda x: x * float(series.mean()), lambda: series.__setitem__(0, 9.0))


@eager(".data")
def raw_data_of_an_argument(J: Any) -> Any:
    f = J(lambda x: x * float(x.data[0]))
    for k in range(6):
        yield f(T([k // 2 + 1.0, 2.0]))


@eager(".data")
def raw_data_of_an_argument_given_twice(J: Any) -> Any:
    f, a, b = J(lambda x: x * float(x.data.sum())), x2(), T([5.0, 5.0])
    for x in (a, a, a, b, b):
        yield f(x)


@compiled
def a_partial_of_a_method(J: Any) -> Any:
    class A:
        k = 2.0

        def times(self, c: Any, x: Any) -> Any:
            return x * self.k * c

    a = A()
    return change(J, functools.partial(a.times, 2.0), lambda: setattr(a, "k", 3.0))
