"""`Buffer`: a tensor that a Module keeps and does not train."""

from tapegrad.autograd.aliases import TensorLike
from tapegrad.autograd.creation import leaf_data
from tapegrad.autograd.tensor import Tensor


class Buffer(Tensor):
    """A tensor that a Module saves and moves but does not train, such as a running mean. Change it with `assign`.

    Args:
        data: A Tensor, whose memory is shared, or what `tg.tensor` takes.
    """

    __slots__ = ()

    def __init__(self, data: TensorLike) -> None:
        super().__init__(leaf_data("Buffer(t)", data, self))
