"""Epochs of compiled steps over arrays, as the network estimators run them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad import nn
from tapegrad.autograd.aliases import Array
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.autograd.whole import uninterrupted
from tapegrad.backends import BY_TYPE, backend_of
from tapegrad.data.aliases import Features
from tapegrad.models.compiled_step import Step
from tapegrad.models.fit_arguments import EVALUATION_BATCH
from tapegrad.models.in_mode import set_mode
from tapegrad.models.sequential import Sequential
from tapegrad.models.steps import loss_with, network_of, train_step

# From so many batches in a pass on, the few passes that every training has repay machine code.
MANY_BATCHES = 20
Rows = tuple[Any, Any, Any]  # inputs, targets and weights (or None), on the model's device


class Objective:
    """(outputs, targets, sample_weight) -> the weighted mean of the loss, plus an L2 penalty on the kernels:

        Σ weight · loss / Σ weight  +  alpha / 2 · Σ kernel² / Σ weight

    Only the ratios of the weights within a batch count for the loss. Without weights each is 1, and Σ weight is the
    number of rows. The penalty is scikit-learn's.
    """

    def __init__(self, loss: Callable[..., Tensor], kernels: list[Parameter], alpha: float) -> None:
        self.loss = loss
        self.kernels = kernels
        self.half = 0.5 * alpha

    def __call__(self, outputs: Tensor, y: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        total: Tensor | float = outputs.shape[0]
        if sample_weight is None:
            loss = self.loss(outputs, y)
        else:
            total = (sample_weight.sum()).clip(min=1e-30)
            loss = loss_with(self.loss, outputs, y, sample_weight * (outputs.shape[0] / total))
        if self.half:
            for kernel in self.kernels:
                loss = loss + self.half * (kernel * kernel).sum() / total
        return loss


class Training:
    """One model, one objective and one optimizer, and the compiled step that they make."""

    def __init__(
        self,
        model: Sequential,
        objective: Callable[..., Tensor],
        *,
        emitter: str | None,
        run_eagerly: bool,
        batch_size: int,
        many: bool,
        before: "Training | None" = None,
    ) -> None:
        """
        many     whether a pass has MANY_BATCHES. It depends on one pass, not on how many there will be: two fits of 5
                 passes run the programs of one of 10
        before   the training that this one goes on with
        """
        self.made_of: tuple[object, ...] = ()
        self.settings = settings_of(model)
        self.model, self.objective, self.batch_size = model, objective, batch_size
        optimizer = model.bind_optimizer()
        first = next(iter(model.parameters()))
        self.step: Step = Step(
            train_step(network_of(model), objective, optimizer),
            emitter or "auto",
            on_cpu=type(first.data) is np.ndarray and not many,
            eager=run_eagerly,
            before=before.step if before else None,
        )
        self.step.waiting.weights = sum(p.size for p in model.parameters())
        if many:
            self.step.waiting.frequent_rows = batch_size

    def check_unchanged(self) -> None:
        """Raise RuntimeError where a callback has changed what the step of this training was made of."""
        now = settings_of(self.model)
        if changed := [name for name, value in self.settings.items() if now[name] != value]:
            raise RuntimeError(
                f"fit: a callback has changed the model's {changed[0]}, and this fit goes on with what the estimator's "
                "parameters say: set these before fit"
            )

    def epoch(
        self,
        rows: Rows,
        order: np.ndarray | None,
        begin: Callable[[int], None] | None = None,
        end: Callable[[int, float], None] | None = None,
    ) -> float:
        """One step for each batch; returns the mean of their losses over the rows.

        order        the rows in the order to take them; None: as they stand
        begin, end   called before and after each batch with its number, the latter also with the mean loss so far
        """
        count, total = rows[0].shape[0], 0.0
        if order is not None and type(rows[0]) in BY_TYPE:
            order = backend_of(rows[0]).asarray(order, device=backend_of(rows[0]).device_of(rows[0]))
        modules = [module for _, module in self.model.named_modules()]
        set_mode(modules, True)
        for number, start in enumerate(range(0, count, self.batch_size)):
            if begin is not None:
                begin(number)
            stop = min(start + self.batch_size, count)
            chosen = slice(start, stop) if order is None else order[start:stop]
            batch = (batch_of(a, chosen) for a in rows)
            with uninterrupted():  # Ctrl-C comes between two batches
                loss = self.step(*batch)[0].item()
            total += loss * (stop - start)
            if end is not None:
                end(number, total / stop)
                set_mode(modules, True)
        return total / count


def settings_of(model: Sequential) -> dict[str, object]:
    """What a step is made of, by what a message calls it."""
    return {
        "optimizer": id(model.optimizer),
        "loss": id(model.loss),
        "layers": [id(p) for p in model.parameters()],
    }


def batch_of(array: Array, chosen: Array) -> Tensor | None:
    """Some rows of an array, or of a sparse matrix, as a dense Tensor."""
    if array is None:
        return None
    if hasattr(array, "toarray"):
        return Tensor(array[chosen].toarray())
    # In the words of the array API standard, which every backend knows.
    if isinstance(chosen, slice):
        return Tensor(array[(chosen, ...)])
    return Tensor(backend_of(array).xp.take(array, chosen, axis=0))


def predicted(model: Sequential, x: Array) -> np.ndarray:
    """The model's outputs for all rows of an array or of a sparse matrix."""
    if not hasattr(x, "toarray"):
        return model.predict(x, batch_size=EVALUATION_BATCH)
    starts = range(0, max(x.shape[0], 1), EVALUATION_BATCH)
    return np.concatenate([model.predict(x[start : start + EVALUATION_BATCH].toarray()) for start in starts])


def snapshot(module: nn.Module) -> dict[str, np.ndarray]:
    """A copy of the parameters and buffers on the host."""
    return {name: np.array(t.numpy()) for name, t in module.state_dict().items()}


def fit_lbfgs(
    model: Sequential,
    objective: Callable[..., Tensor],
    rows: Rows,
    *,
    max_iter: int,
    max_fun: int,
    tol: float,
    after: Callable[[float], None],
) -> Any:
    """Minimize the objective over all rows by SciPy's L-BFGS-B; returns its OptimizeResult.

    after   called after each iteration with the objective
    """
    from scipy.optimize import minimize

    point = Point(model.parameters())
    x: Features
    x, y, weights = (batch_of(a, slice(None)) for a in rows)

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        point.move_to(flat)
        outputs = model(x)
        loss = objective(outputs, y) if weights is None else objective(outputs, y, sample_weight=weights)
        loss.backward()
        return loss.item(), point.gradient()

    def callback(intermediate_result: Any) -> None:  # SciPy calls it by this name
        before = point.written(), None if model.optimizer is None else model.optimizer.config()
        after(float(intermediate_result.fun))
        if before != (point.written(), None if model.optimizer is None else model.optimizer.config()):
            raise RuntimeError(
                "fit: a callback has changed the weights or the learning rate, which lbfgs does not look at: use "
                "another solver, as in solver='adam'"
            )

    options = {"maxiter": max_iter, "maxfun": max_fun, "gtol": tol}
    found = minimize(
        value_and_gradient, point.start, jac=True, method="L-BFGS-B", options=options, callback=callback
    )
    point.move_to(found.x)
    return found


class Point:
    """The parameters of a model as one vector in float64, which SciPy works on."""

    def __init__(self, parameters: list[Parameter]) -> None:
        self.parameters = parameters
        self.start = np.concatenate([p.numpy().ravel().astype(np.float64) for p in parameters])
        self.cuts = np.cumsum([p.size for p in parameters])[:-1]

    def written(self) -> list[int]:
        """When each parameter was written last."""
        return [p._version for p in self.parameters]

    def move_to(self, flat: np.ndarray) -> None:
        """Write a vector into the parameters, and drop their gradients."""
        for p, part in zip(self.parameters, np.split(flat, self.cuts)):
            p.assign(Tensor(p.backend.asarray(part.reshape(p.shape), dtype=p.dtype, device=p.device)))
            p.grad = None

    def gradient(self) -> np.ndarray:
        """The gradients of the parameters as one vector: 0 for one that has no part in the loss."""
        return np.concatenate([
            np.zeros(p.size) if p.grad is None else p.grad.numpy().ravel().astype(np.float64)
            for p in self.parameters
        ])  # fmt: skip
