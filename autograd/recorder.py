"""`Recorder`: the events that tensors report to a listener such as the compiler."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any


class Recorder:
    """Listens to the code under `changed_flags(recorder=…)`. Each method does nothing here; override what you need.

    While a recorder is active, `backward` and the optimizers compute on Tensors instead of raw arrays, so the recorder
    sees every primitive they call.
    """

    def primitive(self, primitive: Any, args: tuple[Any, ...], params: dict[str, Any], result: Any) -> None:
        """A primitive was called; args and result hold Tensors."""

    def made(self, tensor: Any, shared: bool) -> None:
        """A tensor was made from numbers of the host: `tg.tensor`, `tg.zeros`, …

        shared   whether its array may be one that the user has: `tg.asarray(array)`
        """

    def write(self, tensor: Any, value: Any) -> None:
        """The contents of `tensor` are about to become those of the Tensor `value`, in place."""

    def read(self, tensor: Any, what: str, remedy: str) -> None:
        """A value is about to leave the tensors: `float(t)`, `print(t)`, `t.numpy()`."""

    def gradient(self, leaf: Any, gradient: Any, before: Any) -> None:
        """The `.grad` of `leaf` became `gradient` (None: dropped); it was `before`."""

    def gradient_read(self, leaf: Any) -> None:
        """`leaf.grad` was read."""

    def moved(self, tensor: Any, view: Any) -> None:
        """An optimizer is about to copy the contents of `tensor` to `view`, a part of its buffer and the new data."""

    def failed(self, primitive: Any) -> None:
        """A primitive raised an error."""

    def restructured(self, names: str) -> None:
        """Options of an optimizer changed in a way that needs another program."""

    def outside(self, what: str) -> None:
        """A function of ours reads or changes what is no tensor, such as a file."""

    def reseeded(self) -> None:
        """The random streams were set."""

    def module(self, module: Any) -> AbstractContextManager[Any]:
        """`with recorder.module(m):` m's forward runs inside."""
        return NOTHING

    def rule(self, node: Any) -> None:
        """The gradient rules of this recorded call run next; None: the backward pass is over."""

    def part(self, name: str) -> AbstractContextManager[Any]:
        """`with recorder.part("Adam"):` what happens inside is part of that."""
        return NOTHING


NOTHING = nullcontext()
