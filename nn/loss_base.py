"""What all losses share: the checks of their arguments, the weights, the reduction, and their classes. `nn.losses`
documents it."""

import inspect
from collections.abc import Callable
from typing import Any

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import number, one_of, optional, somewhere, text, truth, whole_number
from tapegrad.autograd.attributes import KnownAttributes
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.dtypes import int64, is_floating, name_of
from tapegrad.autograd.flags import current
from tapegrad.autograd.foreign import answering, unknown_keyword
from tapegrad.autograd.ops import mean_p, reshape_p, sum_p
from tapegrad.autograd.signatures import signature as signature_of
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function
from tapegrad.nn.docstrings import joined, split


def require_float(name: str, prediction: TensorLike) -> Tensor:
    p = prediction if isinstance(prediction, Tensor) else tensor(prediction)
    if not is_floating(p.dtype):
        raise TypeError(
            f"{name}: the prediction, the first argument, must be floating-point, got {p.dtype}: Keras's "
            "y_true is the second argument"
        )
    return p


def as_target(prediction: Tensor, value: TensorLike) -> Tensor:
    """A target, class numbers or weights as a Tensor on the prediction's device."""
    return value if isinstance(value, Tensor) else tensor(value, device=prediction.device)


def same_shape(name: str, prediction: TensorLike, target: TensorLike) -> tuple[Tensor, Tensor]:
    """Both as Tensors of one shape, dtype and device, or an error that says what to change."""
    p = require_float(name, prediction)
    t = as_target(p, target)
    if p.shape != t.shape:
        remedy = f": reshape one of them, as in target.reshape{p.shape}" if p.size == t.size else ""
        raise ValueError(
            f"{name}: prediction and target must have one shape, got prediction {p.shape} and target {t.shape}{remedy}"
        )
    return p, t if t.dtype == p.dtype else t.astype(p.dtype)


def refuse_swapped(name: str, p: Tensor, t: Tensor) -> None:
    """Raise TypeError where the target requires grad and the prediction does not: they were exchanged.

    The values tell nothing: a confident net predicts 0 and 1, and targets lie between where they are smoothed.
    """
    if not p._requires_grad and t.requires_grad and current.get().grad:
        raise TypeError(
            f"{name}: the target requires grad and the prediction does not: the prediction comes first, "
            f"{name}(prediction, target), and Keras's y_true is the second argument"
        )


PREDICTION = "an axis of classes or features, a prediction of shape (…, classes)"


def refuse_numbers(name: str, p: Tensor, expected: str = PREDICTION) -> None:
    """Raise ValueError for one number where an axis is expected."""
    if p.ndim == 0:
        raise ValueError(f"{name}: expected {expected}, got shape ()")


def class_numbers(name: str, p: Tensor, labels: TensorLike) -> Tensor:
    """Integer labels, one for each sample, each the number of a class."""
    refuse_numbers(name, p)
    t = as_target(p, labels)
    kind = name_of(t.dtype)
    if not kind.startswith(("int", "uint")):
        raise TypeError(
            f"{name}: labels must be integers (class numbers), got {kind}: labels.astype(tg.int64)"
        )
    if t.shape != p.shape[:-1]:
        remedy = ": labels.squeeze(-1)" if t.shape == (*p.shape[:-1], 1) else ""
        raise ValueError(
            f"{name}: labels must have the prediction's shape without its last axis, the classes: got prediction "
            f"{p.shape} and labels {t.shape}{remedy}"
        )
    t = t if kind == "int64" else t.astype(int64)
    classes = p.shape[-1]
    if somewhere(t, lambda a: (a < 0) | (a >= classes), repeated=True):
        wrong = [label for label in t.numpy().ravel() if not 0 <= label < classes]
        raise ValueError(
            f"{name}: labels must be class numbers from 0 to {classes - 1}, since the prediction has {classes} "
            f"classes; got {wrong[0]}"
        )
    return t


def weighed(name: str, loss: Tensor, weight: TensorLike) -> Tensor:
    """The loss of each sample times its weight."""
    w = as_target(loss, weight)
    if (w.ndim == 0 < loss.ndim) or w.shape != loss.shape[: w.ndim]:
        raise ValueError(
            f"{name}: sample_weight must have the shape of the unreduced loss, {loss.shape}, or of its first axes, "
            f"got {w.shape}"
        )
    w = w if w.dtype == loss.dtype else w.astype(loss.dtype)
    return loss * (w if w.ndim == loss.ndim else reshape_p(w, shape=w.shape + (1,) * (loss.ndim - w.ndim)))


def reduce(name: str, loss: Tensor, weight: TensorLike | None, reduction: str) -> Tensor:
    """Weigh and reduce the loss of each sample."""
    if weight is not None:
        loss = weighed(name, loss, weight)
    if not isinstance(reduction, str):
        raise TypeError(f'{name}: reduction must be "mean", "sum" or "none", got {reduction!r}')
    if reduction == "mean":
        if loss.size == 0:
            raise ValueError(f"{name}: there is no mean over an empty batch (losses of shape {loss.shape})")
        return mean_p(loss, axis=None, keepdims=False)
    if reduction == "sum":
        return sum_p(loss, axis=None, keepdims=False)
    if reduction == "none":
        return loss
    raise ValueError(f'{name}: reduction must be "mean", "sum" or "none", got {reduction!r}')


# What every loss takes.
ARGUMENTS = {
    "prediction": "Floats of shape (…,) or (…, D).",
    "target": "Of the prediction's shape; it is cast to the prediction's dtype.",
    "reduction": '"mean" over the samples, "sum" of them, or "none" for the loss of each.',
    "sample_weight": "One factor for each sample, of the shape of the unreduced loss or of its first axes; None is 1.",
}


def _loss(of_pair: Function, over_elements: bool) -> Function:
    """The public loss made of a function (p, t, options) -> the loss of each element or of each sample."""
    name = of_pair.__name__
    own = list(signature_of(of_pair).parameters.values())[2:]
    known = {option.name for option in own}

    def loss(
        prediction: TensorLike,
        target: TensorLike,
        *,
        reduction: str = "mean",
        sample_weight: TensorLike | None = None,
        **options: object,
    ) -> Tensor:
        if options and not known.issuperset(options):
            words = ["prediction", "target", "reduction", "sample_weight", *sorted(known)]
            raise TypeError(unknown_keyword(name, next(o for o in options if o not in known), words))
        if not isinstance(reduction, str):
            raise TypeError(f'{name}: reduction must be "mean", "sum" or "none", got {reduction!r}')
        p, t = same_shape(name, prediction, target)
        if not over_elements:
            refuse_numbers(name, p)
        out = of_pair(p, t, **options)
        # The mean of means of equal length is the mean of all, so the plain case reduces once.
        if over_elements and out.ndim > 1 and not (sample_weight is None and reduction == "mean"):
            out = mean_p(out, axis=(out.ndim - 1,), keepdims=False)
        return reduce(name, out, sample_weight, reduction)

    return answering(_with_signature(loss, of_pair, own))


def _with_signature(loss: Function, source: Function, options: list[inspect.Parameter]) -> Function:
    """The loss under its own name, documentation and signature."""
    given = list(signature_of(loss).parameters.values())[:4]
    loss.__name__ = loss.__qualname__ = source.__name__
    loss.__module__ = source.__module__  # where a pickle finds it
    text, described = split(source.__doc__ or "")
    loss.__doc__ = joined(text, {**ARGUMENTS, **described})
    signature = inspect.Signature(
        given + [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]
    )
    vars(loss)["__signature__"] = signature
    return loss


def elementwise(of_pair: Function) -> Function:
    """Decorator: (p, t) -> a loss for each element, which the loss of a sample is the mean of."""
    return _loss(of_pair, over_elements=True)


def samplewise(of_pair: Function) -> Function:
    """Decorator: (p, t) -> a loss for each sample."""
    return _loss(of_pair, over_elements=False)


def number_or_array(name: str, value: object) -> object:
    """A number, or an array as it is: one number for each class."""
    is_array = hasattr(value, "__len__") and not isinstance(value, (str, bytes, dict))
    return value if is_array else number(name, value)


# How the options of a loss are checked, by their annotations; the loss functions check their ranges.
KINDS: dict[object, Callable[[str, object], object]] = {
    bool: truth, int: whole_number, int | None: whole_number, float: number, float | TensorLike: number_or_array,
}  # fmt: skip


def _options_of(function: Function) -> list[inspect.Parameter]:
    """The options of the class of a loss function."""
    own = [p for p in signature_of(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    name = inspect.Parameter("name", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=str | None)
    return [*(p for p in own if p.name != "sample_weight"), name]


class Loss(KnownAttributes):
    """A loss with its options, called in Keras's order: `Huber(delta=2.0)(y_true, y_pred, sample_weight=None)`.

    y_true is the target and y_pred the prediction. The functions, torch's classes (`nn.MSELoss`) and the result of
    `get` take the prediction first.

    A loss of your own is a subclass with `call(self, y_true, y_pred)`, which returns a loss for each row. `reduction`
    and `sample_weight` are applied to it, as in Keras.

    Args:
        reduction: "mean", "sum" or "none"; Keras's "sum_over_batch_size" is "mean", and None is "none".
        name: What the loss is called in histories and messages; None takes the name of the function.
        **options: The options of the loss function.
    """

    function: Function
    name: str | None
    checks = {"name": optional(text)}

    def __init_subclass__(cls, function: Function | None = None) -> None:
        super().__init_subclass__()
        if function is None:
            return
        described, options = split(function.__doc__ or "")[1], _options_of(function)
        described["name"] = (
            "What the loss is called in histories and messages; None takes the name of the function."
        )
        cls.__doc__ = joined(split(function.__doc__ or "")[0], {p.name: described[p.name] for p in options})
        cls.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
        cls.function = staticmethod(function)

    def __init__(self, *, reduction: str = "mean", name: str | None = None, **options: object) -> None:
        self.name = name
        for option in options:
            if option not in self.option_names():
                raise TypeError(unknown_keyword(type(self).__name__, option, self.option_names()))
        given = {"reduction": reduction, **options}
        self.options: dict[str, Any] = {option: self._checked(option, v) for option, v in given.items()}

    def _checked(self, option: str, value: object) -> object:
        """An option's value as it is kept. The annotation of the loss function says what kind it is."""
        what = f"{type(self).__name__}: {option}"
        if option == "reduction":
            value = "mean" if isinstance(value, str) and value == "sum_over_batch_size" else value
            return one_of(what, "none" if value is None else value, ("mean", "sum", "none"))
        annotation = signature_of(self.function).parameters[option].annotation
        if value is None and annotation == int | None:
            return None
        check = KINDS.get(annotation)
        return value if check is None else check(what, value)

    def option_names(self) -> list[str]:
        """What may be given to the class, or set on the loss later."""
        if not hasattr(type(self), "function"):
            return ["reduction"]
        names = list(signature_of(self.function).parameters)[2:]
        return [name for name in names if name != "sample_weight"]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.option_names()]

    def __getattr__(self, name: str) -> Any:
        if name in (options := self.__dict__.get("options", {})):
            return options[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}; its options are {options}")

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.option_names():
            self.options[name] = self._checked(name, value)
        else:
            super().__setattr__(name, value)

    def __call__(
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> Tensor:
        return self.of_prediction(y_pred, y_true, sample_weight=sample_weight)

    def of_prediction(
        self, prediction: TensorLike, target: TensorLike, *, sample_weight: TensorLike | None = None
    ) -> Tensor:
        """The loss with the prediction first, as the functions have it.

        Args:
            prediction: Floats of shape (…,) or (…, D).
            target: Of the prediction's shape, or class numbers.
            sample_weight: One factor for each sample; None is 1.
        """
        if (call := getattr(self, "call", None)) is not None:
            loss, reduction = call(target, prediction), self.options["reduction"]
            return reduce(type(self).__name__, loss, sample_weight, reduction)
        return type(self).function(prediction, target, sample_weight=sample_weight, **self.options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.options.items())})"
