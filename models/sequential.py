"""`Sequential` with Keras's words: add, compile, fit, evaluate, predict, summary, save, load."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad import nn, optim
from tapegrad.autograd import random
from tapegrad.autograd.flags import no_grad
from tapegrad.autograd.whole import uninterrupted
from tapegrad.compiler.emit.available import checked
from tapegrad.data import metrics as metric_table
from tapegrad.data.batches import Batches
from tapegrad.models import rows
from tapegrad.models.callbacks import Callback
from tapegrad.models.history import History
from tapegrad.models.progress import Progress, Running
from tapegrad.models.steps import Steps, program_of
from tapegrad.optim.base import Optimizer

EVALUATION_BATCH = 1024


class Sequential(nn.Sequential):
    """Layers one after the other, and how they are trained.

        model = Sequential()
        model.add(Dense(64, activation="relu", input_shape=(30,)))
        model.add(Dense(1, activation="sigmoid"))
        model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
        model.fit(x, y, epochs=10, validation_split=0.2)

    x and y may be NumPy arrays, lists, Tensors, pandas frames and series. They are converted to the dtype of the
    weights and moved to their device once, at the start. A cross-entropy after a sigmoid or softmax is computed from
    the logits before it, which keeps it finite and exact for any logit.
    """

    optimizer: Optimizer | None = None
    loss: Any = None
    metrics: Sequence[metric_table.Metric] = ()
    history: History | None = None
    stop_training = False
    run_eagerly = False
    emitter: str | None = None
    _steps: Steps | None = None

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        run_eagerly: bool = False,
        emitter: str | None = None,
    ) -> None:
        """Say how to train.

        optimizer    an Optimizer made without parameters, or a name: "adam", "sgd", …
        loss         a name ("binary_crossentropy", "mse", …), or (outputs, targets, sample_weight=…) -> a number
        metrics      names ("accuracy", "auc", …; see `tapegrad.data.metrics`) or functions (outputs, targets) -> scalar
        run_eagerly  call the layers one by one at each batch, as to step through them in a debugger
        emitter      what writes the programs, as in `tg.jit`. "numpy" gives the numbers of `run_eagerly` (to the bit,
                     where sums are added up in one order). "native" is the fastest. None, or "auto", on a CPU: NumPy's
                     first, and native ones after as many batches as repay them, which the program alone decides: some
                     thousands of a small network, some dozens of a large one

        Without `run_eagerly`, a batch is trained on, evaluated or predicted by a program that `tg.jit` records, once
        batches of its kind have come often enough; `stats()` counts and `source()` shows it. What a program cannot
        follow, such as a layer that calls float(t), runs as it is, with a warning. A number that a layer or a loss of
        your own computes with in Python is part of the program: an attribute of a layer, or a variable that the loss
        names, is looked at again before each epoch and after callbacks, and taken up by a new recording; elsewhere, or
        to change it often, make it a tensor.
        """
        if loss is None:
            raise ValueError(
                'compile: loss is missing: give a name such as "binary_crossentropy" or "mse", or a function'
            )
        self.loss = nn.losses.get(loss)
        self.metrics = tuple(metric_table.get(m) for m in (metrics or ()))
        self.optimizer = optim.get(optimizer)
        self.run_eagerly = run_eagerly
        self.emitter = None if emitter is None else checked(emitter)
        self._steps = None

    def fit(
        self,
        x: Any,
        y: Any,
        batch_size: int = 32,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Sequence[Callback] = (),
        validation_split: float = 0.0,
        validation_data: tuple[Any, ...] | None = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        seed: int | None = None,
    ) -> History:
        """Train for epochs `initial_epoch` to `epochs`; returns the History.

        y                  of the outputs' shape; (n,) stands for (n, 1) where the model has one output, and (n, 1) for
                           the (n,) class numbers of a sparse loss. Any other difference raises
        validation_split   this fraction of the rows, taken from the end before any shuffling, is only evaluated on
        validation_data    (x, y) or (x, y, sample_weight) to evaluate on instead
        class_weight       class number -> factor on the loss of its rows, in training; 1 for those not named
        sample_weight      a factor on the loss of each row
        verbose            0 silent, 1 a bar, 2 a line per epoch; "auto" is 1
        seed               of random streams for this call alone (weights not made yet, the order of rows, dropout): it
                           draws the same beside other threads, and all other streams stay where they are. None: those
                           of the process, which `tg.manual_seed` sets

        Raises ValueError for NaN or Inf in x or y, and for arrays of different lengths.
        """
        if seed is not None:
            options = {name: value for name, value in locals().items() if name not in ("self", "seed")}
            with random.own_streams(seed):
                return self.fit(**options)
        self._ready_to_train(x)
        x, y, weights = rows.examples(self, x, y, sample_weight)
        held_out: Any = None
        if validation_data is not None:
            held_out = rows.examples(self, *validation_data, where="validation ")
        elif validation_split:
            cut = rows.split_at(x.shape[0], validation_split)
            held_out = tuple(None if a is None else a[cut:, ...] for a in (x, y, weights))
            x, y, weights = (None if a is None else a[:cut, ...] for a in (x, y, weights))

        if class_weight:
            weights = rows.with_class_weights(weights, y, class_weight)
        batches = Batches(x, y, weights, batch_size=batch_size, shuffle=shuffle)
        progress = Progress(verbose, len(batches))
        self.history, self.stop_training = History(), False
        for callback in callbacks:
            callback.model = self
            callback.on_train_begin()
        for epoch in range(initial_epoch, epochs):
            for callback in callbacks:
                callback.on_epoch_begin(epoch)
            progress.begin(f"epoch {epoch + 1:>{len(str(epochs))}}/{epochs}")
            try:
                logs = self._train_epoch(batches, callbacks, progress)
                if held_out is not None:
                    logs |= {f"val_{name}": v for name, v in self._measure(*held_out).items()}
            except BaseException:
                progress.abort()
                raise
            progress.end(logs)
            self.history.append(epoch, logs)
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        for callback in callbacks:
            callback.on_train_end()
        return self.history

    def _train_epoch(
        self,
        batches: Batches,
        callbacks: Sequence[Callback],
        progress: Progress,
    ) -> dict[str, float]:
        """One pass over the batches; the loss and the metrics over its rows."""
        per_batch = [c for c in callbacks if overrides(c, "on_train_batch_end")]
        running = Running(self.metrics)
        self.train()
        step = self.steps().train
        for number, (x, y, weights) in enumerate(batches):
            with uninterrupted():  # Ctrl-C comes between two batches
                loss, outputs = step(x, y, weights)
            running.update(loss, outputs, y)
            progress.step(number + 1, running.logs)
            for callback in per_batch:
                callback.on_train_batch_end(number, running.logs())
            if per_batch:  # they may have changed the layers
                step = self.steps().train
            if self.stop_training:
                break
        return running.logs()

    def evaluate(
        self,
        x: Any,
        y: Any,
        batch_size: int = EVALUATION_BATCH,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss, or [loss, metric, …], or with return_dict {"loss": …, …}, over all rows, in evaluation mode."""
        self._compiled()
        self._build_for(x)
        progress = Progress(verbose, 1)
        progress.begin(f"evaluate {len(x)} rows")
        logs = self._measure(*rows.examples(self, x, y, sample_weight), batch_size=batch_size)
        progress.end(logs)
        if return_dict:
            return logs
        return list(logs.values()) if len(logs) > 1 else logs["loss"]

    def _measure(self, x: Any, y: Any, weights: Any, batch_size: int = EVALUATION_BATCH) -> dict[str, float]:
        running = Running(self.metrics)
        self.eval()
        step = self.steps().evaluate
        for xb, yb, wb in Batches(x, y, weights, batch_size=batch_size, shuffle=False):
            loss, outputs = step(xb, yb, wb)
            running.update(loss, outputs, yb)
        return running.logs()

    def predict(self, x: Any, batch_size: int = EVALUATION_BATCH, verbose: int | str = 0) -> np.ndarray:
        """The outputs for all rows, (n, …), as a NumPy array, in evaluation mode."""
        progress = Progress(verbose, 1)
        progress.begin(f"predict {len(x)} rows")
        self._build_for(x)
        x = rows.inputs(self, x)
        self.eval()
        step = self.steps().predict
        with no_grad():
            parts = [step(xb).numpy() for (xb,) in Batches(x, batch_size=batch_size, shuffle=False)]
        progress.end({})
        return np.concatenate(parts) if parts else np.empty((0, *self.build(x.shape[1:])), str(x.dtype))

    def summary(self, shape: Any = None) -> None:  # type: ignore[override]
        """Print the table of layers, their output shapes and numbers of parameters."""
        print(super().summary(shape))

    def save(self, path: str | Path, metadata: dict[str, str] | None = None) -> None:
        """Write the layers, the weights, and how the model is trained (optimizer with its state, loss, metrics, the
        emitter and which kinds of batch have a program, where the random streams stand) into one checksummed
        safetensors file, atomically. See `models.model_file`."""
        from tapegrad.models.model_file import save

        save(self, path, metadata or {})

    @classmethod
    def load(cls, path: str | Path, resume: bool = False) -> "Sequential":
        """The model that `save` wrote. No code in the file is run: it names layers, and only known ones.

        resume   also put the random streams (shuffling, dropout) where they stood, and run a program from the first
                 batch on where one ran when it was saved, so that `fit(…, initial_epoch=…)` goes on as if it had not
                 been interrupted, bit for bit on the same kind of CPU
        """
        from tapegrad.models.model_file import load

        return load(cls, path, resume)

    # ---- getting ready ----
    def _compiled(self) -> Optimizer:
        if self.optimizer is None:
            raise RuntimeError(
                "this model has not been compiled: call compile(optimizer=…, loss=…, metrics=…) first"
            )
        return self.optimizer

    def _build_for(self, x: Any) -> None:
        """Have the layers make their weights for the shape of these rows, if they have not yet."""
        if not self.layers:
            raise RuntimeError(
                "this model has no layers: add some, as in model.add(Dense(1, activation='sigmoid'))"
            )
        if not all(module.built for _, module in self.named_modules()):
            shape = np.shape(x)
            if len(shape) < 2:
                raise ValueError(f"x: expected one row per sample, (n, features), got shape {shape}")
            self.build(tuple(int(n) for n in shape[1:]))

    def _ready_to_train(self, x: Any) -> None:
        self._compiled()
        self._build_for(x)
        self.bind_optimizer()

    def steps(self) -> Steps:
        """The steps for the layers, the loss and the optimizer as they are now; kept for as long as they stay so."""
        if self._steps is None or not self._steps.still_match(self):
            self._steps = Steps(self, self._steps)
        return self._steps

    def stats(self) -> dict[str, dict[str, Any]]:
        """For the steps "train", "evaluate" and "predict": how many calls there were, how many of them ran compiled,
        the recordings and their reasons, and in "refused" why it runs as Python, if it does."""
        return self.steps().stats()

    def source(self, what: str = "train", batch_size: int | None = None) -> str:
        """The program of a step, "train", "evaluate" or "predict", as source: the one that ran last, or with a
        batch_size, or where none was recorded yet, one recorded now (for 32 rows). The model stays as it is."""
        if what not in ("train", "evaluate", "predict"):
            raise ValueError(f"source: expected 'train', 'evaluate' or 'predict', got {what!r}")
        if what != "predict":
            self._compiled()
        step = getattr(self.steps(), what)
        if batch_size is None and step.last is not None and step.last.ready:
            return str(step.source())
        return program_of(self, what, batch_size or 32, step.emitter).source()

    def bind_optimizer(self) -> Optimizer:
        """The optimizer, given this model's parameters if it has none yet."""
        optimizer = self._compiled()
        trained = {name: p for name, p in self.named_parameters() if p.requires_grad}
        if not optimizer.groups:
            optimizer.bind(trained)
        if {id(p) for group in optimizer.groups for p in group.params} != set(map(id, trained.values())):
            raise RuntimeError(
                "the optimizer trains other parameters than this model has now: after adding, freezing or unfreezing "
                "layers, compile the model again with a new optimizer"
            )
        return optimizer


def overrides(callback: Callback, name: str) -> bool:
    return getattr(type(callback), name) is not getattr(Callback, name) or name in vars(callback)
