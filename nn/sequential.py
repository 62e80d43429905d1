"""Layers one after the other."""

from collections.abc import Iterator
from typing import Any

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.foreign import answering
from tapegrad.autograd.ops.shape import as_tensor
from tapegrad.autograd.tensor import Tensor
from tapegrad.nn.lookup import snake_case
from tapegrad.nn.module import Layer, Module
from tapegrad.nn.shapes import Shape


class Sequential(Layer):
    """Calls its layers in turn, each on the output of the one before.

    `append` adds a layer at the end. If the first layer knows its input (Dense(64, in_features=30), or
    input_shape=(…)), every layer makes its weights as it is added.

    Args:
        layers: The layers, as arguments or as one list.

    Raises:
        TypeError: Something is not a layer.
    """

    def __init__(self, *layers: Any) -> None:
        self.layers: list[Module] = []
        self._output_shape: Shape | None = None
        for layer in layers[0] if len(layers) == 1 and isinstance(layers[0], (list, tuple)) else layers:
            self.append(layer)

    @answering
    def append(self, layer: Module) -> None:
        """Add a layer at the end.

        Args:
            layer: A Module.
        """
        if not isinstance(layer, Module):
            raise TypeError(
                f"Sequential: expected a layer, got {layer!r}: wrap a function as nn.Activation(function)"
            )
        if not self.layers:
            self.input_shape = layer.input_shape
        shape = layer.input_shape if self._output_shape is None else self._output_shape
        self._output_shape = None if shape is None else layer.infer_shape(shape)
        self._check_name(layer)
        self.layers.append(layer)

    def _check_name(self, layer: Module) -> None:
        """Give the layer a name that no other layer here has; ValueError for one that was given twice."""
        others = {other.name for other in self.layers if other is not layer}
        if layer.name not in others:
            return
        if layer._name is not None and not layer._name.startswith(snake_case(type(layer).__name__)):
            raise ValueError(f"Sequential: two layers have the name {layer.name!r}: give one of them another")
        kind = snake_case(type(layer).__name__)
        layer.name = next(f"{kind}_{n}" for n in range(1, len(others) + 2) if f"{kind}_{n}" not in others)

    add = append  # Keras's word for it

    @property
    def takes_integers(self) -> bool:  # type: ignore[override]
        """Whether the first layer takes integers."""
        return bool(self.layers) and self.layers[0].takes_integers

    def infer_shape(self, shape: Shape) -> Shape:
        self.input_shape = shape
        for layer in self.layers:
            shape = layer.infer_shape(shape)
        self._output_shape = shape
        return shape

    def forward(self, x: TensorLike) -> Tensor:
        y = as_tensor(x) if not self.layers else self.layers[0](x)
        for layer in self.layers[1:]:
            y = layer(y)
        return y

    def __getitem__(self, index: int | slice) -> Any:
        """One layer, or for a slice a Sequential of those (the same objects)."""
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)
