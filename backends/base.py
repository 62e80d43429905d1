"""The contract of a backend."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from tapegrad.backends.aliases import Array, ArrayModule, DType, DTypeLike, Function


class BackendError(RuntimeError):
    """A backend is unknown, absent, or was handed another backend's arrays."""


_NO_SCOPE = nullcontext()


def _no_scope(array: Array) -> AbstractContextManager[object]:
    return _NO_SCOPE


@dataclass(frozen=True)
class Backend:
    """A namespace of the array API standard, plus what the standard leaves out.

    `kernels` maps a primitive's name to a forward of the same signature, `(xp, *arrays, **params)`: either the only
    one there is (`erf`), or a faster one than the general one. Three more serve indices with arrays in them:
    `index_add(xp, x, values, index=)` must be there, and where the library's own indexing does not raise IndexError for
    what is out of bounds, or leaves the order of repeated writes open, `index_get(xp, x, index=)` and `index_set`.

    Args:
        name: The backend's name, for messages and `use_backend`.
        xp: The namespace of the array API standard.
        types: The array type, then the types of its scalars.
        asarray: (obj, dtype=None, device="", copy=None) -> array.
        to_numpy: An array -> a NumPy array on the host.
        dtype: A NumPy dtype or its name -> the namespace's dtype.
        device_of: An array -> the name of its device.
        default_device: () -> the name of the device for new arrays.
        uniform: (shape, dtype, seed, draw, device) -> draws from [0, 1), a function of these.
        owns: Whether an array has contiguous memory of its own that nobody else sees.
        synchronize: Waits until the device has done its work.
        memory_info: () -> bytes of memory by what they are used for.
        kernels: Forwards by primitive name, in place of the general ones.
        several_devices: Whether arrays may lie on different devices.
        scope: An array -> a `with` that makes its device the current one.
    """

    name: str
    xp: ArrayModule
    types: tuple[type, ...]
    asarray: Callable[..., Array]
    to_numpy: Callable[[Array], Array]
    dtype: Callable[[DTypeLike], DType]
    device_of: Callable[[Array], str]
    default_device: Callable[[], str]
    uniform: Callable[..., Array]
    owns: Callable[[Array], bool]
    synchronize: Callable[[], None] = lambda: None
    memory_info: Callable[[], dict[str, int]] = dict
    kernels: dict[str, Function] = field(default_factory=dict)
    several_devices: bool = False
    scope: Callable[[Array], AbstractContextManager[object]] = _no_scope
