"""Dropout of a tensor, which the layer, attention and recurrence share."""

from tapegrad.autograd.dtypes import float32, get_default_dtype, is_floating
from tapegrad.autograd.ops import where_p
from tapegrad.autograd.random import uniform
from tapegrad.autograd.tensor import Tensor
from tapegrad.nn.shapes import Shape


def dropped(x: Tensor, share: float, shape: Shape | None = None) -> Tensor:
    """x with a share of its elements at 0, and the others divided by 1 - share.

    shape: that of the draws, where several elements fall together; it broadcasts to x's.
    """
    if not share:
        return x
    x = x if is_floating(x.dtype) else x.astype(get_default_dtype())
    kept = uniform(x.shape if shape is None else shape, dtype=float32, device=x.device) >= share
    return where_p(kept, x, 0.0) * (1.0 / (1.0 - share))
