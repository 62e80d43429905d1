"""Layers and losses under PyTorch's names, in its order and with its defaults."""

from typing import Any

from tapegrad.autograd.aliases import DTypeLike, TensorLike
from tapegrad.autograd.arguments import positive_integer, probability, truth, whole_number
from tapegrad.autograd.creation import from_data
from tapegrad.autograd.dtypes import is_floating
from tapegrad.autograd.ops import (
    abs,
    binary_cross_entropy_p,
    cross_entropy_p,
    log_softmax,
    moveaxis,
    softplus,
    sparse_cross_entropy_p,
    square,
    sum_p,
    take,
    where,
)
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import resolve
from tapegrad.nn.aliases import Config
from tapegrad.nn.checks import reduction
from tapegrad.nn.dense import Dense
from tapegrad.nn.lengths import widened
from tapegrad.nn.loss_base import (
    as_target,
    class_numbers,
    refuse_numbers,
    require_float,
    same_shape,
    weighed,
)
from tapegrad.nn.module import Buffer, Module
from tapegrad.nn.shapes import Shape
from tapegrad.nn.weights import torch_uniform


class Linear(Dense):
    """y = x @ kernel + bias, with PyTorch's arguments and initial values.

    The kernel has the shape (in_features, out_features), which is PyTorch's weight transposed; the bias
    (out_features,). Both are drawn uniformly between ±1/sqrt(in_features). `nn.Dense(out_features, in_features=…)` is
    the same layer with Keras's arguments and initial values.

    Args:
        in_features: The number of inputs.
        out_features: The number of outputs.
        bias: Whether there is a bias.
        device: Where to make the weights; None is the default backend.
        dtype: The floating dtype of the weights; None is the default.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        law = torch_uniform(positive_integer("Linear: in_features", in_features))
        units = positive_integer("Linear: out_features", out_features)
        super().__init__(
            units, in_features=in_features, use_bias=truth("Linear: bias", bias), dtype=dtype,
            kernel_initializer=law, bias_initializer=law,
        )  # fmt: skip
        if device is not None:
            resolve(device)  # raises for what is no device, which `to` may take for a dtype
            self.to(device)

    @property
    def out_features(self) -> int:
        return self.units

    def config(self) -> Config:
        return {
            "in_features": self.in_features, "out_features": self.units, "bias": self.use_bias, "device": None,
            "dtype": self.dtype,
        }  # fmt: skip


class TorchLoss(Module):
    """Called with the prediction first: loss(input, target)."""

    checks = {"reduction": reduction}

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = reduction

    def infer_shape(self, shape: Shape) -> Shape:
        return ()

    _sample_weight: TensorLike | None = None

    def weighted(self, input: TensorLike, target: TensorLike, sample_weight: TensorLike) -> Tensor:
        """The loss with a factor on each element that reduction="none" gives, as models weigh rows and classes.

        Args:
            input, target: As for a call.
            sample_weight: Of the shape of the unreduced loss, or of its first axes. A mean still divides by what it
                divides by without.
        """
        # Another one of the same options: this one may be in use elsewhere.
        own = type(self).__new__(type(self))
        vars(own).update(vars(self), _sample_weight=sample_weight)
        loss = own.forward(input, target)
        if own._sample_weight is not None:
            raise TypeError(
                f"{type(self).__name__}: its own forward does not weigh the samples: return self._reduced(loss) of the "
                "loss of each, or train without weights of rows and classes"
            )
        return loss

    def _weighed(self, loss: Tensor) -> Tensor:
        if (weight := self._sample_weight) is None:
            return loss
        vars(self)["_sample_weight"] = None
        return weighed(type(self).__name__, loss, weight)

    def _reduced(self, loss: Tensor, share: Tensor | None = None) -> Tensor:
        """PyTorch reduces over all elements, and "none" keeps each. A mean divides by the sum of `share`, if given."""
        loss = self._weighed(loss)
        if self.reduction == "mean":
            return loss.mean() if share is None else ratio(loss, share)
        return loss.sum() if self.reduction == "sum" else loss


def factors(name: str, given: Any) -> Buffer | None:
    """What a loss multiplies with, as it keeps it."""
    if isinstance(given, Buffer):
        return given
    if given is not None and not isinstance(given, Tensor):
        given = from_data(name, given)
    return None if given is None else Buffer(given)


class WeighedLoss(TorchLoss):
    """A loss with a factor for each element or class: a Buffer, or None."""

    weight: Any
    checks = {"weight": factors}

    def __init__(self, weight: TensorLike | None = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.weight = weight

    def _check_class_factors(self, classes: int) -> None:
        """Raise ValueError unless there is one factor for each class."""
        if self.weight is not None and self.weight.shape != (classes,):
            raise ValueError(
                f"{type(self).__name__}: weight must have one factor for each of the {classes} classes, shape "
                f"({classes},), got {self.weight.shape}"
            )

    def _check_fit(self, name: str, x: Tensor) -> None:
        """Raise ValueError unless the factors of a name broadcast to x, the input."""
        if not fits_into(shape := getattr(self, name).shape, x.shape):
            raise ValueError(
                f"{type(self).__name__}: {name} must broadcast to the input's shape {x.shape}, got {shape}"
            )

    def _factors(self, x: Tensor) -> Tensor:
        """The weight in x's dtype, which the loss has, too."""
        assert self.weight is not None
        return self.weight.astype(x.dtype, copy=False)

    def _times_weight(self, loss: Tensor) -> Tensor:
        if self.weight is None:
            return loss
        self._check_fit("weight", loss)
        return loss * self._factors(loss)


def classes_last(name: str, x: Tensor, target: Tensor) -> Tensor:
    """x with its classes, axis 1, as the last axis; ValueError if the class numbers do not have its other lengths."""
    if x.ndim < 3:
        return x
    if target.shape != (want := (x.shape[0], *x.shape[2:])):
        raise ValueError(
            f"{name}: the classes are axis 1, so an input of shape {x.shape} needs a target of class numbers of shape "
            f"{want}, got {target.shape}"
        )
    return moveaxis(x, 1, -1)


def fits_into(shape: Shape, whole: Shape) -> bool:
    """Whether an array of a shape broadcasts to another shape."""
    ends = zip(reversed(shape), reversed(whole), strict=False)
    return len(shape) <= len(whole) and all(n in (1, m) for n, m in ends)


def ratio(loss: Tensor, share: Tensor) -> Tensor:
    """sum(loss) / sum(share), in the dtype of the loss: sums of float16, which may overflow, are of float32."""
    return (widened(loss).sum() / widened(share).sum()).astype(loss.dtype, copy=False)


class MSELoss(TorchLoss):
    """mean((input - target)**2) over all elements; with reduction="sum" their sum, with "none" each of them.

    Args:
        reduction: "mean", "sum" or "none", over all elements.
    """

    def forward(self, input: TensorLike, target: TensorLike) -> Tensor:
        p, t = same_shape("MSELoss", input, target)
        return self._reduced(square(p - t))


class L1Loss(TorchLoss):
    """mean(|input - target|) over all elements; with reduction="sum" their sum, with "none" each of them.

    Args:
        reduction: "mean", "sum" or "none", over all elements.
    """

    def forward(self, input: TensorLike, target: TensorLike) -> Tensor:
        p, t = same_shape("L1Loss", input, target)
        return self._reduced(abs(p - t))


class BCEWithLogitsLoss(WeighedLoss):
    """mean(-w * (v * t * ln(sigmoid(x)) + (1 - t) * ln(1 - sigmoid(x)))) for logits x and targets t from 0 to 1

    Args:
        weight: The w of the formula, which broadcasts to x; None is 1.
        reduction: "mean", "sum" or "none", over all elements.
        pos_weight: The v of the formula, which broadcasts to x; None is 1.
    """

    pos_weight: Any
    checks = {"pos_weight": factors}

    def __init__(
        self,
        weight: TensorLike | None = None,
        *,
        reduction: str = "mean",
        pos_weight: TensorLike | None = None,
    ) -> None:
        super().__init__(weight, reduction=reduction)
        self.pos_weight = pos_weight

    def forward(self, input: TensorLike, target: TensorLike) -> Tensor:
        x, t = same_shape("BCEWithLogitsLoss", input, target)
        if self.pos_weight is None:
            loss = binary_cross_entropy_p(x, t)
        else:
            self._check_fit("pos_weight", x)
            v = self.pos_weight.astype(x.dtype, copy=False)
            loss = (1.0 - t) * softplus(x) + v * t * softplus(-x)
        return self._reduced(self._times_weight(loss))


class CrossEntropyLoss(WeighedLoss):
    """-ln(softmax(x)[class]) of logits x of shape (N, C), (C,) or (N, C, d1, …): the classes are axis 1.

    The target holds class numbers, of x's shape without the axis of the classes, or probabilities of x's shape.

    Args:
        weight: A factor for each class, of shape (C,). The mean divides by the sum of the factors of the samples'
            classes.
        ignore_index: The class number of samples that do not count.
        reduction: "mean", "sum" or "none", over all elements.
        label_smoothing: From 0 to 1: the share of the target that is spread evenly over the classes.
    """

    checks = {"ignore_index": whole_number, "label_smoothing": probability}

    def __init__(
        self,
        weight: TensorLike | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction=reduction)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: TensorLike, target: TensorLike) -> Tensor:
        x = require_float("CrossEntropyLoss", input)
        refuse_numbers("CrossEntropyLoss", x)
        t = as_target(x, target)
        by_class = is_floating(t.dtype) and t.shape == x.shape
        if not by_class:
            x = classes_last("CrossEntropyLoss", x, t)
        elif x.ndim > 2:
            x, t = moveaxis(x, 1, -1), moveaxis(t, 1, -1)
        self._check_class_factors(x.shape[-1])
        if by_class:
            return self._of_probabilities(x, t if t.dtype == x.dtype else t.astype(x.dtype))
        keep = t != self.ignore_index
        labels = class_numbers("CrossEntropyLoss", x, where(keep, t, 0))
        loss, share = sparse_cross_entropy_p(x, labels), where(keep, 1.0, 0.0).astype(x.dtype, copy=False)
        if self.weight is not None:
            factor = take(self._factors(x), labels)
            loss, share = loss * factor, share * factor
        if self.label_smoothing:
            even = self._even(x) / x.shape[-1]
            loss = (1.0 - self.label_smoothing) * loss + self.label_smoothing * even
        loss = where(keep, loss, 0.0)
        return self._reduced(loss, share)

    def _even(self, x: Tensor) -> Tensor:
        """-sum over the classes of weight * ln(softmax(x))."""
        logs = log_softmax(x, axis=-1)
        return -sum_p(
            logs if self.weight is None else logs * self._factors(x), axis=(x.ndim - 1,), keepdims=False
        )

    def _of_probabilities(self, x: Tensor, t: Tensor) -> Tensor:
        if self.label_smoothing:
            t = t * (1.0 - self.label_smoothing) + self.label_smoothing / x.shape[-1]
        return self._reduced(cross_entropy_p(x, t if self.weight is None else t * self._factors(x)))
