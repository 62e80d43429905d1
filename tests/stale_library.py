"""Attributes that the user sets on objects of libraries and of tapegrad, and state of these changed by hand."""

import argparse
import functools
import logging
import pathlib
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import Table, drive, x2

CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager
NS: Any = SimpleNamespace


OBJECTS: dict[str, Any] = {
    "of_a_namespace": lambda: argparse.Namespace(),
    "of_a_thread": lambda: threading.Thread(target=print),
    "of_a_logger": lambda: logging.getLogger("abc.d"),
    "of_a_parser": lambda: argparse.ArgumentParser(),
    "of_a_handler": lambda: logging.StreamHandler(),
    "of_an_event": lambda: threading.Event(),
    "of_a_condition": lambda: threading.Condition(),
    "of_a_partial": lambda: functools.partial(lambda x: x),
}


def attribute_of(name: str, make: Any) -> Any:
    """A case that sets an attribute of an object, and sets it again between calls."""

    def case(J: Any) -> Any:
        t = make()
        t.k = 2.0
        return drive(J, lambda x: x * t.k, lambda: setattr(t, "k", 5.0))

    case.__name__ = name
    return case


for name, make in OBJECTS.items():
    compiled(attribute_of(name, make))


@compiled
def of_a_subclass_of_partial(J: Any) -> Any:

    class P(functools.partial):
        pass

    t = P(lambda x: x)
    t.k = 3.0
    return drive(J, lambda x: t(x) * t.k, lambda: setattr(t, "k", 5.0))


@compiled
def of_a_subclass_of_arrays(J: Any) -> Any:

    class A(np.ndarray):
        pass

    t = np.ones(2, "f").view(A)
    t.k = 3.0
    return drive(J, lambda x: x * t.k, lambda: setattr(t, "k", 5.0))


@compiled
def of_a_parameter(J: Any) -> Any:

    class P(tg.Parameter):
        pass

    t = P(np.ones(2, "f"))
    t.k = 3.0
    return drive(J, lambda x: x * t.k, lambda: setattr(t, "k", 5.0))


@compiled
def of_an_optimizer(J: Any) -> Any:
    w = tg.Parameter(np.ones(2, "f"))

    class Mine(tg.optim.SGD):
        pass

    o = Mine([w], lr=0.1)
    o.k = 3.0
    return drive(J, lambda x: x * o.k, lambda: setattr(o, "k", 5.0))


@compiled
def of_a_layer(J: Any) -> Any:
    o = tg.nn.Dense(2, in_features=2)
    o.k = 3.0
    return drive(J, lambda x: x * o.k, lambda: setattr(o, "k", 5.0))


@compiled
def of_an_estimator(J: Any) -> Any:
    from sklearn.linear_model import LinearRegression

    o = LinearRegression()
    o.k = 3.0
    return drive(J, lambda x: x * o.k, lambda: setattr(o, "k", 5.0))


@compiled
def of_a_scaler_that_is_fitted_again(J: Any) -> Any:
    from sklearn.preprocessing import StandardScaler

    o = StandardScaler().fit(np.array([[1.0, 2.0], [3.0, 4.0]]))
    return drive(J, lambda x: (x - o.mean_) / o.scale_, lambda: o.fit(np.array([[1.0, 2.0], [5.0, 9.0]])))


@compiled
def of_a_fraction(J: Any) -> Any:
    import fractions

    class D(fractions.Fraction):
        pass

    t = D(1, 2)
    t.k = 3.0
    return drive(J, lambda x: x * t.k, lambda: setattr(t, "k", 5.0))


@compiled
def of_a_path(J: Any) -> Any:

    class D(pathlib.PurePosixPath):
        pass

    t = D("a")
    t.k = 3.0
    return drive(J, lambda x: x * t.k, lambda: setattr(t, "k", 5.0))


@eager("locked")
def whether_a_lock_is_held(J: Any) -> Any:
    t = threading.Lock()
    return drive(J, lambda x: x * (2.0 if t.locked() else 3.0), lambda: t.acquire())


@eager("is_set")
def whether_an_event_is_set(J: Any) -> Any:
    t = threading.Event()
    return drive(J, lambda x: x * (2.0 if t.is_set() else 3.0), lambda: t.set())


@eager("t is a")
def of_an_exception(J: Any) -> Any:
    t = ValueError("a")
    t.k = 2.0
    return drive(J, lambda x: x * t.k, lambda: setattr(t, "k", 5.0))


@compiled
def a_buffer_of_an_optimizer_that_is_taken_out(J: Any) -> Any:
    w, v = (tg.Parameter(np.ones(2, "f")), tg.Parameter(np.ones(2, "float64")))
    opt = tg.optim.SGD([w, v], lr=0.1)

    def f(x):
        opt.zero_grad()
        ((w * x).sum() + (v * v).sum().astype("float32")).backward()
        opt.step()
        return (w.detach(), v.detach())

    return drive(J, f, lambda: opt.flats.pop())


@either("flats", "followed")
def the_rate_of_a_buffer_that_is_replaced(J: Any) -> Any:
    w = tg.Parameter(np.ones(2, "f"))
    opt = tg.optim.SGD([w], lr=0.1, momentum=0.9)

    def f(x):
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()
        return w.detach()

    return drive(
        J,
        f,
        lambda: setattr(
            opt.flats[0], "numbers", (("lr", tg.tensor(0.5, dtype="float64")), *opt.flats[0].numbers[1:])
        ),
    )


@compiled
def state_of_a_buffer_that_is_replaced(J: Any) -> Any:
    w = tg.Parameter(np.ones(2, "f"))
    opt = tg.optim.SGD([w], lr=0.1, momentum=0.9)

    def f(x):
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()
        return w.detach()

    return drive(
        J,
        f,
        lambda: [
            opt.flats[0].state.update({k: tg.ones(v.shape) * 5.0}) for k, v in opt.flats[0].state.items()
        ],
    )


@compiled
def a_step_that_is_replaced(J: Any) -> Any:
    w = tg.Parameter(np.ones(2, "f"))
    opt = tg.optim.SGD([w], lr=0.1)

    def f(x):
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()
        return w.detach()

    return drive(J, f, lambda: setattr(opt, "step", lambda: None))


@compiled
def a_zero_grad_that_is_replaced(J: Any) -> Any:

    class Own(tg.optim.SGD):
        pass

    w = tg.Parameter(np.ones(2, "f"))
    opt = Own([w], lr=0.1)

    def f(x):
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()
        return w.detach()

    return drive(J, f, lambda: setattr(Own, "zero_grad", lambda s: None))


@compiled
def a_step_of_a_class_of_ours(J: Any) -> Any:
    w = tg.Parameter(np.ones(2, "f"))
    opt = tg.optim.SGD([w], lr=0.1)

    def f(x):
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()
        return w.detach()

    try:
        yield from drive(J, f, lambda: setattr(tg.optim.SGD, "step", lambda s: None))
    finally:
        if "step" in vars(tg.optim.SGD):
            del tg.optim.SGD.step


@compiled
def a_forward_of_a_class_of_ours(J: Any) -> Any:
    m = tg.nn.Dense(2, in_features=2)
    old = tg.nn.Dense.forward
    try:
        yield from drive(J, lambda x: m(x).detach(), lambda: setattr(tg.nn.Dense, "forward", lambda s, x: x))
    finally:
        tg.nn.Dense.forward = old


@compiled
def a_rate_that_is_set_inside(J: Any) -> Any:
    w = tg.Parameter(np.ones(2, "f"))
    opt = tg.optim.SGD([w], lr=0.1)
    s = NS(lr=0.1)

    def f(x):
        opt.lr = s.lr
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()
        return w.detach()

    return drive(J, f, lambda: setattr(s, "lr", 0.5))


@eager("opt.lr")
def a_rate_that_decays_inside(J: Any) -> Any:
    w = tg.Parameter(np.ones(2, "f"))
    opt = tg.optim.SGD([w], lr=0.1)

    def f(x):
        opt.lr = opt.lr * 0.9
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()
        return w.detach()

    return drive(J, f, lambda: setattr(opt, "lr", 0.5))


@compiled
def a_rate_that_is_set_outside_and_inside(J: Any) -> Any:
    w = tg.Parameter(np.ones(2, "f"))
    opt = tg.optim.SGD([w], lr=0.1)

    def f(x):
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()
        opt.lr = 0.3
        return w.detach()

    return drive(J, f, lambda: setattr(opt, "lr", 0.5), lambda: opt.lr)


@compiled
def a_rate_of_a_group(J: Any) -> Any:
    w = tg.Parameter(np.ones(2, "f"))
    opt = tg.optim.SGD([w], lr=0.1)

    def f(x):
        opt.groups[0].lr = 0.3
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()
        return w.detach()

    return drive(J, f, lambda: setattr(opt, "lr", 0.5), lambda: opt.lr)


@compiled
def of_the_jitted_function(J: Any) -> Any:

    def f0(x):
        return x * f.k

    f = J(f0)
    f.k = 1.0
    for i in range(8):
        if i == 4:
            f.k = 5.0
        yield f(x2())


@compiled
def of_the_jitted_function_that_appear(J: Any) -> Any:

    def f0(x):
        return x * getattr(f, "kk", 2.0)

    f = J(f0)
    for i in range(8):
        if i == 4:
            f.kk = 5.0
        yield f(x2())
