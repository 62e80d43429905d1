"""The array libraries that tensors run on: a namespace and a few kernels each, one file per backend.

Each operation runs on the backend of its arrays: `backend_of(array)` looks up the array's type. New tensors use the
default backend: `set_backend(name)`, `with use_backend(name):`, or the environment variable `TAPEGRAD_BACKEND`.
"""

import os
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any

from tapegrad.backends.aliases import Array
from tapegrad.backends.base import Backend, BackendError
from tapegrad.backends.numpy_backend import backend as numpy_backend
from tapegrad.backends.scope import Scope

__all__ = [
    "Backend",
    "BackendError",
    "backend_of",
    "default_place",
    "get_backend",
    "register",
    "resolve",
    "set_backend",
    "use_backend",
]


def _load_cupy() -> Backend:
    from tapegrad.backends import cupy_backend  # CuPy takes a second to import and may be absent

    return cupy_backend.load()


BY_TYPE: dict[type, Backend] = {}  # array type -> backend; read by every primitive call
_LOADERS: dict[str, Callable[[], Backend]] = {"cupy": _load_cupy}
_LOADED: dict[str, Backend] = {}
_DEVICES = {"cpu": "numpy", "cuda": "cupy"}  # device names and whose they are


def register(backend: Backend) -> Backend:
    """Make a backend known by its name and by the types of its arrays.

    Args:
        backend: The backend.
    """
    _LOADED[backend.name] = backend
    BY_TYPE.update(dict.fromkeys(backend.types, backend))
    return backend


register(numpy_backend)


def get_backend(name: str) -> Backend:
    """The backend called `name`, loaded when first asked for.

    Args:
        name: "numpy", "cupy", or a registered name.

    Raises:
        BackendError: When the name is unknown, or when CuPy or its GPU is absent.
    """
    if not isinstance(name, str):
        raise TypeError(f"get_backend: name must be a text such as 'numpy', got {name!r}")
    if name in _LOADED:
        return _LOADED[name]
    if name not in _LOADERS:
        known = ", ".join(sorted({*_LOADED, *_LOADERS}))
        hint = '; a GPU is "cuda" or "cupy"' if name.lower() in ("gpu", "xpu", "mps", "tpu") else ""
        raise BackendError(f"unknown backend {name!r}; known backends: {known}{hint}")
    return register(_LOADERS[name]())


def backend_of(*arrays: Array) -> Backend:
    """The backend of the first argument that is an array.

    Args:
        arrays: Raw arrays or other values.

    Raises:
        BackendError: None of them is an array of a known backend.
    """
    for array in arrays:
        found = BY_TYPE.get(type(array))
        if found is not None:
            return found
    raise BackendError(f"no backend owns {', '.join(type(a).__name__ for a in arrays) or 'nothing'}")


def resolve(place: str, argument: str = "device") -> tuple[Backend, str]:
    """Split a place, a backend's name or a device ("numpy", "cpu", "cupy", "cuda:1"), into backend and device.

    Args:
        place: A backend's name or a device, "cpu", "cuda:1".
        argument: What messages call it.
    """
    if not isinstance(place, str):
        raise TypeError(f"{argument}: expected a string such as 'cpu', 'cuda:0' or 'cupy', got {place!r}")
    kind = place.partition(":")[0]
    backend = get_backend(_DEVICES.get(kind, kind))
    return backend, (place if kind in _DEVICES else "") or backend.default_device()


_default: ContextVar[str | None] = ContextVar("tapegrad_default_backend", default=None)
_process_default: str | None = None


def default_place() -> str:
    """Where new tensors are made: by `use_backend`, else `set_backend`, else TAPEGRAD_BACKEND, else NumPy."""
    return _default.get() or _process_default or os.environ.get("TAPEGRAD_BACKEND") or "numpy"


def set_backend(name: str) -> None:
    """Make `name` ("numpy", "cupy", or a device such as "cuda:1") the default place of new tensors, in every thread.

    Args:
        name: "numpy", "cupy", or a device such as "cuda:1".
    """
    global _process_default
    resolve(name, "set_backend: name")
    _process_default = name


class use_backend(Scope):
    """`with use_backend("cupy"):` sets the default place of new tensors for a block, in this thread alone. A decorator
    as well. The `with` gives the backend.

    Args:
        name: "numpy", "cupy", or a device such as "cuda:1".
    """

    __slots__ = ("backend", "name", "tokens")

    def __init__(self, name: str) -> None:
        self.name = name
        self.backend, _ = resolve(name, "use_backend: name")
        self.tokens: list[Token[str | None]] = []

    def again(self) -> "use_backend":
        """Another scope with the same place, for one call of a decorated function."""
        return use_backend(self.name)

    def __enter__(self) -> Backend:
        self.tokens.append(_default.set(self.name))
        return self.backend

    def __exit__(self, *error: object) -> None:
        _default.reset(self.tokens.pop())
