"""Nested structures of tensors, taken apart into a flat list and put together again.

A structure is a tuple, list, dict, dataclass object or Module, to any depth. A dataclass field that is declared with
`field(metadata={"static": True})` is kept as it is: for names, numbers and functions that no derivative is taken for.
"""

import dataclasses
from collections.abc import Callable
from copy import copy
from typing import Any

from tapegrad.autograd.aliases import TensorLike, Tree, Value
from tapegrad.autograd.tensor import Tensor

Rebuild = Callable[[list[Value]], Tree]


def is_module(value: object) -> bool:
    return is_module_class(type(value))  # of which it is asked: a __getattr__ of the user's is not called


def is_module_class(kind: type) -> bool:
    return hasattr(kind, "named_parameters") and hasattr(kind, "forward")


def parts_of_dataclass(value: Tree) -> list[str] | None:
    """The names of the fields that are parts of a dataclass object; None for anything else."""
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is None or is_module(value):
        return None
    declared = [f for f in dataclasses.fields(value) if not f.metadata.get("static")]
    return [f.name for f in declared if hasattr(value, f.name)]


def with_parts(value: Tree, parts: dict[str, Tree]) -> Tree:
    """A copy of a dataclass object with other parts, frozen or not. `__init__` and `__post_init__` do not run."""
    twin = copy(value)
    for name, part in parts.items():
        object.__setattr__(twin, name, part)
    return twin


def flatten(tree: Tree, modules: bool = True) -> tuple[list[Tree], Rebuild]:
    """The leaves of a nested structure in order, and the function that builds the same structure of other leaves.

    None is a structure without leaves. A Module counts as the dict of its parameters by path, or with modules=False as
    a leaf. So does everything else that is no tuple, list, dict or dataclass object.
    """
    leaves: list[Tree] = []
    return leaves, _builder(tree, leaves, modules)


# Not a function inside `flatten`: one that calls itself is a reference cycle, which keeps the leaves alive.
def _builder(part: Tree, leaves: list[Tree], modules: bool) -> Rebuild:
    """Append the leaves of a part; returns what builds the part again."""
    if part is None:
        return _nothing
    if modules and is_module(part):
        part = dict(part.named_parameters())
    if isinstance(part, dict):
        inside = {key: _builder(value, leaves, modules) for key, value in part.items()}
        if type(part) is dict:
            return lambda new: {key: build(new) for key, build in inside.items()}
        empty = copy(part)  # an OrderedDict, a defaultdict with its factory
        empty.clear()

        def like_it(new: list[Tree]) -> Tree:
            twin = copy(empty)
            twin.update({key: build(new) for key, build in inside.items()})
            return twin

        return like_it
    if isinstance(part, (tuple, list)):
        parts = [_builder(p, leaves, modules) for p in part]
        kind: Any = type(part)
        if hasattr(part, "_fields"):  # a named tuple
            return lambda new: kind(*(build(new) for build in parts))
        return lambda new: kind(build(new) for build in parts)
    if (names := parts_of_dataclass(part)) is not None:
        fields = {name: _builder(getattr(part, name), leaves, modules) for name in names}
        frame = with_parts(part, dict.fromkeys(names))  # the parts are not kept alive
        return lambda new: with_parts(frame, {name: build(new) for name, build in fields.items()})
    at = len(leaves)
    leaves.append(part)
    return lambda new: new[at]


def _nothing(new: list[Tree]) -> None:
    return None


def tensors_of(name: str, tree: Tree) -> tuple[list[Tensor], Rebuild]:
    """As `flatten`, with numbers and arrays made into Tensors; TypeError for anything else."""
    leaves, rebuild = flatten(tree)
    return [as_leaf(name, leaf) for leaf in leaves], rebuild


def as_leaf(name: str, leaf: TensorLike) -> Tensor:
    """A leaf as a Tensor; TypeError for what is neither a tensor nor numbers."""
    from tapegrad.autograd.creation import tensor

    if isinstance(leaf, Tensor):
        return leaf
    try:
        return tensor(leaf)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name}: expected tensors, numbers, or nested tuples, lists, dicts and dataclasses of them, got {leaf!r}"
        ) from error


def leaves_like(name: str, tree: Tree, like: Tree) -> list[Tree]:
    """The leaves of a structure in the order of those of `like`, which it must be built as.

    Dicts are matched by key, dataclasses by field. A Module in `like` counts as the dict of its parameters, with None
    for frozen ones. None in the place of a leaf is returned as None. Raises ValueError, which names the part, where the
    two differ.
    """
    found: list[Tree] = []
    _match(name, tree, like, found)
    return found


def _match(name: str, tree: Tree, like: Tree, found: list[Tree]) -> None:
    if is_module(like):
        like = {path: p if p.requires_grad else None for path, p in like.named_parameters()}
    if is_module(tree):
        tree = dict(tree.named_parameters())
    if isinstance(like, dict):
        if not isinstance(tree, dict) or tree.keys() != like.keys():
            raise ValueError(f"{name}: expected a dict with the keys {sorted(like)}, got {_kind(tree)}")
        for key, value in like.items():
            _match(f"{name}[{key!r}]", tree[key], value, found)
    elif isinstance(like, (tuple, list)):
        if not isinstance(tree, (tuple, list)) or len(tree) != len(like):
            raise ValueError(f"{name}: expected {_kind(like)}, got {_kind(tree)}")
        for i, (part, value) in enumerate(zip(tree, like, strict=True)):
            _match(f"{name}[{i}]", part, value, found)
    elif (names := parts_of_dataclass(like)) is not None:
        if type(tree) is not type(like):
            raise ValueError(f"{name}: expected a {type(like).__name__}, got {_kind(tree)}")
        for field in names:
            _match(f"{name}.{field}", getattr(tree, field), getattr(like, field), found)
    elif like is None:
        if tree is not None:
            raise ValueError(f"{name}: expected None, got {_kind(tree)}")
    elif isinstance(tree, (dict, tuple, list)) or parts_of_dataclass(tree) is not None:
        raise ValueError(f"{name}: expected one tensor, got {_kind(tree)}")
    else:
        found.append(tree)


def _kind(tree: Tree) -> str:
    if isinstance(tree, dict):
        return f"a dict with the keys {sorted(tree, key=str)}"
    if isinstance(tree, (tuple, list)):
        return f"a {type(tree).__name__} of {len(tree)}"
    return f"a {type(tree).__name__}" if tree is not None else "None"


def map_tensors(f: Callable[[Tensor], object], tree: Tree) -> Tree:
    """The structure with f(t) in place of each tensor t; Modules and all other leaves stay as they are."""
    leaves, rebuild = flatten(tree, modules=False)
    return rebuild([f(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves])


def check_sequence(name: str, given: object) -> None:
    """Raise TypeError for what is no tuple or list: a tensor would be taken for the sequence of its rows."""
    if not isinstance(given, (tuple, list)):
        raise TypeError(
            f"{name}: expected a tuple with one entry for each argument of the function, got a "
            f"{type(given).__name__}: write (x,) for the one argument x"
        )


def need_function(name: str, f: object) -> None:
    """Raise TypeError, which says what to write, unless a transform was given a function."""
    if callable(f):
        return
    given = f"a {type(f).__name__}" if f is not None else "None"
    remedy = f"write tg.{name}(f)" if name in _TAKE_ONE else f"write tg.{name}(f, …)"
    if isinstance(f, Tensor):
        remedy += (
            ", where f computes this tensor from its arguments. PyTorch's form for a tensor that is computed already "
            "is y.backward(), which adds to x.grad"
        )
    raise TypeError(f"tg.{name} takes a function, got {given}: {remedy}")


_TAKE_ONE = ("custom_gradient", "checkpoint")
