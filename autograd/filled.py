"""Making tensors of a shape: filled with one value, or with evenly spaced numbers."""

import math

import numpy as np

from tapegrad.autograd import creation, dtypes
from tapegrad.autograd.aliases import DTypeLike, Shape, TensorLike
from tapegrad.autograd.arguments import integer, truth
from tapegrad.autograd.creation import asarray, is_integer, new, read_shape
from tapegrad.autograd.flags import current
from tapegrad.autograd.foreign import answering
from tapegrad.autograd.tensor import Tensor


def _plain(name: str, argument: str, value: object) -> object:
    """The value of a tensor, array or NumPy scalar of one element; anything else as it is."""
    if isinstance(value, Tensor) and value.requires_grad and current.get().grad:
        raise TypeError(
            f"{name}: {argument} must be a number: a tensor that requires grad would get no gradient here: write "
            "tg.broadcast_to(t, shape) or arithmetic, or use .detach()"
        )
    return value.item() if isinstance(value, (Tensor, np.ndarray, np.generic)) and value.size == 1 else value


def _number(name: str, argument: str, value: object) -> float:
    """A number that a user gives, as a Python number."""
    value = _plain(name, argument, value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: {argument} must be a number, got {value!r}")
    return value


def _placed(
    array: np.ndarray,
    name: str,
    dtype: DTypeLike | None,
    device: str | None,
    requires_grad: bool,
    rounded: bool = True,
) -> Tensor:
    """A tensor of a NumPy array: of the dtype asked for; floats that have none (`rounded`) in the default dtype."""
    if dtype is not None:
        wanted = dtypes.as_dtype(dtype, f"{name}: dtype")
        # Evenly spaced numbers: the ends are the extremes, and the second one has the step's fraction.
        for number in array[:2].ravel().tolist() + array[-1:].ravel().tolist():
            dtypes.refuse_unheld(name, number, wanted)
        array = array.astype(wanted, copy=False)
    elif rounded and array.dtype.kind == "f":
        array = array.astype(dtypes.get_default_dtype(), copy=False)
    backend, device = creation.place(device)
    made = new(backend.asarray(array, device=device))
    return made.requires_grad_() if truth(f"{name}: requires_grad", requires_grad) else made


@answering
def full(
    shape: Shape | int,
    fill_value: float,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor filled with one value; dtype by default the value's: default float, int64 or bool.

    Args:
        shape: An integer or a tuple of integers.
        fill_value: A number.
        dtype: The dtype; None takes the value's: default float, int64 or bool.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
        requires_grad: Whether to record what is done to it.
    """
    return _filled("full", shape, fill_value, dtype, device, requires_grad)


def _filled(
    name: str,
    shape: Shape | int,
    value: object,
    dtype: DTypeLike | None,
    device: str | None,
    requires_grad: bool,
) -> Tensor:
    value = _plain(name, "fill_value", value)
    if not isinstance(value, (bool, int, float)):
        raise TypeError(f"{name}: fill_value must be a number, got {value!r}")
    if dtype is None:
        kind = type(value)
        dtype = dtypes.bool if kind is bool else dtypes.int64 if kind is int else dtypes.get_default_dtype()
    wanted = dtypes.as_dtype(dtype, f"{name}: dtype")
    dtypes.refuse_unheld(f"{name}: fill_value", value, wanted)
    array = np.full(read_shape(name, shape), value, wanted)
    return _placed(array, name, None, device, requires_grad, rounded=False)


@answering
def zeros(
    shape: Shape | int,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of zeros, of the default float dtype unless told.

    Args:
        shape: An integer or a tuple of integers.
        dtype: The dtype of the result; None is the default float dtype.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
        requires_grad: Whether to record what is done to it.
    """
    return _filled("zeros", shape, 0.0, dtype, device, requires_grad)


@answering
def ones(
    shape: Shape | int,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of ones, of the default float dtype unless told.

    Args:
        shape: An integer or a tuple of integers.
        dtype: The dtype of the result; None is the default float dtype.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
        requires_grad: Whether to record what is done to it.
    """
    return _filled("ones", shape, 1.0, dtype, device, requires_grad)


@answering
def empty(
    shape: Shape | int,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """As `zeros`: memory with arbitrary contents is not handed out.

    Args:
        shape: An integer or a tuple of integers.
        dtype: The dtype of the result; None is the default float dtype.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
        requires_grad: Whether to record what is done to it.
    """
    return _filled("empty", shape, 0.0, dtype, device, requires_grad)


@answering
def full_like(
    x: TensorLike,
    /,
    fill_value: float,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of x's shape, and of its dtype and device unless told, filled with one value.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        fill_value: A number.
        dtype: The dtype of the result; None is that of x.
        device: Where to make it; None is the device of x.
        requires_grad: Whether to record what is done to it.
    """
    return _filled_like("full_like", x, fill_value, dtype, device, requires_grad)


def _filled_like(
    name: str,
    x: TensorLike,
    value: TensorLike,
    dtype: DTypeLike | None,
    device: str | None,
    requires_grad: bool,
) -> Tensor:
    x = x if isinstance(x, Tensor) else asarray(x)
    dtype, device = x.dtype if dtype is None else dtype, x.device if device is None else device
    return _filled(name, x.shape, value, dtype, device, requires_grad)


@answering
def zeros_like(
    x: TensorLike,
    /,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Zeros of x's shape, and of its dtype and device unless told.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        dtype: The dtype of the result; None is that of x.
        device: Where to make it; None is the device of x.
        requires_grad: Whether to record what is done to it.
    """
    return _filled_like("zeros_like", x, 0, dtype, device, requires_grad)


@answering
def ones_like(
    x: TensorLike,
    /,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones of x's shape, and of its dtype and device unless told.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        dtype: The dtype of the result; None is that of x.
        device: Where to make it; None is the device of x.
        requires_grad: Whether to record what is done to it.
    """
    return _filled_like("ones_like", x, 1, dtype, device, requires_grad)


@answering
def empty_like(
    x: TensorLike,
    /,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """As `zeros_like`.

    Args:
        x: A Tensor or what `tg.tensor` takes, of any shape and dtype.
        dtype: The dtype of the result; None is that of x.
        device: Where to make it; None is the device of x.
        requires_grad: Whether to record what is done to it.
    """
    return _filled_like("empty_like", x, 0, dtype, device, requires_grad)


@answering
def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, … up to but without stop; arange(n) is 0 … n-1, and arange(n, step=2) its even numbers.
    int64 if all are integers (uint64 if one is beyond int64), else floats.

    Args:
        start: The first number; with start alone, the end.
        stop: The end, which is not reached.
        step: The distance between two numbers, not 0.
        dtype: The dtype; None is int64 or uint64 for integers, else the default float dtype.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
        requires_grad: Whether to record what is done to it.

    Raises:
        ValueError: step is 0.
        OverflowError: Integers that the dtype does not hold.
    """
    start = _number("arange", "start", start)
    first, last = (0, start) if stop is None else (start, _number("arange", "stop", stop))
    step = _number("arange", "step", step)
    for argument, value in (("start", first), ("stop", last), ("step", step)):
        if not math.isfinite(value):
            raise ValueError(f"arange: {argument} must be a finite number, got {value!r}")
    if step == 0:
        raise ValueError("arange: step must not be 0")
    array = _far_integers(first, last, step, dtype)
    if array is None:
        array = np.arange(first, last, step)
    return _placed(array, "arange", dtype, device, requires_grad)


def _far_integers(first: float, last: float, step: float, dtype: DTypeLike | None) -> np.ndarray | None:
    """The integers of a range that reaches beyond int64, where NumPy counts in floats; else None."""
    if not all(isinstance(n, (int, np.integer)) for n in (first, last, step)):
        return None
    least, greatest = dtypes.integer_limits("int64")
    if all(least <= int(n) <= greatest for n in (first, last)):
        return None
    count = np.arange(max(0, -((first - last) // step)))  # raises for more than there is memory for
    numbers = (int(first) + int(step) * count.astype(object)).tolist()
    return creation.to_numpy("arange", numbers, dtype) if numbers else count


@answering
def linspace(
    start: float,
    stop: float,
    /,
    num: int = 50,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    endpoint: bool = True,
    requires_grad: bool = False,
) -> Tensor:
    """`num` evenly spaced values from start to stop, stop included if `endpoint`.

    Args:
        start: The first number.
        stop: The last number.
        num: How many numbers.
        dtype: The dtype of the result; None is the default float dtype. For integers the values are rounded down.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
        endpoint: Whether stop is included.
        requires_grad: Whether to record what is done to it.
    """
    if not is_integer(num) or num < 0:
        raise ValueError(f"linspace: num must be an integer of at least 0, got {num!r}")
    ends = _number("linspace", "start", start), _number("linspace", "stop", stop)
    array = np.linspace(*ends, int(num), endpoint=truth("linspace: endpoint", endpoint))
    if dtype is not None and not dtypes.is_floating(dtypes.as_dtype(dtype, "linspace")):
        array = np.floor(array)
    return _placed(array, "linspace", dtype, device, requires_grad)


@answering
def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones on the k-th diagonal, zeros elsewhere.

    Args:
        n_rows: The number of rows.
        n_cols: The number of columns; None makes it square.
        k: Which diagonal: 0 is the main one, above it positive.
        dtype: The dtype of the result; None is the default float dtype.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
        requires_grad: Whether to record what is done to it.
    """
    rows = integer("eye: n_rows", n_rows, 0)
    columns = rows if n_cols is None else integer("eye: n_cols", n_cols, 0)
    if not is_integer(k):
        raise TypeError(f"eye: k must be an integer, got {k!r}")
    return _placed(np.eye(rows, columns, int(k)), "eye", dtype, device, requires_grad)
