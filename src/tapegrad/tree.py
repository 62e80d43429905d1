"""Nested structures of tensors: `tg.tree.map(f, params)`, `leaves`, `flatten` and `unflatten`, `ravel`.

They take what the transforms take: tuples, lists, dicts, dataclass objects, None and Modules, to any depth.
"""

from typing import TYPE_CHECKING

from tapegrad.autograd.foreign import getattr_of
from tapegrad.autograd.tree import flatten, leaves, map, ravel, unflatten

__all__ = ["flatten", "leaves", "map", "ravel", "unflatten"]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:
    __getattr__ = getattr_of(__name__, "tree")
