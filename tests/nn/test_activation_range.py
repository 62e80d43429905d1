"""Values and slopes of every elementwise activation over all sizes of x that a dtype holds, against closed forms that
cancel nothing, in the longest floating-point numbers that NumPy has. An overflow on the way is an error: it warns."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from activation_rows import ROWS, Row, call, named

import tapegrad as tg
from compiler_emitters import EMITTERS, emitting
from tapegrad import nn

mp = pytest.importorskip("mpmath").mp
INF = math.inf

Pair = tuple[Any, Any]  # value and slope

exp, expm1, tanh, sign = np.exp, np.expm1, np.tanh, np.sign
erfc = np.vectorize(math.erfc, otypes=[float])
ROOT = np.sqrt(np.longdouble(2) / np.pi)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + exp(-x))


def softplus(x: Any) -> Any:
    return np.logaddexp(0 * x, x)


def steps(x: Any, inner: Any, low: float, high: float) -> Any:
    """0 up to low, 1 from high on."""
    return np.where(x < low, 0, np.where(x > high, 1, inner))


def elu(x: Any, right: float = 1.0, left: float = 1.0, width: float = 1.0) -> Pair:
    below = np.minimum(x, 0) / width
    return np.where(x > 0, right * x, left * expm1(below)), np.where(x > 0, right, left / width * exp(below))


def gelu(x: Any, approximate: bool = False) -> Pair:
    if not approximate:
        below = erfc(-x / np.sqrt(np.longdouble(2))) / 2
        return x * below, below + x * exp(-x * x / 2) * ROOT / 2
    u = 2 * ROOT * (x + 0.044715 * x**3)
    return x * sigmoid(u), sigmoid(u) + x * sigmoid(u) * sigmoid(-u) * 2 * ROOT * (1 + 3 * 0.044715 * x * x)


def mish(x: Any) -> Pair:
    t = tanh(softplus(x))
    return x * t, t + x * sigmoid(x) / np.cosh(softplus(x)) ** 2


def shrink(x: Any, threshold: float = 0.5, moved: float = 1.0) -> Pair:
    far = np.abs(x) > threshold
    return np.where(far, x - sign(x) * threshold * moved, 0), np.where(far, 1, 0)


CLOSED: dict[str, Callable[..., Pair]] = {
    "linear": lambda x: (x, 1 + 0 * x),
    "relu": lambda x: (np.maximum(x, 0), np.where(x > 0, 1, 0)),
    "leaky_relu": lambda x, negative_slope=0.2: (x * np.where(x > 0, 1, negative_slope),
                                                 np.where(x > 0, 1, negative_slope)),
    "relu6": lambda x: (np.clip(x, 0, 6), np.where((x > 0) & (x < 6), 1, 0)),
    "elu": lambda x, alpha=1.0: elu(x, left=alpha),
    "selu": lambda x: elu(x, 1.0507009873554805, 1.0507009873554805 * np.longdouble(1.6732632423543772)),
    "celu": lambda x, alpha=1.0: elu(x, left=alpha, width=alpha),
    "gelu": gelu,
    "silu": lambda x: (x * sigmoid(x), sigmoid(x) + x * sigmoid(x) * sigmoid(-x)),
    "softplus": lambda x: (softplus(x), sigmoid(x)),
    "softsign": lambda x: (x / (1 + np.abs(x)), 1 / (1 + np.abs(x)) ** 2),
    "mish": mish,
    "sigmoid": lambda x: (sigmoid(x), sigmoid(x) * sigmoid(-x)),
    "log_sigmoid": lambda x: (-softplus(-x), sigmoid(-x)),
    "hard_sigmoid": lambda x: (steps(x, x / 6 + 0.5, -3, 3), np.where(np.abs(x) > 3, 0, 1 / np.longdouble(6))),
    "hard_silu": lambda x: (x * steps(x, x / 6 + 0.5, -3, 3), steps(x, x / 3 + 0.5, -3, 3)),
    "tanh": lambda x: (tanh(x), 1 / np.cosh(x) ** 2),
    "hard_tanh": lambda x: (np.clip(x, -1, 1), np.where(np.abs(x) <= 1, 1, 0)),
    "tanh_shrink": lambda x: (x - tanh(x), tanh(x) ** 2),
    "soft_shrink": shrink,
    "hard_shrink": lambda x, threshold=0.5: shrink(x, threshold, moved=0),
    "exponential": lambda x: (exp(x), exp(x)),
}  # fmt: skip
CLOSED |= {"swish": CLOSED["silu"], "hard_swish": CLOSED["hard_silu"]}


class Limit(NamedTuple):
    """How many units of rounding of what: the result itself, or if that is larger, of x or of 1. Where the formula
    subtracts numbers near each other, as 1 - y, no digit of a tiny difference is right."""

    value: float = 2
    of_value: str = "result"
    slope: float = 2
    of_slope: str = "result"


LIMITS: dict[str, Limit] = {
    "gelu": Limit(of_value="x", of_slope="1"),  # 1 + erf
    "gelu-True": Limit(of_value="x", slope=24, of_slope="1"),  # 1 + tanh, and x**3 * y * (1 - y)
    "silu": Limit(slope=20, of_slope="1"),  # x * y * (1 - y): half of the largest x at which 1 - y is not 0
    "swish": Limit(slope=20, of_slope="1"),
    "mish": Limit(slope=20, of_slope="1"),
    "sigmoid": Limit(of_slope="1"),
    "tanh": Limit(of_slope="1"),
    "tanh_shrink": Limit(of_value="x", of_slope="1"),
    "hard_sigmoid": Limit(of_value="1"),
    "hard_silu": Limit(of_value="x", of_slope="1"),
    "hard_swish": Limit(of_value="x", of_slope="1"),
}
SIZES = {"float32": (-40, 38), "float64": (-300, 300)}
ELEMENTWISE = [row for row in ROWS if nn.activations.get(row.name) in nn.activations.ELEMENTWISE]


def points(dtype: str) -> np.ndarray:
    sizes = 10.0 ** np.concatenate([np.linspace(*SIZES[dtype], 301), np.linspace(-3, 3, 302)])
    return np.concatenate([sizes, -sizes]).astype(dtype)


def units(got: np.ndarray, want: np.ndarray, x: np.ndarray, of: str) -> np.ndarray:
    """The errors, in units of the dtype's rounding."""
    form = np.finfo(got.dtype)
    least = {"result": 0, "x": np.abs(x), "1": 1}[of]
    size = np.maximum(np.maximum(np.abs(want), least), form.smallest_normal * np.maximum(1, np.abs(x)))
    same = got == want.astype(got.dtype)  # infinities among them
    return np.where(same, 0, np.abs(got - want) / size / form.eps)


@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("row", ELEMENTWISE, ids=named)
def test_all_sizes(row: Row, dtype: str) -> None:
    limit = LIMITS.get(named(row), Limit())
    x = tg.tensor(points(dtype), requires_grad=True)
    with np.errstate(over="warn" if row.at_far else "ignore"):
        y = call(row)(x)
        y.sum().backward()
    wide = x.numpy().astype(np.longdouble)
    with np.errstate(all="ignore"):
        closed = CLOSED[row.name](wide, **row.options)
        errors = [
            units(y.numpy(), closed[0], wide, limit.of_value),
            units(x.grad.numpy(), closed[1], wide, limit.of_slope),
        ]
    for what, found, most in zip(("value", "slope"), errors, (limit.value, limit.slope), strict=True):
        worst = int(np.argmax(np.where(np.isnan(found), np.inf, found)))
        assert found[worst] <= most, f"{what} at {x.numpy()[worst]}: {found[worst]} units of rounding"


# activation -> its values at infinity and -infinity, and its slopes there: what those near them are
AT_INFINITY = {
    "linear": (INF, -INF, 1, 1), "relu": (INF, 0, 1, 0), "leaky_relu": (INF, -INF, 1, 0.2),
    "leaky_relu-0.3": (INF, -INF, 1, 0.3), "relu6": (6, 0, 0, 0), "elu": (INF, -1, 1, 0), "elu-1.7": (INF, -1.7, 1, 0),
    "selu": (INF, -1.7580993408473766, 1.0507009873554805, 0), "celu-0.5": (INF, -0.5, 1, 0), "mish": (INF, 0, 1, 0),
    "gelu": (INF, 0, 1, 0), "gelu-True": (INF, 0, 1, 0), "silu": (INF, 0, 1, 0), "swish": (INF, 0, 1, 0),
    "softplus": (INF, 0, 1, 0), "softsign": (1, -1, 0, 0), "sigmoid": (1, 0, 0, 0), "log_sigmoid": (0, -INF, 0, 1),
    "hard_sigmoid": (1, 0, 0, 0), "hard_silu": (INF, 0, 1, 0), "hard_swish": (INF, 0, 1, 0), "tanh": (1, -1, 0, 0),
    "hard_tanh": (1, -1, 0, 0), "tanh_shrink": (INF, -INF, 1, 1), "soft_shrink": (INF, -INF, 1, 1),
    "soft_shrink-0.25": (INF, -INF, 1, 1), "hard_shrink": (INF, -INF, 1, 1), "hard_shrink-0.25": (INF, -INF, 1, 1),
    "exponential": (INF, 0, INF, 0),
}  # fmt: skip


def test_erf_far_out() -> None:
    x = tg.tensor([1e200, -1e300, np.inf, 27.0], dtype="float64", requires_grad=True)
    tg.erf(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0, 0, 0, 2 / math.sqrt(math.pi) * math.exp(-729)], rtol=1e-4)


def derivatives(f: Callable[[Any], Any]) -> list[Callable[[Any], Any]]:
    """f, its slope and its second derivative, at each element."""
    slope = tg.grad(lambda x: f(x).sum())
    return [f, slope, tg.grad(lambda x: slope(x).sum())]


def ways(f: Callable[[Any], Any]) -> dict[str, Callable[[Any], Any]]:
    return {"eager": f, **{e: emitting(e)(f) for e in EMITTERS}}


@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("row", ELEMENTWISE, ids=named)
def test_infinities_and_nan(row: Row, dtype: str) -> None:
    """Values, slopes and second derivatives are the limits, 0 for the last; NaN gives NaN."""
    high, low, right, left = AT_INFINITY[named(row)]
    bent = INF if row.name == "exponential" else 0
    x = tg.tensor([INF, -INF, np.nan], dtype=dtype)
    want = ([high, low], [right, left], [bent, 0])
    for order, f in enumerate(derivatives(call(row))):
        for way, run in ways(f).items():
            with np.errstate(all="ignore"):
                got = run(x).numpy()
            np.testing.assert_allclose(
                got[:2], np.array(want[order], dtype), rtol=1e-6, err_msg=f"{order}, {way}"
            )
            assert order or np.isnan(got[2]), way


def logistic(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def bent(right: float, left: float, width: float) -> Callable[[Any], Any]:
    return lambda x: right * x if x > 0 else left * mp.expm1(x / width)


# In the numbers of mpmath, of as many digits as needed
SMOOTH: dict[str, Callable[[Any], Any]] = {
    "elu": bent(1, 1, 1),
    "celu-0.5": bent(1, 0.5, 0.5),
    "gelu": lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2,
    "gelu-True": lambda x: x * logistic(mp.sqrt(8 / mp.pi) * (x + mp.mpf("0.044715") * x**3)),
    "silu": lambda x: x * logistic(x),
    "mish": lambda x: x * mp.tanh(mp.log(1 + mp.exp(x))),
    "softplus": lambda x: mp.log(1 + mp.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "sigmoid": logistic,
    "log_sigmoid": lambda x: -mp.log(1 + mp.exp(-x)),
    "tanh": mp.tanh,
    "tanh_shrink": lambda x: x - mp.tanh(x),
}
FAR_OUT = [s * p for p in (1e-30, 0.3, 3.0, 30.0, 100.0, 1e4, 1e22) for s in (1.0, -1.0)]


def exact(f: Callable[[Any], Any], x: float) -> list[Any]:
    """f(x), f'(x), f''(x), by differences of which no digit is lost."""
    with mp.workdps(200):
        step = mp.mpf(10) ** (-60 if abs(x) > 1e-20 else -80)
        high, middle, low = (f(mp.mpf(x) + n * step) for n in (1, 0, -1))
        return [middle, (high - low) / (2 * step), (high - 2 * middle + low) / step**2]


@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("name", SMOOTH)
def test_far_out(name: str, dtype: str) -> None:
    """Few units of rounding of the result, or of x (values) and 1 (slopes) where LIMITS says so. Second derivatives: of
    x, where x * y * (1 - y) is in the slope, which is where 1 - y is not 0, or of 1."""
    row = next(row for row in ELEMENTWISE if named(row) == name)
    limit, eps = LIMITS.get(name, Limit()), np.finfo(dtype).eps
    x = np.array(FAR_OUT, dtype)
    want = np.array([[float(w) for w in exact(SMOOTH[name], float(v))] for v in x]).T
    size = np.maximum(np.abs(want), np.finfo(dtype).smallest_normal * np.maximum(1, np.abs(x.astype(float))))
    size[0] = np.maximum(size[0], {"result": 0, "x": np.abs(x), "1": 1}[limit.of_value])
    size[1] = np.maximum(size[1], limit.of_slope == "1")
    size[2] = np.maximum(size[2], 1)
    for order, f in enumerate(derivatives(call(row))):
        most = 1 + [limit.value, limit.slope, 40][order]
        for way, run in ways(f).items():
            with np.errstate(all="ignore"):
                wrong = np.abs(run(tg.tensor(x)).numpy() - want[order]) / size[order] / eps
            assert (wrong <= most).all(), f"{way}, order {order}: {dict(zip(FAR_OUT, wrong, strict=True))}"
