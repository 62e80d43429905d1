"""Layers called in training or in evaluation mode, as `model(x, training=True)` asks for, and put back."""

from collections.abc import Iterator
from contextlib import contextmanager

from tapegrad import nn
from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import truth
from tapegrad.autograd.tensor import Tensor
from tapegrad.models.aliases import Model
from tapegrad.nn.module import Module


@contextmanager
def mode(model: Model, training: bool) -> Iterator[list[Module]]:
    """Put all modules, which the block is given, into training or evaluation, and back to where each of them was."""
    modules = [module for _, module in model.named_modules()]
    before = [module.training for module in modules]
    try:
        set_mode(modules, training)
        yield modules
    finally:
        for module, was in zip(modules, before):
            if module.training is not was:
                module.training = was


def set_mode(modules: list[Module], training: bool) -> None:
    """Each gets an attribute of its own, also one that is in this mode by its class: compiled steps tell them apart."""
    for module in modules:
        if vars(module).get("training") is not training:
            module.training = training


class InMode(nn.Sequential):
    """Layers one after the other; a call may name the mode."""

    def forward(self, x: TensorLike, training: bool | None = None) -> Tensor:
        """The outputs of the last layer.

        Args:
            x: The rows.
            training: True runs all layers in training mode, False in evaluation mode; each is in its own again
                afterwards. None leaves each in the mode it is in.
        """
        if training is None:
            return super().forward(x)
        with mode(self, truth("training", training)):
            return super().forward(x)


def own_forward(model: nn.Sequential) -> bool:
    """Whether a subclass brings a `forward` of its own."""
    return type(model).forward not in (nn.Sequential.forward, InMode.forward)
