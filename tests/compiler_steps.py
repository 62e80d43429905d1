"""Training runs that the compiler's tests share."""

from typing import Any

import numpy as np

import tapegrad as tg

F = tg.nn.functional
RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 6)).astype("float32")
T = (RNG.random((20, 1)) > 0.5).astype("float32")


def make(optimizer: str = "Adam", dropout: float = 0.0, **options: Any) -> tuple[Any, Any]:
    tg.manual_seed(0)
    layers = [tg.nn.Dense(8, activation="tanh", in_features=6), tg.nn.Dense(5, activation="relu")]
    extra = [tg.nn.Dropout(dropout)] if dropout else []
    model = tg.nn.Sequential(*layers, *extra, tg.nn.Dense(1))
    return model, getattr(tg.optim, optimizer)(model.parameters(), **options)


def step_of(model: Any, opt: Any) -> Any:
    def step(x: Any, t: Any) -> Any:
        opt.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(x), t)
        loss.backward()
        opt.step()
        return loss

    return step


def batches(n: int) -> list[tuple[Any, Any]]:
    orders = [np.random.default_rng(i).permutation(20)[:16] for i in range(n)]
    return [(tg.tensor(X[o]), tg.tensor(T[o])) for o in orders]


def train(
    emitter: str | None, n: int = 12, between: Any = None, **how: Any
) -> tuple[list[float], list[Any], Any]:
    """(losses, parameters with optimizer state and gradients, the step) after n batches; None: not compiled."""
    model, opt = make(**how)
    step = tg.jit(step_of(model, opt), emitter=emitter) if emitter else step_of(model, opt)
    losses = []
    for i, (x, t) in enumerate(batches(n)):
        if between:
            between(i, model, opt)
        losses.append(step(x, t).item())
    state = [p.numpy() for p in model.parameters()] + [t.numpy() for t in opt.state_dict().values()]
    state += [p.grad.numpy() for p in model.parameters() if p.grad is not None]
    return losses, state, step


def scheduled(i: int, model: Any, opt: Any) -> None:
    opt.lr = 0.01 / (i + 1)


def reloaded(i: int, model: Any, opt: Any) -> None:
    if i == 5:
        model.load_state_dict({k: v * 0.5 for k, v in model.state_dict().items()})
        opt.load_state_dict(opt.state_dict())


def switched(i: int, model: Any, opt: Any) -> None:
    model.train(i % 3 != 0)


def replaced(i: int, model: Any, opt: Any) -> None:
    if i in (3, 7):
        for p in model.parameters():
            p.data = p.data.copy()


HOW = {
    "adam": {}, "amsgrad": {"amsgrad": True}, "weight decay": {"weight_decay": 0.1},
    "sgd": {"optimizer": "SGD", "lr": 0.1}, "nesterov": {"optimizer": "SGD", "momentum": 0.9, "nesterov": True},
    "rmsprop": {"optimizer": "RMSprop", "centered": True, "momentum": 0.5}, "adagrad": {"optimizer": "Adagrad"},
    "adamw": {"optimizer": "AdamW"}, "clipnorm": {"clipnorm": 0.01}, "global_clipnorm": {"global_clipnorm": 0.01},
    "clipvalue": {"clipvalue": 0.001}, "maximize": {"maximize": True}, "dropout": {"dropout": 0.4},
    "a schedule": {"between": scheduled}, "loaded in between": {"between": reloaded},
    "train and eval": {"between": switched, "dropout": 0.4}, "parameters replaced": {"between": replaced},
}  # fmt: skip
