"""Small layers: Flatten, Dropout, and one class for each activation function."""

import inspect
from math import prod
from typing import Any

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import optional
from tapegrad.autograd.arguments import rate as check_rate
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.foreign import unknown_keyword
from tapegrad.autograd.ops import (
    exp,
    hard_sigmoid,
    hard_silu,
    log_sigmoid,
    log_softmax,
    relu,
    relu6,
    reshape_p,
    sigmoid,
    softmax,
    softplus,
    softsign,
    tanh,
)
from tapegrad.autograd.signatures import signature as signature_of
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function
from tapegrad.nn import activations as act
from tapegrad.nn.aliases import ActivationLike
from tapegrad.nn.checks import activation as check_activation
from tapegrad.nn.docstrings import joined, split
from tapegrad.nn.functional import dropout
from tapegrad.nn.module import Layer
from tapegrad.nn.shapes import Shape, ShapeLike, sample_shape


class Flatten(Layer):
    """(batch, a, b, …) -> (batch, a*b*…), in row-major order; (batch,) -> (batch, 1).

    Args:
        input_shape: The shape of one sample; None if it is not known yet.
    """

    input_shape: Any
    checks = {"input_shape": optional(sample_shape)}

    def __init__(self, *, input_shape: ShapeLike | None = None) -> None:
        self.input_shape = input_shape

    def infer_shape(self, shape: Shape) -> Shape:
        return (prod(shape),)

    def forward(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        if not x.shape:
            raise ValueError("Flatten: expected a batch, got a tensor of shape ()")
        return reshape_p(x, shape=(x.shape[0], prod(x.shape[1:])))


class Dropout(Layer):
    """In training, each element is 0 with probability `rate`, else x / (1 - rate); in evaluation, x.

    Draws come from the stream that `tg.manual_seed` starts. N. Srivastava et al., "Dropout", 2014.

    Args:
        rate: From 0 to below 1.
    """

    checks = {"rate": check_rate}

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def infer_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, x: TensorLike) -> Tensor:
        return dropout(x, self.rate, training=self.training)


class Activation(Layer):
    """An activation as a layer, by name or as a function: Activation("relu"), Activation(my_function).

    Args:
        activation: A name from `nn.activations`, or a function x -> y.
    """

    activation: Any
    checks = {"activation": check_activation}

    def __init__(self, activation: ActivationLike) -> None:
        self.activation = activation

    def infer_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, x: TensorLike) -> Tensor:
        return self.activation(x if isinstance(x, Tensor) else tensor(x))


class _Fixed(Layer):
    """An activation of one kind: its options are the function's, and attributes of the layer."""

    function: Function
    signature: inspect.Signature

    def __init__(self, *args: object, **options: object) -> None:
        try:
            bound = self.signature.bind(*args, **options)
        except TypeError as error:
            known = [*self.signature.parameters]
            wrong = next((word for word in options if word not in known), "")
            name = type(self).__name__
            raise TypeError(unknown_keyword(name, wrong, known) if wrong else f"{name}: {error}") from None
        bound.apply_defaults()
        for option, value in bound.arguments.items():
            setattr(self, option, value)

    def infer_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        return type(self).function(x, **{name: getattr(self, name) for name in self.signature.parameters})


def _layer(name: str, function: Function, options: str = "", **defaults: object) -> "type[_Fixed]":
    """The layer class of an activation function; `options` names its options, `defaults` are those that differ."""
    text, said = split(function.__doc__ or "")
    parameters = []
    for option in options.split():
        own = signature_of(function).parameters[option]
        default = defaults.get(option, own.default)
        parameters.append(own.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default))
    signature = inspect.Signature(parameters)
    body = {
        "__doc__": joined(
            f"The layer of `activations.{function.__name__}`: {text}",
            {name: said[name] for name in options.split()},
        ),
        "__module__": __name__,
        "__signature__": signature,
        "signature": signature,
        "checks": {option: act.OPTIONS[function.__name__, option] for option in options.split()},
        "function": staticmethod(function),
    }
    return type(name, (_Fixed,), body)


ReLU = _layer("ReLU", relu)
# Keras's layer has 0.3, its function 0.2.
LeakyReLU = _layer("LeakyReLU", act.leaky_relu, "negative_slope", negative_slope=0.3)
ReLU6 = _layer("ReLU6", relu6)
ELU = _layer("ELU", act.elu, "alpha")
SELU = _layer("SELU", act.selu)
CELU = _layer("CELU", act.celu, "alpha")
GELU = _layer("GELU", act.gelu, "approximate")
SiLU = _layer("SiLU", act.silu)
Softplus = _layer("Softplus", softplus)
Softsign = _layer("Softsign", softsign)
Mish = _layer("Mish", act.mish)
Sigmoid = _layer("Sigmoid", sigmoid)
LogSigmoid = _layer("LogSigmoid", log_sigmoid)
HardSigmoid = _layer("HardSigmoid", hard_sigmoid)
HardSiLU = _layer("HardSiLU", hard_silu)
Tanh = _layer("Tanh", tanh)
HardTanh = _layer("HardTanh", act.hard_tanh)
TanhShrink = _layer("TanhShrink", act.tanh_shrink)
SoftShrink = _layer("SoftShrink", act.soft_shrink, "threshold")
HardShrink = _layer("HardShrink", act.hard_shrink, "threshold")
Exponential = _layer("Exponential", exp)
Softmax = _layer("Softmax", softmax, "axis")
LogSoftmax = _layer("LogSoftmax", log_softmax, "axis")
