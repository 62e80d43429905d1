"""The table of activations: one row per function, layer and option, run by every test that concerns all of them."""

import math
from typing import Any, NamedTuple

import numpy as np

from tapegrad import nn

KINKS = (-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0)
FAR = (-1e4, -300.0, -40.0, 40.0, 300.0, 1e4)


class Row(NamedTuple):
    name: str  # in Keras, and for `activations.get`
    layer: str = ""
    options: dict[str, Any] = {}
    at_far: tuple[float, ...] | None = None  # value at the points FAR; None: overflows by its nature
    keras_float64: float = 1e-11  # 1e-6 where TensorFlow rounds a constant to float32 even for float64 inputs


ZERO_OR_X = (0, 0, 0, 40, 300, 1e4)
ROWS = [
    Row("linear", at_far=FAR),
    Row("relu", "ReLU", at_far=ZERO_OR_X),
    Row("leaky_relu", at_far=(-2e3, -60, -8, 40, 300, 1e4), keras_float64=1e-6),
    Row(
        "leaky_relu",
        "LeakyReLU",
        {"negative_slope": 0.3},
        at_far=(-3e3, -90, -12, 40, 300, 1e4),
        keras_float64=1e-6,
    ),
    Row("relu6", "ReLU6", at_far=(0, 0, 0, 6, 6, 6)),
    Row("elu", "ELU", at_far=(-1, -1, -1, 40, 300, 1e4)),
    Row("elu", "ELU", {"alpha": 1.7}, at_far=(-1.7, -1.7, -1.7, 40, 300, 1e4)),
    Row("selu", "SELU", at_far=(*(-1.7580993408473768,) * 3, *(1.0507009873554805 * x for x in FAR[3:]))),
    Row("celu", "CELU", {"alpha": 0.5}, at_far=(-0.5, -0.5, -0.5, 40, 300, 1e4)),
    Row("gelu", "GELU", at_far=ZERO_OR_X, keras_float64=1e-6),
    Row("gelu", "GELU", {"approximate": True}, at_far=ZERO_OR_X, keras_float64=1e-6),
    Row("silu", "SiLU", at_far=ZERO_OR_X),
    Row("swish", at_far=ZERO_OR_X),
    Row("softplus", "Softplus", at_far=ZERO_OR_X),
    Row("softsign", "Softsign", at_far=tuple(x / (1 + abs(x)) for x in FAR)),
    Row("mish", "Mish", at_far=ZERO_OR_X),
    Row("sigmoid", "Sigmoid", at_far=(0, 0, 0, 1, 1, 1)),
    Row("log_sigmoid", "LogSigmoid", at_far=(-1e4, -300, -40, 0, 0, 0)),
    Row("hard_sigmoid", "HardSigmoid", at_far=(0, 0, 0, 1, 1, 1)),
    Row("hard_silu", "HardSiLU", at_far=ZERO_OR_X),
    Row("hard_swish", at_far=ZERO_OR_X),
    Row("tanh", "Tanh", at_far=(-1, -1, -1, 1, 1, 1)),
    Row("hard_tanh", "HardTanh", at_far=(-1, -1, -1, 1, 1, 1)),
    Row("tanh_shrink", "TanhShrink", at_far=tuple(x - math.copysign(1, x) for x in FAR)),
    Row("soft_shrink", "SoftShrink", at_far=tuple(x - math.copysign(0.5, x) for x in FAR)),
    Row(
        "soft_shrink",
        "SoftShrink",
        {"threshold": 0.25},
        at_far=tuple(x - math.copysign(0.25, x) for x in FAR),
    ),
    Row("hard_shrink", "HardShrink", at_far=FAR),
    Row("exponential", "Exponential"),
    Row("softmax", "Softmax", at_far=(0, 0, 0, 0, 0, 1)),
    Row("softmax", "Softmax", {"axis": 1}),
    Row("log_softmax", "LogSoftmax", at_far=(-2e4, -10300, -10040, -9960, -9700, 0)),
    Row("log_softmax", "LogSoftmax", {"axis": 0}),
]


def named(row: Row) -> str:
    return "-".join([row.name, *map(str, row.options.values())])


def call(row: Row) -> Any:
    return lambda x: nn.activations.get(row.name)(x, **row.options)


def points(dtype: str = "float64") -> np.ndarray:
    """Ordinary points, none near a kink."""
    x = np.random.default_rng(5).normal(0, 2.5, (3, 4, 5))
    for kink in KINKS:
        x = np.where(np.abs(x - kink) < 0.02, kink + 0.05, x)
    return x.astype(dtype)
