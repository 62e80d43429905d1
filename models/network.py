"""What the network estimators share: the training with scikit-learn's stopping rules, and copies."""

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from tapegrad import nn
from tapegrad.autograd import random
from tapegrad.autograd.aliases import DType
from tapegrad.autograd.attributes import KeepsMethods
from tapegrad.autograd.creation import tensor
from tapegrad.backends import default_place, use_backend
from tapegrad.compiler.emit.available import checked
from tapegrad.data.aliases import Features, PlainData, RowWeights, Targets
from tapegrad.models.aliases import AsGiven, RandomState
from tapegrad.models.callbacks import Callback
from tapegrad.models.checks import same, validated, warn, with_weight
from tapegrad.models.history import History
from tapegrad.models.in_mode import mode
from tapegrad.models.moments import batch_moments, begin, tell
from tapegrad.models.one_fit import trained_by
from tapegrad.models.scikit_learn import train_test_split
from tapegrad.models.sequential import Sequential
from tapegrad.models.stopping import Stopping, diverged
from tapegrad.models.training import MANY_BATCHES, Objective, Rows, Training, fit_lbfgs, predicted, snapshot
from tapegrad.nn.aliases import LossLike
from tapegrad.optim.base import Optimizer

DTYPES = (np.float64, np.float32)


class Network(KeepsMethods, BaseEstimator):
    """A `Sequential` trained as an estimator. A subclass says its layers, its loss and its held-out score."""

    MADE_WITH: tuple[str, ...] = ()  # the parameters that the layers and the loss depend on
    OBJECTIVE_OF: tuple[str, ...] = ()  # those that only what is minimized depends on
    accept_sparse: AsGiven = False

    batch_size: AsGiven
    max_iter: int
    shuffle: bool
    early_stopping: bool
    validation_fraction: float
    warm_start: bool
    random_state: AsGiven
    callbacks: AsGiven
    run_eagerly: bool
    emitter: str | None
    backend: str | None
    verbose: AsGiven
    model_: Sequential
    history_: History
    loss_curve_: list[float]
    _scores: list[float]
    _training: Training | None
    _order: np.ndarray | None
    _held_out: tuple[np.ndarray, np.ndarray] | None

    # ---- what a subclass says ----
    def _make_layers(self, made_with: PlainData, dtype: DType) -> Sequential:
        """The layers, from the parameters as they were at the first fit."""
        raise NotImplementedError

    def _set_initial_weights(self, model: Sequential, random_state: RandomState) -> None:
        """Draw the initial weights as this estimator's class does; by default they stay those of the layers."""

    def _loss(self, made_with: PlainData) -> LossLike:
        """The loss as `Sequential.compile` takes it."""
        raise NotImplementedError

    def _new_optimizer(self) -> Optimizer:
        """A new optimizer, not yet bound."""
        raise NotImplementedError

    def _optimizer_parameters(self) -> PlainData:
        """What the optimizer depends on."""
        raise NotImplementedError

    def _objective(self, model: Sequential) -> Objective:
        return Objective(nn.losses.get(self._loss(self._made_with)), [], 0.0)

    def _validation(self, rows: Rows) -> dict[str, float]:
        """The logs of a held-out part: "val_loss", "val_score"."""
        raise NotImplementedError

    def _passes(self) -> tuple[int, bool]:
        """(how many passes, whether that is a limit within which the training should converge)."""
        return self.max_iter, True

    def _stopping(self) -> Stopping:
        raise NotImplementedError

    def _holds_out(self) -> bool:
        return self.early_stopping

    def _rows_per_step(self, rows: int) -> int:
        return min(int(self.batch_size), rows)

    def _after_epoch(self) -> None:
        """Change the learning rate, say."""

    def _slowed_down(self) -> bool:
        """Whether a training that would end here goes on with a smaller learning rate."""
        return False

    def _model_parameters(self) -> PlainData:
        """What the layers and the loss depend on."""
        return {name: getattr(self, name) for name in self.MADE_WITH}

    # ---- making the model ----
    def _place(self) -> AbstractContextManager[object]:
        return nullcontext() if self.backend is None else use_backend(self.backend)

    def _begin(self, x: Features) -> None:
        """A new model for such rows, with its random streams."""
        self._random_state = check_random_state(self.random_state)
        # Of a copy: initial weights and the order of rows come from the numbers that scikit-learn's would come from.
        self._streams = random.Streams(int(copy.deepcopy(self._random_state).randint(2**31 - 1)))
        self._made_with = self._model_parameters()
        with random.own_streams(self._streams), self._place():
            model = self._make_layers(self._made_with, x.dtype)
            self._set_initial_weights(model, self._random_state)
        self._compile(model, self._new_optimizer())
        self._optimizer_made_with = self._optimizer_parameters()
        self.model_, self._training = model, None
        self.t_, self.loss_curve_, self._scores, self._rule = 0, [], [], self._stopping()
        self._held_out, self._order = None, None

    def _check_still_made_so(self) -> None:
        """Raise ValueError if a parameter of the model was changed since a warm start's first fit."""
        now = self._model_parameters()
        for name, value in self._made_with.items():
            if name not in now or not same(now[name], value):
                raise ValueError(
                    f"{name}: warm_start goes on with the model made for {value!r}, got {now.get(name)!r}: "
                    "use another estimator, or warm_start=False"
                )

    def _follow_changes(self) -> None:
        """Take up what was changed of the optimizer since the last fit."""
        self._check_still_made_so()
        if not same(now := self._optimizer_parameters(), self._optimizer_made_with):
            self._replace_optimizer()
            self._optimizer_made_with = now
        self._rule = self._stopping().going_on(self._rule)

    def _compile(self, model: Sequential, optimizer: Optimizer) -> None:
        model.compile(optimizer, self._loss(self._made_with))
        model.bind_optimizer()

    def _replace_optimizer(self) -> None:
        """A new optimizer, which goes on with the state of the old one where it has the same."""
        before, optimizer = self.model_.optimizer, self._new_optimizer()
        self._compile(self.model_, optimizer)
        state = before.state_dict() if before is not None else {}
        if type(before) is type(optimizer) and state.keys() == (now := optimizer.state_dict()).keys():
            optimizer.load_state_dict({name: now[name] if name == "lr" else t for name, t in state.items()})

    def _prepare(self, rows: int) -> Training:
        """The training for so many rows; the one of before with its programs, where nothing was changed."""
        model, batch_size = self.model_, self._rows_per_step(rows)
        model.run_eagerly = self.run_eagerly
        model.emitter = None if self.emitter is None else checked(self.emitter)
        many = rows // batch_size >= MANY_BATCHES
        made_of = (model.optimizer, model.emitter, model.run_eagerly, batch_size, many)
        made_of += tuple(getattr(self, name) for name in self.OBJECTIVE_OF)
        if self._training is None or self._training.made_of != made_of:
            self._training = Training(
                model,
                self._objective(model),
                emitter=model.emitter,
                run_eagerly=self.run_eagerly,
                batch_size=batch_size,
                many=many,
                before=self._training,
            )
            self._training.made_of = made_of
        if (state := self.__dict__.pop("_step_state", None)) is not None:
            self._training.step.restore(state)
        return self._training

    # ---- training ----
    def _train(
        self, x: Features, y: Targets, weights: RowWeights, *, stratify: Targets = None, once: bool = False
    ) -> None:
        """Fit the model, or go on with it. Should the training diverge, the weights are those of before."""
        weights, x, y, stratify = with_weight(weights, x, y, stratify)
        going_on = hasattr(self, "model_") and (once or self.warm_start)
        if going_on:
            self._follow_changes()
        else:
            self._begin(x)
        before = snapshot(self.model_) if going_on else None
        try:
            quiet, alone = np.errstate(over="ignore", invalid="ignore"), trained_by(self, self.model_)
            with quiet, random.own_streams(self._streams), mode(self.model_, True), alone:
                self._run(x, y, weights, stratify, once)
        except FloatingPointError as error:
            if before is None:
                del self.model_
            else:
                self.model_.load_state_dict(before)
            raise ValueError(f"{type(self).__name__}.{error}") from None
        except Exception:
            # Before the first epoch is whole there is nothing to predict with.
            if before is None and not self.loss_curve_:
                del self.model_
            raise

    def _run(self, x: Features, y: Targets, weights: RowWeights, stratify: Targets, once: bool) -> None:
        held_out = None
        if self._holds_out() and not once:
            train, test = self._split(x.shape[0], stratify)
            held_out = self._placed(x[test], y[test], None if weights is None else weights[test])
            x, y, weights = x[train], y[train], None if weights is None else weights[train]
        rows = self._placed(x, y, weights)
        training = self._prepare(x.shape[0])
        self.history_, self.n_iter_, self.model_.stop_training = History(), 0, False
        callbacks = self._callbacks()
        epochs, steps = 1 if once else self._passes()[0], -(-x.shape[0] // training.batch_size)
        begin(callbacks, self.model_, {"verbose": self.verbose, "epochs": epochs, "steps": steps})
        try:
            self._iterate(training, rows, held_out, callbacks, once)
        except KeyboardInterrupt:
            warn(self, "the training was interrupted; the weights are those of the last batch", UserWarning)
        finally:
            self._rule.restore(self.model_)
            tell(callbacks, "on_train_end", {name: values[-1] for name, values in self.history_.items()})
            for callback in callbacks:
                callback.model = None
        if not all(np.isfinite(w).all() for w in snapshot(self.model_).values()):
            raise FloatingPointError(diverged(self.n_iter_, "a weight is not finite"))

    def _iterate(
        self, training: Training, rows: Rows, held_out: Rows | None, callbacks: list[Callback], once: bool
    ) -> None:
        """Pass after pass over the rows, until the rule, a callback or the number of passes ends it."""
        passes, should_converge = self._passes()
        for epoch in range(1 if once else passes):
            tell(callbacks, "on_epoch_begin", epoch)
            loss = self._one_pass(training, rows, callbacks)
            logs = {"loss": loss, **({} if held_out is None else self._validation(held_out))}
            self._end_epoch(epoch, logs, callbacks)
            training.check_unchanged()
            stop = self._rule.ends(logs, self.model_)
            self._after_epoch()
            if stop and self._slowed_down():
                self._rule.waited, stop = 0, False
            if stop or self.model_.stop_training:
                return
        if should_converge and not once:
            remedy = "raise max_iter, or ask for a number of passes with epochs="
            message = f"max_iter={passes} passes were made and the training has not converged: {remedy}"
            warn(self, message, ConvergenceWarning)

    def _one_pass(self, training: Training, rows: Rows, callbacks: list[Callback]) -> float:
        """Train on each row once, in an order drawn anew with `shuffle`. Returns the mean loss."""
        count = rows[0].shape[0]
        if self._order is None or len(self._order) != count:
            self._order = np.arange(count)
        if self.shuffle:
            self._order = self._order[self._random_state.permutation(count)]
        loss = training.epoch(rows, self._order if self.shuffle else None, *batch_moments(callbacks))
        self.n_iter_ += 1
        self.t_ += count
        if not np.isfinite(loss):
            raise FloatingPointError(diverged(self.n_iter_, f"the loss is {loss}"))
        return loss

    def _end_epoch(self, epoch: int, logs: dict[str, float], callbacks: list[Callback]) -> None:
        """Keep and show the numbers of an epoch, and keep what callbacks add to them."""
        self.loss_ = logs["loss"]
        self.loss_curve_.append(self.loss_)
        if "val_score" in logs:
            self._scores.append(logs["val_score"])
        self.history_.append(epoch, logs)
        self._say(logs)
        tell(callbacks, "on_epoch_end", epoch, logs)
        self.history_.replace_last(logs)

    def _run_lbfgs(self, training: Training, rows: Rows, callbacks: list[Callback]) -> None:
        """All rows at once, by L-BFGS. Each of its steps is an epoch to the callbacks. They hear of it when it is done,
        since nobody knows before whether there is another."""

        def after(loss: float) -> None:
            epoch, logs = len(self.history_.epoch), {"loss": loss}
            tell(callbacks, "on_epoch_begin", epoch)
            self._end_epoch(epoch, logs, callbacks)
            training.check_unchanged()
            if self.model_.stop_training:
                raise StopIteration

        passes, should_converge = self._passes()
        found = fit_lbfgs(
            self.model_, training.objective, rows, max_iter=passes, max_fun=getattr(self, "max_fun", 15000),
            tol=getattr(self, "tol", 1e-4), after=after,
        )  # fmt: skip
        self.loss_, self.n_iter_ = float(found.fun), int(found.nit)
        if not np.isfinite(self.loss_):
            raise FloatingPointError(diverged(self.n_iter_, f"the loss is {self.loss_}"))
        self._rule.best = min(self._rule.best, self.loss_)
        if not found.success and should_converge and not self.model_.stop_training:
            warn(self, f"lbfgs stopped after {self.n_iter_} steps: {found.message}", ConvergenceWarning)

    def _split(self, rows: int, stratify: Targets) -> tuple[np.ndarray, np.ndarray]:
        """(rows to train on, rows held out); a training that goes on with as many rows holds out the same."""
        if self._held_out is not None and sum(map(len, self._held_out)) == rows:
            return self._held_out
        train, test = train_test_split(
            np.arange(rows),
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=stratify,
        )
        if len(test) < 2:
            raise ValueError(
                f"validation_fraction={self.validation_fraction!r} of {rows} rows is too small: give more rows, or a "
                "larger fraction"
            )
        self._held_out = (train, test)
        return self._held_out

    def _placed(self, x: Features, y: Targets, weights: RowWeights) -> Rows:
        """The rows on the model's device; a sparse x stays on the host."""
        with self._place():
            place = default_place()
        if place in ("numpy", "cpu"):
            return x, y, weights
        moved = [None if a is None else tensor(a, device=place).data for a in (y, weights)]
        return (x if hasattr(x, "toarray") else tensor(x, device=place).data), moved[0], moved[1]

    def _callbacks(self) -> list[Callback]:
        given = [self.callbacks] if isinstance(self.callbacks, Callback) else list(self.callbacks or ())
        for callback in given:
            if not isinstance(callback, Callback):
                raise ValueError(f"callbacks: expected tapegrad.models.Callback objects, got {callback!r}")
        return given

    def _say(self, logs: dict[str, float]) -> None:
        if self.verbose:
            shown = ", ".join(f"{name} = {value:.8f}" for name, value in logs.items())
            print(f"Iteration {len(self.history_.epoch)}, {shown}")

    def _outputs(self, x: Features, **options: object) -> np.ndarray:
        check_is_fitted(self)
        return predicted(
            self.model_,
            validated(self, x, dtype=DTYPES, accept_sparse=self.accept_sparse, reset=False, **options),
        )

    def stats(self) -> dict[str, object]:
        """For "train" and "predict": how many calls there were, and how many of them ran compiled.

        As `Sequential.stats` has it.
        """
        check_is_fitted(self)
        train = {} if self._training is None else {"train": self._training.step.stats()}
        return {**train, "predict": self.model_.stats()["predict"]}

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    # ---- copies: a pickle, which scikit-learn's tools need, holds weights and state as plain arrays ----
    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        training = state.pop("_training", None)
        if (model := state.get("model_")) is None:
            return state
        if training is not None:
            state["_step_state"] = training.step.state()
        with random.own_streams(state["_streams"]):
            state["_streams"] = random.get_state()
        state["model_"] = {
            "weights": snapshot(model),
            "dtype": str(next(iter(model.parameters())).dtype),
            "optimizer": type(model.optimizer)(**model.optimizer.config()),
            "state": {name: np.array(t.numpy()) for name, t in model.optimizer.state_dict().items()},
        }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        saved, streams = state.get("model_"), state.get("_streams")
        super().__setstate__({name: v for name, v in state.items() if name not in ("model_", "_streams")})
        if saved is None:
            return
        self._training, self._streams = None, random.Streams(0)
        with random.own_streams(self._streams), self._place():
            model = self._make_layers(self._made_with, np.dtype(saved["dtype"].split(".")[-1]))
            random.set_state(streams or {})  # the initial weights just drawn are replaced
        model.load_state_dict(saved["weights"])
        self._compile(model, saved["optimizer"])
        saved["optimizer"].load_state_dict(saved["state"])
        self.model_ = model
