"""Which operations of a recording carry out which call of a tape, or its gradient rule."""

from dataclasses import dataclass
from typing import Any

from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.sites import outputs_of
from tapegrad.autograd.tensor import Node, Tensor
from tapegrad.compiler.ir.program import Op, Var


@dataclass(frozen=True)
class CallKind:
    """What two runs of the same call have in common.

    shapes   of its results
    inputs   the numbers of the calls that made its arguments; None for a leaf or a number
    """

    primitive: str
    shapes: tuple[tuple[int, ...], ...]
    inputs: tuple[int | None, ...]


class RecordedCalls:
    """The calls of a run that a tape would have, in their order.

    kinds   what each is like
    of      result of an operation -> (number of the call, whether it is part of the gradient rule)
    """

    def __init__(self) -> None:
        self.kinds: list[CallKind] = []
        self.of: dict[Var, tuple[int, bool]] = {}
        # Id of a node -> its number; a later node may have the id of one that is gone.
        self.numbers: dict[int, int] = {}

    def add(self, primitive: Primitive, result: Any, rule_of: Node | None, ops: list[Op]) -> None:
        """Note a primitive that was run, by the user's code or by the gradient rule of a call."""
        if rule_of is not None:
            number = self.numbers.get(id(rule_of))
        else:
            node = (result[0] if isinstance(result, tuple) else result).node
            if node is None or node.primitive is not primitive:
                return
            number = len(self.kinds)
            self.kinds.append(kind_of(node, self.numbers))
            self.numbers[id(node)] = number
        if number is not None:
            self.of.update({op.out: (number, rule_of is not None) for op in ops})

    def numbers_of(self, nodes: list[Node]) -> list[int]:
        """The numbers of the calls that did what these nodes did. Raises ValueError, which names the first call that
        this run did not make."""
        found: list[int] = []
        known: dict[int, int] = {}
        at = 0
        for node in nodes:
            kind = kind_of(node, known)
            while at < len(self.kinds) and self.kinds[at] != kind:
                at += 1
            if at == len(self.kinds):
                shapes = ", ".join(str(list(shape)) for shape in kind.shapes)
                raise ValueError(f"{kind.primitive}, of shape {shapes}")
            known[id(node)] = at
            found.append(at)
            at += 1
        return found


def kind_of(node: Node, numbers: dict[int, int]) -> CallKind:
    inputs = (
        numbers.get(id(t.node)) if isinstance(t, Tensor) and t.node is not None else None for t in node.inputs
    )
    return CallKind(node.primitive.name, tuple(tuple(a.shape) for a in outputs_of(node)), tuple(inputs))
