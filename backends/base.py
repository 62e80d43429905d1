"""The contract of a backend."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any


class BackendError(RuntimeError):
    """A backend is unknown, absent, or was handed another backend's arrays."""


def _no_scope(array: Any) -> AbstractContextManager[Any]:
    return nullcontext()


@dataclass(frozen=True)
class Backend:
    """A namespace of the array API standard, plus what the standard leaves out.

    `kernels` maps a primitive's name to a forward of the same signature, `(xp, *arrays, **params)`: either the only
    one there is (`erf`, `einsum`), or a faster one than the general one. Three more serve indices with arrays in them:
    `index_add(xp, x, values, index=)` must be there, and where the library's own indexing does not raise IndexError for
    what is out of bounds, or leaves the order of repeated writes open, `index_get(xp, x, index=)` and `index_set`.
    """

    name: str
    xp: Any
    types: tuple[type, ...]  # the array type first, then the types of its scalars
    asarray: Callable[..., Any]  # (obj, dtype=None, device="", copy=None) -> array
    to_numpy: Callable[[Any], Any]
    dtype: Callable[[Any], Any]  # a NumPy dtype or its name -> this namespace's dtype
    device_of: Callable[[Any], str]
    default_device: Callable[[], str]
    # (shape, dtype, seed, draw, device) -> draws from [0, 1), a function of these.
    uniform: Callable[..., Any]
    owns: Callable[[Any], bool]  # has the array memory of its own, contiguous, that nobody else sees?
    synchronize: Callable[[], None] = lambda: None
    memory_info: Callable[[], dict[str, int]] = dict
    kernels: dict[str, Callable[..., Any]] = field(default_factory=dict)
    several_devices: bool = False
    scope: Callable[[Any], AbstractContextManager[Any]] = _no_scope  # makes an array's device the current one
