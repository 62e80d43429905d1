"""Results of a function taken apart: tuples, lists and dicts of exactly these types, and named tuples."""

from collections.abc import Callable, Container
from math import inf
from operator import itemgetter
from typing import Any

# Builds a part of a tree from new leaves and the existing containers.
Taker = Callable[[list[Any], list[Any]], Any]


def take_apart(
    value: object,
    whole: Container[int] = frozenset(),
    deepest: float = inf,
    keys: Container[int] = frozenset(),
) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves in order, and the function that puts the same structure together again of others. What is at two
    places in it is one and the same there, too.

    whole     ids of containers that are leaves
    deepest   how many containers lie inside one another; those further in are leaves. 2 for what contains itself
    keys      ids of objects that are leaves where they are keys of dicts, or in tuples that are
    """
    leaves: list[Any] = []
    makers: list[Taker] = []  # of the containers, the inner ones first
    known: dict[int, Taker] = {}
    depth = 0

    def take(part: object) -> Taker:
        nonlocal depth
        if id(part) in known:
            return known[id(part)]
        depth += 1
        maker = None if id(part) in whole or depth > deepest else maker_of(part, take, take_key)
        depth -= 1
        if maker is None:
            at = len(leaves)
            leaves.append(part)
            return lambda new, made: new[at]
        at = len(makers)
        makers.append(maker)
        known[id(part)] = lambda new, made: made[at]
        return known[id(part)]

    def take_key(key: object) -> Taker | None:
        """None for a key that is the same at each call."""
        if id(key) in keys:
            return take(key)
        inside = [take_key(part) for part in key] if type(key) is tuple else []
        return take(key) if any(inside) else None

    try:
        root = take(value)
    except RecursionError:
        return take_apart(value, whole, deepest=2, keys=keys)
    if not makers:
        return leaves, itemgetter(0)

    def rebuild(new: list[object]) -> Any:
        made: list[Any] = []
        for maker in makers:
            made.append(maker(new, made))
        return root(new, made)

    return leaves, rebuild


def maker_of(
    part: Any, take: Callable[[Any], Taker], take_key: Callable[[Any], Taker | None]
) -> Taker | None:
    """What makes a container like this one; None if it is none."""
    if type(part) is dict:
        takers = {key: take(inside) for key, inside in part.items()}
        found = {key: of_key for key in part if (of_key := take_key(key)) is not None}
        if not found:
            return lambda new, made: {key: t(new, made) for key, t in takers.items()}
        return lambda new, made: {
            (found[key](new, made) if key in found else key): t(new, made) for key, t in takers.items()
        }
    if type(part) in (tuple, list):
        sequence, parts = type(part), [take(inside) for inside in part]
        return lambda new, made: sequence([t(new, made) for t in parts])
    if isinstance(part, tuple) and hasattr(part, "_make"):  # a named tuple
        make, parts = type(part)._make, [take(inside) for inside in part]
        return lambda new, made: make([t(new, made) for t in parts])
    return None
