"""Layers and what they are made of: Module, Dense, Sequential, activations, losses, initializers."""

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
