"""One answer for one function, however it is spelled: values, slopes and second slopes at ordinary and edge points; and
the slope at NaN by one rule."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nn import functional as F

INF, NAN = np.inf, np.nan
POINTS = [0.0, -0.0, 0.25, 1.0, 3.0, 1e30, INF, NAN]
LOW, HIGH = tg.tensor([-1.0], dtype="float64"), tg.tensor([1.0], dtype="float64")

# name, spellings of one function, the points
SAME: tuple[tuple[str, tuple[Any, ...], list[float]], ...] = (
    ("1/x", (lambda x: 1 / x, lambda x: x**-1, lambda x: x**-1.0, lambda x: tg.power(x, -1),
             lambda x: tg.divide(1.0, x), lambda x: x ** tg.tensor([-1.0], dtype="float64")), [*POINTS, -2.0, -INF]),
    ("1/sqrt(x)", (lambda x: 1 / tg.sqrt(x), lambda x: x**-0.5, lambda x: 1 / x**0.5, lambda x: tg.sqrt(x) ** -1,
                   lambda x: x ** tg.tensor([-0.5], dtype="float64")), [p for p in POINTS if np.signbit(p) == 0]),
    ("sqrt(x)", (tg.sqrt, lambda x: x**0.5, lambda x: x ** tg.tensor([0.5], dtype="float64")), POINTS),
    ("x²", (tg.square, lambda x: x**2, lambda x: x * x, lambda x: tg.power(x, 2.0)), [*POINTS, -2.0]),
    ("relu", (tg.relu, F.relu, lambda x: x.relu()), [*POINTS[2:], -2.0, -INF]),
    ("|x|", (tg.abs, abs, lambda x: x.abs()), [*POINTS, -2.0, -INF]),
    ("max(x, 1)", (lambda x: tg.maximum(x, 1.0), lambda x: tg.maximum(1.0, x), lambda x: tg.clip(x, HIGH, None)),
     [*POINTS, -2.0]),
    ("clip to [-1, 1]", (lambda x: tg.clip(x, -1, 1), lambda x: x.clip(-1.0, 1.0), F.hard_tanh), [*POINTS, -2.0]),
    ("clip to nothing", (lambda x: tg.clip(x, 1, -1), lambda x: tg.clip(x, HIGH, LOW)), [0.0, 3.0, -3.0]),
    ("log2", (tg.log2, lambda x: tg.log(x) / np.log(2)), [*POINTS[:6], INF]),
    ("log10", (tg.log10, lambda x: tg.log(x) / np.log(10)), [*POINTS[:6], INF]),
)  # fmt: skip


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with np.errstate(all="ignore"):
        yield


@pytest.mark.parametrize(("functions", "points"), [row[1:] for row in SAME], ids=[row[0] for row in SAME])
def test_spellings_agree(functions: Any, points: list[float]) -> None:
    found = []
    for f in functions:
        x = tg.tensor(np.array(points), requires_grad=True)
        y = f(x)
        y.sum().backward()
        found.append((y.numpy(), x.grad.numpy()))
    for i, (y, g) in enumerate(found[1:], 1):
        np.testing.assert_allclose(y, found[0][0], rtol=1e-14, err_msg=f"value of spelling {i}")
        np.testing.assert_allclose(g, found[0][1], rtol=1e-14, err_msg=f"slope of spelling {i}")


def test_falling_without_end_at_0() -> None:
    for f in (*SAME[0][1], *SAME[1][1]):
        assert tg.grad(lambda x, f=f: f(x).sum())(tg.tensor([0.0], dtype="float64")).item() == -INF


# name, f of an array with a NaN, x: the total of the slopes stays 1 (times the number of results)
CHOICES: tuple[tuple[str, Any, Any, float], ...] = (
    ("max", tg.max, [NAN, 1, 2], 1),
    ("max of an axis", lambda x: tg.max(x, axis=1), [[NAN, 1, 2], [5, 4, 4]], 2),
    ("max, all NaN", tg.max, [NAN, NAN], 1),
    ("min", tg.min, [3, NAN, 2], 1),
    ("relu", tg.relu, [NAN], 1),
    ("clip", lambda x: tg.clip(x, -1, 1), [NAN], 1),
    ("relu6", F.relu6, [NAN], 1),
    ("leaky_relu", F.leaky_relu, [NAN], 1),
    ("hard_tanh", F.hard_tanh, [NAN], 1),
    ("soft_shrink", F.soft_shrink, [NAN], 1),
    ("hard_shrink", F.hard_shrink, [NAN], 1),
)  # fmt: skip


@pytest.mark.parametrize(("f", "x", "total"), [row[1:] for row in CHOICES], ids=[row[0] for row in CHOICES])
def test_a_choice_hands_its_gradient_on_at_nan(f: Any, x: Any, total: float) -> None:
    g = tg.grad(lambda x: f(x).sum())(tg.tensor(np.array(x, "float64")))
    assert g.sum().item() == pytest.approx(total)


@pytest.mark.parametrize("f", [tg.maximum, tg.minimum])
@pytest.mark.parametrize("pair", [(NAN, 1.0), (1.0, NAN), (NAN, NAN)])
def test_two_that_cannot_be_compared_share(f: Any, pair: Any) -> None:
    a, b = tg.grad(lambda a, b: f(a, b), argnums=(0, 1))(*(tg.tensor(v) for v in pair))
    assert (a.item(), b.item()) == (0.5, 0.5)


@pytest.mark.parametrize(
    "f", [tg.abs, tg.exp, tg.sin, tg.square, tg.sqrt, tg.log, tg.std, tg.var, tg.sigmoid, tg.softplus]
)
def test_a_formula_is_nan_at_nan(f: Any) -> None:
    assert np.isnan(tg.grad(lambda x: f(x).sum())(tg.tensor([NAN, NAN])).numpy()).all()


@pytest.mark.parametrize("f", [tg.var, tg.std])
@pytest.mark.parametrize(
    ("shape", "axis", "correction"), [((0,), None, 0), ((3, 0), 1, 0), ((2,), None, 2), ((2,), None, 3)]
)
def test_statistics_of_too_few_are_nan_with_a_warning(
    f: Any, shape: Any, axis: Any, correction: float
) -> None:
    with pytest.warns(RuntimeWarning, match="leave nothing to divide by: the result is NaN") as told:
        y = f(tg.ones(shape), axis=axis, correction=correction)
    assert np.isnan(y.numpy()).all() and told[0].filename == __file__
    assert y.shape == np.empty(shape).sum(axis=axis).shape
