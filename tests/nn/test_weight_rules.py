"""Regularizers and constraints against Keras, to second order, in models, in loops of one's own, compiled, saved."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import models, nn
from tapegrad.models import compiled_step
from tapegrad.nn.weight_rules import CONSTRAINTS, REGULARIZERS, RULES, rule

R = np.random.default_rng(0)
W = R.normal(size=(4, 3))
X, Y = R.normal(size=(40, 4)).astype("float32"), R.normal(size=(40, 2)).astype("float32")

# the rule, Keras's class in keras.regularizers or keras.constraints with the same options
PENALTIES: tuple[Any, ...] = (
    nn.L1(), nn.L1(0.3), nn.L2(), nn.L2(0.2), nn.L1L2(0.1, 0.2), nn.OrthogonalRegularizer(),
    nn.OrthogonalRegularizer(0.5, "columns"),
)  # fmt: skip
LIMITS: tuple[Any, ...] = (
    nn.MaxNorm(), nn.MaxNorm(1.5), nn.MaxNorm(1.0, axis=1), nn.MinMaxNorm(2.0, 3.0),
    nn.MinMaxNorm(0.5, 1.0, 0.3, axis=1),
    nn.NonNeg(), nn.UnitNorm(), nn.UnitNorm(axis=(0, 1)),
)  # fmt: skip


def test_every_rule_has_a_row() -> None:
    assert {type(p) for p in PENALTIES} == set(REGULARIZERS) and {type(c) for c in LIMITS} == set(CONSTRAINTS)
    assert {*RULES} <= set(nn.__all__)


@pytest.mark.tensorflow
@pytest.mark.parametrize("ours", (*PENALTIES, *LIMITS), ids=repr)
def test_values_are_kerass(ours: Any, reference: Any) -> None:
    keras = reference.keras
    module = keras.regularizers if type(ours) in REGULARIZERS else keras.constraints
    options = {k: list(v) if isinstance(v, tuple) else v for k, v in ours.config().items()}
    w = W.astype("float32")
    theirs = getattr(module, type(ours).__name__)(**options)(reference.tf.constant(w))
    np.testing.assert_allclose(ours(tg.tensor(w)).numpy(), np.asarray(theirs), rtol=2e-6)


@pytest.mark.parametrize("ours", (*PENALTIES, *LIMITS), ids=repr)
def test_derivatives_dtypes_and_configs(ours: Any) -> None:
    tg.check_grads(ours, [tg.tensor(W)], order=2)
    for dtype in ("float16", "float32"):
        assert ours(tg.tensor(W, dtype=dtype)).dtype == dtype
    again = type(ours)(**ours.config())
    assert again == ours and hash(again) == hash(ours) and repr(again) == repr(ours)


def test_edges() -> None:
    zero = tg.tensor(np.zeros((3, 2)))
    for ours in (*PENALTIES, *LIMITS):
        value, gradient = tg.value_and_grad(lambda w, f=ours: f(w).sum())(zero)
        assert value.item() == 0 and np.isfinite(gradient.numpy()).all()
    assert nn.OrthogonalRegularizer()(tg.ones((1, 3))).item() == 0
    with pytest.raises(ValueError, match="expected a matrix"):
        nn.OrthogonalRegularizer()(tg.ones(3))
    with pytest.raises(ValueError, match="L2: l2 must be a finite number of at least 0"):
        nn.L2(-1.0)
    with pytest.raises(ValueError, match="is below min_value"):
        nn.MinMaxNorm(2.0, 1.0)
    with pytest.raises(ValueError, match="unknown regularizer 'l3'; known: l1, l1_l2, l2,"):
        nn.Dense(2, kernel_regularizer="l3")
    with pytest.raises(TypeError, match="constraint: expected a callable or one of these names"):
        nn.Dense(2, kernel_constraint=3.0)


def test_names_and_classes() -> None:
    assert rule("Dense: bias_regularizer", "l2") == nn.L2()
    assert rule("Dense: kernel_regularizer", nn.L1) == nn.L1()
    assert rule("Dense: bias_constraint", "non_neg") == nn.NonNeg()
    assert rule("Dense: bias_constraint", None) is None
    layer = nn.Dense(2, in_features=3, kernel_regularizer=nn.L2(0.5))
    assert "kernel_regularizer=L2(l2=0.5)" in repr(layer)


# ---- in modules ----
def test_penalty_is_that_of_trained_weights_each_once() -> None:
    inner = nn.Dense(
        3, in_features=4, kernel_regularizer=nn.L2(0.5), bias_regularizer=lambda w: (w + 1).sum()
    )
    model = nn.Sequential(
        inner, nn.Sequential(nn.Dense(3, in_features=3)), nn.Residual(nn.Identity()), nn.ReLU()
    )
    want = 0.5 * np.sum(inner.kernel.numpy() ** 2) + 3
    np.testing.assert_allclose(model.penalty().item(), want, rtol=1e-6)
    shared = nn.ModuleList([inner, inner])
    np.testing.assert_allclose(shared.penalty().item(), want, rtol=1e-6)
    gradient = tg.value_and_grad(lambda m: m.penalty())(model)[1]["layers.0.kernel"]
    np.testing.assert_allclose(gradient.numpy(), inner.kernel.numpy(), rtol=1e-6)
    inner.kernel.requires_grad_(False)
    assert model.penalty().item() == 3
    model.layers[1].layers[0].kernel_regularizer = "l1"  # set later, by name
    np.testing.assert_allclose(
        model.penalty().item(), 3 + 0.01 * np.abs(model.layers[1].layers[0].kernel.numpy()).sum(), rtol=1e-6
    )
    assert nn.Dense(2, in_features=2).penalty().item() == 0 == nn.ReLU().penalty().item()
    with pytest.raises(RuntimeError, match="has not made its weights yet"):
        nn.Dense(2, kernel_regularizer="l2").penalty()


@pytest.mark.parametrize("emitter", [None, "numpy", "native"])
def test_a_loop_of_ones_own(emitter: str | None, request: pytest.FixtureRequest) -> None:
    """Three steps of SGD by hand, eagerly and compiled, against the formula."""
    layer = nn.Dense(
        2, in_features=4, dtype="float64", kernel_regularizer=nn.L2(0.1), kernel_constraint=nn.NonNeg()
    )
    layer.bias_constraint = nn.MaxNorm(0.01)
    w, b = layer.kernel.numpy().copy(), layer.bias.numpy().copy()
    optimizer = tg.optim.SGD(layer.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(layer(x), y) + layer.penalty()
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = step if emitter is None else tg.jit(step, emitter=emitter, strict=True)
    x, y = X.astype("float64"), Y.astype("float64")
    for _ in range(5):
        error = x @ w + b - y
        want = np.mean(error**2) + 0.1 * np.sum(w**2)
        np.testing.assert_allclose(run(tg.tensor(x), tg.tensor(y)).item(), want, rtol=1e-12)
        w = w - 0.1 * (2 * x.T @ error / error.size + 0.2 * w)
        b = b - 0.1 * 2 * error.sum(axis=0) / error.size
        w, norm = np.maximum(w, 0), np.sqrt(np.sum(b**2))
        b = b * (min(norm, 0.01) / (1e-7 + norm))
        np.testing.assert_allclose(layer.kernel.numpy(), w, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(layer.bias.numpy(), b, rtol=1e-12, atol=1e-15)


# layer, its options, the shape of a batch, option -> weight
OF_LAYERS: Any = [
    *((name, {"filters": 2, "kernel_size": 2}, (2, *(3,) * axes, 3), {"kernel": "kernel", "bias": "bias"})
      for axes in (1, 2, 3) for name in (f"Conv{axes}D", f"Conv{axes}DTranspose")),
    *((f"DepthwiseConv{n}D", {"kernel_size": 2}, (2, *(3,) * n, 3), {"depthwise": "kernel", "bias": "bias"})
      for n in (1, 2)),
    *((f"SeparableConv{n}D", {"filters": 2, "kernel_size": 2}, (2, *(3,) * n, 3),
       {"depthwise": "depthwise_kernel", "pointwise": "pointwise_kernel", "bias": "bias"}) for n in (1, 2)),
    *((name, {"units": 2}, (2, 4, 3), {"kernel": "kernel", "recurrent": "recurrent_kernel", "bias": "bias"})
      for name in ("SimpleRNN", "LSTM", "GRU")),
]  # fmt: skip


@pytest.mark.tensorflow
@pytest.mark.parametrize("name, options, shape, weights", OF_LAYERS, ids=[row[0] for row in OF_LAYERS])
def test_rules_of_layers_are_kerass(
    name: str, options: Any, shape: Any, weights: Any, reference: Any
) -> None:
    """Each option is that of its weight: the penalties one by one, and what the constraints leave."""
    keras = reference.keras
    penalties = {f"{w}_regularizer": nn.L2(0.1 * (i + 1)) for i, w in enumerate(weights)}
    limits = {f"{w}_constraint": nn.NonNeg() for w in weights}
    laws = {f"{w}_initializer": "random_normal" for w in weights}
    ours = getattr(nn, name)(**options, **penalties, **limits, **laws, in_features=3)
    theirs = getattr(keras.layers, name)(
        **options,
        **{n: keras.regularizers.L2(p.l2) for n, p in penalties.items()},
        **dict.fromkeys(limits, "non_neg"),
    )
    theirs.build(shape)
    theirs.set_weights(ours.get_weights())
    want = sum(np.asarray(loss) for loss in theirs.losses)
    np.testing.assert_allclose(ours.penalty().item(), want, rtol=1e-5)
    again = type(ours)(**ours.config())
    assert again.config() == ours.config()
    ours.constrain()
    for kept, their in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, np.maximum(their, 0))
    assert any((w < 0).any() for w in theirs.get_weights())


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "SimpleRNNCell"])
def test_cells_take_rules_too(kind: str) -> None:
    cell = getattr(nn, kind)(2, in_features=3, recurrent_regularizer="l2", kernel_constraint="non_neg")
    np.testing.assert_allclose(
        cell.penalty().item(), 0.01 * np.sum(cell.recurrent_kernel.numpy() ** 2), rtol=1e-5
    )
    cell.constrain()
    assert cell.kernel.numpy().min() >= 0 > cell.recurrent_kernel.numpy().min()
    with pytest.raises(ValueError, match="unknown regularizer 'l3'"):
        getattr(nn, kind)(2, recurrent_regularizer="l3")


def test_a_factor_of_0_looks_at_nothing() -> None:
    """A sum that is multiplied by 0 is not computed: squares that overflow would make NaN of it."""
    w = tg.tensor([1e30, -2e30], requires_grad=True)
    with np.errstate(over="raise"):
        np.testing.assert_allclose(nn.L1L2(l1=1e-30)(w).item(), 3.0, rtol=1e-6)


def net(**options: Any) -> models.Sequential:
    tg.manual_seed(0)
    return models.Sequential([nn.Dense(8, "tanh", in_features=4, **options), nn.Dense(2)])


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small models, too, are compiled after 20 batches."""
    monkeypatch.setattr(compiled_step, "PATIENCE", compiled_step.LEAST)


@pytest.mark.tensorflow
@pytest.mark.usefixtures("soon")
def test_a_fit_is_kerass(reference: Any) -> None:
    """From equal weights, without shuffling: the losses with the penalties, the weights, and evaluate."""
    keras = reference.keras
    ours = net(
        kernel_regularizer=nn.L1L2(0.02, 0.05), bias_regularizer="l2", kernel_constraint=nn.MaxNorm(0.7)
    )
    ours.build((4,))
    theirs = keras.Sequential([
        keras.layers.Dense(8, "tanh", kernel_regularizer=keras.regularizers.L1L2(0.02, 0.05), bias_regularizer="l2",
                           kernel_constraint=keras.constraints.MaxNorm(0.7)), keras.layers.Dense(2)])  # fmt: skip
    theirs.build((None, 4))
    theirs.set_weights(ours.get_weights())
    theirs.compile(keras.optimizers.SGD(0.1), "mse")
    ours.compile(tg.optim.SGD(lr=0.1), "mse")
    options = {"epochs": 12, "batch_size": 20, "shuffle": False, "verbose": 0}
    want = theirs.fit(X, Y, **options).history["loss"]
    np.testing.assert_allclose(ours.fit(X, Y, **options).history["loss"], want, rtol=2e-5)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(ours.evaluate(X, Y, verbose=0), theirs.evaluate(X, Y, verbose=0), rtol=2e-5)
    assert ours.stats()["train"]["recordings"] >= 1  # the step was compiled on the way


@pytest.mark.usefixtures("soon")
def test_a_rule_set_after_compile_counts(tmp_path: Path) -> None:
    model = net()
    model.build((4,))
    model.compile(tg.optim.SGD(lr=0.0), "mse")
    plain = model.evaluate(X, Y, verbose=0)
    model.layers[0].kernel_regularizer = nn.L2(2.0)
    more = model.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose(more - plain, model.penalty().item(), rtol=1e-5)
    # In compiled steps, too: 50 batches, then another factor.
    model.fit(X, Y, batch_size=20, epochs=25, verbose=0)
    assert model.stats()["train"]["compiled"] > 0
    before = model.fit(X, Y, batch_size=20, verbose=0).history["loss"][0]
    model.layers[0].kernel_regularizer.l2 = 4.0
    after = model.fit(X, Y, batch_size=20, verbose=0).history["loss"][0]
    np.testing.assert_allclose(after - before, model.penalty().item() / 2, rtol=1e-5)
    model.layers[0].kernel_regularizer = None
    assert model.evaluate(X, Y, verbose=0) == plain


def test_rules_are_saved_and_copied(tmp_path: Path) -> None:
    model = net(kernel_regularizer=nn.L2(0.3), kernel_constraint="unit_norm")
    model.build((4,))
    model.layers[1].bias_regularizer = nn.L1(0.2)
    model.layers[1].kernel_constraint = nn.MaxNorm(1.0, axis=(0, 1))
    model.compile("adam", "mse")
    model.fit(X, Y, epochs=2, verbose=0)
    measured = model.evaluate(X, Y, verbose=0)
    model.save(tmp_path / "m.tg")
    loaded = models.Sequential.load(tmp_path / "m.tg")
    model.optimizer = None
    for again in (loaded, copy.deepcopy(model)):
        first, last = again.layers
        assert first.kernel_regularizer == nn.L2(0.3) and first.kernel_constraint == nn.UnitNorm()
        assert last.bias_regularizer == nn.L1(0.2) and last.kernel_constraint.max_value == 1.0
        assert again.penalty().item() == model.penalty().item()
    assert loaded.evaluate(X, Y, verbose=0) == measured
    model.layers[1].bias_regularizer = lambda w: w.sum()
    with pytest.raises(TypeError, match="bias_regularizer of layer 1, Dense, is the function"):
        model.save(tmp_path / "m.tg")


def test_an_embedding_has_them_too() -> None:
    layer = nn.Embedding(5, 3, embeddings_regularizer="l2", embeddings_constraint=nn.UnitNorm(axis=1))
    np.testing.assert_allclose(
        layer.penalty().item(), 0.01 * np.sum(layer.embeddings.numpy() ** 2), rtol=1e-6
    )
    layer.constrain()
    np.testing.assert_allclose(np.linalg.norm(layer.embeddings.numpy(), axis=1), 1.0, rtol=1e-4)


@pytest.mark.parametrize("name", ["kernel_constraint", "kernel_regularizer"])
def test_a_rule_of_a_weight_that_is_not_there_raises(name: str) -> None:
    layer = nn.BatchNormalization()
    setattr(layer, name, nn.NonNeg() if name.endswith("constraint") else nn.L2(0.1))
    layer(tg.ones((4, 3)))
    kind = name.partition("_")[2]
    message = f"{name} would do nothing, for there is no weight 'kernel'.*gamma, beta: write gamma_{kind}"
    for ask in (layer.rules, layer.penalty, layer.constrain):
        with pytest.raises(TypeError, match=message):
            ask()


def test_a_bias_that_is_left_out_has_no_rule() -> None:
    layer = nn.Dense(2, use_bias=False, bias_regularizer="l2", in_features=3)
    assert layer.penalty().item() == 0.0


def test_a_loss_of_no_axes_takes_a_weight_of_none() -> None:
    loss = nn.functional.mse_loss(tg.tensor(3.0), tg.tensor(1.0), sample_weight=tg.tensor(2.0))
    assert loss.item() == 8.0
