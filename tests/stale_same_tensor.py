"""Two places that hold one and the same tensor in some calls, and two tensors in others."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import Table

CASES = Table()
compiled = CASES.compiled
X = np.array([1.0, -2.0], "f4")


def fresh(value: float = 1.0) -> tg.Tensor:
    return tg.tensor(np.full(2, value, "f4"))


def rebound(J: Any, f: Any, o: Any) -> Iterator[Any]:
    """A place that is bound anew before each call, to the tensor of another place from the sixth on."""
    step = J(f)
    for i in range(9):
        o.a = fresh() if i < 5 else o.b
        yield step(tg.tensor(X))


@compiled
def one_place_is_rebound(J: Any) -> Iterator[Any]:
    o = SimpleNamespace(a=fresh(), b=fresh())
    yield from rebound(J, lambda x: x * (10 if o.a is o.b else 2), o)


@compiled
def one_place_is_rebound_and_both_are_read(J: Any) -> Iterator[Any]:
    o = SimpleNamespace(a=fresh(), b=fresh(3.0))
    yield from rebound(J, lambda x: x * (o.a if o.a is not o.b else o.b * 5), o)


@compiled
def a_set_of_tensors(J: Any) -> Iterator[Any]:
    o = SimpleNamespace(a=fresh(), b=fresh())
    yield from rebound(J, lambda x: x * len({o.a, o.b}), o)


@compiled
def a_dict_by_tensors(J: Any) -> Iterator[Any]:
    o = SimpleNamespace(a=fresh(), b=fresh())
    yield from rebound(J, lambda x: x * {o.b: 5.0}.get(o.a, 1.0), o)


@compiled
def a_write_where_both_are_one(J: Any) -> Iterator[Any]:
    o = SimpleNamespace(a=fresh(), b=fresh(), count=tg.nn.Buffer(np.zeros(2, "f4")))

    def f(x):
        if o.a is o.b:
            o.count.assign(o.count + 1)
        return x + o.count

    yield from rebound(J, f, o)


@compiled
def two_gradients(J: Any) -> Iterator[Any]:
    w, v = tg.nn.Parameter(X), tg.nn.Parameter(X)
    f = J(lambda x: x * (10 if w.grad is v.grad else 2))
    for i in range(9):
        v.grad = fresh()
        w.grad = fresh() if i < 5 else v.grad
        yield f(tg.tensor(X))


@compiled
def two_gradients_that_are_one_at_first(J: Any) -> Iterator[Any]:
    w, v = tg.nn.Parameter(X), tg.nn.Parameter(X)
    f = J(lambda x: x * (10 if w.grad is v.grad else 2))
    for i in range(9):
        v.grad = fresh()
        w.grad = v.grad if i < 5 else fresh()
        yield f(tg.tensor(X))


@compiled
def a_gradient_and_a_tensor(J: Any) -> Iterator[Any]:
    w, t = tg.nn.Parameter(X), fresh()
    f = J(lambda x: x * (10 if w.grad is t else 2) + t)
    for i in range(9):
        w.grad = fresh() if i < 5 else t
        yield f(tg.tensor(X))


@compiled
def many_places_that_are_bound_anew_and_a_gradient(J: Any) -> Iterator[Any]:
    w, places = tg.nn.Parameter(X), [fresh() for _ in range(20)]

    def f(x):
        sum((w * t).sum() for t in places).backward()
        gradient, w.grad = w.grad, None
        return x * gradient

    step = J(f)
    for i in range(8):
        places[:] = [fresh(i + n) for n in range(20)]
        yield step(tg.tensor(X))
