"""What a call changes in its arguments: what is in their containers and objects before it and after it. No code of the
user's runs for that."""

from collections import OrderedDict, deque
from functools import partial
from typing import Any, NamedTuple

from tapegrad.autograd.structure import is_module_class
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function
from tapegrad.compiler.aliases import Args, Kwargs
from tapegrad.compiler.watch.classes import absent, instance_dict, slots
from tapegrad.compiler.watch.kinds import LONGEST, is_a, is_plain_value, room_of_class
from tapegrad.compiler.watch.parameters import parameter_names
from tapegrad.compiler.watch.sameness import same

ORDERED: tuple[Any, ...] = (list, tuple, deque)
SETS: tuple[Any, ...] = (set, frozenset)
Parts = list[tuple[Any, Any]]  # (what the user writes behind the name of what holds it, or "", and the part)


class Held(NamedTuple):
    """A container or object: what the user calls it, and what was in it."""

    name: str
    value: Any
    parts: Parts


def contents(f: Function, args: Args, kwargs: Kwargs) -> list[Held]:
    """What is in the arguments, to any depth; of more than 10,000 parts the first ones."""
    found: list[Held] = []
    left: Parts = [*zip(parameter_names(f, len(args)), args), *kwargs.items()]
    seen: set[int] = set()
    count = 0
    for name, value in left:  # which grows
        parts = parts_of(value) if id(value) not in seen and count <= LONGEST else None
        if parts is not None:
            seen.add(id(value))
            count += len(parts)
            found.append(Held(name, value, parts))
            left += [(name + key, part) for key, part in parts if not is_plain_value(part)]
    return found


def parts_of(value: Any) -> Parts | None:
    """What a container or an object of the user's holds; None for what is looked at otherwise, or not at all."""
    if base := next((b for b in (*ORDERED, *SETS) if is_a(value, b)), None):
        held = [(f"[{n}]" if base in ORDERED else "", part) for n, part in enumerate(base.__iter__(value))]
    elif is_a(value, dict):
        part_at = {id(key): part for key, part in dict.items(value)}
        keys = (OrderedDict if is_a(value, OrderedDict) else dict).__iter__(value)
        held = [(f"[{key!r}]" if is_plain_value(key) else "", part_at[id(key)]) for key in keys]
    elif is_a(value, (type, Tensor)) or is_module_class(type(value)) or room_of_class(type(value)) != "user":
        return None
    else:
        held = []
    return held + attributes_of(value)


def attributes_of(value: Any) -> Parts:
    """Those of an object of the user's, also of a container of a class of theirs."""
    if room_of_class(kind := type(value)) != "user":
        return []
    own = instance_dict(value) or {}
    filled = {name: member for name, member in slots(kind).items() if not absent(member, value)}
    slotted = [(f".{name}", member.__get__(value)) for name, member in filled.items()]
    return [(f".{name}", part) for name, part in own.items()] + slotted


def changed(before: list[Held]) -> list[str]:
    """What a call has changed in its arguments, by the user's names."""
    found: dict[str, None] = {}
    for name, value, parts in before:
        now = parts_of(value) or []
        if len(parts) == len(now) and all(map(is_same_part, parts, now)):
            continue
        old, new = dict(parts), dict(now)
        other = [
            key for key in old | new if key not in old or key not in new or not is_still(old[key], new[key])
        ]
        if other and all(map(partial(fills, old), other)):
            continue
        # Of a sequence, all that lies behind what was put in is another element.
        moved = is_a(value, ORDERED) and len(parts) != len(now) and any(key[0] == "[" for key in other)
        found |= dict.fromkeys([name] if moved or not other else [name + key for key in other])
    return list(found)


def fills(old: dict[str, Any], key: str) -> bool:
    """Whether an attribute was not there before, or None: an object that keeps what it works out at its first use does
    so once, where others come in turn with it."""
    return key.startswith(".") and old.get(key) is None


def is_same_part(old: tuple[str, Any], new: tuple[str, Any]) -> bool:
    return old[0] == new[0] and is_still(old[1], new[1])


def is_still(old: object, new: object) -> bool:
    return old is new or (is_plain_value(old) and is_plain_value(new) and same(old, new))
