"""Attention and transformer layers under PyTorch's names, with its order of arguments, defaults and weights."""

import math

from tapegrad.autograd.aliases import DTypeLike, TensorLike
from tapegrad.autograd.arguments import above_0, positive_integer, rate, truth
from tapegrad.autograd.dtypes import is_floating, name_of
from tapegrad.autograd.filled import zeros
from tapegrad.autograd.ops import linear, matmul, permute_p, reshape_p
from tapegrad.autograd.random import host_generator
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.backends.aliases import Function
from tapegrad.nn import init
from tapegrad.nn.aliases import ActivationLike, Config
from tapegrad.nn.attention import as_mask, attended, attention_weights
from tapegrad.nn.checks import activation
from tapegrad.nn.dropping import dropped
from tapegrad.nn.inputs import as_input
from tapegrad.nn.made_of import MADE_OF
from tapegrad.nn.module import Module
from tapegrad.nn.shapes import Shape
from tapegrad.nn.torch_norms import LayerNorm
from tapegrad.nn.weights import initial, torch_uniform, weights_dtype


class _Affine(Module):
    """x @ weight^T + bias, the weight as PyTorch has it: (out, in)."""

    def __init__(
        self, inputs: int, outputs: int, bias: bool, dtype: str, device: str | None, zero: bool = False
    ) -> None:
        law = torch_uniform(inputs)
        self.weight = Parameter(initial("Linear", law, (outputs, inputs), dtype, device))
        first = "zeros" if zero else law
        made = initial("Linear", init.get(first), (outputs,), dtype, device)
        self.bias = Parameter(made) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return matmul(x, self.weight.T) if self.bias is None else linear(x, self.weight.T, self.bias)


def _sees(mask: TensorLike | None, x: Tensor) -> Tensor | None:
    """PyTorch's mask, True where a place does not see another, as True where it does; numbers as they are."""
    mask = as_mask("attention: a mask", mask, x)
    return mask if mask is None or is_floating(mask.dtype) else ~mask


class MultiheadAttention(Module):
    """Attention in several heads, with PyTorch's arguments, masks and weights

    layer(query, key, value) of shapes (length, batch, embed_dim), or with batch_first (batch, length, embed_dim), gives
    (y, weights), the weights of shape (batch, length, places), their mean over the heads; need_weights=False gives (y,
    None), average_attn_weights=False those of each head. key_padding_mask, of shape (batch, places), and attn_mask, of
    shape (length, places) or (batch * num_heads, length, places), are True where a place is not seen, or numbers that
    are added to the scores. is_causal=True hides what comes later without a mask.

    Parameters: in_proj_weight (3 embed_dim, embed_dim) and in_proj_bias of query, key and value, out_proj.weight
    (embed_dim, embed_dim) and out_proj.bias. `nn.MultiHeadAttention` is Keras's.

    Args:
        embed_dim: The number of features.
        num_heads: The number of heads, a divisor of embed_dim.
        dropout: In training, the share of the weights that is 0.
        bias: Whether the projections have biases.
        batch_first: Whether the batch is the first axis.
        device: Where to make the weights; None is the default backend.
        dtype: The floating dtype of the weights; None is the default.

    Raises:
        ValueError: num_heads does not divide embed_dim, or an input has other features.
    """

    device = None  # of the constructor: where the weights are says `in_proj_weight.device`
    # Each call reads how the features are cut into heads.
    made_of = MADE_OF - {"num_heads"} | {"bias"}
    checks = {
        "embed_dim": positive_integer, "num_heads": positive_integer, "dropout": rate, "bias": truth,
        "batch_first": truth,
    }  # fmt: skip

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, *,
        batch_first: bool = False, device: str | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        name = "MultiheadAttention"
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.bias, self.batch_first = bias, batch_first
        kind = weights_dtype(name, dtype)
        bound = math.sqrt(6 / (4 * embed_dim))
        law = lambda shape: host_generator().uniform(-bound, bound, shape)
        self.in_proj_weight = Parameter(initial(name, law, (3 * embed_dim, embed_dim), kind, device))
        self.in_proj_bias = Parameter(zeros((3 * embed_dim,), dtype=kind, device=device)) if bias else None
        self.out_proj = _Affine(embed_dim, embed_dim, self.bias, kind, device, zero=True)

    def agree(self) -> None:
        if self.embed_dim % self.num_heads:
            raise ValueError(
                f"MultiheadAttention: num_heads={self.num_heads} does not divide embed_dim={self.embed_dim}"
            )

    @property
    def dtype(self) -> str:
        """The name of the weights' dtype."""
        return name_of(self.in_proj_weight.dtype)

    def _projected(self, number: int, x: Tensor) -> Tensor:
        """A head's part of query (0), key (1) or value (2): (batch, heads, length, features)."""
        d = self.embed_dim
        if x.ndim != 3 or x.shape[-1] != d:
            raise ValueError(
                f"{self!r}: expected inputs of three axes with {d} features in the last, got shape {x.shape}"
            )
        part = slice(number * d, (number + 1) * d)
        weight = self.in_proj_weight[part].T
        y = matmul(x, weight) if self.in_proj_bias is None else linear(x, weight, self.in_proj_bias[part])
        y = reshape_p(y, shape=(*x.shape[:2], self.num_heads, d // self.num_heads))
        return permute_p(y, axes=(0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3))

    def forward(
        self, query: TensorLike, key: TensorLike | None = None, value: TensorLike | None = None,
        key_padding_mask: TensorLike | None = None, need_weights: bool = True,
        attn_mask: TensorLike | None = None, average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        x = as_input(query)
        k = x if key is None else as_input(key, x)
        v = k if value is None else as_input(value, x)
        q, k, v = (self._projected(n, part) for n, part in enumerate((x, k, v)))
        sees, padding = _sees(attn_mask, x), _sees(key_padding_mask, x)
        if sees is not None and sees.ndim == 3:
            sees = reshape_p(sees, shape=(q.shape[0], self.num_heads, *sees.shape[1:]))
        if padding is not None:
            padding = reshape_p(padding, shape=(padding.shape[0], 1, 1, padding.shape[1]))
            sees = padding if sees is None else _both(sees, padding)
        causal, share, weights = is_causal and attn_mask is None, self.dropout if self.training else 0.0, None
        if need_weights:
            weights = attention_weights(q, k, sees, causal, None)
            mixed = dropped(weights, share) @ v
        else:
            mixed = attended(q, k, v, sees, causal, None, share)
        mixed = permute_p(mixed, axes=(0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3))
        y = self.out_proj(reshape_p(mixed, shape=x.shape))
        if weights is None:
            return y, None
        return y, weights.mean(axis=1) if average_attn_weights else weights

    def config(self) -> Config:
        return super().config() | {"device": None}


def _both(a: Tensor, b: Tensor) -> Tensor:
    """Two masks: both booleans, or both numbers."""
    if is_floating(a.dtype) != is_floating(b.dtype):
        raise ValueError(
            "attention: give attn_mask and key_padding_mask both as booleans, or both as numbers"
        )
    return a + b if is_floating(a.dtype) else a & b


class _Block(Module):
    """What encoder and decoder layers share."""

    norm1: LayerNorm
    norm2: LayerNorm
    norm3: LayerNorm
    d_model: int
    nhead: int
    dim_feedforward: int
    dropout: float
    activation: Function
    layer_norm_eps: float
    batch_first: bool
    norm_first: bool
    bias: bool
    device = None
    checks = {
        "d_model": positive_integer, "nhead": positive_integer, "dim_feedforward": positive_integer,
        "dropout": rate, "activation": activation, "layer_norm_eps": above_0, "bias": truth,
        "batch_first": truth, "norm_first": truth,
    }  # fmt: skip
    made_of = MADE_OF | {
        "d_model",
        "nhead",
        "dim_feedforward",
        "dropout",
        "layer_norm_eps",
        "batch_first",
        "bias",
    }

    def _attention(self, kind: str, device: str | None) -> MultiheadAttention:
        return MultiheadAttention(
            self.d_model,
            self.nhead,
            self.dropout,
            self.bias,
            batch_first=self.batch_first,
            device=device,
            dtype=kind,
        )

    def _feed_forward(self, kind: str, device: str | None, norms: int) -> None:
        self.linear1 = _Affine(self.d_model, self.dim_feedforward, self.bias, kind, device)
        self.linear2 = _Affine(self.dim_feedforward, self.d_model, self.bias, kind, device)
        for n in range(1, norms + 1):
            norm = LayerNorm(self.d_model, self.layer_norm_eps, bias=self.bias, device=device, dtype=kind)
            setattr(self, f"norm{n}", norm)

    @property
    def dtype(self) -> str:
        """The name of the weights' dtype."""
        return name_of(self.linear1.weight.dtype)

    def _drop(self, x: Tensor) -> Tensor:
        return dropped(x, self.dropout if self.training else 0.0)

    def _after(self, x: Tensor, norm: Function, part: Function) -> Tensor:
        """x + part, the norm before the part or after the sum."""
        return x + self._drop(part(norm(x))) if self.norm_first else norm(x + self._drop(part(x)))

    def _forward_part(self, x: Tensor) -> Tensor:
        return self.linear2(self._drop(self.activation(self.linear1(x))))

    def infer_shape(self, shape: Shape) -> Shape:
        return shape

    def config(self) -> Config:
        return super().config() | {"device": None}


_OPTIONS = """d_model: The number of features.
        nhead: The number of heads, a divisor of d_model.
        dim_feedforward: The width of the network between.
        dropout: In training, the share that is 0 of the attention's weights, of the network's inside and of each part.
        activation: Of the network: a name from `nn.activations`, or a function x -> y.
        layer_norm_eps: What the layer norms add to the variance.
        batch_first: Whether the batch is the first axis; else it is the second.
        norm_first: Whether a norm comes before each part; else after the sum.
        bias: Whether projections and norms have biases.
        device: Where to make the weights; None is the default backend.
        dtype: The floating dtype of the weights; None is the default."""


class TransformerEncoderLayer(_Block):
    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: ActivationLike | None = "relu", layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self._keep_options(locals())
        kind = weights_dtype(type(self).__name__, dtype)
        self.self_attn = self._attention(kind, device)
        self._feed_forward(kind, device, 2)

    def forward(
        self,
        src: TensorLike,
        src_mask: TensorLike | None = None,
        src_key_padding_mask: TensorLike | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        def attend(x: Tensor) -> Tensor:
            return self.self_attn(
                x,
                attn_mask=src_mask,
                key_padding_mask=src_key_padding_mask,
                need_weights=False,
                is_causal=is_causal,
            )[0]

        x = self._after(as_input(src), self.norm1, attend)
        return self._after(x, self.norm2, self._forward_part)


class TransformerDecoderLayer(_Block):
    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: ActivationLike | None = "relu", layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self._keep_options(locals())
        kind = weights_dtype(type(self).__name__, dtype)
        self.self_attn = self._attention(kind, device)
        self.multihead_attn = self._attention(kind, device)
        self._feed_forward(kind, device, 3)

    def forward(
        self, tgt: TensorLike, memory: TensorLike, tgt_mask: TensorLike | None = None,
        memory_mask: TensorLike | None = None, tgt_key_padding_mask: TensorLike | None = None,
        memory_key_padding_mask: TensorLike | None = None, tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        memory = as_input(memory)

        def attend(x: Tensor) -> Tensor:
            masks = {
                "attn_mask": tgt_mask,
                "key_padding_mask": tgt_key_padding_mask,
                "is_causal": tgt_is_causal,
            }
            return self.self_attn(x, need_weights=False, **masks)[0]

        def look(x: Tensor) -> Tensor:
            masks = {"attn_mask": memory_mask, "key_padding_mask": memory_key_padding_mask}
            return self.multihead_attn(x, memory, need_weights=False, is_causal=memory_is_causal, **masks)[0]

        x = self._after(as_input(tgt), self.norm1, attend)
        x = self._after(x, self.norm2, look)
        return self._after(x, self.norm3, self._forward_part)


TransformerEncoderLayer.__doc__ = f"""norm(x + attention(x)), then norm(x + linear2(activation(linear1(x))))

    x has the shape (length, batch, d_model), or with batch_first (batch, length, d_model); y the same. A call takes
    src_mask, src_key_padding_mask and is_causal as `nn.MultiheadAttention` does: True is what is not seen. Order,
    defaults and names of the weights are PyTorch's (Vaswani et al. 2017).

    Args:
        {_OPTIONS}
    """
TransformerDecoderLayer.__doc__ = f"""Attention to tgt, attention to memory, and two layers, each added and normalized

    layer(tgt, memory): both have the shape (length, batch, d_model), or with batch_first (batch, length, d_model). A
    call takes the masks of either, tgt_mask, memory_mask, tgt_key_padding_mask and memory_key_padding_mask, and
    tgt_is_causal and memory_is_causal, as `nn.MultiheadAttention` does: True is what is not seen. Order, defaults and
    names of the weights are PyTorch's (Vaswani et al. 2017).

    Args:
        {_OPTIONS}
    """
