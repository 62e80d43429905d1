"""`Recorder`: the events that tensors report to a listener such as the compiler."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tapegrad.backends.aliases import Function

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tapegrad.autograd.aliases import Array, ModuleLike, Params, Result, Value
    from tapegrad.autograd.primitive import Primitive
    from tapegrad.autograd.tensor import Node, Tensor


@dataclass(frozen=True)
class HostNumber:
    """A number that Python works out: an option's, by a schedule of the user's own.

    what       what it is, in words
    function   the user's, of the number in `of`
    work_out   gives the number; `into` is where it is read
    """

    what: str
    function: "Function"
    work_out: "Callable[[], float]"
    of: "Tensor"
    into: "Tensor"


@dataclass
class Steps:
    """The steps of a `tg.scan` that run one after another, where elsewhere the loop is one call.

    name     of that call; inputs: its arguments; begun: when they were given, on the clock that numbers nodes
    kept     (dtype, shape) of the carries before all steps, which that call keeps
    outputs  (dtype, shape) of the last carry and the ys; and what each is, once they are there: (serial of its node,
             number of the output), or the tensor where no call of a graph made it
    """

    name: str
    inputs: "list[Tensor]"
    begun: int
    kept: "list[tuple[Any, tuple[int, ...]]]"
    outputs: "list[tuple[Any, tuple[int, ...]]]" = field(default_factory=list)
    made: "list[tuple[int, int] | Tensor]" = field(default_factory=list)

    def end(self, results: "list[Tensor]") -> None:
        """Note what the steps gave."""
        self.outputs = [(t.dtype, t.shape) for t in results]
        self.made = [t if t.node is None else (t.node.serial, t.output_index) for t in results]


class Recorder:
    """Listens to the code under `changed_flags(recorder=…)`. Each method does nothing here; override what you need.

    While a recorder is active, `backward` and the optimizers compute on Tensors instead of raw arrays, so the recorder
    sees every primitive they call.
    """

    # Whether the numbers are those of one run, so that a function that runs again has to give them again.
    compares = True

    def primitive(
        self,
        primitive: "Primitive",
        args: "tuple[Value, ...]",
        params: "Params",
        result: "Result",
    ) -> None:
        """A primitive was called; args and result hold Tensors."""

    def loop(
        self,
        step: Function,
        carry: "list[Tensor]",
        xs: "list[Tensor]",
        length: int,
        reverse: bool,
        keep: bool,
    ) -> Any:
        """The loop of a step as one operation, which the Primitive of it carries as `loop`; None: step by step."""
        return None

    def steps(self, steps: Steps) -> "AbstractContextManager[object]":
        """`with recorder.steps(s):` the steps of a loop run inside, as `loop` said."""
        return NOTHING

    def made(self, tensor: "Tensor", shared: bool) -> None:
        """A tensor was made from numbers of the host: `tg.tensor`, `tg.zeros`, …

        shared   whether its array may be one that the user has: `tg.asarray(array)`
        """

    def detached(self, tensor: "Tensor", result: "Tensor") -> None:
        """`result` has the contents of `tensor` and no graph: `tensor.detach()`, `tg.Parameter(tensor)`, a copy."""

    def becomes(self, tensor: "Tensor") -> None:
        """A tensor will stand for what index_update makes of it, after t[i] = value."""

    def succeeds(self, old: "Tensor", tensor: "Tensor") -> None:
        """`old` stands for what `tensor` was before t[i] = value, which is about to have another origin."""

    def holds(self, home: "Array") -> "tuple[Sequence[Any], list[Tensor]]":
        """What the recorder itself holds that shows an array's memory: notes with the `inputs` and `arrays` of calls,
        and tensors."""
        return (), []

    def write(self, tensor: "Tensor", value: "Tensor") -> None:
        """The contents of `tensor` are about to become those of the Tensor `value`, in place."""

    def checked(self, tensor: "Tensor", wrong: "Callable[[Any], Any]", repeated: bool = False) -> None:
        """`wrong(array)`, elementwise, held nowhere in the array of `tensor`, of which an error would have told.

        repeated   whether an operation that follows checks the same
        """

    def into_array(self, value: "Tensor") -> None:
        """`array += value`: the numbers of a Tensor were put into an array, which may be the user's own."""

    def read(self, tensor: "Tensor", what: str, remedy: str) -> None:
        """A value is about to leave the tensors: `float(t)`, `print(t)`, `t.numpy()`."""

    def gradient(self, leaf: "Tensor", gradient: "Tensor | None", before: "Tensor | None") -> None:
        """The `.grad` of `leaf` became `gradient` (None: dropped); it was `before`."""

    def gradient_read(self, leaf: "Tensor") -> None:
        """`leaf.grad` was read."""

    def moved(self, tensor: "Tensor", view: "Array") -> None:
        """An optimizer is about to copy the contents of `tensor` to `view`, a part of its buffer and the new data."""

    def failed(self, primitive: "Primitive", args: "tuple[Value, ...]") -> None:
        """A primitive raised an error, which may be caught."""

    def restructured(self, names: str) -> None:
        """Options of an optimizer changed in a way that needs another program."""

    def host_number(self, number: HostNumber) -> None:
        """A number of Python's is to be written where it belongs."""
        number.into.assign(number.work_out())

    def outside(self, what: str) -> None:
        """A function of ours reads or changes what is no tensor, such as a file."""

    def reseeded(self) -> None:
        """The random streams were set."""

    def module(self, module: "ModuleLike") -> "AbstractContextManager[object]":
        """`with recorder.module(m):` m's forward runs inside."""
        return NOTHING

    def backward(self, outputs: "list[tuple[Tensor, Value]]") -> None:
        """A backward pass begins, at these tensors with these cotangents."""

    def rule(self, node: "Node | None") -> None:
        """The gradient rules of this recorded call run next; None: the backward pass is over."""

    def part(self, name: str) -> "AbstractContextManager[object]":
        """`with recorder.part("Adam"):` what happens inside is part of that."""
        return NOTHING


NOTHING = nullcontext()
