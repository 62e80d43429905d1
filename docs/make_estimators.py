"""Write docs/estimators.md: the parameters of each estimator, which are scikit-learn's and which are tapegrad's own.
Run: python docs/make_estimators.py"""

import inspect
from pathlib import Path
from typing import Any

from tapegrad import models

ROOT = Path(__file__).resolve().parent.parent
OURS = {
    "epochs", "optimizer", "dropout", "callbacks", "run_eagerly", "emitter", "backend", "n_components",
}  # fmt: skip
OURS_IN = {"MLPClassifier": {"class_weight"}}
NO_EFFECT = {"copy_X", "n_jobs", "dual", "precompute", "selection"}
NO_EFFECT_IN = {
    "SVC": {"degree", "coef0", "shrinking", "cache_size", "verbose", "break_ties"},
    "LinearRegression": {"tol"}, "Ridge": {"max_iter", "tol", "solver", "random_state"},
    "Lasso": {"warm_start", "random_state"}, "ElasticNet": {"warm_start", "random_state"},
    "LogisticRegression": {"random_state", "verbose"}, "LinearSVC": {"random_state", "verbose"},
    "LinearSVR": {"random_state", "verbose"},
}  # fmt: skip
HEAD = """# Estimators

Made from the code by `python docs/make_estimators.py`; a test keeps it up to date.

The estimators of `tapegrad.models` are used as scikit-learn's are: in pipelines, `GridSearchCV`, `cross_val_score`,
with `clone`, `pickle` and `joblib`. A program changes one import:

    from tapegrad.models import MLPClassifier        # from sklearn.neural_network import MLPClassifier

## What differs from scikit-learn

- **Perceptrons**: the same `random_state` gives scikit-learn's initial weights, order of rows and held-out rows, and
  with them its loss curve and coefs to the last digits. A warm start keeps the optimizer's state and the random
  streams, so that two fits of 5 passes are one of 10; it takes up changed parameters of the training, and refuses
  another network. `partial_fit` takes the rows in scikit-learn's order: with a seed, the same one in each call.
  `MLPClassifier` refuses a `y` of one class ("a classifier needs at least 2 classes"), which scikit-learn's learns to
  predict always; `partial_fit` takes it, given all `classes`. A training that diverges raises `ValueError`; a warm
  start goes back to the weights it had. `coefs_` and `intercepts_` are read-only. `MLPRegressor` takes `loss` by name:
  its first argument is `hidden_layer_sizes`.
- `epochs=30` makes exactly 30 passes, without the rule of `tol`. `epochs` with `max_iter` is an error, and so is
  `optimizer` with `solver`. A number given as `learning_rate` is `learning_rate_init`. `momentum`, `beta_1` and the
  like with an optimizer of tapegrad's raise: give them to the optimizer object.
- Each step of `solver="lbfgs"` is an epoch to `callbacks`.
- **Tables** of pandas and of polars are taken as scikit-learn takes them: `feature_names_in_` has the columns' names.
- **Linear models** find the one minimum, whatever `solver` says, on dense and on sparse rows. `LogisticRegression`
  takes `penalty` in the older spelling too. `n_iter_` counts Newton's steps. `LinearRegression` takes the shortest of
  all coefs that fit equally well, on dense and on sparse rows.
- **`SVC`** is an approximation by random Fourier features: near scikit-learn's scores, not the same, and without
  support vectors: `support_`, `support_vectors_`, `n_support_` and `dual_coef_` raise an `AttributeError` that says
  so. A `gamma` so large for the rows that the kernel is below the error of the features is warned of. `coef_` is the
  linear kernel's alone; `linear_.coef_` has that of the random features. `gamma="scale"` counts
  each row of X by its `sample_weight`, where scikit-learn counts all alike: `gamma=1 / (X.shape[1] * X.var())` is
  scikit-learn's. Other kernels than "rbf" and "linear" are refused, and so are `probability=True` and
  `decision_function_shape="ovo"`.
- **A row of weight 0** is no row, in every estimator: the fit is the one without it. scikit-learn's perceptrons take it
  into their batches and hold it out.
- **Refused**: `LinearSVC(multi_class="crammer_singer")`, `positive=True` with sparse rows.

## Any module

`NeuralClassifier(module, module__units=32)` and `NeuralRegressor` make an estimator of any module, in the way skorch
does for PyTorch:

    class Network(nn.Module):
        def __init__(self, units=16, meta=None):
            super().__init__()
            self.hidden = nn.Dense(units, "relu")
            self.last = nn.Dense(meta["n_classes_"])

        def forward(self, x):
            return self.last(self.hidden(x))

    search = GridSearchCV(
        NeuralClassifier(Network, lr=0.01, max_epochs=100, early_stopping=True),
        {"module__units": [8, 32], "optimizer__beta_1": [0.8, 0.9]},
    )

Early stopping holds out a part of the rows that `fit` is given, so each fold has its own, and goes back to the
weights of the best epoch.

## Parameters

"no effect": taken, so that a program of scikit-learn runs; the result does not depend on it.
"""


def kind(estimator: str, name: str) -> str:
    if estimator.startswith("Neural"):
        return "tapegrad's"
    if name in OURS or name in OURS_IN.get(estimator, ()):
        return "tapegrad's"
    if name in NO_EFFECT or name in NO_EFFECT_IN.get(estimator, ()):
        return "no effect"
    return "scikit-learn's"


def section(name: str) -> str:
    estimator: Any = getattr(models, name)
    rows = [
        f"| `{p.name}` | `{p.default!r}` | {kind(name, p.name)} |"
        for p in inspect.signature(estimator).parameters.values()
        if p.kind is not p.VAR_KEYWORD
    ]
    return f"\n### {name}\n\n| parameter | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def page() -> str:
    return HEAD + "".join(section(name) for name in sorted(models.ESTIMATORS))


if __name__ == "__main__":
    (ROOT / "docs" / "estimators.md").write_text(page())
