"""What the operations of a program compute, on real arrays: while it is recorded, and where constants are folded."""

from typing import Any

import numpy as np

from tapegrad.autograd.ops.indexing import Slot
from tapegrad.backends import backend_of


def run_op(name: str, values: list[Any], params: dict[str, Any], xp: Any = np) -> Any:
    """What an operation computes, on real arrays of the library xp."""
    if name in ("slice", "take_at"):
        return values[0][_index(params["index"], values[1:])]
    if name == "put_at":
        new = xp.array(values[0])
        new[_index(params["index"], values[2:])] = values[1]
        return new
    if name == "add_at":
        add = backend_of(values[0]).kernels["index_add"]
        return add(xp, values[0], values[1], index=_index(params["index"], values[2:]))
    if name == "einsum":
        return xp.einsum(params["subscripts"], *values, optimize=len(values) > 2)
    if name == "guard":
        return xp.asarray(bool(values[0]))
    if name == "copy":
        return xp.array(values[0])
    if name == "concat":
        return xp.concatenate(values, axis=params["axis"])
    if name == "astype":
        return xp.asarray(values[0]).astype(params["dtype"])
    if name == "bitwise_invert":
        return xp.invert(values[0])
    if name == "clip":
        return xp.clip(values[0], params["min"], params["max"])
    with np.errstate(all="ignore"):
        return getattr(xp, name)(*values, **params)


def _index(template: tuple[Any, ...], arrays: list[Any]) -> tuple[Any, ...]:
    return tuple(arrays[i] if isinstance(i, Slot) else i for i in template)
