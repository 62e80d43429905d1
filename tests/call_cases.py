"""Calls of one function in several ways, and with other things around it: which program is taken. The compiler's tests
run each with tg.jit and without, as those of hazard_cases.py."""

from types import SimpleNamespace
from typing import Any

import numpy as np

import tapegrad as tg
from hazard_cases import CASES as CASES
from hazard_cases import case, leaf, own, t


@case
def gradients_on_and_off(wrap: Any) -> Any:
    w, found = leaf(1, 2), []
    f = wrap(lambda x: w * x)
    for i in range(6):
        with tg.no_grad() if i % 2 == 0 else tg.enable_grad():
            y = f(t(1, i))
        found.append((y, t(float(y.requires_grad))))
    return found


@case
def more_and_fewer_arguments(wrap: Any) -> Any:
    f = wrap(lambda *xs: sum((x for x in xs if x is not None), t(0, 0)) + float(len(xs)))
    a, b = t(1, 2), t(3, 4)
    return [f(*xs) for xs in ((a,), (a, b), (a,), (a, None), (a, b), (a, None), (None, a), (a,), (a, None))]


@case
def tensors_then_numbers(wrap: Any) -> Any:
    f, a, b = wrap(lambda x, c: x * c), t(1, 2), t(3, 4)
    return [f(a, c) for c in (b, 2.0, b, 3, b, [b][0], -0.0)]


@case
def the_very_tensor(wrap: Any) -> Any:
    a, b = t(1, 2), t(5, 5)
    f = wrap(lambda x: x * 2.0 if x is a else x * 3.0)
    return [f(x) for x in (b, a, b, b, a, a)]


@case
def other_dtypes_and_arrays(wrap: Any) -> Any:
    f, found = wrap(lambda x: x * 2.0), []
    for kind in ("float64", "float32", "float64", "records", "float64"):
        x = tg.tensor(np.array([1, 2], dtype="float64" if kind == "records" else kind))
        if kind == "records":
            x._data = x.numpy().view(np.recarray)  # an array of a type that no backend owns
        try:
            found.append(f(x))
        except tg.BackendError:
            found.append(t(-1))
    return found


@case
def arguments_that_require_grad_and_not(wrap: Any) -> Any:
    f, found = wrap(lambda x: x * 2.0), []
    for i in range(6):
        y = f(t(1, i).requires_grad_(i % 2 == 1))
        found.append((y, t(float(y.requires_grad))))
    return found


@case
def a_mode_that_is_only_read(wrap: Any) -> Any:
    model, found = tg.nn.Dropout(0.5), []
    f = wrap(lambda x: x * (2.0 if model.training else 3.0))
    for i in range(6):
        model.train(i % 2 == 0)
        found.append(f(t(1, i)))
    return found


@case
def frozen_after_gradients_were_dropped(wrap: Any) -> Any:
    a, b, found = leaf(1, 2), leaf(3, 4), []
    opt = tg.optim.SGD([a, b], lr=0.1)

    def f(x: Any) -> None:
        opt.zero_grad()
        (a * b * x).sum().backward()

    f = wrap(f)
    for i in range(6):
        b.requires_grad_(i % 3 != 2)
        f(t(1, i))
        found.append((own(a.grad), t(0) if b.grad is None else own(b.grad)))
    return found


@case
def by_position_and_by_name(wrap: Any) -> Any:
    f, a, b = wrap(lambda x, y=None, k=2.0: x * k if y is None else x - y * k), t(1, 2), t(5, 7)
    found = [f(a), f(a, k=3.0), f(a), f(a, y=b), f(a), f(a, b), f(a, b, k=4.0), f(a, b)]
    g = wrap(lambda x, k=2.0: x * k)  # by name at its first call
    return found, [g(a, k=3.0), g(a), g(a, k=3.0), g(b)]


@case
def a_mode_of_a_model_out_of_sight_that_is_only_read(wrap: Any) -> Any:
    """Called for inputs of one shape, and asked for its mode for another."""
    model = tg.nn.Dropout(0.0)
    hidden = lambda x: model(x) if x.shape[0] == 2 else x * (2.0 if model.training else 3.0)
    f = wrap(lambda x: hidden(x))
    found = [f(t(1, 2)), f(t(1, 2, 3)), f(t(1, 2, 3))]
    model.eval()
    return found, f(t(1, 2, 3)), f(t(1, 2)), f(t(1, 2, 3))


@case
def another_model_in_its_place(wrap: Any) -> Any:
    """The first program is found again, and is then asked about the mode of the model of now."""
    held = {"model": tg.nn.Dropout(0.5)}
    f = wrap(lambda x: x * (2.0 if held["model"].training else 3.0))
    found = [f(t(1, 2))]
    held["model"] = tg.nn.Dropout(0.5)
    found += [f(t(1, 2, 3)), f(t(1, 2))]
    held["model"].eval()
    return found, f(t(1, 2)), f(t(1, 2, 3))


@case
def tensors_called_like_constants(wrap: Any) -> Any:
    a, b = SimpleNamespace(c=t(1, 2)), SimpleNamespace(c=t(5, 6))
    f = wrap(lambda x: (x * a.c - b.c) + 1.0)
    return [f(t(1, i)) for i in range(3)]


@case
def an_argument_that_is_also_used_out_of_sight(wrap: Any) -> Any:
    a, b = t(1, 2), t(5, 7)
    hidden = lambda x: x * a
    f, g, h = wrap(lambda x: hidden(x)), wrap(lambda x: x * a), wrap(lambda x, y: hidden(x) - y)
    found = [f(a), f(b), g(a.detach()), g(b), g(a), g(b)]
    return found, [h(a, b), h(b, a), h(a, a), h(b, b)], [h(x=a, y=b), h(x=b, y=a)]


@case
def arguments_that_come_back(wrap: Any) -> Any:
    """Also from a recording that will not do as a program."""
    f = wrap(lambda x: (x, x * 2.0))
    g = wrap(lambda x: (x.assign(x + 1.0), x)[1])
    x = t(1, 2)
    found = [[own(y) for y in f(x)], own(g(x)), own(x), own(g(x)), own(x)]
    same = float(g(x) is x)
    return found, t(same), own(x)


@case
def parameters_replaced_under_the_step_alone(wrap: Any) -> Any:
    v, found = leaf(3, 4), []
    opt = tg.optim.SGD([v], lr=0.1)
    f = wrap(lambda: opt.step())
    for i in range(5):
        v.grad = t(1, i)
        if i in (2, 4):
            v.data = v.data + 1.0
        f()
        found.append(own(v))
    return found


@case
def gradients_dropped_inside(wrap: Any) -> Any:
    """The step alone, on gradients that are there at each call; and a whole one that drops them last."""
    v, w, found = leaf(3, 4), leaf(1, 2), []
    opt, other = tg.optim.SGD([v], lr=0.1), tg.optim.SGD([w], lr=0.1)
    f = wrap(lambda: (opt.step(), opt.zero_grad())[:0])

    def g(x: Any) -> Any:
        loss = (w * x).sum()
        loss.backward()
        other.step()
        other.zero_grad()
        return loss.detach()

    g = wrap(g)
    w.grad = t(10, 20)
    for i in range(4):
        v.grad = t(1, i)
        f()
        found.append((own(v), g(t(i, 1)), own(w), t(float(v.grad is None and w.grad is None))))
    return found


@case
def a_method_of_two_owners(wrap: Any) -> Any:
    """The mode of a module of the owner's is asked for, and nothing else."""

    class Owner:
        def __init__(self) -> None:
            self.m = tg.nn.Dropout(0.5)

        f = wrap(lambda self, x: x * (2.0 if self.m.training else 3.0))

    a, b = Owner(), Owner()
    found = [a.f(t(1, 2)), b.f(t(1, 2)), a.f(t(1, 2))]
    a.m.eval()
    return found, a.f(t(1, 2)), b.f(t(1, 2)), a.f(t(3, 2))


@case
def gradients_through_an_argument(wrap: Any) -> Any:
    """It was computed outside, each time from another leaf; or is a leaf."""
    f, leaves, found = wrap(lambda x: (x * x).sum().backward()), [leaf(1, 2), leaf(3, 4)], []
    for i in range(6):
        for w in leaves:
            w.grad = None
        f(leaves[i % 2] * 2.0 if i != 3 else leaves[0])
        found.append([t(-1) if w.grad is None else w.grad for w in leaves])
    return found
