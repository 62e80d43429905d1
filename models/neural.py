"""Any module of layers as a scikit-learn estimator, in the way skorch has it for PyTorch."""

import copy
import inspect
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from tapegrad import nn, optim
from tapegrad.autograd.dtypes import get_default_dtype
from tapegrad.autograd.flags import no_grad
from tapegrad.autograd.ops import exp, sigmoid, softmax
from tapegrad.autograd.tensor import Tensor
from tapegrad.models import loss_kinds
from tapegrad.models.checks import (
    check_parameters,
    class_weights,
    number,
    one_of,
    row_weights,
    set_all,
    whole,
    yes_or_no,
)
from tapegrad.models.network import DTYPES, Network
from tapegrad.models.sequential import Sequential
from tapegrad.models.stopping import Stopping
from tapegrad.models.training import Objective, Rows, predicted
from tapegrad.optim.base import Optimizer

CHECKS = {
    "max_epochs": whole(1),
    "batch_size": whole(1),
    "shuffle": yes_or_no,
    "early_stopping": yes_or_no,
    "validation_fraction": number(above=0, below=1),
    "n_iter_no_change": whole(1),
    "tol": number(at_least=0),
    "warm_start": yes_or_no,
    "run_eagerly": yes_or_no,
}
PREFIXES = ("module__", "optimizer__")


class NeuralNet(Network):
    """What the two estimators share: a module, its options, and the parameters of the training."""

    MADE_WITH = ("module", "criterion")
    module: Any
    criterion: Any
    optimizer: Any
    lr: float | None
    max_epochs: int
    n_iter_no_change: int
    tol: float

    # ---- parameters: module__units and the like are not in the signature ----
    def _set(self, arguments: dict[str, Any]) -> None:
        options = arguments.pop("options")
        for name in options:
            if not name.startswith(PREFIXES):
                raise TypeError(
                    f"{type(self).__name__}: unknown parameter {name!r}: an option of the module is written "
                    f"module__{name}, one of the optimizer optimizer__{name}"
                )
        set_all(self, {**arguments, **options})

    def _options(self, prefix: str) -> dict[str, Any]:
        return {n.removeprefix(prefix): v for n, v in vars(self).items() if n.startswith(prefix)}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        named = {n: v for n, v in vars(self).items() if n.startswith(PREFIXES)}
        return {**super().get_params(deep=False), **named}

    def set_params(self, **params: Any) -> Any:
        for name, value in params.items():
            if not name.startswith(PREFIXES) and name not in self._get_param_names():
                raise ValueError(f"{type(self).__name__}: unknown parameter {name!r}")
            setattr(self, name, value)
        return self

    # ---- the network ----
    def _model_parameters(self) -> dict[str, Any]:
        options = {n: v for n, v in vars(self).items() if n.startswith("module__")}
        return {**super()._model_parameters(), **options}

    def _make_layers(self, made_with: dict[str, Any], dtype: Any) -> Sequential:
        module = made_with["module"]
        if isinstance(module, nn.Module):
            made = copy.deepcopy(module)  # a parameter of the estimator stays as it was given
        else:
            options = {
                n.removeprefix("module__"): v for n, v in made_with.items() if n.startswith("module__")
            }
            if "meta" in inspect.signature(module).parameters:
                options["meta"] = self._meta
            made = module(**options)
        if not isinstance(made, nn.Module):
            raise TypeError(f"module: expected {module!r} to make a nn.Module, got {type(made).__name__}")
        model = made if isinstance(made, Sequential) else Sequential(made)
        model.eval()
        with no_grad():  # layers that wait for the width of their input make their weights
            outputs = model(Tensor(np.zeros((2, *self._meta["X_shape_"][1:]), get_default_dtype())))
        self._outputs_shape = tuple(outputs.shape[1:])
        if next(iter(model.parameters()), None) is None:
            raise ValueError(f"module: {module!r} made a network without parameters")
        return model

    def _placed(self, x: Any, y: Any, weights: Any) -> Rows:
        dtype = np.asarray(next(iter(self.model_.parameters())).numpy()).dtype
        y = y if y.dtype.kind in "iu" else y.astype(dtype)
        return super()._placed(x.astype(dtype), y, None if weights is None else weights.astype(dtype))

    @property
    def module_(self) -> nn.Module:
        check_is_fitted(self)
        return self.model_.layers[0] if len(self.model_.layers) == 1 else self.model_

    def _new_optimizer(self) -> Optimizer:
        options = self._options("optimizer__")
        if isinstance(self.optimizer, Optimizer):
            if options or self.lr is not None:
                raise ValueError(
                    f"optimizer={self.optimizer!r}: the options of an Optimizer object are its own"
                )
            return type(self.optimizer)(**self.optimizer.config())
        if self.lr is not None:
            options["lr"] = self.lr
        if isinstance(self.optimizer, type) and issubclass(self.optimizer, Optimizer):
            return self.optimizer(**options)
        return optim.get(self.optimizer, **options)

    def _optimizer_parameters(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer, "lr": self.lr, **self._options("optimizer__")}

    # ---- the training ----
    def _check(self) -> None:
        check_parameters(self, CHECKS)
        module = self.module
        if not isinstance(module, nn.Module) and not callable(module):
            raise ValueError(
                f"module: expected a class of modules, a function that makes one, or a module, got {module!r}, as in "
                f"{type(self).__name__}(module=MyNetwork, module__units=32)"
            )
        if isinstance(module, nn.Module) and self._options("module__"):
            raise ValueError(
                "module__…: options are for a class; this module is made already: give the class"
            )

    def _passes(self) -> tuple[int, bool]:
        return int(self.max_epochs), False

    def _stopping(self) -> Stopping:
        return Stopping(
            "val_loss" if self.early_stopping else "loss",
            tol=self.tol,
            patience=self.n_iter_no_change,
            ends_early=self.early_stopping,
            keep_best=self.early_stopping,
        )

    def _loss(self, made_with: dict[str, Any]) -> Any:
        return made_with["criterion"]

    def _validation(self, rows: Rows) -> dict[str, float]:
        x, y, weights = rows
        outputs = predicted(self.model_, x)
        objective = Objective(nn.losses.get(self._loss(self._made_with)), [], 0.0)
        loss = objective(
            Tensor(outputs), Tensor(np.asarray(y)), None if weights is None else Tensor(weights)
        ).item()
        return {"val_loss": loss, "val_score": self._held_out_score(outputs, np.asarray(y), weights)}

    def _held_out_score(self, outputs: np.ndarray, y: np.ndarray, weights: Any) -> float:
        raise NotImplementedError


class NeuralClassifier(ClassifierMixin, NeuralNet):
    """Any module that gives a score for each class, or one for two classes, as a classifier.

    module          a class of modules, or a function that makes one; module__units=32 gives it units=32. One that takes
                    `meta` gets a dict with n_features_in_, X_shape_, and n_classes_ (n_outputs_ in a regression). Or a
                    module, which is copied; such an estimator cannot be pickled
    criterion       "cross_entropy" (the module gives logits), "sparse_categorical_crossentropy" (probabilities),
                    "nll_loss"; for a module of one output "binary_cross_entropy_with_logits" or "binary_crossentropy";
                    or a function of (y_true, y_pred)
    predict_nonlinearity   what makes probabilities of the outputs: "auto", as the criterion says; None; "softmax",
                    "sigmoid", "exp"
    optimizer       a name, an Optimizer class, or an Optimizer made without parameters; optimizer__momentum=0.9 gives
                    it momentum=0.9
    lr              its learning rate; None: its own
    max_epochs, batch_size, shuffle
    early_stopping  hold out validation_fraction of the rows given to fit, end when their loss has not improved by tol
                    for more than n_iter_no_change epochs, and go back to the best weights
    warm_start      a further fit goes on with the weights and the optimizer's state
    class_weight, callbacks, random_state, verbose, run_eagerly, emitter, backend   as in MLPClassifier

    classes_; module_ the trained module; model_ the Sequential around it; history_, loss_curve_, n_iter_
    """

    classes_: np.ndarray

    def __init__(
        self,
        module: Any = None,
        *,
        criterion: Any = "cross_entropy",
        predict_nonlinearity: Any = "auto",
        optimizer: Any = "adam",
        lr: float | None = None,
        max_epochs: int = 10,
        batch_size: int = 128,
        shuffle: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.2,
        n_iter_no_change: int = 5,
        tol: float = 0.0,
        warm_start: bool = False,
        class_weight: Any = None,
        callbacks: Any = None,
        random_state: Any = None,
        verbose: Any = False,
        run_eagerly: bool = False,
        emitter: str | None = None,
        backend: str | None = None,
        **options: Any,
    ) -> None:
        self._set({name: value for name, value in locals().items() if name not in ("self", "__class__")})

    predict_nonlinearity: Any
    class_weight: Any

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "NeuralClassifier":
        self._check()
        one_of("auto", None, "softmax", "sigmoid", "exp")("predict_nonlinearity", self.predict_nonlinearity)
        warm = self.warm_start and hasattr(self, "model_")
        X, y = validate_data(self, X, y, dtype=DTYPES, allow_nd=True, reset=not warm)
        check_classification_targets(y)
        classes, numbers = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y: a classifier needs at least 2 classes, there is one class, {classes[0]!r}")
        if warm and not np.array_equal(classes, self.classes_):
            raise ValueError(f"y: the training goes on with the classes {self.classes_}, got {classes}")
        self.classes_ = classes
        self._meta = {"X_shape_": X.shape, "n_features_in_": X.shape[1], "n_classes_": len(classes)}
        weights = None
        if sample_weight is not None or self.class_weight is not None:
            weights = row_weights(sample_weight, X) * class_weights(self.class_weight, classes, y)[numbers]
        self._train(X, numbers, weights, stratify=numbers)
        return self

    def _begin(self, dtype: Any) -> None:
        super()._begin(dtype)
        try:
            self._check_outputs()
        except ValueError:
            del self.model_
            raise

    def _check_outputs(self) -> None:
        """Raise ValueError where the module's outputs do not fit the classes or the criterion."""
        classes, shape, name = len(self.classes_), self._outputs_shape, self._criterion()
        one = name in ("binary_cross_entropy_with_logits", "binary_cross_entropy")
        if one and (shape != (1,) or classes != 2):
            raise ValueError(
                f"criterion={name!r} is of two classes and one output: got {classes} and the shape {shape}"
            )
        if not one and shape != (classes,):
            hint = (
                ": give criterion='binary_cross_entropy_with_logits'"
                if shape == (1,) and classes == 2
                else ""
            )
            raise ValueError(
                f"module: expected {classes} outputs, one for each class, got the shape {shape}{hint}"
            )
        if name != "cross_entropy":
            return
        drawn = np.random.default_rng(0).normal(size=(8, *self._meta["X_shape_"][1:]))
        outputs = self.model_.predict(drawn)
        if (outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1.0, atol=1e-4):
            raise ValueError(
                "module: it ends with a softmax, and criterion='cross_entropy' takes logits: leave the softmax out, or "
                "give criterion='sparse_categorical_crossentropy'"
            )

    def _criterion(self) -> str:
        return loss_kinds.name(nn.losses.get(self._made_with["criterion"]))

    def _placed(self, x: Any, y: Any, weights: Any) -> Rows:
        if not loss_kinds.takes_class_numbers(nn.losses.get(self._made_with["criterion"])):
            y = y.astype(np.float64).reshape(-1, *self._outputs_shape) if self._outputs_shape == (1,) else y
        return super()._placed(x, y, weights)

    def _probabilities(self, outputs: np.ndarray) -> np.ndarray:
        kind = self.predict_nonlinearity
        if isinstance(kind, str) and kind == "auto":
            kind = {
                "cross_entropy": "softmax", "binary_cross_entropy_with_logits": "sigmoid", "nll_loss": "exp",
            }.get(self._criterion())  # fmt: skip
        if kind is not None:
            make: Any = {"softmax": softmax, "sigmoid": sigmoid, "exp": exp}[kind]
            outputs = make(Tensor(outputs)).numpy()
        return np.concatenate([1 - outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs

    def _held_out_score(self, outputs: np.ndarray, y: np.ndarray, weights: Any) -> float:
        found = self._probabilities(outputs).argmax(axis=1)
        return float(accuracy_score(y.reshape(-1).astype(found.dtype), found, sample_weight=weights))

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, (n, classes)."""
        return self._probabilities(self._outputs(X, allow_nd=True))

    def predict(self, X: Any) -> np.ndarray:
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


class NeuralRegressor(RegressorMixin, NeuralNet):
    """Any module that gives a number for each target as a regressor.

    criterion   a name from `nn.losses`, or a function of (y_true, y_pred)

    The other parameters and attributes are those of NeuralClassifier, without predict_nonlinearity, class_weight and
    classes_.
    """

    def __init__(
        self,
        module: Any = None,
        *,
        criterion: Any = "mse",
        optimizer: Any = "adam",
        lr: float | None = None,
        max_epochs: int = 10,
        batch_size: int = 128,
        shuffle: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.2,
        n_iter_no_change: int = 5,
        tol: float = 0.0,
        warm_start: bool = False,
        callbacks: Any = None,
        random_state: Any = None,
        verbose: Any = False,
        run_eagerly: bool = False,
        emitter: str | None = None,
        backend: str | None = None,
        **options: Any,
    ) -> None:
        self._set({name: value for name, value in locals().items() if name not in ("self", "__class__")})

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "NeuralRegressor":
        self._check()
        warm = self.warm_start and hasattr(self, "model_")
        X, y = validate_data(
            self, X, y, dtype=DTYPES, allow_nd=True, multi_output=True, y_numeric=True, reset=not warm
        )
        targets = np.asarray(y, np.float64).reshape(X.shape[0], -1)
        self._flat = y.ndim == 1
        self._meta = {"X_shape_": X.shape, "n_features_in_": X.shape[1], "n_outputs_": targets.shape[1]}
        weights = None if sample_weight is None else row_weights(sample_weight, X)
        self._train(X, targets, weights)
        return self

    def _begin(self, dtype: Any) -> None:
        super()._begin(dtype)
        targets, shape = self._meta["n_outputs_"], self._outputs_shape
        if shape != (targets,) and not (shape == () and targets == 1):
            del self.model_
            raise ValueError(
                f"module: expected {targets} outputs, one for each target, got the shape {shape}"
            )

    def _placed(self, x: Any, y: Any, weights: Any) -> Rows:
        return super()._placed(x, y.reshape(-1, *self._outputs_shape), weights)

    def _held_out_score(self, outputs: np.ndarray, y: np.ndarray, weights: Any) -> float:
        return float(r2_score(y, outputs, sample_weight=weights))

    def predict(self, X: Any) -> np.ndarray:
        outputs = self._outputs(X, allow_nd=True)
        return outputs.reshape(len(outputs)) if self._flat else outputs.reshape(len(outputs), -1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
