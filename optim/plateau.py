"""`Plateau`: an option that shrinks when a measured number no longer improves."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

from tapegrad.autograd.arguments import (
    at_least_0,
    integer,
    number,
    one_of,
    optional,
    several_integers,
    state_given,
)
from tapegrad.autograd.attributes import Options
from tapegrad.autograd.dtypes import float64
from tapegrad.autograd.filled import full
from tapegrad.autograd.tensor import Tensor
from tapegrad.optim.base import Optimizer


class Plateau(Options):
    """Multiplies an option of an optimizer by `factor` when a number has not improved for more than `patience` updates.

        plateau = Plateau(opt, patience=5)
        …                                        after each epoch:
        plateau.update(validation_loss)          returns whether the option was reduced

    Call it between steps, outside `tg.jit`: a compiled step follows without being recorded again. In `Sequential.fit`
    it is the callback `ReduceLROnPlateau`. The rule and the defaults are those of PyTorch's ReduceLROnPlateau, but for
    negative numbers: where the best is -100 and the threshold 0.1, PyTorch counts -91 as better, here -110 is.

    Args:
        optimizer: The optimizer.
        option: The option's name, "lr" or another number.
        factor: What it is multiplied with, between 0 and 1.
        patience: How many updates without an improvement are waited for.
        mode: "min" if smaller is better, or "max".
        threshold: By which part of the best number so far another one must be better to count.
        cooldown: Updates after a reduction that do not count.
        minimum: The option is not made smaller than this.
        groups: Which groups of the optimizer, by number; None: all.
    """

    checks = {
        "factor": partial(number, holds=lambda x: 0 < x < 1, expected="a number between 0 and 1"),
        "patience": partial(integer, least=0), "threshold": at_least_0, "cooldown": partial(integer, least=0),
        "minimum": at_least_0, "groups": optional(several_integers),
    }  # fmt: skip

    def __init__(
        self, optimizer: Optimizer, option: str = "lr", factor: float = 0.1, patience: int = 10, mode: str = "min",
        threshold: float = 1e-4, cooldown: int = 0, minimum: float = 0.0, groups: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"Plateau: optimizer must be an optimizer, got {optimizer!r}")
        if not isinstance(option, str) or option not in optimizer.option_kinds():
            raise ValueError(f"Plateau: {type(optimizer).__name__} has no option {option!r}")
        optimizer.refuse_schedule("Plateau", option)
        self.optimizer, self.option = optimizer, option
        self.factor, self.patience, self.threshold = factor, patience, threshold
        self.mode = one_of("Plateau: mode", mode, ("min", "max"))
        self.cooldown, self.minimum, self.groups = cooldown, minimum, groups
        self.best, self.waited, self.resting = math.inf, 0, 0

    def update(self, value: float | Tensor) -> bool:
        """Take up a number that was measured. Returns whether the option was reduced.

        Args:
            value: The number, such as a validation loss.
        """
        value = float(value) if self.mode == "min" else -float(value)
        if value < self.best - self.threshold * abs(self.best) or (self.best == math.inf > value):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        if self.resting:
            self.resting, self.waited = self.resting - 1, 0
        if self.waited <= self.patience:
            return False
        self.resting, self.waited = self.cooldown, 0
        for i, group in enumerate(self.optimizer.groups):
            if self.groups is None or i in self.groups:
                setattr(group, self.option, max(getattr(group, self.option) * self.factor, self.minimum))
        return True

    def state_dict(self) -> dict[str, Tensor]:
        """What later updates depend on. The option's value is part of the optimizer's state."""
        values = {"best": self.best, "waited": self.waited, "resting": self.resting}
        return {name: full((), value, dtype=float64, device="cpu") for name, value in values.items()}

    def load_state_dict(self, saved: Mapping[str, float]) -> None:
        """Take up what `state_dict` gave.

        Args:
            saved: The numbers by name.

        Raises:
            ValueError: Other names.
        """
        saved = state_given("Plateau.load_state_dict", saved)
        if saved.keys() != (own := self.state_dict()).keys():
            raise ValueError(f"Plateau.load_state_dict: expected {sorted(own)}, got {sorted(saved)}")
        self.best = float(saved["best"])
        self.waited, self.resting = int(saved["waited"]), int(saved["resting"])
