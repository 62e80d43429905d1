"""Arguments and results of a call, brought into the form in which programs take and give them."""

import sys
from collections.abc import Callable
from math import inf
from operator import attrgetter, is_
from types import FunctionType
from typing import Any

import numpy as np

from tapegrad.autograd.creation import asarray
from tapegrad.autograd.dtypes import ALL
from tapegrad.backends import BY_TYPE
from tapegrad.backends.aliases import Function
from tapegrad.compiler.aliases import Args, Kwargs
from tapegrad.compiler.watch.parameters import signature_of


class Taken:
    """The arguments of a call with Tensors in place of bare arrays of numbers, those in tuples, lists and dicts, too.

    A container that holds such an array is handed over as a copy. At the end of `with Taken(args, kwargs) as taken:`
    the caller's has what was done to the copy; `returned` has the caller's in place of the copy in a result.
    """

    def __init__(self, args: Args, kwargs: Kwargs) -> None:
        tensor_for = lambda part: asarray(part) if is_bare_array(part) else part
        taken, self.exchanged = exchanged((args, kwargs), tensor_for)
        self.args, self.kwargs = taken
        self.given = {id(new): old for old, new in self.exchanged}
        copies = [(old, new) for old, new in self.exchanged if isinstance(old, (dict, list))]
        self.copies = [(old, new, new.copy()) for old, new in copies]  # with what the copy held at first

    def __enter__(self) -> "Taken":
        return self

    def __exit__(self, *error: object) -> None:
        """Do to the caller's lists and dicts what was done to their copies."""
        back = lambda part: self.given.get(id(part), part)
        for given, copy, first in self.copies:
            if isinstance(given, dict):
                if [*copy] != [*first] or any(copy[key] is not part for key, part in first.items()):
                    items = {key: back(part) for key, part in copy.items()}
                    given.clear()
                    given.update(items)
            elif len(copy) != len(first) or not all(map(is_, copy, first)):
                given[:] = map(back, copy)

    def returned(self, result: object) -> Any:
        """A result with the caller's containers in place of their copies."""
        containers = {id(new): old for old, new in self.exchanged if not is_bare_array(old)}
        return exchanged(result, lambda part: containers.get(id(part), part))[0] if containers else result


def exchanged(
    value: Any, exchange: Callable[[Any], Any], deepest: float = inf
) -> tuple[Any, list[tuple[Any, Any]]]:
    """A value with `exchange(part)` in place of each part of it, and the pairs (part, what it became) that differ.

    A tuple, list or dict of exactly these types, or a named tuple, is another one only if a part of it is, and keeps
    those parts of itself that contain it. What lies in more than `deepest` containers stays: 3 where Python's stack
    does not reach further.
    """
    made: dict[int, Any] = {}
    pairs: list[tuple[Any, Any]] = []

    def take(part: object, depth: int = 0) -> Any:
        if id(part) in made:
            return made[id(part)]
        made[id(part)] = part
        new = exchange(part)
        if new is part and depth <= deepest:
            new = container(part, depth + 1)
        made[id(part)] = new
        if new is not part:
            pairs.append((part, new))
        return new

    def container(part: Any, depth: int) -> Any:
        if type(part) is dict:
            items = {key: take(inside, depth) for key, inside in part.items()}
            return part if all(items[key] is inside for key, inside in part.items()) else items
        if type(part) in (list, tuple) or (isinstance(part, tuple) and hasattr(part, "_make")):
            parts = [take(inside, depth) for inside in part]
            return part if all(map(is_, parts, part)) else getattr(type(part), "_make", type(part))(parts)
        return part

    try:
        return take(value), pairs
    except RecursionError:
        return exchanged(value, exchange, deepest=3)


def run_with_tensors(f: Function, args: Args, kwargs: Kwargs) -> Any:
    """Run a function as it is, but that arrays arrive as Tensors."""
    with Taken(args, kwargs) as taken:
        return taken.returned(f(*taken.args, **taken.kwargs))


def is_bare_array(value: Any) -> bool:
    """Whether it is an array of numbers; text, objects and records stay the arrays they are."""
    return (
        type(value) in BY_TYPE and not isinstance(value, np.generic) and value.dtype.newbyteorder("=") in ALL
    )


def in_order(f: Function, args: Args, kwargs: Kwargs) -> tuple[Any, Any]:
    """Arguments by name in the places of their parameters, and the others in one order, where that is the same call."""
    if not kwargs:
        return args, kwargs
    try:
        bound = signature_of(f).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return args, kwargs
    same = len(bound.args) == len(args) and [*bound.kwargs] == [*kwargs]
    return (args, kwargs) if same else (bound.args, bound.kwargs)


def given_to(f: Function) -> dict[str, Any]:
    """The attributes that the user has given to a function."""
    return vars(f) if isinstance(f, FunctionType) else {}


def name_to_find(compiled: Any) -> str | None:
    """The name by which pickle finds it in its module, after `@tg.jit`, as it finds every function; None elsewhere."""
    try:
        name: str = compiled.__qualname__
        return name if attrgetter(name)(sys.modules[compiled.__module__]) is compiled else None
    except (AttributeError, KeyError, TypeError):
        return None
