"""`Sequential` with Keras's words: add, compile, fit, evaluate, predict, summary, save, load."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad import nn, optim
from tapegrad.autograd import random
from tapegrad.autograd.foreign import answering
from tapegrad.backends.aliases import Function
from tapegrad.compiler.emit.available import checked
from tapegrad.data import metrics as metric_table
from tapegrad.data.aliases import Features, PlainData, RowWeights, Targets
from tapegrad.data.metric_base import Metric
from tapegrad.models import fit_arguments, fitting, loss_kinds
from tapegrad.models.aliases import ClassWeight, Measured
from tapegrad.models.callbacks import Callback
from tapegrad.models.fitting import Fit
from tapegrad.models.history import History
from tapegrad.models.keras_words import KerasWords
from tapegrad.models.moments import Moments, as_callbacks
from tapegrad.models.one_fit import refuse_in_fit
from tapegrad.models.progress import Progress
from tapegrad.models.readiness import (
    as_loss,
    as_metrics,
    as_optimizer,
    check_compiled,
    frozen_in_fit,
    last_activation,
)
from tapegrad.models.steps import Steps, program_of
from tapegrad.nn.aliases import LossLike
from tapegrad.nn.module import Module
from tapegrad.optim.base import Optimizer


class Sequential(KerasWords):
    """Layers one after the other, and how they are trained.

        model = Sequential()
        model.add(Dense(64, activation="relu", input_shape=(30,)))
        model.add(Dense(1, activation="sigmoid"))
        model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
        model.fit(x, y, epochs=10, validation_split=0.2)

    x and y may be NumPy arrays, lists, Tensors, pandas frames and series. They are converted to the dtype of the
    weights and moved to their device once, at the start. A cross-entropy after a sigmoid or softmax is computed from
    the logits before it, which keeps it finite and exact for any logit. docs/keras.md lists what differs from Keras.

    Args:
        layers: The layers, as arguments or as one list.

    Attributes:
        loss: The loss as it was given to `compile`, a name replaced by its function.
        feature_names: The columns of the table that `fit` was given; other columns, or another order, raise later. None
            for arrays; set it to None to take any table.

    Raises:
        TypeError: Something is not a layer.
    """

    optimizer: Optimizer | None = None
    loss: Any = None
    metrics: Sequence[metric_table.Metric] = ()
    history: History | None = None
    feature_names: list[str] | None = None
    stop_training = False
    run_eagerly = False
    emitter: str | None = None
    warned_of: object = None
    verified: str | None = None  # the description that was found to make this model again
    fitting: Fit | None = None  # the fit that runs
    interrupted: PlainData | None = None  # how far the fit had come that a loaded model goes on with
    ended: PlainData | None = None  # how far the last fit came, as models.resuming says
    _steps: Steps | None = None
    checks = {**KerasWords.checks, "optimizer": as_optimizer, "loss": as_loss, "metrics": as_metrics}

    @answering
    def compile(
        self,
        optimizer: str | Optimizer = "rmsprop",
        loss: LossLike | None = None,
        metrics: Iterable[str | Function | Metric] | str | None = None,
        run_eagerly: bool = False,
        emitter: str | None = None,
    ) -> None:
        """Set the optimizer, the loss and the metrics of the training.

        Without `run_eagerly`, `tg.jit` records a program for each kind of batch that comes often enough, and this
        program trains, evaluates or predicts from then on; `stats()` counts the programs and `source()` shows them.
        Code that cannot be recorded, such as a layer that calls float(t), runs eagerly, and a warning names the line.

        A Python number that a layer or a loss of your own computes with is part of the program. An attribute of a
        layer, or a variable that the loss names, is compared again before each epoch and after callbacks; a change
        makes a new recording. Make a number that changes elsewhere, or often, a tensor.

        Args:
            optimizer: An Optimizer, or a name: "adam", "sgd", ….
            loss: A name ("binary_crossentropy", "mse", …), an object such as `losses.Huber(delta=2.0)`, one of
                tapegrad's functions, or a function of your own, (y_true, y_pred) -> a number, or a loss per row.
            metrics: A name ("accuracy", "auc", …; see `tapegrad.data.metrics`), a function (y_true, y_pred) -> a
                number, or a list of them. They know from the loss whether the outputs are logits.
            run_eagerly: Whether to call the layers one by one at each batch, as to step through them in a debugger.
            emitter: What writes the programs, as in `tg.jit`. "numpy" gives the numbers of `run_eagerly` (to the bit,
                where sums are added up in one order). "native" is the fastest. None, or "auto", on a CPU: NumPy's
                first, and native ones after as many batches as repay them, which the program alone decides: some
                thousands of a small network, some dozens of a large one.

        Raises:
            ValueError: The loss is missing, a name is unknown, or two metrics have one name.
            TypeError: An argument is of another kind.
        """
        refuse_in_fit(self, "compile")
        if loss is None:
            raise ValueError(
                'compile: loss is missing: give a name such as "binary_crossentropy" or "mse", or a function'
            )
        called = nn.losses.get(loss)
        kept = getattr(called, "loss", called)
        measured = metrics_of(metrics, kept, last_activation(self))
        self.optimizer = optim.get(optimizer)
        self.loss, self.metrics = kept, measured
        self.run_eagerly = run_eagerly
        self.emitter = None if emitter is None else checked(emitter)
        self.warned_of, self._steps = None, None

    @answering
    def fit(
        self,
        x: Features = None,
        y: Targets = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Sequence[Callback] | Callback | None = None,
        validation_split: float = 0.0,
        validation_data: Features = None,
        shuffle: bool = True,
        class_weight: ClassWeight = None,
        sample_weight: RowWeights = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
        seed: int | None = None,
    ) -> History:
        """Train for epochs `initial_epoch` to `epochs`; returns the History.

        Afterwards every layer is in the mode, training or evaluation, that it was in before.

        Args:
            x: Arrays; or a tuple (x, y) or (x, y, sample_weight); or batches, an iterable of such tuples:
                `data.Batches`, a loader, a list, a generator. Batches keep their order.
            y: Targets of the outputs' shape. (n,) stands for (n, 1) where the model has one output, and (n, 1) for the
                (n,) class numbers of a sparse loss. Any other difference raises.
            batch_size: Rows per step; None is 32.
            epochs: How many epochs, with those before initial_epoch.
            verbose: 0 silent, 1 a bar, 2 a line per epoch; "auto" is 1.
            callbacks: A list of Callbacks, or one.
            validation_split: This fraction of the rows, taken from the end before any shuffling, is only evaluated on.
            validation_data: (x, y), (x, y, sample_weight) or batches to evaluate on instead.
            shuffle: Whether each epoch takes the rows of arrays in a new random order.
            class_weight: {class number: factor on the loss of its rows}, in training; 1 for those not named. Or a list
                of all factors.
            sample_weight: A factor on the loss of each row, (n,).
            initial_epoch: The number of the first epoch, from 0. A DataLoader leaves out the passes before it.
            steps_per_epoch: Batches in an epoch: the next epoch goes on where this one ended. None: all.
            validation_steps: Batches in a validation. None: all.
            validation_batch_size: Rows per batch of the validation; None is 1024.
            validation_freq: Validate after every n-th epoch, or after those of a list, counted from 1.
            seed: Seed of random streams for this call alone (weights not made yet, the order of rows, dropout): it
                draws the same numbers next to other threads, and all other streams stay where they are. What an epoch
                draws is a function of the seed and of its number: to go on with a fit, give the seed of that fit and
                `initial_epoch`. None: the streams of the process, which `tg.manual_seed` sets, or in a model that was
                saved in the midst of a fit, and loaded to resume it, those of that fit.

        Raises:
            ValueError: NaN or Inf in x or y, arrays of different lengths, or an argument out of its range.
            RuntimeError: The model is not compiled.
        """
        options = {name: value for name, value in locals().items() if name not in ("self", "seed")}
        refuse_in_fit(self, "fit")
        if seed is None and self.interrupted is not None:
            seed = self.interrupted["seed"]  # of the fit that is gone on with
        if seed is None:
            return fit_arguments.training(self, options).run()
        with random.own_streams(random.checked_seed("fit", seed)):
            return fit_arguments.training(self, options, seed).run()

    @answering
    def evaluate(
        self,
        x: Features = None,
        y: Targets = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: RowWeights = None,
        steps: int | None = None,
        callbacks: Sequence[Callback] | Callback | None = None,
        return_dict: bool = False,
    ) -> Measured:
        """The loss over all rows, or [loss, metric, …], or with return_dict {"loss": …, …}, in evaluation mode.

        Args:
            x, y, sample_weight: As for `fit`.
            batch_size: Rows per batch; None is 1024. The result does not depend on it.
            verbose: 0 silent, 1 or "auto" a bar, 2 a line at the end.
            steps: Evaluate so many batches only. None: all.
            callbacks: A list of Callbacks, or one; their on_test moments are called.
            return_dict: Whether to return a dict of numbers by name.

        Raises:
            ValueError: NaN or Inf in x or y, or arrays that do not fit each other or the model.
            RuntimeError: The model is not compiled.
        """
        check_compiled(self)
        source = fit_arguments.evaluation(self, x, y, sample_weight, batch_size, steps)
        moments = Moments(
            as_callbacks(callbacks), self, {"verbose": verbose, "epochs": 1, "steps": source.steps}
        )
        progress = Progress(verbose, 1)
        progress.begin("evaluate" if y is None else f"evaluate {len(x)} rows")
        logs = fitting.measure(self, source, moments)
        progress.end(logs)
        return fitting.reported("test_step", logs, return_dict)

    @answering
    def predict(
        self,
        x: Features,
        batch_size: int | None = None,
        verbose: int | str = 0,
        steps: int | None = None,
        callbacks: Sequence[Callback] | Callback | None = None,
    ) -> np.ndarray:
        """The outputs for all rows, (n, …), as a NumPy array, in evaluation mode.

        Args:
            x: Arrays, or batches, as for `fit`; the targets of batches are left out.
            batch_size: Rows per batch; None is 1024. The result does not depend on it.
            verbose: 0 silent, 1 or "auto" a bar, 2 a line at the end.
            steps: Predict so many batches only. None: all.
            callbacks: A list of Callbacks, or one; their on_predict moments are called.

        Raises:
            ValueError: NaN or Inf in x, or an x that does not fit the model.
        """
        moments = Moments(as_callbacks(callbacks), self, {"verbose": verbose, "epochs": 1, "steps": steps})
        progress = Progress(verbose, 1)
        progress.begin(f"predict {len(x)} rows" if hasattr(x, "__len__") else "predict")
        parts = fitting.predictions(self, fit_arguments.prediction(self, x, batch_size, steps), moments)
        progress.end({})
        return np.concatenate(parts) if parts else fit_arguments.no_rows(self, x)

    @answering
    def summary(self, shape: Any = None) -> None:  # type: ignore[override]
        """Print the table of layers, their output shapes and numbers of parameters.

        Args:
            shape: The shape of one sample; None is the input_shape, where known.
        """
        print(super().summary(shape))

    @answering
    def save(self, path: str | Path, metadata: dict[str, str] | None = None, training: bool = True) -> None:
        """Write the model into one checksummed safetensors file, atomically.

        The file holds the layers, the weights, and how the model is trained: the optimizer with its state, loss,
        metrics, the emitter and which kinds of batch have a program, and where the random streams stand.
        `models.model_file` says how. Code of your own (layers, losses, metrics, optimizers, activations) is named in
        the file and has to be registered, by `@tapegrad.models.register`.
        A Sequential among the layers is one again after loading, and is not compiled.

        Args:
            path: The file to write; one that exists is replaced as a whole. Its ending may not promise another format.
            metadata: Further texts by name, which `tg.read_metadata` reads.
            training: False leaves out how the model is trained: after loading, call `compile`.

        Raises:
            TypeError: The model holds what `load` could not make again. Nothing is written.
            ValueError: The path ends as another format's files do, or metadata has the name "model".
        """
        from tapegrad.models.model_file import save

        save(self, path, metadata or {}, training)

    @classmethod
    def load(cls, path: str | Path, resume: bool = False) -> "Sequential":
        """The model that `save` wrote. No code in the file is run: it names layers, and only known ones.

        Args:
            path: The file.
            resume: Whether to put the random streams (shuffling, dropout) where they stood, too, and to run a program
                from the first batch on where one ran when the model was saved. Then `fit(…, initial_epoch=…)` goes on
                as if it had not been interrupted, bit for bit on the same kind of CPU; where the fit before had a
                seed, and had ended, give it again. Callbacks go on, too: those of the same classes and monitors get
                back what they had seen. `fit` raises for an initial_epoch that is not the next one, and warns where a
                callback is left out that had a state. It puts a new DataLoader at the pass of initial_epoch: give it
                the seed of the one before. Other batches, such as a generator's, come as they are given.

        Raises:
            FileError: The file holds no model, is damaged, or names code that is not registered.
        """
        from tapegrad.models.model_file import load

        return load(cls, path, resume)

    # ---- getting ready ----
    def steps(self, modules: list[Module] | None = None) -> Steps:
        """The steps for the layers, the loss and the optimizer as they are now; kept for as long as they stay so.

        Args:
            modules: All modules of the model, where they are known.
        """
        if self._steps is None or not self._steps.still_match(self, modules):
            self._steps = Steps(self, self._steps)
        return self._steps

    def stats(self) -> dict[str, dict[str, object]]:
        """Counts for the steps "train", "evaluate" and "predict", by name.

        Each has how many calls there were, how many of them ran compiled, the recordings and their reasons, and in
        "refused" why the step runs as Python, if it does.
        """
        return self.steps().stats()

    def source(self, what: str = "train", batch_size: int | None = None) -> str:
        """The program of a step as source. The model stays as it is.

        Args:
            what: "train", "evaluate" or "predict".
            batch_size: None: the program that ran last, or one recorded now for 32 rows where none was recorded yet. A
                number: a program recorded now for so many rows.

        Raises:
            ValueError: what is another word.
            RuntimeError: The model is not compiled.
        """
        if what not in ("train", "evaluate", "predict"):
            raise ValueError(f"source: expected 'train', 'evaluate' or 'predict', got {what!r}")
        if what != "predict":
            check_compiled(self)
        step = getattr(self.steps(), what)
        if batch_size is None and step.last is not None and step.last.ready:
            return str(step.source())
        return program_of(self, what, batch_size or 32, step.emitter).source()

    def bind_optimizer(self) -> Optimizer:
        """The optimizer, given this model's parameters if it has none yet."""
        optimizer = check_compiled(self)
        trained = {name: p for name, p in self.named_parameters() if p.requires_grad}
        if not trained and list(self.parameters()):
            raise RuntimeError(
                "every layer is frozen, and there is nothing to train: set layer.trainable = True and compile again"
            )
        if not optimizer.groups:
            optimizer.bind(trained)
        bound = {id(p) for group in optimizer.groups for p in group.params}
        if bound - frozen_in_fit(self) != set(map(id, trained.values())):
            raise RuntimeError(
                "the optimizer trains other parameters than this model has now: after adding, freezing or unfreezing "
                "layers, compile the model again with a new optimizer"
            )
        return optimizer


def metrics_of(metrics: Any, loss: LossLike | None, last: str | None) -> tuple[metric_table.Metric, ...]:
    """The metrics of `compile`, told what the outputs are, under names that differ."""
    single = metrics is None or isinstance(metrics, (str, metric_table.Metric)) or callable(metrics)
    if isinstance(metrics, dict) or not (single or hasattr(metrics, "__iter__")):
        raise TypeError(f"compile: metrics: expected a list of names or functions, got {metrics!r}")
    given = () if metrics is None else (metrics,) if single else tuple(metrics)
    found: list[metric_table.Metric] = []
    for one in given:
        metric = metric_table.get(one).of_outputs(loss_kinds.outputs_kind(loss, last))
        if not metric.scalar:
            raise ValueError(
                f"compile: metrics: the result of {metric.name!r} is no number: call its update and result "
                "yourself, on model.predict(x)"
            )
        if metric.name in ("loss", *(m.name for m in found)):
            raise ValueError(
                f"compile: metrics: {metric.name!r} is there already: give another name, as in "
                "tapegrad.data.metrics.get(metric, name=…)"
            )
        found.append(metric)
    return tuple(found)
