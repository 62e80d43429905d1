"""Models to fit, each with its layers, loss, optimizer and targets: the rows of the tests of compiled steps."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from loss_rows import ROWS as LOSSES
from loss_rows import named
from optimizer_rows import ROWS as OPTIMIZERS

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.autograd import random
from tapegrad.models import EarlyStopping, LearningRateScheduler, Sequential

F = nn.functional
RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 6)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")


# ---- layers of a user's own ----
class Normalized(nn.Module):
    """Batch normalization: in training by the batch, whose mean and variance are followed by buffers."""

    def __init__(self, features: int) -> None:
        self.scale, self.shift = nn.Parameter(np.ones(features, "f")), nn.Parameter(np.zeros(features, "f"))
        self.mean, self.var = nn.Buffer(np.zeros(features, "f")), nn.Buffer(np.ones(features, "f"))

    def forward(self, x: Any) -> Any:
        mean, var = self.mean, self.var
        if self.training:
            mean, var = x.mean(axis=0), x.var(axis=0)
            self.mean.assign(0.9 * self.mean + 0.1 * mean.detach())
            self.var.assign(0.9 * self.var + 0.1 * var.detach())
        return self.scale * (x - mean) / tg.sqrt(var + 1e-3) + self.shift


class Recurrent(nn.Module):
    """The columns of x are the steps of a series: h = tanh(x_t * w + h @ u)."""

    def __init__(self, units: int) -> None:
        self.w, self.u = (nn.Parameter(nn.init.get("glorot_uniform")((n, units))) for n in (1, units))

    def forward(self, x: Any) -> Any:
        h = tg.zeros((x.shape[0], self.u.shape[0]))
        for t in range(x.shape[1]):
            h = tg.tanh(x[:, t : t + 1] * self.w + h @ self.u)
        return h


class Convolution(nn.Module):
    """Three neighbours at a time, `channels` kernels: (n, length) -> (n, (length - 2) * channels)."""

    def __init__(self, channels: int) -> None:
        self.kernel = nn.Parameter(nn.init.get("glorot_uniform")((3, channels)))

    def forward(self, x: Any) -> Any:
        n = x.shape[1] - 2
        windows = tg.stack([x[:, i : i + n] for i in range(3)], axis=2)
        return F.relu((windows @ self.kernel).reshape((x.shape[0], -1)))


# ---- the table ----
def dense(units: int = 1, last: Any = "sigmoid") -> list[Any]:
    return [nn.Dense(8, "relu", in_features=6), nn.Dense(units, last)]


@dataclass
class Case:
    layers: Callable[[], list[Any]] = dense
    loss: Any = "binary_crossentropy"
    y: np.ndarray = field(default_factory=lambda: Y)
    optimizer: Callable[[], Any] = optim.Adam
    metrics: tuple[str, ...] = ()
    fit: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[Any], Any] = lambda model: None
    rtol: float = 0.0  # 0: equal bits, as far as sums are added up in one order, over arrays laid out alike


CASES = {
    "dense": Case(metrics=("accuracy", "auc", "f1")),
    "dropout": Case(lambda: [nn.Dense(8, "gelu", in_features=6), nn.Dropout(0.4), nn.Dense(1, "sigmoid")]),
    "batch norm": Case(lambda: [Normalized(6), *dense()]),
    "recurrent": Case(lambda: [Recurrent(5), nn.Dense(1)], "mse", X[:, 5:] * X[:, :1], rtol=1e-5),
    "convolution": Case(lambda: [Convolution(4), nn.Dense(1)], "mae", X[:, :1], rtol=1e-5),
    "nested, flattened": Case(lambda: [nn.Flatten(), nn.Sequential(*dense(4, "tanh")), nn.Dense(1, "sigmoid")]),
    "float64": Case(lambda: [nn.Dense(8, "tanh", in_features=6, dtype="float64"), nn.Dense(1, dtype="float64")],
                    "mse", X[:, :1] ** 2, rtol=1e-12),  # Adam's powers of beta are worked out by other loops of NumPy's
    "several outputs": Case(lambda: dense(3, None), "huber", X[:, :3]),
    "softmax": Case(lambda: dense(3, "softmax"), "sparse_categorical_crossentropy", RNG.integers(0, 3, 70),
                    metrics=("accuracy",)),
    "sample weights": Case(fit={"sample_weight": np.linspace(0.0, 2.0, 70)}),
    "class weights": Case(fit={"class_weight": {0: 0.5, 1: 3.0}}, metrics=("accuracy",)),
    "validation data with weights": Case(fit={"validation_data": (X[:20], Y[:20], np.linspace(0, 1, 20))}),
    "a frozen layer": Case(prepare=lambda model: model.layers[0].requires_grad_(False)),
    "a learning rate by epoch": Case(fit={"callbacks": [LearningRateScheduler(lambda epoch, lr: 0.5 * lr)]}),
    "stopped and restored": Case(optimizer=lambda: optim.SGD(lr=3.0),
                                 fit={"callbacks": [EarlyStopping(patience=1, restore_best_weights=True)]}),
    "a loss of one's own": Case(loss=lambda t, p, sample_weight=None: ((p - t) ** 4).sum() / 7.0),
}  # fmt: skip
LAST = {
    "real": None, "probability": "sigmoid", "distribution": "softmax", "positive": "exponential", "logs": "log_softmax",
    "distance": "softplus",
}  # fmt: skip
TARGETS = {
    "near": X[:, :4], "counts": RNG.integers(0, 6, (70, 4)), "binary": RNG.integers(0, 2, (70, 4)),
    "between": RNG.random((70, 4)), "signs": np.sign(X[:, :4]), "one_hot": np.eye(4)[RNG.integers(0, 4, 70)],
    "mixture": RNG.dirichlet(np.ones(4), 70), "classes": RNG.integers(0, 4, 70),
}  # fmt: skip
# One row of each way to call a loss: other values of an option take the same way.
for row in {(row.name, row.prediction, row.target, *row.options): row for row in LOSSES}.values():
    function = getattr(F, row.name)
    of_row: Any = lambda t, p, f=function, o=row.options, **weights: f(p, t, **o, **weights)
    if row.target == "classes":  # which a loss by name takes as they are
        of_row = (
            nn.losses.SparseCategoricalCrossentropy(**row.options)
            if "sparse" in row.name
            else partial(function, **row.options)
        )
    for weighted, options in {"": {}, "-weighted": {"sample_weight": np.linspace(0.5, 2.0, 70)}}.items():
        last = LAST[row.prediction]
        CASES[named(row) + weighted] = Case(
            lambda last=last: dense(4, last), of_row, TARGETS[row.target], fit=options
        )
for kind in OPTIMIZERS:
    rtol = 1e-6 if "norm" in kind.name else 0.0  # norms are added up in another order
    CASES[kind.name] = Case(optimizer=lambda kind=kind: kind.optimizer(None), rtol=rtol)


def ran(case: Case, run_eagerly: bool, **options: Any) -> tuple[Any, dict[str, Any]]:
    """The model, and everything that came of it, by name."""
    tg.manual_seed(3)
    random.host_generator()
    model = Sequential(case.layers())
    model.build((6,))
    case.prepare(model)
    model.compile(case.optimizer(), case.loss, case.metrics, run_eagerly=run_eagerly, **options)
    how = {"validation_split": 0.2, **case.fit}
    history = model.fit(X, case.y, epochs=4, batch_size=16, verbose=0, **how).history
    found = {f"history of {name}": np.array(values) for name, values in history.items()}
    found |= {name: t.numpy() for name, t in (model.state_dict() | model.optimizer.state_dict()).items()}
    found |= {"predictions": model.predict(X, batch_size=16)}
    found |= {"evaluation": np.array(model.evaluate(X, case.y, batch_size=16, verbose=0))}
    return model, found | {"draws": np.array(random.draws()), "order": random.host_generator().random(3)}
