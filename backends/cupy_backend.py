"""Arrays on an NVIDIA GPU: CuPy, which has the array API's names since 14. Imported when first asked for."""

from typing import Any

import numpy as np

from tapegrad.backends import splitmix
from tapegrad.backends.aliases import Array, ArrayModule, DType, Function, Index
from tapegrad.backends.base import Backend, BackendError
from tapegrad.backends.indexing import check_bounds, check_labels, last_values, repeated
from tapegrad.backends.install import install_line

INSTALL = f"{install_line('cuda13')} (CUDA 13) or {install_line('cuda12')} (CUDA 12)"

# What CUDA adds atomically in place of what it does not: the sum is the same, modulo the range of the integers.
ATOMIC = {
    "bool": "int32",
    "int8": "int32",
    "uint8": "int32",
    "int16": "int32",
    "uint16": "int32",
    "int64": "uint64",
}

RANDOM_NUMBER = """
unsigned long long z = key + (i + 1ULL) * 0x9E3779B97F4A7C15ULL;
z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
u = (T)((double)((z ^ (z >> 31)) >> bits) * unit);
"""  # splitmix.uniform in C


# ---- kernels: a primitive's forward, which gets CuPy as its namespace ----
def index_get(xp: ArrayModule, x: Array, *, index: Index) -> Array:
    check_bounds(x.shape, index)
    return x[index]


def index_set(xp: ArrayModule, x: Array, values: Array, *, index: Index) -> Array:
    check_bounds(x.shape, index)
    new = x.copy()
    new[index] = last_values(xp, x, values, index)
    return new


def index_add(xp: ArrayModule, x: Array, values: Array, *, index: Index) -> Array:
    check_bounds(x.shape, index)
    return added(xp, x, values, index)


def added(xp: ArrayModule, x: Array, values: Array, index: Index) -> Array:
    """x plus values at an index whose bounds have been looked at."""
    total = x.astype(ATOMIC.get(x.dtype.name, x.dtype))  # a copy
    values = repeated(xp, x, xp.asarray(values), index)
    xp.add.at(total, index, values.astype(total.dtype, copy=False))
    return total.astype(x.dtype, copy=False)


def numbered(xp: ArrayModule, x: Array) -> Array:
    """CuPy's arange takes no device."""
    return xp.arange(x.size).reshape(x.shape)


def triangle(xp: ArrayModule, x: Array, *, rows: int, columns: int, k: int = 0) -> Array:
    return xp.arange(columns)[None, :] - xp.arange(rows)[:, None] <= k


def one_hot(xp: ArrayModule, labels: Array, *, classes: int, dtype: DType, checked: bool = False) -> Array:
    if checked:
        check_labels(xp, labels, classes)
    return (labels.astype(np.int64)[..., None] == xp.arange(classes)).astype(dtype)


def clip(xp: ArrayModule, x: Array, *, min: float | None, max: float | None) -> Array:
    return x if min is None is max else xp.clip(x, min, max)


def sign(xp: ArrayModule, x: Array) -> Array:
    """CuPy's own sign of NaN is 0."""
    return xp.where(xp.isnan(x), x, xp.sign(x)) if x.dtype.kind == "f" else xp.sign(x)


def remainder(xp: ArrayModule, a: Array, b: Array) -> Array:
    """CuPy's own is not NumPy's where an operand is infinite: NaN of 1 % inf."""
    if xp.result_type(a, b).kind != "f":
        return a % b
    rest, b = xp.fmod(a, b), xp.asarray(b)
    signed = xp.where((rest < 0) != (b < 0), rest + b, rest)
    return xp.where(rest == 0, xp.copysign(xp.zeros_like(rest), b), signed).astype(rest.dtype, copy=False)


def floor_divide(xp: ArrayModule, a: Array, b: Array) -> Array:
    """CuPy's own is not NumPy's where an operand is infinite: inf of inf // 2, -0 of -1 // inf."""
    if xp.result_type(a, b).kind != "f":
        return a // b
    rest, exact = xp.fmod(a, b), xp.true_divide(a, b)
    a, b = xp.asarray(a), xp.asarray(b)
    quotient = (a - rest) / b - ((rest != 0) & ((rest < 0) != (b < 0)))
    below = xp.floor(quotient)
    nearest = xp.where(quotient - below > 0.5, below + 1, below)
    whole = xp.where(quotient == 0, xp.copysign(xp.zeros_like(exact), exact), nearest)
    return xp.where(b == 0, exact, whole).astype(exact.dtype, copy=False)


def erf(xp: ArrayModule, x: Array) -> Array:
    from cupyx.scipy.special import erf

    return erf(x).astype(x.dtype, copy=False)  # CuPy makes float64 of float16


def argsort(xp: ArrayModule, x: Array, *, axis: int) -> Array:
    """CuPy's sort is stable."""
    return xp.argsort(x, axis=axis)


KERNELS: dict[str, Function] = {
    "erf": erf, "numbered": numbered, "one_hot": one_hot, "triangle": triangle, "clip": clip, "sign": sign,
    "argsort": argsort, "floor_divide": floor_divide, "remainder": remainder,
    "index_get": index_get, "index_set": index_set, "index_add": index_add,
}  # fmt: skip


class Devices:
    """Makes arrays on CUDA devices, which are named "cuda:0", "cuda:1", …"""

    def __init__(self, cupy: ArrayModule) -> None:
        self.cupy = cupy
        self.draw = cupy.ElementwiseKernel(
            "uint64 key, float64 unit, int32 bits", "T u", RANDOM_NUMBER, "tapegrad_uniform"
        )

    def number(self, device: str) -> int:
        """The number in a device's name; "cuda" is the current device."""
        kind, _, index = device.partition(":")
        if kind != "cuda" or (index and not index.isdigit()):
            raise BackendError(f"CuPy's devices are 'cuda:0', 'cuda:1', …, not {device!r}")
        if not index:
            return int(self.cupy.cuda.runtime.getDevice())
        count = self.cupy.cuda.runtime.getDeviceCount()
        if int(index) >= count:
            raise BackendError(f"device {device!r}: this machine has {count} GPU(s), numbered from 0")
        return int(index)

    def current(self) -> str:
        return f"cuda:{self.cupy.cuda.runtime.getDevice()}"

    def asarray(
        self, obj: Any, dtype: DType | None = None, device: str = "", copy: bool | None = None
    ) -> Array:
        cupy = self.cupy
        here = obj.device.id if isinstance(obj, cupy.ndarray) else None
        there = self.number(device) if device else self.number("cuda") if here is None else here
        with cupy.cuda.Device(there):
            if here != there:
                if copy is False:
                    raise ValueError(
                        f"copy=False: a {type(obj).__name__} cannot reach the GPU {there} without a copy"
                    )
                obj = obj if here is None else obj.copy()  # to the current device
            return cupy.array(obj, dtype=dtype) if copy else cupy.asarray(obj, dtype=dtype)

    def uniform(self, shape: tuple[int, ...], dtype: DType, seed: int, draw: int, device: str) -> Array:
        bits = splitmix.bits_of(dtype)
        with self.cupy.cuda.Device(self.number(device or "cuda")):
            out = self.cupy.empty(shape, dtype)
            return self.draw(np.uint64(splitmix.key_of(seed, draw)), 2.0**-bits, 64 - bits, out)

    def memory_info(self) -> dict[str, int]:
        free, total = self.cupy.cuda.runtime.memGetInfo()
        pool = self.cupy.get_default_memory_pool()
        return {"free_bytes": free, "total_bytes": total, "pool_used_bytes": pool.used_bytes(),
                "pool_held_bytes": pool.total_bytes()}  # fmt: skip


def load() -> Backend:
    """The backend, or BackendError if CuPy or a GPU is absent."""
    try:
        import cupy
    except ImportError as error:
        raise BackendError(f"the backend 'cupy' needs CuPy, which is not installed: {INSTALL}") from error
    if not cupy.cuda.is_available():
        raise BackendError(
            "the backend 'cupy' found no usable CUDA GPU: check the driver with nvidia-smi, or stay on 'numpy'"
        )
    devices = Devices(cupy)
    return Backend(
        name="cupy",
        xp=cupy,
        types=(cupy.ndarray,),
        asarray=devices.asarray,
        to_numpy=cupy.asnumpy,
        dtype=np.dtype,
        device_of=lambda array: f"cuda:{array.device.id}",
        default_device=devices.current,
        uniform=devices.uniform,
        owns=lambda array: array.base is None and array.flags.c_contiguous,
        synchronize=lambda: cupy.cuda.get_current_stream().synchronize(),
        memory_info=devices.memory_info,
        kernels=KERNELS,
        several_devices=cupy.cuda.runtime.getDeviceCount() > 1,
        scope=lambda array: array.device,
    )
