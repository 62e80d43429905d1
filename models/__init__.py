"""Models to train without writing a loop: `Sequential`, as in Keras, and estimators, as in scikit-learn.

The estimators need scikit-learn, which is slow to import: they are loaded when first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tapegrad.autograd.foreign import entry
from tapegrad.models.callbacks import (
    Callback,
    CSVLogger,
    LambdaCallback,
    LearningRateScheduler,
    TerminateOnNaN,
)
from tapegrad.models.history import History
from tapegrad.models.monitors import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from tapegrad.models.registry import register
from tapegrad.models.sequential import Sequential

if TYPE_CHECKING:
    from tapegrad.models.kernel_svm import SVC
    from tapegrad.models.linear import ElasticNet, Lasso, LinearRegression, Ridge
    from tapegrad.models.linear_classifiers import LogisticRegression
    from tapegrad.models.mlp import MLPClassifier
    from tapegrad.models.mlp_regressor import MLPRegressor
    from tapegrad.models.neural import NeuralClassifier, NeuralRegressor
    from tapegrad.models.svm import LinearSVC, LinearSVR

ESTIMATORS = {
    "LinearRegression": "linear",
    "Ridge": "linear",
    "Lasso": "linear",
    "ElasticNet": "linear",
    "LogisticRegression": "linear_classifiers",
    "LinearSVC": "svm",
    "LinearSVR": "svm",
    "SVC": "kernel_svm",
    "NeuralClassifier": "neural",
    "NeuralRegressor": "neural",
    "MLPClassifier": "mlp",
    "MLPRegressor": "mlp_regressor",
}

NO_KERNEL = "none: LinearSVR is linear; use sklearn.svm"
# Names of Keras, scikit-learn and skorch that one looks for here.
ELSEWHERE = {
    "Model": "none: a network of another form is a tapegrad.nn.Module; Sequential takes it as a layer",
    "Functional": "none: a network of another form is a tapegrad.nn.Module; Sequential takes it as a layer",
    "load_model": "Sequential.load(path)",
    "save_model": "model.save(path)",
    "clone_model": "copy.deepcopy(model) # before it is compiled",
    "model_from_json": "Sequential.load(path)",
    "ProgbarLogger": "none: fit(…, verbose=1) draws the bar",
    "BackupAndRestore": "ModelCheckpoint(path) # and Sequential.load(path, resume=True)",
    "TensorBoard": "CSVLogger(path) # or a Callback of your own",
    "RemoteMonitor": "CSVLogger(path) # or a Callback of your own",
    "SwapEMAWeights": "tapegrad.optim.EMA",
    "NeuralNetClassifier": "NeuralClassifier",
    "NeuralNetRegressor": "NeuralRegressor",
    "SVR": NO_KERNEL,
    "NuSVC": NO_KERNEL,
    "NuSVR": NO_KERNEL,
    "SGDClassifier": "LogisticRegression or LinearSVC # which find the minimum",
    "SGDRegressor": "Ridge, Lasso or ElasticNet # which find the minimum",
    "RidgeClassifier": "LinearSVC or LogisticRegression",
    "Perceptron": "LinearSVC # or MLPClassifier(())",
    **{
        f"{name}CV": f"none: write sklearn.model_selection.GridSearchCV({name}(), …)"
        for name in ("Ridge", "Lasso", "ElasticNet", "LogisticRegression")
    },
}

__all__ = [
    "Sequential", "History", "register",
    "Callback", "CSVLogger", "EarlyStopping", "LambdaCallback", "LearningRateScheduler", "ModelCheckpoint",
    "ReduceLROnPlateau", "TerminateOnNaN",
    "LinearRegression", "Ridge", "Lasso", "ElasticNet", "LogisticRegression", "LinearSVC", "LinearSVR", "SVC",
    "MLPClassifier", "MLPRegressor", "NeuralClassifier", "NeuralRegressor",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ESTIMATORS:
        return getattr(import_module(f"tapegrad.models.{ESTIMATORS[name]}"), name)
    hint = f": {entry(name, ELSEWHERE[name])}" if name in ELSEWHERE else ""
    raise AttributeError(f"module 'tapegrad.models' has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted(__all__)
