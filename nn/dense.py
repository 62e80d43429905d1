"""The fully connected layer."""

from typing import Any

from tapegrad.autograd.aliases import DTypeLike, TensorLike
from tapegrad.autograd.arguments import positive_integer, truth
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.ops import matmul
from tapegrad.autograd.ops.linalg import dense
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.backends import default_place
from tapegrad.backends.aliases import Function
from tapegrad.nn.aliases import ActivationLike, Built, Config, Initializer, WeightRuleLike
from tapegrad.nn.checks import INPUT, activation_or_none, initializer
from tapegrad.nn.module import Layer
from tapegrad.nn.shapes import Shape, ShapeLike, sample_shape
from tapegrad.nn.weight_rules import rules_of
from tapegrad.nn.weights import initial, weights_dtype


class Dense(Layer):
    """y = activation(x @ kernel + bias)

    x has the shape (..., in_features), usually (batch, in_features), and any floating dtype; y has (..., units).
    `kernel` is a Parameter of shape (in_features, units), `bias` one of shape (units,), or None. Definition and
    defaults: Keras's Dense.

    Args:
        units: The number of outputs.
        activation: A name from `nn.activations`, a function x -> y, or None for none.
        in_features: The number of inputs. With None the weights are made at the first call, on the device of its input,
            or by `build(shape)`.
        input_shape: Keras's form of in_features: the shape of one sample, whose last length is in_features.
        use_bias: Whether there is a bias.
        kernel_initializer, bias_initializer: Names from `nn.init`, or functions shape -> array.
        kernel_regularizer, bias_regularizer: Penalties of the weights: `nn.L2(0.01)`, "l2", or a function w -> number.
            `Sequential.fit` adds them to the loss; in a loop of your own write `loss + model.penalty()`.
        kernel_constraint, bias_constraint: What every optimizer's step leaves of the weights: `nn.MaxNorm(2.0)`,
            "non_neg", or a function w -> w.
        dtype: The floating dtype of the weights; None is `tg.get_default_dtype()`.

    Raises:
        ValueError: The last axis of an input is not in_features long.
    """

    activation: Any
    kernel_initializer: Any
    bias_initializer: Any
    checks = {
        "units": positive_integer, "activation": activation_or_none, "use_bias": truth,
        "kernel_initializer": initializer, "bias_initializer": initializer, **rules_of("kernel", "bias"),
        **INPUT,
    }  # fmt: skip

    def __init__(
        self,
        units: int,
        activation: ActivationLike | None = None,
        *,
        in_features: int | None = None,
        input_shape: ShapeLike | None = None,
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: WeightRuleLike | None = None,
        bias_regularizer: WeightRuleLike | None = None,
        kernel_constraint: WeightRuleLike | None = None,
        bias_constraint: WeightRuleLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        refuse_torch_order(units, activation)
        self.units, self.activation = units, activation
        self.in_features, self.input_shape = input_of(in_features, input_shape)
        self.use_bias = use_bias
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        self.kernel_regularizer, self.bias_regularizer = kernel_regularizer, bias_regularizer
        self.kernel_constraint, self.bias_constraint = kernel_constraint, bias_constraint
        self._dtype = weights_dtype("Dense", dtype)
        self.kernel: Built = None
        self.bias: Built = None
        self.built = False
        if self.in_features is not None:
            self._make_weights(self.in_features, default_place())

    @property
    def dtype(self) -> str:
        """The name of the weights' dtype."""
        return name_of(self.kernel.dtype) if self.built else self._dtype

    def _make_weights(self, in_features: int, device: str) -> None:
        self.in_features = in_features
        self.kernel = self._parameter(self.kernel_initializer, (in_features, self.units), device)
        self.bias = self._parameter(self.bias_initializer, (self.units,), device) if self.use_bias else None
        self.built = True
        self.keep_frozen()

    def _parameter(self, initializer: Function, shape: Shape, device: str) -> Parameter:
        return Parameter(initial("Dense", initializer, shape, self._dtype, device))

    def infer_shape(self, shape: Shape) -> Shape:
        if not shape:
            raise ValueError(f"{self!r}: expected samples of at least one axis, got shape ()")
        if not self.built:
            self._make_weights(shape[-1], default_place())
        elif shape[-1] != self.in_features:
            raise self._wrong_width(shape)
        return (*shape[:-1], self.units)

    def forward(self, x: TensorLike) -> Tensor:
        if not isinstance(x, Tensor):
            x = tensor(x)
        shape = x._data.shape
        if self.kernel is None:
            if not shape:
                raise self._wrong_width(shape)
            self._make_weights(shape[-1], x.device)
        if not shape or shape[-1] != self.kernel._data.shape[0]:
            raise self._wrong_width(shape)
        if self.bias is not None:
            return dense(x, self.kernel, self.bias, self.activation)
        y = matmul(x, self.kernel)
        return y if self.activation is None else self.activation(y)

    def config(self) -> Config:
        config = super().config()
        if self.input_shape == (self.in_features,):
            config["input_shape"] = None  # in_features says it
        return config

    def _wrong_width(self, shape: Shape) -> ValueError:
        expected = (
            "at least one axis"
            if self.in_features is None
            else f"{self.in_features} features in the last axis"
        )
        return ValueError(f"{self!r}: expected an input with {expected}, got shape {tuple(shape)}")


def refuse_torch_order(units: int, activation: object) -> None:
    """Raise TypeError for `Dense(784, 10)`, which PyTorch's Linear takes as the inputs and the outputs."""
    if isinstance(activation, int) and not isinstance(activation, bool):
        raise TypeError(
            f"Dense: the second argument is the activation, got {activation!r}: PyTorch's Linear({units}, "
            f"{activation}) is nn.Linear({units}, {activation}), or nn.Dense({activation}, in_features={units})"
        )


def input_of(in_features: int | None, input_shape: ShapeLike | None) -> tuple[int | None, Shape | None]:
    """The number of features and the shape of a sample, as far as one of the two arguments says them."""
    if input_shape is None:
        known = None if in_features is None else (positive_integer("Dense: in_features", in_features),)
        return in_features, known
    shape = sample_shape("Dense: input_shape", input_shape)
    if not shape or in_features not in (None, shape[-1]):
        raise ValueError(
            f"Dense: input_shape={input_shape!r} and in_features={in_features!r} disagree: give one of them"
        )
    return shape[-1], shape
