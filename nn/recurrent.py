"""Recurrent layers: a cell over all steps of (batch, length, features), under Keras's names and with its defaults."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from tapegrad.autograd.aliases import DTypeLike, TensorLike
from tapegrad.autograd.arguments import one_of, optional, truth
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.ops import concat, flip, reshape_p, stack, where_p
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import default_place
from tapegrad.nn.aliases import ActivationLike, Initializer, StatesLike, WeightRuleLike
from tapegrad.nn.module import Module
from tapegrad.nn.recurrent_cells import Gru, Lstm, Recurrence, Simple, States, described
from tapegrad.nn.shapes import Shape, ShapeLike


class _Layer(Recurrence):
    """A recurrence over all steps."""

    return_sequences: bool
    return_state: bool
    go_backwards: bool
    checks = {"return_sequences": truth, "return_state": truth, "go_backwards": truth}

    def infer_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ValueError(f"{self!r}: expected samples of shape (length, features), got {tuple(shape)}")
        if not self.built:
            self._make_weights(shape[-1], default_place())
        return (shape[0], self.units) if self.return_sequences else (self.units,)

    def forward(
        self, x: TensorLike, *, mask: TensorLike | None = None, initial_state: StatesLike | None = None
    ) -> Any:
        x = self._checked(x, 3)
        if not x.shape[1]:
            raise ValueError(f"{self!r}: there is no step in an input of shape {x.shape}")
        kept = _mask_of(self, x, mask)
        states, dropped = self._start(x, initial_state), self._recurrent_mask(x)
        into = self._projected(self._dropped(x, self.dropout, (x.shape[0], 1, x.shape[2])))
        output: Tensor | None = None
        outputs = []
        steps = range(x.shape[1])
        for t in reversed(steps) if self.go_backwards else steps:
            after = self._advance(into[:, t], states, dropped)
            if kept is not None:  # a step that is left out hands on what it got
                now = reshape_p(kept[:, t], shape=(x.shape[0], 1))
                output = where_p(now, after[0], 0.0 if output is None else output)
                after = [where_p(now, new, old) for new, old in zip(after, states, strict=True)]
            else:
                output = after[0]
            states = after
            outputs.append(output)
        y = stack(outputs, axis=1) if self.return_sequences else output
        return (y, *states) if self.return_state else y


def _mask_of(layer: Module, x: Tensor, mask: TensorLike | None) -> Tensor | None:
    if mask is None:
        return None
    mask = mask if isinstance(mask, Tensor) else tensor(mask, device=x.device)
    if mask.shape != x.shape[:2] or not str(mask.dtype).endswith("bool"):
        raise ValueError(
            f"{layer!r}: mask must be booleans of shape {x.shape[:2]}, True where a step counts, got {mask.dtype} of "
            f"shape {mask.shape}"
        )
    return mask


class SimpleRNN(_Layer, Simple):
    def __init__(
        self, units: int, activation: ActivationLike | None = "tanh", *, use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform", recurrent_initializer: Initializer = "orthogonal",
        bias_initializer: Initializer = "zeros", kernel_regularizer: WeightRuleLike | None = None,
        recurrent_regularizer: WeightRuleLike | None = None, bias_regularizer: WeightRuleLike | None = None,
        kernel_constraint: WeightRuleLike | None = None, recurrent_constraint: WeightRuleLike | None = None,
        bias_constraint: WeightRuleLike | None = None, dropout: float = 0.0, recurrent_dropout: float = 0.0,
        return_sequences: bool = False, return_state: bool = False, go_backwards: bool = False,
        in_features: int | None = None, input_shape: ShapeLike | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self._prepare(locals())


class LSTM(_Layer, Lstm):
    def __init__(
        self, units: int, activation: ActivationLike | None = "tanh",
        recurrent_activation: ActivationLike | None = "sigmoid", *, use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform", recurrent_initializer: Initializer = "orthogonal",
        bias_initializer: Initializer = "zeros", unit_forget_bias: bool = True,
        kernel_regularizer: WeightRuleLike | None = None, recurrent_regularizer: WeightRuleLike | None = None,
        bias_regularizer: WeightRuleLike | None = None, kernel_constraint: WeightRuleLike | None = None,
        recurrent_constraint: WeightRuleLike | None = None, bias_constraint: WeightRuleLike | None = None,
        dropout: float = 0.0, recurrent_dropout: float = 0.0, return_sequences: bool = False,
        return_state: bool = False, go_backwards: bool = False, in_features: int | None = None,
        input_shape: ShapeLike | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self._prepare(locals())


class GRU(_Layer, Gru):
    def __init__(
        self, units: int, activation: ActivationLike | None = "tanh",
        recurrent_activation: ActivationLike | None = "sigmoid", *, use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform", recurrent_initializer: Initializer = "orthogonal",
        bias_initializer: Initializer = "zeros", kernel_regularizer: WeightRuleLike | None = None,
        recurrent_regularizer: WeightRuleLike | None = None, bias_regularizer: WeightRuleLike | None = None,
        kernel_constraint: WeightRuleLike | None = None, recurrent_constraint: WeightRuleLike | None = None,
        bias_constraint: WeightRuleLike | None = None, dropout: float = 0.0, recurrent_dropout: float = 0.0,
        return_sequences: bool = False, return_state: bool = False, go_backwards: bool = False,
        reset_after: bool = True, in_features: int | None = None, input_shape: ShapeLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self._prepare(locals())


_TEXT = """All steps of x, of shape (batch, length, in_features): y is the last output, of shape (batch, units), or with
    return_sequences all of them, of shape (batch, length, units). layer(x, mask=…) leaves out the steps where a mask of
    booleans, of shape (batch, length), is False: they hand on the states. layer(x, initial_state=…) begins with the
    given states, of shape (batch, units), in place of zeros; to go on from batch to batch, give those that return_state
    returned. `nn.{0}Cell` is one step. Definition and defaults: Keras's {0}."""
_LOOP = """return_sequences: Whether the outputs of all steps are returned, in the order of the steps that were made.
        return_state: Whether (y, *states) is returned.
        go_backwards: Whether the last step of x comes first.
        """
for _kind, _layer in (("SimpleRNN", SimpleRNN), ("LSTM", LSTM), ("GRU", GRU)):
    _layer.__doc__ = described(_kind, _TEXT.format(_kind), _LOOP)


def _recurrent(name: str, layer: object) -> _Layer:
    if not isinstance(layer, _Layer):
        raise TypeError(f"{name}: expected an nn.SimpleRNN, nn.LSTM or nn.GRU, got {layer!r}")
    return layer


class Bidirectional(Module):
    """A recurrent layer over the steps of x, and another one over them from the last to the first, joined

    y has both outputs, in the order of x's steps. With return_state, (y, *states forward, *states backward). It is
    called with mask and initial_state as the layers are, the states of both in one list; the outputs of steps that a
    mask leaves out are 0. Definition and defaults: Keras's Bidirectional; Schuster & Paliwal 1997.

    Args:
        layer: An `nn.SimpleRNN`, `nn.LSTM` or `nn.GRU`, which goes forward.
        merge_mode: "concat", "sum", "mul" or "ave" of the two outputs; None: both, as a pair.
        backward_layer: The layer that goes backward, with go_backwards=True; None: one with the options of `layer`.
    """

    checks = {
        "merge_mode": optional(partial(one_of, known=("concat", "sum", "mul", "ave"))),
        "forward_layer": _recurrent, "backward_layer": _recurrent,
    }  # fmt: skip

    def __init__(
        self, layer: _Layer, merge_mode: str | None = "concat", backward_layer: _Layer | None = None
    ) -> None:
        self.merge_mode, self.forward_layer = merge_mode, layer
        if backward_layer is None:
            backward_layer = type(layer)(**layer.config() | {"go_backwards": not layer.go_backwards})
        self.backward_layer = backward_layer
        self.input_shape = layer.input_shape

    def agree(self) -> None:
        there, back = self.forward_layer, self.backward_layer
        if there.go_backwards or not back.go_backwards:
            raise ValueError(
                "Bidirectional: layer must go forward, and backward_layer have go_backwards=True"
            )
        alike = ("return_sequences", "return_state")
        if any(getattr(there, a) != getattr(back, a) for a in alike):
            raise ValueError(
                "Bidirectional: both layers must have the same return_sequences and return_state"
            )

    @property
    def layer(self) -> _Layer:
        """The layer that goes forward."""
        return self.forward_layer

    def infer_shape(self, shape: Shape) -> Shape:
        *lengths, units = self.forward_layer.infer_shape(shape)
        *_, more = self.backward_layer.infer_shape(shape)
        return (*lengths, units + more if self.merge_mode == "concat" else units)

    def forward(
        self,
        x: TensorLike,
        *,
        mask: TensorLike | None = None,
        initial_state: Sequence[TensorLike] | None = None,
    ) -> Any:
        layers = self.forward_layer, self.backward_layer
        given: list[StatesLike | None] = [None, None]
        if initial_state is not None:
            n = layers[0].states
            given = [initial_state[:n], initial_state[n:]]
        results = [layer(x, mask=mask, initial_state=s) for layer, s in zip(layers, given, strict=True)]
        states: States = []
        if layers[0].return_state:
            states = [s for _, *own in results for s in own]
            results = [result[0] for result in results]
        there, back = results
        if layers[0].return_sequences:
            back = flip(back, axis=1)
            kept = None if mask is None else _mask_of(self, there, mask)
            if kept is not None:
                there, back = (where_p(kept[:, :, None], part, 0.0) for part in (there, back))
        y = self._merged(there, back)
        if not states:
            return y
        return (*y, *states) if isinstance(y, tuple) else (y, *states)

    def _merged(self, a: Tensor, b: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if self.merge_mode is None:
            return a, b
        if self.merge_mode == "concat":
            return concat([a, b], axis=-1)
        return a * b if self.merge_mode == "mul" else (a + b) * (0.5 if self.merge_mode == "ave" else 1.0)
