"""The same training step in every framework: forward, backward and update of a network.

Each builder takes a task and returns a function that makes one step and one that reads the loss of a step. The batch is
given to the step at each call, as a training loop does. The tasks are an MLP (here), a recurrent network and a GPT
(`deep.py`); a task has the methods `batch`, `tapegrad`, `pytorch` and `jax`, which give its batch, and its parameters
with the function of a batch that is the loss.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Task:
    """Layers of `sizes` trained on batches of `rows` rows, float32, with an activation between them.

    The loss is the binary cross-entropy on the logits for one output, the cross-entropy on the logits with integer
    labels for more. `optimizer` is "adam", "sgd", or "momentum" (SGD with momentum 0.9).
    """

    sizes: tuple[int, ...]
    rows: int
    optimizer: str = "adam"
    lr: float = 1e-3
    activation: str = "relu"

    @property
    def binary(self) -> bool:
        return self.sizes[-1] == 1

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows whose label depends on them, so that a step which does not learn is found out."""
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.rows, self.sizes[0]), dtype=np.float32)
        scores = x @ rng.standard_normal((self.sizes[0], self.sizes[-1]), dtype=np.float32)
        return x, (scores > 0).astype(np.float32) if self.binary else scores.argmax(axis=1)

    def tapegrad(self, device: str) -> tuple[Any, Callable[..., Any]]:
        import tapegrad as tg

        *hidden, (a, b) = pairwise(self.sizes)
        layers = [tg.nn.Dense(n, activation=self.activation, in_features=m) for m, n in hidden]
        model = tg.nn.Sequential(*layers, tg.nn.Dense(b, in_features=a)).to(device)
        F = tg.nn.functional
        loss_of = F.binary_cross_entropy_with_logits if self.binary else F.cross_entropy
        return model.parameters(), lambda x, y: loss_of(model(x), y)

    def pytorch(self, device: str) -> tuple[Any, Callable[..., Any]]:
        import torch

        layers: list[Any] = []
        for a, b in pairwise(self.sizes):
            layers += [
                torch.nn.Linear(a, b),
                torch.nn.Tanh() if self.activation == "tanh" else torch.nn.ReLU(),
            ]
        model = torch.nn.Sequential(*layers[:-1]).to(device)
        F = torch.nn.functional
        loss_of = F.binary_cross_entropy_with_logits if self.binary else F.cross_entropy
        return model.parameters(), lambda x, y: loss_of(model(x), y)

    def jax(self) -> tuple[Any, Callable[..., Any]]:
        import jax
        import jax.numpy as jnp

        rng = np.random.default_rng(1)
        weights = [
            (jnp.asarray(rng.normal(0, a**-0.5, (a, b)).astype(np.float32)), jnp.zeros(b, jnp.float32))
            for a, b in pairwise(self.sizes)
        ]
        activation = jnp.tanh if self.activation == "tanh" else jax.nn.relu

        def loss_of(weights: Any, x: Any, y: Any) -> Any:
            for w, b in weights[:-1]:
                x = activation(x @ w + b)
            z = x @ weights[-1][0] + weights[-1][1]
            if self.binary:
                return jnp.mean(jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z))))
            chosen = jnp.take_along_axis(z, y[:, None], axis=1)[:, 0]
            return jnp.mean(jax.nn.logsumexp(z, axis=1) - chosen)

        return weights, loss_of


Step = tuple[Callable[[], Any], Callable[[Any], float]]
MOMENTUM = 0.9
START = 2  # steps until whoever compiles has done so: `tg.jit` records in both and compiles in the second


def tapegrad(task: Any, emitter: str = "", device: str = "cpu") -> Step:
    """Without an emitter, eager."""
    train, x, y = tapegrad_training(task, emitter, device)
    return lambda: train(x, y), lambda loss: loss.item()


def tapegrad_training(task: Any, emitter: str = "", device: str = "cpu") -> tuple[Any, Any, Any]:
    """The step, a function of x and y, and these."""
    import tapegrad as tg

    x, y = (tg.tensor(part, device=device) for part in task.batch())
    parameters, loss_of = task.tapegrad(device)
    if task.optimizer == "adam":
        opt: Any = tg.optim.Adam(parameters, lr=task.lr)
    else:
        momentum = MOMENTUM if task.optimizer == "momentum" else 0.0
        opt = tg.optim.SGD(parameters, lr=task.lr, momentum=momentum)

    def train(x: Any, y: Any) -> Any:
        loss = loss_of(x, y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return tg.jit(train, emitter=emitter, strict=True) if emitter else train, x, y


def pytorch(task: Any, device: str = "cpu", fused: bool = False) -> Step:
    import torch

    x, y = (torch.from_numpy(part).to(device) for part in task.batch())
    parameters, loss_of = task.pytorch(device)
    kind = {"fused": True} if fused else {}
    if task.optimizer == "adam":
        opt: Any = torch.optim.Adam(parameters, lr=task.lr, **kind)
    else:
        momentum = MOMENTUM if task.optimizer == "momentum" else 0.0
        opt = torch.optim.SGD(parameters, lr=task.lr, momentum=momentum, **kind)

    def step() -> Any:
        loss = loss_of(x, y)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        opt.step()
        return loss

    return step, lambda loss: loss.item()


def pytorch_compiled(task: Any) -> Step:
    """On CUDA, forward and backward as one graph and the update as another."""
    import torch

    x, y = (torch.from_numpy(part).to("cuda") for part in task.batch())
    parameters, loss_of = task.pytorch("cuda")
    opt = torch.optim.Adam(parameters, lr=task.lr, capturable=True)
    forward = torch.compile(loss_of, mode="reduce-overhead")
    update = torch.compile(opt.step, mode="reduce-overhead")

    def step() -> Any:
        torch.compiler.cudagraph_mark_step_begin()
        loss = forward(x, y)
        loss.backward()
        update()
        opt.zero_grad(set_to_none=True)
        return loss

    return step, lambda loss: loss.item()


def keras(task: Task) -> Step:
    import keras

    x, y = task.batch()
    layers = [keras.layers.Dense(units, activation=task.activation) for units in task.sizes[1:-1]]
    model = keras.Sequential([keras.Input((task.sizes[0],)), *layers, keras.layers.Dense(task.sizes[-1])])
    if task.optimizer == "adam":
        opt: Any = keras.optimizers.Adam(task.lr)
    else:
        momentum = MOMENTUM if task.optimizer == "momentum" else 0.0
        opt = keras.optimizers.SGD(task.lr, momentum=momentum)
    losses = keras.losses
    kind = losses.BinaryCrossentropy if task.binary else losses.SparseCategoricalCrossentropy
    model.compile(opt, kind(from_logits=True))
    return lambda: model.train_on_batch(x, y), float


def scikit_learn(task: Task) -> Step:
    """`partial_fit` makes one step per call where the batch is the whole of what it is given."""
    from sklearn.neural_network import MLPClassifier

    x, y = task.batch()
    y = y.astype(np.int64).ravel()
    model = MLPClassifier(
        task.sizes[1:-1],
        solver="adam" if task.optimizer == "adam" else "sgd",
        alpha=0.0,
        batch_size=task.rows,
        learning_rate_init=task.lr,
        momentum=MOMENTUM if task.optimizer == "momentum" else 0.0,
        nesterovs_momentum=False,
        shuffle=False,
        random_state=0,
    )
    classes = np.arange(max(2, task.sizes[-1]))
    return lambda: model.partial_fit(x, y, classes=classes).loss_, float


def jax_jit(task: Any) -> Step:
    """Steps are not waited for, reading the last loss does."""
    compiled, state, batch = jax_training(task)

    def step() -> Any:
        nonlocal state
        *state, loss = compiled(*state, *batch)
        return loss

    return step, float


def jax_training(task: Any) -> tuple[Any, list[Any], tuple[Any, Any]]:
    """One jit over loss, gradient and update, (weights, state, x, y) -> (weights, state, loss), its state donated; the
    first weights and state; and the batch."""
    import jax
    import jax.numpy as jnp

    x, y = (jnp.asarray(part) for part in task.batch())
    weights, loss_of = task.jax()
    update, state = jax_optimizer(task, weights)

    def train(weights: Any, state: Any, x: Any, y: Any) -> Any:
        loss, g = jax.value_and_grad(loss_of)(weights, x, y)
        return *update(weights, g, state), loss

    return jax.jit(train, donate_argnums=(0, 1)), [weights, state], (x, y)


def jax_optimizer(task: Any, weights: Any) -> tuple[Callable[..., Any], Any]:
    """The update (weights, gradients, state) -> (weights, state), and its first state."""
    import jax
    import jax.numpy as jnp

    def adam(weights: Any, g: Any, state: Any) -> Any:
        m, v, t = state
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate = task.lr * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, m, v)
        return weights, (m, v, t)

    def momentum(weights: Any, g: Any, velocity: Any) -> Any:
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v - task.lr * g, velocity, g)
        return jax.tree.map(jnp.add, weights, velocity), velocity

    def sgd(weights: Any, g: Any, state: Any) -> Any:
        return jax.tree.map(lambda w, g: w - task.lr * g, weights, g), state

    zeros = lambda: jax.tree.map(jnp.zeros_like, weights)
    if task.optimizer == "adam":
        return adam, (zeros(), zeros(), jnp.zeros((), jnp.float32))
    return (momentum, zeros()) if task.optimizer == "momentum" else (sgd, ())


def bare_products(task: Task) -> Step:
    """Only the matrix products that a step cannot do without, into arrays that are there: x @ w, and for the gradients
    x.T @ g and (not for the first layer) g @ w.T. Every step that uses this BLAS has to take longer."""
    rng = np.random.default_rng(0)

    def array(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    products = []
    for number, (a, b) in enumerate(pairwise(task.sizes)):
        x, w, g = array(task.rows, a), array(a, b), array(task.rows, b)
        products += [(x, w, array(task.rows, b)), (x.T, g, array(a, b))]
        if number:
            products.append((g, w.T, array(task.rows, a)))

    def step() -> None:
        for left, right, out in products:
            np.matmul(left, right, out=out)

    return step, lambda _: 0.0


# name in the tables -> the package without which it is left out, and its builder
CONTESTANTS: dict[str, tuple[str, Callable[[Any], Step]]] = {
    "tapegrad": ("tapegrad", tapegrad),
    "tapegrad jit, NumPy": ("tapegrad", lambda task: tapegrad(task, "numpy")),
    "tapegrad jit, native": ("llvmlite", lambda task: tapegrad(task, "native")),
    "PyTorch eager": ("torch", pytorch),
    "PyTorch eager, fused optimizer": ("torch", lambda task: pytorch(task, fused=True)),
    "Keras train_on_batch": ("keras", keras),
    "scikit-learn partial_fit": ("sklearn", scikit_learn),
    "JAX jit": ("jax", jax_jit),
    "JAX jit, scan": ("jax", lambda task: jax_jit(task.scanned())),
    "bare matrix products": ("numpy", bare_products),
}
