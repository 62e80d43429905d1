"""Every activation as one row: value and gradient against Keras, differences to second order, dtypes, far and special
points, the strict backend, and its layer."""

import inspect
import math
from typing import Any

import numpy as np
import pytest
from activation_rows import FAR, ROWS, Row, call, named, points

import tapegrad as tg
from primitives.untaken import FEW, check, eager
from tapegrad import nn

F = nn.functional
rows = pytest.mark.parametrize("row", ROWS, ids=named)
dtypes = pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
COTANGENT = np.random.default_rng(6).normal(0, 1, (3, 4, 5))


def test_every_name_has_a_row() -> None:
    assert {row.name for row in ROWS} == set(nn.activations._TABLE.entries)


def test_every_layer_has_a_row() -> None:
    fixed = {
        name
        for name, kind in vars(nn.layers).items()
        if isinstance(kind, type) and hasattr(kind, "signature")
    }
    assert {row.layer for row in ROWS} - {""} == fixed - {"_Fixed"}


@pytest.mark.tensorflow
@rows
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_value_and_gradient_are_kerass(row: Row, dtype: str, reference: Any, run: Any) -> None:
    tolerance = 2e-5 if dtype == "float32" else row.keras_float64
    keras_function = reference.keras.activations.get(row.name)
    w = COTANGENT.astype(dtype)
    want, (want_gradient,) = reference.run(lambda x: keras_function(x, **row.options), w, points(dtype))
    got, (gradient,) = run(call(row), w, points(dtype))
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(gradient, want_gradient, rtol=tolerance, atol=tolerance)


def test_gelu_by_its_formulas() -> None:
    """TensorFlow's constants are too coarse to see a wrong digit."""
    x = points().ravel()
    exact = [v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x]
    np.testing.assert_allclose(F.gelu(tg.tensor(x)).numpy(), exact, rtol=1e-14, atol=1e-15)
    near = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    np.testing.assert_allclose(F.gelu(tg.tensor(x), approximate=True).numpy(), near, rtol=1e-13, atol=1e-15)


@rows
def test_derivatives_are_differences(row: Row) -> None:
    tg.check_grads(call(row), [tg.tensor(points())], order=2)


@dtypes
@rows
def test_precision_and_dtype(row: Row, dtype: str, run: Any) -> None:
    """Value and gradient keep the dtype and differ from float64's by little more than the rounding of the input."""
    x = points(dtype)
    got, (gradient,) = run(call(row), COTANGENT, x)
    assert got.dtype == gradient.dtype == dtype
    want, (want_gradient,) = run(call(row), COTANGENT, x.astype("float64"))
    few = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(got, want, rtol=few, atol=few * max(1, np.abs(want).max()))
    np.testing.assert_allclose(
        gradient, want_gradient, rtol=few, atol=few * max(1, np.abs(want_gradient).max())
    )


@dtypes
@pytest.mark.parametrize("row", [r for r in ROWS if r.at_far], ids=named)
def test_far_out(row: Row, dtype: str, run: Any) -> None:
    """No overflow on the way (a RuntimeWarning is an error in this suite), and finite slopes."""
    got, (gradient,) = run(call(row), None, np.array(FAR, dtype))
    few = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(got, row.at_far, rtol=few, atol=1e-15)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("name", "x", "slope"),
    [
        ("relu", 0.0, 0.0), ("leaky_relu", 0.0, 0.2), ("relu6", 0.0, 0.0), ("relu6", 6.0, 0.0), ("elu", 0.0, 1.0),
        ("celu", 0.0, 1.0), ("softsign", 0.0, 1.0), ("hard_sigmoid", -3.0, 1 / 6), ("hard_sigmoid", 3.0, 1 / 6),
        ("hard_tanh", -1.0, 1.0), ("hard_tanh", 1.0, 1.0), ("soft_shrink", 0.5, 0.0), ("soft_shrink", -0.5, 0.0),
        ("hard_shrink", 0.5, 0.0), ("softplus", 0.0, 0.5), ("gelu", 0.0, 0.5), ("mish", 0.0, 0.6),
    ],
)  # fmt: skip
def test_slopes_at_kinks_and_zero(name: str, x: float, slope: float) -> None:
    at = tg.tensor(x, dtype="float64", requires_grad=True)
    nn.activations.get(name)(at).backward()
    assert at.grad.item() == pytest.approx(slope, abs=1e-15)


@pytest.mark.parametrize("row", [r for r in ROWS if not r.options], ids=named)
def test_nan_stays_nan(row: Row) -> None:
    assert np.isnan(nn.activations.get(row.name)(tg.tensor([float("nan"), 1.0])).numpy()[0])


@pytest.mark.parametrize("order", [1, 2])
@rows
def test_values_not_taken(row: Row, order: int) -> None:
    """A cotangent of 0 stays 0, docs/conventions.md."""
    with np.errstate(all="ignore"):
        check(call(row), [points()[0]], eager(call(row), order), FEW)


@rows
def test_on_another_device(row: Row, elsewhere: str, run: Any) -> None:
    x = points("float32")
    want, (want_gradient,) = run(call(row), COTANGENT, x)
    got, (gradient,) = run(call(row), COTANGENT, x, device=elsewhere)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradient, want_gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("row", [r for r in ROWS if r.layer], ids=lambda r: f"{r.layer}-{r.options}")
def test_layer_is_the_function(row: Row) -> None:
    kind = getattr(nn, row.layer)
    layer = kind(**row.options)
    x = tg.tensor(points())
    np.testing.assert_array_equal(layer(x).numpy(), call(row)(x).numpy())
    assert layer.config() == {**layer.config(), **row.options}
    assert type(layer)(**layer.config()).config() == layer.config()
    assert layer.parameters() == [] and layer.build((4, 5)) == (4, 5)
    assert repr(kind()) == f"{row.layer}()" and eval(f"nn.{layer!r}").config() == layer.config()
    assert set(layer.config()) == set(inspect.signature(kind).parameters)


def test_layer_and_function_defaults_are_kerass() -> None:
    assert nn.LeakyReLU().negative_slope == 0.3
    assert inspect.signature(F.leaky_relu).parameters["negative_slope"].default == 0.2


def test_get() -> None:
    assert nn.activations.get(None) is nn.activations.linear
    assert nn.activations.get(F.relu) is F.relu
    with pytest.raises(
        ValueError, match=r"unknown activation 'rleu': did you mean 'relu'\?; known: celu, elu, .*tanh"
    ):
        nn.activations.get("rleu")
    with pytest.raises(TypeError, match="activation: expected a callable or one of these names, got 3"):
        nn.activations.get(3)
    with pytest.raises(TypeError, match="ReLU has no keyword 'slope'"):
        nn.ReLU(slope=1)


def test_activation_layer_takes_names_and_functions() -> None:
    x = tg.tensor([-1.0, 2.0])
    assert nn.Activation("relu")(x).tolist() == [0, 2]
    assert nn.Activation(lambda v: v * 2)(x).tolist() == [-2, 4]
    assert nn.Activation(F.relu).config() == {"activation": "relu"}
