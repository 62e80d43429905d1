"""Settings of tapegrad and of the machine, and functions that are patched."""

import functools
import math
import os
import sys
import types
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import T, Table, change, each_call, ones_layer, swapped, x2

nn, F = tg.nn, tg.nn.functional
CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager

FLAGS = types.ModuleType("userflags")
FLAGS.__file__ = os.path.join(os.path.dirname(os.path.abspath(__file__)), "userflags.py")
sys.modules["userflags"] = FLAGS
SETTINGS: Any = None


# ---- settings ----
@compiled
def the_default_dtype(J: Any) -> Any:
    g = J(lambda x: (x * 2.0, tg.ones(2) * 2.0))
    before = tg.get_default_dtype()
    try:
        for dtype in ("float32", "float64", "float32"):
            tg.set_default_dtype(dtype)
            for _ in range(4):
                yield g(x2())
    finally:
        tg.set_default_dtype(before)


@compiled
def a_flag_of_a_module_of_the_users(J: Any) -> Any:
    FLAGS.scale = 2.0

    def f(x: Any) -> Any:
        import userflags as flags  # type: ignore[import-not-found]

        return x * flags.scale

    return swapped(J, f, lambda v: setattr(FLAGS, "scale", v))


@compiled
def a_flag_that_appears_in_a_module(J: Any) -> Any:
    vars(FLAGS).pop("fast", None)
    f = lambda x: x * (2.0 if getattr(FLAGS, "fast", False) else 3.0)
    try:
        yield from change(J, f, lambda: setattr(FLAGS, "fast", True))
    finally:
        vars(FLAGS).pop("fast", None)


@compiled
def a_global_configuration_that_is_replaced(J: Any) -> Any:
    def set_to(v: float) -> None:
        global SETTINGS
        SETTINGS = types.SimpleNamespace(scale=v, name="x")

    return swapped(J, lambda x: x * SETTINGS.scale, set_to)


@compiled
def a_global_that_is_deleted(J: Any) -> Any:
    def f(x: Any) -> Any:
        try:
            return x * EXTRA
        except NameError:
            return x * 7.0

    globals()["EXTRA"] = 2.0
    try:
        yield from change(J, f, lambda: globals().pop("EXTRA"))
    finally:
        globals().pop("EXTRA", None)


@either("environ")
def whether_a_variable_is_in_the_environment(J: Any) -> Any:
    os.environ.pop("TAPEGRAD_TEST_ON", None)
    f = lambda x: x * (2.0 if "TAPEGRAD_TEST_ON" in os.environ else 3.0)
    try:
        yield from change(J, f, lambda: os.environ.__setitem__("TAPEGRAD_TEST_ON", "1"))
    finally:
        os.environ.pop("TAPEGRAD_TEST_ON", None)


@either("errstate", "geterr", "seterr")
def a_setting_of_numpy(J: Any) -> Any:
    old = np.geterr()
    f = lambda x: x * (2.0 if np.geterr()["under"] == "ignore" else 3.0)
    try:
        yield from change(J, f, lambda: np.seterr(under="warn"))
    finally:
        np.seterr(**old)


@either("getrecursionlimit")
def a_limit_of_the_interpreter(J: Any) -> Any:
    old = sys.getrecursionlimit()
    f = lambda x: x * (2.0 if sys.getrecursionlimit() == old else 3.0)
    try:
        yield from change(J, f, lambda: sys.setrecursionlimit(old + 10))
    finally:
        sys.setrecursionlimit(old)


# ---- functions that are patched ----
def patched(J: Any, f: Any, owner: Any, name: str, new: Any) -> Any:
    old = getattr(owner, name)
    try:
        yield from change(J, f, lambda: setattr(owner, name, new), back=lambda: setattr(owner, name, old))
    finally:
        setattr(owner, name, old)


@compiled
def a_function_of_tapegrad_is_patched(J: Any) -> Any:
    return patched(J, lambda x: F.relu(x - 1.5), F, "relu", lambda x: x * 100.0)


@compiled
def a_function_of_the_face_is_patched(J: Any) -> Any:
    return patched(J, lambda x: tg.tanh(x), tg, "tanh", lambda x: x * 100.0)


@compiled
def a_method_of_a_layer_class_is_patched(J: Any) -> Any:
    m = ones_layer()
    f = lambda x: m(x.reshape(1, 2)).detach()
    return patched(J, f, nn.Dense, "forward", lambda self, x: x * 100.0)


@compiled
def a_function_of_numpy_is_patched(J: Any) -> Any:
    numbers = [1.0, 2.0]
    return patched(J, lambda x: x * float(np.mean(numbers)), np, "mean", lambda v: 100.0)


@compiled
def a_constant_of_math_is_patched(J: Any) -> Any:
    return patched(J, lambda x: x * math.pi, math, "pi", 3.0)


@compiled
def a_function_of_math_is_patched(J: Any) -> Any:
    return patched(J, lambda x: x * math.sqrt(4.0), math, "sqrt", lambda v: 100.0)


@compiled
def code_of_a_function_is_replaced(J: Any) -> Any:
    def h(x: Any) -> Any:
        return x * 2

    return change(J, lambda x: h(x), lambda: setattr(h, "__code__", (lambda x: x * 50).__code__))


@compiled
def code_of_the_function_itself_is_replaced(J: Any) -> Any:
    def h(x: Any) -> Any:
        return x * 2

    return change(J, h, lambda: setattr(h, "__code__", (lambda x: x * 50).__code__))


@compiled
def an_implementation_is_registered(J: Any) -> Any:
    @functools.singledispatch
    def scale_of(v: Any) -> float:
        return 2.0

    return change(J, lambda x: x * scale_of([1]), lambda: scale_of.register(list, lambda v: 9.0))


@either("cache", "table")
def a_cache_that_is_cleared(J: Any) -> Any:
    source = {"k": 2.0}

    @functools.lru_cache
    def table() -> Any:
        return source["k"]

    def act() -> None:
        source["k"] = 3.0
        table.cache_clear()

    return change(J, lambda x: x * table(), act)


@either("cache", "table")
def a_cache_of_a_changing_key(J: Any) -> Any:
    state = types.SimpleNamespace(k=2.0)
    table = functools.cache(lambda k: k * 10.0)
    return change(J, lambda x: x * table(state.k), lambda: setattr(state, "k", 3.0))


@compiled
def a_cached_property(J: Any) -> Any:
    class A:
        base = 2.0

        @functools.cached_property
        def scale(self) -> float:
            return self.base * 2

    a = A()

    def act() -> None:
        a.base = 5.0
        vars(a).pop("scale", None)

    return change(J, lambda x: x * a.scale, act)


@either("calls", "counted")
def a_decorator_with_state(J: Any) -> Any:
    def counted(f: Any) -> Any:
        @functools.wraps(f)
        def g(*args: Any) -> Any:
            g.calls += 1
            return f(*args)

        g.calls = 0
        return g

    h = counted(lambda x: x * 2)
    f = J(lambda x: h(x))
    for _ in range(6):
        yield f(x2()), h.calls


@compiled
def operators_of_a_class_are_exchanged(J: Any) -> Any:
    class V:
        def __init__(self, t: Any) -> None:
            self.t = t

        def __add__(self, other: Any) -> Any:
            return V(self.t + other.t)

    v = V(T([10.0, 20.0]))
    f = lambda x: (V(x) + v).t
    return change(J, f, lambda: setattr(V, "__add__", lambda a, b: V(a.t * b.t)))


@compiled
def a_keyword_default(J: Any) -> Any:
    def h(x: Any, *, scale: float = 2.0) -> Any:
        return x * scale

    return change(J, lambda x: h(x), lambda: h.__kwdefaults__.update(scale=9.0))


@compiled
def a_list_as_default(J: Any) -> Any:
    def h(x: Any, scales: Any = [2.0]) -> Any:  # noqa: B006
        return x * scales[0]

    return change(J, lambda x: h(x), lambda: h.__defaults__[0].__setitem__(0, 9.0))


@eager("scales", "default")
def a_list_as_default_that_grows(J: Any) -> Any:
    def h(x: Any, scales: Any = []) -> Any:  # noqa: B006
        scales.append(1.0)
        return x * len(scales)

    return each_call(J, h)
