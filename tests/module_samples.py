"""Modules that the tests of nn.Module share."""

from typing import Any

import tapegrad as tg
from tapegrad import nn


class Net(nn.Module):
    """One of everything: a layer, parameters, a buffer, containers, a shared layer, and things to leave alone."""

    def __init__(self) -> None:
        self.first = nn.Dense(4, "tanh", in_features=3)
        self.scale = nn.Parameter(tg.tensor(2.0))
        self.blocks = [nn.Dense(4, in_features=4), (nn.Dropout(0.5),), {"last": nn.Dense(2, in_features=4)}]
        self.again = self.first
        self.mean = nn.Buffer(tg.zeros(4))
        self.constant = tg.ones(7)
        self.note = ["text", 3, None, {"a": 1}]
        self.tied = nn.Dense(3, use_bias=False, in_features=4)
        self.tied.kernel = self.blocks[2]["last"].kernel  # type: ignore[index]

    def forward(self, x: Any) -> Any:
        h = self.scale * self.first(x) - self.mean
        return self.blocks[2]["last"](self.blocks[1][0](self.blocks[0](h)))  # type: ignore[index, operator]


PATHS = [
    "first.kernel", "first.bias", "scale", "blocks.0.kernel", "blocks.0.bias", "blocks.2.last.kernel",
    "blocks.2.last.bias",
]  # fmt: skip


class Builds(nn.Module):
    def __init__(self, units: int = 2) -> None:
        self.units = units

    def build(self, shape: Any) -> Any:
        self.weight = nn.Parameter(tg.ones((shape[-1], self.units)))
        return (*shape[:-1], self.units)

    def forward(self, x: Any) -> Any:
        return x @ self.weight
