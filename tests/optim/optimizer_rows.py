"""The table: one row per optimizer and option, run by every test that concerns all of them.

Each row names our optimizer, Keras's counterpart (None where it has none), and the update as an independent formula on
NumPy arrays: `formula(p, g, s, t, **options)` returns the new p and keeps its state in the dict s; t counts from 1.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tapegrad as tg
from tapegrad import optim

SHAPES = {"kernel": (3, 4), "bias": (4,), "scale": ()}


# ---- what the tests make of tensors ----
def leaf(*values, dtype="float64", **where):
    return tg.tensor(list(values), dtype=dtype, requires_grad=True, **where)


def step_with(opt, *pairs):
    opt.zero_grad()
    for p, g in pairs:
        p.grad = tg.tensor(g, dtype=p.dtype, device=p.device)
    opt.step()


# ---- the formulas, as in the papers ----
def gradient_descent(p, g, s, t, lr=0.01):
    return p - lr * g


def sgd(p, g, s, t, lr=0.01, momentum=0.0, nesterov=False):
    s["v"] = momentum * s.get("v", 0) - lr * g
    return p + momentum * s["v"] - lr * g if nesterov else p + s["v"]


def adam(p, g, s, t, lr=0.001, beta_1=0.9, beta_2=0.999, eps=1e-7, amsgrad=False):
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["v"] = beta_2 * s.get("v", 0) + (1 - beta_2) * g**2
    s["top"] = np.maximum(s.get("top", 0), s["v"])
    step = lr * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return p - step * s["m"] / (np.sqrt(s["top"] if amsgrad else s["v"]) + eps)


def rmsprop(p, g, s, t, lr=0.001, rho=0.9, momentum=0.0, eps=1e-7, centered=False):
    s["s"] = rho * s.get("s", 0) + (1 - rho) * g**2
    s["a"] = rho * s.get("a", 0) + (1 - rho) * g
    variance = s["s"] - s["a"] ** 2 if centered else s["s"]
    s["b"] = momentum * s.get("b", 0) + lr * g / np.sqrt(variance + eps)
    return p - s["b"]


def adagrad(p, g, s, t, lr=0.001, initial_accumulator_value=0.1, eps=1e-7):
    s["s"] = s.get("s", initial_accumulator_value) + g**2
    return p - lr * g / np.sqrt(s["s"] + eps)


def adadelta(p, g, s, t, lr=0.001, rho=0.95, eps=1e-7):
    s["s"] = rho * s.get("s", 0) + (1 - rho) * g**2
    d = np.sqrt(s.get("u", 0) + eps) / np.sqrt(s["s"] + eps) * g
    s["u"] = rho * s.get("u", 0) + (1 - rho) * d**2
    return p - lr * d


def adamax(p, g, s, t, lr=0.001, beta_1=0.9, beta_2=0.999, eps=1e-7):
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["u"] = np.maximum(beta_2 * s.get("u", 0), np.abs(g))
    return p - lr / (1 - beta_1**t) * s["m"] / (s["u"] + eps)


def nadam(p, g, s, t, lr=0.001, beta_1=0.9, beta_2=0.999, eps=1e-7, momentum_decay=1.0):
    mu = [beta_1 * (1 - 0.5 * 0.96 ** (i * momentum_decay)) for i in range(1, t + 2)]
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["v"] = beta_2 * s.get("v", 0) + (1 - beta_2) * g**2
    m_hat = mu[t] * s["m"] / (1 - np.prod(mu)) + (1 - mu[t - 1]) * g / (1 - np.prod(mu[:t]))
    return p - lr * m_hat / (np.sqrt(s["v"] / (1 - beta_2**t)) + eps)


def radam(p, g, s, t, lr=0.001, beta_1=0.9, beta_2=0.999, eps=1e-8):
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["v"] = beta_2 * s.get("v", 0) + (1 - beta_2) * g**2
    m_hat, largest = s["m"] / (1 - beta_1**t), 2 / (1 - beta_2) - 1
    n = largest - 2 * t * beta_2**t / (1 - beta_2**t)
    if n <= 5:
        return p - lr * m_hat
    r = np.sqrt((n - 4) * (n - 2) * largest / ((largest - 4) * (largest - 2) * n))
    return p - lr * r * m_hat * np.sqrt(1 - beta_2**t) / (np.sqrt(s["v"]) + eps)


def lion(p, g, s, t, lr=0.001, beta_1=0.9, beta_2=0.99):
    m = s.get("m", 0)
    s["m"] = beta_2 * m + (1 - beta_2) * g
    return p - lr * np.sign(beta_1 * m + (1 - beta_1) * g)


def muon(
    p, g, s, t, lr=0.001, momentum=0.95, nesterov=True, ns_steps=5, rms_rate=0.2, matrices=True, **of_adam
):  # fmt: skip
    if np.ndim(p) != 2 or not matrices:
        return adam(p, g, s, t, lr, **of_adam)
    s["m"] = momentum * s.get("m", 0) + g
    x = g + momentum * s["m"] if nesterov else s["m"]
    x = x / (np.sqrt(np.sum(x**2)) + 1e-7)
    for _ in range(ns_steps):
        a = x @ x.T  # whichever side is longer: the same matrix in exact arithmetic
        x = 3.4445 * x - 4.7750 * a @ x + 2.0315 * a @ a @ x
    return p - lr * x * (np.sqrt(max(p.shape)) * rms_rate if rms_rate else 1)


@dataclass(frozen=True)
class Row:
    name: str
    make: Callable[..., optim.Optimizer]
    keras: str | None
    formula: Callable[..., Any]
    options: dict[str, Any] = field(default_factory=dict)
    rosenbrock: float = 0.03  # a learning rate that gets into its valley and along it
    parabola: float = 0.1

    def optimizer(self, params, **changes):
        return self.make(params, **{**self.options, **changes})


ROWS = [
    Row("gradient-descent", optim.GradientDescent, "SGD", gradient_descent, rosenbrock=0.002),
    Row("gradient-descent-maximize", optim.GradientDescent, "SGD", gradient_descent, {"maximize": True}, 0.002),
    Row("sgd", optim.SGD, "SGD", sgd, rosenbrock=0.002),
    Row("sgd-momentum", optim.SGD, "SGD", sgd, {"momentum": 0.9}, 0.001, 0.01),
    Row("sgd-nesterov", optim.SGD, "SGD", sgd, {"momentum": 0.9, "nesterov": True}, 0.001, 0.01),
    Row("sgd-weight-decay", optim.SGD, "SGD", sgd, {"momentum": 0.5, "weight_decay": 0.01}, 0.002),
    Row("sgd-clipvalue", optim.SGD, "SGD", sgd, {"clipvalue": 0.3}, 0.004),
    Row("sgd-clipnorm", optim.SGD, "SGD", sgd, {"clipnorm": 0.5}, 0.006),
    Row("sgd-global-clipnorm", optim.SGD, "SGD", sgd, {"global_clipnorm": 0.5, "momentum": 0.5}, 0.006),
    Row("adam", optim.Adam, "Adam", adam),
    Row("adam-betas", optim.Adam, "Adam", adam, {"lr": 0.01, "beta_1": 0.8, "beta_2": 0.95, "eps": 1e-3}),
    Row("adam-amsgrad", optim.Adam, "Adam", adam, {"amsgrad": True}),
    Row("adam-maximize", optim.Adam, "Adam", adam, {"maximize": True}),
    Row("adam-weight-decay", optim.Adam, "Adam", adam, {"weight_decay": 0.02}),
    Row("adam-clipvalue", optim.Adam, "Adam", adam, {"clipvalue": 0.1}, 0.004),
    Row("adam-clipnorm", optim.Adam, "Adam", adam, {"clipnorm": 0.1}, 0.004),
    Row("adam-global-clipnorm", optim.Adam, "Adam", adam, {"global_clipnorm": 0.2}, 0.004),
    Row("adamw", optim.AdamW, "AdamW", adam),
    Row("adamw-amsgrad", optim.AdamW, "AdamW", adam, {"weight_decay": 0.1, "amsgrad": True, "lr": 0.005}),
    Row("adamw-betas", optim.AdamW, "AdamW", adam, {"beta_1": 0.5, "beta_2": 0.9, "eps": 1e-4}),
    Row("rmsprop", optim.RMSprop, "RMSprop", rmsprop, {}, 0.003, 0.01),
    Row("rmsprop-rho", optim.RMSprop, "RMSprop", rmsprop, {"rho": 0.6, "eps": 1e-3}, 0.003, 0.01),
    Row("rmsprop-momentum", optim.RMSprop, "RMSprop", rmsprop, {"momentum": 0.5}, 0.003, 0.01),
    Row("rmsprop-centered", optim.RMSprop, "RMSprop", rmsprop, {"centered": True}, 0.002, 0.01),
    Row("rmsprop-all", optim.RMSprop, "RMSprop", rmsprop, {"centered": True, "momentum": 0.8}, 0.001, 0.005),
    Row("adagrad", optim.Adagrad, "Adagrad", adagrad, {}, 0.1, 1.0),
    Row("adagrad-start", optim.Adagrad, "Adagrad", adagrad,
        {"initial_accumulator_value": 1.0, "eps": 1e-2}, 0.1, 1.0),
    Row("adadelta", optim.Adadelta, "Adadelta", adadelta, {}, 1.5, 10.0),
    Row("adadelta-rho", optim.Adadelta, "Adadelta", adadelta, {"lr": 1.0, "rho": 0.5, "eps": 1e-4}, 0.03, 0.3),
    Row("adamax", optim.Adamax, "Adamax", adamax),
    Row("adamax-betas", optim.Adamax, "Adamax", adamax, {"beta_1": 0.5, "beta_2": 0.9, "eps": 1e-2}),
    Row("adamax-weight-decay", optim.Adamax, "Adamax", adamax, {"weight_decay": 0.02, "clipnorm": 0.5}),
    Row("nadam", optim.Nadam, "Nadam", nadam),
    Row("nadam-betas", optim.Nadam, "Nadam", nadam, {"beta_1": 0.5, "beta_2": 0.9, "eps": 1e-3}),
    Row("nadam-decay", optim.Nadam, None, nadam, {"momentum_decay": 0.004, "weight_decay": 0.02}),
    Row("radam", optim.RAdam, None, radam, {"clipnorm": 1.0}, 0.02),
    Row("radam-betas", optim.RAdam, None, radam, {"beta_1": 0.5, "beta_2": 0.9, "eps": 1e-3}, 0.003),
    Row("lion", optim.Lion, "Lion", lion, {}, 0.003, 0.02),
    Row("muon", optim.Muon, "Muon", muon),
    Row("muon-momentum", optim.Muon, "Muon", muon, {"momentum": 0.75, "nesterov": False, "ns_steps": 3}),
    Row("muon-plain", optim.Muon, "Muon", muon, {"rms_rate": None, "lr": 0.01}),
    Row("muon-adam", optim.Muon, None, muon,
        {"matrices": False, "beta_1": 0.5, "beta_2": 0.9, "eps": 1e-3, "weight_decay": 0.02}),
    Row("lion-betas", optim.Lion, "Lion", lion, {"beta_1": 0.5, "beta_2": 0.75, "weight_decay": 0.01}, 0.003, 0.02),
]  # fmt: skip
ON_ROWS = {"argvalues": ROWS, "ids": [row.name for row in ROWS]}


# ---- what the tests feed them ----
def starts(dtype="float64"):
    """Initial values by name."""
    rng = np.random.default_rng(7)
    return {name: np.asarray(rng.normal(size=shape), dtype) for name, shape in SHAPES.items()}


def gradients(steps, dtype="float64"):
    """For each step a gradient per parameter: of sizes from a hundredth to ten, now and then all 0."""
    rng = np.random.default_rng(11)
    size = {"kernel": 1.0, "bias": 10.0, "scale": 0.01}
    return [
        {
            name: np.asarray(rng.normal(size=s) * size[name] * (t % 10 != 3), dtype)
            for name, s in SHAPES.items()
        }
        for t in range(steps)
    ]


def parameters(values, device=None):
    return {name: tg.tensor(value, device=device, requires_grad=True) for name, value in values.items()}


def give(params, grads):
    for name, p in params.items():
        p.grad = None if grads.get(name) is None else tg.tensor(grads[name], dtype=p.dtype, device=p.device)


def trained(row, steps, dtype="float64", device=None, **changes):
    """The parameters after some steps, as NumPy arrays, and the optimizer."""
    params = parameters(starts(dtype), device)
    opt = row.optimizer(params, **changes)
    for grads in gradients(steps, dtype):
        give(params, grads)
        opt.step()
    return {name: p.numpy() for name, p in params.items()}, opt


def by_formula(row, steps):
    """The same by the row's formula, with the options that all optimizers share spelled out."""
    own = {k: v for k, v in row.options.items() if k not in optim.Optimizer.shared}
    lr = own.get("lr", row.make().lr)
    decay = row.options.get("weight_decay", row.make.keras_defaults.get("weight_decay", 0))
    values, memory = starts(), {name: {} for name in SHAPES}
    for t, grads in enumerate(gradients(steps), 1):
        if "clipvalue" in row.options:
            grads = {
                n: np.clip(g, -row.options["clipvalue"], row.options["clipvalue"]) for n, g in grads.items()
            }
        if (limit := row.options.get("clipnorm")) is not None:
            grads = {n: g * min(1, limit / max(np.sqrt((g**2).sum()), 1e-300)) for n, g in grads.items()}
        if (limit := row.options.get("global_clipnorm")) is not None:
            norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
            grads = {n: g * min(1, limit / max(norm, 1e-300)) for n, g in grads.items()}
        for name, g in grads.items():
            p = values[name] - lr * decay * values[name]
            g = -g if row.options.get("maximize") else g
            values[name] = row.formula(p, g, memory[name], t, **own)
    return values
