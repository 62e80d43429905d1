"""Multi-layer perceptrons as scikit-learn estimators, trained by `Sequential`."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from tapegrad import nn, optim
from tapegrad.autograd import random
from tapegrad.models.callbacks import EarlyStopping
from tapegrad.models.checks import check_number, class_weights
from tapegrad.models.sequential import Sequential


@contextmanager
def own_random_streams(seed: int) -> Iterator[None]:
    """Draw from streams that start at `seed`; afterwards everybody else's go on where they were."""
    before = random.get_state()
    random.manual_seed(seed)
    try:
        yield
    finally:
        random.set_state(before)


class MLP(BaseEstimator):
    """What the two estimators share. Weights have the dtype of X (float32 or float64), on the default backend."""

    hidden_layer_sizes: Any
    activation: Any
    optimizer: Any
    learning_rate: float | None
    epochs: int
    batch_size: int
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    warm_start: bool
    random_state: Any
    run_eagerly: bool
    verbose: int
    classes_: np.ndarray
    n_outputs_: int

    def _output_layer(self) -> tuple[int, Any, Any]:
        """(units, activation, loss) for the targets seen in fit."""
        raise NotImplementedError

    def _make_model(self, dtype: Any) -> Sequential:
        sizes = self.hidden_layer_sizes
        sizes = (sizes,) if np.ndim(sizes) == 0 else tuple(sizes)
        units, last, _ = self._output_layer()
        widths = (self.n_features_in_, *(int(n) for n in sizes), units)
        kinds = (*(self.activation for _ in sizes), last)
        model = Sequential(
            *(
                nn.Dense(m, kind, in_features=n, dtype=str(dtype))
                for n, m, kind in zip(widths, widths[1:], kinds)
            )
        )
        model.run_eagerly = self.run_eagerly
        return model

    def _train(self, X: np.ndarray, y: np.ndarray, weights: np.ndarray | None, stratify: Any) -> None:
        for name in ("epochs", "batch_size", "n_iter_no_change"):
            check_number(name, getattr(self, name), above=0)
        if not 0 < self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction: expected a number between 0 and 1, got {self.validation_fraction!r}"
            )
        generator = check_random_state(self.random_state)
        seed = int(generator.randint(2**31 - 1))
        with own_random_streams(seed):
            if not (self.warm_start and hasattr(self, "model_")):
                self.model_ = self._make_model(X.dtype)
                options = {} if self.learning_rate is None else {"lr": self.learning_rate}
                optimizer = copy.deepcopy(self.optimizer)  # a parameter given to __init__ is not changed
                self.model_.compile(optim.get(optimizer, **options), self._output_layer()[2])
            self.model_.run_eagerly = self.run_eagerly
            held_out, callbacks = None, []
            if self.early_stopping:
                rows = np.arange(len(X))
                train, test = train_test_split(
                    rows, test_size=self.validation_fraction, random_state=seed, stratify=stratify
                )
                held_out = X[test], y[test], None if weights is None else weights[test]
                X, y, weights = X[train], y[train], None if weights is None else weights[train]
                callbacks.append(EarlyStopping(patience=self.n_iter_no_change, restore_best_weights=True))
            history = self.model_.fit(
                X,
                y,
                batch_size=int(self.batch_size),
                epochs=int(self.epochs),
                verbose=self.verbose,
                callbacks=callbacks,
                validation_data=held_out,
                sample_weight=weights,
            )
        self.history_ = history.history
        self.n_iter_ = len(history.epoch)

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self.model_.predict(validate_data(self, X, dtype=(np.float64, np.float32), reset=False))

    # A pickle, which scikit-learn's tools need, holds the weights as plain arrays.
    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "model_" in state:
            state["model_"] = {name: t.numpy() for name, t in state["model_"].state_dict().items()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        weights = state.pop("model_", None)
        super().__setstate__(state)
        if weights is not None:
            with own_random_streams(0):
                self.model_ = self._make_model(next(iter(weights.values())).dtype)
            self.model_.load_state_dict(weights)


class MLPClassifier(ClassifierMixin, MLP):
    """A network of Dense layers that classifies: one sigmoid output for two classes, else a softmax over them.

    hidden_layer_sizes    the units of each hidden layer
    activation            of the hidden layers: a name from `nn.activations`, or any function of a tensor
    optimizer             a name, or an Optimizer made without parameters
    learning_rate         for an optimizer given by name; None: that optimizer's own
    epochs, batch_size    passes over the rows, and rows per step
    early_stopping        hold out `validation_fraction` of the rows, stop when their loss has not improved for
                          `n_iter_no_change` epochs, and go back to the best weights
    warm_start            a second fit goes on with the weights and the optimizer of the first
    class_weight          factors by class, or "balanced"
    random_state          of the initial weights, the order of the rows, and what is held out
    run_eagerly           call the layers one by one at each batch: `Sequential.compile` says what is done otherwise
    verbose               as in `Sequential.fit`

    model_ the trained Sequential; history_ {name: [number per epoch]}; n_iter_ the epochs done; classes_
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        optimizer: Any = "adam",
        learning_rate: float | None = None,
        epochs: int = 200,
        batch_size: int = 32,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        class_weight: Any = None,
        random_state: Any = None,
        run_eagerly: bool = False,
        verbose: int = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.class_weight = class_weight
        self.random_state = random_state
        self.run_eagerly = run_eagerly
        self.verbose = verbose

    def _output_layer(self) -> tuple[int, Any, Any]:
        if len(self.classes_) == 2:
            return 1, "sigmoid", "binary_crossentropy"
        return len(self.classes_), "softmax", "sparse_categorical_crossentropy"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPClassifier":
        warm = self.warm_start and hasattr(self, "model_")
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32), reset=not warm)
        check_classification_targets(y)
        classes, numbers = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y: a classifier needs at least 2 classes, there is one class, {classes[0]!r}")
        if warm and not np.array_equal(classes, self.classes_):
            raise ValueError(f"y: warm_start goes on with the classes {self.classes_}, got {classes}")
        self.classes_ = classes
        weights = None
        if sample_weight is not None or self.class_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=X.dtype)
            weights = weights * class_weights(self.class_weight, classes, y)[numbers]
        self._train(X, numbers, weights, stratify=numbers)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, (n, classes)."""
        p = self._outputs(X)
        return np.concatenate([1 - p, p], axis=1) if len(self.classes_) == 2 else p

    def predict(self, X: Any) -> np.ndarray:
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


class MLPRegressor(RegressorMixin, MLP):
    """A network of Dense layers with a linear output for each target.

    loss   a name from `nn.losses`, or a function (outputs, targets, sample_weight=…) -> scalar

    The other parameters and the attributes are those of MLPClassifier. Scale X and y to about unit size beforehand, as
    for any network.
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        loss: Any = "mse",
        optimizer: Any = "adam",
        learning_rate: float | None = None,
        epochs: int = 200,
        batch_size: int = 32,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        random_state: Any = None,
        run_eagerly: bool = False,
        verbose: int = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.random_state = random_state
        self.run_eagerly = run_eagerly
        self.verbose = verbose

    def _output_layer(self) -> tuple[int, Any, Any]:
        return self.n_outputs_, None, self.loss

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":
        warm = self.warm_start and hasattr(self, "model_")
        X, y = validate_data(
            self, X, y, dtype=(np.float64, np.float32), reset=not warm, multi_output=True, y_numeric=True
        )
        targets = np.asarray(y, X.dtype).reshape(len(X), -1)
        if warm and targets.shape[1] != self.n_outputs_:
            raise ValueError(f"y: warm_start goes on with {self.n_outputs_} targets, got {targets.shape[1]}")
        self.n_outputs_, self._flat = targets.shape[1], y.ndim == 1
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=X.dtype)
        self._train(X, targets, weights, stratify=None)
        return self

    def predict(self, X: Any) -> np.ndarray:
        outputs = self._outputs(X)
        return outputs[:, 0] if self._flat else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
