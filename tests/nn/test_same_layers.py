"""Layers that Keras and PyTorch have too: from equal weights, in training and in evaluation, and to second order."""

import copy
import math
from operator import attrgetter
from typing import Any

import numpy as np
import pytest
from keras_layers import KERAS, TORCH, Same

import tapegrad as tg
from tapegrad import nn

RNG = np.random.default_rng(5)
TOLERANCE = {"float64": 1e-9, "float32": 3e-5}
named = lambda part: getattr(part, "name", part)
rows = pytest.mark.parametrize("row", KERAS + TORCH, ids=lambda row: row.name)


@pytest.fixture(autouse=True)
def same_numbers_in_any_order() -> None:
    """Whichever tests ran before: a difference must not come to go past a kink in one order of them."""
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


def inputs(row: Same, dtype: str) -> np.ndarray:
    if row.integers:
        return RNG.integers(0, row.integers, row.shape)
    # No two near each other: a difference must not go past where the largest element of a window is another one.
    count = math.prod(row.shape)
    values = (np.arange(count) + RNG.uniform(0.2, 0.4, count)) * (8.0 / count) - 3.5
    return RNG.permutation(values).reshape(row.shape).astype(dtype)


def drawn(row: Same, dtype: str, layer: Any) -> dict[str, Any]:
    """A state with other values for all weights."""
    state = {name: t.numpy() for name, t in layer.state_dict().items()}
    assert tuple(state) == row.weights
    return {
        n: a if a.dtype.kind == "i" else RNG.uniform(0.3, 1.5, a.shape).astype(dtype)
        for n, a in state.items()
    }


def ours(layer: Any, x: np.ndarray, w: np.ndarray) -> tuple[Any, list[np.ndarray]]:
    """The output, and the gradients of the input (if it is not integers) and of the parameters."""
    given = tg.tensor(x, requires_grad=x.dtype.kind == "f")
    y = layer(given)
    layer.zero_grad()
    y.backward(tg.tensor(w)) if y.requires_grad else None
    leaves = [*([given] if given.requires_grad else []), *layer.parameters()]
    return y.detach().numpy(), [t.grad.numpy() for t in leaves]


def assert_all_close(got: Any, want: Any, dtype: str) -> None:
    for a, b in zip(got, want, strict=True):
        assert str(a.dtype) == str(b.dtype)
        np.testing.assert_allclose(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("row", "dtype"), [(row, d) for d in TOLERANCE for row in KERAS if d in row.dtypes], ids=named
)
def test_it_is_kerass(row: Same, dtype: str, reference: Any) -> None:
    tf = reference.tf
    layer, theirs = row.make(dtype), row.theirs(reference.keras, dtype)
    theirs.build(row.shape)
    state = drawn(row, dtype, layer)
    theirs.set_weights([state[name] for name in row.weights])
    layer.load_state_dict(state)
    for training in (True, True, False):
        x = inputs(row, dtype)
        given = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(given)
            want = theirs(given, training=training)
        w = RNG.normal(size=want.shape).astype(dtype)
        leaves = [*([] if row.integers else [given]), *theirs.trainable_variables]
        slopes = tape.gradient(want, leaves, output_gradients=tf.constant(w)) if leaves else []
        got, gradients = ours(layer.train(training), x, w)
        assert_all_close(
            [got, *gradients], [want.numpy(), *(tf.convert_to_tensor(s).numpy() for s in slopes)], dtype
        )
        assert_all_close([t.numpy() for t in layer.state_dict().values()], theirs.get_weights(), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("row", TORCH, ids=lambda row: row.name)
def test_it_is_pytorchs(row: Same, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    layer, theirs = row.make(dtype), row.theirs(torch, dtype)
    assert tuple(theirs.state_dict()) == row.weights
    state = drawn(row, dtype, layer)
    theirs.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    layer.load_state_dict(theirs.state_dict())
    for training in (True, True, False):
        x = inputs(row, dtype)
        given = torch.tensor(x, requires_grad=True)
        want = theirs.train(training)(given)
        w = RNG.normal(size=want.shape).astype(dtype)
        leaves = [given, *theirs.parameters()]
        slopes = torch.autograd.grad(want, leaves, torch.tensor(w))
        got, gradients = ours(layer.train(training), x, w)
        assert_all_close([got, *gradients], [want.detach().numpy(), *(s.numpy() for s in slopes)], dtype)
        assert_all_close(
            [t.numpy() for t in layer.state_dict().values()],
            [t.detach().numpy() for t in theirs.state_dict().values()], dtype,
        )  # fmt: skip


@rows
@pytest.mark.parametrize("training", [True, False])
def test_derivatives_are_differences(row: Same, training: bool) -> None:
    layer = row.make("float64")
    layer.load_state_dict(drawn(row, "float64", layer))
    layer.train(training)
    weights = {name: p.detach() for name, p in layer.named_parameters()}
    x = tg.tensor(inputs(row, "float64"))

    def f(x: Any, weights: Any) -> Any:
        twin = copy.deepcopy(layer)
        for name, value in weights.items():
            *inside, last = name.split(".")
            vars(attrgetter(".".join(inside))(twin) if inside else twin)[last] = value
        return twin(x)

    if row.integers:
        tg.check_grads(lambda weights: f(x, weights), [weights], order=2)
    elif weights:
        tg.check_grads(f, [x, weights], order=2)
    else:
        tg.check_grads(lambda x: f(x, {}), [x], order=2)


@rows
def test_it_is_made_again_from_its_config(row: Same) -> None:
    layer = row.make("float64")
    twin = type(layer)(**layer.config())
    twin.load_state_dict(layer.state_dict())
    assert repr(twin) == repr(layer) and twin.config() == layer.config()
    assert tuple(twin.infer_shape(row.shape[1:])) == layer(inputs(row, "float64")).shape[1:]
    keeps = getattr(layer, "dtype", None)
    assert (keeps in (None, "float64") and f"dtype='{keeps}'" in repr(layer)) or keeps is None


@rows
def test_a_model_with_it_is_trained_saved_and_loaded(row: Same, tmp_path: Any) -> None:
    def made() -> Any:
        tg.manual_seed(1)
        model = tg.models.Sequential([row.make("float32"), nn.Flatten(), nn.Dense(1)])
        model.build(row.shape[1:])
        return model.compile("sgd", "mse") or model

    n = 6 * row.shape[0]
    x = (
        RNG.integers(0, row.integers, (n, *row.shape[1:]))
        if row.integers
        else RNG.normal(size=(n, *row.shape[1:]))
    )
    y = RNG.normal(size=(n, 1))
    model = made()
    model.fit(x, y, epochs=2, batch_size=row.shape[0], verbose=0)
    model.save(tmp_path / "model")
    again = tg.models.Sequential.load(tmp_path / "model")
    assert repr(again) == repr(model)
    for (path, a), (same, b) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert path == same
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    np.testing.assert_array_equal(model.predict(x), again.predict(x))


def doubled(layer: Any) -> Any:
    return lambda x: layer(x).detach() * 2.0


@rows
def test_a_compiled_step_is_never_stale(row: Same) -> None:
    """Training, evaluation, training again, and a state loaded in between: as the plain step does."""
    outcomes = []
    for wrap in (lambda f: f, lambda f: tg.jit(f, strict=True)):
        rng = np.random.default_rng(9)
        tg.manual_seed(2)
        layer = row.make("float64")
        state = {n: t.numpy() for n, t in layer.state_dict().items()}
        step, seen = wrap(doubled(layer)), []
        for call in range(10):
            layer.train(call not in (3, 4, 5))
            if call == 7:
                layer.load_state_dict(state)
            if call == 8:
                layer.requires_grad_(False)
            x = rng.integers(0, row.integers, row.shape) if row.integers else rng.normal(size=row.shape)
            seen += [step(tg.tensor(x)).numpy(), *(t.numpy() for t in layer.state_dict().values())]
        outcomes.append(seen)
    for a, b in zip(*outcomes, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["LayerNormalization", "RMSNormalization", "GroupNormalization", "BatchNormalization"]
)
def test_float16_is_computed_in_float32(name: str) -> None:
    more = {"groups": 1} if name.startswith("Group") else {}
    layer, same = (getattr(nn, name)(in_features=64, dtype=d, **more) for d in ("float16", "float32"))
    x = tg.tensor(RNG.normal(0, 120, (8, 64)), dtype="float16", requires_grad=True)
    wide = x.detach().astype("float32").requires_grad_()
    (layer(x) * 3.0).sum().backward()
    (same(wide) * 3.0).sum().backward()
    assert layer(x).dtype == "float16" and np.isfinite(layer(x).numpy()).all()
    np.testing.assert_allclose(layer(x).numpy(), same(wide).numpy(), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(x.grad.numpy(), wide.grad.numpy(), atol=2e-3)
