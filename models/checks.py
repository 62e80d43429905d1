"""Checks of parameters and conversions that the estimators share. Each error names the parameter."""

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import _check_sample_weight, validate_data

from tapegrad.autograd.aliases import DTypeLike
from tapegrad.autograd.arguments import refuse_masked
from tapegrad.autograd.diagnostics import warn_user
from tapegrad.data.aliases import Features, RowWeights, Targets
from tapegrad.data.arrays import refuse_query, shape_of
from tapegrad.models.aliases import AsGiven, ClassWeight
from tapegrad.models.linear_solvers.weighted import with_weight as with_weight

Check = Callable[[str, AsGiven], None]


def number(
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
    at_most: float = math.inf,
    infinite: bool = False,
) -> Check:
    """The check of a number within bounds, which may be infinite or not."""
    words = (("above", above), ("at least", at_least), ("below", below), ("at most", at_most))
    bounds = [f"{word} {bound:g}" for word, bound in words if math.isfinite(bound)]

    def check(name: str, value: AsGiven) -> None:
        real = isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
        fits = real and (float(value) < below or (infinite and value == math.inf))
        if not (fits and above < float(value) and at_least <= float(value) <= at_most):
            raise ValueError(f"{name}: expected {' '.join(['a number', *bounds])}, got {value!r}")

    return check


def whole(at_least: int) -> Check:
    def check(name: str, value: object) -> None:
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < at_least:
            raise ValueError(f"{name}: expected a whole number of at least {at_least}, got {value!r}")

    return check


def is_word(value: object, words: tuple[object, ...]) -> bool:
    return any(value is word or (isinstance(value, (str, float)) and value == word) for word in words)


def one_of(*words: object) -> Check:
    def check(name: str, value: object) -> None:
        if not is_word(value, words):
            raise ValueError(f"{name}: expected one of {', '.join(map(repr, words))}, got {value!r}")

    return check


def yes_or_no(name: str, value: object) -> None:
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name}: expected True or False, got {value!r}")


def either(words: tuple[object, ...], check: Check) -> Check:
    """One of the words, or what the check takes."""

    def check_either(name: str, value: object) -> None:
        if is_word(value, words):
            return
        try:
            check(name, value)
        except ValueError as error:
            raise ValueError(
                str(error).replace("expected", f"expected {', '.join(map(repr, words))} or", 1)
            ) from None

    return check_either


def seed(name: str, value: object) -> None:
    """The check of a random_state, as scikit-learn's `check_random_state` takes it."""
    fits = value is None or isinstance(value, np.random.RandomState) or value is np.random
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        fits = 0 <= int(value) < 2**32
    if not fits:
        raise ValueError(
            f"{name}: expected None, a whole number from 0 to 4294967295, or a numpy.random.RandomState, got {value!r}"
        )


def loudness(name: str, value: object) -> None:
    if not isinstance(value, (bool, np.bool_)):
        whole(0)(name, value)


def workers(name: str, value: object) -> None:
    if value is not None and (not isinstance(value, (int, np.integer)) or isinstance(value, bool)):
        raise ValueError(f"{name}: expected None or a whole number, got {value!r}")


def products(name: str, value: object) -> None:
    """The check of `precompute`: True, False, or the Gram matrix."""
    if not isinstance(value, (bool, np.bool_, np.ndarray, list)):
        raise ValueError(f"{name}: expected True, False or an array, got {value!r}")


# Parameters that mean the same in every estimator. Those without effect are checked, too: a wrong value is a mistake.
EVERYWHERE: Mapping[str, Check] = {
    "random_state": seed,
    "verbose": loudness,
    "n_jobs": workers,
    "copy_X": yes_or_no,
    "dual": either(("auto",), yes_or_no),
    "precompute": products,
}


def check_parameters(estimator: object, checks: Mapping[str, Check]) -> None:
    """Raise ValueError for the first parameter of the estimator that its check, or the one in EVERYWHERE, refuses."""
    for name, check in {**EVERYWHERE, **checks}.items():
        if hasattr(estimator, name):
            check(name, getattr(estimator, name))


class Lacks:
    """An attribute of scikit-learn's estimator that this one has not: reading it raises AttributeError and says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, estimator: object, kind: type) -> Any:
        raise AttributeError(f"{kind.__name__} has no {self.name}: {self.reason}")


def same(a: AsGiven, b: AsGiven) -> bool:
    """Whether two parameters are equal, which arrays cannot say in one word."""
    if a is b:
        return True
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return bool(np.array_equal(a, b))
    return bool(a == b)


def set_all(estimator: object, arguments: Mapping[str, object]) -> None:
    """Store the arguments of a constructor under their names, as scikit-learn asks for; `arguments` are its locals."""
    for name, value in arguments.items():
        if name != "self":
            setattr(estimator, name, value)


def class_weights(
    class_weight: ClassWeight, classes: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """A factor for each class, from None, "balanced" or a dict by class.

    "balanced" makes the classes' sums of row weights equal, so that a row of weight 2 counts as two rows do.
    """
    if isinstance(class_weight, str) and class_weight == "balanced":
        sums = np.bincount(np.searchsorted(classes, y), weights=weights, minlength=len(classes))
        # A class whose rows all weigh 0 has no share, whatever its factor is.
        return np.divide(sums.sum(), len(classes) * sums, out=np.zeros(len(classes)), where=sums > 0)
    factors = np.asarray(compute_class_weight(class_weight, classes=classes, y=y))
    for name, factor in zip(classes.tolist(), factors.tolist()):
        if not 0 <= factor < np.inf:
            raise ValueError(
                f"class_weight: expected a number of at least 0 for class {name!r}, got {factor}"
            )
    return factors


def check_given(**arguments: object) -> None:
    """Raise, by the arguments' names, for what scikit-learn takes or has no words for: a query without values, masked
    values, lists that are no array, and sparse targets or weights."""
    for name, data in arguments.items():
        refuse_query(name, data)
        refuse_masked(name, data)
        if isinstance(data, (list, tuple)):
            shape_of(name, data)
        if name != "X" and hasattr(data, "toarray"):
            raise TypeError(
                f"{name}: expected an array, got a sparse {type(data).__name__}: give {name}.toarray()"
            )


def validated(estimator: object, X: Features, *y: Targets, **options: object) -> Any:
    """X, or the pair of X and y, as scikit-learn's `validate_data` checks them; `options` are its own."""
    check_given(**dict(zip("Xy", (X, *y))))
    return validate_data(estimator, X, *y, **options)


def row_weights(sample_weight: RowWeights, x: Features, dtype: DTypeLike = np.float64) -> np.ndarray:
    """A weight for each row; ValueError for negative ones, and where all are 0."""
    check_given(sample_weight=sample_weight)
    weights = np.asarray(_check_sample_weight(sample_weight, x, dtype=dtype, ensure_non_negative=True))
    if not weights.sum() > 0:
        raise ValueError("sample_weight: all weights are zero, which leaves no row to learn from")
    return weights


def refuse_words(y: np.ndarray) -> None:
    """Raise ValueError for dates, durations and texts as the targets of a regression."""
    if y.dtype.kind in "mMSU":
        raise ValueError(f"y: expected numbers, got dtype {y.dtype}: turn text and dates into numbers first")


def warn(estimator: object, message: str, kind: type[Warning]) -> None:
    warn_user(f"{type(estimator).__name__}: {message}", kind)
