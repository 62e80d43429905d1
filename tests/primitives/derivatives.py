"""A row's first and second derivatives against central differences in float64, by random projection.

With a direction u for the inputs and weights v for the outputs, <v, J u> is a number: by differences of f, and by the
gradient of <v, f> along u. One comparison sees every element.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import tapegrad as tg
from primitives.harness import cotangent, tensors
from primitives.table import Case, spread

STEP = 1e-6
TOLERANCE = 2e-8


def directions(case: Case, seed: int) -> list[np.ndarray]:
    """A direction for each floating input."""
    return [spread(a.shape, -1.0, 1.3, seed + i) for i, a in enumerate(case.arrays) if a.dtype.kind == "f"]


def moved(case: Case, along: list[np.ndarray], step: float) -> list[np.ndarray]:
    steps = iter(along)
    return [np.asarray(a + step * next(steps)) if a.dtype.kind == "f" else a for a in case.arrays]


def difference(f: Callable[..., Any], case: Case, along: list[np.ndarray]) -> Any:
    """The derivative of f(arrays) along a direction, by a central difference."""
    return (f(moved(case, along, STEP)) - f(moved(case, along, -STEP))) / (2 * STEP)


def value(case: Case, arrays: list[np.ndarray]) -> np.ndarray:
    return case.row.call(*tensors(arrays)).numpy()


def gradients(case: Case, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The gradient of <v, f> for each floating input, in plain backward."""
    xs = tensors(arrays)
    y = case.row.call(*xs)
    y.backward(cotangent(y))
    return [x.grad.numpy() for x in xs if x.requires_grad]


def project(gs: list[np.ndarray], us: list[np.ndarray]) -> float:
    return float(sum(np.sum(g * u) for g, u in zip(gs, us, strict=True)))


def agree(got: float, want: float, *terms: np.ndarray) -> None:
    """Equal to within the differences' precision, relative to the sizes of the terms summed."""
    scale = max(1.0, *(np.sum(np.abs(t)) for t in terms)) if terms else 1.0
    assert abs(got - want) <= TOLERANCE * scale, f"by the rules {got!r}, by differences {want!r}"


def check_first(case: Case) -> None:
    """Reverse mode, for weights on the outputs, and forward mode, output by output."""
    us = directions(case, 20)
    moves = difference(lambda arrays: value(case, arrays), case, us)
    gs = gradients(case, list(case.arrays))
    agree(project(gs, us), float(np.sum(cotangent(moves) * moves)), *gs)

    at = [i for i, a in enumerate(case.arrays) if a.dtype.kind == "f"]
    xs = [tg.tensor(a) for a in case.arrays]

    def f(*floats: Any) -> Any:
        given = dict(zip(at, floats, strict=True))
        return case.row.call(*(given.get(i, x) for i, x in enumerate(xs)))

    _, pushed = tg.jvp(f, [xs[i] for i in at], [tg.tensor(u) for u in us])
    np.testing.assert_allclose(
        pushed.numpy(), moves, rtol=0, atol=TOLERANCE * np.max(np.abs(moves), initial=1)
    )


def check_second(case: Case) -> None:
    """The gradient of <g(x), u>, where g is the recorded gradient of <v, f(x)>."""
    us, ws = directions(case, 20), directions(case, 40)
    xs = tensors(case.arrays)
    leaves = [x for x in xs if x.requires_grad]
    y = case.row.call(*xs)
    y.backward(cotangent(y), create_graph=True)
    inner = sum(
        ((x.grad * u).sum() for x, u in zip(leaves, us, strict=True)), start=tg.tensor(0.0, dtype="float64")
    )
    for x in leaves:
        x.grad = None
    if inner.requires_grad:
        inner.backward()

    # Where the gradient does not depend on x at all, there is no graph to it.
    seconds = [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in leaves]
    want = difference(lambda arrays: project(gradients(case, arrays), us), case, ws)
    agree(project(seconds, ws), want, *seconds)
