"""One training step (forward, backward, Adam) of an MLP 30-64-32-1 with relu, batch 32, float32, binary cross-entropy
on the logits. Each process warms up, then times blocks of steps; its figure is the median block, per step.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.harness import Case, Contestant, Promise

SIZES = (30, 64, 32, 1)
BATCH = 32
WARM_UP, BLOCKS, STEPS = 300, 15, 200


def batch(sizes: tuple[int, ...] = SIZES, rows: int = BATCH) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose label depends on them, so that a step which does not learn is found out."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, sizes[0]), dtype=np.float32)
    y = (x @ rng.standard_normal((sizes[0], sizes[-1]), dtype=np.float32) > 0).astype(np.float32)
    return x, y


# --- the contestants: each returns a function that makes one step, and one that reads the last loss ---

Step = tuple[Callable[[], Any], Callable[[Any], float]]


def tapegrad(sizes: tuple[int, ...] = SIZES, rows: int = BATCH, emitter: str = "") -> Step:
    import tapegrad as tg

    x, y = (tg.tensor(part) for part in batch(sizes, rows))
    layers = [tg.nn.Dense(b, activation="relu", in_features=a) for a, b in pairwise(sizes[:-1])]
    model = tg.nn.Sequential(*layers, tg.nn.Dense(sizes[-1], in_features=sizes[-2]))
    opt = tg.optim.Adam(model.parameters(), lr=1e-3)
    loss_of = tg.nn.functional.binary_cross_entropy_with_logits

    def step() -> Any:
        loss = loss_of(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return tg.jit(step, emitter=emitter) if emitter else step, lambda loss: loss.item()


def pytorch(
    sizes: tuple[int, ...] = SIZES, rows: int = BATCH, device: str = "cpu", fused: bool = False
) -> Step:
    import torch

    x, y = (torch.from_numpy(part).to(device) for part in batch(sizes, rows))
    layers: list[Any] = []
    for a, b in pairwise(sizes):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1]).to(device)
    opt = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused or None)
    loss_of = torch.nn.functional.binary_cross_entropy_with_logits

    def step() -> Any:
        loss = loss_of(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return step, lambda loss: loss.item()


def keras(sizes: tuple[int, ...] = SIZES, rows: int = BATCH) -> Step:
    import keras

    x, y = batch(sizes, rows)
    layers = [keras.layers.Dense(units, activation="relu") for units in sizes[1:-1]]
    model = keras.Sequential([keras.Input((sizes[0],)), *layers, keras.layers.Dense(sizes[-1])])
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.BinaryCrossentropy(from_logits=True))
    return lambda: model.train_on_batch(x, y), float


def jax_jit(sizes: tuple[int, ...] = SIZES, rows: int = BATCH) -> Step:
    import jax
    import jax.numpy as jnp

    x, y = (jnp.asarray(part) for part in batch(sizes, rows))
    rng = np.random.default_rng(1)
    weights = [
        (jnp.asarray(rng.normal(0, a**-0.5, (a, b)).astype(np.float32)), jnp.zeros(b, jnp.float32))
        for a, b in pairwise(sizes)
    ]

    def loss_of(weights: Any, x: Any, y: Any) -> Any:
        for w, b in weights[:-1]:
            x = jax.nn.relu(x @ w + b)
        z = x @ weights[-1][0] + weights[-1][1]
        return jnp.mean(jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z))))

    def update(state: Any, x: Any, y: Any) -> Any:
        weights, m, v, t = state
        loss, g = jax.value_and_grad(loss_of)(weights, x, y)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, m, v)
        return (weights, m, v, t), loss

    compiled = jax.jit(update, donate_argnums=0)
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = (weights, zeros, jax.tree.map(jnp.zeros_like, weights), jnp.zeros((), jnp.float32))

    def step() -> Any:
        nonlocal state
        state, loss = compiled(state, x, y)
        return loss.block_until_ready()

    return step, float


STEPS_OF: dict[str, Callable[[], Step]] = {
    "tapegrad": tapegrad,
    "tapegrad jit, NumPy": lambda: tapegrad(emitter="numpy"),
    "tapegrad jit, numba": lambda: tapegrad(emitter="numba"),
    "PyTorch eager": pytorch,
    "PyTorch eager, fused Adam": lambda: pytorch(fused=True),
    "Keras train_on_batch": keras,
    "JAX jit": jax_jit,
}
NEEDS = {"tapegrad": "tapegrad", "PyTorch": "torch", "Keras": "keras", "JAX": "jax"}


def time_steps(step: Step, synchronize: Callable[[], Any] = lambda: None) -> dict[str, float]:
    one_step, value = step
    first = value(one_step())
    for _ in range(WARM_UP):
        one_step()
    seconds = []
    for _ in range(BLOCKS):
        synchronize()
        start = time.perf_counter()
        for _ in range(STEPS):
            loss = one_step()
        synchronize()
        seconds.append((time.perf_counter() - start) / STEPS)
    last = value(loss)
    assert last < 0.2 * first, f"the loss only went from {first} to {last}: this step does not train"
    return {"step": statistics.median(seconds) * 1e6, "fastest": min(seconds) * 1e6, "loss": last}


def case(title: str, cores: int | None) -> Case:
    return Case(
        title=title,
        contestants=tuple(
            Contestant(name, ("-m", "benchmarks.step_small", name), needs=NEEDS[name.split()[0]])
            for name in STEPS_OF
        ),
        columns={"step": "µs per step", "fastest": "fastest block, µs", "peak": "peak MB"},
        promises=(
            Promise("step", "tapegrad", "PyTorch eager", 0.45),
            Promise("step", "tapegrad jit, NumPy", "JAX jit", 1.0),
            Promise("step", "tapegrad jit, numba", "JAX jit", 0.4),
            Promise("step", "tapegrad jit, numba", "PyTorch eager", 0.08),
            Promise("step", "tapegrad jit, numba", "Keras train_on_batch", 0.04),
        ),
        cores=cores,
    )


CASES = (case("One core", 1), case("All cores", None))

if __name__ == "__main__":
    print(json.dumps(time_steps(STEPS_OF[sys.argv[1]]())))
