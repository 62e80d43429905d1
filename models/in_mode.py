"""Layers called in training or in evaluation mode, as `model(x, training=True)` asks for, and put back."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, get_ident

from tapegrad import nn
from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.arguments import truth
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.whole import uninterrupted
from tapegrad.models.aliases import Model
from tapegrad.nn.module import Module


class Use:
    """Who needs a module to stay in a mode.

    before   the mode that it goes back to when nobody does any more
    blocks   the thread, and whether it is training, of each block that runs
    """

    def __init__(self, before: bool) -> None:
        self.before = before
        self.blocks: list[tuple[int, bool]] = []


LOCK = Lock()
USES: dict[int, Use] = {}  # by the id of the module, while a block runs


def keep_own_uses() -> None:
    """In a forked child, where the other threads are gone."""
    global LOCK
    LOCK = Lock()
    for key, use in list(USES.items()):
        use.blocks = [block for block in use.blocks if block[0] == get_ident()]
        if not use.blocks:
            del USES[key]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=keep_own_uses)


@contextmanager
def mode(model: Model, training: bool) -> Iterator[list[Module]]:
    """Put all modules, which the block is given, into training or evaluation, and back to where each of them was.

    Several threads may evaluate at once. RuntimeError where one of them trains.
    """
    modules = [module for _, module in model.named_modules()]
    before: list[bool] = []
    try:
        with uninterrupted(), LOCK:
            check_free(modules, training, type(model).__name__)
            before = [module.training for module in modules]
            for module in modules:
                USES.setdefault(id(module), Use(module.training)).blocks.append((get_ident(), training))
            set_mode(modules, training)
        yield modules
    finally:
        with uninterrupted(), LOCK:
            for module, was in zip(modules, before):
                put_back(module, was, (get_ident(), training))


def check_free(modules: list[Module], training: bool, name: str) -> None:
    """Raise RuntimeError where another thread needs a module in another mode, or trains it."""
    for module in modules:
        blocks = USES[id(module)].blocks if id(module) in USES else []
        if all(thread == get_ident() for thread, _ in blocks):
            continue
        trains = any(block[1] for block in blocks)
        if trains or training:
            there, here = ("trains" if one else "evaluates or predicts with" for one in (trains, training))
            raise RuntimeError(
                f"{name}: another thread {there} these layers now, and this one {here} them, which would change the "
                "numbers of both: do it in a callback of the fit, or give each thread a model of its own: "
                "other.set_weights(model.get_weights())"
            )


def put_back(module: Module, was: bool, block: tuple[int, bool]) -> None:
    use = USES[id(module)]
    use.blocks.remove(block)
    if not use.blocks:
        del USES[id(module)]
        was = use.before
    elif any(thread != block[0] for thread, _ in use.blocks):
        return
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
