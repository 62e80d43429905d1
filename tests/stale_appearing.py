"""What appears where nothing was, or hides what was there."""

import sys
import types
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import T, Table, drive

CASES = Table()
compiled = CASES.compiled
NS: Any = types.SimpleNamespace
nn, optim = tg.nn, tg.optim


def net() -> Any:
    tg.manual_seed(0)
    return nn.Sequential(nn.Dense(3, "tanh", in_features=2), nn.Dense(2, in_features=3))


def training(m: Any, o: Any) -> Any:
    def step(x: Any) -> Any:
        l = (m(x) ** 2).mean()
        o.zero_grad()
        l.backward()
        o.step()
        return l.detach()

    return step


@compiled
def a_step_that_is_put_into_the_optimizer(J: Any) -> Any:
    m = net()
    o = optim.SGD(m, lr=0.1)
    return drive(
        J,
        training(m, o),
        lambda: setattr(o, "step", lambda: None),
        show=lambda: [p.detach() for p in m.parameters()],
    )


@compiled
def print_options_of_numpy(J: Any) -> Any:
    a = np.array([1.23456])
    old = np.get_printoptions()
    try:
        yield from drive(J, lambda x: x * len(str(a)), lambda: np.set_printoptions(precision=2))
    finally:
        np.set_printoptions(**{k: v for k, v in old.items() if k != "override_repr"})


@compiled
def flags_of_an_array(J: Any) -> Any:
    a = np.ones(2)
    return drive(J, lambda x: x * (2.0 if a.flags.writeable else 3.0), lambda: a.setflags(write=False))


@compiled
def strides_of_an_array(J: Any) -> Any:
    s = NS(a=np.ones((2, 2)))
    return drive(J, lambda x: x * s.a.strides[0], lambda: setattr(s, "a", np.ones((2, 2), order="F")))


@compiled
def a_variable_without_a_value_yet(J: Any) -> Any:
    def make():
        def f(x):
            try:
                return x * k
            except NameError:
                return x * 9.0

        def fill():
            nonlocal k
            k = 2.0

        if False:
            k = 1
        return f, fill

    f, fill = make()
    return drive(J, f, fill)


@compiled
def an_attribute_that_a_helper_has_not(J: Any) -> Any:
    def h(x):
        return x * getattr(h, "k", 2.0)

    return drive(J, lambda x: h(x), lambda: setattr(h, "k", 3.0))


@compiled
def an_attribute_that_a_function_has_not(J: Any) -> Any:
    def h():
        pass

    return drive(J, lambda x: x * getattr(h, "k", 2.0), lambda: setattr(h, "k", 3.0))


@compiled
def a_module_that_is_exchanged(J: Any) -> Any:
    m = types.ModuleType("zmod2")
    m.k = 2.0
    sys.modules["zmod2"] = m

    def f(x):
        from zmod2 import k

        return x * k

    def act():
        n = types.ModuleType("zmod2")
        n.k = 3.0
        sys.modules["zmod2"] = n

    return drive(J, f, act)


@compiled
def a_module_that_appears(J: Any) -> Any:
    sys.modules["zmod3"] = None  # an import fails

    def f(x):
        try:
            import zmod3

            return x * zmod3.k
        except ImportError:
            return x * 2.0

    def act():
        n = types.ModuleType("zmod3")
        n.k = 3.0
        sys.modules["zmod3"] = n

    return drive(J, f, act)


@compiled
def a_forward_in_place_of_another_attribute(J: Any) -> Any:
    m = net()

    def act():
        del m.layers[0].kernel_initializer
        m.layers[0].forward = lambda x: x @ tg.ones((2, 3))

    return drive(J, lambda x: m(x).detach(), act)


@compiled
def parameters_in_place_of_the_method(J: Any) -> Any:
    m = net()
    o = optim.SGD(m, lr=0.1)

    def f(x):
        l = (m(x) ** 2).mean() + sum((p**2).sum() for p in m.parameters())
        o.zero_grad()
        l.backward()
        o.step()
        return l.detach()

    return drive(J, f, lambda: setattr(m, "parameters", lambda: iter([])))


@compiled
def a_parameter_in_an_empty_list(J: Any) -> Any:
    class D(nn.Module):
        def __init__(self):
            self.extra = []
            self.w = nn.Parameter(tg.ones(2))

        def forward(self, x):
            return x * self.w

    m = D()
    return drive(
        J,
        lambda x: sum((p**2).sum() for p in m.parameters()).detach() * x,
        lambda: m.extra.append(nn.Parameter(tg.ones(2))),
    )


@compiled
def two_tensors_that_come_to_share_memory(J: Any) -> Any:
    a = T([1.0, 2.0])
    b = T([1.0, 2.0])
    s = NS(a=a, b=b)

    def f(x):
        s.a.assign(s.a + 1.0)
        return s.b * 1.0 + x.sum()

    def act():
        s.b.data = s.a.data

    return drive(J, f, act)


@compiled
def a_text_that_is_no_name_in_a_module(J: Any) -> Any:
    m = types.ModuleType("zq1")
    m.__file__ = "/opt/zq1.py"
    return drive(J, lambda x: x * vars(m).get("k k", 2.0), lambda: vars(m).update({"k k": 3.0}))


@compiled
def a_name_put_together_that_appears_in_a_module(J: Any) -> Any:
    m = types.ModuleType("zq3")
    m.__file__ = "/opt/zq3.py"
    p = "a"
    return drive(J, lambda x: x * getattr(m, p + "b", 2.0), lambda: setattr(m, "ab", 3.0))
