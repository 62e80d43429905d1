"""Which operands several products of a program read while nobody writes to them: one copy of such a one serves all."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from tapegrad.compiler.emit.native.alike import Loops
from tapegrad.compiler.emit.native.calls import address
from tapegrad.compiler.emit.native.convolution import Convolution
from tapegrad.compiler.emit.native.emitter import Call, Product

Operands = dict[str, Any]  # "a", "b" -> array


def shared_operands(calls: Sequence[Call], arrays: dict[str, object]) -> list[dict[str, Any]]:
    """For each call, the operands that other products read, too: "a" or "b" -> a key that equal ones have in common.

    The key of an array that is written to meanwhile differs before and after.
    """
    operands = [keys(operands_of(call, arrays)) for call in calls]
    uses = Counter(key for given in operands for key in given)
    watched = {key: array for given in operands for key, array in given.items() if uses[key] > 1}
    place = {key: i for i, key in enumerate(watched)}
    # Of all watched arrays at once: a long recurrent network has thousands of calls and hundreds of arrays.
    starts, ends = np.array([byte_bounds(array) for array in watched.values()], np.uint64).reshape(-1, 2).T
    version = np.zeros(len(watched), np.int64)
    found = []
    for call, given in zip(calls, operands):
        found.append({key[0]: (*key, int(version[place[key]])) for key in given if key in place})
        written = written_by(call, arrays) if watched else []
        if written is None:
            version += 1
        else:
            for start, end in map(byte_bounds, written):
                version += (starts < end) & (ends > start)
    again = Counter(key for given in found for key in given.values())
    return [{name: key for name, key in given.items() if again[key] > 1} for given in found]


def keys(operands: Operands) -> dict[tuple[Any, ...], Any]:
    return {(name, address(x), x.shape, x.strides, x.dtype.str): x for name, x in operands.items()}


def operands_of(call: Call, arrays: dict[str, object]) -> Operands:
    return {"a": arrays[call.a], "b": arrays[call.b]} if isinstance(call, Product) else {}


def written_by(call: Call, arrays: dict[str, object]) -> Iterable[Any] | None:
    """The arrays that a call writes to; None: it may be any."""
    if isinstance(call, (Product, Convolution)):
        return [arrays[call.out]]
    if not isinstance(call, Loops):
        return None
    return [arrays[slot.name] for slot in call.stored()]
