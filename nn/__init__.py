"""Layers and what they are made of: Module, Dense, Sequential, activations, losses, initializers."""

from types import FunctionType
from typing import TYPE_CHECKING

from tapegrad.autograd.foreign import answering, getattr_of
from tapegrad.autograd.tensor import Parameter as Parameter
from tapegrad.nn import activations as activations
from tapegrad.nn import functional as functional
from tapegrad.nn import init as init
from tapegrad.nn import losses as losses
from tapegrad.nn.attention import MultiHeadAttention, PositionEmbedding, SinePositionEncoding
from tapegrad.nn.containers import ModuleDict, ModuleList, Parallel, Residual
from tapegrad.nn.convolution import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
)
from tapegrad.nn.dense import Dense as Dense
from tapegrad.nn.embedding import Embedding
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
from tapegrad.nn.noise import (
    AlphaDropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from tapegrad.nn.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
)
from tapegrad.nn.pooling import (
    AdaptiveAveragePooling1D,
    AdaptiveAveragePooling2D,
    AdaptiveAveragePooling3D,
    AdaptiveMaxPooling1D,
    AdaptiveMaxPooling2D,
    AdaptiveMaxPooling3D,
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from tapegrad.nn.recurrent import GRU, LSTM, Bidirectional, SimpleRNN
from tapegrad.nn.recurrent_cells import GRUCell, LSTMCell, SimpleRNNCell
from tapegrad.nn.reshaping import Identity, Permute, RepeatVector, Reshape
from tapegrad.nn.sequential import Sequential as Sequential
from tapegrad.nn.torch_losses import (
    BCELoss,
    GaussianNLLLoss,
    HingeEmbeddingLoss,
    HuberLoss,
    KLDivLoss,
    MultiLabelSoftMarginLoss,
    NLLLoss,
    PoissonNLLLoss,
    SmoothL1Loss,
    SoftMarginLoss,
)  # fmt: skip
from tapegrad.nn.torch_names import BCEWithLogitsLoss, CrossEntropyLoss, L1Loss, Linear, MSELoss
from tapegrad.nn.torch_norms import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
    RMSNorm,
)
from tapegrad.nn.torch_pair_losses import CosineEmbeddingLoss, MarginRankingLoss, TripletMarginLoss
from tapegrad.nn.torch_pools import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    Upsample,
)
from tapegrad.nn.torch_windows import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from tapegrad.nn.transformer import MultiheadAttention, TransformerDecoderLayer, TransformerEncoderLayer
from tapegrad.nn.unit import UnitNormalization
from tapegrad.nn.weight_rules import (
    L1,
    L1L2,
    L2,
    MaxNorm,
    MinMaxNorm,
    NonNeg,
    OrthogonalRegularizer,
    UnitNorm,
)

__all__ = [
    "Module", "Sequential", "Parameter", "Buffer",
    "ModuleList", "ModuleDict", "Residual", "Parallel",
    "Dense", "Linear", "Embedding", "Dropout", "Flatten", "Reshape", "Permute", "RepeatVector", "Identity",
    "Activation",
    "AlphaDropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
    "Dropout1d", "Dropout2d", "Dropout3d",
    "BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization", "UnitNormalization",
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LayerNorm", "GroupNorm", "RMSNorm", "InstanceNorm1d",
    "InstanceNorm2d", "InstanceNorm3d",
    "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "DepthwiseConv1D",
    "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D", "AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D", "AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D",
    "AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "Cropping1D", "Cropping2D", "Cropping3D",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "GlobalMaxPooling3D", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "UpSampling1D",
    "UpSampling2D", "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d",
    "AvgPool1d", "AvgPool2d", "AvgPool3d", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d",
    "ConvTranspose3d", "MaxPool1d", "MaxPool2d", "MaxPool3d", "Upsample",
    "SimpleRNN", "LSTM", "GRU", "Bidirectional", "SimpleRNNCell", "LSTMCell", "GRUCell",
    "MultiHeadAttention", "MultiheadAttention", "TransformerEncoderLayer", "TransformerDecoderLayer",
    "SinePositionEncoding", "PositionEmbedding",
    "CELU", "ELU", "GELU", "SELU", "Exponential", "HardShrink", "HardSiLU", "HardSigmoid", "HardTanh", "LeakyReLU",
    "LogSigmoid", "LogSoftmax", "Mish", "ReLU", "ReLU6", "SiLU", "Sigmoid", "SoftShrink", "Softmax", "Softplus",
    "Softsign", "Tanh", "TanhShrink",
    "BCELoss", "BCEWithLogitsLoss", "CosineEmbeddingLoss", "CrossEntropyLoss", "GaussianNLLLoss", "HingeEmbeddingLoss",
    "HuberLoss", "KLDivLoss", "L1Loss", "MSELoss", "MarginRankingLoss", "MultiLabelSoftMarginLoss", "NLLLoss",
    "PoissonNLLLoss", "SmoothL1Loss", "SoftMarginLoss", "TripletMarginLoss",
    "L1", "L1L2", "L2", "MaxNorm", "MinMaxNorm", "NonNeg", "OrthogonalRegularizer", "UnitNorm",
    "activations", "functional", "init", "losses",
]  # fmt: skip


def _answers(kind: type) -> None:
    """Have a class answer a foreign keyword under its own name, where the constructor is a private base's too."""
    given = kind.__init__  # type: ignore[misc]
    if "__init__" not in vars(kind):
        if not isinstance(given, FunctionType) or given.__qualname__.partition(".")[0] in globals():
            return  # Python's, or that of a public class, which answers
        own = FunctionType(
            given.__code__, given.__globals__, "__init__", given.__defaults__, given.__closure__
        )
        own.__kwdefaults__, own.__annotations__ = given.__kwdefaults__, given.__annotations__
        own.__qualname__ = f"{kind.__name__}.__init__"
        given = own
    kind.__init__ = answering(given)  # type: ignore[misc]


for _kind in [k for k in vars().copy().values() if isinstance(k, type) and issubclass(k, Module)]:
    if not hasattr(_kind, "__signature__"):  # activation layers answer by themselves
        _answers(_kind)


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:
    __getattr__ = getattr_of(__name__, "nn")
