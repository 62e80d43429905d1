"""Training one model on prepared numbers: each returns the model, its history and the seconds it took."""

import argparse
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad import nn, optim
from tapegrad.backends import default_place
from tapegrad.cli.arguments import Mistake
from tapegrad.models.callbacks import TerminateOnNaN
from tapegrad.models.convex import Fit, fit_least_squares, fit_logistic
from tapegrad.models.history import History
from tapegrad.models.sequential import Sequential


@dataclass(frozen=True)
class Problem:
    """Training and test rows as numbers. `classes` 0: regression."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int

    @property
    def head(self) -> tuple[int, str | None, str, list[str]]:
        """(outputs, activation, loss, metrics) of a model for it."""
        if not self.classes:
            return 1, None, "mse", ["r2"]
        if self.classes == 2:
            return 1, "sigmoid", "binary_crossentropy", ["accuracy"]
        return self.classes, "softmax", "sparse_categorical_crossentropy", ["accuracy"]


@dataclass(frozen=True)
class Trained:
    kind: str
    label: str
    model: Sequential
    history: History
    seconds: float


def fit(kind: str, problem: Problem, options: argparse.Namespace) -> Trained:
    start = time.perf_counter()
    label, model, history = (fit_mlp if kind == "mlp" else fit_exactly)(problem, options)
    return Trained(kind, label, model, history, time.perf_counter() - start)


def fit_exactly(problem: Problem, options: argparse.Namespace) -> tuple[str, Sequential, History]:
    """Logistic regression (L2 penalty with C = 1, as scikit-learn's default) or least squares, as a one-layer model."""
    x, y = problem.x_train, problem.y_train
    if problem.classes:
        found = fit_logistic(x, y, problem.classes, l2=1.0 / len(x), device=default_place())
        steps = f"{len(found.losses) - 1} Newton steps"
        print(f"{'converged' if found.converged else 'stopped, not converged,'} after {steps}")
        label = "logistic regression"
    else:
        found = fit_least_squares(x, y[:, None])
        print("solved in closed form")
        label = "linear regression"
    return label, one_layer(problem, found), steps_as_history(found)


def one_layer(problem: Problem, found: Fit) -> Sequential:
    outputs, activation, loss, metrics = problem.head
    model = Sequential(nn.Dense(outputs, activation, in_features=problem.x_train.shape[1]))
    layer: Any = model.layers[0]
    layer.kernel.assign(found.coef)
    layer.bias.assign(found.intercept)
    model.compile(loss=loss, metrics=metrics)
    return model


def steps_as_history(found: Fit) -> History:
    history = History()
    for step, loss in enumerate(found.losses):
        history.append(step, {"loss": loss})
    return history


def fit_mlp(problem: Problem, options: argparse.Namespace) -> tuple[str, Sequential, History]:
    outputs, activation, loss, metrics = problem.head
    hidden = options.hidden or (64, 32)
    model = Sequential()
    width = problem.x_train.shape[1]
    for units in hidden:
        model.add(nn.Dense(units, "relu", in_features=width))
        width = units
    model.add(nn.Dense(outputs, activation, in_features=width))
    lr = {} if options.lr is None else {"lr": options.lr}
    optimizer = optim.get(options.optimizer or "adam", **lr)
    model.compile(optimizer, loss, metrics, run_eagerly=bool(options.run_eagerly))
    with np.errstate(all="ignore"):  # a training that diverges is reported below
        history = model.fit(
            problem.x_train,
            problem.y_train,
            epochs=options.epochs or 10,
            batch_size=options.batch_size or 32,
            validation_split=0.2,
            callbacks=[TerminateOnNaN()],
        )
    losses = history.history["val_loss"]
    if not np.isfinite(losses[-1]):
        raise Mistake(
            f"the training diverged, its loss is {losses[-1]}: choose a smaller learning rate with --lr"
        )
    if len(losses) > 1 and losses[-1] == min(losses):
        print(
            f"note: the validation loss was still falling, more epochs may do better: --epochs {3 * len(losses)}"
        )
    return f"MLP {'-'.join(map(str, (*hidden, outputs)))}", model, history
