"""What the two estimators of any module share: the module with its options, and the parameters of the training."""

import copy
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from tapegrad import nn, optim
from tapegrad.autograd.aliases import DType
from tapegrad.autograd.dtypes import get_default_dtype
from tapegrad.autograd.flags import no_grad
from tapegrad.autograd.signatures import signature as signature_of
from tapegrad.autograd.tensor import Tensor
from tapegrad.data.aliases import Features, PlainData, RowWeights, Targets
from tapegrad.models.aliases import AsGiven
from tapegrad.models.checks import (
    check_parameters,
    number,
    set_all,
    whole,
    yes_or_no,
)
from tapegrad.models.network import Network
from tapegrad.models.sequential import Sequential
from tapegrad.models.stopping import Stopping
from tapegrad.models.training import Objective, Rows, predicted
from tapegrad.nn.aliases import LossLike
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
    module: AsGiven
    criterion: AsGiven
    optimizer: AsGiven
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

    def _options(self, prefix: str) -> PlainData:
        return {n.removeprefix(prefix): v for n, v in vars(self).items() if n.startswith(prefix)}

    def get_params(self, deep: bool = True) -> dict[str, object]:
        named = {n: v for n, v in vars(self).items() if n.startswith(PREFIXES)}
        return {**super().get_params(deep=False), **named}

    def set_params(self, **params: object) -> Self:
        for name, value in params.items():
            if not name.startswith(PREFIXES) and name not in self._get_param_names():
                raise ValueError(f"{type(self).__name__}: unknown parameter {name!r}")
            setattr(self, name, value)
        return self

    # ---- the network ----
    def _model_parameters(self) -> PlainData:
        options = {n: v for n, v in vars(self).items() if n.startswith("module__")}
        return {**super()._model_parameters(), **options}

    def _make_layers(self, made_with: PlainData, dtype: DType) -> Sequential:
        module = made_with["module"]
        if isinstance(module, nn.Module):
            made = copy.deepcopy(module)  # a parameter of the estimator stays as it was given
        else:
            options = {
                n.removeprefix("module__"): v for n, v in made_with.items() if n.startswith("module__")
            }
            if "meta" in signature_of(module).parameters:
                options["meta"] = self._meta
            made = module(**options)
        if not isinstance(made, nn.Module):
            raise TypeError(f"module: expected {module!r} to make a nn.Module, got {type(made).__name__}")
        model = made if isinstance(made, Sequential) else Sequential(made)
        model.eval()
        with no_grad():  # layers that wait for the width of their input make their weights
            outputs = model(Tensor(np.zeros((2, *self._meta["X_shape_"][1:]), get_default_dtype())))
        self._outputs_shape = tuple(outputs.shape[1:])
        if model.input_shape is None:  # a file needs it to make the same weights
            model.input_shape, model._output_shape = self._meta["X_shape_"][1:], self._outputs_shape
        if next(iter(model.parameters()), None) is None:
            raise ValueError(f"module: {module!r} made a network without parameters")
        return model

    def _placed(self, x: Features, y: Targets, weights: RowWeights) -> Rows:
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

    def _optimizer_parameters(self) -> PlainData:
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

    def _loss(self, made_with: PlainData) -> LossLike:
        return made_with["criterion"]

    def _validation(self, rows: Rows) -> dict[str, float]:
        x, y, weights = rows
        outputs = predicted(self.model_, x)
        objective = Objective(nn.losses.get(self._loss(self._made_with)), [], 0.0)
        loss = objective(
            Tensor(outputs), Tensor(np.asarray(y)), None if weights is None else Tensor(weights)
        ).item()
        return {"val_loss": loss, "val_score": self._held_out_score(outputs, np.asarray(y), weights)}

    def _held_out_score(self, outputs: np.ndarray, y: np.ndarray, weights: RowWeights) -> float:
        raise NotImplementedError
