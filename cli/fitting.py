"""Training one model on prepared numbers: each returns the model, its history and the seconds it took."""

import argparse
import functools
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad import nn, optim
from tapegrad.autograd.random import manual_seed
from tapegrad.backends import default_place
from tapegrad.cli.arguments import Mistake
from tapegrad.cli.checkpoints import FOLDER, LAST, Checkpoints, fingerprint
from tapegrad.data.splitting import train_test_indices
from tapegrad.models.callbacks import TerminateOnNaN
from tapegrad.models.history import History
from tapegrad.models.linear_solvers.convex import Fit, fit_least_squares, fit_logistic
from tapegrad.models.sequential import Sequential

HIDDEN = (100,)  # as scikit-learn's default
STEPS = 10_000  # of all epochs together, where there are few rows
FEWEST, MOST = 20, 300  # epochs
VALIDATION = 0.1  # of the training rows, which tell the best epoch

# Fewer training rows: a tenth of them tells little of the best epoch. Few steps and no held-out rows, as scikit-learn's
# default, are better on the whole: a mean R2 or accuracy of 0.72 in place of 0.66 on 12 tables of 12 to 300 rows, over
# four splits (0.72 by scikit-learn's own).
FEW = 300
FEW_BATCH, FEW_EPOCHS = 200, 200


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


def fit(kind: str, problem: Problem, options: argparse.Namespace, out: Path) -> Trained:
    start = time.perf_counter()
    manual_seed(options.seed)  # of each model, whichever others are trained
    if kind == "mlp":
        label, model, history = fit_mlp(problem, options, out)
    else:
        label, model, history = fit_exactly(problem)
    return Trained(kind, label, model, history, time.perf_counter() - start)


def fit_exactly(problem: Problem) -> tuple[str, Sequential, History]:
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
    model = Sequential(nn.Dense(outputs, activation, in_features=problem.x_train.shape[1], dtype="float64"))
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


def fit_mlp(problem: Problem, options: argparse.Namespace, out: Path) -> tuple[str, Sequential, History]:
    """The network with the weights of its best epoch on a part of the training rows; see FEW for small tables."""
    rows = len(problem.y_train)
    held_out: np.ndarray | None
    hidden = options.hidden or HIDDEN
    if few := is_few(rows, options):
        train, held_out = np.arange(rows), None
        batch, epochs = min(FEW_BATCH, rows), FEW_EPOCHS
    else:
        train, held_out = validation_rows(problem, options.seed)
        batch = options.batch_size or min(256, 32 * max(1, len(train) // 10_000))
        epochs = options.epochs or epochs_for(len(train), batch)
    settings = {
        **{"hidden": list(hidden), "optimizer": options.optimizer, "lr": options.lr, "batch_size": batch},
        **{"epochs": epochs, "seed": options.seed, "target": options.target},
        "data": fingerprint(problem.x_train, problem.y_train),
    }
    checkpoints = Checkpoints(out / FOLDER, settings, patience=max(10, epochs // 15))
    if options.resume:
        model, done = checkpoints.resume()
        print(f"going on after epoch {done}")
    else:
        if (out / FOLDER / LAST).is_file():
            print(f"beginning anew: the checkpoint in {out / FOLDER} gives way (--resume goes on from it)")
        model, done = make_mlp(problem, options, hidden), 0
    model.run_eagerly = bool(options.run_eagerly)
    fit_until_best(model, problem, (train, held_out), checkpoints, batch, epochs, done)
    history = History()
    for epoch, logs in enumerate(checkpoints.logs):
        history.append(epoch, logs)
    if few:
        print(f"{epochs} epochs on all {rows} training rows, which are too few to hold some out")
    else:
        report_end(checkpoints, epochs)
    return f"MLP {'-'.join(map(str, (*hidden, problem.head[0])))}", model, history


def is_few(rows: int, options: argparse.Namespace) -> bool:
    """Whether the rows are few, and nothing is asked for that decides how the network is trained."""
    return rows < FEW and not (options.hidden or options.epochs or options.batch_size)


def epochs_for(rows: int, batch: int) -> int:
    """The most epochs: many of a small table, as one has few steps."""
    return min(MOST, max(FEWEST, math.ceil(STEPS / math.ceil(rows / batch))))


def validation_rows(problem: Problem, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows to learn from, rows that tell the best epoch) of the training rows."""
    rows, y = len(problem.y_train), problem.y_train
    if problem.classes:
        try:
            return train_test_indices(rows, VALIDATION, seed, stratify=y)
        except ValueError:  # a class has one row
            pass
    return train_test_indices(rows, VALIDATION, seed)


def make_mlp(problem: Problem, options: argparse.Namespace, hidden: tuple[int, ...]) -> Sequential:
    outputs, activation, loss, metrics = problem.head
    model = Sequential()
    width = problem.x_train.shape[1]
    for units, name in [*((units, "relu") for units in hidden), (outputs, activation)]:
        model.add(dense(width, units, name))
        width = units
    lr = {} if options.lr is None else {"lr": options.lr}
    model.compile(optim.get(options.optimizer or "adam", **lr), loss, metrics)
    return model


def dense(width: int, units: int, activation: str | None) -> nn.Dense:
    """A layer with biases as scattered as its kernel, as scikit-learn's: zeros would put the bends of all relus at the
    mean, and where a row has one number or two, they stay near it."""
    bound = math.sqrt(6 / (width + units))
    scattered = functools.partial(nn.init.random_uniform, minval=-bound, maxval=bound)
    return nn.Dense(units, activation, in_features=width, bias_initializer=scattered)


def fit_until_best(
    model: Sequential,
    problem: Problem,
    parts: tuple[np.ndarray, np.ndarray | None],
    checkpoints: Checkpoints,
    batch: int,
    epochs: int,
    done: int,
) -> None:
    """Train from epoch `done` on. Ctrl-C leaves the checkpoint there; a training that diverges leaves none."""
    (x, y), (train, held_out) = (problem.x_train, problem.y_train), parts
    checkpoints.model = model
    try:
        if done < epochs and checkpoints.wait < checkpoints.patience:
            with np.errstate(all="ignore"):  # a training that diverges is reported below
                model.fit(
                    x[train],
                    y[train],
                    epochs=epochs,
                    batch_size=batch,
                    validation_data=None if held_out is None else (x[held_out], y[held_out]),
                    callbacks=[TerminateOnNaN(), checkpoints],
                    initial_epoch=done,
                    verbose=0,
                )
        losses = [logs.get("val_loss", logs["loss"]) for logs in checkpoints.logs]
        if not np.isfinite(losses[-1]):
            raise Mistake(
                f"the training diverged, its loss is {losses[-1]}: choose a smaller learning rate with --lr"
            )
    except KeyboardInterrupt as stop:
        written = checkpoints.in_file()
        if written is None:
            raise KeyboardInterrupt("stopped in the first epoch: there is nothing to go on from") from stop
        raise KeyboardInterrupt(
            f"stopped after epoch {len(checkpoints.logs)} of {epochs}; the checkpoint of epoch {written} "
            f"is in {checkpoints.folder}: to go on, repeat the command with --resume"
        ) from stop
    except BaseException:
        checkpoints.remove()
        raise
    checkpoints.restore_best()


def report_end(checkpoints: Checkpoints, epochs: int) -> None:
    """Which epoch's weights were kept, and whether more epochs could help."""
    done, best = len(checkpoints.logs), checkpoints.best_epoch + 1
    how = "stopped early, " if done < epochs else ""
    print(f"{how}kept the weights of epoch {best} of {done}, which had the lowest validation loss")
    if best == done == epochs:
        print(
            f"note: the validation loss was still falling, more epochs may do better: --epochs {3 * epochs}"
        )
