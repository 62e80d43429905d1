"""Transforms inside of what the backward pass runs again: an outer transform differentiates through what they give."""

from collections.abc import Callable
from typing import Any

import pytest

import tapegrad as tg

ONE = tg.tensor(1.25, dtype="float64")
X = tg.tensor(0.5, dtype="float64")
# The function of z and x inside, (what a transform makes of z -> f(z, x), at z = 1.25; its derivative for x)
INSIDE: dict[str, tuple[Callable[[Any, Any], Any], float]] = {
    "grad": (lambda v, x: tg.grad(lambda z: z * z * x)(v), 2.5),
    "value": (lambda v, x: tg.value_and_grad(lambda z: z * x)(v)[0], 1.25),
    "value and gradient": (lambda v, x: sum(tg.value_and_grad(lambda z: z * z * x)(v)), 1.5625 + 2.5),
    "aux": (lambda v, x: tg.grad(lambda z: (z * z, 3.0 * x), has_aux=True)(v)[1], 3.0),
    "aux from outside": (lambda v, x: tg.grad(lambda z: (z * z, [x]), has_aux=True)(v)[1][0], 1.0),
    "vjp's value": (lambda v, x: tg.vjp(lambda z: x, v)[0], 1.0),
    "vjp": (lambda v, x: tg.vjp(lambda z: z * z * x, v)[1](ONE)[0], 3.125),
    "vjp's cotangent": (lambda v, x: tg.vjp(lambda z: z * z, v)[1](x)[0], 2.5),
    "jvp's value": (lambda v, x: tg.jvp(lambda z: z * x, (v,), (v,))[0], 1.25),
    "jvp": (lambda v, x: tg.jvp(lambda z: z * z * x, (v,), (ONE,))[1], 3.125),
    "jvp's tangent": (lambda v, x: tg.jvp(lambda z: z * z, (v,), (x,))[1], 2.5),
    "jacobian": (lambda v, x: tg.jacobian(lambda z: z * z * x)(v), 2.5),
    "hessian": (lambda v, x: tg.hessian(lambda z: z * z * x)(v), 2.0),
    "hvp": (lambda v, x: tg.hvp(lambda z: z * z * x, (v,), (ONE,)), 2.5),
}
AGAIN: dict[str, Callable[[Any, Any], Any]] = {
    "checkpoint": lambda f, x: tg.checkpoint(lambda v: f(v, x))(ONE),
    "checkpoint, an argument": lambda f, x: tg.checkpoint(f)(ONE, x),
    "checkpoint twice": lambda f, x: tg.checkpoint(lambda u: tg.checkpoint(lambda v: f(v, x))(u))(ONE),
    "scan": lambda f, x: tg.scan(lambda a, b: (a, f(b, x)), ONE, tg.stack([ONE]))[1].sum(),
    "scan's carry": lambda f, x: tg.scan(lambda a, b: (f(b, x), b), ONE, tg.stack([ONE]))[0],
}
OUTER: dict[str, Callable[[Any], Any]] = {
    "grad": lambda f: tg.grad(f)(X),
    "vjp": lambda f: tg.vjp(f, X)[1](tg.tensor(1.0, dtype="float64"))[0],
    "jvp": lambda f: tg.jvp(f, (X,), (tg.tensor(1.0, dtype="float64"),))[1],
    "jacobian": lambda f: tg.jacobian(f)(X),
    "grad of a square": lambda f: tg.grad(lambda x: f(x) ** 2)(X) / (2 * f(X)),
    "under jit": lambda f: tg.jit(lambda x: tg.grad(f)(x))(X),
}


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("again", AGAIN)
@pytest.mark.parametrize("inside", INSIDE)
def test_derivative_through_a_transform_that_runs_again(inside: str, again: str, outer: str) -> None:
    made, want = INSIDE[inside]
    got = OUTER[outer](lambda x: AGAIN[again](made, x))
    assert got.item() == pytest.approx(want, rel=1e-12) and not got.requires_grad


@pytest.mark.parametrize("again", AGAIN)
@pytest.mark.parametrize("inside", INSIDE)
def test_backward_through_a_transform_that_runs_again(inside: str, again: str) -> None:
    made, want = INSIDE[inside]
    x = tg.tensor(0.5, dtype="float64", requires_grad=True)
    AGAIN[again](made, x).backward()
    assert x.grad.item() == pytest.approx(want, rel=1e-12)


def test_a_gradient_penalty_under_checkpoint_has_a_gradient() -> None:
    tg.manual_seed(0)
    model = tg.nn.Sequential(tg.nn.Dense(3, activation="tanh", in_features=2), tg.nn.Dense(1))
    rows = tg.ones((4, 2))
    model(rows)

    def penalty(model: Any, wrap: Any) -> Any:
        return wrap(lambda rows: (tg.grad(lambda r: model(r).sum())(rows) ** 2).sum())(rows)

    plain, again = (tg.grad(lambda m, w=w: penalty(m, w))(model) for w in (lambda f: f, tg.checkpoint))
    assert all(g.tolist() == pytest.approx(again[name].tolist()) for name, g in plain.items() if g.ndim == 1)
    assert any(g.numpy().any() for g in again.values())


LOOPS: dict[str, Callable[[Any, Any], Any]] = {
    "xs unused": lambda s, y: tg.scan(lambda a, b: (a, a), s, tg.stack([y, s]))[0],
    "init unused": lambda s, y: tg.scan(lambda a, b: (s, a), y, tg.stack([s, s]))[0],
    "used": lambda s, y: tg.scan(lambda a, b: (a * b, b), s, tg.stack([y, s]))[0],
    "twice": lambda s, y: tg.scan(lambda a, b: (LOOPS["xs unused"](a, b), a), s, tg.stack([y]))[0],
}  # fmt: skip


@pytest.mark.parametrize("loop", LOOPS)
def test_a_scan_inside_a_scan_may_leave_out_what_it_is_given(loop: str) -> None:
    x, y = (tg.tensor(v, dtype="float64", requires_grad=True) for v in (0.5, -0.75))
    carry, ys = tg.scan(lambda c, s: (LOOPS[loop](s, y), s), x, tg.stack([y, x]))
    (carry * ys.sum()).backward()
    got = x.grad.item(), y.grad.item()
    x.grad = y.grad = None
    (LOOPS[loop](x, y) * (x + y)).backward()
    assert got == pytest.approx((x.grad.item(), y.grad.item()))


def test_a_tangent_is_called_one() -> None:
    with pytest.raises(ValueError, match=r"jvp: the tangents: expected the tensor's shape \(3,\), got \(\)"):
        tg.jvp(lambda x: x, (tg.ones(3),), (1.0,))
