"""scikit-learn's solvers, and tapegrad's optimizers by name, for the multi-layer perceptrons."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad import optim
from tapegrad.models.aliases import Model
from tapegrad.models.checks import warn
from tapegrad.optim.base import Optimizer

if TYPE_CHECKING:
    from tapegrad.models.mlp_base import MLP

DEFAULT_RATE = 0.001
SCHEDULES = ("constant", "invscaling", "adaptive")
SOLVERS = ("lbfgs", *optim.BY_NAME)
OPTIONS = {"momentum": 0.9, "nesterovs_momentum": True, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
# What an optimizer of the estimator depends on.
MADE_WITH = ("solver", "optimizer", "learning_rate", "learning_rate_init", *OPTIONS)


def solver_of(mlp: "MLP") -> str | Optimizer:
    """The name of the solver, or an Optimizer."""
    return mlp.solver if mlp.optimizer is None else mlp.optimizer


def first_rate(mlp: "MLP") -> float:
    """`learning_rate_init`, which may also be written as a number given as `learning_rate`."""
    return float(mlp.learning_rate_init if isinstance(mlp.learning_rate, str) else mlp.learning_rate)


def check_pairs(solver: object, optimizer: object, max_iter: object, epochs: object) -> None:
    """Raise ValueError where both of two names are given; None stands for a parameter that is not."""
    if optimizer is not None and solver is not None:
        raise ValueError(
            f"solver={solver!r} and optimizer={optimizer!r}: two names of one parameter: give one of them"
        )
    if epochs is not None and max_iter is not None:
        raise ValueError(
            f"epochs={epochs!r} and max_iter={max_iter!r}: give epochs for exactly so many passes, or max_iter "
            "for a limit"
        )


def check(mlp: "MLP") -> None:
    """Raise ValueError for parameters that contradict each other."""
    solver = solver_of(mlp)
    check_pairs(
        None if mlp.solver == "adam" else mlp.solver, mlp.optimizer,
        None if mlp.max_iter == 200 else mlp.max_iter, mlp.epochs,
    )  # fmt: skip
    if not isinstance(solver, Optimizer) and (not isinstance(solver, str) or solver.lower() not in SOLVERS):
        name = "solver" if mlp.optimizer is None else "optimizer"
        known = ", ".join(map(repr, SOLVERS))
        raise ValueError(
            f"{name}: expected an Optimizer made without parameters, or one of {known}, got {solver!r}"
        )
    check_rate(mlp, solver)
    check_options(mlp, solver)
    if solver == "lbfgs" and mlp.dropout:
        raise ValueError(f"dropout={mlp.dropout!r}: lbfgs needs a loss without chance: use another solver")


def check_rate(mlp: "MLP", solver: str | Optimizer) -> None:
    named = isinstance(mlp.learning_rate, str)
    if not named and mlp.learning_rate_init != DEFAULT_RATE:
        raise ValueError(
            f"learning_rate={mlp.learning_rate!r} and learning_rate_init={mlp.learning_rate_init!r}: a number given as "
            "learning_rate is learning_rate_init: give one of them"
        )
    if isinstance(solver, Optimizer) and first_rate(mlp) != DEFAULT_RATE:
        raise ValueError(
            f"learning_rate_init={first_rate(mlp)!r}: the rate of an Optimizer object is its own: {solver!r}"
        )
    if named and mlp.learning_rate != "constant" and solver not in ("sgd", "adam", "lbfgs"):
        raise ValueError(
            f"learning_rate={mlp.learning_rate!r} is a schedule of solver='sgd': use callbacks="
            "[LearningRateScheduler(…)] with another optimizer"
        )


def check_options(mlp: "MLP", solver: str | Optimizer) -> None:
    """scikit-learn takes beta_1 with solver="sgd", and does not use it. An optimizer of tapegrad's is made with its own
    options, and gets none of these."""
    if isinstance(solver, str) and solver.lower() in ("adam", "sgd", "lbfgs"):
        return
    for name, usual in OPTIONS.items():
        if getattr(mlp, name) != usual:
            made = (
                type(solver).__name__ if isinstance(solver, Optimizer) else type(optim.get(solver)).__name__
            )
            raise ValueError(
                f"{name}={getattr(mlp, name)!r} is an option of solver='adam' or 'sgd', and not of {solver!r}: give it "
                f"to the optimizer, as in optimizer=tapegrad.optim.{made}(…)"
            )


def optimizer_of(mlp: "MLP") -> Optimizer:
    """A new optimizer, not yet bound, as the parameters say. L-BFGS, which has no steps of its own, gets Adam's."""
    solver = solver_of(mlp)
    if isinstance(solver, Optimizer):
        return type(solver)(**solver.config())  # a parameter given to __init__ is not changed
    rate = first_rate(mlp)
    name = solver.lower()
    if name in ("adam", "lbfgs"):
        return optim.Adam(lr=rate, beta_1=mlp.beta_1, beta_2=mlp.beta_2, eps=mlp.epsilon)
    if name == "sgd":
        nesterov = bool(mlp.nesterovs_momentum and mlp.momentum)
        return optim.SGD(lr=rate, momentum=mlp.momentum, nesterov=nesterov)
    return optim.get(name, lr=rate)


def rows_per_step(mlp: "MLP", rows: int) -> int:
    if isinstance(mlp.batch_size, str):  # "auto"
        return min(200, rows)
    if mlp.batch_size > rows:
        warn(
            mlp,
            f"batch_size={mlp.batch_size} is more than the {rows} rows, and all of them are a batch",
            UserWarning,
        )
    return int(min(mlp.batch_size, rows))


def after_epoch(mlp: "MLP", optimizer: Any) -> None:
    """`invscaling`: lr = learning_rate_init / (rows seen + 1)**power_t."""
    if solver_of(mlp) == "sgd" and mlp.learning_rate == "invscaling":
        optimizer.lr = first_rate(mlp) / (mlp.t_ + 1) ** mlp.power_t


def slowed_down(mlp: "MLP", optimizer: Any) -> bool:
    """`adaptive`: where the training would end, go on with a fifth of the rate, down to 1e-6."""
    if solver_of(mlp) != "sgd" or mlp.learning_rate != "adaptive" or optimizer.lr <= 1e-6:
        return False
    optimizer.lr = optimizer.lr / 5.0
    return True


def initial_weights(model: Model, activation: str, random_state: Any) -> None:
    """Draw kernels and biases uniformly within ±sqrt(6 / (inputs + outputs)), for the logistic sqrt(2 / …): Glorot's
    bound as scikit-learn has it, from the same numbers of the random state."""
    factor = 2.0 if activation in ("logistic", "sigmoid") else 6.0
    for layer in model.layers:
        if getattr(layer, "kernel", None) is not None:
            bound = np.sqrt(factor / sum(layer.kernel.shape))
            for t in (layer.kernel, layer.bias):
                drawn = random_state.uniform(-bound, bound, t.shape)
                t.assign(t.backend.asarray(drawn.astype(t.numpy().dtype), device=t.device))
