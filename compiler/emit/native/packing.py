"""Which operands several products of a program read while nobody writes to them: one copy of such a one serves all."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tapegrad.compiler.emit.native.calls import address
from tapegrad.compiler.emit.native.emitter import Call, Loops, Product
from tapegrad.compiler.emit.native.forms import Store
from tapegrad.compiler.emit.native.walks import statements

Operands = dict[str, Any]  # "a", "b" -> array


def shared_operands(calls: Sequence[Call], arrays: dict[str, Any]) -> list[dict[str, Any]]:
    """For each call, the operands that other products read, too: "a" or "b" -> a key that equal ones have in common.

    The key of an array that is written to meanwhile differs before and after.
    """
    operands = [operands_of(call, arrays) for call in calls]
    uses = Counter(key for given in operands for key in keys(given))
    watched = {key: array for given in operands for key, array in keys(given).items() if uses[key] > 1}
    version = dict.fromkeys(watched, 0)
    found = []
    for call, given in zip(calls, operands):
        found.append({key[0]: (*key, version[key]) for key in keys(given) if key in watched})
        if watched:
            written = written_by(call, arrays)
            for key, array in watched.items():
                version[key] += written is None or any(np.may_share_memory(array, w) for w in written)
    again = Counter(key for given in found for key in given.values())
    return [{name: key for name, key in given.items() if again[key] > 1} for given in found]


def keys(operands: Operands) -> dict[tuple[Any, ...], Any]:
    return {(name, address(x), x.shape, x.strides, str(x.dtype)): x for name, x in operands.items()}


def operands_of(call: Call, arrays: dict[str, Any]) -> Operands:
    return {"a": arrays[call.a], "b": arrays[call.b]} if isinstance(call, Product) else {}


def written_by(call: Call, arrays: dict[str, Any]) -> Iterable[Any] | None:
    """The arrays that a call writes to; None: it may be any."""
    if isinstance(call, Product):
        return [arrays[call.out]]
    if not isinstance(call, Loops):
        return None
    stores = [s.place.array for s, _ in statements(call.nest.body) if isinstance(s, Store)]
    return [arrays[slot.name] for slot in dict.fromkeys(stores)]
