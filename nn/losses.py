"""Losses: loss(prediction, target, *, reduction="mean", sample_weight=None, …). Prediction first.

prediction      floating-point; the first axes are the samples, and the last of several axes is averaged over, or is the
                classes: a prediction (N, D) makes one loss per sample, (N,), and so does a prediction (N,)
target          second, where Keras has it first. Exchanged arguments raise an error where that is certain: the target
                requires grad and the prediction does not, or the prediction holds integers.
                Of the prediction's shape, exactly: (N,) against (N, 1) is an error, nothing is broadcast. A Tensor, or
                anything that `tg.tensor` takes; it is cast to the prediction's dtype. Class numbers: see there.
sample_weight   one weight per sample, of the shape of the unreduced loss or of its first axes
reduction       "none": weight * loss for each sample; "sum": their sum; "mean": their sum divided by the number of
                samples (not by the sum of the weights), which Keras calls "sum_over_batch_size"

The loss has the prediction's dtype. A wrong shape, class number, option or reduction raises ValueError; a prediction
that is not floating-point, or class numbers that are not integers, TypeError. Definitions are Keras's. Each docstring
gives the loss of one sample, with p for the prediction, t for the target, and mean and sum over the last axis.

The same by Keras's names: `get("mse")`, and as objects that remember their options and take Keras's order, the target
first: `Huber(delta=2.0)(y_true, y_pred)`. A model calls a function of your own in that order, too: (y_true, y_pred).
"""

from typing import TYPE_CHECKING

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import above_0, at_least_0, number, truth
from tapegrad.autograd.foreign import getattr_of
from tapegrad.autograd.ops import (
    abs,
    all,
    binary_cross_entropy_of_p,
    binary_cross_entropy_p,
    clip_p,
    cross_entropy_of_p,
    cross_entropy_p,
    log,
    log1p,
    max,
    maximum,
    poisson_p,
    relu,
    sinh,
    softplus,
    square,
    sum_p,
    where_p,
)
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function
from tapegrad.nn.aliases import LossLike
from tapegrad.nn.class_losses import class_factors, epsilon, logits_behind, smoothing
from tapegrad.nn.class_losses import cross_entropy as cross_entropy
from tapegrad.nn.class_losses import nll_loss as nll_loss
from tapegrad.nn.class_losses import sparse_categorical_crossentropy as sparse_categorical_crossentropy
from tapegrad.nn.focal_losses import binary_focal_crossentropy as binary_focal_crossentropy
from tapegrad.nn.focal_losses import categorical_focal_crossentropy as categorical_focal_crossentropy
from tapegrad.nn.lengths import direction
from tapegrad.nn.lookup import Named
from tapegrad.nn.loss_base import (
    Loss,
    elementwise,
    refuse_swapped,
    samplewise,
)
from tapegrad.nn.loss_order import PredictionFirst, TargetFirst, function_behind
from tapegrad.nn.torch_names import TorchLoss

LN2 = 0.6931471805599453


# ---- regression ----
@elementwise
def mse_loss(p: Tensor, t: Tensor) -> Tensor:
    """Mean squared error: mean((p - t)**2)"""
    return square(p - t)


@elementwise
def mae_loss(p: Tensor, t: Tensor) -> Tensor:
    """Mean absolute error: mean(|p - t|)"""
    return abs(p - t)


@elementwise
def mape_loss(p: Tensor, t: Tensor) -> Tensor:
    """Mean absolute percentage error: mean(100 * |(p - t) / max(|t|, 1e-7)|)"""
    refuse_swapped("mape_loss", p, t)
    return 100.0 * abs((p - t) / clip_p(abs(t), min=epsilon(p), max=None))


@elementwise
def msle_loss(p: Tensor, t: Tensor) -> Tensor:
    """Mean squared logarithmic error: mean((ln(1 + max(p, 1e-7)) - ln(1 + max(t, 1e-7)))**2)"""
    p, t = (clip_p(x, min=epsilon(p), max=None) for x in (p, t))
    e, base = p - t, 1.0 + t
    near = abs(e) < 0.5 * base  # where the difference of the logarithms would cancel
    precise = log1p(where_p(near, e, 0.0) / where_p(near, base, 1.0))
    return square(where_p(near, precise, log1p(p) - log1p(t)))


@elementwise
def huber_loss(p: Tensor, t: Tensor, delta: float = 1.0) -> Tensor:
    """mean(e**2 / 2 where |e| <= delta, else delta * |e| - delta**2 / 2), for e = p - t (Huber 1964)

    Args:
        delta: Where the parabola becomes a line, above 0.
    """
    return huber_of(p - t, above_0("huber_loss: delta", delta))


def huber_of(e: Tensor, delta: float) -> Tensor:
    """e**2 / 2 where |e| <= delta, else the tangent."""
    near = abs(e) <= delta
    # Each element is 0 in one of the two, so that its slope comes from the other one alone, without a rounding error.
    return 0.5 * square(where_p(near, e, 0.0)) + delta * where_p(near, 0.0, abs(e) - 0.5 * delta)


@elementwise
def smooth_l1_loss(p: Tensor, t: Tensor, beta: float = 1.0) -> Tensor:
    """mean(e**2 / (2 * beta) where |e| < beta, else |e| - beta / 2), for e = p - t (Girshick 2015): Huber / beta

    Args:
        beta: Where the parabola becomes a line, at least 0; 0 is `mae_loss`.
    """
    return smooth_l1_of(p - t, at_least_0("smooth_l1_loss: beta", beta))


def smooth_l1_of(e: Tensor, beta: float) -> Tensor:
    if beta == 0:
        return abs(e)
    near = abs(e) <= beta
    inner = where_p(near, e, 0.0)
    return 0.5 * inner * (inner / beta) + where_p(near, 0.0, abs(e) - 0.5 * beta)


@elementwise
def quantile_loss(p: Tensor, t: Tensor, quantile: float = 0.5) -> Tensor:
    """mean(max(q * (t - p), (q - 1) * (t - p))), the pinball loss, least where p is the q-quantile of t (Koenker 1978)

    Args:
        quantile: The q of the formula, between 0 and 1; 0.5 is half of `mae_loss`.
    """
    q = number("quantile_loss: quantile", quantile, lambda q: 0 < q < 1, "a number between 0 and 1")
    e = t - p
    return maximum(q * e, (q - 1.0) * e)


@elementwise
def contrastive_loss(p: Tensor, t: Tensor, margin: float = 1.0) -> Tensor:
    """mean(t * p**2 + (1 - t) * max(margin - p, 0)**2), p being distances of pairs (Hadsell, Chopra & LeCun 2006)

    Args:
        prediction: The distance of each pair, at least 0.
        target: 1 for pairs that belong together, 0 for others.
        margin: From which distance on pairs of others cost nothing, above 0.
    """
    margin = above_0("contrastive_loss: margin", margin)
    return t * square(p) + (1.0 - t) * square(relu(margin - p))


@elementwise
def log_cosh(p: Tensor, t: Tensor) -> Tensor:
    """mean(ln(cosh(p - t)))"""
    e = p - t
    far = abs(e)
    near = far < 1  # where |e| + ln(1 + e**(-2|e|)) - ln 2 would cancel
    precise = log1p(2.0 * square(sinh(where_p(near, 0.5 * e, 0.0))))
    return where_p(near, precise, far + softplus(-2.0 * far) - LN2)


@elementwise
def poisson(p: Tensor, t: Tensor) -> Tensor:
    """mean(p - t * ln(p + 1e-7)): -ln of the Poisson probability of count t at rate p, without the part of t alone"""
    refuse_swapped("poisson", p, t)
    return poisson_p(p, t, epsilon=epsilon(p))


@samplewise
def cosine_similarity(p: Tensor, t: Tensor) -> Tensor:
    """-sum(p * t) / (|p| * |t|): -1 where p points as t does; 0, with gradient 0, where either is zero"""
    cosine = -sum_p(direction(p) * direction(t), axis=(p.ndim - 1,), keepdims=False)
    return cosine.astype(p.dtype, copy=False)


# ---- two classes ----
@elementwise
def binary_cross_entropy_with_logits(
    p: Tensor, t: Tensor, label_smoothing: float = 0.0, pos_weight: TensorLike | None = None
) -> Tensor:
    """mean(-v * t * ln(sigmoid(p)) - (1 - t) * ln(1 - sigmoid(p))), without overflow or cancellation for any logit p

    Args:
        target: Probabilities, 0, 1 or between, of the prediction's shape.
        label_smoothing: From 0 to 1: s makes the targets t * (1 - s) + s / 2.
        pos_weight: The v of the formula, which weighs the positive targets: a number, or one for each column. None
            is 1.
    """
    name = "binary_cross_entropy_with_logits"
    refuse_swapped(name, p, t)
    s = smoothing(name, label_smoothing)
    if s:
        t = t * (1.0 - s) + 0.5 * s
    if pos_weight is None:
        return binary_cross_entropy_p(p, t)
    v = class_factors(name, "pos_weight", pos_weight, p)
    return (1.0 - t) * softplus(p) + v * t * softplus(-p)


@elementwise
def binary_cross_entropy(
    p: Tensor, t: Tensor, from_logits: bool = False, label_smoothing: float = 0.0
) -> Tensor:
    """mean(-t * ln(p) - (1 - t) * ln(1 - p)), p being probabilities, kept 1e-7 away from 0 and 1 (float16: 5e-4)

    If p comes straight from `sigmoid` in a graph, the loss is computed from its logits.

    Args:
        target: Probabilities, 0, 1 or between, of the prediction's shape.
        from_logits: Whether the prediction holds logits.
        label_smoothing: From 0 to 1: s makes the targets t * (1 - s) + s / 2.
    """
    from_logits = truth("binary_cross_entropy: from_logits", from_logits)
    refuse_swapped("binary_cross_entropy", p, t)
    s = smoothing("binary_cross_entropy", label_smoothing)
    if s:
        t = t * (1.0 - s) + 0.5 * s
    logits = p if from_logits else logits_behind(p, "sigmoid")
    if logits is not None:
        return binary_cross_entropy_p(logits, t)
    e = epsilon(p)
    return binary_cross_entropy_of_p(clip_p(p, min=e, max=1.0 - e), t)


def _signs(t: Tensor) -> Tensor:
    """Targets of -1 and 1; those that are all 0 or 1 become these."""
    zero_or_one = all((t == 0) | (t == 1))
    return where_p(zero_or_one, 2.0 * t - 1.0, t)


@elementwise
def hinge(p: Tensor, t: Tensor) -> Tensor:
    """mean(max(1 - t * p, 0)), t being -1 and 1; a batch of only 0 and 1 is read as -1 and 1"""
    return relu(1.0 - _signs(t) * p)


@elementwise
def squared_hinge(p: Tensor, t: Tensor) -> Tensor:
    """mean(max(1 - t * p, 0)**2), t being -1 and 1; a batch of only 0 and 1 is read as -1 and 1"""
    return square(relu(1.0 - _signs(t) * p))


# ---- many classes ----
@samplewise
def categorical_crossentropy(
    p: Tensor, t: Tensor, from_logits: bool = False, label_smoothing: float = 0.0
) -> Tensor:
    """-sum(t * ln(p / sum(p))), p and t being probabilities of the classes; p is kept 1e-7 away from 0 and 1

    If p comes straight from `softmax` in a graph, the loss is computed from its logits.

    Args:
        prediction: Probabilities of shape (…, classes), or logits.
        target: Probabilities of the prediction's shape.
        from_logits: Whether the prediction holds logits.
        label_smoothing: From 0 to 1: s makes the targets t * (1 - s) + s / classes.
    """
    from_logits = truth("categorical_crossentropy: from_logits", from_logits)
    refuse_swapped("categorical_crossentropy", p, t)
    s = smoothing("categorical_crossentropy", label_smoothing)
    if s:
        t = t * (1.0 - s) + s / p.shape[-1]
    logits = p if from_logits else logits_behind(p, "softmax")
    if logits is not None:
        return cross_entropy_p(logits, t)
    return cross_entropy_of_p(clip_p(p, min=epsilon(p), max=1.0), t)


@samplewise
def categorical_hinge(p: Tensor, t: Tensor) -> Tensor:
    """max(max((1 - t) * p) - sum(t * p) + 1, 0), t being 1 for the class and 0 for the others"""
    refuse_swapped("categorical_hinge", p, t)
    return relu(max((1.0 - t) * p, axis=-1) - sum_p(t * p, axis=(p.ndim - 1,), keepdims=False) + 1.0)


@samplewise
def kl_divergence(p: Tensor, t: Tensor) -> Tensor:
    """sum(t * ln(t / p)), p and t being probabilities, brought into [1e-7, 1]"""
    e = epsilon(p)
    t = clip_p(t, min=e, max=1.0)
    return sum_p(t * (log(t) - log(clip_p(p, min=e, max=1.0))), axis=(p.ndim - 1,), keepdims=False)


# ---- by name, and as objects ----
# fmt: off
class MeanSquaredError(Loss, function=mse_loss): ...
class MeanAbsoluteError(Loss, function=mae_loss): ...
class MeanAbsolutePercentageError(Loss, function=mape_loss): ...
class MeanSquaredLogarithmicError(Loss, function=msle_loss): ...
class Huber(Loss, function=huber_loss): ...
class LogCosh(Loss, function=log_cosh): ...
class Poisson(Loss, function=poisson): ...
class CosineSimilarity(Loss, function=cosine_similarity): ...
class BinaryCrossentropy(Loss, function=binary_cross_entropy): ...
class BinaryFocalCrossentropy(Loss, function=binary_focal_crossentropy): ...
class Hinge(Loss, function=hinge): ...
class SquaredHinge(Loss, function=squared_hinge): ...
class CategoricalCrossentropy(Loss, function=categorical_crossentropy): ...
class CategoricalFocalCrossentropy(Loss, function=categorical_focal_crossentropy): ...
class SparseCategoricalCrossentropy(Loss, function=sparse_categorical_crossentropy): ...
class CategoricalHinge(Loss, function=categorical_hinge): ...
class KLDivergence(Loss, function=kl_divergence): ...
# fmt: on

_KERAS = {
    "mean_squared_error": mse_loss, "mse": mse_loss, "MSE": mse_loss,
    "mean_absolute_error": mae_loss, "mae": mae_loss, "MAE": mae_loss,
    "mean_absolute_percentage_error": mape_loss, "mape": mape_loss, "MAPE": mape_loss,
    "mean_squared_logarithmic_error": msle_loss, "msle": msle_loss, "MSLE": msle_loss,
    "huber": huber_loss, "log_cosh": log_cosh, "logcosh": log_cosh, "poisson": poisson,
    "cosine_similarity": cosine_similarity,
    "binary_crossentropy": binary_cross_entropy, "bce": binary_cross_entropy, "BCE": binary_cross_entropy,
    "binary_focal_crossentropy": binary_focal_crossentropy,
    "hinge": hinge, "squared_hinge": squared_hinge,
    "categorical_crossentropy": categorical_crossentropy,
    "categorical_focal_crossentropy": categorical_focal_crossentropy,
    "sparse_categorical_crossentropy": sparse_categorical_crossentropy,
    "categorical_hinge": categorical_hinge,
    "kl_divergence": kl_divergence, "kld": kl_divergence, "KLD": kl_divergence,
}  # fmt: skip
_OWN = (
    binary_cross_entropy_with_logits, contrastive_loss, cross_entropy, nll_loss, quantile_loss, smooth_l1_loss,
)  # fmt: skip
FUNCTIONS = frozenset((*_KERAS.values(), *_OWN))
_TABLE = Named(
    "loss",
    {
        **_KERAS,
        **{f.__name__: f for f in _OWN},
        **{kind.__name__: PredictionFirst(kind()) for kind in Loss.__subclasses__()},
    },
)


def get(loss: LossLike) -> Function:
    """The loss of a name (Keras's names: "mse", "binary_crossentropy", "SparseCategoricalCrossentropy", …) or the
    callable given, as something to be called with the prediction first: loss(prediction, target, sample_weight=…).

    A function of your own is called as Keras does, `(y_true, y_pred)`. tapegrad's functions are known, also inside a
    `functools.partial` or a wrapper that keeps `__wrapped__`.

    Args:
        loss: A name, a function, a `Loss` or its class.

    Raises:
        ValueError: The name is unknown; the message lists the known ones.
    """
    if isinstance(loss, type) and issubclass(loss, Loss):
        loss = loss()
    if isinstance(loss, Loss):
        return PredictionFirst(loss)
    loss = _TABLE.get(loss)
    known = isinstance(loss, (PredictionFirst, TargetFirst, TorchLoss)) or our_function(loss) is not None
    return loss if known else TargetFirst(loss)


def our_function(loss: Function) -> Function | None:
    """The function of this module that a loss calls, or None."""
    return function_behind(loss, FUNCTIONS)


__all__ = [
    *(f.__name__ for f in dict.fromkeys(_KERAS.values())), *(f.__name__ for f in _OWN),
    *(kind.__name__ for kind in Loss.__subclasses__()), "Loss", "get",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:
    __getattr__ = getattr_of(__name__, "losses")
