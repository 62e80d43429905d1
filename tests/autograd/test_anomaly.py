"""`tg.detect_anomaly` raises where a result or a gradient is not finite, and nowhere else: a rule may go through
infinities to a finite gradient, as at 0 that of a square root."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from primitives.table import Case, cases

Function = Callable[..., tg.Tensor]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """NumPy warns of what these inputs ask for."""
    with np.errstate(all="ignore"):
        yield


def leaf(*values: float) -> tg.Tensor:
    return tg.tensor(values, requires_grad=True, dtype="float32")


def by_backward(f: Function, *values: float) -> Any:
    x = leaf(*values)
    f(x).sum().backward()
    return x.grad


def by_create_graph(f: Function, *values: float) -> Any:
    x = leaf(*values)
    f(x).sum().backward(create_graph=True)
    return x.grad


def by_grad(f: Function, *values: float) -> Any:
    return tg.grad(lambda x: f(x).sum())(leaf(*values).detach())


def by_jvp(f: Function, *values: float) -> Any:
    x = leaf(*values).detach()
    return tg.jvp(f, (x,), (tg.ones_like(x),))[1]


def by_checkpoint(f: Function, *values: float) -> Any:
    return by_grad(tg.checkpoint(lambda x: f(x) * 1.0), *values)


WAYS = (by_backward, by_create_graph, by_grad, by_jvp, by_checkpoint)

# f, x: the gradient is finite, by docs/conventions.md
FINITE: dict[str, tuple[Function, tuple[float, ...]]] = {
    "sqrt": (tg.sqrt, (0.0, 1.0)),
    "power": (lambda x: x**0.5, (0.0, 1.0)),
    "norm": (lambda x: tg.sqrt((x * x).sum()), (0.0, 0.0)),
    "std": (tg.std, (1.0, 1.0)),
    "atan2": (lambda x: tg.atan2(x, x * 0), (0.0, 1.0)),
    "clip of sqrt": (lambda x: tg.clip(tg.sqrt(x), 0.1, 1.0), (0.0, 1.0)),
    "max of sqrt": (lambda x: tg.max(tg.sqrt(x)), (0.0, 1.0)),
    "x to the x": (lambda x: x**x, (0.0, 1.0)),
    "a rule of the user's": (
        tg.custom_gradient(lambda x: (tg.sqrt(x), lambda g: tg.grad(lambda v: (tg.sqrt(v) * g).sum())(x))),
        (0.0, 1.0),
    ),
}

# f, x, what the message says
INFINITE: dict[str, tuple[Function, tuple[float, ...], str]] = {
    "asin": (tg.asin, (1.0, 0.5), r"(gradient|forward) of asin"),
    "1/x": (lambda x: 1 / x, (1e-30, 1.0), "of divide"),
    "1/sqrt": (lambda x: 1 / tg.sqrt(x), (1e-30, 1.0), "of sqrt"),
    "a sum of two gradients": (
        lambda x: x * 2e38 + x * 1.0 + x * 2e38,
        (0.0, 0.0),
        "of multiply for its argument 0, added to those of later calls that take it,",
    ),
    "a sum over what was broadcast": (
        lambda x: tg.stack([x[0] * tg.full((2,), 2e38), x]),
        (0.0, 0.0),
        "of multiply for its argument 0",
    ),
    "a rule of the user's": (
        tg.custom_gradient(lambda x: (x * 1.0, lambda g: tg.log(g - 1.0))),
        (0.5, 1.0),
        "forward of log",
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FINITE)
def test_finite_gradients_raise_nothing(name: str, way: Callable[..., Any]) -> None:
    f, values = FINITE[name]
    plain = way(f, *values).numpy()
    assert np.isfinite(plain).all()
    with tg.detect_anomaly():
        assert way(f, *values).numpy().tolist() == plain.tolist()


@pytest.mark.parametrize("way", (by_backward, by_create_graph, by_grad))
@pytest.mark.parametrize("name", INFINITE)
def test_infinite_gradients_name_their_call(name: str, way: Callable[..., Any]) -> None:
    f, values, says = INFINITE[name]
    assert not np.isfinite(way(f, *values).numpy()).all()
    with tg.detect_anomaly(), pytest.raises(FloatingPointError, match=says):
        way(f, *values)


@pytest.mark.parametrize("case", cases(lambda row: row.grad), ids=lambda case: case.id)
def test_each_row_of_the_tables(case: Case) -> None:
    """Sample inputs have finite results, so that nothing may be found; some have finite gradients alone."""
    numbers = [i for i, a in enumerate(case.arrays) if a.dtype.kind == "f"]
    gradient = tg.grad(lambda *xs: case.row.call(*xs).sum(), argnums=tuple(numbers))
    plain = gradient(*map(tg.tensor, case.arrays))
    with tg.detect_anomaly():
        found = gradient(*map(tg.tensor, case.arrays))
    for a, b in zip(plain, found, strict=True):
        assert np.isfinite(a.numpy()).all() and a.numpy().tolist() == b.numpy().tolist()


def test_a_tape_shows_what_is_not_finite() -> None:
    x = leaf(1.0, 0.5)
    with tg.detect_anomaly():
        made = tg.tape(tg.asin(x).sum(), {"x": x})
        assert "dx = divide_from_zero" in str(made) and "inf" in made.html()
