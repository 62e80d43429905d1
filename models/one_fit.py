"""One fit of an estimator at a time: not two in threads, and none from a callback of its own fit, nor a training of the
model in it by the model's own words."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import get_ident
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
Estimator = TypeVar("Estimator")
Fitted = TypeVar("Fitted")

# The id of an estimator -> the thread of the fit that runs, in a list of its own.
FITS: dict[int, list[int]] = {}


# The id of a model that an estimator trains -> the name of the estimator's class.
TRAINED: dict[int, str] = {}


@contextmanager
def trained_by(estimator: object, model: object) -> Iterator[None]:
    """While an estimator trains a model, nobody else does: `refuse_in_fit`."""
    TRAINED[id(model)] = type(estimator).__name__
    try:
        yield
    finally:
        del TRAINED[id(model)]


def refuse_in_fit(model: object, method: str) -> None:
    """Raise RuntimeError for a method that would change how a model is trained that an estimator trains now."""
    if (estimator := TRAINED.get(id(model))) is not None:
        raise RuntimeError(
            f"{method}: {estimator}.fit trains this model now, by its own parameters, and each would go on with the "
            f"weights of the other: set parameters of the {estimator} before its fit, or call {method} after it"
        )


def keep_own_fits() -> None:
    """In a forked child, where the other threads are gone."""
    for key, fit in list(FITS.items()):
        if fit != [get_ident()]:
            del FITS[key]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=keep_own_fits)


def one_at_a_time(
    fit: Callable[Concatenate[Estimator, P], Fitted],
) -> Callable[Concatenate[Estimator, P], Fitted]:
    """A method that trains an estimator, which raises RuntimeError while another one trains the same estimator."""

    @wraps(fit)
    def alone(self: Estimator, *args: P.args, **kwargs: P.kwargs) -> Fitted:
        mine = [get_ident()]
        # One call that no other thread and no Ctrl-C can divide: only the fit that came first finds its own list.
        try:
            if (running := FITS.setdefault(id(self), mine)) is not mine:
                raise RuntimeError(refusal(type(self).__name__, fit.__name__, running == mine))
            return fit(self, *args, **kwargs)
        finally:
            if FITS.get(id(self)) is mine:
                del FITS[id(self)]

    return alone


def refusal(name: str, method: str, in_callback: bool) -> str:
    """What is said to the fit that came second."""
    where = (
        "a callback calls it in a fit of this estimator"
        if in_callback
        else "another thread fits this estimator now"
    )
    return (
        f"{name}.{method}: {where}, and each would go on with the weights of the other: fit a copy that "
        "was made before, other = sklearn.base.clone(estimator)"
    )
