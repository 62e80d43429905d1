"""What cached properties of arguments keep from a call on: a program works it out, and has them keep it."""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from tapegrad.autograd.tensor import Tensor
from tapegrad.compiler.record.argument_changes import Held
from tapegrad.compiler.record.trace import Trace
from tapegrad.compiler.watch.classes import instance_dict, resolves
from tapegrad.compiler.watch.kinds import is_a, is_plain_value
from tapegrad.compiler.watch.walk import Kept


def kept_values(before: list[Held], trace: Trace) -> list[Kept]:
    """Those of a call whose arguments held these things before it, as far as a program can give them."""
    found: list[Kept] = []
    for _, owner, parts in before:
        kind, own = type(owner), instance_dict(owner) or {}
        was = {name for name, _ in parts}
        found += [
            Kept(owner, attribute, value)
            for attribute, value in own.items()
            if f".{attribute}" not in was and is_kept(kind, attribute) and is_made(value, trace)
        ]
    return found


def is_kept(kind: type, attribute: str) -> bool:
    found = resolves(kind, attribute)
    return type(found) is cached_property and found.attrname == attribute


def is_made(value: Any, trace: Trace) -> bool:
    """Whether it is a number, a text, or a tensor that the call made, with memory of its own and without a graph."""
    if is_plain_value(value):
        return True
    if not is_a(value, Tensor) or value.requires_grad or getattr(value.data, "base", None) is not None:
        return False
    var = trace.bound(value.data)
    return var is not None and var.kind != "captured"


def with_kept(result: object, kept: list[Kept]) -> Any:
    """The result of a call, with what was kept."""
    return (result, *((k.owner, k.value) for k in kept)) if kept else result


def keeping(rebuild: Callable[[list[Any]], Any], kept: list[Kept]) -> Callable[[list[Any]], Any]:
    """What makes a result of its leaves, and has the owners keep what is theirs."""
    return partial(rebuilt, rebuild, [k.attribute for k in kept]) if kept else rebuild


def rebuilt(rebuild: Callable[[list[Any]], Any], attributes: list[str], leaves: list[Any]) -> Any:
    result, *pairs = rebuild(leaves)
    for attribute, (owner, value) in zip(attributes, pairs):
        object.__getattribute__(owner, "__dict__")[attribute] = value
    return result
