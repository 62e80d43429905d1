"""Which operations of a recording carry out which call of a tape, or its gradient rule."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias
from weakref import ref

import numpy as np

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.sites import outputs_of
from tapegrad.autograd.tensor import Node, Tensor
from tapegrad.backends.aliases import Array
from tapegrad.compiler.ir.program import Op, Var

ArrayKind: TypeAlias = tuple[np.dtype, tuple[int, ...]]


class CallKind(NamedTuple):
    """What two runs of the same call have in common, but for their arguments."""

    primitive: str
    options: str
    results: tuple[ArrayKind, ...]


class Result(NamedTuple):
    """An argument that a call made: the number of the call, and of the output."""

    call: int
    output: int


class Leaf(NamedTuple):
    """An argument that no call made.

    key   a number of its array, which no other array of the run has
    var   what the program has for it
    """

    kind: ArrayKind
    key: int
    var: Var | None


Argument: TypeAlias = Result | Leaf | str  # or a number, as text


class RecordedCalls:
    """The calls of a run that a tape would have, in their order.

    kinds      what each is like; arguments: what each was given
    of         result of an operation -> (number of the call, whether it is part of the gradient rule)
    owners     key of a leaf -> the tensor that it is at each call, where that is no argument of the function
    """

    def __init__(self) -> None:
        self.kinds: list[CallKind] = []
        self.arguments: list[tuple[Argument, ...]] = []
        self.of: dict[Var, tuple[int, bool]] = {}
        self.owners: dict[int, Tensor] = {}
        # Id of a node -> its number; a later node may have the id of one that is gone.
        self.numbers: dict[int, int] = {}
        # Id of an array -> the array, and its key; another one may have the id once that is gone.
        self.keys: dict[int, tuple[ref[Any], int]] = {}
        self.count = 0  # of keys

    def add(
        self, primitive: Primitive, result: Any, rule_of: Node | None, ops: list[Op],
        bound: Callable[[Array], Var | None],
    ) -> None:  # fmt: skip
        """Note a primitive that was run, by the user's code or by the gradient rule of a call.

        bound   what the program has for an array
        """
        if rule_of is not None:
            number = self.numbers.get(id(rule_of))
        else:
            node = (result[0] if isinstance(result, tuple) else result).node
            if node is None or node.primitive is not primitive:
                return
            number = len(self.kinds)
            self.kinds.append(kind_of(node))
            self.arguments.append(tuple([self.argument(a, bound) for a in node.inputs]))
            self.numbers[id(node)] = number
        if number is not None:
            self.of.update({op.out: (number, rule_of is not None) for op in ops})

    def argument(self, a: Value, bound: Callable[[Array], Var | None]) -> Argument:
        if not isinstance(a, Tensor):
            return repr(a)
        if a.node is not None and (number := self.numbers.get(id(a.node))) is not None:
            return Result(number, a.output_index)
        array = a.data
        alive, key = self.keys.get(id(array), (None, 0))
        if alive is None or alive() is not array:
            key = self.count = self.count + 1
            self.keys[id(array)] = ref(array), key
        return Leaf(array_kind(array), key, bound(array))

    def owned(self, array: Array, owner: Tensor) -> None:
        """Note whose an array is that was there before the run."""
        if id(array) in self.keys:
            self.owners[self.keys[id(array)][1]] = owner


def kind_of(node: Node) -> CallKind:
    return CallKind(node.primitive.name, repr(node.params), tuple([array_kind(a) for a in outputs_of(node)]))


def array_kind(array: Array) -> ArrayKind:
    return array.dtype, tuple(array.shape)
