"""What the two multi-layer perceptrons share: the network, the solvers and the stopping rules of scikit-learn."""

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from tapegrad import nn
from tapegrad.autograd.aliases import DType, Function
from tapegrad.autograd.ops import log, maximum, where
from tapegrad.autograd.tensor import Tensor
from tapegrad.data.aliases import PlainData, RowWeights
from tapegrad.models import solvers
from tapegrad.models.aliases import AsGiven, RandomState, Tags
from tapegrad.models.callbacks import Callback
from tapegrad.models.checks import (
    check_parameters,
    either,
    number,
    warn,
    whole,
    yes_or_no,
)
from tapegrad.models.network import Network
from tapegrad.models.sequential import Sequential
from tapegrad.models.stopping import Stopping
from tapegrad.models.training import Objective, Rows, Training, predicted
from tapegrad.optim.base import Optimizer

ACTIVATIONS = {"logistic": "sigmoid", "identity": "linear"}  # scikit-learn's names
FRACTION = number(above=0, below=1)
CHECKS = {
    "alpha": number(at_least=0),
    "batch_size": either(("auto",), whole(1)),
    "learning_rate": either(solvers.SCHEDULES, number(above=0)),
    "learning_rate_init": number(above=0),
    "power_t": number(at_least=0),
    "max_iter": whole(1),
    "epochs": either((None,), whole(1)),
    "shuffle": yes_or_no,
    "tol": number(at_least=0),
    "warm_start": yes_or_no,
    "momentum": number(at_least=0, at_most=1),
    "nesterovs_momentum": yes_or_no,
    "early_stopping": yes_or_no,
    "validation_fraction": FRACTION,
    "beta_1": number(at_least=0, below=1),
    "beta_2": number(at_least=0, below=1),
    "epsilon": number(above=0),
    "n_iter_no_change": either((np.inf,), whole(1)),
    "max_fun": whole(1),
    "dropout": number(at_least=0, below=1),
    "run_eagerly": yes_or_no,
}


def half_squared_error(outputs: Tensor, y: Tensor, *, sample_weight: RowWeights = None) -> Tensor:
    """Half the mean squared error. Its gradient is that of the sum over the targets, as scikit-learn's is."""
    loss = 0.5 * nn.losses.mse_loss(outputs, y, sample_weight=sample_weight)
    targets = outputs.shape[1]
    return loss if targets == 1 else targets * loss - (targets - 1) * loss.detach()


def poisson_deviance(outputs: Tensor, y: Tensor, *, sample_weight: RowWeights = None) -> Tensor:
    """Half the Poisson deviance, scikit-learn's: the rows' mean of  Σ y ln(y / p) - y + p  over the targets."""
    tiny = 1e-30
    entropy = where(y > 0, y * log(maximum(y, tiny)), 0.0)
    each = entropy - y * log(maximum(outputs, tiny)) - y + outputs
    return outputs.shape[1] * (each if sample_weight is None else each * sample_weight[:, None]).mean()


def is_stochastic(mlp: "MLP") -> bool:
    if solvers.solver_of(mlp) == "lbfgs":
        raise AttributeError("partial_fit: lbfgs uses all rows at once: choose another solver")
    return True


class MLP(Network):
    """What the two estimators share. Weights have the dtype of X, float32 or float64."""

    OBJECTIVE_OF = ("alpha",)
    accept_sparse = ("csr",)
    hidden_layer_sizes: AsGiven
    activation: AsGiven
    solver: AsGiven
    optimizer: AsGiven
    alpha: float
    dropout: float
    tol: float
    epochs: int | None
    n_iter_no_change: int
    class_weight: AsGiven = None
    n_outputs_: int
    out_activation_: str

    def __new__(cls, *_: object, **given: object) -> "MLP":
        """Refuses two names of one parameter also where one of them has its default value. `clone` gives all."""
        if not set(cls._get_param_names()) <= set(given):
            solvers.check_pairs(*(given.get(name) for name in ("solver", "optimizer", "max_iter", "epochs")))
        return super().__new__(cls)

    def _check(self, once: bool = False) -> None:
        check_parameters(self, CHECKS)
        solvers.check(self)
        sizes = self.hidden_layer_sizes
        widths = list(np.atleast_1d(sizes)) if not isinstance(sizes, str) else [sizes]
        if np.ndim(widths) != 1 or any(not isinstance(n, (int, np.integer)) or n < 1 for n in widths):
            raise ValueError(
                f"hidden_layer_sizes: expected whole numbers of at least 1, as in (100,), got {sizes!r}"
                + (": the loss is given by name, loss=…" if isinstance(sizes, str) else "")
            )
        if once and self.early_stopping:
            raise ValueError("early_stopping=True: partial_fit holds nothing out: evaluate between its calls")
        if self.early_stopping and solvers.solver_of(self) == "lbfgs":
            warn(self, "early_stopping has no effect with lbfgs, as in scikit-learn", UserWarning)

    # ---- the network ----
    def _make_layers(self, made_with: PlainData, dtype: DType) -> Sequential:
        activation = made_with["activation"]
        if isinstance(activation, str):
            activation = ACTIVATIONS.get(activation, activation)
        sizes = [int(n) for n in np.atleast_1d(made_with["hidden_layer_sizes"])]
        layers: list[nn.Module] = []
        width = self.n_features_in_
        for units in sizes:
            layers.append(nn.Dense(units, activation, in_features=width, dtype=str(dtype)))
            if made_with["dropout"]:
                layers.append(nn.Dropout(made_with["dropout"]))
            width = units
        last = {"identity": None, "logistic": "sigmoid", "exp": "exponential"}.get(
            self.out_activation_, "softmax"
        )
        layers.append(nn.Dense(self.n_outputs_, last, in_features=width, dtype=str(dtype)))
        return Sequential(*layers)

    def _set_initial_weights(self, model: Sequential, random_state: RandomState) -> None:
        solvers.initial_weights(model, self.activation, random_state)
        self.n_layers_ = len(self._dense(model)) + 1

    def _dense(self, model: Sequential) -> list[nn.Dense]:
        return [layer for layer in model.layers if isinstance(layer, nn.Dense)]

    def _training_loss(self) -> Function:
        """(outputs, targets, sample_weight=…) -> what is minimized, without the penalty."""
        return nn.losses.get(self._loss(self._made_with))

    def _objective(self, model: Sequential) -> Objective:
        return Objective(self._training_loss(), [layer.kernel for layer in self._dense(model)], self.alpha)

    def _new_optimizer(self) -> Optimizer:
        return solvers.optimizer_of(self)

    def _optimizer_parameters(self) -> PlainData:
        return {name: getattr(self, name) for name in solvers.MADE_WITH}

    # ---- the training ----
    def _passes(self) -> tuple[int, bool]:
        return (self.max_iter, True) if self.epochs is None else (int(self.epochs), False)

    def _stopping(self) -> Stopping:
        return Stopping(
            "val_score" if self.early_stopping and solvers.solver_of(self) != "lbfgs" else "loss",
            tol=self.tol,
            patience=self.n_iter_no_change,
            ends_early=self.early_stopping or self.epochs is None,
            keep_best=self.early_stopping,
        )

    def _rows_per_step(self, rows: int) -> int:
        return solvers.rows_per_step(self, rows)

    def _after_epoch(self) -> None:
        solvers.after_epoch(self, self.model_.optimizer)

    def _slowed_down(self) -> bool:
        return solvers.slowed_down(self, self.model_.optimizer)

    def _iterate(
        self, training: Training, rows: Rows, held_out: Rows | None, callbacks: list[Callback], once: bool
    ) -> None:
        if once and self.t_:
            # As in scikit-learn's partial_fit, a seed gives each call the same order of rows.
            self._random_state, self._order = check_random_state(self.random_state), None
        if solvers.solver_of(self) == "lbfgs":
            self._run_lbfgs(training, rows, callbacks)
        else:
            super()._iterate(training, rows, held_out, callbacks, once)

    def _holds_out(self) -> bool:
        return self.early_stopping and solvers.solver_of(self) != "lbfgs"

    def _validation(self, rows: Rows) -> dict[str, float]:
        x, y, weights = rows
        outputs = predicted(self.model_, x)
        objective = Objective(self._training_loss(), [], 0.0)
        loss = objective(Tensor(outputs), Tensor(y), None if weights is None else Tensor(weights)).item()
        score = self._held_out_score(outputs, np.asarray(y), weights)
        return {"val_loss": loss, "val_score": float(score)}

    def _held_out_score(self, outputs: np.ndarray, y: np.ndarray, weights: RowWeights) -> float:
        raise NotImplementedError

    # ---- fitted attributes, read from the model. They cannot be written to ----
    @property
    def coefs_(self) -> list[np.ndarray]:
        check_is_fitted(self)
        return [read_only(layer.kernel) for layer in self._dense(self.model_)]

    @property
    def intercepts_(self) -> list[np.ndarray]:
        check_is_fitted(self)
        return [read_only(layer.bias) for layer in self._dense(self.model_)]

    @property
    def best_loss_(self) -> float | None:
        check_is_fitted(self)
        return self._rule.best if self._rule.watched == "loss" else None

    @property
    def validation_scores_(self) -> list[float] | None:
        check_is_fitted(self)
        return self._scores if self._rule.watched == "val_score" else None

    @property
    def best_validation_score_(self) -> float | None:
        check_is_fitted(self)
        return self._rule.best if self._rule.watched == "val_score" else None

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def read_only(t: Tensor) -> np.ndarray:
    array = np.array(t.numpy())
    array.flags.writeable = False
    return array
