"""The table of vectors that integers look up."""

from typing import Any

from tapegrad.autograd.aliases import DTypeLike, TensorLike
from tapegrad.autograd.arguments import optional, positive_integer, somewhere, whole_number
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.ops import expand_dims, getitem, index_update, where_p
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.backends import default_place
from tapegrad.nn.aliases import Initializer, WeightRuleLike
from tapegrad.nn.checks import initializer
from tapegrad.nn.module import Layer
from tapegrad.nn.shapes import Shape
from tapegrad.nn.weight_rules import rules_of
from tapegrad.nn.weights import initial, weights_dtype


class Embedding(Layer):
    """embeddings[x]: for each integer of x the row of that number

    x has the shape (…), usually (batch, length), and y the shape (…, output_dim). `embeddings` is a Parameter of shape
    (input_dim, output_dim); the gradients of equal integers are added up. Definition: Keras's Embedding.

    Args:
        input_dim: The number of rows; PyTorch's num_embeddings.
        output_dim: The length of a row; PyTorch's embedding_dim.
        embeddings_initializer: A name from `nn.init`, or a function shape -> array. The default, Keras's, draws between
            ±0.05.
        padding_idx: The number of a row that starts at 0 and gets no gradient, as in PyTorch; -1 is the last.
        embeddings_regularizer: A penalty of the table: `nn.L2(0.01)`, "l2", or a function. `Sequential.fit` adds it to
            the loss; in a loop of your own write `loss + model.penalty()`.
        embeddings_constraint: What an optimizer's step leaves of the table: `nn.MaxNorm(2.0, axis=1)`, or a function.
        dtype: The floating dtype of the weights; None is `tg.get_default_dtype()`.

    Raises:
        IndexError: An integer is below 0 or not below input_dim.
        TypeError: The input is not integers.
    """

    takes_integers = True
    embeddings_initializer: Any
    checks = {
        "input_dim": positive_integer, "output_dim": positive_integer, "embeddings_initializer": initializer,
        "padding_idx": optional(whole_number), **rules_of("embeddings"),
    }  # fmt: skip

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Initializer = "random_uniform",
        *,
        padding_idx: int | None = None,
        embeddings_regularizer: WeightRuleLike | None = None,
        embeddings_constraint: WeightRuleLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        self.input_dim, self.output_dim = input_dim, output_dim
        self.embeddings_initializer = embeddings_initializer
        self.embeddings_regularizer, self.embeddings_constraint = (
            embeddings_regularizer,
            embeddings_constraint,
        )
        self.padding_idx = padding_idx
        self._dtype = weights_dtype("Embedding", dtype)
        shape = (self.input_dim, self.output_dim)
        made = initial("Embedding", self.embeddings_initializer, shape, self._dtype, default_place())
        if self.padding_idx is not None:
            made = index_update(made, self.padding_idx, 0.0)
        self.embeddings = Parameter(made)

    @property
    def dtype(self) -> str:
        """The name of the weights' dtype."""
        return name_of(self.embeddings.dtype)

    def agree(self) -> None:
        if self.padding_idx is None:
            return
        if not -self.input_dim <= self.padding_idx < self.input_dim:
            raise ValueError(
                f"Embedding: padding_idx must be one of {self.input_dim} rows, got {self.padding_idx!r}"
            )
        vars(self)["padding_idx"] %= self.input_dim  # counted from the front

    def infer_shape(self, shape: Shape) -> Shape:
        return (*shape, self.output_dim)

    def forward(self, x: TensorLike) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x, device=self.embeddings.device)
        if not name_of(x.dtype).startswith(("int", "uint")):
            raise TypeError(f"{self!r}: expected integers, got {name_of(x.dtype)}: x.astype(tg.int64)")
        self._look(x)
        if name_of(x.dtype).startswith("int"):
            # A negative one would count from the end. In a compiled step, which does not look, it is out of bounds.
            x = where_p(x < 0, self.input_dim, x.astype("int64", copy=False))
        elif name_of(x.dtype) == "uint64":
            # As an int64, which an index becomes, a large one would count from the end, too.
            x = where_p(x < self.input_dim, x, self.input_dim).astype("int64")
        y = getitem(self.embeddings, x)
        if self.padding_idx is None:
            return y
        return where_p(expand_dims(x == self.padding_idx, axis=-1), y.detach(), y)

    def _look(self, x: Tensor) -> None:
        rows = self.input_dim
        if somewhere(x, lambda a: (a < 0) | (a >= rows), repeated=True):
            wrong = next(number for number in x.numpy().ravel() if not 0 <= number < rows)
            raise IndexError(f"{self!r}: expected integers from 0 to {self.input_dim - 1}, got {wrong}")
