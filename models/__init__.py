"""Models to train without writing a loop: `Sequential`, as in Keras, and estimators, as in scikit-learn.

The estimators need scikit-learn, which is slow to import: they are loaded when first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tapegrad.models.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from tapegrad.models.history import History
from tapegrad.models.registry import register
from tapegrad.models.sequential import Sequential

if TYPE_CHECKING:
    from tapegrad.models.linear import LinearRegression, LinearSVC, LogisticRegression
    from tapegrad.models.mlp import MLPClassifier, MLPRegressor

ESTIMATORS = {
    "LinearRegression": "linear",
    "LogisticRegression": "linear",
    "LinearSVC": "linear",
    "MLPClassifier": "mlp",
    "MLPRegressor": "mlp",
}

__all__ = [
    "Sequential", "History", "register",
    "Callback", "CSVLogger", "EarlyStopping", "LambdaCallback", "LearningRateScheduler", "ModelCheckpoint",
    "ReduceLROnPlateau", "TerminateOnNaN",
    "LinearRegression", "LinearSVC", "LogisticRegression", "MLPClassifier", "MLPRegressor",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ESTIMATORS:
        return getattr(import_module(f"tapegrad.models.{ESTIMATORS[name]}"), name)
    raise AttributeError(f"module 'tapegrad.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
