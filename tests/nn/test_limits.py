"""An optimizer's step applies the constraints that layers have for its parameters, whoever calls it."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import models, nn, optim

X = np.random.default_rng(0).normal(size=(6, 3))
START = np.array([[0.5, -0.25], [-1.5, 2.0], [0.1, 0.2]])


def dense(**options: Any) -> nn.Dense:
    layer = nn.Dense(2, in_features=3, dtype="float64", use_bias=False, **options)
    layer.kernel.assign(START)
    return layer


def gradient(w: np.ndarray) -> np.ndarray:
    """Of sum((x @ w)**2)."""
    return 2 * X.T @ X @ w


def trained(w: np.ndarray, limit: Callable[[np.ndarray], np.ndarray], steps: int = 3) -> np.ndarray:
    for _ in range(steps):
        w = limit(w - 0.01 * gradient(w))
    return w


def max_norm(most: float) -> Callable[[np.ndarray], np.ndarray]:
    def limit(w: np.ndarray) -> np.ndarray:
        norms = np.sqrt((w * w).sum(axis=0, keepdims=True))
        return w * (np.minimum(norms, most) / (1e-7 + norms))

    return limit


def positive(w: np.ndarray) -> np.ndarray:
    return np.maximum(w, 0)


def same(w: np.ndarray) -> np.ndarray:
    return w


def step_of(layer: Any, optimizer: Any) -> Callable[[Any], Any]:
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = tg.square(layer(x)).sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


class Own(nn.Module):
    def __init__(self) -> None:
        self.kernel_constraint = "non_neg"
        self.kernel = nn.Parameter(START)

    def forward(self, x: Any) -> Any:
        return x @ self.kernel


def later() -> tuple[Any, Any]:
    layer = dense()
    optimizer = optim.SGD(layer, lr=0.01)
    layer.kernel_constraint = nn.MaxNorm(0.7)
    return layer, optimizer


def taken_away() -> tuple[Any, Any]:
    layer = dense(kernel_constraint="non_neg")
    optimizer = optim.SGD(layer, lr=0.01)
    layer.kernel_constraint = None
    return layer, optimizer


def deleted() -> tuple[Any, Any]:
    layer = Own()
    optimizer = optim.SGD(layer, lr=0.01)
    del layer.kernel_constraint
    return layer, optimizer


def tied() -> tuple[Any, Any]:
    """The constraint is that of another layer, which shares the weight."""
    layer, other = dense(), dense(kernel_constraint="non_neg")
    optimizer = optim.SGD(layer, lr=0.01)
    other.kernel = layer.kernel
    layer.other = other
    return layer, optimizer


def untied() -> tuple[Any, Any]:
    layer, other = dense(), dense(kernel_constraint="non_neg")
    other.kernel = layer.kernel
    optimizer = optim.SGD(layer, lr=0.01)
    other.kernel = nn.Parameter(START)
    layer.other = other
    return layer, optimizer


def copied() -> tuple[Any, Any]:
    layer = copy.deepcopy(dense(kernel_constraint="non_neg"))
    return layer, optim.SGD(layer, lr=0.01)


def of(make: Callable[[Any], Any], **options: Any) -> Callable[[], tuple[Any, Any]]:
    def made() -> tuple[Any, Any]:
        layer = dense(**options)
        return layer, make(layer)

    return made


NON_NEG = {"kernel_constraint": "non_neg"}
# How the layer and its optimizer are made, and what is done to the weight after each step.
CASES: dict[str, tuple[Callable[[], tuple[Any, Any]], Callable[[np.ndarray], np.ndarray]]] = {
    "a Module": (of(lambda m: optim.SGD(m, lr=0.01), kernel_constraint=nn.MaxNorm(0.7)), max_norm(0.7)),
    "parameters": (of(lambda m: optim.SGD(m.parameters(), lr=0.01), **NON_NEG), positive),
    "groups": (of(lambda m: optim.SGD([{"params": m.parameters()}], lr=0.01), **NON_NEG), positive),
    "a module of one's own": (lambda: (m := Own(), optim.SGD(m, lr=0.01)), positive),
    "bound later": (of(lambda m: optim.SGD(lr=0.01).bind(m), **NON_NEG), positive),
    "a function": (of(lambda m: optim.SGD(m, lr=0.01), kernel_constraint=lambda w: w * 0.5), lambda w: w * 0.5),
    "set later": (later, max_norm(0.7)),
    "taken away": (taken_away, same),
    "deleted": (deleted, same),
    "a shared weight": (tied, positive),
    "a weight shared no more": (untied, same),
    "a copy": (copied, positive),
}  # fmt: skip


@pytest.mark.parametrize("emitter", [None, "numpy", "native"])
@pytest.mark.parametrize("case", CASES)
def test_a_step_applies_them(case: str, emitter: str | None) -> None:
    make, limit = CASES[case]
    layer, optimizer = make()
    step = step_of(layer, optimizer)
    run = step if emitter is None else tg.jit(step, emitter=emitter, strict=True)
    for _ in range(5):
        run(tg.tensor(X))
    np.testing.assert_allclose(layer.kernel.numpy(), trained(START, limit, 5), rtol=1e-12, atol=1e-15)


CHANGES: dict[str, tuple[Callable[[Any], object], Callable[[np.ndarray], np.ndarray]]] = {
    "another number": (lambda m: setattr(m.kernel_constraint, "max_value", 0.3), max_norm(0.3)),
    "another constraint": (lambda m: setattr(m, "kernel_constraint", "non_neg"), positive),
    "a function": (lambda m: setattr(m, "kernel_constraint", lambda w: w * 0.5), lambda w: w * 0.5),
    "none": (lambda m: setattr(m, "kernel_constraint", None), same),
    "an equal one, then another number": (
        lambda m: (setattr(m, "kernel_constraint", nn.MaxNorm(0.7)), setattr(m.kernel_constraint, "max_value", 0.2)),
        max_norm(0.2),
    ),
    "frozen and thawed": (lambda m: (m.kernel.requires_grad_(False), m.kernel.requires_grad_()), max_norm(0.7)),
}  # fmt: skip


@pytest.mark.parametrize("emitter", [None, "numpy", "native"])
@pytest.mark.parametrize("case", CHANGES)
def test_a_change_between_compiled_steps_counts(case: str, emitter: str | None) -> None:
    change, limit = CHANGES[case]
    layer = dense(kernel_constraint=nn.MaxNorm(0.7))
    step = step_of(layer, optim.SGD(layer.parameters(), lr=0.01))
    run = step if emitter is None else tg.jit(step, emitter=emitter, strict=True)
    for _ in range(5):
        run(tg.tensor(X))
    want = trained(START, max_norm(0.7), 5)
    change(layer)
    for _ in range(5):
        run(tg.tensor(X))
    np.testing.assert_allclose(layer.kernel.numpy(), trained(want, limit, 5), rtol=1e-12, atol=1e-15)


def test_what_a_constraint_of_ones_own_reads_counts() -> None:
    class Half:
        by = 0.5

        def __call__(self, w: Any) -> Any:
            return w * self.by

    half = Half()
    layer = dense(kernel_constraint=half)
    run = tg.jit(step_of(layer, optim.SGD(layer, lr=0.01)), strict=True)
    want = START
    for by in (0.5, 0.5, 0.5, 0.25, 0.25, 0.25):
        half.by = by
        run(tg.tensor(X))
        want = trained(want, lambda w, by=by: w * by, 1)  # type: ignore[misc]
        np.testing.assert_allclose(layer.kernel.numpy(), want, rtol=1e-12)


OPTIMIZERS = {name: kind for name, kind in optim.BY_NAME.items() if name != "lbfgs"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_applies_them(name: str) -> None:
    layer = dense(kernel_constraint="non_neg")
    step_of(layer, OPTIMIZERS[name](layer))(tg.tensor(X))
    assert layer.kernel.numpy().min() == 0


def test_lbfgs_applies_them_at_the_end_of_a_step() -> None:
    layer = dense(kernel_constraint=lambda w: w + 1.0)
    optimizer = optim.LBFGS(layer.parameters(), line_search="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        loss = tg.square(layer(tg.tensor(X))).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(layer.kernel.numpy(), 1.0, atol=1e-4)  # 0 is the minimum


@pytest.mark.parametrize("eagerly", [True, False])
def test_a_fit_applies_them_once(eagerly: bool, tmp_path: Any) -> None:
    """Also that of a model which was saved and loaded: MinMaxNorm with a rate would go twice as far."""
    rule = nn.MinMaxNorm(1.0, 1.0, rate=0.5)
    model = models.Sequential([dense(kernel_constraint=rule)])
    model.compile(optim.SGD(lr=0.01), "mse", run_eagerly=eagerly)
    model.save(tmp_path / "m.tg")

    def limit(w: np.ndarray) -> np.ndarray:
        norms = np.sqrt((w * w).sum(axis=0, keepdims=True))
        return w * ((0.5 + 0.5 * norms) / (1e-7 + norms))

    # The mean of squares is over 12 numbers.
    want = START
    for _ in range(4):
        want = limit(want - 0.01 * gradient(want) / 12)
    for trains in (model, models.Sequential.load(tmp_path / "m.tg")):
        trains.fit(X, np.zeros((6, 2)), epochs=4, batch_size=6, verbose=0)
        np.testing.assert_allclose(trains.layers[0].kernel.numpy(), want, rtol=1e-10)


def test_an_optimizer_without_constraints_has_none_to_apply() -> None:
    layer, other = dense(), dense(kernel_constraint="non_neg")
    optimizer = optim.Adam(layer)
    assert [flat.limits for flat in optimizer.flats] == [()] and len(optim.Adam(other).flats[0].limits) == 1
