"""Copies of tensors: they keep the gradient, or refuse to lose it."""

from tapegrad.autograd.diagnostics import user_line
from tapegrad.autograd.flags import current
from tapegrad.autograd.tensor import Tensor


def copied(t: Tensor) -> Tensor:
    """A tensor of its own with the same contents, outside any graph; a recorder sees the copy being made."""
    from tapegrad.autograd.ops import astype_p

    if current.get().recorder is None:
        return Tensor(t.backend.asarray(t.data, copy=True))
    copy: Tensor = astype_p(t.detach(), dtype=t.dtype)
    return copy


def recorded_copy(t: Tensor) -> Tensor:
    """A tensor of its own with the same contents, through which the gradient goes on to t if it requires grad."""
    from tapegrad.autograd.ops import positive

    return positive(t) if t.requires_grad and current.get().grad else copied(t)


def is_differentiated(t: Tensor) -> bool:
    """Whether a copy of t outside its graph would lose a gradient: t is the result of recorded calls, or a transform
    that is running differentiates for it."""
    flags = current.get()
    if not t.requires_grad or not flags.grad:
        return False
    return t.node is not None or any(t is leaf for leaf in flags.leaves)


def leaf_copy(t: Tensor) -> Tensor:
    """A leaf of the same class and contents, with memory of its own."""
    twin, copy = type(t).__new__(type(t)), copied(t)
    Tensor.__init__(twin, copy.data, t.requires_grad)
    if (recorder := current.get().recorder) is not None:
        recorder.detached(copy, twin)
    return twin


def refuse_lost(what: str, t: Tensor) -> None:
    """Raise RuntimeError if a new leaf with t's contents would lose a gradient."""
    if is_differentiated(t):
        raise RuntimeError(
            f"{what}: t is being differentiated, and the new tensor would not pass its gradient on: use t itself, or "
            f"t.detach() if that is meant\n{user_line()}"
        )
