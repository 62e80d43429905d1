"""What a loss says about the outputs and the targets of its model."""

from tapegrad import nn
from tapegrad.backends.aliases import Function
from tapegrad.data.metric_base import LOG_PROBABILITIES, LOGIT, LOGITS, SIGNS
from tapegrad.models.aliases import CompiledLoss
from tapegrad.nn import losses
from tapegrad.nn.loss_order import name_of, options_of

CLASS_NUMBERS = (losses.sparse_categorical_crossentropy, losses.cross_entropy, losses.nll_loss)
OF_CLASSES = (*CLASS_NUMBERS, losses.categorical_crossentropy)
ONE_OUTPUT = (
    losses.binary_cross_entropy,
    losses.binary_cross_entropy_with_logits,
    losses.binary_focal_crossentropy,
)
PROBABILITIES = (
    losses.binary_cross_entropy,
    losses.binary_focal_crossentropy,
    losses.categorical_focal_crossentropy,
    losses.categorical_crossentropy,
    losses.sparse_categorical_crossentropy,
)
KINDS: dict[Function | None, str] = {
    losses.binary_cross_entropy_with_logits: LOGIT, losses.cross_entropy: LOGITS, losses.nll_loss: LOG_PROBABILITIES,
    losses.hinge: SIGNS, losses.squared_hinge: SIGNS,
}  # fmt: skip
ABOVE_0 = ("sigmoid", "hard_sigmoid", "softmax")
FROM_LOGITS = {
    losses.binary_cross_entropy: LOGIT,
    losses.binary_focal_crossentropy: LOGIT,
    losses.categorical_crossentropy: LOGITS,
    losses.categorical_focal_crossentropy: LOGITS,
    losses.sparse_categorical_crossentropy: LOGITS,
}
# The range of the targets, and what they are.
SHARES = (0.0, 1.0, "probabilities, from 0 to 1")
SIDES = (-1.0, 1.0, "-1 and 1, or 0 and 1")
COUNTS = (0.0, float("inf"), "numbers of at least 0")
RANGES: dict[Function | None, tuple[float, float, str]] = {
    losses.binary_cross_entropy: SHARES, losses.binary_cross_entropy_with_logits: SHARES,
    losses.categorical_crossentropy: SHARES, losses.cross_entropy: SHARES, losses.kl_divergence: SHARES,
    losses.categorical_hinge: SHARES, losses.hinge: SIDES, losses.squared_hinge: SIDES,
    losses.poisson: COUNTS, losses.msle_loss: COUNTS,
}  # fmt: skip
ROUNDING = 1e-6


def name(loss: CompiledLoss) -> str:
    own = function(loss)
    return name_of(own) if own is not None else str(getattr(loss, "name", None) or name_of(loss))


def function(loss: CompiledLoss) -> Function | None:
    """The function of `nn.losses` behind a loss, also behind PyTorch's classes; None for a user's own."""
    if isinstance(loss, nn.CrossEntropyLoss):
        return losses.cross_entropy
    if isinstance(loss, nn.NLLLoss):
        return losses.nll_loss
    if isinstance(loss, nn.BCEWithLogitsLoss):
        return losses.binary_cross_entropy_with_logits
    if isinstance(loss, nn.BCELoss):
        return losses.binary_cross_entropy
    return losses.our_function(loss)


def takes_class_numbers(loss: CompiledLoss) -> bool:
    """Whether the targets are class numbers (or for some losses may be) and not of the outputs' shape."""
    return function(loss) in CLASS_NUMBERS


def takes_one_output(loss: CompiledLoss) -> bool:
    """Whether the loss is of two classes and one output, the second's probability or logit."""
    return function(loss) in ONE_OUTPUT


def takes_probabilities(loss: CompiledLoss) -> bool:
    """Whether the outputs are probabilities, and neither logits nor log-probabilities."""
    return function(loss) in PROBABILITIES and outputs_kind(loss) is None


def outputs_kind(loss: CompiledLoss, last: str | None = None) -> str | None:
    """Whether the outputs are logits, log-probabilities or signs; None for probabilities and numbers.

    last   the name of the last layer's activation: a sigmoid's outputs are probabilities also to a hinge
    """
    own = function(loss)
    if KINDS.get(own) == SIGNS and last in ABOVE_0:
        return None
    if own in FROM_LOGITS and options_of(loss).get("from_logits"):
        return FROM_LOGITS[own]
    return KINDS.get(own)


def targets_range(loss: CompiledLoss) -> tuple[float, float, str] | None:
    """(least, largest, words) of what the loss takes as targets; None where it takes any number."""
    return RANGES.get(function(loss))


def mismatch(loss: CompiledLoss, last: str | None, outputs: tuple[int, ...]) -> str | None:
    """What is wrong with a loss after the last layer's activation, so that the model cannot learn well; or None.

    last   the name of that activation, None where it is not known
    """
    kind, own = outputs_kind(loss), function(loss)
    if last in ("softmax", "log_softmax") and outputs[-1:] == (1,):
        return f"{last} over one unit is always the same number: use a sigmoid for two classes, or one unit per class"
    if last in ("sigmoid", "softmax") and kind in (LOGIT, LOGITS):
        return (
            f"the loss {name(loss)} takes logits, and the last layer gives {last} of them: leave out the activation or "
            "use the loss of probabilities"
        )
    if last in ABOVE_0 and kind == SIGNS:
        return (
            f"the loss {name(loss)} tells two classes by the sign of the outputs, and those of {last} are never below "
            "0: use tanh or no activation"
        )
    if last == "linear" and takes_probabilities(loss):
        return (
            f"the loss {name(loss)} takes probabilities, and the last layer has no activation: add "
            f"{'sigmoid' if own in ONE_OUTPUT else 'softmax'}, or use from_logits=True"
        )
    return None
