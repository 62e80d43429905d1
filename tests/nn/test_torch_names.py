"""Layers and losses under PyTorch's names, with its order, defaults and values; Keras's classes in Keras's order."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg

nn, F = tg.nn, tg.nn.functional
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(6, 4)).astype("float32")
Y = RANDOM.normal(size=(6, 4)).astype("float32")
BITS = (Y > 0).astype("float32")
CLASSES = np.array([0, 3, 1, 1, 2, 0])
IGNORED = np.array([0, -100, 1, 1, 2, -100])
SHARES = np.abs(Y) / np.abs(Y).sum(axis=1, keepdims=True)
WEIGHT = np.array([0.5, 1.0, 2.0, 3.0], "float32")
IMAGES = RANDOM.normal(size=(2, 4, 3, 5)).astype("float32")
PIXELS = RANDOM.integers(0, 4, size=(2, 3, 5))

# class, positional options, options, input, target
ROWS: tuple[tuple[str, tuple[Any, ...], dict[str, Any], Any, Any], ...] = (
    *((name, (), {"reduction": r}, X, Y) for name in ("MSELoss", "L1Loss") for r in ("mean", "sum", "none")),
    *(("BCEWithLogitsLoss", (), {"reduction": r}, X, BITS) for r in ("mean", "sum", "none")),
    ("BCEWithLogitsLoss", (WEIGHT,), {}, X, BITS),
    ("BCEWithLogitsLoss", (), {"pos_weight": WEIGHT}, X * 30, BITS),
    *(("CrossEntropyLoss", (), {"reduction": r}, X, CLASSES) for r in ("mean", "sum", "none")),
    *(("CrossEntropyLoss", (WEIGHT,), {"reduction": r}, X, CLASSES) for r in ("mean", "sum", "none")),
    *(("CrossEntropyLoss", (WEIGHT,), {"reduction": r}, X, IGNORED) for r in ("mean", "sum", "none")),
    ("CrossEntropyLoss", (), {"ignore_index": 1}, X, CLASSES),
    ("CrossEntropyLoss", (), {"label_smoothing": 0.1}, X, CLASSES),
    ("CrossEntropyLoss", (WEIGHT,), {"label_smoothing": 0.1}, X, IGNORED),
    ("CrossEntropyLoss", (), {}, X, SHARES),
    ("CrossEntropyLoss", (WEIGHT,), {"label_smoothing": 0.2}, X, SHARES),
    ("CrossEntropyLoss", (), {}, IMAGES, PIXELS),
    ("CrossEntropyLoss", (WEIGHT,), {"reduction": "none"}, IMAGES, PIXELS),
    ("CrossEntropyLoss", (), {}, X[0], np.int64(2)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "given", "options", "x", "t"), ROWS, ids=[f"{r[0]}{i}" for i, r in enumerate(ROWS)]
)
def test_values_and_gradients_are_pytorchs(name: str, given: Any, options: Any, x: Any, t: Any):
    torch = pytest.importorskip("torch")
    theirs = torch.tensor(x, requires_grad=True)
    as_torch = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    target = torch.tensor(t) if isinstance(t, np.ndarray) else torch.tensor(int(t))
    want = getattr(torch.nn, name)(*map(torch.tensor, given), **as_torch)(theirs, target)
    want.sum().backward()
    loss = getattr(nn, name)(*given, **options)
    ours = tg.tensor(x, requires_grad=True)
    got = loss(ours, tg.tensor(t))
    got.sum().backward()
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=2e-5, atol=1e-6)
    step = tg.jit(lambda a, b: tg.grad(lambda a: loss(a, b).sum())(a), strict=True)
    for _ in range(3):
        compiled = step(tg.tensor(x), tg.tensor(t))
    np.testing.assert_allclose(compiled.numpy(), theirs.grad.numpy(), rtol=2e-5, atol=1e-6)


def test_linear_is_pytorchs():
    torch = pytest.importorskip("torch")
    for options in ({}, {"bias": False}):
        theirs, ours = torch.nn.Linear(4, 3, **options), nn.Linear(4, 3, **options)
        ours.kernel.assign(theirs.weight.detach().numpy().T)
        if theirs.bias is not None:
            ours.bias.assign(theirs.bias.detach().numpy())
        np.testing.assert_allclose(
            ours(tg.tensor(X)).detach().numpy(),
            theirs(torch.tensor(X)).detach().numpy(),
            rtol=1e-5,
            atol=1e-6,
        )


def test_linears_initial_values_follow_pytorchs_law():
    tg.manual_seed(0)
    layer = nn.Linear(100, 200)
    for values in (layer.kernel.detach().numpy(), layer.bias.detach().numpy()):
        assert np.abs(values).max() <= 0.1 and abs(values.std() - 0.1 / 3**0.5) < 0.005


def test_linear_is_a_layer_like_others():
    layer = nn.Linear(4, 3, bias=False, dtype="float64")
    assert repr(layer) == "Linear(in_features=4, out_features=3, bias=False, dtype='float64')"
    assert type(layer)(**layer.config()).config() == layer.config()
    assert layer.out_features == layer.units == 3 and layer.bias is None and layer.dtype == "float64"
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    assert [path for path, _ in model.named_parameters()] == [
        "layers.0.kernel", "layers.0.bias", "layers.2.kernel", "layers.2.bias",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="in_features must be a positive integer"):
        nn.Linear(0, 3)


def test_losses_of_pytorch_do_not_broadcast():
    for loss in (nn.MSELoss(), nn.L1Loss(), nn.BCEWithLogitsLoss()):
        with pytest.raises(
            ValueError, match=f"{type(loss).__name__}: prediction and target must have one shape"
        ):
            loss(tg.ones((3, 1)), tg.ones(3))
    with pytest.raises(TypeError, match="arguments by position are too many"):
        nn.MSELoss("sum")
    with pytest.raises(ValueError, match="labels must be class numbers from 0 to 3"):
        nn.CrossEntropyLoss()(tg.tensor(X), tg.tensor(CLASSES + 1))


# Keras's class, options, whether the target is class numbers
KERAS = (
    ("MeanSquaredError", {}), ("MeanAbsoluteError", {}), ("MeanAbsolutePercentageError", {}),
    ("MeanSquaredLogarithmicError", {}), ("Huber", {"delta": 0.5}), ("LogCosh", {}), ("Poisson", {}),
    ("CosineSimilarity", {}), ("BinaryCrossentropy", {"from_logits": True}), ("Hinge", {}), ("SquaredHinge", {}),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}), ("CategoricalHinge", {}), ("KLDivergence", {}),
    ("SparseCategoricalCrossentropy", {"from_logits": True}),
)  # fmt: skip


@pytest.mark.parametrize(("name", "options"), KERAS, ids=[name for name, _ in KERAS])
def test_kerass_classes_take_the_target_first(name: str, options: dict[str, Any]):
    y_pred = SHARES if name in ("CategoricalCrossentropy", "KLDivergence", "Poisson") else X
    y_true = CLASSES if name.startswith("Sparse") else SHARES[::-1].copy() if y_pred is SHARES else BITS
    loss = getattr(nn.losses, name)(**options)
    got = loss(tg.tensor(y_true), tg.tensor(y_pred))
    same = type(loss).function(tg.tensor(y_pred), tg.tensor(y_true), **options)
    assert got.item() == same.item() == loss(y_true=tg.tensor(y_true), y_pred=tg.tensor(y_pred)).item()
    of_models = nn.losses.get(loss)
    assert of_models(tg.tensor(y_pred), tg.tensor(y_true)).item() == got.item() and repr(of_models) == repr(
        loss
    )
    assert nn.losses.get(name)(tg.tensor(y_pred), tg.tensor(y_true)).shape == ()


@pytest.mark.tensorflow
@pytest.mark.parametrize(("name", "options"), KERAS, ids=[name for name, _ in KERAS])
def test_their_values_are_kerass(name: str, options: dict[str, Any]):
    keras = pytest.importorskip("keras")
    y_pred = SHARES if name in ("CategoricalCrossentropy", "KLDivergence", "Poisson") else X
    y_true = CLASSES if name.startswith("Sparse") else SHARES[::-1].copy() if y_pred is SHARES else BITS
    want = float(getattr(keras.losses, name)(**options)(y_true, y_pred))
    assert abs(getattr(nn.losses, name)(**options)(y_true, tg.tensor(y_pred)).item() - want) < 1e-4 * max(
        1, abs(want)
    )


def test_a_model_is_compiled_with_a_loss_object_and_its_options_count():
    tg.manual_seed(0)
    model = tg.models.Sequential([nn.Dense(4, in_features=4)])
    model.compile("sgd", nn.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(X, CLASSES, epochs=3, verbose=0)
    assert history.history["loss"][0] > history.history["loss"][-1]
    assert "SparseCategoricalCrossentropy" in repr(model.loss)
