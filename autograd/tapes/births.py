"""Which tensors were made while something was going on, by whichever thread: they carry minus the time when it began.

A time stamp for each tensor would cost each call; a number that is set now and then costs none.
"""

import os
from threading import Lock

from tapegrad.autograd import tensor as tensors
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.whole import uninterrupted
from tapegrad.autograd.writes import next_serial

_open: list[int] = []  # when what is going on began, in all threads
_lock = Lock()


class Births:
    """`with Births() as begun:` for tensors that are made inside, `made_since(t, begun)` holds."""

    def __enter__(self) -> int:
        with uninterrupted(), _lock:
            self.begun = next_serial()
            _open.append(self.begun)
            tensors.born = -self.begun
        return self.begun

    def __exit__(self, *error: object) -> None:
        with uninterrupted(), _lock:
            _open.remove(self.begun)
            tensors.born = -max(_open, default=0)


def renew_lock() -> None:
    """In a forked child, where a thread that held it is gone."""
    global _lock
    _lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=renew_lock)


def made_since(t: Tensor, begun: int) -> bool:
    """Whether a tensor was made, or written to, after a time at which a `Births` began."""
    return t._version <= -begun or t._version > begun or (t.node is not None and t.node.serial > begun)
