"""Small layers: Flatten, Dropout, and one class for each activation function."""

import inspect
from math import prod
from typing import Any

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import optional
from tapegrad.autograd.arguments import rate as check_rate
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.foreign import by_position, unknown_keyword
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
    """An activation of one kind: its option, if there is one, is the function's, and an attribute of the layer.

    class LeakyReLU(_Fixed, function=leaky_relu, option="negative_slope", default=0.3): the default is given where it is
    not the function's.
    """

    function: Function
    signature: inspect.Signature

    def __init_subclass__(cls, function: Function | None = None, option: str = "", **more: Any) -> None:
        if function is not None:
            text, said = split(function.__doc__ or "")
            own = [p.replace(**more) for p in signature_of(function).parameters.values() if p.name == option]
            cls.function = staticmethod(function)
            cls.signature = inspect.Signature(
                [p.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for p in own]
            )
            cls.__signature__ = cls.signature  # type: ignore[attr-defined]
            cls.__doc__ = joined(
                f"The layer of `activations.{function.__name__}`: {text}", {p.name: said[p.name] for p in own}
            )
            cls.checks = {p.name: act.OPTIONS[function.__name__, p.name] for p in own}
        super().__init_subclass__()

    def __init__(self, *args: object, **options: object) -> None:
        try:
            bound = self.signature.bind(*args, **options)
        except TypeError as error:
            known = [*self.signature.parameters]
            wrong = next((word for word in options if word not in known), "")
            name = type(self).__name__
            said = f"{name}: {error}{by_position(name, args, self.signature.parameters.values())}"
            raise TypeError(unknown_keyword(name, wrong, known) if wrong else said) from None
        bound.apply_defaults()
        for option, value in bound.arguments.items():
            setattr(self, option, value)

    def infer_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        return type(self).function(x, **{name: getattr(self, name) for name in self.signature.parameters})


class ReLU(_Fixed, function=relu):
    pass


# Keras's layer has 0.3, its function 0.2.
class LeakyReLU(_Fixed, function=act.leaky_relu, option="negative_slope", default=0.3):
    pass


class ReLU6(_Fixed, function=relu6):
    pass


class ELU(_Fixed, function=act.elu, option="alpha"):
    pass


class SELU(_Fixed, function=act.selu):
    pass


class CELU(_Fixed, function=act.celu, option="alpha"):
    pass


class GELU(_Fixed, function=act.gelu, option="approximate"):
    pass


class SiLU(_Fixed, function=act.silu):
    pass


class Softplus(_Fixed, function=softplus):
    pass


class Softsign(_Fixed, function=softsign):
    pass


class Mish(_Fixed, function=act.mish):
    pass


class Sigmoid(_Fixed, function=sigmoid):
    pass


class LogSigmoid(_Fixed, function=log_sigmoid):
    pass


class HardSigmoid(_Fixed, function=hard_sigmoid):
    pass


class HardSiLU(_Fixed, function=hard_silu):
    pass


class Tanh(_Fixed, function=tanh):
    pass


class HardTanh(_Fixed, function=act.hard_tanh):
    pass


class TanhShrink(_Fixed, function=act.tanh_shrink):
    pass


class SoftShrink(_Fixed, function=act.soft_shrink, option="threshold"):
    pass


class HardShrink(_Fixed, function=act.hard_shrink, option="threshold"):
    pass


class Exponential(_Fixed, function=exp):
    pass


class Softmax(_Fixed, function=softmax, option="axis"):
    pass


class LogSoftmax(_Fixed, function=log_softmax, option="axis"):
    pass
