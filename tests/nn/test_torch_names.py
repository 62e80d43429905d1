"""Layers and losses under PyTorch's names, with its order, defaults and values; Keras's classes in Keras's order."""

import math
import warnings
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
Z = RANDOM.normal(size=(6, 4)).astype("float32")
LOGS = np.log(SHARES)[::-1].copy()
COUNTS = RANDOM.integers(0, 5, size=(6, 4)).astype("float32")
SIGNS = np.sign(Y)
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
    *((name, (), {"reduction": r, **options}, X, Y) for r in ("mean", "sum", "none") for name, options in (
        ("SmoothL1Loss", {}), ("SmoothL1Loss", {"beta": 0.3}), ("SmoothL1Loss", {"beta": 0.0}), ("HuberLoss", {}),
        ("HuberLoss", {"delta": 0.3}), ("PoissonNLLLoss", {}))),
    *(("KLDivLoss", (), {"reduction": r, "log_target": logs}, LOGS, LOGS[::-1].copy() if logs else SHARES)
      for r in ("mean", "sum", "none", "batchmean") for logs in (False, True)),
    ("KLDivLoss", (), {"reduction": "sum"}, LOGS, np.eye(4, dtype="float32")[CLASSES]),
    ("PoissonNLLLoss", (), {"log_input": False}, SHARES, COUNTS),
    ("PoissonNLLLoss", (), {"full": True}, X, COUNTS),
    *(("BCELoss", (), {"reduction": r}, SHARES, BITS) for r in ("mean", "sum", "none")),
    ("BCELoss", (WEIGHT,), {}, SHARES, BITS),
    *(("NLLLoss", given, {"reduction": r}, LOGS, t) for r in ("mean", "sum", "none") for given in ((), (WEIGHT,))
      for t in (CLASSES, IGNORED)),
    ("NLLLoss", (), {"ignore_index": 1}, LOGS, CLASSES),
    ("NLLLoss", (WEIGHT,), {}, IMAGES, PIXELS),
    ("NLLLoss", (), {}, LOGS[0], np.int64(2)),
    *(("SoftMarginLoss", (), {"reduction": r}, X, SIGNS) for r in ("mean", "sum", "none")),
    *(("MultiLabelSoftMarginLoss", given, {"reduction": r}, X, BITS) for r in ("mean", "sum", "none")
      for given in ((), (WEIGHT,))),
    *(("HingeEmbeddingLoss", (), {"reduction": r, "margin": 0.7}, np.abs(X), SIGNS) for r in ("mean", "sum", "none")),
    *(("TripletMarginLoss", (), {"reduction": r}, X, (Y, Z)) for r in ("mean", "sum", "none")),
    *(("TripletMarginLoss", (), options, X, (Y, Z)) for options in (
        {"margin": 3.0}, {"swap": True}, {"p": 1.0}, {"p": 3.0}, {"p": math.inf, "margin": 2.0})),
    ("TripletMarginLoss", (), {}, X, (X, Z)),
    ("TripletMarginLoss", (), {"margin": 5.0}, X[0], (Y[0], Z[0])),
    *(("CosineEmbeddingLoss", (), {"reduction": r}, X, (Y, SIGNS[:, 0])) for r in ("mean", "sum", "none")),
    ("CosineEmbeddingLoss", (), {"margin": -0.4}, X, (Y, -SIGNS[:, 0])),
    *(("MarginRankingLoss", (), {"reduction": r, "margin": 0.3}, X, (Y, SIGNS)) for r in ("mean", "sum", "none")),
    *(("GaussianNLLLoss", (), {"reduction": r}, X, (Y, Z**2)) for r in ("mean", "sum", "none")),
    ("GaussianNLLLoss", (), {"full": True, "eps": 0.5}, X, (Y, Z**2)),
    ("GaussianNLLLoss", (), {}, X, (Y, Z[:, :1] ** 2)),
    ("GaussianNLLLoss", (), {}, X, (Y, Z[:, 0] ** 2)),
)  # fmt: skip


def test_every_loss_of_pytorchs_has_a_row():
    assert {row[0] for row in ROWS} == {name for name in nn.__all__ if name.endswith("Loss")}


@pytest.mark.parametrize(
    ("name", "given", "options", "x", "t"), ROWS, ids=[f"{r[0]}{i}" for i, r in enumerate(ROWS)]
)
def test_values_and_gradients_are_pytorchs(name: str, given: Any, options: Any, x: Any, t: Any):
    torch = pytest.importorskip("torch")
    theirs = torch.tensor(x, requires_grad=True)
    targets = t if isinstance(t, tuple) else (t,)
    as_torch = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    others = [torch.tensor(a) if isinstance(a, np.ndarray) else torch.tensor(int(a)) for a in targets]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "reduction: 'mean' divides", UserWarning)  # of KLDivLoss
        want = getattr(torch.nn, name)(*map(torch.tensor, given), **as_torch)(theirs, *others)
    want.sum().backward()
    loss = getattr(nn, name)(*given, **options)
    ours = tg.tensor(x, requires_grad=True)
    got = loss(ours, *map(tg.tensor, targets))
    got.sum().backward()
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=2e-5, atol=1e-6)
    step = tg.jit(lambda a, *b: tg.grad(lambda a: loss(a, *b).sum())(a), strict=True)
    for _ in range(3):
        compiled = step(tg.tensor(x), *map(tg.tensor, targets))
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
    with pytest.raises(TypeError, match="argument by position is too many"):
        nn.MSELoss("sum")
    for loss in (nn.HingeEmbeddingLoss(), nn.SoftMarginLoss(), nn.KLDivLoss(), nn.TripletMarginLoss()):
        others = (tg.ones(3),) * (2 if isinstance(loss, nn.TripletMarginLoss) else 1)
        with pytest.raises(
            ValueError, match=f"{type(loss).__name__}: prediction and target must have one shape"
        ):
            loss(tg.ones((3, 1)), *others)
    for loss, given in ((nn.HingeEmbeddingLoss(), (X, BITS)), (nn.MarginRankingLoss(), (X, Y, BITS)),
                        (nn.CosineEmbeddingLoss(), (X, Y, BITS[:, 0]))):  # fmt: skip
        with pytest.raises(ValueError, match=f"{type(loss).__name__}: the target must be -1 and 1"):
            loss(*map(tg.tensor, given))
    with pytest.raises(ValueError, match="BCELoss: the input must be probabilities"):
        nn.BCELoss()(tg.tensor(X), tg.tensor(BITS))
    with pytest.raises(ValueError, match="GaussianNLLLoss: var must not be negative"):
        nn.GaussianNLLLoss()(tg.tensor(X), tg.tensor(Y), tg.tensor(-np.abs(Y)))
    with pytest.raises(ValueError, match="CosineEmbeddingLoss: vectors of shape"):
        nn.CosineEmbeddingLoss()(tg.tensor(X), tg.tensor(Y), tg.tensor(SIGNS))
    with pytest.raises(ValueError, match="labels must be class numbers from 0 to 3"):
        nn.CrossEntropyLoss()(tg.tensor(X), tg.tensor(CLASSES + 1))


# Keras's class, options, whether the target is class numbers
KERAS = (
    ("MeanSquaredError", {}), ("MeanAbsoluteError", {}), ("MeanAbsolutePercentageError", {}),
    ("MeanSquaredLogarithmicError", {}), ("Huber", {"delta": 0.5}), ("LogCosh", {}), ("Poisson", {}),
    ("CosineSimilarity", {}), ("BinaryCrossentropy", {"from_logits": True}), ("Hinge", {}), ("SquaredHinge", {}),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}), ("CategoricalHinge", {}), ("KLDivergence", {}),
    ("SparseCategoricalCrossentropy", {"from_logits": True}), ("BinaryFocalCrossentropy", {"from_logits": True}),
    ("CategoricalFocalCrossentropy", {"gamma": 3.0}),
)  # fmt: skip


OF_SHARES = ("CategoricalCrossentropy", "CategoricalFocalCrossentropy", "KLDivergence", "Poisson")


@pytest.mark.parametrize(("name", "options"), KERAS, ids=[name for name, _ in KERAS])
def test_kerass_classes_take_the_target_first(name: str, options: dict[str, Any]):
    y_pred = SHARES if name in OF_SHARES else X
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
    y_pred = SHARES if name in OF_SHARES else X
    y_true = CLASSES if name.startswith("Sparse") else SHARES[::-1].copy() if y_pred is SHARES else BITS
    want = float(getattr(keras.losses, name)(**options)(y_true, y_pred))
    assert abs(getattr(nn.losses, name)(**options)(y_true, tg.tensor(y_pred)).item() - want) < 1e-4 * max(
        1, abs(want)
    )


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_distances_neither_overflow_nor_vanish(scale: float):
    """In float32: the squares of 1e25 are beyond it."""
    a, b = (tg.tensor(v * np.float32(scale)) for v in (X, Y))
    loss = nn.TripletMarginLoss(margin=scale * 1e-3, eps=0.0, reduction="none")
    x = tg.tensor(a, requires_grad=True)
    got = loss(x, b, x.detach())
    np.testing.assert_allclose(got.detach().numpy() / scale, np.linalg.norm(X - Y, axis=1) + 1e-3, rtol=1e-5)
    got.sum().backward()
    np.testing.assert_allclose(
        x.grad.numpy(), (X - Y) / np.linalg.norm(X - Y, axis=1, keepdims=True), rtol=1e-4
    )


def test_sure_and_wrong_probabilities_cost_100():
    for p, t in ((0.0, 1.0), (1.0, 0.0)):
        x = tg.tensor([p], requires_grad=True)
        loss = nn.BCELoss()(x, tg.tensor([t]))
        loss.backward()
        assert loss.item() == 100 and x.grad.item() == pytest.approx((p - t) * 1e12)  # as in PyTorch


def test_a_model_is_compiled_with_a_loss_object_and_its_options_count():
    tg.manual_seed(0)
    model = tg.models.Sequential([nn.Dense(4, in_features=4)])
    model.compile("sgd", nn.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(X, CLASSES, epochs=3, verbose=0)
    assert history.history["loss"][0] > history.history["loss"][-1]
    assert "SparseCategoricalCrossentropy" in repr(model.loss)


@pytest.mark.parametrize("weight", [None, np.full(2, 40.0, "float16")])
def test_means_of_float16_neither_overflow_nor_change_the_dtype(weight: Any):
    """3,000 samples: their sum is above 65,504, the largest number of float16, the mean is not."""
    x = np.zeros((3000, 2), "float16")
    t = np.zeros(3000, "int64")
    logs = x - np.float16(30.0)
    for name, given in (("NLLLoss", logs), ("CrossEntropyLoss", x)):
        p = tg.tensor(given, requires_grad=True)
        loss = getattr(tg.nn, name)(weight)(p, t)
        assert loss.dtype == "float16"
        np.testing.assert_allclose(loss.item(), 30.0 if name == "NLLLoss" else math.log(2), rtol=1e-3)
        loss.backward()
        assert p.grad.dtype == "float16" and np.isfinite(p.grad.numpy()).all()
    rows = tg.nn.KLDivLoss(reduction="batchmean")(logs, np.ones_like(logs))
    assert rows.dtype == "float16" and rows.item() == 60.0


# A loss, what it takes, and what it refuses.
REFUSED: dict[str, tuple[list[Any], list[Any]]] = {
    "BCELoss": ([[0.2, 0.9], [0.0, 1.0]], [[1.5, 0.9], [0.0, 1.0]]),
    "MarginRankingLoss": ([[0.2, 0.9], [1.0, 2.0], [-1.0, 1.0]], [[0.2, 0.9], [1.0, 2.0], [0.0, 5.0]]),
    "HingeEmbeddingLoss": ([[0.2, 0.9], [-1.0, 1.0]], [[0.2, 0.9], [0.0, 5.0]]),
    "GaussianNLLLoss": ([[0.2, 0.9], [-1.0, 1.0], [1.0, 1.0]], [[0.2, 0.9], [-1.0, 1.0], [-1.0, 1.0]]),
}


@pytest.mark.parametrize("emitter", ["numpy", "auto"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_program_refuses_what_the_loss_refuses(name: str, emitter: str) -> None:
    right, wrong = ([tg.tensor(part) for part in given] for given in REFUSED[name])
    loss = getattr(tg.nn, name)()
    step = tg.jit(lambda *given: loss(*given), emitter=emitter, strict=True)
    for _ in range(4):
        assert step(*right).item() == pytest.approx(loss(*right).item(), rel=1e-5)
    assert step.stats()["compiled"] == 2
    with pytest.raises(ValueError, match=name):
        step(*wrong)
    assert step(*right).item() == pytest.approx(loss(*right).item(), rel=1e-5)


LOGITS = ((2, 3), (2, 3))
WRONG_WEIGHTS = [
    ("CrossEntropyLoss", {"weight": (2,)}, ((2, 3), (2,)), "one factor for each of the 3 classes.*got .2,."),
    ("CrossEntropyLoss", {"weight": (5,)}, ((2, 3, 4), (2, 4)), "one factor for each of the 3 classes.*got .5,."),
    ("CrossEntropyLoss", {"weight": ()}, ((2, 3), (2,)), "one factor for each of the 3 classes.*got .."),
    ("CrossEntropyLoss", {"weight": (1,)}, LOGITS, "one factor for each of the 3 classes.*got .1,."),
    ("NLLLoss", {"weight": (2,)}, ((2, 3), (2,)), "one factor for each of the 3 classes.*got .2,."),
    ("BCELoss", {"weight": (4, 2, 3)}, LOGITS, "weight must broadcast.*.2, 3., got .4, 2, 3."),
    ("BCELoss", {"weight": (2,)}, LOGITS, "weight must broadcast.*.2, 3., got .2,."),
    ("BCEWithLogitsLoss", {"weight": (1, 2, 3)}, LOGITS, "weight must broadcast.*got .1, 2, 3."),
    ("BCEWithLogitsLoss", {"pos_weight": (4, 2, 3)}, LOGITS, "pos_weight must broadcast.*got .4, 2, 3."),
    ("MultiLabelSoftMarginLoss", {"weight": (2,)}, LOGITS, "weight must broadcast.*got .2,."),
]  # fmt: skip


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss"])
def test_labels_of_another_shape_are_told_of_axis_1(name: str) -> None:
    said = (
        r"the classes are axis 1, so an input of shape \(2, 3, 4\) needs a target .* \(2, 4\), got \(2, 3\)"
    )
    with pytest.raises(ValueError, match=f"{name}: {said}"):
        getattr(nn, name)()(tg.zeros((2, 3, 4)), tg.zeros((2, 3), dtype="int64"))


@pytest.mark.parametrize(("name", "weights", "shapes", "said"), WRONG_WEIGHTS)
def test_a_weight_of_another_shape_is_refused(name: str, weights: dict, shapes: tuple, said: str) -> None:
    """It would count the losses several times, or leave classes without a factor."""
    loss = getattr(nn, name)(**{option: tg.ones(shape) for option, shape in weights.items()})
    prediction = tg.full(shapes[0], 0.5)
    target = tg.zeros(shapes[1], dtype="int64" if shapes[0] != shapes[1] else "float32")
    with pytest.raises(ValueError, match=f"{name}: .*{said}"):
        loss(prediction, target)


# At the bound the slope is 1, as PyTorch's clamp has it: (loss, tensors of which the first two are differentiated,
# gradient of the first).
AT_THE_BOUND = {
    "equal scores": (nn.MarginRankingLoss(), ([0.0, 0.0], [0.0, 0.0], [1.0, -1.0]), [-0.5, 0.5]),
    "scores a margin apart": (nn.MarginRankingLoss(margin=1.0), ([1.0, 0.0], [0.0, 1.0], [1.0, -1.0]), [-0.5, 0.5]),
    "vectors at right angles": (nn.CosineEmbeddingLoss(), ([1.0, 0.0], [0.0, 1.0], -1.0), [0.0, 1.0]),
    "a margin farther": (nn.TripletMarginLoss(eps=0.0), ([0.0, 0.0], [1.0, 0.0], [0.0, 2.0]), [-1.0, 1.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", AT_THE_BOUND)
def test_losses_of_pairs_move_what_is_at_the_bound(name: str) -> None:
    loss, given, want = AT_THE_BOUND[name]
    a, *others = (tg.tensor(v, dtype="float64") for v in given)
    a.requires_grad_()
    value = loss(a, *others)
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(a.grad.numpy(), want, atol=1e-9)


W = [1.0, 2.0, 0.5]
WEIGHTED: dict[str, Any] = {
    "CrossEntropyLoss": (lambda w: nn.CrossEntropyLoss(w), [0, 2]),
    "CrossEntropyLoss, smoothed": (lambda w: nn.CrossEntropyLoss(w, label_smoothing=0.1), [0, 2]),
    "CrossEntropyLoss of shares": (lambda w: nn.CrossEntropyLoss(w), [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]),
    "NLLLoss": (lambda w: nn.NLLLoss(w), [0, 2]),
    "BCELoss": (lambda w: nn.BCELoss(w), [[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]),
    "BCEWithLogitsLoss": (
        lambda w: nn.BCEWithLogitsLoss(w, pos_weight=w),
        [[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]],
    ),
    "MultiLabelSoftMarginLoss": (
        lambda w: nn.MultiLabelSoftMarginLoss(w),
        [[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]],
    ),
}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_do_not_change_the_dtype_of_the_loss(name: str, dtype: str):
    """Given as a list, or as a tensor of another dtype."""
    make, target = WEIGHTED[name]
    x = tg.tensor([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]], dtype=dtype)
    want = make(np.array(W))(tg.tensor(x.numpy().astype("float64")), target).item()
    for weight in (W, np.array(W), tg.tensor(W, dtype="float16")):
        loss = make(weight)(x, target)
        assert loss.dtype == dtype and abs(loss.item() - want) < 2e-3 * abs(want)
