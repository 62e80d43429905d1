"""Dense, Sequential, Flatten and Dropout."""

import copy
from typing import Any

import numpy as np
import pytest
from layer_rows import DENSE

import tapegrad as tg
from tapegrad import nn
from tapegrad.autograd.dtypes import name_of

RNG = np.random.default_rng(1)


# ---- Dense ----
@pytest.mark.tensorflow
@pytest.mark.parametrize("options", DENSE, ids=str)
@pytest.mark.parametrize("shape", [(6, 5), (2, 3, 5)], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-6), ("float32", 2e-5)])
def test_dense_is_kerass(options: Any, shape: Any, dtype: str, tolerance: float, reference: Any) -> None:
    """From equal weights: output, and gradients for input, kernel and bias. (1e-6: TensorFlow's gelu in float64.)"""
    theirs = reference.keras.layers.Dense(4, dtype=dtype, bias_initializer="glorot_normal", **options)
    theirs.build(shape)
    ours = nn.Dense(4, in_features=5, dtype=dtype, **options)
    names = ["kernel", "bias"] if options.get("use_bias", True) else ["kernel"]
    ours.load_state_dict({name: getattr(theirs, name).numpy() for name in names})

    x, w = RNG.normal(size=shape).astype(dtype), RNG.normal(size=(*shape[:-1], 4)).astype(dtype)
    tf = reference.tf
    x_theirs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x_theirs)
        y_theirs = theirs(x_theirs)
    want = tape.gradient(y_theirs, [x_theirs, *theirs.trainable_variables], output_gradients=tf.constant(w))
    x_ours = tg.tensor(x, requires_grad=True)
    y = ours(x_ours)
    y.backward(tg.tensor(w))
    np.testing.assert_allclose(y.numpy(), y_theirs.numpy(), rtol=tolerance, atol=tolerance)
    for got, expected in zip([x_ours, *ours.parameters()], want, strict=True):
        assert got.grad.dtype == dtype
        np.testing.assert_allclose(got.grad.numpy(), expected.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("options", DENSE, ids=str)
@pytest.mark.parametrize("shape", [(5,), (6, 5), (2, 3, 5)], ids=str)
def test_dense_derivatives_are_differences(options: Any, shape: Any) -> None:
    layer = nn.Dense(4, in_features=5, dtype="float64", bias_initializer="random_normal", **options)

    def f(x: Any, weights: Any) -> Any:
        twin = copy.deepcopy(layer)
        vars(twin).update(weights)
        return twin(x)

    weights = {name: p.detach() for name, p in layer.named_parameters()}
    tg.check_grads(f, [tg.tensor(RNG.normal(size=shape)), weights], order=2)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dense_keeps_the_dtype(dtype: str) -> None:
    layer = nn.Dense(4, "relu", in_features=3, dtype=dtype)
    x = tg.ones((2, 3), dtype=dtype).requires_grad_()
    y = layer(x)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == layer.kernel.grad.dtype == layer.bias.grad.dtype == layer.dtype == dtype


def test_dense_default_dtype_is_the_default() -> None:
    try:
        tg.set_default_dtype("float64")
        layer = nn.Dense(2, in_features=3)
    finally:
        tg.set_default_dtype("float32")
    assert layer.kernel.dtype == "float64" and "dtype='float64'" in repr(layer)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Dense(4, in_features=3),
        lambda: nn.Dense(4, input_shape=(3,)),
        lambda: nn.Dense(4, input_shape=(7, 3)),
        lambda: nn.Dense(4, input_shape=3),
        lambda: nn.Dense(4, in_features=3, input_shape=(3,)),
    ],
)
def test_dense_knows_its_input(make: Any) -> None:
    layer = make()
    assert (
        layer.built and layer.in_features == 3 and layer.kernel.shape == (3, 4) and layer.bias.shape == (4,)
    )
    assert type(layer)(**layer.config()).config() == layer.config()


def test_dense_makes_its_weights_at_the_first_call(elsewhere: str) -> None:
    layer = nn.Dense(4)
    assert not layer.built
    y = layer(tg.ones((2, 3), device=elsewhere))
    assert (
        layer.built
        and layer.in_features == 3
        and layer.kernel.device == layer.bias.device == y.device == elsewhere
    )
    assert layer.config()["in_features"] == 3 and name_of(layer.kernel.dtype) == layer.dtype


def test_dense_same_weights_on_every_device(elsewhere: str) -> None:
    tg.manual_seed(5)
    here = nn.Dense(4, in_features=3)
    tg.manual_seed(5)
    with tg.use_backend(elsewhere):
        there = nn.Dense(4, in_features=3)
    assert there.kernel.device == elsewhere
    np.testing.assert_array_equal(here.kernel.numpy(), there.kernel.numpy())


def test_dense_takes_arrays_and_integers() -> None:
    layer = nn.Dense(2, in_features=3, kernel_initializer="ones")
    assert layer(np.ones((1, 3), "float32")).tolist() == layer([[1, 1, 1]]).tolist() == [[3.0, 3.0]]
    assert layer(tg.ones((1, 3), dtype="int64")).dtype == "float32"
    assert layer(tg.ones((0, 3))).shape == (0, 2)


def test_dense_custom_initializer_and_activation() -> None:
    layer = nn.Dense(
        2, lambda x: x * 10, in_features=2, kernel_initializer=np.ones, bias_initializer=lambda s: [1, 2]
    )
    assert layer([[1.0, 1.0]]).tolist() == [[30.0, 40.0]]


DENSE_REFUSED = [
    (lambda: nn.Dense(0), ValueError, "Dense: units must be a positive integer, got 0"),
    (lambda: nn.Dense(2.0), ValueError, "Dense: units must be a positive integer, got 2.0"),
    (lambda: nn.Dense(True), ValueError, "units must be a positive integer, got True"),
    (lambda: nn.Dense(2, in_features=-1), ValueError, "in_features must be a positive integer, got -1"),
    (lambda: nn.Dense(2, in_features=3, input_shape=(4,)), ValueError, r"\(4,\) and in_features=3 disagree"),
    (lambda: nn.Dense(2, input_shape=()), ValueError, r"input_shape=\(\)"),
    (lambda: nn.Dense(2, "rleu"), ValueError, "unknown activation 'rleu': did you mean 'relu'"),
    (lambda: nn.Dense(2, kernel_initializer="xavier"), ValueError, "unknown initializer 'xavier'; known: const"),
    (lambda: nn.Dense(2, dtype="int32"), ValueError, "dtype must be float16, float32 or float64, got 'int32'"),
    (lambda: nn.Dense(2, in_features=3, bias_initializer=lambda s: [1.0]), ValueError, r"for \(2,\) and made \(1,\)"),
    (lambda: nn.Dense(2, in_features=3)(np.ones((4, 5))), ValueError,
     r"Dense\(units=2, in_features=3\): expected an input with 3 features in the last axis, got shape \(4, 5\)"),
    (lambda: nn.Dense(2, in_features=3)(1.0), ValueError, r"got shape \(\)"),
    (lambda: nn.Dense(2)(1.0), ValueError, r"expected an input with at least one axis, got shape \(\)"),
    (lambda: nn.Dense(2, in_features=3).build((4,)), ValueError, r"3 features in the last axis, got shape \(4,\)"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "kind", "message"), DENSE_REFUSED)
def test_dense_refuses(make: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        make()


# ---- Sequential ----
def test_sequential_infers_sizes_along_the_chain() -> None:
    model = nn.Sequential(
        nn.Dropout(0.1), nn.Dense(5, input_shape=(4, 3)), nn.ReLU(), nn.Flatten(), nn.Dense(2), nn.Softmax()
    )
    assert [p.shape for p in model.parameters()] == [(3, 5), (5,), (20, 2), (2,)]
    assert model(tg.ones((7, 4, 3))).shape == (7, 2)
    later = nn.Sequential([nn.Dense(5), nn.Dense(2)])
    assert not later[0].built
    assert later(tg.ones((7, 3))).shape == (7, 2) and later[0].kernel.shape == (3, 5)
    nested = nn.Sequential(nn.Sequential(nn.Dense(3, in_features=2)), nn.Sequential(nn.Dense(4)))
    assert nested.input_shape == (2,) and nested[1][0].kernel.shape == (3, 4)


def test_sequential_grows() -> None:
    model = nn.Sequential()
    model.add(nn.Dense(3, in_features=2))
    model.append(nn.Dense(1))
    assert len(model) == 2 and list(model) == model.layers and model[-1] is model.layers[1]
    assert model[1].kernel.shape == (3, 1)
    head = model[:1]
    assert type(head) is nn.Sequential and head[0] is model[0]
    assert [path for path, _ in model.named_parameters()] == [
        "layers.0.kernel", "layers.0.bias", "layers.1.kernel", "layers.1.bias"]  # fmt: skip


def test_sequential_refuses() -> None:
    with pytest.raises(
        TypeError, match=r"expected a layer, got <primitive relu>: wrap a function as nn.Activation"
    ):
        nn.Sequential(nn.Dense(2), tg.relu)
    model = nn.Sequential(nn.Dense(3, in_features=2))
    with pytest.raises(
        ValueError, match=r"Dense\(units=1, in_features=4\): expected an input with 4 features"
    ):
        model.add(nn.Dense(1, in_features=4))
    assert len(model) == 1
    assert nn.Sequential()(5) == 5


# ---- Flatten ----
@pytest.mark.parametrize(
    ("shape", "flat"), [((2, 3, 4), (2, 12)), ((2, 3), (2, 3)), ((2,), (2, 1)), ((0, 3, 4), (0, 12))]
)
def test_flatten(shape: Any, flat: Any, elsewhere: str) -> None:
    x = RNG.normal(size=shape)
    for device in ("cpu", elsewhere):
        y = nn.Flatten()(tg.tensor(x, device=device))
        np.testing.assert_array_equal(y.numpy(), x.reshape(flat))
    if len(shape) > 1:
        assert nn.Flatten().build(shape[1:]) == flat[1:]


def test_flatten_refuses_a_number() -> None:
    with pytest.raises(ValueError, match=r"Flatten: expected a batch, got a tensor of shape \(\)"):
        nn.Flatten()(1.0)


# ---- Dropout ----
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dropout(dtype: str) -> None:
    check_dropout(dtype, "cpu")


def test_dropout_on_another_device(elsewhere: str) -> None:
    check_dropout("float32", elsewhere)


def check_dropout(dtype: str, device: str) -> None:
    layer = nn.Dropout(0.25)
    x = tg.tensor(np.full((200, 500), 3.0), dtype=dtype, device=device, requires_grad=True)
    y = layer(x)
    values, counts = np.unique(y.numpy(), return_counts=True)
    assert y.device == device and name_of(y.dtype) == dtype and values.tolist() == [0.0, 4.0]
    assert abs(counts[0] / 1e5 - 0.25) < 4 * (0.25 * 0.75 / 1e5) ** 0.5  # 4 standard deviations
    y.backward(tg.ones_like(y))
    np.testing.assert_allclose(x.grad.numpy(), y.numpy() / 3, rtol=1e-3)
    assert not np.array_equal(layer(x).numpy(), y.numpy()), "a new mask at each call"
    assert layer.eval()(x) is x


def test_dropout_repeats_with_the_seed() -> None:
    def draw() -> np.ndarray:
        tg.manual_seed(11)
        return nn.Dropout(0.5)(tg.ones((20, 20))).numpy()

    np.testing.assert_array_equal(draw(), draw())


def test_dropout_drops_infinities_too() -> None:
    y = nn.Dropout(0.5)(tg.tensor([float("inf")] * 50)).numpy()
    assert set(y) == {0.0, float("inf")}


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan"), "half", None, True])
def test_dropout_refuses(rate: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="Dropout: rate must be at least 0 and below 1, got"):
        nn.Dropout(rate)


def test_dropout_of_rate_0_is_the_identity() -> None:
    x = tg.ones(3)
    assert nn.Dropout(0)(x) is x
    with pytest.raises(ValueError, match="dropout: rate"):
        nn.functional.dropout(x, 1.0)
