"""Activation functions: elementwise, except softmax and log_softmax. Keras's definitions and defaults.

x is a Tensor of any shape (softmax needs at least one axis); the result has its shape and dtype. All stay finite for
large |x| wherever the true value does. Slopes at kinks: relu, relu6, hard_shrink and soft_shrink have 0 there; those
that clip (hard_sigmoid, hard_tanh) have the inner slope at their bounds.
"""

import math
from typing import Any

from tapegrad.autograd.ops import (
    abs,
    clip_p,
    erf,
    exp,
    expm1,
    log_softmax,
    relu,
    sigmoid,
    softmax,
    softplus,
    tanh,
    where_p,
)
from tapegrad.nn.lookup import Named

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def linear(x: Any) -> Any:
    """x"""
    return x


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """x for x > 0, else negative_slope * x"""
    return where_p(x > 0, x, negative_slope * x)


def relu6(x: Any) -> Any:
    """min(max(x, 0), 6)"""
    return where_p(x >= 6, 6.0, relu(x))


def _negative(x: Any) -> Any:
    """min(x, 0), with slope 1 at 0: what exponentials of the negative side see, so that they never overflow."""
    return where_p(x > 0, 0.0, x)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x for x > 0, else alpha * (e**x - 1)"""
    return where_p(x > 0, x, alpha * expm1(_negative(x)))


def selu(x: Any) -> Any:
    """scale * elu(x, alpha), with alpha = 1.67326… and scale = 1.05070…, which keep mean 0 and variance 1"""
    return _SELU_SCALE * elu(x, _SELU_ALPHA)


def celu(x: Any, alpha: float = 1.0) -> Any:
    """x for x > 0, else alpha * (e**(x/alpha) - 1)"""
    return where_p(x > 0, x, alpha * expm1(_negative(x) / alpha))


def gelu(x: Any, approximate: bool = False) -> Any:
    """x * P(Z <= x) for a standard normal Z: x/2 * (1 + erf(x/sqrt 2)); approximate: x/2 * (1 + tanh(sqrt(2/pi) *
    (x + 0.044715 * x**3)))"""
    t = clip_p(
        x, min=-10.0, max=10.0
    )  # both are ±1 there to the last digit, and neither x**2 nor x**3 may overflow
    if approximate:
        return 0.5 * x * (1.0 + tanh(math.sqrt(2 / math.pi) * (t + 0.044715 * (t * t * t))))
    return 0.5 * x * (1.0 + erf(t * math.sqrt(0.5)))


def silu(x: Any) -> Any:
    """x * sigmoid(x), also called swish"""
    return x * sigmoid(x)


def softsign(x: Any) -> Any:
    """x / (1 + |x|)"""
    return x / (1.0 + abs(x))


def mish(x: Any) -> Any:
    """x * tanh(softplus(x))"""
    return x * tanh(softplus(x))


def log_sigmoid(x: Any) -> Any:
    """ln(sigmoid(x)) = -softplus(-x)"""
    return -softplus(-x)


def hard_sigmoid(x: Any) -> Any:
    """x/6 + 1/2, brought into [0, 1]"""
    return clip_p(x / 6.0 + 0.5, min=0.0, max=1.0)


def hard_silu(x: Any) -> Any:
    """x * hard_sigmoid(x), also called hard swish"""
    return x * hard_sigmoid(x)


def hard_tanh(x: Any) -> Any:
    """x brought into [-1, 1]"""
    return clip_p(x, min=-1.0, max=1.0)


def tanh_shrink(x: Any) -> Any:
    """x - tanh(x)"""
    return x - tanh(x)


def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x moved towards 0 by the threshold, and 0 between"""
    return where_p(x > threshold, x - threshold, where_p(x < -threshold, x + threshold, 0.0 * x))


def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x where |x| > threshold, else 0"""
    return where_p(abs(x) <= threshold, 0.0, x)


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


def get(activation: Any) -> Any:
    """The activation of a name, or the callable given; None is `linear`. An unknown name lists the known ones."""
    return linear if activation is None else _TABLE.get(activation)
