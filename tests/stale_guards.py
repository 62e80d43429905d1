"""One case for each guard and each refusal that no case of the other tables needs (`tests/switched_off.py`)."""

import importlib
import operator
import random
import sys
import types
from functools import partial
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import T, Table, change, each_call, x2

CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager
NS: Any = types.SimpleNamespace


def leaf(*values: float) -> Any:
    return T(list(values)).requires_grad_()


@compiled
def the_order_in_memory_of_an_argument(J: Any) -> Any:
    """A sum of float32 numbers goes through memory: 1e8 + 1 - 1e8 + 1 is 1, and 1e8 - 1e8 + 1 + 1 is 2."""
    g = J(lambda x: (x * 3.0).sum())
    values = np.array([[1e8, 1.0], [-1e8, 1.0]], "float32")
    for i in range(8):
        yield g(tg.tensor(values) if i < 4 else tg.tensor(np.ascontiguousarray(values.T)).T)


@compiled
def a_leaf_in_place_of_what_was_computed(J: Any) -> Any:
    w = leaf(1.0, 2.0)
    g = J(lambda t: t.detach() * (2.0 if t.is_leaf else 3.0))
    for i in range(8):
        yield g(w if i < 4 else w * 1.0)


@eager("computed outside")
def a_gradient_through_what_was_computed_outside(J: Any) -> Any:
    w = leaf(1.0, 2.0)
    h = w * 3.0

    def f(x: Any) -> Any:
        w.grad = None
        (h * h * x).sum().backward(retain_graph=True)
        return w.grad

    return each_call(J, f)


@eager("argument")
def what_is_written_into_an_argument(J: Any) -> Any:
    kept: Any = {"x": x2()}

    def f(x: Any) -> Any:
        x += 1.0
        return x * 2.0

    g = J(f)
    for _ in range(6):
        yield g(kept["x"]), kept["x"]


@eager("t.data")
def data_that_is_exchanged_inside(J: Any) -> Any:
    b = x2()

    def f(x: Any) -> Any:
        b.data = np.ones(2, "float32")
        return b + 1.0

    g = J(f)
    for i in range(6):
        yield g(T([i, 1.0])), b


@eager("t.data", "attrgetter")
def data_by_an_attrgetter(J: Any) -> Any:
    get = operator.attrgetter("data")
    return each_call(J, lambda x: x * float(get(x)[0]))


@eager("seed")
def a_seed_that_is_set_inside(J: Any) -> Any:
    def f(x: Any) -> Any:
        tg.manual_seed(3)
        return x * tg.uniform((2,))

    return each_call(J, f)


@eager("view")
def a_write_into_a_part_of_what_was_made_inside(J: Any) -> Any:
    def f(x: Any) -> Any:
        y = x * 2.0
        v = y[:1]
        v.assign(v + 10.0)
        return y

    return each_call(J, f)


@eager("random")
def numbers_that_a_helper_of_a_library_draws(J: Any) -> Any:
    draw: Any = np.vectorize(lambda v: v * np.random.rand())
    return each_call(J, lambda x: x * float(draw(1.0)))


@eager("random")
def numbers_that_a_sort_draws(J: Any) -> Any:
    def f(x: Any) -> Any:
        order = sorted([1.0, 2.0, 3.0], key=lambda v: random.random())
        return x * order[0]

    return each_call(J, f)


@either("recur", "limit")
def recursion_to_the_limit(J: Any) -> Any:
    def down(n: int) -> int:
        return down(n + 1)

    def f(x: Any) -> Any:
        try:
            down(0)
        except RecursionError:
            return x * 2.0
        return x

    return each_call(J, f)


@eager("optimizer")
def an_optimizer_made_inside(J: Any) -> Any:
    w = tg.Parameter(tg.ones(2))
    first = tg.optim.SGD([w], lr=0.1)

    def f(x: Any) -> Any:
        first.zero_grad()
        (w * x).sum().backward()
        tg.optim.SGD([w], lr=0.2).step()
        return w * 1.0

    g = J(f)
    for _ in range(6):
        yield g(x2()).detach()


@compiled
def an_attribute_of_a_layer_that_a_class_asks_for(J: Any) -> Any:
    layer = tg.nn.Dense(2, in_features=2, kernel_initializer="ones")

    def f(x: Any) -> Any:
        return (layer(x) * len(vars(layer))).detach()

    return change(J, f, lambda: setattr(layer, "note", 1))


@eager("print")
def print_among_other_values(J: Any) -> Any:
    def f(x: Any) -> Any:
        say = [print][0]
        say("here")
        return x * 2.0

    return each_call(J, f)


@eager("sys", "setrecursionlimit", "getrefcount", "time")
def a_function_of_a_module_that_is_handed_on(J: Any) -> Any:
    import time

    def f(x: Any) -> Any:
        return x * next(map(lambda g: g() * 0.0 + 2.0, [time.perf_counter]))

    return each_call(J, f)


@compiled
def a_module_that_gets_a_name(J: Any) -> Any:
    module = types.ModuleType("settings")
    module.__spec__ = importlib.machinery.ModuleSpec("settings", None)
    return change(J, lambda x: x * getattr(module, "scale", 1.0), lambda: setattr(module, "scale", 3.0))


@compiled
def a_name_that_appears_in_a_module(J: Any) -> Any:
    module = types.ModuleType("settings")

    def f(x: Any) -> Any:
        try:
            return x * module.scale
        except AttributeError:
            return x

    return change(J, f, lambda: setattr(module, "scale", 3.0))


@compiled
def a_module_that_is_imported_if_it_is_there(J: Any) -> Any:
    def f(x: Any) -> Any:
        try:
            import module_of_scales
        except ImportError:
            return x
        return x * module_of_scales.scale

    def appear() -> None:
        sys.modules["module_of_scales"] = types.ModuleType("module_of_scales")
        sys.modules["module_of_scales"].scale = 3.0  # type: ignore[attr-defined]

    try:
        yield from change(J, f, appear)
    finally:
        sys.modules.pop("module_of_scales", None)


@compiled
def a_method_in_place_of_a_function(J: Any) -> Any:
    class Scale:
        def __init__(self) -> None:
            self.s = 2.0

        def of(self, x: Any) -> Any:
            return x * self.s

    class Alike:
        """It has what a method has, and is none."""

        def __init__(self, method: Any) -> None:
            self.__func__, self.__self__ = method.__func__, method.__self__

        def __call__(self, x: Any) -> Any:
            return x * 5.0

    held = NS(method=Scale().of)
    return change(J, lambda x: held.method(x), lambda: setattr(held, "method", Alike(held.method)))


@compiled
def a_partial_of_another_class(J: Any) -> Any:
    class Twice(partial):
        def __call__(self, *args: Any) -> Any:
            return super().__call__(*args) * 2.0

    held = NS(f=partial(tg.multiply, 3.0))

    def act() -> None:
        held.f = Twice(*(held.f.func, *held.f.args), **held.f.keywords)

    return change(J, lambda x: held.f(x), act)


@eager("urandom", "time")
def a_function_with_effects_in_a_table(J: Any) -> Any:
    import time

    table = {"now": time.time}
    return each_call(J, lambda x: x * (2.0 if table["now"]() > 0 else 1.0))


@eager("frompyfunc")
def a_ufunc_that_is_made_of_a_function(J: Any) -> Any:
    held = {"s": 2.0}
    scaled = np.frompyfunc(lambda v: v * held["s"], 1, 1)
    return change(J, lambda x: x * float(scaled(1.0)), lambda: held.update(s=3.0))


@eager("elements")
def a_list_of_many_objects(J: Any) -> Any:
    held = [(float(i),) for i in range(20_000)]
    return change(J, lambda x: x * held[7][0], lambda: held.__setitem__(7, (3.0,)))


@eager("entries")
def a_dict_of_many_entries(J: Any) -> Any:
    held = {i: 1.0 for i in range(20_000)}
    return change(J, lambda x: x * held[7], lambda: held.update({7: 3.0}))


@compiled
def a_tensor_that_is_argument_and_global(J: Any) -> Any:
    b = x2()
    g = J(lambda x: b * (2.0 if x is b else 3.0))
    for i in range(8):
        yield g(b if i >= 4 else x2())


@compiled
def a_primitive_with_another_rule(J: Any) -> Any:
    tanh = tg.tanh(leaf(1.0)).node.primitive
    forward = tanh.forward
    try:
        yield from change(
            J, lambda x: tg.tanh(x), lambda: setattr(tanh, "forward", lambda xp, x: forward(xp, x) * 2.0)
        )
    finally:
        tanh.forward = forward


@compiled
def two_tensors_that_no_longer_share_memory(J: Any) -> Any:
    a = x2()
    held = NS(a=a, b=a.detach())

    def f(x: Any) -> Any:
        held.a.assign(held.a + x)
        return held.b * 1.0

    g = J(f)
    for i in range(8):
        if i == 4:
            held.b.data = held.b.numpy().copy()
        yield g(x2())


@compiled
def attributes_of_a_layer_by_names_that_are_computed(J: Any) -> Any:
    layer = tg.nn.Dense(2, in_features=2)
    layer.rate = 1.0

    def f(x: Any) -> Any:
        return x * sum(v for v in vars(layer).values() if isinstance(v, float))

    return change(J, f, lambda: setattr(layer, "rate", 3.0))


@compiled
def a_setting_of_a_layer_by_a_name_that_is_computed(J: Any) -> Any:
    layer = tg.nn.Dropout(0.25)
    return change(J, lambda x: x * getattr(layer, "ra" + "te"), lambda: setattr(layer, "rate", 0.5))


@eager("eval")
def eval_in_a_table(J: Any) -> Any:
    held = {"s": "2.0"}
    return change(J, lambda x: x * next(map(eval, [held["s"]])), lambda: held.update(s="3.0"))


@eager("deeply")
def objects_in_a_long_chain(J: Any) -> Any:
    class Link:
        scale = 1.0
        after: Any = None

    first = last = Link()
    for _ in range(30_000):
        last.after = Link()
        last = last.after

    def act() -> None:
        first.after.scale = 3.0

    yield from change(J, lambda x: x * first.after.scale, act)
    while first is not None:  # from its head on: Python frees a chain by recursion
        first = first.after


@eager("profiler")
def a_profiler_that_is_set_inside(J: Any) -> Any:
    held = NS(s=2.0)
    unset: Any = [sys.setprofile][0]

    def f(x: Any) -> Any:
        next(map(unset, [None]))
        return x * held.s

    return change(J, f, lambda: setattr(held, "s", 3.0))


@eager("recorded")
def a_primitive_whose_forward_needs_arrays(J: Any) -> Any:
    from tapegrad.autograd.primitive import Primitive

    ranks = Primitive("ranks_of_a_test", lambda xp, x: np.argsort(memoryview(x)), register=False)
    return each_call(J, lambda x: x * ranks(x))
