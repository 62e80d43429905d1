"""The outputs of a classifier's module: whether they fit the criterion, and the probabilities made of them."""

from typing import Any

import numpy as np

from tapegrad import nn
from tapegrad.autograd.ops import exp, sigmoid, softmax
from tapegrad.autograd.tensor import Tensor
from tapegrad.data.metric_base import LOG_PROBABILITIES, LOGIT, LOGITS
from tapegrad.models import loss_kinds
from tapegrad.models.aliases import CompiledLoss
from tapegrad.models.readiness import last_activation

FUNCTIONS: dict[str, Any] = {"softmax": softmax, "sigmoid": sigmoid, "exp": exp}
BY_KIND: dict[str | None, str] = {LOGITS: "softmax", LOGIT: "sigmoid", LOG_PROBABILITIES: "exp"}


def with_both(outputs: np.ndarray) -> np.ndarray:
    """Probabilities of two classes where there is one, that of the second."""
    return np.concatenate([1 - outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs


def probabilities(outputs: np.ndarray, nonlinearity: str | None) -> np.ndarray:
    """(n, classes) from what a module gives, by the function of this name; None: as they are."""
    if nonlinearity is not None:
        outputs = FUNCTIONS[nonlinearity](Tensor(outputs)).numpy()
    return with_both(outputs)


def no_distribution(p: np.ndarray) -> str | None:
    """What is wrong with the first row that is no probability distribution; None where each is one."""
    # A softmax of the user's own may have a small number in its denominator.
    tolerance = 1e-3 if p.dtype.itemsize >= 4 else 0.05
    p = p.astype(np.float64)
    sums = p.sum(axis=1)
    right = (p >= -tolerance).all(axis=1) & (abs(sums - 1) <= tolerance)
    if right.all():
        return None
    row = int(right.argmin())
    return f"row {row} of them sums to {sums[row]:.3g}, its least is {p[row].min():.3g}"


def check_shape(loss: CompiledLoss, shape: tuple[int, ...], classes: int) -> None:
    """Raise ValueError where a module's outputs do not have the number that the criterion takes."""
    if loss_kinds.takes_one_output(loss):
        if shape != (1,) or classes != 2:
            raise ValueError(
                f"criterion={loss_kinds.name(loss)!r} is of two classes and one output: got {classes} and the shape "
                f"{shape}"
            )
    elif shape != (classes,):
        hint = ""
        if shape == (1,) and classes == 2:
            hint = ": give criterion='binary_cross_entropy_with_logits'"
        raise ValueError(
            f"module: expected {classes} outputs, one for each class, got the shape {shape}{hint}"
        )


def check_kind(loss: CompiledLoss, model: nn.Sequential, outputs: np.ndarray) -> None:
    """Raise ValueError where the outputs of some rows are not what the criterion takes."""
    kind, name = loss_kinds.outputs_kind(loss), loss_kinds.name(loss)
    if kind == LOGITS and no_distribution(outputs) is None:
        raise ValueError(
            f"module: it ends with a softmax, and criterion={name!r} takes logits: leave the softmax out, or give "
            "criterion='sparse_categorical_crossentropy'"
        )
    if kind == LOG_PROBABILITIES and (fault := no_distribution(np.exp(outputs))):
        raise ValueError(
            f"module: criterion={name!r} takes log-probabilities, and their exp are no probabilities: {fault}. End it "
            "with a log_softmax, or give criterion='cross_entropy', which takes logits"
        )
    if loss_kinds.takes_probabilities(loss) and (fault := no_distribution(with_both(outputs))):
        last, other = "softmax", "cross_entropy"
        if outputs.shape[1] == 1:
            last, other = "sigmoid", "binary_cross_entropy_with_logits"
        raise ValueError(
            f"module: criterion={name!r} takes probabilities, and its outputs are none: {fault}. End it with a {last}, "
            f"or give criterion={other!r}, which takes logits"
        )
    if fault := loss_kinds.mismatch(loss, last_activation(model), outputs.shape[1:]):
        raise ValueError(f"module: {fault}")


def check_probabilities(loss: CompiledLoss, p: np.ndarray) -> None:
    """Raise ValueError where rows are no probabilities, since the criterion does not say what the outputs are."""
    if fault := no_distribution(p):
        raise ValueError(
            f"predict_proba: the outputs are no probabilities ({fault}), and criterion={loss_kinds.name(loss)} does "
            "not say what they are: set_params(predict_nonlinearity='softmax') where they are logits, 'exp' for "
            "log-probabilities, None to get them as they are"
        )
