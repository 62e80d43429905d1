"""What may be set as `t.grad`, and dropping it."""

from collections.abc import Iterable

import numpy as np

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.dtypes import name_of
from tapegrad.autograd.flags import current
from tapegrad.autograd.tensor import Tensor


def drop_gradients(leaves: Iterable[Tensor], set_to_none: bool = True) -> None:
    """Set `.grad` to None: what every `zero_grad` does. Raises ValueError for PyTorch's other way, zeros."""
    if set_to_none is not True:
        raise ValueError(
            f"zero_grad: set_to_none: expected True, got {set_to_none!r}: gradients are dropped, not kept as zeros"
        )
    recorder = current.get().recorder
    for leaf in leaves:
        if recorder is not None:
            recorder.gradient(leaf, None, leaf._grad)
        leaf._grad = None


def as_gradient(t: Tensor, value: TensorLike) -> Tensor:
    """The value as a gradient of t: a Tensor that fits, or one made of an array.

    Raises TypeError for what is neither, ValueError for another shape, device or dtype.
    """
    if not isinstance(value, Tensor):
        if not isinstance(value, (np.ndarray, np.generic)):
            raise TypeError(
                f"t.grad = value: expected a Tensor of shape {t.shape} and {name_of(t.dtype)}, an array, or None, got "
                f"{type(value).__name__}: write tg.full_like(t, value) for one number everywhere"
            )
        value = Tensor(t.backend.asarray(np.array(value), dtype=t.dtype, device=t.device))
    for what, mine, given, remedy in (
        ("shape", t.shape, value.shape, f"value.reshape({t.shape}) or tg.broadcast_to(value, {t.shape})"),
        ("device", t.device, value.device, f"value.to({t.device!r})"),
        ("dtype", name_of(t.dtype), name_of(value.dtype), f"value.astype({name_of(t.dtype)!r})"),
    ):
        if mine != given:
            raise ValueError(f"t.grad = value: t has {what} {mine}, the value {given}: use {remedy}")
    return value
