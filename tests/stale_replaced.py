"""Cases of values that are replaced by others of the same kind: functions, methods, classes, numbers."""

import builtins
import fractions
import functools
import math
import types
from typing import Any

import tapegrad as tg
from surroundings import T, Table, change

CASES = Table()
compiled = CASES.compiled
NS: Any = types.SimpleNamespace
nn, optim = tg.nn, tg.optim


@compiled
def an_attribute_of_an_optimizer(J: Any) -> Any:
    class Scaled(optim.SGD):
        scale = 1.0

    w = T([1.0, 2.0]).requires_grad_()
    o = Scaled([w], lr=0.1)
    o.scale = 2.0

    def f(x: Any) -> Any:
        loss = ((x * w) ** 2).sum() * o.scale
        o.zero_grad()
        loss.backward()
        o.step()
        return loss.detach()

    return change(J, f, lambda: setattr(o, "scale", 3.0))


@compiled
def options_of_an_optimizer_that_are_replaced(J: Any) -> Any:
    w = T([1.0, 2.0]).requires_grad_()
    o = optim.AdamW([w], lr=0.1)

    def f(x: Any) -> Any:
        loss = ((x * w) ** 2).sum()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss.detach()

    def act() -> None:
        for flat in o.flats:
            dict(flat.numbers)["weight_decay"].assign(0.9)

    return change(J, f, act)


@compiled
def a_fraction(J: Any) -> Any:
    s = NS(r=fractions.Fraction(1, 2))
    return change(J, lambda x: x * float(s.r), lambda: setattr(s, "r", fractions.Fraction(1, 3)))


@compiled
def a_slice(J: Any) -> Any:
    s = NS(r=slice(0, 1))
    return change(J, lambda x: x[s.r] * 1.0, lambda: setattr(s, "r", slice(0, 2)))


@compiled
def what_a_jitted_helper_closes_over(J: Any) -> Any:
    s = NS(k=2.0)
    helper = tg.jit(lambda x: x * s.k, emitter="numpy")
    return change(J, lambda x: helper(x) + 1.0, lambda: setattr(s, "k", 3.0))


@compiled
def a_layer_that_stops_training(J: Any) -> Any:
    m = nn.Sequential(nn.Dense(3, in_features=2), nn.Dropout(0.5))
    f = lambda x: m(x.reshape(1, 2)).detach()
    return change(J, f, lambda: setattr(m.layers[1], "training", False))


@compiled
def a_builtin_that_is_patched(J: Any) -> Any:
    old = builtins.pow
    try:
        yield from change(J, lambda x: x * pow(2.0, 2), lambda: setattr(builtins, "pow", lambda *a, **k: 9.0))
    finally:
        builtins.pow = old


@compiled
def another_method_of_the_same_object(J: Any) -> Any:
    class A:
        def twice(self, x: Any) -> Any:
            return x * 2.0

        def thrice(self, x: Any) -> Any:
            return x * 3.0

    a = A()
    s = NS(m=a.twice)
    return change(J, lambda x: s.m(x), lambda: setattr(s, "m", a.thrice))


@compiled
def a_method_that_becomes_a_function(J: Any) -> Any:
    class A:
        def twice(self, x: Any) -> Any:
            return x * 2.0

    s = NS(m=A().twice)
    return change(J, lambda x: s.m(x), lambda: setattr(s, "m", lambda x: x * 3.0))


@compiled
def a_function_as_a_key(J: Any) -> Any:
    first, second = (lambda: 1), (lambda: 2)
    d = {first: 2.0, second: 3.0}
    s = NS(a=first)
    return change(J, lambda x: x * d[s.a], lambda: setattr(s, "a", second))


@compiled
def a_function_of_math_that_is_chosen(J: Any) -> Any:
    s = NS(f=math.sqrt)
    return change(J, lambda x: x * s.f(4.0), lambda: setattr(s, "f", math.exp))


@compiled
def a_method_of_a_list_that_is_chosen(J: Any) -> Any:
    numbers = [1, 1, 5]
    s = NS(f=numbers.count)
    return change(J, lambda x: x * (2.0 + s.f(1)), lambda: setattr(s, "f", numbers.index))


@compiled
def the_list_of_a_method_that_is_chosen(J: Any) -> Any:
    s = NS(f=[1, 1, 5].count)
    return change(J, lambda x: x * s.f(1), lambda: setattr(s, "f", [1, 5].count))


@compiled
def another_cached_function(J: Any) -> Any:
    s = NS(f=functools.cache(lambda n: 2.0 * n))
    return change(J, lambda x: x * s.f(1), lambda: setattr(s, "f", functools.cache(lambda n: 3.0 * n)))


@compiled
def another_class(J: Any) -> Any:
    class A:
        k = 2.0

    class B:
        k = 3.0

    s = NS(kind=A)
    return change(J, lambda x: x * s.kind().k, lambda: setattr(s, "kind", B))


@compiled
def a_subclass_of_partial(J: Any) -> Any:
    class Twice(functools.partial[Any]):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return super().__call__(*args, **kwargs) * 2.0

    s = NS(f=functools.partial(lambda k, x: x * k, 2.0))
    return change(J, lambda x: s.f(x), lambda: setattr(s, "f", Twice(lambda k, x: x * k, 2.0)))


@CASES.eager("argument")
def a_parameter_as_an_argument(J: Any) -> Any:
    w = T([1.0, 2.0]).requires_grad_()

    def f(x: Any) -> Any:
        w.grad = None
        ((x.detach() * w) ** 2).sum().backward()
        return w.grad * (2.0 if x is w else 3.0)

    g = J(f)
    for i in range(13):
        yield g(T([1.0, 2.0]).requires_grad_() if i % 2 else w)


@CASES.either("w")
def four_arguments_of_which_one_is_a_parameter(J: Any) -> Any:
    w = T([1.0, 2.0])
    g = J(lambda *a: sum(a) * w * (2.0 if a[3] is w else 3.0))
    for i in range(12):
        yield g(*(T([1.0, 2.0]) for _ in range(3)), T([1.0, 2.0]) if i % 2 else w)
