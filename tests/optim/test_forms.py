"""form="torch": PyTorch's formulas, worked out in float64 here, and once against PyTorch itself where it is there."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from optimizer_rows import SHAPES, give, gradients, parameters, starts

import tapegrad as tg
from tapegrad import optim


# ---- PyTorch's formulas: g has the L2 decay in it; t counts from 1 ----
def sgd(
    p: Any,
    g: Any,
    s: Any,
    t: int,
    lr: float,
    momentum: float = 0,
    dampening: float = 0,
    nesterov: bool = False,
) -> Any:
    s["b"] = g if t == 1 else momentum * s["b"] + (1 - dampening) * g
    return p - lr * (g + momentum * s["b"] if nesterov else s["b"])


def adam(
    p: Any, g: Any, s: Any, t: int, lr: float, beta_1: float, beta_2: float, eps: float, amsgrad: bool = False
) -> Any:
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["v"] = beta_2 * s.get("v", 0) + (1 - beta_2) * g**2
    s["top"] = np.maximum(s.get("top", 0), s["v"])
    root = np.sqrt((s["top"] if amsgrad else s["v"]) / (1 - beta_2**t))
    return p - lr * s["m"] / (1 - beta_1**t) / (root + eps)


def rmsprop(
    p: Any,
    g: Any,
    s: Any,
    t: int,
    lr: float,
    rho: float,
    eps: float,
    momentum: float = 0,
    centered: bool = False,
) -> Any:
    s["s"] = rho * s.get("s", 0) + (1 - rho) * g**2
    s["a"] = rho * s.get("a", 0) + (1 - rho) * g
    s["b"] = momentum * s.get("b", 0) + g / (np.sqrt(s["s"] - s["a"] ** 2 if centered else s["s"]) + eps)
    return p - lr * s["b"]


def adagrad(p: Any, g: Any, s: Any, t: int, lr: float, initial_accumulator_value: float, eps: float) -> Any:
    s["s"] = s.get("s", initial_accumulator_value) + g**2
    return p - lr * g / (np.sqrt(s["s"]) + eps)


def adadelta(p: Any, g: Any, s: Any, t: int, lr: float, rho: float, eps: float) -> Any:
    s["s"] = rho * s.get("s", 0) + (1 - rho) * g**2
    d = np.sqrt(s.get("u", 0) + eps) / np.sqrt(s["s"] + eps) * g
    s["u"] = rho * s.get("u", 0) + (1 - rho) * d**2
    return p - lr * d


def adamax(p: Any, g: Any, s: Any, t: int, lr: float, beta_1: float, beta_2: float, eps: float) -> Any:
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["u"] = np.maximum(beta_2 * s.get("u", 0), np.abs(g) + eps)
    return p - lr / (1 - beta_1**t) * s["m"] / s["u"]


def nadam(
    p: Any, g: Any, s: Any, t: int, lr: float, beta_1: float, beta_2: float, eps: float, momentum_decay: float
) -> Any:
    mu = [beta_1 * (1 - 0.5 * 0.96 ** (i * momentum_decay)) for i in range(1, t + 2)]
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["v"] = beta_2 * s.get("v", 0) + (1 - beta_2) * g**2
    m_hat = mu[t] * s["m"] / (1 - np.prod(mu)) + (1 - mu[t - 1]) * g / (1 - np.prod(mu[:t]))
    return p - lr * m_hat / (np.sqrt(s["v"] / (1 - beta_2**t)) + eps)


def radam(p: Any, g: Any, s: Any, t: int, lr: float, beta_1: float, beta_2: float, eps: float) -> Any:
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["v"] = beta_2 * s.get("v", 0) + (1 - beta_2) * g**2
    m_hat, largest = s["m"] / (1 - beta_1**t), 2 / (1 - beta_2) - 1
    n = largest - 2 * t * beta_2**t / (1 - beta_2**t)
    if n <= 5:
        return p - lr * m_hat
    r = np.sqrt((n - 4) * (n - 2) * largest / ((largest - 4) * (largest - 2) * n))
    return p - lr * r * m_hat * np.sqrt(1 - beta_2**t) / (np.sqrt(s["v"]) + eps)


ROWS: list[tuple[str, Any, dict[str, Any]]] = [
    ("SGD", sgd, {}),
    ("SGD", sgd, {"lr": 0.01, "momentum": 0.9}),
    ("SGD", sgd, {"lr": 0.01, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", sgd, {"lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    ("Adam", adam, {}),
    ("Adam", adam, {"lr": 0.01, "eps": 1e-2, "amsgrad": True, "weight_decay": 0.1}),
    ("Adam", adam, {"lr": 0.01, "beta_1": 0.5, "beta_2": 0.9, "maximize": True}),
    ("AdamW", adam, {}),
    ("AdamW", adam, {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}),
    ("RMSprop", rmsprop, {}),
    ("RMSprop", rmsprop, {"lr": 0.01, "rho": 0.8, "momentum": 0.9, "weight_decay": 0.1}),
    ("RMSprop", rmsprop, {"lr": 0.01, "centered": True, "eps": 1e-3}),
    ("Adagrad", adagrad, {}),
    ("Adagrad", adagrad, {"lr": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-2, "weight_decay": 0.1}),
    ("Adadelta", adadelta, {}),
    ("Adadelta", adadelta, {"lr": 0.1, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("Adamax", adamax, {}),
    ("Adamax", adamax, {"lr": 0.01, "beta_1": 0.5, "beta_2": 0.9, "eps": 1e-2, "weight_decay": 0.1}),
    ("Nadam", nadam, {}),
    ("Nadam", nadam, {"lr": 0.01, "beta_1": 0.5, "beta_2": 0.9, "eps": 1e-2, "weight_decay": 0.1}),
    ("Nadam", nadam, {"momentum_decay": 0.5, "maximize": True}),
    ("RAdam", radam, {}),
    ("RAdam", radam, {"lr": 0.01, "beta_1": 0.5, "beta_2": 0.6, "eps": 1e-2, "weight_decay": 0.1}),
]  # fmt: skip
IDS = [f"{name}-{'-'.join(options) or 'defaults'}" for name, _, options in ROWS]
STEPS = 100


def ours(name: str, options: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    params = parameters(starts())
    opt = getattr(optim, name)(params, form="torch", **options)
    for step, grads in enumerate(gradients(STEPS)):
        if step == 20:
            opt.lr = opt.lr / 2  # the momentum is scaled with it
        give(params, grads)
        opt.step()
    return {n: p.numpy() for n, p in params.items()}, opt.config()


@pytest.mark.parametrize(("name", "formula", "options"), ROWS, ids=IDS)
def test_follows_the_formula(name: str, formula: Any, options: dict[str, Any]) -> None:
    found, config = ours(name, options)
    decay = config["weight_decay"] or 0.0
    own = {k: v for k, v in config.items() if k not in optim.Optimizer.shared}
    own["lr"] *= 2
    values, memory = starts(), {n: {} for n in SHAPES}
    for t, grads in enumerate(gradients(STEPS), 1):
        if t == 21:
            own["lr"] /= 2
        for n, g in grads.items():
            g = -g if config["maximize"] else g
            if name == "AdamW":
                values[n] = values[n] * (1 - own["lr"] * decay)
            else:
                g = g + decay * values[n]
            values[n] = formula(values[n], g, memory[n], t, **own)
    for n, expected in values.items():
        np.testing.assert_allclose(found[n], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "formula", "options"), ROWS, ids=IDS)
def test_follows_pytorch(
    name: str, formula: Any, options: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    request.addfinalizer(partial(torch.set_default_dtype, torch.get_default_dtype()))
    torch.set_default_dtype(torch.float64)  # of NAdam's product
    found, _ = ours(name, options)
    theirs = {k: v for k, v in options.items() if not k.startswith("beta_") and k != "rho"}
    if "beta_1" in options:
        theirs["betas"] = (options["beta_1"], options["beta_2"])
    if "rho" in options:
        theirs["rho" if name == "Adadelta" else "alpha"] = options["rho"]
    params = {n: torch.nn.Parameter(torch.tensor(v)) for n, v in starts().items()}
    opt = getattr(torch.optim, {"Nadam": "NAdam"}.get(name, name))(params.values(), **theirs)
    for step, grads in enumerate(gradients(STEPS)):
        if step == 20:
            opt.param_groups[0]["lr"] /= 2
        for n, p in params.items():
            p.grad = torch.tensor(grads[n])
        opt.step()
    for n, p in params.items():
        np.testing.assert_allclose(found[n], p.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_gradient_descent_with_l2_decay() -> None:
    p = tg.tensor([2.0], dtype="float64", requires_grad=True)
    p.grad = tg.tensor([1.0], dtype="float64")
    optim.GradientDescent([p], lr=0.1, weight_decay=0.5, form="torch").step()
    assert p.item() == pytest.approx(2.0 - 0.1 * (1.0 + 0.5 * 2.0))


BOTH = {"form": "torch", "dampening": 0.1, "momentum": 0.9, "nesterov": True}


@pytest.mark.parametrize("options", [{"dampening": 0.1}, {"form": "jax"}, BOTH])
def test_what_does_not_go_together(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"form|dampening"):
        optim.SGD(**options)


def test_a_form_stays() -> None:
    opt = optim.SGD([tg.tensor([1.0], requires_grad=True)])
    with pytest.raises(AttributeError, match="form decides what the state of SGD is"):
        opt.form = "torch"
