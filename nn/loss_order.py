"""In which order a loss takes its arguments. tapegrad's own functions take the prediction first, and so do its models.
Keras's classes and every function of a user take the target first: (y_true, y_pred)."""

import inspect
from collections.abc import Container
from functools import partial

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.signatures import signature
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function
from tapegrad.nn.loss_base import Loss, reduce

# Names of a parameter that say what it is. A single letter counts only where the other name agrees.
PREDICTIONS = {
    "y_pred", "ypred", "y_hat", "yhat", "pred", "preds", "prediction", "predictions", "predicted", "output", "outputs",
    "logit", "logits", "probs", "probabilities", "y_prob", "y_score",
}  # fmt: skip
TARGETS = {
    "y_true", "ytrue", "target", "targets", "label", "labels", "truth", "ground_truth", "actual", "expected",
}  # fmt: skip
LETTERS = {("p", "t"), ("p", "y"), ("out", "y"), ("output", "y"), ("input", "target")}
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class PredictionFirst:
    """A Loss as models call it: (prediction, target, sample_weight=None)."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def __call__(
        self, prediction: TensorLike, target: TensorLike, *, sample_weight: TensorLike | None = None
    ) -> Tensor:
        return self.loss.of_prediction(prediction, target, sample_weight=sample_weight)

    def __repr__(self) -> str:
        return repr(self.loss)


class TargetFirst:
    """A user's loss as models call it, the prediction first. The user's function gets (y_true, y_pred), as in Keras.

    It returns one number, or a loss for each row, which is weighed and averaged here as Keras does. A function that
    takes `sample_weight` gets it, and weighs by itself.
    """

    def __init__(self, loss: Function) -> None:
        check_order("loss", loss)
        self.loss = loss
        self.name = name_of(loss)
        self.weighs = takes(loss, "sample_weight")

    def __call__(
        self, prediction: TensorLike, target: TensorLike, *, sample_weight: TensorLike | None = None
    ) -> Tensor:
        if sample_weight is None:
            value = self.loss(target, prediction)
        elif self.weighs:
            value, sample_weight = self.loss(target, prediction, sample_weight=sample_weight), None
        else:
            value = self.loss(target, prediction)
        if not isinstance(value, Tensor):
            raise TypeError(
                f"loss {self.name}: expected a Tensor from {self.name}(y_true, y_pred), got {type(value).__name__}: "
                "compute it from the tensors with tapegrad's functions, so that it has a gradient"
            )
        if value.ndim == 0:
            if sample_weight is not None:
                raise ValueError(
                    f"loss {self.name}: returned one number, which weights of rows and classes cannot weigh: return a "
                    "loss for each row, or take an argument sample_weight"
                )
            return value
        return reduce(self.name, value, sample_weight, "mean")

    def __repr__(self) -> str:
        return self.name


def name_of(function: Function) -> str:
    return str(getattr(function, "__name__", None) or type(function).__name__)


def signature_of(function: Function) -> "inspect.Signature | None":
    """The signature of a callable as it is called; None where Python does not know it."""
    called = getattr(function, "forward", function) if hasattr(function, "named_modules") else function
    try:
        return signature(called)
    except (TypeError, ValueError):
        return None


def takes(function: Function, keyword: str) -> bool:
    """Whether a callable takes an argument of this name."""
    signature = signature_of(function)
    if signature is None:
        return False
    return any(p.name == keyword or p.kind is p.VAR_KEYWORD for p in signature.parameters.values())


def check_order(what: str, function: Function) -> None:
    """Raise TypeError for a function of a user whose parameter names say (prediction, target), or that does not take
    two arguments."""
    signature = signature_of(function)
    if signature is None:
        return
    parameters = list(signature.parameters.values())
    name = name_of(function)
    call = f"{name}(y_true, y_pred)"
    if isinstance(function, type):
        raise TypeError(f"{what}: expected an object, got the class {name}: write {name}(…)")
    names = [p.name for p in parameters if p.kind in POSITIONAL]
    if len(names) < 2:
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            return
        raise TypeError(f"{what} {name}{signature}: it is called as {call}, with two arguments by position")
    first, second = names[:2]
    swapped = (
        (first in PREDICTIONS and second not in PREDICTIONS)
        or (second in TARGETS and first not in TARGETS)
        or (first, second) in LETTERS
    )
    if swapped:
        raise TypeError(
            f"{what} {name}({first}, {second}): the names say that the prediction comes first. Your own functions are "
            f"called with the target first, as in Keras: write {name}({second}, {first})"
        )


def function_behind(loss: Function, known: Container[object]) -> Function | None:
    """The function of `known` that a loss calls: itself, or inside a Loss, a partial, or a wrapper that keeps
    `__wrapped__`. None for a loss of a user's own."""
    while True:
        if isinstance(loss, PredictionFirst):
            loss = loss.loss
        if isinstance(loss, Loss):
            function = getattr(type(loss), "function", None)
            return function if function in known else None
        if isinstance(loss, partial):
            if loss.args:
                return None
            loss = loss.func
            continue
        if in_set(loss, known):
            return loss
        if (inner := vars(loss).get("__wrapped__") if hasattr(loss, "__dict__") else None) is None:
            return None
        loss = inner


def options_of(loss: Function) -> dict[str, object]:
    """The options that a Loss or a partial adds to the function behind it."""
    options: dict[str, object] = {}
    while True:
        if isinstance(loss, PredictionFirst):
            loss = loss.loss
        if isinstance(loss, Loss):
            return {**loss.options, **options}
        if isinstance(loss, partial):
            options = {**loss.keywords, **options}
            loss = loss.func
            continue
        if (inner := vars(loss).get("__wrapped__") if hasattr(loss, "__dict__") else None) is None:
            return options
        loss = inner


def in_set(value: object, known: Container[object]) -> bool:
    try:
        return value in known
    except TypeError:  # not hashable
        return False
