"""What is done to `t.data` while a function is recorded."""

import sys
from _thread import get_ident
from functools import cache
from types import CodeType
from typing import Any

from tapegrad.autograd.slots import set_data
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Array
from tapegrad.compiler.record.trace import Trace
from tapegrad.compiler.watch.code import part_of
from tapegrad.compiler.watch.listen import room_of


class DataWatch:
    """While it lasts, `t.data` in the user's code ends the recording: what is done to raw arrays is not seen.

    It costs something at each read of `data`, of which there are many, so it begins when code is met that may name it.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace, self.thread = trace, get_ident()
        self.watching = False

    def meet(self, code: CodeType) -> None:
        """A piece of the user's code is about to run for the first time."""
        if not self.watching and not NAMING.isdisjoint(part_of(code).words):
            self.begin()

    def begin(self) -> None:
        if "data" in vars(Tensor):  # a recording inside a recording, or in another thread
            return

        def read(t: Tensor) -> Any:
            if from_user(sys._getframe(1).f_code) and get_ident() == self.thread:
                self.trace.refuse("it looks at t.data", "Use the tensor itself")
            return t._data

        def write(t: Tensor, array: Array) -> None:
            if from_user(sys._getframe(1).f_code) and get_ident() == self.thread:
                self.trace.refuse("it sets t.data", "Use t.assign(values), or t[...] = values")
            set_data(t, array)

        self.watching = True
        setattr(Tensor, "data", property(read, write))  # noqa: B010 (the type checker knows an attribute)

    def __enter__(self) -> "DataWatch":
        return self

    def __exit__(self, *error: object) -> None:
        if self.watching:
            del Tensor.data  # what its base class has counts again


# What code contains that looks at t.data, also by a name that it puts together.
NAMING = frozenset(
    {
        "data",
        "getattr",
        "setattr",
        "attrgetter",
        "methodcaller",
        "__getattribute__",
        "__setattr__",
        "__dict__",
        "vars",
    }
)


@cache
def from_user(code: CodeType) -> bool:
    return room_of(code.co_filename) == "user"
