"""Keras's methods that work on one batch or on one layer, and its `train_step` to be overridden."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad import nn
from tapegrad.autograd.aliases import Array
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.whole import uninterrupted
from tapegrad.backends.aliases import Function
from tapegrad.data.aliases import Batch, Features, RowWeights, Targets
from tapegrad.models import fitting, rows
from tapegrad.models.aliases import ClassWeight, Logs, Measured
from tapegrad.models.in_mode import InMode, mode
from tapegrad.models.one_fit import refuse_in_fit
from tapegrad.models.progress import Running
from tapegrad.models.readiness import build_for, ready_to_train
from tapegrad.models.sources import unpacked

if TYPE_CHECKING:
    from tapegrad.models.steps import Steps

# Methods of Keras's Model that nothing here calls: a class that brings one is told what to write.
NOT_CALLED = {
    "call": "forward(self, x)",
    "compute_loss": "a function (y_true, y_pred), given to compile as the loss",
    "compute_metrics": "a function (y_true, y_pred), given to compile among the metrics",
    "predict_step": "predict(self, x)",
    "make_train_function": "train_step(self, data)",
    "make_test_function": "test_step(self, data)",
    "make_predict_function": "predict(self, x)",
    "get_config": "config(self)",
    "from_config": "a constructor that takes what config() gives",
}


class KerasWords(InMode):
    """The part of `models.Sequential` that has to do with single batches and single layers."""

    loss: Any
    metrics: Any
    running: Running | None = None

    if TYPE_CHECKING:

        def steps(self) -> "Steps": ...

    def __deepcopy__(self, memo: dict[int, object]) -> "KerasWords":
        """A copy with weights of its own. A model whose training has begun is copied by `save` and `load`."""
        optimizer = getattr(self, "optimizer", None)
        if optimizer is not None and optimizer.groups:
            raise TypeError(
                f"{type(self).__name__}: the optimizer of a model that was trained is not copied: save the model and "
                "load it, or set model.optimizer = None, copy, and compile both"
            )
        return super().__deepcopy__(memo)

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("tapegrad."):
            return
        for name, ours in NOT_CALLED.items():
            if name in vars(cls):
                raise TypeError(f"{cls.__name__}.{name}: nothing calls it: write {ours}")

    # ---- one batch ----
    def train_on_batch(
        self,
        x: Features,
        y: Targets = None,
        sample_weight: RowWeights = None,
        class_weight: ClassWeight = None,
        return_dict: bool = False,
    ) -> Measured:
        """The loss of one step on one batch; or [loss, metric, …], or with return_dict a dict. Of this batch alone.

        Args:
            x, y, sample_weight: Arrays of the batch, as for `fit`.
            class_weight: Factors on the loss by class number, as for `fit`.
            return_dict: Whether to return a dict of numbers by name.
        """
        refuse_in_fit(self, "train_on_batch")
        x, y, sample_weight = unpacked("train_on_batch", x, y, sample_weight)
        ready_to_train(self, x)
        arrays = rows.examples(self, x, y, sample_weight)
        if class_weight is not None:
            factors = rows.class_factors(class_weight, self.build(arrays[0].shape[1:]))
            arrays = (*arrays[:2], rows.with_class_weights(arrays[2], arrays[1], factors))
        with mode(self, True):
            logs = self.train_step(fitting.shown(tensors(arrays)))
        return fitting.reported("train_step", fitting.numbers("train_step", logs), return_dict)

    def test_on_batch(
        self, x: Features, y: Targets = None, sample_weight: RowWeights = None, return_dict: bool = False
    ) -> Measured:
        """The loss and the metrics of one batch, as `train_on_batch` returns them, in evaluation mode.

        Args:
            x, y, sample_weight: Arrays of the batch, as for `fit`.
            return_dict: Whether to return a dict of numbers by name.
        """
        x, y, sample_weight = unpacked("test_on_batch", x, y, sample_weight)
        build_for(self, x)
        with mode(self, False):
            logs = self.test_step(fitting.shown(tensors(rows.examples(self, x, y, sample_weight))))
        return fitting.reported("test_step", fitting.numbers("test_step", logs), return_dict)

    def predict_on_batch(self, x: Features) -> np.ndarray:
        """The outputs of one batch as a NumPy array, in evaluation mode.

        Args:
            x: The inputs of the batch.
        """
        build_for(self, x)
        return np.concatenate(fitting.predictions(self, iter([rows.inputs(self, x)])))

    # ---- steps that a subclass may override ----
    def train_step(self, data: Batch) -> Logs:
        """The logs of a training step on a batch; a subclass may override it.

            def train_step(self, data):
                x, y = data
                loss = self.loss(y, self(x))        # a loss of Keras's order
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                return {"loss": loss}

        Such a step runs as Python, not compiled. `super().train_step(data)` does the usual one, and returns the loss
        and the metrics over the rows of the epoch so far.

        Args:
            data: (x, y) or (x, y, sample_weight), as Tensors.

        Returns:
            The logs, a dict of numbers: the last ones of an epoch are those of the epoch, as in Keras.
        """
        with uninterrupted():  # Ctrl-C comes after the step
            return self._counted(self.steps().train, data)

    def test_step(self, data: Batch) -> Logs:
        """The logs of a batch, for `evaluate` and validation; a subclass may override it as `train_step`.

        Args:
            data: (x, y) or (x, y, sample_weight), as Tensors.
        """
        return self._counted(self.steps().evaluate, data)

    def _counted(self, step: Function, data: Batch) -> Logs:
        x, y, weights = data if len(data) == 3 else (*data, None)
        loss, outputs = step(x, y, weights)
        if self.running is not None:
            self.running.update(loss, outputs, y)
            return self.running.so_far()
        with Running(self.metrics) as running:
            running.update(loss, outputs, y)
            return running.logs()

    # ---- weights, as Keras counts them: those of a frozen layer and moving averages are not trainable ----
    @property
    def weights(self) -> list[Tensor]:
        """All parameters and buffers, in the order of `get_weights`."""
        return [t for _, t in self._tensors()]

    @property
    def trainable_weights(self) -> list[Tensor]:
        """The parameters that a training changes, which leaves out those of frozen layers."""
        return [t for t in self.weights if isinstance(t, nn.Parameter) and t.requires_grad]

    @property
    def non_trainable_weights(self) -> list[Tensor]:
        """The parameters of frozen layers, and buffers such as moving averages."""
        trained = set(map(id, self.trainable_weights))
        return [t for t in self.weights if id(t) not in trained]

    variables = weights
    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    def count_params(self) -> int:
        """How many numbers `weights` are, buffers included. `summary` counts the parameters alone."""
        return sum(t.size for t in self.weights)

    # ---- layers ----
    @property
    def output_shape(self) -> Any:
        """The shape of one output, without the batch; None where the input's is not known yet."""
        return None if self.input_shape is None else self._output_shape

    def pop(self) -> nn.Module:
        """Remove the last layer, and return it. Compile the model again before the next `fit`.

        Raises:
            ValueError: There is no layer.
        """
        if not self.layers:
            raise ValueError("pop: the model has no layers")
        layer = self.layers.pop()
        shape = self.input_shape
        self.input_shape = self._output_shape = None
        if self.layers and shape is not None:
            self.infer_shape(shape)
        return layer

    def get_layer(self, name: str | None = None, index: int | None = None) -> nn.Module:
        """The layer of a name (`layer.name`) or of a position.

        Args:
            name: The name.
            index: The position; one of the two is given.

        Raises:
            ValueError: Both or neither are given, or there is no such layer.
        """
        if (name is None) == (index is None):
            raise ValueError(f"get_layer: expected a name or an index, got name={name!r}, index={index!r}")
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(f"get_layer: there are {len(self.layers)} layers, got index {index}")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(repr(layer.name) for layer in self.layers)
        raise ValueError(f"get_layer: there is no layer {name!r}, only {names}")


def tensors(arrays: Batch) -> tuple[Array, ...]:
    return tuple(None if a is None else Tensor(a) for a in arrays)
