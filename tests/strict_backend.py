"""A third backend, for tests: array-api-strict, whose arrays live on its "device1" or "device2".

There NumPy cannot see into an array, arrays of two devices do not mix, and nothing exists that the array API standard
does not name, so an operation that copies to the host behind the user's back, or calls what only NumPy has, fails on
any machine. The kernels are what the standard leaves out; they go through the host openly.
"""

from collections.abc import Callable
from typing import Any

import array_api_strict as xp
import numpy as np

import tapegrad.backends as backends
from tapegrad.backends import Backend, BackendError, splitmix

HOST = xp.Device("CPU_DEVICE")
Array = type(xp.asarray(0))


def device(place: str) -> Any:
    number = place.partition(":")[2] or "1"
    if number not in ("1", "2"):
        raise BackendError(f"device {place!r}: array-api-strict has strict:1 and strict:2")
    return xp.Device(f"device{number}")


def asarray(obj: Any, dtype: Any = None, device: str = "", copy: bool | None = None) -> Any:
    if isinstance(obj, Array):
        moved = obj.to_device(globals()["device"](device)) if device else obj
        return xp.asarray(moved, dtype=dtype, copy=copy)
    if copy is False:
        raise ValueError("copy=False: a host array cannot reach the device without a copy")
    return xp.asarray(np.array(obj), dtype=dtype).to_device(globals()["device"](device))


def to_numpy(array: Any) -> np.ndarray:
    return np.array(array.to_device(HOST))


def dtype_of(dtype: Any) -> Any:
    name = str(dtype).rpartition(".")[2] if "array_api_strict" in str(dtype) else np.dtype(dtype).name
    if not hasattr(xp, name):
        raise BackendError(f"array-api-strict has no {name}")
    return getattr(xp, name)


def device_of(array: Any) -> str:
    return f"strict:{str(array.device)[-3]}"  # "array_api_strict.Device('device1')"


def uniform(shape: tuple[int, ...], dtype: Any, seed: int, draw: int, device: str) -> Any:
    numbers = splitmix.uniform(shape, str(dtype_of(dtype)).rpartition(".")[2], seed, draw)
    return asarray(numbers, device=device)


def on_host(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy kernel for arrays of a device: there and back."""

    def run(_: Any, *arrays: Any, **params: Any) -> Any:
        index = params.get("index")
        if index is not None:
            params["index"] = tuple(to_numpy(i) if isinstance(i, Array) else i for i in index)
        first = next(a for a in arrays if isinstance(a, Array))
        host = (to_numpy(a) if isinstance(a, Array) else a for a in arrays)
        return asarray(np.asarray(kernel(*host, **params)), device=device_of(first))

    return run


def erf(x: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    return erf(x)


def index_set(x: np.ndarray, values: Any, *, index: Any) -> np.ndarray:
    x[index] = values
    return x


def index_add(x: np.ndarray, values: Any, *, index: Any) -> np.ndarray:
    np.add.at(x, index, np.broadcast_to(values, x[index].shape))
    return x


backend = Backend(
    name="strict",
    xp=xp,
    types=(Array,),
    asarray=asarray,
    to_numpy=to_numpy,
    dtype=dtype_of,
    device_of=device_of,
    default_device=lambda: "strict:1",
    uniform=uniform,
    owns=lambda array: False,
    kernels={
        "erf": on_host(erf),
        "argsort": on_host(lambda x, *, axis: np.argsort(x, axis=axis, stable=True)),
        "index_get": on_host(lambda x, *, index: x[index]),
        "index_set": on_host(index_set),
        "index_add": on_host(index_add),
    },
    several_devices=True,
)


def register() -> Backend:
    backends._DEVICES["strict"] = "strict"
    return backends.register(backend)
