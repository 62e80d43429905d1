"""The multi-layer perceptron for numbers, with scikit-learn's parameters, meanings and numbers."""

from collections.abc import Iterable, Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d

from tapegrad import nn
from tapegrad.autograd.aliases import Function
from tapegrad.data.aliases import Features, PlainData, RowWeights, Targets
from tapegrad.models.aliases import AsGiven, RandomState, Tags
from tapegrad.models.callbacks import Callback
from tapegrad.models.checks import refuse_words, row_weights, set_all, validated, warn
from tapegrad.models.mlp_base import MLP, half_squared_error, is_stochastic, poisson_deviance
from tapegrad.models.network import DTYPES
from tapegrad.models.one_fit import one_at_a_time
from tapegrad.models.scikit_learn import r2_score
from tapegrad.models.scored import RegressorMixin
from tapegrad.nn.aliases import LossLike
from tapegrad.optim.base import Optimizer


class MLPRegressor(RegressorMixin, MLP):
    """A network of Dense layers with an output for each target.

    The parameters of scikit-learn's MLPRegressor have its names, defaults and meanings, and with the same
    `random_state` its numbers (docs/estimators.md lists all, and what differs). The parameters from `epochs` on are
    tapegrad's own. Scale X and y to about unit size beforehand, as for any network.

    Args:
        hidden_layer_sizes: The units of each hidden layer. The first argument, as in scikit-learn up to 1.6.
        activation: Of the hidden layers: identity, logistic, tanh, relu, another name from `nn.activations`, or any
            function of a tensor.
        loss: "squared_error", which is half the mean squared error, or "poisson", as in scikit-learn; a name from
            `nn.losses`; or a function of (y_true, y_pred).
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
        dropout: The part of each hidden layer's outputs that training drops.
        callbacks: A `tapegrad.models.Callback`, or a list of them.
        run_eagerly, emitter: How a batch is run, as in `Sequential.compile`.
        backend: Where the weights live: "numpy", "cupy"; None: the default.

    Attributes:
        model_: The trained Sequential. All attributes of `MLPClassifier` but classes_ are there, too.

    Raises:
        ValueError: At fit, a parameter is out of its range, or the training diverged.
    """

    MADE_WITH = ("hidden_layer_sizes", "activation", "dropout", "loss")

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str | Function = "relu",
        *,
        loss: LossLike = "squared_error",
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
        dropout: float = 0.0,
        callbacks: Iterable[Callback] | Callback | None = None,
        run_eagerly: bool = False,
        emitter: str | None = None,
        backend: str | None = None,
    ) -> None:
        set_all(self, locals())

    loss: AsGiven

    def _loss(self, made_with: PlainData) -> LossLike:
        loss = made_with["loss"]
        return "mse" if isinstance(loss, str) and loss == "squared_error" else loss

    def _training_loss(self) -> Function:
        loss = self._made_with["loss"]
        ours = {"squared_error": half_squared_error, "poisson": poisson_deviance}
        return ours[loss] if isinstance(loss, str) and loss in ours else nn.losses.get(loss)

    @one_at_a_time
    def fit(self, X: Features, y: Targets, sample_weight: RowWeights = None) -> "MLPRegressor":
        """The estimator itself, fitted.

        Args:
            X: Features, (n, features), dense or sparse (csr). float32 stays float32, all else is float64. No NaN or
                Inf.
            y: Targets, (n,) or (n, targets).
            sample_weight: A weight for each row, (n,), or one number; None is 1.

        Raises:
            ValueError: X, y or a parameter is not as described, or the training diverged.
        """
        self._check()
        return self._fit(X, y, sample_weight, once=False)

    @available_if(is_stochastic)
    @one_at_a_time
    def partial_fit(self, X: Features, y: Targets, sample_weight: RowWeights = None) -> "MLPRegressor":
        """The estimator itself, after one pass over these rows.

        Args:
            X, y, sample_weight: As for `fit`.

        Raises:
            AttributeError: The solver is lbfgs.
        """
        self._check(once=True)
        return self._fit(X, y, sample_weight, once=True)

    def _fit(self, X: Features, y: Targets, sample_weight: RowWeights, once: bool) -> "MLPRegressor":
        going_on = hasattr(self, "model_") and (once or self.warm_start)
        X, y = validated(
            self, X, y, dtype=DTYPES, accept_sparse=self.accept_sparse, multi_output=True, y_numeric=True,
            reset=not going_on,
        )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        refuse_words(y)
        targets = np.asarray(y, X.dtype).reshape(X.shape[0], -1)
        if isinstance(self.loss, str) and self.loss == "poisson" and (targets < 0).any():
            raise ValueError("y: loss='poisson' is of counts: some are negative")
        if going_on and targets.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y: the training goes on with {self.n_outputs_} targets, got {targets.shape[1]}"
            )
        self.n_outputs_ = targets.shape[1]
        self.out_activation_ = "exp" if isinstance(self.loss, str) and self.loss == "poisson" else "identity"
        weights = None if sample_weight is None else row_weights(sample_weight, X, X.dtype)
        self._train(X, targets, weights, once=once)
        if isinstance(self.loss, str) and self.loss == "squared_error" and not once:
            self._warn_of_a_loss_far_up(targets, weights)
        return self

    def _warn_of_a_loss_far_up(self, y: np.ndarray, weights: np.ndarray | None) -> None:
        """A training can diverge and end with finite weights: by the rule of tol, or as max_iter is reached."""
        of_zeros = 0.5 * float(np.average((np.asarray(y, np.float64) ** 2).sum(axis=1), weights=weights))
        if self.loss_ > 10 * of_zeros > 0:
            warn(
                self,
                f"the loss at the end, {self.loss_:.3g}, is far above that of predicting 0, {of_zeros:.3g}: scale X "
                "and y to about unit size, or lower the learning rate (learning_rate_init)",
                ConvergenceWarning,
            )

    def _held_out_score(self, outputs: np.ndarray, y: np.ndarray, weights: RowWeights) -> float:
        return float(r2_score(y, outputs, sample_weight=weights))

    def predict(self, X: Features) -> np.ndarray:
        """The outputs, (n,) or (n, targets).

        Args:
            X: Features, (n, features).
        """
        outputs = self._outputs(X)
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
