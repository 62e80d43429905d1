"""Multi-layer perceptrons as scikit-learn estimators, trained by `Sequential`."""

import copy
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from tapegrad import nn, optim
from tapegrad.autograd import random
from tapegrad.compiler.emit.available import checked
from tapegrad.models.callbacks import EarlyStopping
from tapegrad.models.checks import check_number, class_weights
from tapegrad.models.sequential import Sequential

# What a model depends on.
MADE_WITH = ("hidden_layer_sizes", "activation", "loss", "optimizer", "learning_rate")


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
    emitter: str | None
    verbose: int
    classes_: np.ndarray
    n_outputs_: int

    def _output_layer(self) -> tuple[int, Any, Any]:
        """(units, activation, loss) for the targets seen in fit."""
        raise NotImplementedError

    def _make_model(self, dtype: Any) -> Sequential:
        """The model, compiled, as the parameters say; `_made_with` keeps them."""
        self._made_with = {name: getattr(self, name) for name in MADE_WITH if hasattr(self, name)}
        return self._remake_model(dtype)

    def _remake_model(self, dtype: Any) -> Sequential:
        made_with = self._made_with
        sizes, activation = made_with["hidden_layer_sizes"], made_with["activation"]
        sizes = (sizes,) if np.ndim(sizes) == 0 else tuple(sizes)
        units, last, loss = self._output_layer()
        widths = (self.n_features_in_, *(int(n) for n in sizes), units)
        kinds = (*(activation for _ in sizes), last)
        model = Sequential(
            *(
                nn.Dense(m, kind, in_features=n, dtype=str(dtype))
                for n, m, kind in zip(widths, widths[1:], kinds)
            )
        )
        options = {} if made_with["learning_rate"] is None else {"lr": made_with["learning_rate"]}
        optimizer = copy.deepcopy(made_with["optimizer"])  # a parameter given to __init__ is not changed
        model.compile(optim.get(optimizer, **options), made_with.get("loss", loss))
        self._run_as_asked(model)
        return model

    def _run_as_asked(self, model: Sequential) -> None:
        model.run_eagerly = self.run_eagerly
        model.emitter = None if self.emitter is None else checked(self.emitter)

    def _check_still_made_so(self) -> None:
        """Raise ValueError if a parameter of the model was changed since a warm start's first fit."""
        for name, value in self._made_with.items():
            if (now := getattr(self, name)) is not value and not same(now, value):
                raise ValueError(
                    f"{name}: warm_start goes on with the model made for {value!r}, got {now!r}: use another estimator"
                )

    def _train(self, X: np.ndarray, y: np.ndarray, weights: np.ndarray | None, stratify: Any) -> None:
        for name in ("epochs", "batch_size", "n_iter_no_change"):
            check_number(name, getattr(self, name), above=0)
        if not 0 < self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction: expected a number between 0 and 1, got {self.validation_fraction!r}"
            )
        warm = self.warm_start and hasattr(self, "model_")
        if warm:
            self._check_still_made_so()
        else:
            self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            self._streams = random.Streams(self._seed)
        with random.own_streams(self._streams):
            if not warm:
                self.model_ = self._make_model(X.dtype)
            self._run_as_asked(self.model_)
            held_out, callbacks = None, []
            if self.early_stopping:
                rows = np.arange(len(X))
                train, test = train_test_split(
                    rows, test_size=self.validation_fraction, random_state=self._seed, stratify=stratify
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

    # A pickle, which scikit-learn's tools need, holds the weights and the optimizer's state as plain arrays.
    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "model_" in state:
            model, streams = state["model_"], state["_streams"]
            with random.own_streams(streams):
                state["_streams"] = random.get_state()
            state["model_"] = {
                "weights": {name: t.numpy() for name, t in model.state_dict().items()},
                "optimizer": {name: t.numpy() for name, t in model.optimizer.state_dict().items()},
                "steps": model.steps().state(),
            }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        saved, streams = state.pop("model_", None), state.pop("_streams", None)
        super().__setstate__(state)
        if saved is None:
            return
        self._streams = random.Streams(self._seed)
        with random.own_streams(self._streams):
            self.model_ = self._remake_model(next(iter(saved["weights"].values())).dtype)
            random.set_state(streams)  # where they stood before initial weights were drawn
        self.model_.load_state_dict(saved["weights"])
        self.model_.bind_optimizer().load_state_dict(saved["optimizer"])
        self.model_.steps().restore(saved["steps"])


def same(a: Any, b: Any) -> bool:
    """Whether two parameters are equal, which arrays cannot say in one word."""
    return (
        bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) or isinstance(b, np.ndarray) else bool(a == b)
    )


class MLPClassifier(ClassifierMixin, MLP):
    """A network of Dense layers that classifies: one sigmoid output for two classes, else a softmax over them.

    hidden_layer_sizes    the units of each hidden layer
    activation            of the hidden layers: a name from `nn.activations`, or any function of a tensor
    optimizer             a name, or an Optimizer made without parameters
    learning_rate         for an optimizer given by name; None: that optimizer's own
    epochs, batch_size    passes over the rows, and rows per step
    early_stopping        hold out `validation_fraction` of the rows, stop when their loss has not improved for
                          `n_iter_no_change` epochs, and go back to the best weights
    warm_start            a second fit goes on with the weights, the optimizer and the random streams of the first: two
                          fits of 5 epochs give the bytes of one of 10
    class_weight          factors by class, or "balanced"
    random_state          of the initial weights, the order of the rows, and what is held out
    run_eagerly, emitter  how a batch is run, as in `Sequential.compile`
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
        emitter: str | None = None,
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
        self.emitter = emitter
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
        emitter: str | None = None,
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
        self.emitter = emitter
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
