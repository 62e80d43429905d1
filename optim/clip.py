"""Clip gradients by value, by their own norms, or by their common norm.

For training loops written by hand: call one between `backward()` and `step()`. An optimizer's options `clipvalue`,
`clipnorm` and `global_clipnorm` do the same."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.flags import current
from tapegrad.autograd.ops import clip_p, reshape_p
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.autograd.whole import uninterrupted
from tapegrad.autograd.writes import store
from tapegrad.backends import backend_of
from tapegrad.optim.aliases import ParamsLike
from tapegrad.optim.norms import clip_factor, device_of, move_to, norm_of, scaled
from tapegrad.optim.options import above_0


def clip_by_value(params: ParamsLike, limit: float) -> None:
    """Bring every element of the gradients into [-limit, limit], in place.

    Args:
        params: A Module, tensors or a dict of tensors: the parameters, of which the `.grad` is clipped. Frozen
            parameters are left alone and count in no norm.
        limit: The bound, above 0.

    Raises:
        RuntimeError: There is no gradient.
        ValueError: A tensor is no parameter: what `tg.grad` gives is set as `p.grad` first.
    """
    limit = above_0("limit", limit)
    _rewrite(_gradients("clip_by_value", params), lambda g: clip_p(g, min=-limit, max=limit))


def clip_by_norm(params: ParamsLike, limit: float) -> None:
    """Scale each gradient whose Euclidean norm is above `limit` down to it, in place: g * limit / max(|g|, limit).

    Args:
        params: A Module, tensors or a dict of tensors: the parameters, of which the `.grad` is clipped. Frozen
            parameters are left alone and count in no norm.
        limit: The largest norm, above 0.

    Raises:
        RuntimeError: There is no gradient.
        ValueError: A tensor is no parameter: what `tg.grad` gives is set as `p.grad` first.
    """
    limit = above_0("limit", limit)
    _rewrite(_gradients("clip_by_norm", params), lambda g: scaled(g, clip_factor(norm_of([_flat(g)]), limit)))


def clip_by_global_norm(params: ParamsLike, limit: float) -> Tensor:
    """Scale all gradients by one factor, in place, so that their norm as one vector is at most `limit`.

    As in Keras; PyTorch adds 1e-6 to the norm it divides by.

    Args:
        params: A Module, tensors or a dict of tensors: the parameters, of which the `.grad` is clipped. Frozen
            parameters are left alone and count in no norm.
        limit: The largest norm, above 0.

    Returns:
        The norm before, a 0-d float64 tensor.

    Raises:
        RuntimeError: There is no gradient.
        ValueError: A tensor is no parameter: what `tg.grad` gives is set as `p.grad` first.
    """
    limit = above_0("limit", limit)
    gradients = _gradients("clip_by_global_norm", params)
    flags = current.get()
    recording = flags.recorder is not None
    try:
        current.set(replace(flags, raw=not recording, grad=False))
        norm = norm_of(_flat(g if recording else g.data) for g in gradients)
        factor = clip_factor(norm, limit)
    finally:
        current.set(flags)
    if recording:
        _rewrite(gradients, lambda g: scaled(g, factor))
        return norm
    _rewrite(gradients, lambda g: scaled(g, move_to(factor, device_of(g))))
    return Tensor(backend_of(norm).asarray(norm))


def _flat(g: Value) -> Value:
    return reshape_p(g, shape=(-1,))


def _gradients(name: str, params: ParamsLike) -> list[Tensor]:
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
        if t.node is not None or not (t.requires_grad or isinstance(t, Parameter) or t.grad is not None):
            why = "is the result of a call" if t.node is not None else "does not require grad"
            raise ValueError(
                f"{name}: item {i} {why}, so it is no parameter, whose gradient is clipped: call requires_grad_() "
                "where it was made; of a gradient from tg.grad write p.grad = gradient, and give p"
            )
        g = t.grad if t.requires_grad else None
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


def _rewrite(gradients: list[Tensor], new: Callable[[Value], Value]) -> None:
    """Write new(gradient) into each gradient: into all or, if something is raised meanwhile, into none."""
    flags = current.get()
    recording = flags.recorder is not None
    try:
        current.set(replace(flags, raw=not recording, grad=False))
        values = [new(g if recording else g.data) for g in gradients]
        with uninterrupted():
            for g, value in zip(gradients, values):
                if recording:
                    g.assign(value)
                else:
                    g._version = store(g.data, value)
    finally:
        current.set(flags)
