"""Making tensors: from data, and from nothing."""

from typing import Any

import numpy as np

from tapegrad.autograd import dtypes
from tapegrad.autograd.copies import recorded_copy, refuse_lost
from tapegrad.autograd.flags import current
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.writes import tick
from tapegrad.backends import BY_TYPE, Backend, default_place, resolve


def tensor(data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of the data.

    data      numbers, nested lists of numbers, a NumPy or CuPy array, a Tensor, or anything that NumPy turns into an
              array (a pandas column, say)
    dtype     default: that of an array; for Python and NumPy floats and lists of them the default float dtype
              (float32, see `set_default_dtype`); for integers int64
    device    "cpu", "cuda:0", or a backend's name; default: where an array is, else the default backend
    requires_grad   record what is done to it; TypeError unless the dtype is a float

    A copy of a Tensor that requires grad is recorded, so that gradients go on to that; tg.tensor(t.detach()) is a copy
    that is not. With requires_grad=True such a copy has its gradient in `grad`, too.

    Raises TypeError for data that are not numbers, ValueError for ragged lists.
    """
    made = _make("tensor", data, dtype, device, copy=True)
    if requires_grad:
        made.requires_grad_()
        if made.node is not None:
            made.retain_grad()
    return made


def leaf_data(what: str, data: Any) -> Any:
    """The array for a new Parameter or Buffer: that of a Tensor, without a copy, or one made of the data."""
    if not isinstance(data, Tensor):
        return tensor(data).data
    refuse_lost(what, data)
    return data.data


def asarray(obj: Any, /, *, dtype: Any = None, device: str | None = None, copy: bool | None = None) -> Tensor:
    """The array API standard's way to make a tensor: an array keeps its dtype and, unless copy=True, its memory; a
    Tensor that fits already is returned as it is, or with copy=True as a recorded copy."""
    if isinstance(obj, Tensor):
        moved = obj if device is None else obj.to(device)
        moved = moved if dtype is None or moved.dtype == moved.backend.dtype(dtype) else moved.astype(dtype)
        if copy is False and moved is not obj:
            raise ValueError("asarray: copy=False, but a change of dtype or device needs a copy")
        return recorded_copy(obj) if copy and moved is obj else moved
    return _make("asarray", obj, dtype, device, copy=copy)


def _make(name: str, data: Any, dtype: Any, device: str | None, copy: bool | None) -> Tensor:
    if isinstance(data, Tensor):
        moved = data if device is None else data.to(resolve(device)[1] or device)
        moved = moved if dtype is None else moved.astype(dtype, copy=False)
        return recorded_copy(data) if moved is data else moved
    owner = BY_TYPE.get(type(data))
    is_array = owner is not None and type(data) is owner.types[0]
    if copy is False and not is_array:
        raise ValueError(f"{name}: copy=False, but a {type(data).__name__} becomes an array only by a copy")
    backend, device = place(device, owner if is_array else None, data)
    if owner is None or owner is BY_TYPE[np.ndarray]:
        data = to_numpy(name, data, dtype)
        owner = BY_TYPE[np.ndarray]
    if dtype is not None:
        dtype = backend.dtype(dtype)
    if owner is not backend:
        data = owner.to_numpy(data)
    return _new(backend.asarray(data, dtype=dtype, device=device, copy=copy))


def _new(array: Any) -> Tensor:
    made = Tensor(array)
    made.changed = tick()
    if (recorder := current.get().recorder) is not None:
        recorder.made(made)
    return made


def place(device: str | None, owner: Backend | None = None, array: Any = None) -> tuple[Backend, str]:
    """Where to make a tensor: as asked; else where its data are; else the default."""
    if device is not None:
        return resolve(device)
    return (owner, owner.device_of(array)) if owner is not None else resolve(default_place())


def to_numpy(name: str, data: Any, dtype: Any) -> np.ndarray:
    """Numbers and nested lists as a NumPy array; Python and NumPy floats in the default float dtype."""
    if _holds_tensors(data):
        raise TypeError(
            f"{name}: a list that holds tensors: join them with tg.stack(list), which keeps their gradients"
        )
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"{name}: the nested lists are not of equal lengths: {error}") from error
    if not array.dtype.isnative:  # the other order of bytes, as files may have it
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype not in dtypes.ALL:
        raise TypeError(
            f"{name}: expected numbers, got {type(data).__name__} of dtype {array.dtype}: "
            "convert text and dates to numbers first; complex numbers and long doubles are not supported"
        )
    has_dtype = hasattr(data, "dtype") and not isinstance(data, np.generic)
    if dtype is None and not has_dtype and array.dtype.kind == "f":
        array = array.astype(dtypes.get_default_dtype())
    return array


def _holds_tensors(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and any(isinstance(d, Tensor) or _holds_tensors(d) for d in data)


def full(shape: Any, fill_value: float, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """A tensor filled with one value; dtype by default the value's: default float, int64 or bool."""
    if dtype is None:
        kind = type(fill_value)
        dtype = dtypes.bool if kind is bool else dtypes.int64 if kind is int else dtypes.get_default_dtype()
    backend, device = place(device)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(n < 0 for n in shape):
        raise ValueError(f"shape: lengths must not be negative, got {shape}")
    return _new(backend.asarray(np.full(shape, fill_value, np.dtype(dtypes.name_of(dtype))), device=device))


def zeros(shape: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """A tensor of zeros, of the default float dtype unless told."""
    return full(shape, 0.0, dtype=dtype, device=device)


def ones(shape: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """A tensor of ones, of the default float dtype unless told."""
    return full(shape, 1.0, dtype=dtype, device=device)


def empty(shape: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """As `zeros`: memory with arbitrary contents is not handed out."""
    return zeros(shape, dtype=dtype, device=device)


def full_like(x: Tensor, /, fill_value: float, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """A tensor of x's shape, and of its dtype and device unless told, filled with one value."""
    return full(x.shape, fill_value, dtype=dtype or x.dtype, device=device or x.device)


def zeros_like(x: Tensor, /, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Zeros of x's shape, and of its dtype and device unless told."""
    return full_like(x, 0, dtype=dtype, device=device)


def ones_like(x: Tensor, /, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Ones of x's shape, and of its dtype and device unless told."""
    return full_like(x, 1, dtype=dtype, device=device)


def empty_like(x: Tensor, /, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """As `zeros_like`."""
    return zeros_like(x, dtype=dtype, device=device)


def _from_numpy(array: np.ndarray, dtype: Any, device: str | None) -> Tensor:
    if dtype is None and array.dtype.kind == "f":
        dtype = dtypes.get_default_dtype()
    array = array if dtype is None else array.astype(np.dtype(dtypes.name_of(dtype)))
    backend, device = place(device)
    return _new(backend.asarray(array, device=device))


def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: str | None = None,
) -> Tensor:
    """start, start + step, … up to but without stop; arange(n) is 0 … n-1. int64 if all are integers, else floats."""
    return _from_numpy(np.arange(start, stop, step) if stop is not None else np.arange(start), dtype, device)


def linspace(
    start: float,
    stop: float,
    /,
    num: int,
    *,
    dtype: Any = None,
    device: str | None = None,
    endpoint: bool = True,
) -> Tensor:
    """`num` evenly spaced values from start to stop, stop included if `endpoint`."""
    return _from_numpy(np.linspace(start, stop, num, endpoint=endpoint), dtype, device)


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: str | None = None
) -> Tensor:
    """Ones on the k-th diagonal, zeros elsewhere."""
    return _from_numpy(np.eye(n_rows, n_cols, k), dtype, device)
