"""Activation functions: elementwise, except softmax and log_softmax. Keras's definitions and defaults.

x is a Tensor of any shape (softmax needs at least one axis); the result has its shape and dtype. All stay finite for
large |x| wherever the true value does. Slopes at kinks: relu, relu6, hard_shrink and soft_shrink have 0 there; those
that clip (hard_sigmoid, hard_tanh) have the inner slope at their bounds.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import at_least_0, number, one_of, truth, whole_number
from tapegrad.autograd.dtypes import get_default_dtype, is_floating
from tapegrad.autograd.foreign import answering, getattr_of
from tapegrad.autograd.ops import (
    clip_p,
    elu_p,
    exp,
    gelu_p,
    hard_shrink_p,
    hard_sigmoid,
    hard_silu,
    leaky_relu_p,
    log_sigmoid,
    log_softmax,
    mish_p,
    relu,
    relu6,
    sigmoid,
    silu_p,
    soft_shrink_p,
    softmax,
    softplus,
    softsign,
    tanh,
    where_p,
)
from tapegrad.autograd.ops.shape import as_tensor
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function
from tapegrad.nn.aliases import ActivationLike
from tapegrad.nn.lookup import Named

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _slope(name: str, value: object) -> object:
    many = isinstance(value, Tensor) and (value.requires_grad or value.size > 1)
    return value if many else number(name, value)


def _form(name: str, value: object) -> bool:
    if isinstance(value, str):
        return one_of(name, value, ("none", "tanh")) == "tanh"
    return truth(name, value)


def _nonzero(name: str, value: object) -> float:
    return number(name, value, lambda x: x != 0, "a finite number other than 0")


# What the options of activations may be, for the functions and for the layers: function, option -> check
OPTIONS: dict[tuple[str, str], Callable[[str, object], object]] = {
    ("leaky_relu", "negative_slope"): _slope,
    ("elu", "alpha"): number,
    ("celu", "alpha"): _nonzero,
    ("gelu", "approximate"): _form,
    ("soft_shrink", "threshold"): at_least_0,
    ("hard_shrink", "threshold"): at_least_0,
    ("softmax", "axis"): whole_number,
    ("log_softmax", "axis"): whole_number,
}


@answering
def linear(x: TensorLike) -> TensorLike:
    """x

    Args:
        x: A Tensor of any shape; integers become the default float dtype.
    """
    return x


@answering
def leaky_relu(x: TensorLike, negative_slope: TensorLike = 0.2) -> Tensor:
    """x for x > 0, else negative_slope * x

    Args:
        x: A Tensor of any shape; integers become the default float dtype.
        negative_slope: The slope for x < 0: a number, or a Tensor that broadcasts to x.
    """
    x, slope = as_tensor(x), _slope("leaky_relu: negative_slope", negative_slope)
    return where_p(x > 0, x, slope * x) if isinstance(slope, Tensor) else leaky_relu_p(x, slope=slope)


@answering
def elu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """x for x > 0, else alpha * (e**x - 1)

    Args:
        x: A Tensor of any shape; integers become the default float dtype.
        alpha: Minus the limit for x -> -inf.
    """
    return elu_p(x, right=1.0, left=number("elu: alpha", alpha), width=1.0)


@answering
def selu(x: TensorLike) -> Tensor:
    """scale * elu(x, alpha), with alpha = 1.67326… and scale = 1.05070…, which keep mean 0 and variance 1

    Args:
        x: A Tensor of any shape; integers become the default float dtype.
    """
    return elu_p(x, right=_SELU_SCALE, left=_SELU_SCALE * _SELU_ALPHA, width=1.0)


@answering
def celu(x: TensorLike, alpha: float = 1.0) -> Tensor:
    """x for x > 0, else alpha * (e**(x/alpha) - 1)

    Args:
        x: A Tensor of any shape; integers become the default float dtype.
        alpha: Minus the limit for x -> -inf, not 0.
    """
    alpha = _nonzero("celu: alpha", alpha)
    return elu_p(x, right=1.0, left=alpha, width=alpha)


@answering
def gelu(x: TensorLike, approximate: bool | str = False) -> Tensor:
    """x * P(Z <= x) for a standard normal Z

    Exactly x/2 * (1 + erf(x/sqrt 2)); approximately x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x**3))). D. Hendrycks,
    K. Gimpel, "Gaussian error linear units", 2016.

    Args:
        x: A Tensor of any shape; integers become the default float dtype.
        approximate: True, or "tanh" as in PyTorch, for the form with tanh; False or "none" for the exact one.
    """
    return gelu_p(x, approximate=_form("gelu: approximate", approximate))


@answering
def silu(x: TensorLike) -> Tensor:
    """x * sigmoid(x), also called swish

    Args:
        x: A Tensor of any shape; integers become the default float dtype.
    """
    return silu_p(x)


@answering
def mish(x: TensorLike) -> Tensor:
    """x * tanh(softplus(x))

    Args:
        x: A Tensor of any shape; integers become the default float dtype.
    """
    return mish_p(x)


@answering
def hard_tanh(x: TensorLike) -> Tensor:
    """x brought into [-1, 1]

    Args:
        x: A Tensor of any shape; integers become the default float dtype.
    """
    t = as_tensor(x)
    return clip_p(t if is_floating(t.dtype) else t.astype(get_default_dtype()), min=-1.0, max=1.0)


@answering
def tanh_shrink(x: TensorLike) -> Tensor:
    """x - tanh(x)

    Args:
        x: A Tensor of any shape; integers become the default float dtype.
    """
    return x - tanh(x)


@answering
def soft_shrink(x: TensorLike, threshold: float = 0.5) -> Tensor:
    """x moved towards 0 by the threshold, and 0 between

    Args:
        x: A Tensor of any shape; integers become the default float dtype.
        threshold: At least 0.
    """
    return soft_shrink_p(x, threshold=at_least_0("soft_shrink: threshold", threshold))


@answering
def hard_shrink(x: TensorLike, threshold: float = 0.5) -> Tensor:
    """x where |x| > threshold, else 0

    Args:
        x: A Tensor of any shape; integers become the default float dtype.
        threshold: At least 0.
    """
    return hard_shrink_p(x, threshold=at_least_0("hard_shrink: threshold", threshold))


_TABLE = Named(
    "activation",
    {
        "linear": linear, "relu": relu, "leaky_relu": leaky_relu, "relu6": relu6, "elu": elu, "selu": selu,
        "celu": celu, "gelu": gelu, "silu": silu, "swish": silu, "softplus": softplus, "softsign": softsign,
        "mish": mish, "sigmoid": sigmoid, "log_sigmoid": log_sigmoid, "hard_sigmoid": hard_sigmoid,
        "hard_silu": hard_silu, "hard_swish": hard_silu, "tanh": tanh, "hard_tanh": hard_tanh,
        "tanh_shrink": tanh_shrink, "soft_shrink": soft_shrink, "hard_shrink": hard_shrink,
        "exponential": exp, "softmax": softmax, "log_softmax": log_softmax,
    },
)  # fmt: skip

# Those of which an element of the result is a function of one element of x.
ELEMENTWISE = frozenset(_TABLE.entries.values()) - {softmax, log_softmax}


def get(activation: ActivationLike | None, argument: str = "") -> Function:
    """The activation of a name, or the callable given; None is `linear`.

    Args:
        activation: A name, a function, or None.
        argument: What messages call it, such as "Dense: activation".

    Returns:
        A function x -> y.

    Raises:
        ValueError: The name is unknown; the message lists the known ones.
    """
    if isinstance(activation, type):
        raise TypeError(
            f"{argument or 'activation'}: expected a name, a function or a module, got the class "
            f"{activation.__name__}: write {activation.__name__}()"
        )
    return linear if activation is None else _TABLE.get(activation, argument)


__all__ = [*(name for name in _TABLE.entries if name in globals()), "get"]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:
    __getattr__ = getattr_of(__name__, "functional")
