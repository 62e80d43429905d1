"""Attention: the function, Keras's MultiHeadAttention, and encodings of places."""

from typing import Any

import numpy as np

from tapegrad.autograd.aliases import DTypeLike, TensorLike
from tapegrad.autograd.arguments import above_0, number, optional, positive_integer, rate, truth
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.dtypes import finfo, is_floating, name_of
from tapegrad.autograd.ops import (
    broadcast_to,
    concat,
    linear,
    logical_and,
    matmul,
    permute_p,
    reshape_p,
    softmax,
    triangle_p,
    where_p,
)
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.autograd.transforms.checkpoint import checkpoint
from tapegrad.backends import default_place
from tapegrad.nn.aliases import Built, Initializer
from tapegrad.nn.checks import initializer as check_initializer
from tapegrad.nn.dropping import dropped
from tapegrad.nn.inputs import as_input
from tapegrad.nn.module import Module
from tapegrad.nn.shapes import Shape
from tapegrad.nn.weights import initial, weights_dtype


def as_mask(name: str, mask: TensorLike | None, x: Tensor) -> Tensor | None:
    """A mask as a Tensor beside x: booleans, or numbers of its dtype; None stays None."""
    if mask is None:
        return None
    mask = mask if isinstance(mask, Tensor) else tensor(mask, device=x.device)
    if is_floating(mask.dtype):
        return mask.astype(x.dtype, copy=False)
    if name_of(mask.dtype) != "bool":
        raise TypeError(f"{name} must be booleans or floating-point numbers, got {mask.dtype}")
    return mask


# From so many scores of a head on (1,024 by 1,024) attention goes by blocks of so many rows.
LONG, ROWS = 1 << 20, 128


def attended(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float | None, share: float
) -> Tensor:
    """attention_weights @ v, a share of the weights dropped. From LONG scores on by blocks of rows, whose weights the
    backward pass works out again: its memory grows with the length, not with its square."""
    rows, places = q.shape[-2], k.shape[-2]
    if rows * places < LONG:
        return dropped(attention_weights(q, k, mask, causal, scale), share) @ v

    def block(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, first: int) -> Tensor:
        return dropped(attention_weights(q, k, mask, causal, scale, first), share) @ v

    parts = []
    for first in range(0, rows, ROWS):
        last = min(first + ROWS, rows)
        seen = min(last, places) if causal else places  # no row of the block sees a later place
        part = mask if mask is None or mask.ndim < 2 or mask.shape[-2] == 1 else mask[..., first:last, :]
        part = part if part is None or not part.ndim or part.shape[-1] == 1 else part[..., :seen]
        parts.append(
            checkpoint(block)(q[..., first:last, :], k[..., :seen, :], v[..., :seen, :], part, first)
        )
    return concat(parts, axis=-2)


def attention_weights(
    q: Tensor, k: Tensor, mask: Tensor | None, causal: bool, scale: float | None, first: int = 0
) -> Tensor:
    """softmax(q @ k^T * scale) over the places of k that each place of q sees; 0 all along where it sees none.

    first: the number of q's first place, of which causal attention sees the first `first + 1` places.
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    # A product of float16 overflows where its scaled score would not.
    scores = (q * scale) @ k.mT if abs(scale) < 1 else (q @ k.mT) * scale
    sees = triangle_p(q, rows=q.shape[-2], columns=k.shape[-2], k=first) if causal else None
    if mask is not None and is_floating(mask.dtype):
        # -inf hides a place. Of a row of nothing else the softmax would be NaN.
        added, mask = mask, mask != float("-inf")
        scores = scores + where_p(mask, added, 0.0)
    if mask is not None:
        sees = mask if sees is None else logical_and(sees, mask)
    if sees is None:
        return softmax(scores, axis=-1)
    lowest = float(finfo(scores.dtype).min)  # -inf would put NaN into the gradients of a place that sees none
    weights = softmax(where_p(sees, scores, lowest), axis=-1)
    return weights if mask is None else where_p(sees, weights, 0.0)


def scaled_dot_product_attention(
    query: TensorLike, key: TensorLike, value: TensorLike, attn_mask: TensorLike | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
) -> Tensor:  # fmt: skip
    """softmax(query @ key^T * scale + mask) @ value, over the last two axes (Vaswani et al. 2017)

    Order and defaults are PyTorch's. As there, dropout_p takes effect whatever the mode of a module: give 0 in
    evaluation. A place that sees none gets 0. From length * places = 2**20 on it goes by blocks of 128 rows, whose
    weights the backward pass works out again: memory then grows with the length, not with its square.

    Args:
        query: Shape (…, length, features), floating.
        key: Shape (…, places, features).
        value: Shape (…, places, width).
        attn_mask: Booleans, True where a place of the query sees one of the key, or numbers that are added to the
            scores, -inf where it sees none; of a shape that broadcasts to (…, length, places).
        dropout_p: The share of the weights that is 0.
        is_causal: Whether place i of the query sees the first i + 1 places of the key.
        scale: None is 1 / sqrt(features).

    Returns:
        A Tensor of shape (…, length, width).
    """
    q = as_input(query)
    k, v = as_input(key, q), as_input(value, q)
    mask = as_mask("scaled_dot_product_attention: attn_mask", attn_mask, q)
    share = rate("scaled_dot_product_attention: dropout_p", dropout_p)
    causal = truth("scaled_dot_product_attention: is_causal", is_causal)
    scale = None if scale is None else number("scaled_dot_product_attention: scale", scale)
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(
            "scaled_dot_product_attention: expected query (…, length, features), key (…, places, features) and value "
            f"(…, places, width), got {q.shape}, {k.shape} and {v.shape}"
        )
    return attended(q, k, v, mask, causal, scale, share)


class MultiHeadAttention(Module):
    """Attention in several heads: each projects query, key and value, and a projection joins what they found

    layer(query, value, key) of shapes (batch, length, features), (batch, places, …) and (batch, places, …) gives
    (batch, length, output_shape); key is value by default, and value is query. A call takes attention_mask, booleans
    that broadcast to (batch, heads, length, places) or (batch, length, places), True where a place sees another;
    use_causal_mask=True, for which it sees itself and what is before it; and return_attention_scores=True, for (y,
    weights). A place that sees none gets 0. Without them, long inputs go by blocks of rows, as in
    `nn.functional.scaled_dot_product_attention`.

    Parameters: query_kernel (features, num_heads, key_dim), query_bias (num_heads, key_dim), the same of key and value,
    output_kernel (num_heads, value_dim, output_shape), output_bias. Definition and defaults: Keras's
    MultiHeadAttention; Vaswani et al. 2017.

    Args:
        num_heads: The number of heads.
        key_dim: The features of a head's query and key.
        value_dim: The features of a head's value; None is key_dim.
        dropout: In training, the share of the weights that is 0.
        use_bias: Whether the projections have biases.
        output_shape: The features of y; None is those of the query.
        kernel_initializer, bias_initializer: Names from `nn.init`, or functions shape -> array.
        in_features: The features of query, key and value. With None the weights are made at the first call.
        dtype: The floating dtype of the weights; None is `tg.get_default_dtype()`.

    Raises:
        ValueError: The features of an input are other ones than before.
    """

    query_kernel: Built
    output_kernel: Built
    output_bias: Built

    kernel_initializer: Any
    bias_initializer: Any
    checks = {
        "num_heads": positive_integer, "key_dim": positive_integer, "value_dim": optional(positive_integer),
        "output_shape": optional(positive_integer), "dropout": rate, "use_bias": truth,
        "kernel_initializer": check_initializer, "bias_initializer": check_initializer,
        "in_features": optional(positive_integer),
    }  # fmt: skip

    def __init__(
        self, num_heads: int, key_dim: int, value_dim: int | None = None, dropout: float = 0.0, *,
        use_bias: bool = True, output_shape: int | None = None,
        kernel_initializer: Initializer = "glorot_uniform", bias_initializer: Initializer = "zeros",
        in_features: int | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        name = "MultiHeadAttention"
        self.num_heads, self.key_dim, self.value_dim, self.output_shape = (
            num_heads, key_dim, value_dim, output_shape,
        )  # fmt: skip
        self.dropout, self.use_bias = dropout, use_bias
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        self._dtype = weights_dtype(name, dtype)
        self.in_features, self.built = in_features, False
        for part in ("query", "key", "value", "output"):
            setattr(self, f"{part}_kernel", None)
            setattr(self, f"{part}_bias", None)
        if self.in_features is not None:
            width = self.in_features
            self._make_weights((width, width, width), default_place())

    @property
    def dtype(self) -> str:
        """The name of the weights' dtype."""
        return name_of(self.query_kernel.dtype) if self.built else self._dtype

    def _make_weights(self, widths: tuple[int, ...], device: str) -> None:
        made = lambda law, shape: Parameter(initial("MultiHeadAttention", law, shape, self._dtype, device))
        heads, value = self.num_heads, self.value_dim or self.key_dim
        sizes = (self.key_dim, self.key_dim, value)
        for part, width, size in zip(("query", "key", "value"), widths, sizes, strict=True):
            setattr(self, f"{part}_kernel", made(self.kernel_initializer, (width, heads, size)))
            setattr(
                self, f"{part}_bias", made(self.bias_initializer, (heads, size)) if self.use_bias else None
            )
        out = self.output_shape or widths[0]
        self.output_kernel = made(self.kernel_initializer, (heads, value, out))
        self.output_bias = made(self.bias_initializer, (out,)) if self.use_bias else None
        self.in_features = widths[0] if len(set(widths)) == 1 else None
        self.built = True
        self.keep_frozen()

    def _heads(self, part: str, x: Tensor) -> Tensor:
        """The projection of an input, (batch, heads, length, features of a head)."""
        kernel, bias = getattr(self, f"{part}_kernel"), getattr(self, f"{part}_bias")
        width, heads, size = kernel.shape
        if x.ndim != 3 or x.shape[-1] != width:
            raise ValueError(f"{self!r}: expected {part} of shape (batch, length, {width}), got {x.shape}")
        flat = reshape_p(kernel, shape=(width, heads * size))
        y = matmul(x, flat) if bias is None else linear(x, flat, reshape_p(bias, shape=(heads * size,)))
        return permute_p(reshape_p(y, shape=(*x.shape[:2], heads, size)), axes=(0, 2, 1, 3))

    def forward(
        self, query: TensorLike, value: TensorLike | None = None, key: TensorLike | None = None, *,
        attention_mask: TensorLike | None = None, use_causal_mask: bool = False,
        return_attention_scores: bool = False,
    ) -> Any:  # fmt: skip
        q = as_input(query)
        v = q if value is None else as_input(value, q)
        k = v if key is None else as_input(key, q)
        if not self.built:
            self._make_weights((q.shape[-1], k.shape[-1], v.shape[-1]), q.device)
        mask = attention_mask
        if mask is not None:
            mask = mask if isinstance(mask, Tensor) else tensor(mask, device=q.device)
            mask = reshape_p(mask, shape=(mask.shape[0], 1, *mask.shape[1:])) if mask.ndim == 3 else mask
            mask = mask if str(mask.dtype).endswith("bool") else mask != 0
        heads = [self._heads(part, x) for part, x in (("query", q), ("key", k), ("value", v))]
        causal = truth("MultiHeadAttention: use_causal_mask", use_causal_mask)
        share, weights = self.dropout if self.training else 0.0, None
        if return_attention_scores:
            weights = attention_weights(heads[0], heads[1], mask, causal, None)
            mixed = dropped(weights, share) @ heads[2]
        else:
            mixed = attended(heads[0], heads[1], heads[2], mask, causal, None, share)
        rows = reshape_p(
            permute_p(mixed, axes=(0, 2, 1, 3)), shape=(*q.shape[:2], mixed.shape[1] * mixed.shape[3])
        )
        kernel = reshape_p(self.output_kernel, shape=(rows.shape[-1], self.output_kernel.shape[-1]))
        y = matmul(rows, kernel) if self.output_bias is None else linear(rows, kernel, self.output_bias)
        return (y, weights) if return_attention_scores else y

    def infer_shape(self, shape: Shape) -> Shape:
        if not self.built:
            self._make_weights((shape[-1],) * 3, default_place())
        return (*shape[:-1], self.output_kernel.shape[-1])


class SinePositionEncoding(Module):
    """sin(t / w**(2 i / features)) at feature 2 i and cos of it at 2 i + 1, of each place t: of the shape of x

    x has the shape (batch, length, features); add the result to it. Definition: KerasHub's SinePositionEncoding;
    Vaswani et al. 2017.

    Args:
        max_wavelength: The w of the formula, above 0.
    """

    checks = {"max_wavelength": above_0}

    def __init__(self, max_wavelength: float = 10000) -> None:
        self.max_wavelength = max_wavelength

    def infer_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, x: TensorLike) -> Tensor:
        x = as_input(x)
        if x.ndim < 2:
            raise ValueError(f"{self!r}: expected an input of shape (batch, length, features), got {x.shape}")
        length, features = x.shape[-2:]
        even = np.arange(features) // 2 * 2
        angles = np.arange(length)[:, None] / self.max_wavelength ** (even / features)
        table = np.where(np.arange(features) % 2, np.cos(angles), np.sin(angles))
        return broadcast_to(tensor(table, dtype=name_of(x.dtype), device=x.device), x.shape)


class PositionEmbedding(Module):
    """A learned vector for each place, of the shape of x

    x has the shape (batch, length, features); add the result to it. `embeddings` is a Parameter of shape
    (sequence_length, features). Definition: KerasHub's PositionEmbedding.

    Args:
        sequence_length: The largest length.
        initializer: A name from `nn.init`, or a function shape -> array.
        in_features: The number of features. With None the weights are made at the first call.
        dtype: The floating dtype of the weights; None is `tg.get_default_dtype()`.

    Raises:
        ValueError: The input is longer, or has other features than before.
    """

    initializer: Any
    checks = {
        "sequence_length": positive_integer,
        "initializer": check_initializer,
        "in_features": optional(positive_integer),
    }

    def __init__(
        self, sequence_length: int, initializer: Initializer = "glorot_uniform", *,
        in_features: int | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self.sequence_length, self.initializer = sequence_length, initializer
        self._dtype = weights_dtype("PositionEmbedding", dtype)
        self.embeddings: Built = None
        self.in_features, self.built = in_features, False
        if self.in_features is not None:
            self._make_weights(self.in_features, default_place())

    @property
    def dtype(self) -> str:
        """The name of the weights' dtype."""
        return name_of(self.embeddings.dtype) if self.built else self._dtype

    def _make_weights(self, features: int, device: str) -> None:
        shape = (self.sequence_length, features)
        self.in_features = features
        made = initial("PositionEmbedding", self.initializer, shape, self._dtype, device)
        self.embeddings, self.built = Parameter(made), True
        self.keep_frozen()

    def infer_shape(self, shape: Shape) -> Shape:
        if not self.built:
            self._make_weights(shape[-1], default_place())
        return shape

    def forward(self, x: TensorLike) -> Tensor:
        x = as_input(x)
        if not self.built and x.ndim:
            self._make_weights(x.shape[-1], x.device)
        if x.ndim < 2 or x.shape[-2] > self.sequence_length or x.shape[-1] != self.in_features:
            raise ValueError(
                f"{self!r}: expected an input of shape (batch, at most {self.sequence_length}, {self.in_features}), "
                f"got {x.shape}"
            )
        return broadcast_to(self.embeddings[: x.shape[-2]], x.shape)
