"""Small programs whose tapes the tests of the pages look at: (loss, names of the leaves)."""

from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad import nn
from tapegrad.autograd.tapes.tape import Tape


def numbers(*shape: int, seed: int = 0) -> tg.Tensor:
    return tg.tensor(np.random.default_rng(seed).normal(size=shape), dtype="float32")


def mlp() -> tuple[tg.Tensor, Any]:
    """Three layers, cross entropy, and a penalty that takes a kernel a second time."""
    tg.manual_seed(0)
    model = nn.Sequential(
        nn.Dense(16, activation="relu", in_features=4), nn.Dense(8, activation="tanh"), nn.Dense(3)
    )
    logits = model(numbers(6, 4))
    penalty = 0.01 * (model.layers[0].kernel ** 2).sum()
    return nn.functional.cross_entropy(logits, tg.tensor([0, 1, 2, 0, 1, 2])) + penalty, model


class Recurrent(nn.Module):
    def __init__(self, size: int, hidden: int) -> None:
        self.U, self.W = (
            nn.Parameter(numbers(size, hidden) * 0.5),
            nn.Parameter(numbers(hidden, hidden) * 0.2),
        )

    def forward(self, xs: tg.Tensor) -> tg.Tensor:
        h = tg.zeros((xs.shape[1], self.W.shape[0]))
        for t in range(xs.shape[0]):
            h = tg.tanh(xs[t] @ self.U + h @ self.W)
        return h


def rnn(steps: int = 50) -> tuple[tg.Tensor, Any]:
    model = Recurrent(4, 8)
    return (model(numbers(steps, 3, 4)) ** 2).mean(), model


def deep(layers: int) -> tuple[tg.Tensor, Any]:
    tg.manual_seed(0)
    model = nn.Sequential(*[nn.Dense(8, activation="relu", in_features=8) for _ in range(layers)])
    return model(tg.ones((4, 8))).sum(), model


def unlike(calls: int) -> tuple[tg.Tensor, Any]:
    """About so many calls in an order in which nothing repeats itself."""
    x = tg.tensor(np.random.default_rng(0).normal(size=(8, 8)), requires_grad=True)
    kinds = (tg.tanh, tg.sin, tg.cos, lambda v: v * v, lambda v: v + x, lambda v: v - 1.0, tg.square, tg.atan)
    y = x
    for k in np.random.default_rng(1).integers(0, len(kinds), calls - 1):
        y = kinds[k](y) if k != 6 else tg.sin(y)
    return y.mean(), {"x": x}


def special() -> tuple[tg.Tensor, Any]:
    """A value that is not finite, and cotangents over thirty decades."""
    x = tg.tensor([0.0, 1.0, 2.0], requires_grad=True)
    y = x * 1e-15
    y = y * 1e-15
    with np.errstate(invalid="ignore"):
        return (y / x).sum(), {"x": x}


def taped(made: tuple[tg.Tensor, Any]) -> Tape:
    return tg.tape(*made)


def train_step(emitter: str) -> tuple[Any, Any, tuple[tg.Tensor, tg.Tensor]]:
    """(a compiled step that was called, a function of the loss, its arguments)"""
    tg.manual_seed(0)
    model = nn.Sequential(nn.Dense(16, activation="relu", in_features=3), nn.Dense(1))
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)

    def loss_of(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        return nn.functional.mse_loss(model(x), y)

    def train_step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        loss = loss_of(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step = tg.jit(train_step, emitter=emitter)
    batch = numbers(8, 3), tg.ones((8, 1))
    for _ in range(3):
        step(*batch)
    return step, loss_of, batch
