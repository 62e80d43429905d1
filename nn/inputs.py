"""What layers take for an input."""

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.dtypes import is_floating
from tapegrad.autograd.tensor import Tensor


def as_input(x: TensorLike, like: Tensor | None = None) -> Tensor:
    """The input as a floating-point Tensor, on the device of `like`: integers become float32, or of its dtype."""
    x = x if isinstance(x, Tensor) else tensor(x, device=None if like is None else like.device)
    return x if is_floating(x.dtype) else x.astype("float32" if like is None else like.dtype)
