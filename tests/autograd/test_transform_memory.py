"""Memory goes with the last reference: no transform leaves a reference cycle behind, nor does one that fails."""

import gc
import operator as op
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

X = tg.tensor(np.array([0.5, 1.5]))
W = tg.tensor(np.array([1.0, 2.0]), requires_grad=True)
MODEL = tg.nn.Dense(1, in_features=2, dtype="float64")


def f(v: Any) -> Any:
    return (tg.tanh(v) * v).sum()


def fails(v: Any) -> Any:
    y = tg.tanh(v) * v
    raise ArithmeticError(y.shape)


def bad_pullback(v: Any) -> Any:
    return tg.sin(v), lambda g: g.sum()


def once(g: Callable[..., Any], *args: Any) -> Callable[..., Any]:
    return lambda: g(*args)


def through(wrapped: Callable[[Any], Any]) -> None:
    wrapped(W).sum().backward()
    W.grad = None


own = tg.custom_gradient(lambda v: (tg.sin(v), lambda g: g * tg.cos(v)))

# Every public transform, as a table of names: test_every_transform_has_rows looks.
CALLS: dict[str, list[Callable[[], Any]]] = {
    "grad": [
        once(tg.grad(f), X), once(tg.grad(lambda v: tg.grad(f)(v).sum()), X),
        once(tg.grad(lambda m: f(m(X[None]))), MODEL),
    ],
    "value_and_grad": [once(tg.value_and_grad(lambda v: (f(v), {"aux": v * 2}), has_aux=True), X)],
    "vjp": [lambda: tg.vjp(lambda v: tg.tanh(v) * v, X)[1](X), lambda: tg.vjp(lambda p: p["a"] * 2, {"a": X})],
    "jvp": [lambda: tg.jvp(lambda v: tg.tanh(v) * v, (X,), (X,)), lambda: tg.jvp(f, (W,), (X,))],
    "hvp": [lambda: tg.hvp(f, (X,), (X,))],
    "jacobian": [once(tg.jacobian(lambda v: {"y": tg.tanh(v) * v}), X)],
    "hessian": [once(tg.hessian(lambda p: f(p["a"]) * f(p["b"])), {"a": X, "b": X})],
    "checkpoint": [
        lambda: through(tg.checkpoint(f)), lambda: tg.checkpoint(f)(W),
        lambda: tg.grad(lambda v: tg.grad(tg.checkpoint(f))(v).sum())(X),
    ],
    "custom_gradient": [
        lambda: through(own), lambda: own(W),
        lambda: tg.grad(lambda v: tg.grad(lambda u: own(u).sum())(v).sum())(X),
    ],
    "check_grads": [lambda: tg.check_grads(f, (X,))],
    "tape": [lambda: str(tg.tape(f(W)))],
}  # fmt: skip
FAILURES: dict[str, list[Callable[[], Any]]] = {
    "grad": [
        once(tg.grad(fails), X), once(tg.grad(lambda v: v * 2.0), X), once(tg.grad(lambda v: tg.grad(fails)(v)), X),
    ],
    "value_and_grad": [once(tg.value_and_grad(f, has_aux=True), X)],
    "vjp": [lambda: tg.vjp(fails, X), lambda: tg.vjp(f, X)[1](tg.ones(3))],
    "jvp": [lambda: tg.jvp(fails, (X,), (X,)), lambda: tg.jvp(f, (X,), (tg.ones(3),))],
    "hvp": [lambda: tg.hvp(fails, (X,), (X,))],
    "jacobian": [once(tg.jacobian(fails), X), once(tg.jacobian(lambda v: (v * 2.0, "word")), X)],
    "hessian": [once(tg.hessian(fails), X)],
    "checkpoint": [lambda: tg.checkpoint(fails)(W)],
    "custom_gradient": [
        lambda: through(tg.custom_gradient(bad_pullback)), lambda: tg.custom_gradient(fails)(W),
        lambda: tg.custom_gradient(lambda v: (v * W, lambda g: g))(X),
    ],
    "check_grads": [lambda: tg.check_grads(fails, (X,))],
    "tape": [lambda: tg.tape(X)],
}  # fmt: skip

FAILING_FUNCTIONS: dict[str, Callable[[], Any]] = {
    "a product": lambda: W @ tg.ones((3, 3)),
    "a sum": lambda: W + tg.ones(3),
    "a reshape": lambda: tg.reshape(W * 2, (3,)),
    "an index": lambda: (W * 2)[5],
    "a write": lambda: op.setitem(tg.zeros(2), 5, W[0]),
    "a keyword": lambda: tg.exp(W * 2, base=2),
    "a join": lambda: tg.concat([W * 2, tg.ones((2, 2))]),
    "a backward pass": lambda: (W * 2).backward(),
}


def live() -> int:
    return sum(issubclass(type(o), tg.Tensor) for o in gc.get_objects())  # asks no proxy for its class


def added(call: Callable[[], Any], times: int = 20) -> int:
    """The live tensors that calls leave behind, with the garbage collector off."""
    call()
    gc.collect()
    gc.disable()
    try:
        before = live()
        for _ in range(times):
            call()
        return live() - before
    finally:
        gc.enable()


def test_every_transform_has_rows() -> None:
    from tapegrad.autograd.tapes import tape
    from tapegrad.autograd.transforms import check, checkpoint, custom, derivatives, jacobians

    modules = {m.__name__ for m in (check, checkpoint, custom, jacobians, tape, derivatives)}
    names = [n for n in dir(tg) if getattr(getattr(tg, n), "__module__", "") in modules]
    public = {n for n in names if callable(getattr(tg, n))}
    assert public == set(CALLS) == set(FAILURES)


@pytest.mark.parametrize(
    ("name", "i"), [(name, i) for name, calls in CALLS.items() for i in range(len(calls))]
)
def test_calls_leave_nothing(name: str, i: int) -> None:
    assert added(CALLS[name][i]) == 0


def failing(call: Callable[[], Any]) -> None:
    try:
        call()
    except (ArithmeticError, IndexError, TypeError, ValueError, RuntimeError):
        return
    raise AssertionError("it did not fail")


@pytest.mark.parametrize(("name", "i"), [(n, i) for n, calls in FAILURES.items() for i in range(len(calls))])
def test_calls_that_fail_leave_nothing(name: str, i: int) -> None:
    def call() -> None:
        failing(FAILURES[name][i])

    assert added(call) == 0


@pytest.mark.parametrize("name", FAILING_FUNCTIONS)
def test_functions_that_fail_leave_nothing(name: str) -> None:
    assert added(lambda: failing(FAILING_FUNCTIONS[name])) == 0
