"""`tg.random`: random tensors under the names of NumPy's Generator, in its order and with its defaults.

    tg.random.normal(0.0, 1.0, size=(2, 3)), tg.random.integers(10, size=5), tg.random.permutation(n)

Each draw is a function of the seed (`tg.manual_seed`) and of a running number, and the same on CPU and GPU; what is
worked out from it agrees to rounding. Compiled by `tg.jit`, a step draws new numbers at each call, those that the plain
function would draw. Parameters may be tensors: gradients reach loc, scale, low and high.

size is one integer, a tuple, or None for the shape that the parameters broadcast to. A tuple of integers in the place
of a parameter is the shape in other libraries, and raises.
"""

import math
from typing import Any

import numpy as np

from tapegrad.autograd import dtypes, ops
from tapegrad.autograd.aliases import DType, DTypeLike, Shape, TensorLike, Value
from tapegrad.autograd.arguments import at_least_0, number, somewhere, truth
from tapegrad.autograd.creation import is_integer, read_shape, tensor
from tapegrad.autograd.foreign import answering
from tapegrad.autograd.intervals import ONE_DRAW, between, gumbel, integers_below, result_shape
from tapegrad.autograd.random import uniform as draw
from tapegrad.autograd.tensor import Tensor

LARGEST = 2**53  # from so many integers on, float64 cannot number them


def _float(name: str, dtype: DTypeLike | None) -> DType:
    asked = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype, f"{name}: dtype")
    if asked not in dtypes.FLOATS:
        raise TypeError(f"{name}: dtype must be float16, float32 or float64, got {asked}")
    return asked


def _parameter(name: str, value: TensorLike, dtype: DType, device: str | None) -> Any:
    """A parameter of a distribution: a number, or a tensor of the result's dtype."""
    if isinstance(value, (Tensor, list, tuple, np.ndarray)):
        return (value if isinstance(value, Tensor) else tensor(value, device=device)).astype(
            dtype, copy=False
        )
    return number(name, value)


def _are_numbers(a: Value, b: Value, first: float, second: float) -> bool:
    """Whether two parameters are these numbers, and no tensors, which may get a gradient."""
    return type(a) is float is type(b) and (a, b) == (first, second)


def _place(device: str | None, *parameters: TensorLike) -> str | None:
    return next((p.device for p in parameters if isinstance(p, Tensor)), None) if device is None else device


@answering
def random(size: Shape | int = (), *, dtype: DTypeLike | None = None, device: str | None = None) -> Tensor:
    """Uniform numbers in [0, 1).

    Args:
        size: The shape, an integer or a tuple of integers.
        dtype: The dtype of the result; None is the default float dtype.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
    """
    return draw(read_shape("random", size, "size"), dtype=_float("random", dtype), device=device)


@answering
def uniform(
    low: TensorLike = 0.0,
    high: TensorLike = 1.0,
    size: Shape | int | None = None,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
) -> Tensor:
    """Uniform numbers in [low, high).

    Args:
        low: The lower bound, included: a number, or a Tensor, which gets a gradient.
        high: The upper bound: a number, excluded, or a Tensor, which rounding may reach.
        size: The shape, an integer or a tuple; None is the shape to which the other arguments broadcast.
        dtype: The dtype of the result; None is the default float dtype.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
    """
    dtype, device = _float("uniform", dtype), _place(device, low, high)
    shape = result_shape("uniform", size, low, high)
    start = _parameter("uniform: low", low, dtype, device)
    end = _parameter("uniform: high", high, dtype, device)
    u = draw(shape, dtype=dtype, device=device)
    if isinstance(start, Tensor) or isinstance(end, Tensor):
        return start + (end - start) * u
    return u if (start, end) == (0.0, 1.0) else between(start, end, u)


@answering
def normal(
    loc: TensorLike = 0.0,
    scale: TensorLike = 1.0,
    size: Shape | int | None = None,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
) -> Tensor:
    """Normal numbers of mean loc and standard deviation scale (Box & Muller 1958).

    The tails end where the uniform numbers do: at 5.8 standard deviations in float32 and float16, at 8.6 in float64.

    Args:
        loc: The mean: a number, or a Tensor, which gets a gradient.
        scale: The standard deviation, at least 0: a number or a Tensor. Only a number is checked.
        size: The shape, an integer or a tuple; None is the shape to which the other arguments broadcast.
        dtype: The dtype of the result; None is the default float dtype.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
    """
    dtype, device = _float("normal", dtype), _place(device, loc, scale)
    shape = result_shape("normal", size, loc, scale)
    mean = _parameter("normal: loc", loc, dtype, device)
    deviation = _parameter("normal: scale", scale, dtype, device)
    if not isinstance(deviation, Tensor):
        at_least_0("normal: scale", deviation)
    u = draw((2, *shape), dtype=dtypes.float64 if dtype == dtypes.float64 else dtypes.float32, device=device)
    z = ops.sqrt(-2.0 * ops.log1p(-u[0])) * ops.cos(2 * math.pi * u[1])
    z = z.astype(dtype, copy=False)
    return z if _are_numbers(mean, deviation, 0.0, 1.0) else mean + deviation * z


@answering
def standard_normal(
    size: Shape | int = (), *, dtype: DTypeLike | None = None, device: str | None = None
) -> Tensor:
    """Normal numbers of mean 0 and standard deviation 1.

    Args:
        size: The shape, an integer or a tuple of integers.
        dtype: The dtype of the result; None is the default float dtype.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
    """
    return normal(size=size, dtype=dtype, device=device)


@answering
def integers(
    low: int,
    high: int | None = None,
    size: Shape | int | None = None,
    dtype: DTypeLike = "int64",
    endpoint: bool = False,
    *,
    device: str | None = None,
) -> Tensor:
    """Integers from low up to but without high, with high if `endpoint`; integers(n) are 0 … n-1.

    Args:
        low: The lowest integer; with low alone, the end.
        high: The end, excluded.
        size: The shape; None is ().
        dtype: An integer dtype.
        endpoint: Whether high is included.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.

    Raises:
        ValueError: The range is empty, longer than 2**53, or does not fit the dtype.
    """
    for name, value in (("low", low), ("high", 0 if high is None else high)):
        if not is_integer(value):
            hint = ": for truth values write tg.random.bernoulli()" if isinstance(value, bool) else ""
            raise TypeError(f"integers: {name} must be an integer, got {value!r}{hint}")
    first, last = (0, int(low)) if high is None else (int(low), int(high))
    count = last - first + truth("integers: endpoint", endpoint)
    asked = dtypes.as_dtype(dtype, "integers: dtype")
    if asked not in dtypes.ALL - dtypes.FLOATS - {dtypes.bool}:
        remedy = "tg.random.bernoulli()" if asked == dtypes.bool else "…integers(…).astype(dtype)"
        raise TypeError(f"integers: dtype must be one of integers, got {asked}: write {remedy}")
    limits = dtypes.iinfo(asked)
    if not 0 < count <= LARGEST or first < limits.min or first + count - 1 > limits.max:
        raise ValueError(
            f"integers: expected low below high, at most 2**53 apart, and both in {asked}, got {first} and {last}"
        )
    parts = 1 if count <= ONE_DRAW else 2
    u = draw((parts, *result_shape("integers", size)), dtype=dtypes.float64, device=device)
    wide = "uint64" if asked == dtypes.uint64 else "int64"
    return (integers_below(count, u).astype(wide, copy=False) + first).astype(asked, copy=False)


@answering
def bernoulli(p: TensorLike = 0.5, size: Shape | int | None = None, *, device: str | None = None) -> Tensor:
    """Booleans that are true with probability p.

    Args:
        p: The probability of True, from 0 to 1: a number, an array or a Tensor. Only a number is checked.
        size: The shape, an integer or a tuple; None is the shape to which the other arguments broadcast.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
    """
    device = _place(device, p)
    shape = result_shape("bernoulli", size, p)
    chance = _parameter("bernoulli: p", p, dtypes.float64, device)
    if not isinstance(chance, Tensor) and not 0 <= chance <= 1:
        raise ValueError(f"bernoulli: p must be a number from 0 to 1, got {p!r}")
    return draw(shape, dtype=dtypes.float64, device=device) < chance


@answering
def categorical(logits: TensorLike, axis: int = -1, size: Shape | int | None = None) -> Tensor:
    """Class numbers drawn with the probabilities softmax(logits) along `axis` (by the Gumbel-max trick), int64.

    Args:
        logits: Unnormalized log-probabilities, of shape (…, classes).
        axis: The axis of the classes.
        size: The shape of the result, which ends in logits' shape without the axis (the default).

    Raises:
        ValueError: There is no probability: a logit is NaN or infinite, or all of them are -inf.
    """
    given = ops.as_tensor(logits).detach()
    at = ops.one_axis("categorical", axis, given.ndim)
    x = ops.moveaxis(given, at, -1).astype(dtypes.float64, copy=False)
    if somewhere(ops.max(x, axis=-1), lambda top: (top != top) | (top == math.inf) | (top == -math.inf)):
        raise ValueError(
            "categorical: expected logits below infinity, some above -inf, got NaN, inf or -inf alone"
        )
    batch = x.shape[:-1]
    shape = batch if size is None else read_shape("categorical", size, "size")
    if shape[len(shape) - len(batch) :] != batch:
        raise ValueError(
            f"categorical: size must end in {batch}, the shape of the logits without axis {axis}"
        )
    noise = gumbel(draw((*shape, x.shape[-1]), dtype=dtypes.float64, device=x.device))
    return ops.argmax(x + noise, axis=-1)


@answering
def permutation(x: TensorLike, axis: int = 0, *, device: str | None = None) -> Tensor:
    """0 … n-1 in a random order for an integer n; for an array its slices along `axis` in a random order.

    Args:
        x: An integer n, or an array of shape (…).
        axis: The axis whose slices are reordered.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
    """
    if is_integer(x):
        (n,) = read_shape("permutation", x, "x")
        return ops.argsort(draw((n,), dtype=dtypes.float64, device=device))
    x = ops.as_tensor(x)
    at = ops.one_axis("permutation", axis, x.ndim)
    shuffled = ops.take(x, permutation(x.shape[at], device=x.device), axis=at)
    return shuffled if device is None else shuffled.to_device(device)


@answering
def choice(
    a: TensorLike,
    size: Shape | int | None = None,
    replace: bool = True,
    p: TensorLike | None = None,
    axis: int = 0,
    *,
    device: str | None = None,
) -> Tensor:
    """Elements (slices along `axis`) of an array, or of 0 … a-1 for an integer, drawn with or without replacement.

    Args:
        a: An integer n, or an array to draw from.
        size: The shape of the draws; None is ().
        replace: Whether an element may be drawn twice.
        p: The probabilities of the elements, of shape (n,), which add up to 1; None makes all equal.
        axis: The axis whose slices are drawn.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
    """
    if is_integer(a):
        ops.one_axis("choice", axis, 1)
        return _places(int(a), size, replace, p, device)
    a = ops.as_tensor(a)
    at = ops.one_axis("choice", axis, a.ndim)
    drawn = ops.take(a, _places(a.shape[at], size, replace, p, a.device), axis=at)
    return drawn if device is None else drawn.to_device(device)


def _places(
    n: int, size: Shape | int | None, replace: bool, p: TensorLike | None, device: str | None
) -> Tensor:
    shape = result_shape("choice", size)
    count = math.prod(shape)
    replace = truth("choice: replace", replace)
    if n < 1:
        raise ValueError(f"choice: there is nothing to draw from: a has {max(n, 0)} elements along the axis")
    if not replace and count > n:
        raise ValueError(f"choice: {count} of {n} elements cannot be drawn without replacement")
    if p is None and replace:
        return integers(n, size=shape, device=device)
    if p is None:
        return permutation(n, device=device)[:count].reshape(shape)
    chances = _probabilities(n, p, 1 if replace else count, device)
    logs = ops.where(chances > 0, ops.log(ops.where(chances > 0, chances, 1.0)), -math.inf)
    if replace:
        return categorical(logs, size=shape)
    keys = logs + gumbel(draw((n,), dtype=dtypes.float64, device=logs.device))
    return ops.argsort(keys, descending=True)[:count].reshape(shape)


def _probabilities(n: int, p: TensorLike, count: int, device: str | None) -> Tensor:
    if isinstance(p, Tensor):  # whose values a recording does not see
        if p.shape != (n,):
            raise ValueError(f"choice: p must have the shape ({n},), got {p.shape}")
        return p.detach().astype(dtypes.float64, copy=False)
    try:
        given = np.asarray(p, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"choice: p must be {n} probabilities, got {p!r}") from None
    if (
        given.shape != (n,)
        or not (given >= 0).all()
        or abs(given.sum() - 1) > 1e-6
        or (given > 0).sum() < count
    ):
        raise ValueError(
            f"choice: p must be {n} probabilities that add up to 1, at least {count} of them above 0, got {given}"
        )
    return tensor(given, device=device)


# ---- PyTorch's and NumPy's short names ----
def _sizes(name: str, size: tuple[int | Shape, ...]) -> tuple[int, ...]:
    return read_shape(
        name, size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size, "size"
    )


@answering
def randn(
    *size: Shape | int, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Normal numbers of mean 0 and standard deviation 1: randn(2, 3) or randn((2, 3)).

    Args:
        size: The lengths, as arguments or as one tuple.
        dtype: The dtype of the result; None is the default float dtype.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
        requires_grad: Whether to record what is done to it.
    """
    made = normal(size=_sizes("randn", size), dtype=dtype, device=device)
    return made.requires_grad_() if truth("randn: requires_grad", requires_grad) else made


@answering
def rand(
    *size: Shape | int, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Uniform numbers in [0, 1): rand(2, 3) or rand((2, 3)).

    Args:
        size: The lengths, as arguments or as one tuple.
        dtype: The dtype of the result; None is the default float dtype.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
        requires_grad: Whether to record what is done to it.
    """
    made = uniform(size=_sizes("rand", size), dtype=dtype, device=device)
    return made.requires_grad_() if truth("rand: requires_grad", requires_grad) else made


@answering
def randint(
    low: int,
    high: Shape | int | None = None,
    size: Shape | int | None = None,
    *,
    dtype: DTypeLike = "int64",
    device: str | None = None,
) -> Tensor:
    """Integers from low up to but without high: randint(high, size) or randint(low, high, size), as in PyTorch.

    Args:
        low: The lowest integer; left out, 0.
        high: The end, excluded.
        size: The shape; None is ().
        dtype: An integer dtype.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
    """
    if isinstance(high, (tuple, list)) and size is None:
        return integers(0, low, high, dtype, device=device)
    return integers(low, high, size, dtype, device=device)  # type: ignore[arg-type]  # integers looks at them


@answering
def randperm(n: int, *, device: str | None = None) -> Tensor:
    """0 … n-1 in a random order.

    Args:
        n: How many integers.
        device: Where to make it, "cpu", "cuda:0" or a backend's name; None is the default backend.
    """
    if not is_integer(n):
        raise TypeError(f"randperm: n must be an integer, got {n!r}")
    return permutation(n, device=device)
