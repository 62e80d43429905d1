"""Types of models' arguments and results by name, for annotations."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

Logs: TypeAlias = dict[str, Any]  # the loss and the metrics of a batch or an epoch, by name
ClassWeight: TypeAlias = Mapping[Any, float] | str | None  # a factor for each class, "balanced", or none
RandomState: TypeAlias = int | np.random.RandomState | np.random.Generator | None
AsGiven: TypeAlias = Any  # a parameter of an estimator as the user gave it: `fit` checks it
Figure: TypeAlias = Any  # a matplotlib.figure.Figure
Axes: TypeAlias = Any  # a matplotlib.axes.Axes
Tags: TypeAlias = Any  # scikit-learn's description of an estimator
Model: TypeAlias = (
    Any  # a models.Sequential, compiled where its training is meant, or the part that a base class sees
)
Measured: TypeAlias = Any  # a number, several in a list, or with return_dict=True a dict of them
CompiledLoss: TypeAlias = Any  # what `compile` keeps of a loss: a function or a Loss, and None before
