"""Recurrent cells: one step of a recurrence, under Keras's names and with its order of gates."""

from collections.abc import Mapping, Sequence

import numpy as np

from tapegrad.autograd.aliases import Array, DTypeLike, TensorLike
from tapegrad.autograd.arguments import positive_integer, rate, truth
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.dtypes import is_floating, name_of
from tapegrad.autograd.filled import zeros
from tapegrad.autograd.ops import linear, matmul
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.backends import default_place
from tapegrad.backends.aliases import Function
from tapegrad.nn import activations
from tapegrad.nn.aliases import ActivationLike, Built, Config, Initializer, StatesLike, WeightRuleLike
from tapegrad.nn.checks import INPUT, activation, initializer
from tapegrad.nn.dropping import dropped
from tapegrad.nn.module import Module
from tapegrad.nn.shapes import Shape, ShapeLike
from tapegrad.nn.weight_rules import rules_of
from tapegrad.nn.weights import initial, weights_dtype

States = list[Tensor]


class Recurrence(Module):
    """Weights kernel (in_features, gates * units), recurrent_kernel (units, gates * units) and bias, and one step."""

    gates = 1
    states = 1  # how many tensors (batch, units) a step hands to the next one
    units: int
    in_features: int | None
    activation: Function
    recurrent_activation: Function
    use_bias: bool
    reset_after = False
    dropout: float
    recurrent_dropout: float
    checks = {
        "units": positive_integer, "activation": activation, "use_bias": truth, "kernel_initializer": initializer,
        "recurrent_initializer": initializer, "bias_initializer": initializer, "dropout": rate,
        "recurrent_dropout": rate, **rules_of("kernel", "recurrent", "bias"), **INPUT,
    }  # fmt: skip
    _rule_weights: Mapping[str, str] = {"recurrent": "recurrent_kernel"}

    def _prepare(self, options: Config) -> None:
        """Keep the options that all have. Called last by the constructors: it may make the weights."""
        name = type(self).__name__
        if isinstance(options["activation"], int) and not isinstance(options["activation"], bool):
            a, b = options["units"], options["activation"]
            raise TypeError(
                f"{name}: the second argument is the activation, got {b!r}: PyTorch's ({a}, {b}) is "
                f"nn.{name}({b}, in_features={a})"
            )
        self._keep_options(options)
        self._dtype = weights_dtype(name, options["dtype"])
        self.kernel: Built = None
        self.recurrent_kernel: Built = None
        self.bias: Built = None
        self.built, features = False, self.in_features
        if self.input_shape is not None:
            if features is not None:
                raise ValueError(f"{name}: give in_features or input_shape, not both")
            features = self.input_shape[-1]
        if features is not None:
            self._make_weights(features, default_place())

    @property
    def dtype(self) -> str:
        """The name of the weights' dtype."""
        return name_of(self.kernel.dtype) if self.built else self._dtype

    def _make_weights(self, features: int, device: str) -> None:
        name, width = type(self).__name__, self.gates * self.units
        made = lambda law, shape: Parameter(initial(name, law, shape, self._dtype, device))
        self.in_features = features
        self.kernel = made(self.kernel_initializer, (features, width))  # type: ignore[attr-defined]
        self.recurrent_kernel = made(self.recurrent_initializer, (self.units, width))  # type: ignore[attr-defined]
        shape = (2, width) if self.reset_after else (width,)
        self.bias = made(self._bias_law, shape) if self.use_bias else None
        self.built = True
        self.keep_frozen()

    def _bias_law(self, shape: Shape) -> Array:
        return self.bias_initializer(shape)  # type: ignore[attr-defined]

    def _checked(self, x: TensorLike, axes: int) -> Tensor:
        x = x if isinstance(x, Tensor) else tensor(x)
        if x.ndim != axes:
            shape = "(batch, length, features)" if axes == 3 else "(batch, features)"
            raise ValueError(f"{self!r}: expected an input of shape {shape}, got {x.shape}")
        if not self.built:
            self._make_weights(x.shape[-1], x.device)
        if x.shape[-1] != self.in_features:
            raise ValueError(
                f"{self!r}: expected an input with {self.in_features} features in the last axis, got shape {x.shape}"
            )
        return x if is_floating(x.dtype) else x.astype(self.kernel.dtype)

    def _dropped(self, x: Tensor, share: float, shape: Shape) -> Tensor:
        """x without some features, the same ones at each step."""
        return dropped(x, share if self.training else 0.0, shape)

    def _projected(self, x: Tensor) -> Tensor:
        """What the inputs, of one step or of all, bring to the gates: (…, gates * units)."""
        if self.bias is None:
            return matmul(x, self.kernel)
        return linear(x, self.kernel, self.bias[0] if self.reset_after else self.bias)

    def _start(self, x: Tensor, given: StatesLike | None) -> States:
        """The states before the first step: those given, or zeros."""
        if given is None:
            shape = (x.shape[0], self.units)
            return [zeros(shape, dtype=x.dtype, device=x.device) for _ in range(self.states)]
        parts: list[TensorLike] = list(given) if isinstance(given, Sequence) else [given]
        states = [s if isinstance(s, Tensor) else tensor(s, dtype=x.dtype, device=x.device) for s in parts]
        expected = (x.shape[0], self.units)
        if [s.shape for s in states] != [expected] * self.states:
            raise ValueError(
                f"{self!r}: expected {self.states} state(s) of shape {expected}, got {[s.shape for s in states]}"
            )
        return states

    def _advance(self, into: Tensor, states: States, dropped: Tensor | None) -> States:
        """The states after a step; the first one is the output. `dropped`: what the first is multiplied by."""
        raise NotImplementedError

    def _opened(self, *gates: Tensor) -> list[Tensor]:
        """recurrent_activation of gates that lie side by side, (batch, gates * units), taken apart. An activation that
        looks along the last axis, softmax or a user's own, is of each gate for itself."""
        n, active = self.units, self.recurrent_activation
        each = lambda z: [z[:, i : i + n] for i in range(0, z.shape[1], n)]
        if active in activations.ELEMENTWISE:
            return [gate for z in gates for gate in each(active(z))]
        return [active(gate) for z in gates for gate in each(z)]

    def _recurrent_mask(self, x: Tensor) -> Tensor | None:
        if not self.training or not self.recurrent_dropout:
            return None
        ones = zeros((x.shape[0], self.units), dtype=x.dtype, device=x.device) + 1.0
        return self._dropped(ones, self.recurrent_dropout, ones.shape)

    def config(self) -> Config:
        config = super().config()
        if self.input_shape is not None:
            config["in_features"] = None  # input_shape says it
        return config


def through(h: Tensor, dropped: Tensor | None) -> Tensor:
    return h if dropped is None else h * dropped


class Simple(Recurrence):
    def _advance(self, into: Tensor, states: States, dropped: Tensor | None) -> States:
        return [self.activation(into + through(states[0], dropped) @ self.recurrent_kernel)]


class Lstm(Recurrence):
    gates, states = 4, 2
    unit_forget_bias: bool
    checks = {"recurrent_activation": activation, "unit_forget_bias": truth}

    def _bias_law(self, shape: Shape) -> Array:
        law = super()._bias_law(shape)
        if not self.unit_forget_bias:
            return law
        law = np.array(law, np.float64)
        law[self.units : 2 * self.units] = 1.0
        return law

    def _advance(self, into: Tensor, states: States, dropped: Tensor | None) -> States:
        h, c = states
        z, n = into + through(h, dropped) @ self.recurrent_kernel, self.units
        i, f, o = self._opened(z[:, : 2 * n], z[:, 3 * n :])
        c = f * c + i * self.activation(z[:, 2 * n : 3 * n])
        return [o * self.activation(c), c]


class Gru(Recurrence):
    gates = 3
    checks = {"recurrent_activation": activation, "reset_after": truth}

    def _advance(self, into: Tensor, states: States, dropped: Tensor | None) -> States:
        h, n, kernel = states[0], self.units, self.recurrent_kernel
        seen = through(h, dropped)
        if self.reset_after:
            inner = seen @ kernel if self.bias is None else linear(seen, kernel, self.bias[1])
            z, r = self._opened(into[:, : 2 * n] + inner[:, : 2 * n])
            new = self.activation(into[:, 2 * n :] + r * inner[:, 2 * n :])
        else:
            z, r = self._opened(into[:, : 2 * n] + seen @ kernel[:, : 2 * n])
            new = self.activation(into[:, 2 * n :] + (r * seen) @ kernel[:, 2 * n :])
        return [z * h + (1.0 - z) * new]


class Cell(Recurrence):
    """A step as a module: (output, states) of (x, states)."""

    def forward(self, x: TensorLike, states: StatesLike | None = None) -> tuple[Tensor, States]:
        x = self._checked(x, 2)
        before = self._start(x, states)
        dropped = self._recurrent_mask(x)
        after = self._advance(self._projected(self._dropped(x, self.dropout, x.shape)), before, dropped)
        return after[0], after

    def infer_shape(self, shape: Shape) -> Shape:
        if not self.built:
            self._make_weights(shape[-1], default_place())
        return (self.units,)


class SimpleRNNCell(Cell, Simple):
    def __init__(
        self, units: int, activation: ActivationLike | None = "tanh", *, use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform", recurrent_initializer: Initializer = "orthogonal",
        bias_initializer: Initializer = "zeros", kernel_regularizer: WeightRuleLike | None = None,
        recurrent_regularizer: WeightRuleLike | None = None, bias_regularizer: WeightRuleLike | None = None,
        kernel_constraint: WeightRuleLike | None = None, recurrent_constraint: WeightRuleLike | None = None,
        bias_constraint: WeightRuleLike | None = None, dropout: float = 0.0, recurrent_dropout: float = 0.0,
        in_features: int | None = None, input_shape: ShapeLike | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self._prepare(locals())


class LSTMCell(Cell, Lstm):
    def __init__(
        self, units: int, activation: ActivationLike | None = "tanh",
        recurrent_activation: ActivationLike | None = "sigmoid", *, use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform", recurrent_initializer: Initializer = "orthogonal",
        bias_initializer: Initializer = "zeros", unit_forget_bias: bool = True,
        kernel_regularizer: WeightRuleLike | None = None, recurrent_regularizer: WeightRuleLike | None = None,
        bias_regularizer: WeightRuleLike | None = None, kernel_constraint: WeightRuleLike | None = None,
        recurrent_constraint: WeightRuleLike | None = None, bias_constraint: WeightRuleLike | None = None,
        dropout: float = 0.0, recurrent_dropout: float = 0.0, in_features: int | None = None,
        input_shape: ShapeLike | None = None, dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self._prepare(locals())


class GRUCell(Cell, Gru):
    def __init__(
        self, units: int, activation: ActivationLike | None = "tanh",
        recurrent_activation: ActivationLike | None = "sigmoid", *, use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform", recurrent_initializer: Initializer = "orthogonal",
        bias_initializer: Initializer = "zeros", kernel_regularizer: WeightRuleLike | None = None,
        recurrent_regularizer: WeightRuleLike | None = None, bias_regularizer: WeightRuleLike | None = None,
        kernel_constraint: WeightRuleLike | None = None, recurrent_constraint: WeightRuleLike | None = None,
        bias_constraint: WeightRuleLike | None = None, dropout: float = 0.0, recurrent_dropout: float = 0.0,
        reset_after: bool = True, in_features: int | None = None, input_shape: ShapeLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:  # fmt: skip
        self._prepare(locals())


# ---- what the docstrings of cells and layers share ----
FORMULAS = {
    "SimpleRNN": ("h = activation(x @ kernel + h @ recurrent_kernel + bias)", ""),
    "LSTM": (
        "c = f * c + i * activation(g), h = o * activation(c) (Hochreiter & Schmidhuber 1997)",
        "i, f, g, o = the quarters of x @ kernel + h @ recurrent_kernel + bias, of which i, f and o go through "
        "recurrent_activation.\n    ",
    ),
    "GRU": (
        "h = z * h + (1 - z) * activation(g) (Cho et al. 2014)",
        "z and r = recurrent_activation of the first two thirds of x @ kernel + h @ recurrent_kernel + bias. With "
        "reset_after\n    g = x @ kernel + r * (h @ recurrent_kernel + the second bias), of the last thirds; without, "
        "x @ kernel + (r * h) @\n    recurrent_kernel.\n    ",
    ),
}
GATE = "recurrent_activation: The activation of the gates, likewise.\n        "
OPTIONS = """units: The length of a state.
        activation: A name from `nn.activations`, a function x -> y, or None for none.
        {gate}use_bias: Whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: Names from `nn.init`, or functions shape -> array.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Penalties of the weights, as of `nn.Dense`: in
            a loop of your own write `loss + model.penalty()`.
        kernel_constraint, recurrent_constraint, bias_constraint: What an optimizer's step leaves of them, likewise.
        {own}dropout: In training, the share of the features of x that is 0, the same ones at each step.
        recurrent_dropout: The same of h before its product.
        {loop}in_features: The number of features of x. With None the weights are made at the first call, or by
            `build(shape)`.
        input_shape: Keras's form of in_features: the shape of one sample.
        dtype: The floating dtype of the weights; None is `tg.get_default_dtype()`."""
OWN = {
    "SimpleRNN": "",
    "LSTM": "unit_forget_bias: Whether the bias of f starts at 1 (Jozefowicz et al. 2015).\n        ",
    "GRU": "reset_after: Whether r is applied after the product of h, as above, which has a bias of its own.\n        ",
}


def described(kind: str, text: str, loop: str = "") -> str:
    """A docstring of the formula, a text, and the options."""
    formula, gates = FORMULAS[kind]
    options = OPTIONS.format(gate="" if kind == "SimpleRNN" else GATE, own=OWN[kind], loop=loop)
    return f"{formula}\n\n    {gates}{text}\n\n    Args:\n        {options}\n    "


for _kind, _cell in (("SimpleRNN", SimpleRNNCell), ("LSTM", LSTMCell), ("GRU", GRUCell)):
    _cell.__doc__ = described(
        _kind,
        f"One step: cell(x, states) gives (output, states) for x of shape (batch, in_features) and states of shape "
        f"(batch,\n    units), a list, zeros if it is None. Definition and defaults: Keras's {_kind}Cell.",
    )
