"""Derivatives up to the fourth order, above all where factors are 0: a cotangent of 0 has slopes, too."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import tapegrad as tg

Function = Callable[[tg.Tensor], tg.Tensor]
F = tg.nn.functional
# f, and the coefficients of its series at 0, the first that of x: derivative k is k! times coefficient k.
SERIES: dict[str, tuple[Function, tuple[float, ...]]] = {
    "x * x * x": (lambda x: x * x * x, (0, 0, 1, 0)),
    "x * (x * x)": (lambda x: x * (x * x), (0, 0, 1, 0)),
    "x ** 3": (lambda x: x**3, (0, 0, 1, 0)),
    "x ** 4": (lambda x: x**4, (0, 0, 0, 1)),
    "(x - x * x) ** 2": (lambda x: (x - x * x) ** 2, (0, 1, -2, 1)),
    "square of x - x * x": (lambda x: (x - x * x) * (x - x * x), (0, 1, -2, 1)),
    "x / (1 + x * x)": (lambda x: x / (1 + x * x), (1, 0, -1, 0)),
    "x * x / (1 + x)": (lambda x: x * x / (1 + x), (0, 1, -1, 1)),
    "x * exp(x)": (lambda x: x * tg.exp(x), (1, 1, 1 / 2, 1 / 6)),
    "x * log1p(x)": (lambda x: x * tg.log1p(x), (0, 1, -1 / 2, 1 / 3)),
    "x * log(1 + x * x)": (lambda x: x * tg.log(1 + x * x), (0, 0, 1, 0)),
    "sin(x) * x": (lambda x: tg.sin(x) * x, (0, 1, 0, -1 / 6)),
    "x * sin(x) * x": (lambda x: x * tg.sin(x) * x, (0, 0, 1, 0)),
    "x * cos(x)": (lambda x: x * tg.cos(x), (1, 0, -1 / 2, 0)),
    "tan(x)": (tg.tan, (1, 0, 1 / 3, 0)),
    "sinh(x)": (tg.sinh, (1, 0, 1 / 6, 0)),
    "cosh(x)": (tg.cosh, (0, 1 / 2, 0, 1 / 24)),
    "tanh(x)": (tg.tanh, (1, 0, -1 / 3, 0)),
    "tanh(x) * x": (lambda x: tg.tanh(x) * x, (0, 1, 0, -1 / 3)),
    "asin(x)": (tg.asin, (1, 0, 1 / 6, 0)),
    "acos(x)": (tg.acos, (-1, 0, -1 / 6, 0)),
    "atan(x)": (tg.atan, (1, 0, -1 / 3, 0)),
    "asinh(x)": (tg.asinh, (1, 0, -1 / 6, 0)),
    "atanh(x)": (tg.atanh, (1, 0, 1 / 3, 0)),
    "erf(x)": (tg.erf, (2 / np.sqrt(np.pi), 0, -2 / 3 / np.sqrt(np.pi), 0)),
    "sigmoid(x)": (tg.sigmoid, (1 / 4, 0, -1 / 48, 0)),
    "softplus(x)": (tg.softplus, (1 / 2, 1 / 8, 0, -1 / 192)),
    "silu(x)": (F.silu, (1 / 2, 1 / 4, 0, -1 / 48)),
    "sqrt(1 + x * x)": (lambda x: tg.sqrt(1 + x * x), (0, 1 / 2, 0, -1 / 8)),
    "hypot(1, x)": (lambda x: tg.hypot(tg.ones(()), x), (0, 1 / 2, 0, -1 / 8)),
    "(1 + x) ** -1": (lambda x: (1 + x) ** -1, (-1, 1, -1, 1)),
    "1 / (1 + x * x)": (lambda x: 1 / (1 + x * x), (0, -1, 0, 1)),
    "prod of x": (lambda x: tg.prod(tg.stack([x, x, x])), (0, 0, 1, 0)),
    "cumulative_prod of x": (lambda x: tg.cumulative_prod(tg.stack([x, x, x]))[-1], (0, 0, 1, 0)),
    "einsum of x": (lambda x: tg.einsum(",,->", x, x, x), (0, 0, 1, 0)),
    "matmul of x": (lambda x: ((x.reshape(1, 1) @ x.reshape(1, 1)) @ x.reshape(1, 1))[0, 0], (0, 0, 1, 0)),
    "x * where": (lambda x: x * tg.where(x < 1, x * x, 0.0), (0, 0, 1, 0)),
}


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    usual = tg.get_default_dtype()
    tg.set_default_dtype("float64")
    yield
    tg.set_default_dtype(usual)


def derivatives(f: Function, x: float) -> list[float]:
    found = []
    for _ in range(4):
        f = tg.grad(f)
        found.append(f(tg.tensor(x)).item())
    return found


@pytest.mark.parametrize("name", SERIES)
def test_derivatives_at_zero(name: str) -> None:
    f, coefficients = SERIES[name]
    want = [c * k for c, k in zip(coefficients, (1, 2, 6, 24), strict=True)]
    np.testing.assert_allclose(derivatives(f, 0.0), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SERIES)
def test_backward_finds_the_same(name: str) -> None:
    f, coefficients = SERIES[name]
    x = tg.tensor(0.0, requires_grad=True)
    y = f(x)
    for c, k in zip(coefficients, (1, 2, 6), strict=False):
        x.grad = None
        y.backward(create_graph=True)
        y = x.grad
        np.testing.assert_allclose(y.item(), c * k, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("emitter", ["numpy", "native"])
def test_compiled_finds_the_same(emitter: str) -> None:
    if emitter == "native":
        pytest.importorskip("llvmlite", reason="machine code needs llvmlite")
    functions = [f for f, _ in SERIES.values()]

    def third(x: tg.Tensor) -> list[tg.Tensor]:
        return [tg.grad(tg.grad(tg.grad(f)))(x) for f in functions]

    step = tg.jit(third, emitter=emitter, strict=True)
    for _ in range(3):
        found = [t.item() for t in step(tg.tensor(0.0))]
    want = [6 * coefficients[2] for _, coefficients in SERIES.values()]
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("factor", [0.0, 1.3])
@pytest.mark.parametrize("x", [0.0, 0.5])
def test_a_loss_of_second_derivatives_moves_a_weight_of_zero(x: float, factor: float) -> None:
    """As in a physics-informed network: d/dw of u_xx, for u = x (1 - x) w, is -2."""

    def curvature(w: tg.Tensor) -> tg.Tensor:
        return tg.grad(tg.grad(lambda x: x * (1 - x) * w))(tg.tensor(x))

    assert tg.grad(curvature)(tg.tensor(factor)).item() == pytest.approx(-2)


def test_third_derivatives_of_a_product_with_zeros() -> None:
    def f(x: tg.Tensor) -> tg.Tensor:
        return x[0] * x[1] * x[2]

    want = np.zeros((3, 3, 3))
    for i, j, k in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        want[i, j, k] = 1
    for at in ([0.0, 0.0, 0.0], [0.0, 1.0, 2.0], [1.0, 0.0, 2.0], [1.0, 2.0, 0.0]):
        np.testing.assert_array_equal(tg.jacobian(tg.hessian(f))(tg.tensor(at)).numpy(), want)


NOT_TAKEN: dict[str, tuple[Function, float]] = {
    "log(0)": (lambda x: tg.where(x > 0, tg.log(x), 0.0), 0.0),
    "log of a negative number": (lambda x: tg.where(x < 1, 0.0, tg.log(x - 1)), 0.5),
    "x log(x)": (lambda x: tg.where(x > 0, tg.log(x) * x, 0.0), 0.0),
    "1 / 0": (lambda x: tg.where(x > 0, 1 / x, 0.0), 0.0),
    "0 / 0": (lambda x: tg.where(x > 0, x / (x * x), 0.0), 0.0),
    "a product with 1 / 0": (lambda x: tg.where(x > 0, (1 / x) * x * x, 0.0), 0.0),
    "exp(1 / 0)": (lambda x: tg.where(x > 0, tg.exp(1 / x), 0.0), 0.0),
    "0 ** -0.5": (lambda x: tg.where(x > 0, x**-0.5, x * 0.0), 0.0),
    "0 ** -2": (lambda x: tg.where(x > 0, x**-2.0, 0.0), 0.0),
    "1 / sqrt(0)": (lambda x: tg.where(x > 0, 1 / tg.sqrt(x), 0.0), 0.0),
    "the root of a negative number": (lambda x: tg.where(x > 0, tg.sqrt(x), 0.0), -1.0),
    "atanh(1)": (lambda x: tg.where(x < 1, tg.atanh(x), 0.0), 1.0),
}


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_what_was_not_taken_adds_nothing_to_any_derivative(name: str) -> None:
    f, x = NOT_TAKEN[name]
    with np.errstate(all="ignore"):
        assert derivatives(f, x) == [0, 0, 0, 0]
