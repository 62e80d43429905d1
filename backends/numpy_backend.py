"""Arrays on the CPU: NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.backends.base import Backend, BackendError


def asarray(obj: Any, dtype: Any = None, device: str = "", copy: bool | None = None) -> np.ndarray:
    if device not in ("", "cpu"):
        raise BackendError(f"NumPy has the device 'cpu' alone, not {device!r}; for a GPU use .to('cupy')")
    if copy is False and not isinstance(obj, np.ndarray):
        raise ValueError(f"copy=False: a {type(obj).__name__} cannot become an array without a copy")
    return np.array(obj, dtype=dtype, copy=copy)


def generator(seed: int, device: str) -> Callable[[tuple[int, ...], Any], np.ndarray]:
    stream = np.random.Generator(np.random.Philox(seed))

    def uniform(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        drawn = np.float64 if dtype == np.float64 else np.float32
        return stream.random(shape, dtype=drawn).astype(dtype, copy=False)

    return uniform


def multiply_from_zero(xp: Any, g: Any, slope: Any) -> Any:
    """As the general form; the mask is made only when a NaN shows that it is needed."""
    with np.errstate(invalid="ignore"):
        product = np.multiply(g, slope)
        if np.isnan(product).any():
            product = np.where(np.equal(g, 0), np.zeros((), product.dtype), product)
    return product


def erf(xp: Any, x: Any) -> Any:
    from scipy.special import erf  # SciPy is slow to import and only erf needs it

    return erf(x)


def index_add(xp: Any, x: Any, values: Any, *, index: Any) -> Any:
    total = x.copy()
    np.add.at(total, index, values)
    return total


def _sum(xp: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
    return np.add.reduce(x, axis=axis, keepdims=keepdims)  # np.sum spends a microsecond on its way here


def memory_info() -> dict[str, int]:
    import resource

    return {"peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


backend = Backend(
    name="numpy",
    xp=np,
    types=(np.ndarray, *{np.dtype(c).type for c in "?bBhHiIlLqQefd"}),
    asarray=asarray,
    to_numpy=lambda array: array,
    dtype=np.dtype,
    device_of=lambda array: "cpu",
    default_device=lambda: "cpu",
    generator=generator,
    owns=lambda array: array.flags.owndata and array.flags.c_contiguous,
    memory_info=memory_info,
    kernels={
        "multiply_from_zero": multiply_from_zero,
        "erf": erf,
        "index_add": index_add,
        "einsum": lambda xp, *arrays, subscripts: np.einsum(subscripts, *arrays, optimize=len(arrays) > 2),
        "sum": _sum,
        "astype": lambda xp, x, *, dtype: x.astype(dtype, copy=False),
    },
)
