"""Focal losses, which weigh a sample the less, the surer its prediction is right (Lin et al. 2017)."""

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import at_least_0, probability, truth
from tapegrad.autograd.ops import (
    binary_cross_entropy_of_p,
    binary_cross_entropy_p,
    clip_p,
    expm1,
    log_softmax_p,
    sigmoid,
    sum_p,
)
from tapegrad.autograd.tensor import Tensor
from tapegrad.nn.class_losses import class_factors, epsilon, logits_behind, logits_of, smoothing
from tapegrad.nn.loss_base import elementwise, refuse_swapped, samplewise


@elementwise
def binary_focal_crossentropy(
    p: Tensor, t: Tensor, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
    from_logits: bool = False, label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """mean((1 - q)**gamma * (-t * ln(p) - (1 - t) * ln(1 - p))), q = t * p + (1 - t) * (1 - p) being the share of the
    truth, and p probabilities, kept 1e-7 away from 0 and 1 (float16: 5e-4) (Lin et al. 2017; names and defaults: Keras)

    If p comes straight from `sigmoid` in a graph, the loss is computed from its logits.

    Args:
        target: Probabilities, 0, 1 or between, of the prediction's shape.
        apply_class_balancing: Whether targets of 1 weigh alpha, and targets of 0 weigh 1 - alpha.
        alpha: That weight, from 0 to 1.
        gamma: How fast sure predictions lose weight, at least 0; 0 is `binary_cross_entropy`.
        from_logits: Whether the prediction holds logits.
        label_smoothing: From 0 to 1: s makes the targets t * (1 - s) + s / 2.
    """
    name = "binary_focal_crossentropy"
    from_logits = truth(f"{name}: from_logits", from_logits)
    refuse_swapped(name, p, t)
    s, gamma = smoothing(name, label_smoothing), at_least_0(f"{name}: gamma", gamma)
    alpha = probability(f"{name}: alpha", alpha)
    if s:
        t = t * (1.0 - s) + 0.5 * s
    logits = p if from_logits else logits_behind(p, "sigmoid")
    if logits is not None:
        loss, unsure = binary_cross_entropy_p(logits, t), t * sigmoid(-logits) + (1.0 - t) * sigmoid(logits)
    else:
        p = clip_p(p, min=epsilon(p), max=1.0 - epsilon(p))
        loss = binary_cross_entropy_of_p(p, t)
        unsure = t * (1.0 - p) + (1.0 - t) * p
    loss = unsure**gamma * loss
    if truth(f"{name}: apply_class_balancing", apply_class_balancing):
        loss = (t * alpha + (1.0 - t) * (1.0 - alpha)) * loss
    return loss


@samplewise
def categorical_focal_crossentropy(
    p: Tensor,
    t: Tensor,
    alpha: float | TensorLike = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> Tensor:
    """-sum(alpha * (1 - q)**gamma * t * ln(q)), q = p / sum(p) being probabilities of the classes, kept 1e-7 away from
    0 (Lin et al. 2017; names and defaults: Keras)

    If p comes straight from `softmax` in a graph, the loss is computed from its logits.

    Args:
        prediction: Probabilities of shape (…, classes), or logits.
        target: Probabilities of the prediction's shape.
        alpha: The weight of the classes: a number, or one for each class.
        gamma: How fast sure predictions lose weight, at least 0; 0 and alpha=1 is `categorical_crossentropy`.
        from_logits: Whether the prediction holds logits.
        label_smoothing: From 0 to 1: s makes the targets t * (1 - s) + s / classes.
    """
    name = "categorical_focal_crossentropy"
    from_logits = truth(f"{name}: from_logits", from_logits)
    refuse_swapped(name, p, t)
    s, gamma = smoothing(name, label_smoothing), at_least_0(f"{name}: gamma", gamma)
    if s:
        t = t * (1.0 - s) + s / p.shape[-1]
    logs = log_softmax_p(logits_of(p, from_logits), axis=p.ndim - 1)
    weight = class_factors(name, "alpha", alpha, p)
    return -sum_p(weight * (-expm1(logs)) ** gamma * (t * logs), axis=(p.ndim - 1,), keepdims=False)
