"""CuPy without a GPU, for tests: arrays that only this module's functions can look into, on NumPy underneath.

`with standin():` puts it in the place of `cupy` and makes tapegrad's own CuPy backend of it. It refuses what CuPy
refuses (arrays of NumPy, a conversion that nobody asked for, another dtype than a kernel's), runs the source of every
ElementwiseKernel and ReductionKernel (see gpu_kernels), counts how often the host waits for the device, and keeps to
the rules of a stream that is being captured: nothing runs, nothing waits, and cuBLAS is not there.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gpu_kernels
import tapegrad.backends as backends
from gpu_stream import State, Stream, launch, wait
from tapegrad.backends import cupy_backend

CUBLAS = {"matmul", "dot", "einsum", "tensordot", "vdot", "inner"}
IN_PLACE = {"copyto", "put_along_axis", "place", "putmask"}


class ndarray:
    """An array on the device."""

    __array_priority__ = 100
    __array_ufunc__ = None

    def __init__(self, shape: Any, dtype: Any = "float64", hidden: np.ndarray | None = None) -> None:
        self.hidden = np.full(shape, 77, dtype) if hidden is None else hidden  # memory is never zeroed

    shape = property(lambda self: self.hidden.shape)
    dtype = property(lambda self: self.hidden.dtype)
    ndim = property(lambda self: self.hidden.ndim)
    size = property(lambda self: self.hidden.size)
    nbytes = property(lambda self: self.hidden.nbytes)
    itemsize = property(lambda self: self.hidden.itemsize)
    strides = property(lambda self: self.hidden.strides)
    flags = property(lambda self: self.hidden.flags)
    base = property(lambda self: self.hidden.base)
    T = property(lambda self: ndarray((), hidden=self.hidden.T))
    mT = property(lambda self: ndarray((), hidden=self.hidden.mT))
    device = property(lambda self: Device(0))
    data = property(lambda self: SimpleNamespace(ptr=self.hidden.ctypes.data))
    __cuda_array_interface__ = property(
        lambda self: {"data": (self.hidden.ctypes.data, False), "shape": self.shape}
    )

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __len__(self) -> int:
        return len(self.hidden)

    def get(self) -> np.ndarray:
        wait()
        return self.hidden.copy()

    def item(self, *args: Any) -> Any:
        return self.get().item(*args)

    def tolist(self) -> Any:
        return self.get().tolist()

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __index__(self) -> int:
        return self.get().__index__()

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        if any(is_mask(i) for i in (index if isinstance(index, tuple) else (index,))):
            wait()  # for how many there are
        return call(wrapped_index, self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        index, target = unwrap(index), self.hidden
        value = value if isinstance(value, np.ndarray) and value.ndim == 0 else unwrap(value)
        launch(lambda: target.__setitem__(wrapped_around(target, index), value))

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        return self if not copy and self.dtype == dtype else call(lambda a: a.astype(dtype), self)

    def reshape(self, *shape: Any) -> Any:
        return call(lambda a: a.reshape(*shape), self)

    def fill(self, value: Any) -> None:
        launch(lambda: self.hidden.fill(value))


def is_mask(i: Any) -> bool:
    return isinstance(i, ndarray) and i.dtype.kind == "b"


def wrapped_around(a: np.ndarray, index: Any) -> Any:
    """The index with what is out of bounds wrapped around, as CuPy does it."""
    parts = index if isinstance(index, tuple) else (index,)
    if not any(isinstance(p, np.ndarray) and p.dtype.kind in "iu" for p in parts):
        return index
    used = [p.ndim if isinstance(p, np.ndarray) and p.dtype.kind == "b" else int(p is not None and p is not Ellipsis)
            for p in parts]  # fmt: skip
    found, axis = [], 0
    for p, n in zip(parts, used):
        found.append(p % a.shape[axis] if isinstance(p, np.ndarray) and p.dtype.kind in "iu" else p)
        axis += a.ndim - sum(used) if p is Ellipsis else n
    return tuple(found)


def wrapped_index(a: np.ndarray, index: Any) -> Any:
    return a[wrapped_around(a, index)]


def unwrap(value: Any) -> Any:
    if isinstance(value, ndarray):
        return value.hidden
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, (tuple, list)):
        return type(value)(unwrap(v) for v in value)
    return value


def wrap(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return ndarray((), hidden=np.asarray(value))
    return type(value)(wrap(v) for v in value) if isinstance(value, (tuple, list)) else value


def call(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """A function of NumPy's on the arrays inside, now, or also each time that a captured graph is launched."""
    given, named = unwrap(args), {k: unwrap(v) for k, v in options.items()}
    out = options.get("out")
    if State.recording is not None and (out is not None or function.__name__ in IN_PLACE):
        launch(lambda: run(function, given, named))
        return out
    result = wrap(run(function, given, named))
    if (
        State.recording is not None
        and isinstance(result, ndarray)
        and not any(np.may_share_memory(result.hidden, a) for a in arrays_in(given))
    ):
        launch(lambda: np.copyto(result.hidden, run(function, given, named)))
    return out if out is not None else result


def arrays_in(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from arrays_in(part)


def run(function: Callable[..., Any], args: Any, named: Any) -> Any:
    with np.errstate(all="ignore"):
        return function(*args, **named)


def _operators() -> None:
    table = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
             "mod": "remainder", "pow": "power", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
             "xor": "bitwise_xor", "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
             "ge": "greater_equal", "rshift": "right_shift", "lshift": "left_shift"}  # fmt: skip
    for short, name in table.items():
        setattr(ndarray, f"__{short}__", lambda a, b, f=name: getattr(cupy, f)(a, b))
        setattr(ndarray, f"__r{short}__", lambda a, b, f=name: getattr(cupy, f)(b, a))
        setattr(ndarray, f"__i{short}__", lambda a, b, f=name: getattr(cupy, f)(a, b, out=a))
    for short, name in {"neg": "negative", "pos": "positive", "invert": "invert", "abs": "abs"}.items():
        setattr(ndarray, f"__{short}__", lambda a, f=name: getattr(cupy, f)(a))
    for name in (
        "sum",
        "mean",
        "max",
        "min",
        "any",
        "all",
        "prod",
        "copy",
        "ravel",
        "transpose",
        "argmax",
        "squeeze",
    ):
        setattr(ndarray, name, lambda a, *args, f=name, **options: getattr(cupy, f)(a, *args, **options))
    ndarray.__hash__ = object.__hash__  # type: ignore[method-assign]


class Device:
    def __init__(self, number: int = 0) -> None:
        assert number == 0, "the stand-in has one device"
        self.id = number

    def synchronize(self) -> None:
        wait()

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *error: object) -> None:
        pass


class Cupy(ModuleType):
    """The module: what is not here is NumPy's, on device arrays."""

    ndarray = ndarray
    dtype = np.dtype

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        real = getattr(np, name)
        if not callable(real) or isinstance(real, type):
            return real

        if name in WITH_AT:
            return function_with_at(real, WITH_AT[name])

        def function(*args: Any, **options: Any) -> Any:
            if name in CUBLAS and State.recording is not None:
                raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
            return call(real, *args, **options)

        return function

    @staticmethod
    def array(obj: Any, dtype: Any = None, copy: bool = True) -> ndarray:
        return ndarray((), hidden=np.array(obj.hidden if isinstance(obj, ndarray) else obj, dtype=dtype))

    @staticmethod
    def asarray(obj: Any, dtype: Any = None, copy: bool | None = None) -> ndarray:
        here = isinstance(obj, ndarray) and dtype in (None, obj.dtype) and not copy
        return obj if here else Cupy.array(obj, dtype)

    @staticmethod
    def asnumpy(a: Any) -> np.ndarray:
        return a.get() if isinstance(a, ndarray) else np.asarray(a)

    @staticmethod
    def empty(shape: Any, dtype: Any = "float64") -> ndarray:
        return ndarray(shape, dtype)

    @staticmethod
    def copy(a: ndarray) -> ndarray:
        return call(np.array, a)  # type: ignore[no-any-return]

    @staticmethod
    def reshape(a: ndarray, newshape: Any, order: str = "C", *, copy: bool | None = None) -> ndarray:
        return call(np.reshape, a, newshape)  # type: ignore[no-any-return]

    @staticmethod
    def remainder(a: Any, b: Any, **options: Any) -> ndarray:  # NaN of 1 % inf
        def rest(a: Any, b: Any, **options: Any) -> Any:
            exact = np.remainder(a, b, **options)
            if exact.dtype.kind != "f":
                return exact
            return np.subtract(a, np.multiply(np.floor(np.divide(a, b)), b), **options).astype(
                exact.dtype, copy=False
            )

        return call(rest, a, b, **options)  # type: ignore[no-any-return]

    @staticmethod
    def floor_divide(a: Any, b: Any, **options: Any) -> ndarray:  # inf of inf // 2, -0 of -1 // inf
        def whole(a: Any, b: Any, **options: Any) -> Any:
            exact = np.floor_divide(a, b, **options)
            return np.floor(np.divide(a, b, **options), **options) if exact.dtype.kind == "f" else exact

        return call(whole, a, b, **options)  # type: ignore[no-any-return]

    @staticmethod
    def sign(x: ndarray) -> ndarray:  # 0 of NaN
        return call(lambda a: np.where(np.isnan(a), 0, np.sign(a)).astype(a.dtype), x)  # type: ignore[no-any-return]

    @staticmethod
    def clip(a: ndarray, a_min: Any, a_max: Any) -> ndarray:
        return call(np.clip, a, a_min, a_max)  # type: ignore[no-any-return]


class ElementwiseKernel(gpu_kernels.Elementwise):
    def __init__(self, in_params: str, out_params: str, operation: str, name: str = "kernel", preamble: str = "",
                 no_return: bool = False) -> None:  # fmt: skip
        super().__init__(in_params, out_params, operation, name, preamble)
        self.no_return = no_return

    def __call__(self, *args: Any) -> Any:
        assert len(args) == len(self.params), f"{self.name}: {len(args)} arguments, not {len(self.params)}"
        arrays = [a.hidden if isinstance(a, ndarray) else np.asarray(unwrap(a), p.dtype)
                  for a, p in zip(args, self.params)]  # fmt: skip
        launch(self.prepare(arrays))
        return None if self.no_return else args[-1]


class ReductionKernel(gpu_kernels.Reduction):
    def __init__(self, in_params: str, out_params: str, map_expr: str, reduce_expr: str, post_map_expr: str,
                 identity: str, name: str = "kernel", reduce_type: str = "", preamble: str = "") -> None:  # fmt: skip
        super().__init__(in_params, out_params, map_expr, reduce_expr, post_map_expr, identity, name, reduce_type,
                         preamble)  # fmt: skip

    def __call__(self, *args: Any, axis: Any = None, keepdims: bool = False) -> Any:
        assert len(args) == len(self.params) and all(isinstance(a, ndarray) for a in args)
        launch(self.prepare([a.hidden for a in args], axis, keepdims))
        return args[-1]


# What `ufunc.at` takes on a device: the dtypes that CUDA updates atomically.
WITH_AT = {
    "add": ("int32", "uint32", "uint64", "float16", "float32", "float64"),
    "maximum": ("int32", "uint32", "uint64", "float32", "float64"),
}


def function_with_at(ufunc: np.ufunc, dtypes: tuple[str, ...]) -> Any:
    def at(target: ndarray, index: Any, values: ndarray) -> None:
        if target.dtype.name not in dtypes:
            raise TypeError(f"{ufunc.__name__}.at only supports a few dtypes, got {target.dtype}")
        t, i, v = target.hidden, unwrap(index), values.hidden
        launch(lambda: ufunc.at(t, i, v))

    function = partial(call, ufunc)
    function.at = at  # type: ignore[attr-defined]
    return function


def erf(x: ndarray) -> ndarray:
    from scipy.special import erf as of_scipy

    wide = np.float64 if x.dtype == np.float16 else x.dtype  # CuPy's answer to float16
    return call(lambda a: np.asarray(of_scipy(a), dtype=wide), x)  # type: ignore[no-any-return]


cupy = Cupy("cupy")
cupy.ElementwiseKernel = ElementwiseKernel  # type: ignore[attr-defined]
cupy.ReductionKernel = ReductionKernel  # type: ignore[attr-defined]
_operators()
Stream.current.append(Stream())
cupy.cuda = SimpleNamespace(  # type: ignore[attr-defined]
    is_available=lambda: True,
    runtime=SimpleNamespace(getDevice=lambda: 0, getDeviceCount=lambda: 1, memGetInfo=lambda: (0, 0)),
    Device=Device,
    Stream=Stream,
    get_current_stream=lambda: Stream.current[-1],
    MemoryPool=lambda: SimpleNamespace(malloc=None),
    using_allocator=lambda allocator: nullcontext(),
)


def module(name: str, **contents: Any) -> ModuleType:
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    vars(made).update(contents)
    return made


@contextmanager
def standin() -> Iterator[type[State]]:
    """While this lasts, `cupy` is this module, and "cuda:0" a device of tapegrad's."""
    special = module("cupyx.scipy.special", erf=erf)
    scipy = module("cupyx.scipy", special=special)
    cupyx = module("cupyx", scipy=scipy)
    modules = {"cupy": cupy, "cupyx": cupyx, "cupyx.scipy": scipy, "cupyx.scipy.special": special}
    with pytest.MonkeyPatch.context() as patch:
        for name, made in modules.items():
            patch.setitem(sys.modules, name, made)
        patch.setitem(backends._LOADED, "cupy", None)
        patch.setitem(backends.BY_TYPE, ndarray, None)
        backends.register(cupy_backend.load())
        yield State
