"""0 times infinity in a gradient counts as 0. Where the infinity is an overflow, a warning says so."""

import warnings
from typing import Any

import numpy as np
import pytest

import tapegrad as tg


def t(value: Any, dtype: str = "float32") -> tg.Tensor:
    return tg.tensor(np.array(value, dtype))


# name, f, x, the primitive that overflowed
OVERFLOWS: tuple[tuple[str, Any, tg.Tensor, str], ...] = (
    ("log(1 + exp)", lambda x: tg.log(1 + tg.exp(x)), t(89.0), "exp"),
    ("log(1 + exp), float64", lambda x: tg.log(1 + tg.exp(x)), t(710.0, "float64"), "exp"),
    ("log(1 + exp), float16", lambda x: tg.log(1 + tg.exp(x)), t(12.0, "float16"), "exp"),
    ("sqrt(exp)", lambda x: tg.sqrt(tg.exp(x)), t(100.0), "exp"),
    ("one of many", lambda x: tg.log(1 + tg.exp(x)).sum(), t([1.0, 2.0, 89.0]), "exp"),
    ("1 / exp", lambda x: 1 / tg.exp(x), t(100.0), "exp"),
    ("log(expm1)", lambda x: tg.log(tg.expm1(x)), t(100.0), "expm1"),
    ("log(cosh)", lambda x: tg.log(tg.cosh(x)), t(100.0), "cosh"),
    ("log(sinh)", lambda x: tg.log(tg.sinh(x)), t(-100.0), "sinh"),
    ("sqrt(2 exp)", lambda x: tg.sqrt(2 * tg.exp(x)), t(100.0), "exp"),
)

# name, f, x: no overflow, a choice, or an infinity that was given
QUIET: tuple[tuple[str, Any, tg.Tensor], ...] = (
    ("where, pole of log", lambda x: tg.where(x > 0, tg.log(x), 0.0).sum(), t([0.0, 1.0])),
    ("where, pole of 1/x", lambda x: tg.where(x > 0, 1 / x, 0.0).sum(), t([0.0, 1.0])),
    ("where, pole of a power", lambda x: tg.where(x > 0, x**-0.5, 0.0).sum(), t([0.0, 1.0])),
    ("where, sqrt", lambda x: tg.where(x > 0, tg.sqrt(x), 0.0).sum(), t([0.0, 1.0])),
    ("an infinite argument", lambda x: tg.where(x < 9, tg.exp(x), 0.0).sum(), t([np.inf, 1.0])),
    ("softplus", tg.softplus, t(89.0)),
    ("logsumexp", tg.logsumexp, t([89.0, 1.0])),
)


@pytest.fixture(autouse=True)
def numpy_has_said_so() -> Any:
    """Of the overflow itself, in the forward call, NumPy warns."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "(overflow|divide by zero|invalid value) encountered", RuntimeWarning
        )
        yield


def by_grad(f: Any, x: tg.Tensor) -> tg.Tensor:
    return tg.grad(f)(x)


def by_backward(f: Any, x: tg.Tensor) -> Any:
    x = tg.tensor(x, requires_grad=True)
    f(x).backward()
    return x.grad


def recorded(f: Any, x: tg.Tensor) -> Any:
    x = tg.tensor(x, requires_grad=True)
    f(x).backward(create_graph=True)
    return x.grad


def compiled(f: Any, x: tg.Tensor) -> Any:
    return tg.jit(tg.grad(f), emitter="numpy")(x)


WAYS = pytest.mark.parametrize("by", [by_grad, by_backward, recorded, compiled])


@WAYS
@pytest.mark.parametrize(("f", "x", "primitive"), [r[1:] for r in OVERFLOWS], ids=[r[0] for r in OVERFLOWS])
def test_an_overflow_that_meets_a_zero_is_told(f: Any, x: tg.Tensor, primitive: str, by: Any) -> None:
    with pytest.warns(RuntimeWarning, match=f"the result of {primitive} overflowed.*conventions.md") as told:
        assert by(f, x).numpy().ravel()[-1] == 0
    ours = [w for w in told if "overflowed" in str(w.message)]
    assert {w.filename for w in ours} == {__file__}  # and not a file of tapegrad


@WAYS
@pytest.mark.parametrize(("f", "x"), [r[1:] for r in QUIET], ids=[r[0] for r in QUIET])
def test_choices_poles_and_given_infinities_are_not(f: Any, x: tg.Tensor, by: Any) -> None:
    assert np.isfinite(by(f, x).numpy()).all()


def test_whoever_silences_numpys_overflow_silences_this() -> None:
    with np.errstate(over="ignore"):
        assert tg.grad(lambda x: tg.log(1 + tg.exp(x)))(t(89.0)).item() == 0


def test_anomaly_detection_raises_at_the_call() -> None:
    with tg.detect_anomaly(), pytest.raises(FloatingPointError, match=r"forward of exp.*\n.*tg.exp\(x\)"):
        tg.grad(lambda x: tg.log(1 + tg.exp(x)))(t(89.0))
