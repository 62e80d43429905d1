"""Which tensors were made while something was going on, by whichever thread: they carry minus the time when it began.

A time stamp for each tensor would cost each call; a number that is set now and then costs none.
"""

from tapegrad.autograd import tensor as tensors
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.writes import next_serial

_open: list[int] = []  # when what is going on began, in all threads


class Births:
    """`with Births() as begun:` for tensors that are made inside, `made_since(t, begun)` holds."""

    def __enter__(self) -> int:
        self.begun = next_serial()
        _open.append(self.begun)
        tensors.born = -max(_open)
        return self.begun

    def __exit__(self, *error: object) -> None:
        _open.remove(self.begun)
        tensors.born = -max(_open, default=0)


def made_since(t: Tensor, begun: int) -> bool:
    """Whether a tensor was made, or written to, after a time at which a `Births` began."""
    return t._version <= -begun or t._version > begun or (t.node is not None and t.node.serial > begun)
