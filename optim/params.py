"""Reading what an optimizer is given: its parameters, and its numbers."""

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, TypeGuard

from tapegrad.autograd.tensor import Tensor
from tapegrad.optim.aliases import OptionValues, ParamsLike, Trainable

EXPECTED = (
    "a Module, tensors, (name, tensor) pairs, a dict of tensors, or a list of groups {'params': …, 'lr': …}"
)


def read_groups(params: Any) -> list[tuple[dict[str, Tensor], OptionValues]]:
    """The groups as ({name: parameter}, {option: value}). Names are paths where they are known, else positions; where
    there are groups, "<group>.<name>". Raises ValueError or TypeError for what cannot be trained."""
    if isinstance(params, Iterable) and not (isinstance(params, (Tensor, Mapping, str)) or is_module(params)):
        params = list(params)  # a generator is read once
    if isinstance(params, list) and params and all(isinstance(g, Mapping) for g in params):
        for i, group in enumerate(params):
            if "params" not in group:
                raise ValueError(f"params: group {i} has no 'params', only {sorted(group)}")
        groups = [
            (
                {f"{i}.{name}": p for name, p in read_named(g["params"], f" in group {i}").items()},
                {key: value for key, value in g.items() if key != "params"},
            )
            for i, g in enumerate(params)
        ]
    else:
        groups = [(read_named(params), {})]
    seen: dict[Tensor, str] = {}
    for named, _ in groups:
        for name, p in named.items():
            if p in seen:
                raise ValueError(f"params: {seen[p]!r} and {name!r} are the same parameter: give it once")
            seen[p] = name
    return groups


def is_module(params: object) -> TypeGuard[Trainable]:
    return hasattr(params, "named_parameters")


def read_named(params: ParamsLike, where: str = "") -> dict[str, Tensor]:
    """One group's parameters by name."""
    if is_module(params):  # its frozen parameters wait, in case they are thawed later
        named = dict(params.named_parameters())
        if named and not any(p.requires_grad for p in named.values()):
            raise ValueError(f"params{where}: every parameter of this {type(params).__name__} is frozen")
    elif isinstance(params, Iterable) and not isinstance(params, (Tensor, str)):
        items = list(params.items() if isinstance(params, Mapping) else params)
        pairs = [
            item
            if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
            else (str(i), item)
            for i, item in enumerate(items)
        ]
        named = dict(pairs)
        if len(named) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(
                f"params{where}: the name {max(names, key=names.count)!r} is given more than once"
            )
        for name, p in named.items():
            check_trainable(f"params{where}: {name!r}", p)
    else:
        hint = ": put it in a list" if isinstance(params, Tensor) else ""
        hint = f": a learning rate is given by name, lr={params}" if isinstance(params, Real) else hint
        raise TypeError(f"params{where}: expected {EXPECTED}, got {type(params).__name__}{hint}")
    if not named:
        raise ValueError(
            f"params{where}: there are no parameters: give a Module or its parameters(). Was a generator used up?"
        )
    return named


def check_trainable(who: str, p: object) -> None:
    if not isinstance(p, Tensor):
        raise TypeError(f"{who} is not a tensor but {type(p).__name__}; expected {EXPECTED}")
    if p.node is not None:
        raise ValueError(
            f"{who} is not a leaf but made by {p.node.primitive.name}, so it has no values of its own to train: "
            "give the tensors it was made from, or .detach().requires_grad_()"
        )
    if not p.requires_grad:
        raise ValueError(
            f"{who} does not require grad and would never change: call .requires_grad_() on it, or leave it out "
            "(frozen parameters are accepted where the Module itself is given)"
        )
