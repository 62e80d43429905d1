"""Checks and conversions that the estimators share."""

import warnings
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight


def check_number(name: str, value: Any, *, above: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not float(value) > above:
        raise ValueError(f"{name}: expected a number above {above:g}, got {value!r}")


def class_weights(class_weight: Any, classes: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A factor for each class, from None, "balanced" or a dict by class."""
    return np.asarray(compute_class_weight(class_weight, classes=classes, y=y))


def warn(estimator: object, message: str, kind: type[Warning]) -> None:
    warnings.warn(f"{type(estimator).__name__}: {message}", kind, stacklevel=3)
