"""Clipping gradients: by value, by each one's norm, by the norm of all together."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tapegrad.autograd.dtypes import float32, float64, name_of
from tapegrad.autograd.flags import changed_flags
from tapegrad.autograd.ops import astype_p, clip_p, maximum, move, reshape_p, sqrt, sum_p
from tapegrad.autograd.tensor import Tensor, tick
from tapegrad.backends import backend_of
from tapegrad.optim.flat import block_size
from tapegrad.optim.params import above_0


# ---- what the optimizers' options and the functions below are made of: for raw arrays, and for Tensors while recording
def cast(x: Any, dtype: Any) -> Any:
    """x in a dtype, which may be another backend's of the same name."""
    home = backend_of(x.data if isinstance(x, Tensor) else x)
    return astype_p(x, dtype=home.dtype(name_of(dtype)))


def squared_norm(g: Any) -> Any:
    """The sum of the squares of a 1-d array, worked out in float64: in float16 it would overflow at 256 squared, and
    nothing would be left of the square of 0.0001."""
    size = g.shape[0] if isinstance(g, Tensor) else block_size(backend_of(g).device_of(g))
    return total_of(
        sum_p(wide * wide, axis=None, keepdims=False)
        for start in range(0, max(g.shape[0], 1), max(size, 1))
        for wide in [cast(g[start : start + size], float64)]
    )


def total_of(parts: Iterable[Any]) -> Any:
    """Their sum, on the device of the first."""
    total: Any = None
    for part in parts:
        total = part if total is None else total + _to(part, _device(total))
    return total


def clip_factor(total: Any, limit: float, device: str | None = None) -> Any:
    """What to multiply with, so that a norm whose square is `total` becomes at most `limit`."""
    factor = limit / maximum(sqrt(total), limit)
    return factor if device is None else _to(factor, device)


def scaled(g: Any, factor: Any) -> Any:
    """g * factor in g's dtype. By way of float32 for float16, in which a small factor would become 0."""
    if name_of(g.dtype) == "float16":
        return cast(cast(g, float32) * cast(factor, float32), g.dtype)
    return g * cast(factor, g.dtype)


def _device(x: Any) -> str:
    array = x.data if isinstance(x, Tensor) else x
    return backend_of(array).device_of(array)


def _to(x: Any, device: str) -> Any:
    return x if _device(x) == device else move(x, place=device)


# ---- for loops written by hand: between backward() and step() ----
def clip_by_value(params: Any, limit: float) -> None:
    """Bring every element of the gradients into [-limit, limit], in place.

    params    a Module, tensors or a dict of tensors: of a leaf that requires grad its `.grad` is meant, any other
              tensor is taken for a gradient
    """
    limit = above_0("limit", limit)
    _rewrite(_gradients("clip_by_value", params), lambda g: clip_p(g, min=-limit, max=limit))


def clip_by_norm(params: Any, limit: float) -> None:
    """Scale each gradient whose Euclidean norm is above `limit` down to it, in place: g * limit / max(|g|, limit)."""
    limit = above_0("limit", limit)
    _rewrite(_gradients("clip_by_norm", params), lambda g: scaled(g, clip_factor(_squared(g), limit)))


def clip_by_global_norm(params: Any, limit: float) -> Tensor:
    """Scale all gradients by one factor, so that their norm as one vector is at most `limit`, in place.

    Returns the norm before, a 0-d float64 tensor. As in Keras; PyTorch adds 1e-6 to the norm it divides by.
    """
    limit = above_0("limit", limit)
    gradients = _gradients("clip_by_global_norm", params)
    with changed_flags(raw=True, grad=False):
        total = total_of(_squared(g.data) for g in gradients)
        norm = sqrt(total)
    _rewrite(gradients, lambda g: scaled(g, clip_factor(total, limit, _device(g))))
    return Tensor(backend_of(norm).asarray(norm))


def _squared(g: Any) -> Any:
    return squared_norm(reshape_p(g, shape=(-1,)))


def _gradients(name: str, params: Any) -> list[Tensor]:
    """The gradient tensors that `params` stands for."""
    if hasattr(params, "parameters"):
        params = params.parameters()
    if isinstance(params, (Tensor, str)) or not isinstance(params, Iterable):
        raise TypeError(
            f"{name}: expected a Module, tensors or a dict of tensors, got {type(params).__name__}"
        )
    found = []
    for i, t in enumerate(params.values() if isinstance(params, Mapping) else params):
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}: item {i} is not a tensor but {type(t).__name__}")
        g = t.grad if t.requires_grad and t.node is None else t
        if g is not None:
            if g.node is not None:
                raise RuntimeError(
                    f"{name}: the gradient of item {i} was recorded (create_graph=True), and clipping writes in place: "
                    "clip g.detach(), or scale it with tg.clip and operators, which are recorded, too"
                )
            found.append(g)
    if not found:
        raise RuntimeError(f"{name}: there is no gradient: call loss.backward() first")
    return found


def _rewrite(gradients: list[Tensor], new: Callable[[Any], Any]) -> None:
    with changed_flags(raw=True, grad=False):
        for g in gradients:
            g.data[...] = new(g.data)
            g.changed = tick()
