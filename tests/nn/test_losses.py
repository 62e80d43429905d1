"""Every loss as one row: value and gradient against Keras, reductions and weights against Keras, differences to second
order, dtypes, extreme predictions, the strict backend; and what they refuse."""

import inspect
from typing import Any

import numpy as np
import pytest
from loss_rows import FACTORS, KERAS_ROWS, MADE, REAL, RNG, ROWS, D, N, Row, call, named, target_of

import tapegrad as tg
from primitives.untaken import FEW, check, eager
from tapegrad import nn

F = nn.functional
rows = pytest.mark.parametrize("row", ROWS, ids=named)
keras_rows = pytest.mark.parametrize("row", KERAS_ROWS, ids=named)
COTANGENT = RNG.normal(size=N)


def test_every_loss_has_a_row() -> None:
    functions = {f.__name__ for f in nn.losses._TABLE.entries.values() if inspect.isfunction(f)}
    assert functions == {row.name for row in ROWS}
    classes = {k.__name__ for k in nn.losses.Loss.__subclasses__() if k.__module__.startswith("tapegrad")}
    assert classes == {row.keras_class for row in KERAS_ROWS}
    assert all(row.keras or row.torch for row in ROWS)


@pytest.mark.tensorflow
@keras_rows
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-7), ("float32", 3e-5)])
def test_value_and_gradient_are_kerass(
    row: Row, dtype: str, tolerance: float, reference: Any, run: Any
) -> None:
    """One loss per sample. (1e-7: where Keras clips probabilities before it normalizes them, tapegrad does after.)"""
    p, t = MADE[row.prediction].astype(dtype), target_of(row, dtype)
    keras_options = row.options if row.keras_options is None else row.keras_options
    keras_loss = getattr(reference.keras.losses, row.keras)
    want, (want_gradient,) = reference.run(
        lambda x: keras_loss(reference.tf.constant(t), x, **keras_options), COTANGENT.astype(dtype), p
    )
    got, (gradient,) = run(call(row, t, reduction="none"), COTANGENT, p)
    assert got.shape == (N,) and got.dtype == gradient.dtype == dtype
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(gradient, want_gradient, rtol=tolerance, atol=tolerance)


@pytest.mark.tensorflow
@keras_rows
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("reduction", "keras_reduction"), [("mean", "sum_over_batch_size"), ("sum", "sum"), ("none", None)]
)
def test_reductions_are_kerass(
    row: Row, weighted: bool, reduction: str, keras_reduction: str | None, reference: Any
) -> None:
    p, t = MADE[row.prediction], target_of(row)
    w = np.array([0.5, 0.0, 2.0, 1.0, 3.0, 0.25]) if weighted else None
    keras_options = row.options if row.keras_options is None else row.keras_options
    loss = getattr(reference.keras.losses, row.keras_class)(
        reduction=keras_reduction, dtype="float64", **keras_options
    )
    want = loss(t, p, sample_weight=w).numpy()
    got = call(row, reduction=reduction, sample_weight=w)(tg.tensor(p))
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-7, atol=1e-9)
    if (kind := getattr(nn.losses, row.keras_class)).function is getattr(F, row.name):
        again = kind(reduction=reduction, **row.options)(t, p, sample_weight=w)  # in Keras's order
        np.testing.assert_array_equal(again.numpy(), got.numpy())


@pytest.mark.parametrize("row", [row for row in ROWS if row.torch], ids=named)
def test_value_and_gradient_are_pytorchs(row: Row, run: Any) -> None:
    """One loss per sample; the mean is over the samples that are not ignored."""
    torch = pytest.importorskip("torch")
    p, t = torch.tensor(MADE[row.prediction], requires_grad=True), torch.tensor(target_of(row))
    want = row.torch(torch, torch.nn.functional, p, t)
    want.backward(torch.tensor(COTANGENT))
    got, (gradient,) = run(call(row, reduction="none"), COTANGENT, MADE[row.prediction])
    np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gradient, p.grad.numpy(), rtol=1e-12, atol=1e-12)
    counted = N - int((target_of(row) == row.options.get("ignore_index", -1)).sum())
    mean = call(row)(tg.tensor(MADE[row.prediction])).item()
    np.testing.assert_allclose(mean, want.detach().numpy().sum() / counted, rtol=1e-12)


@rows
def test_derivatives_are_differences(row: Row) -> None:
    p, t = tg.tensor(MADE[row.prediction]), target_of(row)
    weights = np.linspace(0.5, 2, N)
    tg.check_grads(call(row, sample_weight=weights), [p], order=2)
    if row.target in ("near", "between", "mixture"):
        tg.check_grads(lambda a, b: getattr(F, row.name)(a, b, **row.options), [p, tg.tensor(t)], order=2)


@rows
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_precision_and_dtype(row: Row, dtype: str, run: Any) -> None:
    """The loss and its gradient have the prediction's dtype, whatever that of target and weights."""
    p = MADE[row.prediction].astype(dtype)
    t = target_of(row)
    w = np.linspace(0.5, 2, N)
    got, (gradient,) = run(call(row, t, sample_weight=w), None, p)
    assert got.dtype == gradient.dtype == dtype
    rounded = t if t.dtype.kind == "i" else t.astype(dtype).astype("float64")
    want, (want_gradient,) = run(call(row, rounded, sample_weight=w), None, p.astype("float64"))
    few = 40 * np.finfo(dtype).eps
    np.testing.assert_allclose(got, want, rtol=few, atol=few)
    np.testing.assert_allclose(
        gradient, want_gradient, rtol=few, atol=few * max(1, np.abs(want_gradient).max())
    )


@rows
def test_extreme_predictions_are_finite(row: Row, run: Any) -> None:
    """Predictions at the far ends, in float32 (a RuntimeWarning is an error in this suite)."""
    p = np.where(RNG.random((N, D)) < 0.5, *row.extreme).astype("float32")  # type: ignore[misc]
    got, (gradient,) = run(call(row, target_of(row, "float32")), None, p)
    assert np.isfinite(got) and np.isfinite(gradient).all()


@pytest.mark.parametrize("row", [r for r in ROWS if r.extreme == (0, 1)], ids=named)
def test_probabilities_of_0_and_1_in_float16(row: Row, run: Any) -> None:
    p = np.where(RNG.random((N, D)) < 0.5, 0, 1).astype("float16")
    got, (gradient,) = run(call(row, target_of(row, "float16")), None, p)
    assert np.isfinite(got) and np.isfinite(gradient).all()


@pytest.mark.parametrize("order", [1, 2])
@rows
def test_values_not_taken(row: Row, order: int) -> None:
    """A cotangent of 0 stays 0, docs/conventions.md."""
    f = call(row, target_of(row, "float64"), reduction="none")
    with np.errstate(all="ignore"):
        check(f, [MADE[row.prediction]], eager(f, order), FEW)


@rows
def test_on_another_device(row: Row, elsewhere: str, run: Any) -> None:
    p, t = MADE[row.prediction].astype("float32"), target_of(row, "float32")
    want, (want_gradient,) = run(call(row, t), None, p)
    got, (gradient,) = run(call(row, t, elsewhere), None, p, device=elsewhere)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, want_gradient, rtol=1e-4, atol=1e-6)
    host_target = getattr(F, row.name)(tg.tensor(p, device=elsewhere), t, **row.options)
    assert host_target.device == elsewhere


# ---- closed forms ----
def test_nll_loss_of_log_softmax_is_cross_entropy(run: Any) -> None:
    labels = MADE["classes"]
    want, (want_gradient,) = run(lambda x: F.cross_entropy(x, labels), None, REAL)
    got, (gradient,) = run(lambda x: F.nll_loss(F.log_softmax(x), labels), None, REAL)
    np.testing.assert_allclose(got, want, rtol=1e-14)
    np.testing.assert_allclose(gradient, want_gradient, rtol=1e-12, atol=1e-16)
    impossible = np.where(np.eye(D)[labels] == 1, -1.5, -np.inf)
    assert F.nll_loss(tg.tensor(impossible), labels).item() == 1.5
    tg.check_grads(lambda x: F.nll_loss(x, labels), [tg.tensor(REAL)])


@pytest.mark.parametrize("logit", [-1e4, -100.0, 100.0, 1e4])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_logits_are_exact_at_any_size(logit: float, target: float, run: Any) -> None:
    """Also through the probabilities, as long as the graph knows the logits."""
    x, t = np.array([logit], "float32"), np.array([target], "float32")
    loss = max(logit, 0) - logit * target
    slope = float(logit > 0) - target
    for f in (
        lambda z: F.binary_cross_entropy_with_logits(z, t),
        lambda z: F.binary_cross_entropy(F.sigmoid(z), t),
    ):
        got, (gradient,) = run(f, None, x)
        np.testing.assert_allclose([got, gradient[0]], [loss, slope], rtol=1e-6, atol=1e-7)
    pair, label = np.array([[logit, 0]], "float32"), np.array([0 if target else 1])
    one_hot = np.eye(2, dtype="float32")[label]
    for f in (
        lambda z: F.cross_entropy(z, label),
        lambda z: F.cross_entropy(z, one_hot),
        lambda z: F.sparse_categorical_crossentropy(F.softmax(z), label),
        lambda z: F.categorical_crossentropy(F.softmax(z), one_hot),
    ):
        got, (gradient,) = run(f, None, pair)
        np.testing.assert_allclose([got, *gradient[0]], [loss, slope, -slope], rtol=1e-6, atol=1e-7)


def test_logits_are_found_only_behind_the_matching_activation() -> None:
    z, t = tg.tensor(REAL, requires_grad=True), MADE["mixture"]
    other_axis = F.categorical_crossentropy(F.softmax(z, axis=0), t).item()
    assert other_axis == pytest.approx(F.categorical_crossentropy(F.softmax(z.detach(), axis=0), t).item())
    changed = F.sigmoid(z) * 0.5
    want = F.binary_cross_entropy(changed.detach(), t).item()
    assert F.binary_cross_entropy(changed, t).item() == pytest.approx(want)


def test_probabilities_of_a_graph_that_is_gone() -> None:
    z, t = tg.tensor(REAL, requires_grad=True), MADE["binary"]
    p = F.sigmoid(z)
    p.sum().backward()
    assert F.binary_cross_entropy(p, t).item() == pytest.approx(F.binary_cross_entropy(p.detach(), t).item())


def test_small_losses_keep_their_digits() -> None:
    small = np.array([1e-4], "float32")
    assert F.log_cosh(small, np.zeros(1)).item() == pytest.approx(5e-9, rel=1e-5)
    assert F.binary_cross_entropy(small, np.zeros(1)).item() == pytest.approx(1.000050003e-4, rel=1e-6)
    assert F.binary_cross_entropy_with_logits(-20 * np.ones(1, "float32"), [0.0]).item() == pytest.approx(
        2.061153618e-9, rel=1e-6
    )


def test_cosine_similarity_of_zero_is_zero_and_flat() -> None:
    p = tg.tensor(np.zeros((2, 3)), requires_grad=True)
    loss = F.cosine_similarity(p, np.ones((2, 3)))
    loss.backward()
    assert loss.item() == 0 and not p.grad.numpy().any()


def test_samples_of_any_shape(run: Any) -> None:
    """A prediction (N,) has N samples of one number; (A, B, D) has A*B samples."""
    p, t = REAL[:, 0], MADE["near"][:, 0]
    assert F.mse_loss(p, t, reduction="none").shape == (N,)
    np.testing.assert_allclose(F.mse_loss(p, t).item(), ((p - t) ** 2).mean())
    w = np.arange(N)
    np.testing.assert_allclose(F.mse_loss(p, t, sample_weight=w).item(), (w * (p - t) ** 2).mean())
    assert F.mse_loss(2.0, 5.0).item() == 9.0
    cube, labels = REAL.reshape(2, 3, D), MADE["classes"].reshape(2, 3)
    assert F.cross_entropy(cube, labels, reduction="none").shape == (2, 3)
    by_first_axis = F.cross_entropy(cube, labels, sample_weight=np.array([1.0, 0.0]), reduction="sum").item()
    np.testing.assert_allclose(by_first_axis, F.cross_entropy(cube[0], labels[0], reduction="sum").item())


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64"])
def test_class_numbers_of_any_integer_dtype(dtype: str) -> None:
    logits = np.random.default_rng(0).normal(size=(3, 200))
    labels = np.array([0, 5, 127])
    for options in ({}, {"label_smoothing": 0.1}):
        want = F.cross_entropy(logits, labels, **options).item()
        assert F.cross_entropy(logits, labels.astype(dtype), **options).item() == want
    with pytest.raises(ValueError, match="got 100"):
        F.cross_entropy(logits[:, :50], np.array([0, 5, 100], dtype))


def test_ignored_samples_may_hold_anything(run: Any) -> None:
    """Their loss and gradient are 0 though their logits are not numbers; and the mean of none is NaN."""
    x = np.array([[1.0, 2.0], [np.nan, np.inf]])
    with np.errstate(all="ignore"):
        got, (gradient,) = run(lambda z: F.cross_entropy(z, [1, -1], ignore_index=-1), None, x)
        assert np.isnan(F.cross_entropy(tg.tensor(x), [-1, -1], ignore_index=-1).item())
    assert got == pytest.approx(np.log1p(np.exp(-1))) and not gradient[1].any()


def test_class_weights_are_sample_weights_of_the_classes() -> None:
    labels = MADE["classes"]
    for f, p in ((F.cross_entropy, REAL), (F.nll_loss, MADE["logs"])):
        want = f(p, labels, sample_weight=FACTORS[labels]).item()
        assert f(p, labels, class_weight=FACTORS).item() == pytest.approx(want, rel=1e-14)


# ---- names and objects ----
KERAS_NAMES = [
    "mse", "MSE", "mean_squared_error", "MeanSquaredError", "mae", "MAE", "mean_absolute_error", "MeanAbsoluteError",
    "mape", "MAPE", "mean_absolute_percentage_error", "msle", "MSLE", "mean_squared_logarithmic_error", "huber",
    "Huber", "log_cosh", "LogCosh", "poisson", "Poisson", "cosine_similarity", "CosineSimilarity", "bce", "BCE",
    "binary_crossentropy", "BinaryCrossentropy", "categorical_crossentropy", "CategoricalCrossentropy",
    "sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", "hinge", "Hinge", "squared_hinge",
    "SquaredHinge", "binary_focal_crossentropy", "BinaryFocalCrossentropy", "categorical_focal_crossentropy",
    "CategoricalFocalCrossentropy", "categorical_hinge", "CategoricalHinge", "kl_divergence", "kld", "KLD",
    "KLDivergence",
]  # fmt: skip


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", KERAS_NAMES)
def test_keras_names(name: str, reference: Any) -> None:
    assert reference.keras.losses.get(name) is not None
    assert callable(nn.losses.get(name))


def test_get() -> None:
    assert nn.losses.get("mse") is F.mse_loss and nn.losses.get(F.hinge) is F.hinge
    with pytest.raises(ValueError, match=r"'mean_square': did you mean 'mean_squared_error'\?; known: .*mse"):
        nn.losses.get("mean_square")
    with pytest.raises(TypeError, match="loss: expected a callable or one of these names, got None"):
        nn.losses.get(None)


def test_loss_objects() -> None:
    loss = nn.losses.Huber(delta=0.5, reduction="sum")
    assert repr(loss) == "Huber(reduction='sum', delta=0.5)"
    p, t = REAL, MADE["near"]
    assert loss(t, p).item() == F.huber_loss(p, t, delta=0.5, reduction="sum").item()
    with pytest.raises(
        TypeError, match=r"no keyword 'dleta': did you mean 'delta'\?; it takes reduction, delta"
    ):
        nn.losses.Huber(dleta=1)
    assert "label_smoothing" in inspect.signature(F.cross_entropy).parameters
    assert list(inspect.signature(F.huber_loss).parameters) == [
        "prediction", "target", "reduction", "sample_weight", "delta"]  # fmt: skip


# ---- what they refuse ----
V, M, L = np.zeros(3), np.zeros((3, 1)), np.zeros((3, 4))
REFUSED = [
    ("mse_loss", (M, V), {}, ValueError, r"prediction \(3, 1\) and target \(3,\): reshape .* target.reshape\(3, 1\)"),
    ("mse_loss", (V, M), {}, ValueError, r"prediction \(3,\) and target \(3, 1\): reshape .* target.reshape\(3,\)"),
    ("mae_loss", (L, M), {}, ValueError, r"mae_loss: .* must have one shape.* \(3, 4\) .* \(3, 1\)$"),
    ("huber_loss", (V, V), {"delta": 0}, ValueError, "huber_loss: delta must be a finite number above 0, got 0"),
    ("mse_loss", (V, V), {"reduction": "avg"}, ValueError, 'must be "mean", "sum" or "none", got \'avg\''),
    ("mse_loss", (np.zeros(3, int), V), {}, TypeError, r"mse_loss: the prediction, .* got int64"),
    ("mse_loss", (L, L), {"sample_weight": np.ones(4)}, ValueError, r"sample_weight .* \(3,\), or .* got \(4,\)"),
    ("mse_loss", (L, L), {"sample_weight": M}, ValueError, r"sample_weight .* got \(3, 1\)"),
    ("mse_loss", (L, L), {"sample_weight": 2.0}, ValueError, r"sample_weight .* got \(\)"),
    ("mse_loss", (np.zeros((0, 2)), np.zeros((0, 2))), {}, ValueError, "no mean over an empty batch"),
    ("mse_loss", (V, V), {"delta": 1.0}, TypeError, "mse_loss has no keyword 'delta'"),
    ("binary_cross_entropy_with_logits", (M, V), {}, ValueError, "one shape"),
    ("binary_cross_entropy", (V, V), {"label_smoothing": 1.5}, ValueError, "must be a number from 0 to 1"),
    ("cross_entropy", (L, [0, 1, 4]), {}, ValueError, "from 0 to 3, since the prediction has 4 classes; got 4"),
    ("cross_entropy", (L, [0, -1, 3]), {}, ValueError, "class numbers from 0 to 3.* got -1"),
    ("cross_entropy", (L, np.zeros((3, 1), int)), {}, ValueError, r"and labels \(3, 1\): labels.squeeze\(-1\)"),
    ("cross_entropy", (L, V), {}, TypeError, r"must be integers \(class numbers\), got float64: labels.astype"),
    ("cross_entropy", (L, np.zeros((3, 4), int)), {}, ValueError, "the prediction's shape without its last axis"),
    ("cross_entropy", (L, [0, 1]), {}, ValueError, r"prediction \(3, 4\) and labels \(2,\)"),
    ("cross_entropy", (1.0, 0), {}, ValueError, r"shape \(…, classes\), got shape \(\)"),
    ("sparse_categorical_crossentropy", (L, [0, 1, 9]), {}, ValueError, "got 9"),
    ("nll_loss", (L, [0, 1, 9]), {}, ValueError, "nll_loss: .* got 9"),
    ("categorical_crossentropy", (L, [0, 1, 2]), {}, ValueError, r"\(3, 4\) and target \(3,\)"),
    ("cross_entropy", (L, [0, 1, 2]), {"class_weight": [1.0, 2.0]}, ValueError, r"class_weight .* \(4,\).* got \(2,\)"),
    ("cross_entropy", (L, L), {"ignore_index": 0}, ValueError, "ignore_index is for class numbers"),
    ("cross_entropy", (L, [0, 1, 2]), {"ignore_index": 0.5}, TypeError, "must be an integer, got 0.5"),
    ("nll_loss", (L, [0, 1, -1]), {"ignore_index": -100}, ValueError, "nll_loss: .* got -1"),
    ("binary_cross_entropy_with_logits", (L, L), {"pos_weight": np.ones(3)}, ValueError, r"pos_weight .* got \(3,\)"),
    ("quantile_loss", (V, V), {"quantile": 1.0}, ValueError, "quantile must be a number between 0 and 1, got 1.0"),
    ("smooth_l1_loss", (V, V), {"beta": -1.0}, ValueError, "beta must be a finite number of at least 0"),
    ("contrastive_loss", (V, V), {"margin": 0}, ValueError, "margin must be a finite number above 0"),
    ("binary_focal_crossentropy", (V, V), {"gamma": -1}, ValueError, "gamma must be a finite number of at least 0"),
    ("categorical_focal_crossentropy", (L, L), {"alpha": [1.0]*3}, ValueError, r"alpha .* got \(3,\)"),
    ("kl_divergence", (1.0, 1.0), {}, ValueError, r"expected an axis of classes or features, .* \(\)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "options", "kind", "message"), REFUSED)
def test_refused(name: str, args: Any, options: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        getattr(F, name)(*args, **options)


ONE_HOT, SOFT = [[1.0, 0.0], [0.0, 1.0]], [[0.9, 0.1], [0.2, 0.8]]
TOLD_APART = (
    "mape_loss", "poisson", "binary_cross_entropy", "binary_cross_entropy_with_logits", "categorical_crossentropy",
    "categorical_hinge", "cross_entropy", "binary_focal_crossentropy", "categorical_focal_crossentropy",
)  # fmt: skip


@pytest.mark.parametrize("name", TOLD_APART)
@pytest.mark.parametrize("compiled", [False, True])
def test_an_exchanged_call_is_refused_where_that_is_certain(name: str, compiled: bool) -> None:
    loss = getattr(nn.losses, name)
    call = tg.jit(loss, strict=True) if compiled else loss
    trained, fixed = tg.tensor(SOFT, requires_grad=True), tg.tensor(ONE_HOT)
    for _ in range(3):
        with pytest.raises(
            TypeError, match=rf"{name}: the target requires grad.*{name}\(prediction, target\)"
        ):
            call(fixed, trained)
        for prediction, target in (
            (trained, fixed),
            (trained, trained),
            (fixed, fixed),
            (tg.tensor(SOFT), fixed),
        ):
            call(prediction.detach() if compiled else prediction, target.detach() if compiled else target)
    with pytest.raises(TypeError, match=r"floating-point, got int64: Keras.s y_true is the second"):
        call(tg.tensor([1, 0]), tg.tensor(SOFT))
    for foreign, ours in (("y_true", "target|labels"), ("y_pred", "prediction")):
        with pytest.raises(TypeError, match=f"tapegrad's word for {foreign} is ({ours})"):
            loss(**{foreign: fixed})


# loss -> its value for predictions of exactly 0 and 1, which a sure net makes, beside targets of 0.05 and 0.95;
# the probabilities are kept 1e-7 away from 0 and 1
MISSED = -0.05 * np.log(1e-7)
SURE = {
    "binary_cross_entropy": MISSED,
    "categorical_crossentropy": MISSED,
    "binary_focal_crossentropy": 0.05**2 * 0.95 * 1e-7 + 0.05**2 * MISSED,
    "categorical_focal_crossentropy": 0.25 * MISSED,
    "categorical_hinge": 0.05 - 0.95 + 1.0,
}


@pytest.mark.parametrize("name", SURE)
def test_a_sure_prediction_beside_smoothed_targets_is_a_loss(name: str) -> None:
    prediction, target = tg.tensor(ONE_HOT, dtype="float64"), [[0.95, 0.05], [0.05, 0.95]]
    assert getattr(nn.losses, name)(prediction, target).item() == pytest.approx(SURE[name], rel=1e-5)
