"""Any module of layers as a scikit-learn estimator, in the way skorch has it for PyTorch."""

from collections.abc import Iterable

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from tapegrad import nn
from tapegrad.backends.aliases import Function
from tapegrad.data.aliases import Features, RowWeights, Targets
from tapegrad.models import class_outputs, loss_kinds
from tapegrad.models.aliases import AsGiven, ClassWeight, CompiledLoss, RandomState, Tags
from tapegrad.models.callbacks import Callback
from tapegrad.models.checks import class_weights, one_of, refuse_words, row_weights, validated
from tapegrad.models.network import DTYPES
from tapegrad.models.neural_base import NeuralNet
from tapegrad.models.one_fit import one_at_a_time
from tapegrad.models.scikit_learn import accuracy_score, r2_score
from tapegrad.models.scored import ClassifierMixin, RegressorMixin
from tapegrad.models.training import Rows
from tapegrad.nn.aliases import LossLike
from tapegrad.optim.base import Optimizer

NONLINEARITY = one_of("auto", None, "softmax", "sigmoid", "exp")


class NeuralClassifier(ClassifierMixin, NeuralNet):
    """Any module that gives a score for each class, or one for two classes, as a classifier.

    Args:
        module: A class of modules, or a function that makes one; module__units=32 gives it units=32. One that takes
            `meta` gets a dict with n_features_in_, X_shape_, and n_classes_ (n_outputs_ in a regression). Or a module,
            which is copied; such an estimator cannot be pickled.
        criterion: "cross_entropy" (the module gives logits), "sparse_categorical_crossentropy" (probabilities),
            "nll_loss" (log-probabilities); for a module of one output "binary_cross_entropy_with_logits" or
            "binary_crossentropy"; or a function of (y_true, y_pred).
        predict_nonlinearity: What makes probabilities of the outputs: "softmax", "sigmoid", "exp"; None, the outputs as
            they are; "auto", as the criterion says. For a function of your own "auto" takes them as they are, and
            predict_proba raises where they are no probabilities.
        optimizer: A name, an Optimizer class, or an Optimizer made without parameters; optimizer__momentum=0.9 gives it
            momentum=0.9.
        lr: The optimizer's learning rate; None: its own.
        max_epochs: Passes over the rows.
        batch_size: Rows of a step.
        shuffle: Whether each pass takes the rows in a new random order.
        early_stopping: Whether to hold out validation_fraction of the rows given to fit, end when their loss has not
            improved by tol for more than n_iter_no_change epochs, and go back to the best weights.
        validation_fraction: The fraction held out.
        n_iter_no_change, tol: When early_stopping ends the training.
        warm_start: Whether a further fit goes on with the weights and the optimizer's state.
        class_weight: Factors by class, or "balanced".
        callbacks: A `tapegrad.models.Callback`, or a list of them.
        random_state: A seed, a RandomState, or None; of the weights, the order of rows and the rows held out.
        verbose: Whether to print the loss of each pass.
        run_eagerly, emitter: How a batch is run, as in `Sequential.compile`.
        backend: Where the weights live: "numpy", "cupy"; None: the default.
        options: Options of the module and of the optimizer: module__…, optimizer__….

    Attributes:
        classes_: The classes, in order.
        module_: The trained module.
        model_: The Sequential around it.
        history_, loss_curve_, n_iter_: The History of the last fit, the loss of each pass, and how many passes the last
            fit made.

    Raises:
        TypeError: An option begins with neither module__ nor optimizer__.
    """

    classes_: np.ndarray

    def __init__(
        self,
        module: nn.Module | type[nn.Module] | Function | None = None,
        *,
        criterion: LossLike = "cross_entropy",
        predict_nonlinearity: str | Function | None = "auto",
        optimizer: str | Optimizer | type[Optimizer] = "adam",
        lr: float | None = None,
        max_epochs: int = 10,
        batch_size: int = 128,
        shuffle: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.2,
        n_iter_no_change: int = 5,
        tol: float = 0.0,
        warm_start: bool = False,
        class_weight: ClassWeight = None,
        callbacks: Iterable[Callback] | Callback | None = None,
        random_state: RandomState = None,
        verbose: bool | int | str = False,
        run_eagerly: bool = False,
        emitter: str | None = None,
        backend: str | None = None,
        **options: object,
    ) -> None:
        self._set({name: value for name, value in locals().items() if name not in ("self", "__class__")})

    predict_nonlinearity: AsGiven
    class_weight: AsGiven

    @one_at_a_time
    def fit(self, X: Features, y: Targets, sample_weight: RowWeights = None) -> "NeuralClassifier":
        """The estimator itself, fitted.

        Args:
            X: Inputs, (n, …), of any shape that the module takes. No NaN or Inf.
            y: The class of each row, (n,): numbers or texts.
            sample_weight: A weight for each row, (n,), or one number; None is 1.

        Raises:
            ValueError: X, y or a parameter is not as described, the module's outputs do not fit the classes or the
                criterion, or the training diverged.
        """
        self._check()
        NONLINEARITY("predict_nonlinearity", self.predict_nonlinearity)
        warm = self.warm_start and hasattr(self, "model_")
        X, y = validated(self, X, y, dtype=DTYPES, allow_nd=True, reset=not warm)
        check_classification_targets(y)
        classes, numbers = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"y: a classifier needs at least 2 classes, there is one class, {classes.tolist()[0]!r}"
            )
        if warm and not np.array_equal(classes, self.classes_):
            raise ValueError(f"y: the training goes on with the classes {self.classes_}, got {classes}")
        self.classes_ = classes
        self._meta = {"X_shape_": X.shape, "n_features_in_": X.shape[1], "n_classes_": len(classes)}
        weights = None
        if sample_weight is not None or self.class_weight is not None:
            weights = row_weights(sample_weight, X)
            weights = weights * class_weights(self.class_weight, classes, y, weights)[numbers]
        self._train(X, numbers, weights, stratify=numbers)
        return self

    def _begin(self, x: Features) -> None:
        super()._begin(x)
        try:
            class_outputs.check_shape(self._criterion(), self._outputs_shape, len(self.classes_))
            with np.errstate(over="ignore"):
                class_outputs.check_kind(self._criterion(), self.model_, self.model_.predict(x[:8]))
        except ValueError:
            del self.model_
            raise

    def _criterion(self) -> CompiledLoss:
        return nn.losses.get(self._made_with["criterion"])

    def _placed(self, x: Features, y: Targets, weights: RowWeights) -> Rows:
        if not loss_kinds.takes_class_numbers(self._criterion()):
            y = y.astype(np.float64).reshape(-1, *self._outputs_shape) if self._outputs_shape == (1,) else y
        return super()._placed(x, y, weights)

    def _nonlinearity(self) -> str | None:
        # It may have been set after fit.
        NONLINEARITY("predict_nonlinearity", self.predict_nonlinearity)
        kind: str | None = self.predict_nonlinearity
        return (
            class_outputs.BY_KIND.get(loss_kinds.outputs_kind(self._criterion())) if kind == "auto" else kind
        )

    def _held_out_score(self, outputs: np.ndarray, y: np.ndarray, weights: RowWeights) -> float:
        found = class_outputs.probabilities(outputs, self._nonlinearity()).argmax(axis=1)
        return float(accuracy_score(y.reshape(-1).astype(found.dtype), found, sample_weight=weights))

    def predict_proba(self, X: Features) -> np.ndarray:
        """The probability of each class, (n, classes).

        Args:
            X: Inputs, (n, …).

        Raises:
            ValueError: predict_nonlinearity="auto", the criterion does not say what the outputs are, and they are no
                probabilities.
        """
        p = self._scores_of(X)
        if self.predict_nonlinearity == "auto" and self._nonlinearity() in (None, "exp"):
            class_outputs.check_probabilities(self._criterion(), p)
        return p

    def _scores_of(self, X: Features) -> np.ndarray:
        return class_outputs.probabilities(self._outputs(X, allow_nd=True), self._nonlinearity())

    def predict(self, X: Features) -> np.ndarray:
        """The most probable class of each row, (n,).

        Args:
            X: Inputs, (n, …).
        """
        best = self._scores_of(X).argmax(axis=1)
        return self.classes_[best]


class NeuralRegressor(RegressorMixin, NeuralNet):
    """Any module that gives a number for each target as a regressor.

    Args:
        module: A class of modules, a function that makes one, or a module, as in `NeuralClassifier`.
        criterion: A name from `nn.losses`, or a function of (y_true, y_pred).
        optimizer: A name, an Optimizer class, or an Optimizer made without parameters; optimizer__momentum=0.9 gives it
            momentum=0.9.
        lr: The optimizer's learning rate; None: its own.
        max_epochs: Passes over the rows.
        batch_size: Rows of a step.
        shuffle: Whether each pass takes the rows in a new random order.
        early_stopping: Whether to hold out validation_fraction of the rows given to fit, end when their loss has not
            improved by tol for more than n_iter_no_change epochs, and go back to the best weights.
        validation_fraction: The fraction held out.
        n_iter_no_change, tol: When early_stopping ends the training.
        warm_start: Whether a further fit goes on with the weights and the optimizer's state.
        callbacks: A `tapegrad.models.Callback`, or a list of them.
        random_state: A seed, a RandomState, or None; of the weights, the order of rows and the rows held out.
        verbose: Whether to print the loss of each pass.
        run_eagerly, emitter: How a batch is run, as in `Sequential.compile`.
        backend: Where the weights live: "numpy", "cupy"; None: the default.
        options: Options of the module and of the optimizer: module__…, optimizer__….

    Attributes:
        module_: The trained module.
        model_: The Sequential around it.
        history_, loss_curve_, n_iter_: The History of the last fit, the loss of each pass, and how many passes the last
            fit made.

    Raises:
        TypeError: An option begins with neither module__ nor optimizer__.
    """

    def __init__(
        self,
        module: nn.Module | type[nn.Module] | Function | None = None,
        *,
        criterion: LossLike = "mse",
        optimizer: str | Optimizer | type[Optimizer] = "adam",
        lr: float | None = None,
        max_epochs: int = 10,
        batch_size: int = 128,
        shuffle: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.2,
        n_iter_no_change: int = 5,
        tol: float = 0.0,
        warm_start: bool = False,
        callbacks: Iterable[Callback] | Callback | None = None,
        random_state: RandomState = None,
        verbose: bool | int | str = False,
        run_eagerly: bool = False,
        emitter: str | None = None,
        backend: str | None = None,
        **options: object,
    ) -> None:
        self._set({name: value for name, value in locals().items() if name not in ("self", "__class__")})

    @one_at_a_time
    def fit(self, X: Features, y: Targets, sample_weight: RowWeights = None) -> "NeuralRegressor":
        """The estimator itself, fitted.

        Args:
            X: Inputs, (n, …), of any shape that the module takes. No NaN or Inf.
            y: Targets, (n,) or (n, targets).
            sample_weight: A weight for each row, (n,), or one number; None is 1.

        Raises:
            ValueError: X, y or a parameter is not as described, the module's outputs do not fit the targets, or the
                training diverged.
        """
        self._check()
        warm = self.warm_start and hasattr(self, "model_")
        X, y = validated(
            self, X, y, dtype=DTYPES, allow_nd=True, multi_output=True, y_numeric=True, reset=not warm
        )
        refuse_words(y)
        targets = np.asarray(y, np.float64).reshape(X.shape[0], -1)
        self._flat = targets.shape[1] == 1
        self._meta = {"X_shape_": X.shape, "n_features_in_": X.shape[1], "n_outputs_": targets.shape[1]}
        weights = None if sample_weight is None else row_weights(sample_weight, X)
        self._train(X, targets, weights)
        return self

    def _begin(self, x: Features) -> None:
        super()._begin(x)
        targets, shape = self._meta["n_outputs_"], self._outputs_shape
        if shape != (targets,) and not (shape == () and targets == 1):
            del self.model_
            raise ValueError(
                f"module: expected {targets} outputs, one for each target, got the shape {shape}"
            )

    def _placed(self, x: Features, y: Targets, weights: RowWeights) -> Rows:
        return super()._placed(x, y.reshape(-1, *self._outputs_shape), weights)

    def _held_out_score(self, outputs: np.ndarray, y: np.ndarray, weights: RowWeights) -> float:
        return float(r2_score(y, outputs, sample_weight=weights))

    def predict(self, X: Features) -> np.ndarray:
        """The outputs, (n,) for one target, also where y was (n, 1), and else (n, targets).

        Args:
            X: Inputs, (n, …).
        """
        outputs = self._outputs(X, allow_nd=True)
        return outputs.reshape(len(outputs)) if self._flat else outputs.reshape(len(outputs), -1)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
