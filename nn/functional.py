"""`F`: activations, losses, dropout, convolution and pooling as functions."""

from typing import TYPE_CHECKING

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import rate as check_rate
from tapegrad.autograd.arguments import truth
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.foreign import answering, getattr_of
from tapegrad.autograd.ops import exp as exponential
from tapegrad.autograd.ops import (
    hard_sigmoid,
    hard_silu,
    linear,
    log_sigmoid,
    log_softmax,
    relu,
    relu6,
    sigmoid,
    softmax,
    softplus,
    softsign,
    tanh,
)
from tapegrad.autograd.tensor import Tensor
from tapegrad.nn.activations import (
    celu,
    elu,
    gelu,
    hard_shrink,
    hard_tanh,
    leaky_relu,
    mish,
    selu,
    silu,
    soft_shrink,
    tanh_shrink,
)  # fmt: skip
from tapegrad.nn.attention import scaled_dot_product_attention
from tapegrad.nn.dropping import dropped
from tapegrad.nn.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    contrastive_loss,
    cosine_similarity,
    cross_entropy,
    hinge,
    huber_loss,
    kl_divergence,
    log_cosh,
    mae_loss,
    mape_loss,
    mse_loss,
    msle_loss,
    nll_loss,
    poisson,
    quantile_loss,
    smooth_l1_loss,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from tapegrad.nn.windows import (
    average_pool,
    conv,
    conv_transpose,
    depthwise_conv,
    max_pool,
    separable_conv,
)

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "binary_focal_crossentropy",
    "categorical_crossentropy", "categorical_focal_crossentropy", "categorical_hinge", "celu", "contrastive_loss",
    "cosine_similarity", "cross_entropy", "dropout", "elu", "exponential",
    "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "hinge", "huber_loss", "kl_divergence",
    "leaky_relu", "linear", "log_cosh", "log_sigmoid", "log_softmax", "mae_loss", "mape_loss", "mish",
    "mse_loss", "msle_loss", "nll_loss", "poisson", "quantile_loss", "relu", "relu6", "selu", "sigmoid", "silu",
    "smooth_l1_loss", "soft_shrink", "softmax", "softplus", "softsign", "sparse_categorical_crossentropy",
    "squared_hinge", "tanh", "tanh_shrink",
    "average_pool", "conv", "conv_transpose", "depthwise_conv", "max_pool", "scaled_dot_product_attention",
    "separable_conv",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:
    # Layers call the functions themselves.
    for _name in ("average_pool", "conv", "conv_transpose", "depthwise_conv", "max_pool", "separable_conv"):
        globals()[_name] = answering(globals()[_name])
    __getattr__ = getattr_of(__name__, "functional")


@answering
def dropout(x: TensorLike, rate: float, *, training: bool = True) -> Tensor:
    """Each element 0 with probability `rate` (at least 0, below 1), else x / (1 - rate); x itself unless training.

    Args:
        x: A Tensor of any shape; integers become the default float dtype.
        rate: From 0 to below 1.
        training: False gives x.
    """
    rate, training = check_rate("dropout: rate", rate), truth("dropout: training", training)
    x = x if isinstance(x, Tensor) else tensor(x)
    return dropped(x, rate if training else 0.0)
