"""Nested tuples, lists and dicts of tensors, and Modules: taken apart into a flat list and put together again."""

from collections.abc import Callable
from typing import Any

from tapegrad.autograd.tensor import Tensor

Rebuild = Callable[[list[Any]], Any]


def is_module(value: Any) -> bool:
    return is_module_class(type(value))  # of which it is asked: a __getattr__ of the user's is not called


def is_module_class(kind: type) -> bool:
    return hasattr(kind, "named_parameters") and hasattr(kind, "forward")


def flatten(tree: Any) -> tuple[list[Any], Rebuild]:
    """The leaves of a nested structure in order, and the function that builds the same structure of other leaves.

    A Module counts as the dict of its parameters by path; everything that is no tuple, list, dict or Module is a leaf.
    """
    leaves: list[Any] = []

    def take(part: Any) -> Callable[[list[Any]], Any]:
        if is_module(part):
            part = dict(part.named_parameters())
        if isinstance(part, dict):
            takers = {key: take(value) for key, value in part.items()}
            return lambda new: {key: t(new) for key, t in takers.items()}
        if isinstance(part, (tuple, list)):
            parts = [take(p) for p in part]
            if hasattr(part, "_fields"):  # a named tuple
                kind: Any = type(part)
                return lambda new: kind(*(t(new) for t in parts))
            sequence = type(part)
            return lambda new: sequence(t(new) for t in parts)
        at = len(leaves)
        leaves.append(part)
        return lambda new: new[at]

    return leaves, take(tree)


def tensors_of(name: str, tree: Any) -> tuple[list[Tensor], Rebuild]:
    """As `flatten`, with numbers and arrays made into Tensors; TypeError for anything else."""
    from tapegrad.autograd.creation import tensor

    leaves, rebuild = flatten(tree)
    made = []
    for leaf in leaves:
        if isinstance(leaf, Tensor):
            made.append(leaf)
            continue
        try:
            made.append(tensor(leaf))
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{name}: expected tensors, numbers, or nested tuples, lists and dicts of them, got {leaf!r}"
            ) from error
    return made, rebuild


def check_sequence(name: str, given: Any) -> None:
    """Raise TypeError for what is no tuple or list: a tensor would be taken for the sequence of its rows."""
    if not isinstance(given, (tuple, list)):
        raise TypeError(
            f"{name}: expected a tuple with one entry for each argument of the function, got a "
            f"{type(given).__name__}: write (x,) for the one argument x"
        )
