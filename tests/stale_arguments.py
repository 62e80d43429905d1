"""Cases of arguments, and of places that another value of the same kind is put into."""

import collections
import types
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import T, Table, change

CASES = Table()
compiled = CASES.compiled
NS: Any = types.SimpleNamespace
optim = tg.optim


def X() -> Any:
    return T([[1.0, 2.0]])


@compiled
def another_number_of_arguments(J: Any) -> Any:
    g = J(lambda *tensors: sum(t.sum() for t in tensors))
    for i in range(12):
        yield g(*(X() for _ in range(1 + i % 3)))


@compiled
def defaults_and_keywords_in_turn(J: Any) -> Any:
    def f(x: Any, k: float = 2.0, *, s: float = 1.0) -> Any:
        return x * k * s

    g = J(f)
    for i in range(16):
        yield [lambda: g(X()), lambda: g(X(), 3.0), lambda: g(X(), k=3.0), lambda: g(X(), s=4.0)][i % 4]()


@compiled
def keywords_by_their_order(J: Any) -> Any:
    g = J(lambda **k: sum(v * (i + 1) for i, v in enumerate(k.values())))
    for i in range(9):
        yield g(a=X(), b=X() * 2.0) if i % 2 else g(b=X() * 2.0, a=X())


@compiled
def keywords_of_other_names(J: Any) -> Any:
    g = J(lambda **k: k["a"] * 2.0 if "a" in k else k["b"] * 3.0)
    for i in range(9):
        yield g(a=X()) if i % 2 else g(b=X())


@compiled
def a_value_of_a_keyword(J: Any) -> Any:
    g = J(lambda x, *, k: x * (k + 1) if k is True else x * k * 5.0)
    for i in range(12):
        yield g(X(), k=[True, 1, 1.0][i % 3])


@compiled
def a_tensor_given_twice(J: Any) -> Any:
    g, t = J(lambda a, b: a * 2.0 + (b if a is not b else b * 10.0)), X()
    for i in range(12):
        yield g(t, t) if i % 2 else g(t, X())


@compiled
def a_tensor_given_twice_inside(J: Any) -> Any:
    g, t = J(lambda d: d["a"] * (2.0 if d["a"] is d["b"] else 3.0)), X()
    for i in range(12):
        yield g({"a": t, "b": t} if i % 3 else {"a": X(), "b": X()})


@compiled
def one_of_four_tensors_given_twice(J: Any) -> Any:
    g, t = J(lambda *a: sum(a) * (2.0 if a[0] is a[3] else 3.0)), X()
    for i in range(12):
        yield g(t, X(), X(), t if i % 3 else X())


@compiled
def an_element_of_a_long_list(J: Any) -> Any:
    numbers = list(range(500))
    f = lambda x: x * float(sum(numbers))
    return change(J, f, lambda: numbers.__setitem__(250, 7))


@compiled
def a_dict_of_another_class(J: Any) -> Any:
    class Doubled(dict[str, float]):
        def __getitem__(self, key: str) -> float:
            return 2.0 * dict.__getitem__(self, key)

    s = NS(d={"k": 2.0})
    return change(J, lambda x: x * s.d["k"], lambda: setattr(s, "d", Doubled(k=2.0)))


@compiled
def a_dict_that_becomes_a_counter(J: Any) -> Any:
    s = NS(d={"k": 2})
    f = lambda x: x * (s.d["z"] if isinstance(s.d, collections.Counter) else 5.0)
    return change(J, f, lambda: setattr(s, "d", collections.Counter(k=2)))


@compiled
def an_array_that_becomes_a_matrix(J: Any) -> Any:
    class Doubled(np.ndarray):
        def sum(self, *args: Any, **kwargs: Any) -> Any:
            return 2.0 * np.ndarray.sum(np.asarray(self))

    s = NS(a=np.ones((2, 2)))
    return change(J, lambda x: x * float(s.a.sum()), lambda: setattr(s, "a", s.a.view(Doubled)))


@compiled
def an_optimizer_of_another_class(J: Any) -> Any:
    class Backwards(optim.SGD):
        def step(self) -> None:
            with tg.no_grad():
                w.assign(w + 1.0)

    w = T([1.0, 2.0]).requires_grad_()
    o = optim.SGD([w], lr=0.1)

    def f(x: Any) -> Any:
        loss = ((x * w) ** 2).sum()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss.detach()

    return change(J, f, lambda: setattr(o, "__class__", Backwards))


@compiled
def two_optimizers_in_turn(J: Any) -> Any:
    w, v = T([1.0, 2.0]).requires_grad_(), T([3.0, 4.0]).requires_grad_()
    both = [optim.SGD([w], lr=0.1), optim.SGD([v], lr=0.1)]
    s = NS(o=both[0])

    def f(x: Any) -> Any:
        loss = ((x * w * v) ** 2).mean() * 0.01
        w.grad = v.grad = None
        loss.backward()
        s.o.step()
        return loss.detach()

    f = J(f)
    for i in range(16):
        s.o = both[i // 4 % 2]
        yield f(T([1.0, 2.0])), w.detach(), v.detach()


@compiled
def a_dict_of_objects_that_grows(J: Any) -> Any:
    class Key:
        pass

    d = {Key(): 2.0}
    return change(J, lambda x: x * sum(d.values()), lambda: d.update({Key(): 3.0}))


@compiled
def what_a_default_dict_makes(J: Any) -> Any:
    d: Any = collections.defaultdict(lambda: 2.0)

    def f(x: Any) -> Any:
        value = d["k"]
        del d["k"]
        return x * value

    return change(J, f, lambda: setattr(d, "default_factory", lambda: 5.0))


@compiled
def a_set_that_is_frozen(J: Any) -> Any:
    s = NS(names={1, 2})
    f = lambda x: x * (2.0 if isinstance(s.names, frozenset) else 3.0)
    return change(J, f, lambda: setattr(s, "names", frozenset({1, 2})))


@compiled
def an_argument_of_other_shapes(J: Any) -> Any:
    g = J(lambda x: x.sum() / x.size if hasattr(x, "size") else x.mean())
    for i in range(12):
        yield g(tg.ones((1 + i % 3, 2)))


@compiled
def an_argument_of_other_dtypes(J: Any) -> Any:
    g = J(lambda x: x * 2 + 0.5)
    for i in range(12):
        yield g(tg.tensor(np.ones(2, ["float32", "float64", "int64"][i % 3])))


@compiled
def an_argument_in_another_order_in_memory(J: Any) -> Any:
    g, b = J(lambda x: x.sum(0)), np.arange(24, dtype="f").reshape(4, 6)
    for i in range(12):
        yield g(tg.Tensor([b, np.asfortranarray(b), b[:, ::2]][i % 3]))


@compiled
def an_argument_that_requires_a_gradient(J: Any) -> Any:
    def f(w: Any) -> Any:
        return (w**2).sum().detach() * (2.0 if w.requires_grad else 3.0)

    g = J(f)
    for i in range(12):
        yield g(X().requires_grad_() if i % 3 == 0 else X())


@compiled
def an_argument_of_another_class(J: Any) -> Any:
    g = J(lambda w: w.detach() * (2.0 if isinstance(w, tg.nn.Parameter) else 3.0))
    for i in range(12):
        yield g(tg.nn.Parameter(tg.ones(2)) if i % 3 == 0 else tg.ones(2).requires_grad_())


@compiled
def a_gradient_that_is_there_and_is_not(J: Any) -> Any:
    w = T([1.0, 2.0]).requires_grad_()

    def f(x: Any) -> Any:
        ((x * w) ** 2).sum().backward()
        return w.grad

    g = J(f)
    for i in range(16):
        if i % 4 == 3:
            w.grad = None
        yield g(T([1.0, 2.0]))


@compiled
def a_part_of_a_model_in_a_method(J: Any) -> Any:
    class Other:
        def __init__(self) -> None:
            self.__self__, self.__func__ = self, lambda s, x: x

        def __call__(self, x: Any) -> Any:
            return x * 3.0

    class A:
        def twice(self, x: Any) -> Any:
            return x * 2.0

    s = NS(m=A().twice)
    return change(J, lambda x: s.m(x), lambda: setattr(s, "m", Other()))
