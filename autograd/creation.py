"""Making tensors from data."""

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np

from tapegrad.autograd import dtypes
from tapegrad.autograd.aliases import Array, DTypeLike, Shape, TensorLike
from tapegrad.autograd.arguments import refuse_masked, truth
from tapegrad.autograd.copies import recorded_copy, refuse_lost
from tapegrad.autograd.flags import current
from tapegrad.autograd.foreign import answering
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.writes import next_serial
from tapegrad.backends import BY_TYPE, Backend, default_place, resolve


@answering
def tensor(
    data: TensorLike, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A new tensor with a copy of the data.

    A copy of a Tensor that requires grad is recorded, so that gradients go on to that; tg.tensor(t.detach()) is a copy
    that is not. With requires_grad=True such a copy has its gradient in `grad`, too.

    Args:
        data: Numbers, nested lists of numbers, a NumPy or CuPy array, a Tensor, or anything that NumPy turns into an
            array (a pandas column, say).
        dtype: Default: that of a NumPy array or scalar; for Python floats and all lists of floats the default float
            dtype (float32, see `set_default_dtype`); for integers int64, or uint64 where one is beyond int64. Any
            spelling of a dtype is taken: "float64", np.float64, tg.float64, and Python's float, int and bool (float64,
            int64 and bool, as in NumPy). Python numbers must fit it. Arrays, NumPy's scalars and Tensors of another
            dtype are cast as by NumPy's astype, which cuts off fractions and wraps integers around.
        device: "cpu", "cuda:0", or a backend's name; default: where an array is, else the default backend.
        requires_grad: Record what is done to it; TypeError unless the dtype is a float.

    Raises:
        TypeError: Data that are not numbers.
        ValueError: Ragged lists; a Python number with a fraction, or NaN, for a dtype of integers.
        OverflowError: A Python number, alone or in a list, that the dtype does not hold.
    """
    made = from_data("tensor", data, dtype, device, copy=True)
    if truth("tensor: requires_grad", requires_grad):
        made.requires_grad_()
        if made.node is not None:
            made.retain_grad()
    return made


def leaf_data(what: str, data: TensorLike, leaf: Tensor) -> Array:
    """The array for a new Parameter or Buffer: that of a Tensor, without a copy, or one made of the data."""
    if not isinstance(data, Tensor):
        return tensor(data).data
    refuse_lost(what, data)
    if (recorder := current.get().recorder) is not None:
        recorder.detached(data, leaf)
    return data.data


@answering
def asarray(
    obj: TensorLike, /, *, dtype: DTypeLike | None = None, device: str | None = None, copy: bool | None = None
) -> Tensor:
    """A tensor that shares an array's memory where it can: the array API standard's way to make one.

    An array keeps its dtype. A Tensor that fits already is returned itself, or with copy=True a recorded copy of it.
    The array is shared until an optimizer takes the tensor as a parameter, which moves it into memory of its own.

    Args:
        obj: A Tensor, an array, a number or nested lists of numbers.
        dtype: The dtype of the result; None is that of the data. Python numbers must fit it; arrays are cast as by
            NumPy's astype.
        device: Where to put it; None is where the data is.
        copy: True copies, False raises where a copy is needed, None copies where it is needed.

    Raises:
        OverflowError: A Python number, alone or in a list, that the dtype does not hold.
        ValueError: A number with a fraction for a dtype of integers; copy=False, and a change of dtype or device or a
            list needs a copy.
    """
    copy = None if copy is None else truth("asarray: copy", copy)
    if isinstance(obj, Tensor):
        moved = obj if device is None else obj.to_device(device)
        moved = moved if dtype is None else moved.astype(dtype, copy=False)
        if copy is False and moved is not obj:
            raise ValueError("asarray: copy=False, but a change of dtype or device needs a copy")
        return recorded_copy(obj) if copy and moved is obj else moved
    return from_data("asarray", obj, dtype, device, copy=copy)


def from_data(
    name: str, data: TensorLike, dtype: DTypeLike | None = None, device: str | None = None,
    copy: bool | None = True,
) -> Tensor:  # fmt: skip
    """What `tensor` and `asarray` make. name: what messages call it."""
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
        dtype = backend.dtype(dtypes.as_dtype(dtype, f"{name}: dtype"))
    if owner is not backend:
        data = owner.to_numpy(data)
    return new(backend.asarray(data, dtype=dtype, device=device, copy=copy), shared=copy is not True)


def new(array: Array, shared: bool = False) -> Tensor:
    """A tensor of this array, which may be the user's if `shared`."""
    made = Tensor(array)
    made._version = next_serial()
    if (recorder := current.get().recorder) is not None:
        recorder.made(made, shared)
    return made


def place(
    device: str | None, owner: Backend | None = None, array: Array | None = None
) -> tuple[Backend, str]:
    """Where to make a tensor: as asked; else where its data are; else the default."""
    if device is not None:
        return resolve(device)
    return (owner, owner.device_of(array)) if owner is not None else resolve(default_place())


def to_numpy(name: str, data: TensorLike, dtype: DTypeLike | None) -> np.ndarray:
    """Numbers and nested lists as a NumPy array; Python floats and lists in the default float dtype."""
    if _holds_tensors(data):
        raise TypeError(
            f"{name}: a list that holds tensors: join them with tg.stack(list), which keeps their gradients"
        )
    refuse_masked(name, data)
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"{name}: the nested lists are not of equal lengths: {error}") from error
    if not array.dtype.isnative:  # the other order of bytes, as files may have it
        array = array.astype(array.dtype.newbyteorder("="))
    if not hasattr(data, "dtype"):
        array = _whole_numbers(name, data, array, dtype)
    if array.dtype not in dtypes.ALL:
        if hasattr(data, "collect") and not hasattr(data, "__len__"):  # a LazyFrame of polars
            kind = type(data).__name__
            raise TypeError(
                f"{name}: a {kind} is a query without values: write .collect().to_numpy() behind it"
            )
        raise TypeError(
            f"{name}: expected numbers, got {type(data).__name__} of dtype {array.dtype}: "
            "convert text and dates to numbers first; complex numbers and long doubles are not supported"
        )
    if dtype is None and not hasattr(data, "dtype") and array.dtype.kind == "f":
        array = array.astype(dtypes.get_default_dtype())
    return array


BEYOND_INT64 = 2.0**63  # from here on NumPy makes floats or objects of Python's integers


def _whole_numbers(name: str, data: object, array: np.ndarray, dtype: DTypeLike | None) -> np.ndarray:
    """The array of Python's numbers, without the roundings of NumPy's float64 where they are to be integers.

    Raises for numbers that the dtype does not hold, and for integers that no dtype holds.
    """
    wanted = None if dtype is None else dtypes.as_dtype(dtype, f"{name}: dtype")
    to_integers = wanted is not None and dtypes.name_of(wanted).startswith(("int", "uint"))
    if array.dtype.kind in "iu":
        if to_integers and array.size and array.dtype != wanted:
            for number in (int(array.min()), int(array.max())):
                dtypes.refuse_unheld(name, number, wanted)
        return array
    far = array.dtype.kind == "O" or (array.dtype.kind == "f" and (np.abs(array) >= BEYOND_INT64).any())
    if not far and not (to_integers and array.dtype.kind == "f"):
        return array
    numbers = np.array(data, dtype=object)
    whole = all(isinstance(n, (int, np.integer)) for n in numbers.flat)
    if to_integers and all(isinstance(n, (int, float, np.integer, np.floating)) for n in numbers.flat):
        for number in numbers.flat:
            dtypes.refuse_unheld(name, number, wanted)
        return np.array([int(n) for n in numbers.flat], wanted).reshape(numbers.shape)
    if not whole or not numbers.size:
        return array
    if wanted is not None:
        return numbers.astype(np.float64)
    for number in (min(numbers.flat), max(numbers.flat)):
        dtypes.refuse_unheld(name, int(number), dtypes.uint64)
    return numbers.astype(np.uint64)


def _holds_tensors(data: object) -> bool:
    return isinstance(data, (list, tuple)) and any(isinstance(d, Tensor) or _holds_tensors(d) for d in data)


def read_shape(
    name: str, shape: Shape | int | Sequence[int | Shape], argument: str = "shape"
) -> tuple[int, ...]:
    """The lengths of a shape that a user gives: one integer, or a list or tuple of them."""
    lengths = shape if isinstance(shape, (tuple, list)) else (shape,)
    if not all(is_integer(n) for n in lengths):
        raise TypeError(f"{name}: {argument} must be an integer or a tuple of integers, got {shape!r}")
    if any(n < 0 for n in lengths):
        raise ValueError(f"{name}: lengths must not be negative, got {argument}={shape!r}")
    return tuple(int(n.__index__()) for n in lengths)


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value counts as a whole number: Python's and NumPy's integers and integer tensors, but no bool."""
    if isinstance(value, Tensor):
        return value.size == 1 and dtypes.name_of(value.dtype).startswith(("int", "uint"))
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


@answering
def from_dlpack(x: Array, /, *, device: str | None = None, copy: bool | None = None) -> Tensor:
    """A tensor of another library's array, by the DLPack protocol: `tg.from_dlpack(torch_tensor)`.

    It is made on the device of x, or moved to `device`. With copy=True it has memory of its own; else it shares that of
    x where it can. A graph is not told of writes by the other library, or by way of another tensor of its array: let
    them be before the forward pass or after `backward`. Raises TypeError for what has no `__dlpack__`, and for dtypes
    that tapegrad has not.

    Args:
        x: An array with `__dlpack__`.
        device: Where to move it; None leaves it where it is.
        copy: True copies; None and False share memory where possible.
    """
    if not hasattr(x, "__dlpack__") or not hasattr(x, "__dlpack_device__"):
        raise TypeError(
            f"from_dlpack: expected an array with __dlpack__, got {type(x).__name__}: use tg.tensor(data)"
        )
    # Two tensors of one array share its notes of writes.
    if isinstance(x, (Tensor, np.ndarray)):
        return asarray(x, device=device, copy=copy)
    kind, number = x.__dlpack_device__()
    name = {1: "cpu", 2: f"cuda:{number}"}.get(int(kind))
    if name is None:
        raise TypeError(
            f"from_dlpack: expected an array on the CPU or a CUDA GPU, got DLPack's device {kind}"
        )
    try:
        array = resolve(name)[0].xp.from_dlpack(x)
    except (BufferError, RuntimeError) as error:
        raise TypeError(f"from_dlpack: {error}") from error
    return asarray(array, device=device, copy=copy)
