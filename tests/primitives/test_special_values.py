"""Edge points: each primitive's value and slope at zeros, ties, bounds, poles, infinities and NaN, by the conventions
stated in autograd/ops; and nothing that is finite in truth may overflow on the way."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from primitives.known_slopes import WHOLE, slopes
from tapegrad.autograd import ops

INF, NAN, E, PI = np.inf, np.nan, np.e, np.pi
BIG = 1e300


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """NumPy warns of the infinities that these inputs ask for."""
    with np.errstate(all="ignore"):
        yield


# name, x, f(x), f'(x)
AT: tuple[tuple[str, list[float], list[float], list[float]], ...] = (
    ("negative", [0, INF, NAN], [0, -INF, NAN], [-1, -1, -1]),
    ("positive", [-0.0, -INF, NAN], [0, -INF, NAN], [1, 1, 1]),
    ("square", [0, -1, BIG, -INF, NAN], [0, 1, INF, INF, NAN], [0, -2, 2 * BIG, -INF, NAN]),
    ("abs", [0, -0.0, 1, -1, -BIG, INF, -INF], [0, 0, 1, 1, BIG, INF, INF], [0, 0, 1, -1, -1, 1, -1]),
    ("sign", [0, -0.0, 5, -INF], [0, 0, 1, -1], []),
    ("relu", [0, -0.0, 1, -1, BIG, INF, -INF], [0, 0, 1, 0, BIG, INF, 0], [0, 0, 1, 0, 1, 1, 0]),
    ("exp", [0, 1, 1000, -1000, INF, -INF, NAN], [1, E, INF, 0, INF, 0, NAN], [1, E, INF, 0, INF, 0, NAN]),
    ("expm1", [0, 1e-300, -50, -INF, INF], [0, 1e-300, -1, -1, INF], [1, 1, np.exp(-50), 0, INF]),
    ("log", [1, 0, -0.0, E, INF, -1, NAN], [0, -INF, -INF, 1, INF, NAN, NAN], [1, INF, -INF, 1 / E, 0, -1, NAN]),
    ("log1p", [0, 1e-300, -1, INF, -2], [0, 1e-300, -INF, INF, NAN], [1, 1, INF, 0, -1]),
    ("log2", [1, 8, 0], [0, 3, -INF], [1 / np.log(2), 1 / np.log(2) / 8, INF]),
    ("log10", [1, 1000, 0], [0, 3, -INF], [1 / np.log(10), 1e-3 / np.log(10), INF]),
    ("sqrt", [0, -0.0, 4, BIG, INF, -1], [0, 0, 2, 1e150, INF, NAN], [0, 0, 0.25, 0.5e-150, 0, NAN]),
    ("sin", [0, PI, INF], [0, np.sin(PI), NAN], [1, -1, NAN]),
    ("cos", [0, PI, -INF], [1, -1, NAN], [0, -np.sin(PI), NAN]),
    ("tan", [0, -0.0], [0, 0], [1, 1]),
    ("asin", [0, 1, -1, 2], [0, PI / 2, -PI / 2, NAN], [1, INF, INF, NAN]),
    ("acos", [0, 1, -1], [PI / 2, 0, PI], [-1, -INF, -INF]),
    ("atan", [0, BIG, INF, -INF], [0, PI / 2, PI / 2, -PI / 2], [1, 0, 0, 0]),
    ("sinh", [0, 1000, -INF], [0, INF, -INF], [1, INF, INF]),
    ("cosh", [0, 1000, -INF], [1, INF, INF], [0, INF, -INF]),
    ("tanh", [0, 50, -BIG, INF, -INF], [0, 1, -1, 1, -1], [1, 0, 0, 0, 0]),
    ("asinh", [0, BIG, -INF], [0, np.arcsinh(BIG), -INF], [1, 1e-300, 0]),
    ("acosh", [1, BIG, INF, 0], [0, np.arccosh(BIG), INF, NAN], [INF, 1e-300, 0, NAN]),
    ("atanh", [0, 1, -1], [0, INF, -INF], [1, INF, INF]),
    ("sigmoid", [0, 800, -700, INF, -INF], [0.5, 1, np.exp(-700), 1, 0], [0.25, 0, np.exp(-700), 0, 0]),
    ("softplus", [0, 800, -700, INF, -INF], [np.log(2), 800, np.exp(-700), INF, 0], [0.5, 1, np.exp(-700), 1, 0]),
    ("erf", [0, 30, -BIG, INF], [0, 1, -1, 1], [2 / np.sqrt(PI), 0, 0, 0]),
    ("floor", [-0.5, 2, INF], [-1, 2, INF], []),
    ("ceil", [-0.5, 2, -INF], [0, 2, -INF], []),
    ("trunc", [-1.5, 1.5, INF], [-1, 1, INF], []),
    ("round", [0.5, 1.5, 2.5, -0.5], [0, 2, 2, 0], []),
)  # fmt: skip


@pytest.mark.parametrize(("name", "x", "value", "slope"), AT, ids=[row[0] for row in AT])
def test_one_argument(name: str, x: Any, value: Any, slope: Any):
    f = getattr(tg, name)
    if not slope:
        np.testing.assert_array_equal(f(tg.tensor(np.array(x, dtype="float64"))).numpy(), value)
        return
    y, (dx,) = slopes(f, x)
    np.testing.assert_allclose(y, value, rtol=1e-13)
    np.testing.assert_allclose(dx, slope, rtol=1e-13, atol=1e-320)


# name, a, b, f(a, b), df/da, df/db
PAIRS: tuple[tuple[str, Any, Any, float, float, float], ...] = (
    ("atan2", 0, 0, 0, 0, 0),
    ("atan2", 0, -1, PI, -1, 0),
    ("atan2", 3e200, 4e200, np.arctan2(3, 4), 0.16e-200, -0.12e-200),
    ("atan2", 3e-200, 4e-200, np.arctan2(3, 4), 0.16e200, -0.12e200),
    ("hypot", 0, 0, 0, 0, 0),
    ("hypot", 3e200, -4e200, 5e200, 0.6, -0.8),
    ("hypot", INF, 1, INF, 1, 0),
    ("hypot", 2, -INF, INF, 0, -1),
    ("maximum", 2, 2, 2, 0.5, 0.5),
    ("maximum", 0.0, -0.0, 0, 0.5, 0.5),
    ("maximum", INF, 1, INF, 1, 0),
    ("minimum", 2, 2, 2, 0.5, 0.5),
    ("minimum", -INF, INF, -INF, 1, 0),
    ("power", 0, 0, 1, 0, 0),
    ("power", 0, 1, 0, 1, 0),
    ("power", 0, 2, 0, 0, 0),
    ("power", 0, 0.5, 0, 0, 0),
    ("power", -2, 3, -8, 12, NAN),
    ("power", 2, 0, 1, 0, np.log(2)),
    ("power", 4, 0.5, 2, 0.25, 2 * np.log(4)),
    ("multiply", 0, INF, NAN, INF, 0),
    ("divide", 1, 0, INF, INF, -INF),
    ("divide", 0, 2, 0, 0.5, 0),
    ("divide", 1, INF, 0, 0, 0),
    ("remainder", -3, 2, 1, 1, 2),
    ("remainder", 5.5, -2, -0.5, 1, 3),
)  # fmt: skip


@pytest.mark.parametrize(("name", "a", "b", "value", "da", "db"), PAIRS)
def test_two_arguments(name: str, a: Any, b: Any, value: float, da: float, db: float):
    y, (ga, gb) = slopes(getattr(ops, name), [a], [b])
    np.testing.assert_allclose([y[0], ga[0], gb[0]], [value, da, db], rtol=1e-13)


# One number for the other argument: the rules take another way.
NUMBERS: tuple[tuple[str, Callable[..., Any], list[float], list[float], list[float]], ...] = (
    ("x ** 0.5", lambda x: x**0.5, [0, 4], [0, 2], [0, 0.25]),
    ("x ** -1", lambda x: x**-1.0, [0, 2], [INF, 0.5], [-INF, -0.25]),
    ("x ** 1", lambda x: x**1, [0, -2], [0, -2], [1, 1]),
    ("x ** 0", lambda x: x**0, [0, -2, INF], [1, 1, 1], [0, 0, 0]),
    ("x ** 3", lambda x: x**3, [0, -2], [0, -8], [0, 12]),
    ("x ** 3, far", lambda x: x**3, [INF, -INF, NAN, -0.0], [INF, -INF, NAN, 0], [INF, INF, NAN, 0]),
    ("x ** 4", lambda x: x**4, [0, -2, -INF, NAN], [0, 16, INF, NAN], [0, -32, -INF, NAN]),
    ("x ** -1, far", lambda x: x**-1, [-0.0, -2, INF, -INF, NAN], [-INF, -0.5, 0, 0, NAN], [-INF, -0.25, 0, 0, NAN]),
    ("x ** -2", lambda x: x**-2, [0, -2, 1e200, -INF, NAN], [INF, 0.25, 0, 0, NAN], [-INF, 0.25, 0, 0, NAN]),
    ("x ** -3", lambda x: x**-3, [0, -2, -INF, NAN], [INF, -0.125, 0, NAN], [-INF, -3 / 16, 0, NAN]),
    ("x ** -0.5", lambda x: x**-0.5, [0, 4, INF, -1, NAN], [INF, 0.5, 0, NAN, NAN], [-INF, -1 / 16, 0, NAN, NAN]),
    ("0 ** x", lambda x: 0.0**x, [1, 2], [0, 0], [0, 0]),
    ("2 ** x", lambda x: 2**x, [0, -INF, 2000], [1, 0, INF], [np.log(2), 0, INF]),
    ("1 / x", lambda x: 1 / x, [1, -2], [1, -0.5], [-1, -0.25]),
    ("clip", lambda x: tg.clip(x, -1, 1), [-2, -1, 0, 1, 2, INF], [-1, -1, 0, 1, 1, 1], [0, 1, 1, 1, 0, 0]),
    ("clip, below", lambda x: tg.clip(x, min=0.5), [0.5, 0.4, -INF], [0.5, 0.5, 0.5], [1, 0, 0]),
    ("clip, min above max", lambda x: tg.clip(x, 3, 0), [-1, 0, 1, 5, NAN], [0, 0, 0, 0, NAN], [0, 0, 0, 0, 1]),
    ("clip, tensors", lambda x: tg.clip(x, tg.tensor([0.0, 0.0, 0.0]), 1), [0, -1, 1], [0, 0, 1], [0.5, 0, 0.5]),
    ("maximum", lambda x: tg.maximum(x, 1.0), [1, 2, 0], [1, 2, 1], [0.5, 1, 0]),
)  # fmt: skip


@pytest.mark.parametrize(("f", "x", "value", "slope"), [r[1:] for r in NUMBERS], ids=[r[0] for r in NUMBERS])
def test_beside_a_number(f: Any, x: Any, value: Any, slope: Any):
    y, (dx,) = slopes(f, x)
    np.testing.assert_allclose(y, value, rtol=1e-13)
    np.testing.assert_allclose(dx, slope, rtol=1e-13)


# Powers by products, against the same by other words: the values, the slopes, and the slopes of those.
SAME_POWERS: tuple[tuple[str, Callable[..., Any], Callable[..., Any], float], ...] = (
    ("x ** -1", lambda x: x**-1, lambda x: 1 / x, 0),
    ("x ** -0.5", lambda x: x**-0.5, lambda x: 1 / tg.sqrt(x), 1e-15),
    ("x ** 0.5", lambda x: x**0.5, tg.sqrt, 1e-15),
    ("x ** -2", lambda x: x**-2, lambda x: tg.square(1 / x), 1e-15),
    ("x ** 3", lambda x: x**3, lambda x: x * x * x, 1e-15),
)


@pytest.mark.parametrize(
    ("f", "same", "limit"), [r[1:] for r in SAME_POWERS], ids=[r[0] for r in SAME_POWERS]
)
def test_powers_are_what_one_writes_by_hand(f: Any, same: Any, limit: float):
    points = np.array([0.1, 0.7, 1.0, 3.0, 1e8, 1e-8])
    a, b = (tg.tensor(points, requires_grad=True) for _ in range(2))
    y, z = f(a), same(b)
    np.testing.assert_array_equal(y.numpy(), z.numpy())
    for _ in range(2):
        y, z = first(y, a), first(z, b)
        np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=2 * limit + 1e-15)


def first(y: Any, x: Any) -> Any:
    """The gradient of the sum, recorded."""
    x.grad = None
    y.sum().backward(create_graph=True)
    return x.grad


# A branch that is bad where it is not taken: f, the condition, x where it holds, and x where f has no finite slope.
BRANCHES: tuple[tuple[str, Callable[..., Any], float, list[float]], ...] = (
    ("log", tg.log, 2.0, [0, -1, INF, NAN]),
    ("log1p", tg.log1p, 2.0, [-1, -2]),
    ("log2", tg.log2, 2.0, [0, -1]),
    ("log10", tg.log10, 2.0, [0, -1]),
    ("sqrt", tg.sqrt, 2.0, [0, -1]),
    ("1 / x", lambda x: 1 / x, 2.0, [0, NAN]),
    ("x / x", lambda x: x / x, 2.0, [0, INF]),
    ("x / 0", lambda x: x / 0.0, 2.0, [1, NAN]),
    ("x / NaN", lambda x: x / NAN, 2.0, [1, INF]),
    ("x * log(x)", lambda x: x * tg.log(x), 2.0, [0, -1]),
    ("x ** 0.5", lambda x: x**0.5, 2.0, [0, -1]),
    ("x ** -2", lambda x: x**-2.0, 2.0, [0]),
    ("x ** x", lambda x: x**x, 2.0, [0, -0.5, NAN]),
    ("exp(x)", tg.exp, 2.0, [1000, INF, NAN]),
    ("exp(1 / x)", lambda x: tg.exp(1 / x), 2.0, [0]),
    ("expm1", tg.expm1, 2.0, [1000]),
    ("sinh", tg.sinh, 2.0, [1000, -INF]),
    ("cosh", tg.cosh, 2.0, [1000, -INF]),
    ("sin", tg.sin, 2.0, [INF, NAN]),
    ("cos", tg.cos, 2.0, [INF, NAN]),
    ("tan", tg.tan, 2.0, [INF, NAN]),
    ("asin", tg.asin, 0.5, [1, -1, 2]),
    ("acos", tg.acos, 0.5, [1, -1, 2]),
    ("acosh", tg.acosh, 2.0, [1, 0]),
    ("atanh", tg.atanh, 0.5, [1, -1, 2]),
    ("x * x", lambda x: x * x, 2.0, [INF, NAN]),
    ("square", tg.square, 2.0, [INF, NAN]),
    ("log(asin(x))", lambda x: tg.log(tg.asin(x)), 0.5, [1, -1]),
    ("tan(asin(x))", lambda x: tg.tan(tg.asin(x)), 0.5, [1, 2]),
    ("2.5 % x", lambda x: 2.5 % x, 2.0, [0, NAN]),
    ("x ** -0.5", lambda x: x**-0.5, 2.0, [0, -1, NAN]),
    ("x ** -3", lambda x: x**-3, 2.0, [0, NAN]),
    ("x ** 4", lambda x: x**4, 2.0, [INF, NAN]),
    ("elu", lambda x: ops.elu_p(x, right=1.0, left=1.0, width=1.0), 2.0, [NAN]),
    ("leaky_relu", lambda x: ops.leaky_relu_p(x, slope=0.1), 2.0, [INF, NAN]),
    ("hard_silu", ops.hard_silu, 2.0, [NAN]),
    ("softsign", ops.softsign, 2.0, [INF]),
)  # fmt: skip


@pytest.mark.parametrize(
    ("f", "good", "bad"), [row[1:] for row in BRANCHES], ids=[row[0] for row in BRANCHES]
)
def test_branch_not_taken_adds_nothing(f: Any, good: float, bad: list[float]):
    """To any order: the slope is 0 where the branch is not taken, and right where it is."""
    x = tg.tensor(np.array([good, *bad]), requires_grad=True)
    taken = tg.tensor(np.array([True, *[False] * len(bad)]))
    alone = tg.tensor(np.array([good]), requires_grad=True)
    y, y_alone = tg.where(taken, f(x), 0.0).sum(), f(alone).sum()
    for _ in range(2):
        y.backward(create_graph=True)
        y_alone.backward(create_graph=True)
        np.testing.assert_allclose(x.grad.numpy(), [alone.grad.item(), *[0] * len(bad)], rtol=1e-14)
        y, y_alone = x.grad.sum(), alone.grad.sum()
        if not y.requires_grad:
            break
        x.grad = alone.grad = None


@pytest.mark.parametrize(("f", "x", "slope"), [row[1:] for row in WHOLE], ids=[row[0] for row in WHOLE])
def test_whole_arrays(f: Any, x: Any, slope: Any):
    np.testing.assert_allclose(slopes(f, x)[1][0], slope, rtol=1e-14, atol=1e-200)


@pytest.mark.parametrize("fill", [INF, -INF, NAN])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_padding_that_is_not_finite_is_numpys(fill: float, dtype: str):
    x = np.array([[1, 2]], dtype)
    y = tg.pad(x, 1, constant_values=fill)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.numpy(), np.pad(x, 1, constant_values=fill))
    many = 2**62 + 1  # no float64
    np.testing.assert_array_equal(tg.pad([0], 1, constant_values=many).numpy(), [many, 0, many])


# ---- low precision: nothing overflows that need not ----
X4 = [[1e4, -1e4, 0.0], [1e4, 1e4, -1e4]]
ROW_1 = np.array([0, 2])


@pytest.mark.parametrize("scale", [1.0, 0.01])
@pytest.mark.parametrize(
    "f",
    [
        tg.logsumexp,
        lambda x: tg.softmax(x)[:, :2],
        tg.log_softmax,
        lambda x: ops.sparse_cross_entropy_p(x, tg.tensor(ROW_1)),
        lambda x: ops.cross_entropy_p(x, tg.tensor(np.eye(3)[ROW_1], dtype=x.dtype)),
        lambda x: ops.binary_cross_entropy_p(x, tg.tensor(np.eye(3)[ROW_1], dtype=x.dtype)),
        tg.sigmoid,
        tg.softplus,
        tg.tanh,
    ],
    ids=[
        "logsumexp",
        "softmax",
        "log_softmax",
        "sparse ce",
        "ce",
        "binary ce",
        "sigmoid",
        "softplus",
        "tanh",
    ],
)
def test_large_logits_in_float32(f: Any, scale: float):
    x = np.array(X4) * scale
    y, (g,) = slopes(f, x, dtype="float32")
    y64, (g64,) = slopes(f, x)
    assert np.isfinite(y).all() and np.isfinite(g).all()
    np.testing.assert_allclose(y, y64, rtol=1e-6, atol=1e-37)
    np.testing.assert_allclose(g, g64, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("k", [-8, -7, -3, -2, -1, -0.5, 0.5, 2, 3, 4, 5, 6, 7, 8])
def test_powers_in_float32_against_float64(k: float):
    """Most are within half a unit in the last place of the true value; those with a rounding on the way, for speed,
    within two and a half. Nothing overflows or vanishes on the way."""
    rng = np.random.default_rng(3)
    x = np.concatenate(
        [rng.normal(0, 2, 4000), 10.0 ** rng.uniform(-38, 38, 4000), -(10.0 ** rng.uniform(-4, 4, 4000))]
    )
    x = (np.abs(x) if k in (0.5, -0.5) else x).astype("float32")
    got = (tg.tensor(x) ** k).numpy()
    true = x.astype("float64") ** k
    near = true.astype("float32")
    units = np.abs(got.astype("float64") - true)[np.isfinite(near)] / np.spacing(
        np.abs(near[np.isfinite(near)])
    )
    # Next to the largest number a rounding decides.
    assert (np.isfinite(got) == np.isfinite(near)).mean() > 0.9999
    assert units.max() <= {-0.5: 1.6, 3: 1.6, -2: 2.5}.get(k, 0.501)


# f, x, f'(x): float16 ends at 65504, and its smallest number is 6e-8
HALF: tuple[tuple[str, Callable[..., Any], float, float], ...] = (
    ("atan", tg.atan, 300, 1 / 90001),
    ("asinh", tg.asinh, 1000, 1e-3),
    ("acosh", tg.acosh, 1000, 1e-3),
    ("atan2", lambda x: tg.atan2(x, 400.0), 300, 400 / 250000),
    ("atan2, small", lambda x: tg.atan2(x, 4e-4), 3e-4, 1600),
    ("hypot", lambda x: ops.hypot(x, 400.0), 300, 0.6),
    ("log of little", lambda x: tg.log(x) * 1e-3, 1e-5, 100),
    ("x / little", lambda x: 1e-4 * (1.0 / x), 4e-3, -1e-4 / 16e-6),
    ("softplus", tg.softplus, 60000, 1),
    ("square", lambda x: (x * 1e-3) ** 2, 60000, 0.12),
)  # fmt: skip


@pytest.mark.parametrize(("f", "x", "slope"), [row[1:] for row in HALF], ids=[row[0] for row in HALF])
def test_float16_reaches_its_ends(f: Any, x: float, slope: float):
    _, (dx,) = slopes(f, [x], dtype="float16")
    assert dx.dtype == "float16"
    np.testing.assert_allclose(dx.astype("float64"), [slope], rtol=2e-2)


def test_float16_counts_beyond_its_precision():
    """Whole numbers end at 2048 in float16, but not the number of ties, of elements, or of squares summed."""
    n = 70_000
    _, (g,) = slopes(tg.max, np.ones(n), dtype="float16")
    assert (g == np.float16(1 / n)).all()
    n = 100_000
    y, (g,) = slopes(tg.mean, np.ones(n), dtype="float16")
    assert y == 1 and np.allclose(g, 1 / n, rtol=1e-2)
    assert np.allclose(slopes(tg.var, np.tile([0.0, 2.0], n // 2), dtype="float16")[0], 1)
    assert np.allclose(slopes(tg.sum, np.full(n, 0.5), dtype="float16")[0], 50_000)
    assert np.allclose(slopes(tg.cumulative_sum, np.full(n, 0.5), dtype="float16")[0][-1], 50_000)


# name, x, the second derivative there: in the slope, digits must not go where 1 - x*x is near 1, nor where it is near 0
BENT: tuple[tuple[str, float, float], ...] = (
    ("asin", 1e-30, 1e-30),
    ("asin", -0.25, -0.25 / 0.9375**1.5),
    ("asin", 1 - 2**-20, (1 - 2**-20) / (2**-19 - 2**-40) ** 1.5),
    ("acos", 1e-30, -1e-30),
    ("acos", -0.75, 0.75 / 0.4375**1.5),
    ("atanh", -1e-30, -2e-30),
    ("atanh", 0.5, 1 / 0.75**2),
    ("atanh", 2**-20 - 1, -2 * (1 - 2**-20) / (2**-19 - 2**-40) ** 2),
    ("atan", 1e-30, -2e-30),
    ("asinh", 1e-30, -1e-30),
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "x", "second"), BENT)
def test_second_derivatives_keep_their_digits(name: str, x: float, second: float, dtype: str):
    got = tg.grad(tg.grad(getattr(tg, name)))(tg.tensor(x, dtype=dtype)).item()
    np.testing.assert_allclose(got, second, rtol=8 * np.finfo(dtype).eps)
