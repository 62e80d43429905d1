"""What the calls of a tape gave, as it was when they ran.

`t[i] = v` writes into one array again and again, each write a call of its own: what was there before is computed from
the arguments. After any other write nobody knows it.
"""

from typing import TYPE_CHECKING

from tapegrad.autograd import ops, writes
from tapegrad.autograd.aliases import Array
from tapegrad.autograd.diagnostics import describe
from tapegrad.autograd.flags import changed_flags
from tapegrad.autograd.tapes.sites import outputs_of
from tapegrad.autograd.tensor import Node, Tensor
from tapegrad.autograd.transforms.calls import same_numbers

if TYPE_CHECKING:
    from tapegrad.autograd.tapes.tape import Tape


class Values:
    """The values of a tape's calls, to be asked for in the order in which they ran.

    Raises RuntimeError for a tensor that was written to after a call was recorded.
    """

    def __init__(self, tape: "Tape") -> None:
        self.calls = {node.serial for node in tape.nodes if node.primitive is ops.index_update_p}
        self.again: dict[Node, tuple[Array, ...]] = {}  # what was computed again, as long as a call takes it
        self.takers: dict[Node, Node] = {}  # call -> the last one that takes what it gave
        for node in tape.nodes:
            for t, array in zip(node.recorded_inputs(), node.arrays, strict=True):
                if isinstance(t, Tensor):
                    self.take(node, t, array)
            for array in outputs_of(node):
                if self.others_wrote(array, node.serial):
                    raise written("the result", node, Tensor(array))

    def take(self, node: Node, t: Tensor, array: Array) -> None:
        """Note what a call takes."""
        replaced = t._data is not array and t.node is None and not same_numbers(t._data, array)
        if replaced or t._version > node.serial or self.others_wrote(array, node.serial):
            raise written("an argument", node, t)
        if t.node is not None:
            self.takers[t.node] = node

    def others_wrote(self, array: Array, serial: int) -> bool:
        """Whether something wrote into an array after a time that is no call of the tape."""
        return writes.last > serial and not self.calls.issuperset(writes.times_since(array, serial))

    def of(self, node: Node) -> tuple[Array, ...]:
        """What a call gave."""
        recorded = outputs_of(node)
        if writes.last < node.serial:
            return recorded
        is_over = any(writes.since(array, node.serial) for array in recorded)
        arguments = [t.node for t in node.recorded_inputs() if isinstance(t, Tensor)]
        in_place = node.primitive is ops.index_update_p and node.arrays[0] is node.out
        values = recorded
        if is_over or in_place:
            values = self.computed(node)
        if is_over:
            self.again[node] = values
        elif in_place and not same_numbers(values[0], recorded[0]):
            raise written("the result", node, Tensor(recorded[0]))
        for made in arguments:
            if made is not None and self.takers[made] is node:
                self.again.pop(made, None)
        return values

    def computed(self, node: Node) -> tuple[Array, ...]:
        """What a call gives for the arguments as they were."""
        if node.primitive.again is not None:
            raise written("the result", node, Tensor(outputs_of(node)[0]))
        inputs = [
            Tensor(self.again[t.node][t.output_index] if t.node in self.again else array)
            if isinstance(t, Tensor)
            else t
            for t, array in zip(node.recorded_inputs(), node.arrays, strict=True)
        ]
        with changed_flags(grad=False, raw=False, anomaly=False, recorder=None):
            made = node.primitive(*inputs, **node.params)
        return tuple(t.data for t in (made if isinstance(made, tuple) else (made,)))


def written(what: str, node: Node, t: Tensor) -> RuntimeError:
    return RuntimeError(
        f"html: {what} of {node.primitive.name}, {describe(t)}, was written to after the call was recorded, and the "
        "page would show what it holds now: make the page before that, or write into a copy"
    )
