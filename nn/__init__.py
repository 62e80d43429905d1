"""Layers and what they are made of: Module, Dense, Sequential, activations, losses, initializers."""

from typing import TYPE_CHECKING

from tapegrad.autograd.foreign import answering, getattr_of
from tapegrad.autograd.tensor import Parameter as Parameter
from tapegrad.nn import activations as activations
from tapegrad.nn import functional as functional
from tapegrad.nn import init as init
from tapegrad.nn import losses as losses
from tapegrad.nn.dense import Dense as Dense
from tapegrad.nn.layers import (
    CELU,
    ELU,
    GELU,
    SELU,
    Activation,
    Dropout,
    Exponential,
    Flatten,
    HardShrink,
    HardSigmoid,
    HardSiLU,
    HardTanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    SoftShrink,
    Softsign,
    Tanh,
    TanhShrink,
)  # fmt: skip
from tapegrad.nn.module import Buffer as Buffer
from tapegrad.nn.module import Module as Module
from tapegrad.nn.sequential import Sequential as Sequential
from tapegrad.nn.torch_names import BCEWithLogitsLoss, CrossEntropyLoss, L1Loss, Linear, MSELoss

__all__ = [
    "Module", "Sequential", "Parameter", "Buffer",
    "Dense", "Linear", "Dropout", "Flatten", "Activation",
    "CELU", "ELU", "GELU", "SELU", "Exponential", "HardShrink", "HardSiLU", "HardSigmoid", "HardTanh", "LeakyReLU",
    "LogSigmoid", "LogSoftmax", "Mish", "ReLU", "ReLU6", "SiLU", "Sigmoid", "SoftShrink", "Softmax", "Softplus",
    "Softsign", "Tanh", "TanhShrink",
    "BCEWithLogitsLoss", "CrossEntropyLoss", "L1Loss", "MSELoss",
    "activations", "functional", "init", "losses",
]  # fmt: skip

for _kind in (
    Sequential,
    Dense,
    Linear,
    Dropout,
    Flatten,
    Activation,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    L1Loss,
    MSELoss,
):
    _kind.__init__ = answering(_kind.__init__)  # type: ignore[method-assign]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:
    __getattr__ = getattr_of(__name__, "nn")
