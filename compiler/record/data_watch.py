"""What is done to raw arrays while a function is recorded: to `t.data`, and to those that a recorded call keeps."""

import sys
from _thread import get_ident
from functools import cache
from types import CodeType, MemberDescriptorType
from typing import Any

from tapegrad.autograd.slots import set_data
from tapegrad.autograd.tensor import Node, Tensor
from tapegrad.backends.aliases import Array
from tapegrad.compiler.record.trace import Trace
from tapegrad.compiler.watch.code import part_of
from tapegrad.compiler.watch.rooms import room_of


class DataWatch:
    """While it lasts, `t.data` in the user's code ends the recording, and so do `node.out` and `node.arrays`, as
    `tape.nodes` has them: what is done to raw arrays is not seen.

    It costs something at each read of `data`, of which there are many, so it begins when code is met that may name one.
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
        for name, slot in OF_CALLS.items():
            setattr(Node, name, self.watched(name, slot))

    def watched(self, name: str, slot: MemberDescriptorType) -> property:
        """An attribute of Node in place of its slot."""

        def read(node: Node) -> Any:
            if from_user(sys._getframe(1).f_code) and get_ident() == self.thread:
                self.trace.refuse(f"it looks at .{name} of a recorded call", "Look at what the step returns")
            return slot.__get__(node)

        return property(read, slot.__set__)

    def __enter__(self) -> "DataWatch":
        return self

    def __exit__(self, *error: object) -> None:
        if self.watching:
            del Tensor.data  # what its base class has counts again
            for name, slot in OF_CALLS.items():
                setattr(Node, name, slot)


# The raw arrays of a call: its result and its arguments.
OF_CALLS: dict[str, MemberDescriptorType] = {name: vars(Node)[name] for name in ("out", "arrays")}
# What code contains that looks at them, also by a name that it puts together.
NAMING = frozenset(
    {
        "data",
        *OF_CALLS,
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
