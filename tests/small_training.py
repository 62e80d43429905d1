"""A small model, its batches and its training, for cases of changing surroundings."""

from typing import Any

import tapegrad as tg
from surroundings import T

nn, optim = tg.nn, tg.optim


def batch(i: int) -> Any:
    return T([[1.0 + 0.25 * (i % 4), 2.0 - 0.5 * (i % 3)]])


def model() -> Any:
    tg.manual_seed(3)
    m = nn.Sequential(nn.Dense(3, "tanh", in_features=2), nn.Dense(1, in_features=3))
    m.build((2,))
    return m


class Trainer:
    """A step of SGD on `loss_of(self, x)`."""

    def __init__(self, loss_of: Any = None, lr: float = 0.05) -> None:
        self.m = model()
        self.o = optim.SGD(self.m, lr=lr)
        self.loss_of = loss_of or (lambda self, x: (self.m(x) ** 2).mean())
        self.step_count = 0

    def step(self, x: Any) -> Any:
        loss = self.loss_of(self, x)
        self.o.zero_grad()
        loss.backward()
        self.o.step()
        return loss.detach()


def trained(J: Any, t: Any, before: Any = lambda i: None, calls: int = 9, at: Any = batch) -> Any:
    f = J(t.step)
    for i in range(calls):
        before(i)
        yield f(at(i))
    yield [p.numpy() for p in t.m.parameters()]
