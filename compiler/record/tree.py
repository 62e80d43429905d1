"""Results of a function taken apart: tuples, lists and dicts of exactly these types, and named tuples."""

from collections.abc import Callable
from typing import Any


def take_apart(value: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves in order, and the function that puts the same structure together again of others."""
    leaves: list[Any] = []

    def take(part: Any) -> Callable[[list[Any]], Any]:
        if type(part) is dict:
            takers = {key: take(inside) for key, inside in part.items()}
            return lambda new: {key: t(new) for key, t in takers.items()}
        if type(part) in (tuple, list):
            sequence, parts = type(part), [take(inside) for inside in part]
            return lambda new: sequence([t(new) for t in parts])
        if isinstance(part, tuple) and hasattr(part, "_make"):  # a named tuple
            make, parts = type(part)._make, [take(inside) for inside in part]
            return lambda new: make([t(new) for t in parts])
        at = len(leaves)
        leaves.append(part)
        return lambda new: new[at]

    return leaves, take(value)
