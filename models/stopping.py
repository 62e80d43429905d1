"""When a training of an estimator ends, by scikit-learn's rule, and the best weights."""

import math
from typing import TYPE_CHECKING

import numpy as np

from tapegrad.models.training import snapshot

if TYPE_CHECKING:
    from tapegrad.models.sequential import Sequential


class Stopping:
    """Ends after more than `patience` passes in a row that did not improve one number by more than `tol`.

    watched     "loss", "val_loss" or "val_score"; of a score, more is better
    ends_early  False: only keeps the best, and never ends a training
    keep_best   whether `restore` goes back to the weights of the best pass

    best        the best value; waited: how many passes in a row have not improved it
    """

    def __init__(self, watched: str, *, tol: float, patience: int, ends_early: bool, keep_best: bool) -> None:
        self.watched, self.tol, self.patience = watched, tol, patience
        self.ends_early, self.keep_best = ends_early, keep_best
        self.sign = -1.0 if watched.endswith("score") else 1.0
        self.best = self.sign * math.inf
        self.waited = 0
        self.best_weights: dict[str, np.ndarray] | None = None

    def going_on(self, before: "Stopping") -> "Stopping":
        """This rule, for a training that goes on with what another one has counted."""
        if before.watched == self.watched:
            self.best, self.waited = before.best, before.waited
        return self

    def ends(self, logs: dict[str, float], model: "Sequential") -> bool:
        value, best = self.sign * logs[self.watched], self.sign * self.best
        self.waited = self.waited + 1 if value > best - self.tol else 0
        if value < best:
            self.best = logs[self.watched]
            if self.keep_best:
                self.best_weights = snapshot(model)
        return self.ends_early and self.waited > self.patience

    def restore(self, model: "Sequential") -> None:
        if self.best_weights is not None:
            model.load_state_dict(self.best_weights)
            self.best_weights = None


def diverged(epoch: int, what: str) -> str:
    return (
        f"fit: the training diverged in pass {epoch}: {what}. Scale x (and y, in regression) to about unit size, or "
        "lower the learning rate (learning_rate_init)"
    )
