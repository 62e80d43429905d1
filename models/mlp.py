"""The multi-layer perceptron for classes, with scikit-learn's parameters, meanings and numbers."""

from collections.abc import Iterable, Sequence

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from tapegrad.autograd.aliases import DType, Function
from tapegrad.data.aliases import Features, PlainData, RowWeights, Targets
from tapegrad.models.aliases import ClassWeight, RandomState, Tags
from tapegrad.models.callbacks import Callback
from tapegrad.models.checks import class_weights, row_weights, set_all, validated
from tapegrad.models.mlp_base import MLP, is_stochastic
from tapegrad.models.network import DTYPES
from tapegrad.models.one_fit import one_at_a_time
from tapegrad.models.scikit_learn import accuracy_score
from tapegrad.models.scored import ClassifierMixin
from tapegrad.nn.aliases import LossLike
from tapegrad.optim.base import Optimizer


class MLPClassifier(ClassifierMixin, MLP):
    """A network of Dense layers that classifies: logistic outputs for two classes or several labels, else a softmax.

    The parameters of scikit-learn's MLPClassifier have its names, defaults and meanings, and with the same
    `random_state` its numbers (docs/estimators.md lists all, and what differs). The parameters from `epochs` on are
    tapegrad's own.

    Args:
        hidden_layer_sizes: The units of each hidden layer.
        activation: Of the hidden layers: identity, logistic, tanh, relu, another name from `nn.activations`, or any
            function of a tensor.
        solver: adam, sgd, lbfgs, or the name of another optimizer of `tapegrad.optim`.
        alpha: The L2 penalty on the kernels.
        batch_size: Rows of a step; "auto": min(200, rows).
        learning_rate: Of sgd: constant, invscaling or adaptive; or a number, which means learning_rate_init.
        learning_rate_init: The learning rate at the start.
        power_t: Of invscaling: the rate is learning_rate_init / (rows seen + 1)**power_t.
        max_iter: The most passes over the rows; of lbfgs, the most iterations.
        shuffle: Whether each pass takes the rows in a new random order.
        random_state: A seed, a RandomState, or None; of the weights, the order of rows and the rows held out.
        tol: A pass that lowers the loss by less counts as one without improvement. Of lbfgs, the gradient at which to
            stop.
        verbose: Whether to print the loss of each pass.
        warm_start: Whether a further fit goes on with the weights, the optimizer's state and the random streams. It
            takes up changed parameters of the training, and raises for another network.
        momentum, nesterovs_momentum: Of sgd, as in `optim.SGD`.
        early_stopping: Whether to hold out validation_fraction of the rows, end when their score does not improve, and
            go back to the best weights.
        validation_fraction: The fraction held out.
        beta_1, beta_2, epsilon: Of adam, as in `optim.Adam`.
        n_iter_no_change: The training ends after more than so many passes without improvement.
        max_fun: Of lbfgs: the most calls of the loss.
        epochs: Exactly this number of passes, in place of max_iter; only early_stopping and callbacks end it earlier.
        optimizer: The same as solver, or an Optimizer made without parameters, in place of solver.
        class_weight: Factors by class, or "balanced".
        dropout: The part of each hidden layer's outputs that training drops.
        callbacks: A `tapegrad.models.Callback`, or a list of them.
        run_eagerly, emitter: How a batch is run, as in `Sequential.compile`.
        backend: Where the weights live: "numpy", "cupy"; None: the default.

    Attributes:
        classes_: The classes, in order; of several labels, their numbers.
        coefs_, intercepts_: The kernels and biases of the layers, read-only copies.
        loss_, loss_curve_, best_loss_: The loss of the last pass, of each, and the smallest.
        validation_scores_, best_validation_score_: The accuracy of the rows held out, of each pass, and the largest.
        n_iter_, t_: Passes made by the last fit, and rows seen in all.
        n_layers_, n_outputs_, out_activation_: What the network looks like.
        model_: The trained Sequential.
        history_: Its History.

    Raises:
        ValueError: At fit, a parameter is out of its range, or the training diverged.
    """

    MADE_WITH = ("hidden_layer_sizes", "activation", "dropout")
    classes_: np.ndarray
    _multilabel: bool

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str | Function = "relu",
        *,
        solver: str | Optimizer = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str | float = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: RandomState = None,
        tol: float = 1e-4,
        verbose: bool | int | str = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        epochs: int | None = None,
        optimizer: str | Optimizer | None = None,
        class_weight: ClassWeight = None,
        dropout: float = 0.0,
        callbacks: Iterable[Callback] | Callback | None = None,
        run_eagerly: bool = False,
        emitter: str | None = None,
        backend: str | None = None,
    ) -> None:
        set_all(self, locals())

    def _loss(self, made_with: PlainData) -> LossLike:
        return (
            "binary_crossentropy" if self.out_activation_ == "logistic" else "sparse_categorical_crossentropy"
        )

    def _training_loss(self) -> Function:
        loss = super()._training_loss()
        labels = self.n_outputs_
        if self.out_activation_ != "logistic" or labels == 1:
            return loss
        return lambda p, y, sample_weight=None: labels * loss(p, y, sample_weight=sample_weight)

    @one_at_a_time
    def fit(self, X: Features, y: Targets, sample_weight: RowWeights = None) -> "MLPClassifier":
        """The estimator itself, fitted.

        Args:
            X: Features, (n, features), dense or sparse (csr). float32 stays float32, all else is float64. No NaN or
                Inf.
            y: The class of each row, (n,); or 0 and 1 for each label, (n, labels).
            sample_weight: A weight for each row, (n,), or one number; None is 1.

        Raises:
            ValueError: X, y or a parameter is not as described, or the training diverged.
        """
        self._check()
        return self._fit(X, y, sample_weight, None, once=False)

    @available_if(is_stochastic)
    @one_at_a_time
    def partial_fit(
        self, X: Features, y: Targets, sample_weight: RowWeights = None, classes: Targets = None
    ) -> "MLPClassifier":
        """The estimator itself, after one pass over these rows.

        Args:
            X, y, sample_weight: As for `fit`.
            classes: All classes there will be; needed at the first call.

        Raises:
            ValueError: The first call has no classes, or class_weight is "balanced".
            AttributeError: The solver is lbfgs.
        """
        self._check(once=True)
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced': partial_fit does not know all rows: give a dict by class"
            )
        if classes is None and not hasattr(self, "model_"):
            raise ValueError(
                "classes: partial_fit needs all classes at its first call, as in classes=np.unique(y)"
            )
        return self._fit(X, y, sample_weight, classes, once=True)

    def _fit(
        self, X: Features, y: Targets, sample_weight: RowWeights, classes: Targets, once: bool
    ) -> "MLPClassifier":
        going_on = hasattr(self, "model_") and (once or self.warm_start)
        X, y = validated(
            self, X, y, dtype=DTYPES, accept_sparse=self.accept_sparse, multi_output=True, reset=not going_on
        )
        check_classification_targets(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        found = np.arange(y.shape[1]) if y.ndim == 2 else np.unique(y)
        if y.ndim == 2 and type_of_target(y) != "multilabel-indicator":
            raise ValueError("y: several columns must be of 0 and 1, a column for each label (multilabel)")
        self._take_classes(found, classes, y.ndim == 2, going_on, once)
        targets = self._targets(y, X.dtype)
        weights = self._weights(sample_weight, X, y)
        binary = self.n_outputs_ == 1 and y.ndim == 1
        self._train(X, targets, weights, stratify=targets[:, 0] if binary else None, once=once)
        return self

    def _take_classes(
        self, found: Targets, classes: Targets, multilabel: bool, going_on: bool, once: bool
    ) -> None:
        if going_on and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes: the training goes on with {self.classes_}, got {classes}")
        known = self.classes_ if going_on else np.unique(classes) if classes is not None else found
        if len(np.setdiff1d(found, known)) or (not once and len(known) != len(found)):
            raise ValueError(f"y: the training goes on with the classes {known}, got {found}")
        if going_on and multilabel != self._multilabel:
            raise ValueError(
                "y: the training goes on with another kind of targets: several labels, or one class"
            )
        if going_on:
            return
        if len(known) < 2 and not multilabel:
            raise ValueError(
                f"y: a classifier needs at least 2 classes, there is one class, {known.tolist()[0]!r}"
            )
        self.classes_, self._multilabel = known, multilabel
        self.n_outputs_ = len(known) if multilabel or len(known) > 2 else 1
        self.out_activation_ = "logistic" if multilabel or len(known) == 2 else "softmax"

    def _targets(self, y: np.ndarray, dtype: DType) -> np.ndarray:
        if self._multilabel:
            return np.asarray(y, dtype)
        numbers = np.searchsorted(self.classes_, y)
        return numbers.astype(dtype)[:, None] if self.n_outputs_ == 1 else numbers.astype(np.int64)

    def _weights(self, sample_weight: RowWeights, X: Features, y: np.ndarray) -> np.ndarray | None:
        if sample_weight is None and self.class_weight is None:
            return None
        weights = row_weights(sample_weight, X, X.dtype)
        if self.class_weight is None:
            return weights
        if self._multilabel:
            raise ValueError(
                "class_weight: of one class for each row; y has several labels: give sample_weight"
            )
        factors = class_weights(self.class_weight, self.classes_, y, weights)
        return (weights * factors[np.searchsorted(self.classes_, y)]).astype(X.dtype)

    def _held_out_score(self, outputs: np.ndarray, y: np.ndarray, weights: RowWeights) -> float:
        found = outputs.argmax(axis=1) if self.n_outputs_ > 1 and not self._multilabel else outputs > 0.5
        return float(accuracy_score(y, found.astype(y.dtype), sample_weight=weights))

    def predict_proba(self, X: Features) -> np.ndarray:
        """The probability of each class, (n, classes), or of each label.

        Args:
            X: Features, (n, features).
        """
        p = self._outputs(X)
        return np.concatenate([1 - p, p], axis=1) if p.shape[1] == 1 and not self._multilabel else p

    def predict_log_proba(self, X: Features) -> np.ndarray:
        """The logarithm of the probability of each class, (n, classes), or of each label.

        Args:
            X: Features, (n, features).
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Features) -> np.ndarray:
        """The most probable class of each row, (n,); or 0 and 1 for each label, (n, labels).

        Args:
            X: Features, (n, features).
        """
        p = self.predict_proba(X)
        if self._multilabel:
            return (p > 0.5).astype(int)
        return self.classes_[p.argmax(axis=1)]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
