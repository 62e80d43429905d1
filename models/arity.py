"""Calls functions of a user with as many arguments as they take."""

from functools import lru_cache

from tapegrad.autograd.signatures import signature as signature_of
from tapegrad.backends.aliases import Function


def positional(function: Function, arguments: int) -> int:
    """How many of so many positional arguments a function takes. Keras's `logs` may be left out of a signature."""
    plain = getattr(function, "__func__", function)
    most = most_positional(plain)
    return arguments if most is None else min(arguments, most - (plain is not function))


@lru_cache(maxsize=256)
def most_positional(function: Function) -> int | None:
    """How many positional arguments a function takes at most; None where there is no limit, or nobody knows."""
    try:
        parameters = signature_of(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def called(function: Function, *arguments: object) -> None:
    function(*arguments[: positional(function, len(arguments))])


def first_name(function: Function) -> str:
    """The name of the first argument; "" where there is none, or it is not known."""
    try:
        return next(iter(signature_of(function).parameters), "")
    except (TypeError, ValueError):
        return ""
