"""Which operations of a recording carry out which call of a tape, or its gradient rule."""

from collections.abc import Callable, Container
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias
from weakref import ref

import numpy as np

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.tapes.sites import outputs_of
from tapegrad.autograd.tensor import Node, Tensor, next_serial
from tapegrad.backends import backend_of
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

    key       a number of its array, which no other array of the run has
    contents  what tells the numbers of a constant, or of what the run made of constants alone; None for others
    """

    kind: ArrayKind
    key: int
    contents: bytes | None


Argument: TypeAlias = Result | Leaf | str  # or a number, as text


class RecordedCalls:
    """The calls of a run that a tape would have, in their order.

    kinds      what each is like; arguments: what each was given
    of         result of an operation -> (number of the call, whether it is part of the gradient rule)
    inside     number of a call -> the same of the call that it is a part of: one that ran in a gradient rule, or in a
               function under checkpoint or custom_gradient
    owners     key of a leaf -> the tensor that it is at each call, where that is no argument of the function
    """

    def __init__(self) -> None:
        self.kinds: list[CallKind] = []
        self.arguments: list[tuple[Argument, ...]] = []
        self.of: dict[Var, tuple[int, bool]] = {}
        self.owners: dict[int, Tensor] = {}
        self.inside: dict[int, tuple[int, bool]] = {}
        self.serials: list[int] = []  # of the nodes
        # Results of operations that are part of no call, with the time.
        self.loose: list[tuple[int, list[Var]]] = []
        self.constants: set[Var] = set()  # what was made of constants alone
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
        outer = None if rule_of is None else self.number(rule_of)
        node = (result[0] if isinstance(result, tuple) else result).node
        made = [op.out for op in ops]
        if node is not None and node.primitive is primitive:
            number = self.add_call(node, bound)
            self.of.update((var, (number, False)) for var in made)
            if outer is not None:
                self.inside[number] = outer, True
            if primitive.again is not None:
                self.take_in(number, primitive.begun)
        elif outer is not None:
            self.of.update((var, (outer, True)) for var in made)
        elif made:
            self.loose.append((next_serial(), made))
        if node is None and primitive.loop is None and primitive.name != "random_uniform":
            for op in ops:
                taken = [i for i in op.inputs if isinstance(i, Var)]
                if taken and all(i.kind == "constant" or i in self.constants for i in taken):
                    self.constants.add(op.out)

    def number(self, node: Node) -> int | None:
        """The number of a call; None for one that is not noted."""
        number = self.numbers.get(id(node))
        return number if number is not None and self.serials[number] == node.serial else None

    def add_call(self, node: Node, bound: Callable[[Array], Var | None]) -> int:
        number = len(self.kinds)
        self.kinds.append(kind_of(node))
        self.serials.append(node.serial)
        self.arguments.append(tuple([self.argument(a, bound) for a in node.inputs]))
        self.numbers[id(node)] = number
        return number

    def take_in(self, number: int, begun: int) -> None:
        """What ran since a time is part of a call: the inside of its function."""
        while self.loose and self.loose[-1][0] > begun:
            self.of.update((var, (number, False)) for var in self.loose.pop()[1])
        inner = number - 1
        while inner >= 0 and self.serials[inner] > begun:
            self.inside.setdefault(inner, (number, False))
            inner -= 1

    def shown_one(self, call: tuple[int, bool], shown: Container[int]) -> tuple[int, bool]:
        """The call, or the first one around it that is shown."""
        while call[0] not in shown and call[0] in self.inside:
            call = self.inside[call[0]]
        return call

    def argument(self, a: Value, bound: Callable[[Array], Var | None]) -> Argument:
        if not isinstance(a, Tensor):
            return repr(a)
        if a.node is not None and (number := self.number(a.node)) is not None:
            return Result(number, a.output_index)
        array = a.data
        alive, key = self.keys.get(id(array), (None, 0))
        if alive is None or alive() is not array:
            key = self.count = self.count + 1
            self.keys[id(array)] = ref(array), key
        return Leaf(array_kind(array), key, self.contents_of(array, bound(array)))

    def contents_of(self, array: Array, var: Var | None) -> bytes | None:
        is_constant = var is not None and (var.kind == "constant" or var in self.constants)
        return fingerprint(array) if is_constant else None

    def owned(self, array: Array, owner: Tensor) -> None:
        """Note whose an array is that was there before the run."""
        if id(array) in self.keys:
            self.owners[self.keys[id(array)][1]] = owner


def kind_of(node: Node) -> CallKind:
    return CallKind(node.primitive.name, repr(node.params), tuple([array_kind(a) for a in outputs_of(node)]))


def fingerprint(array: Array) -> bytes:
    """A few bytes that arrays of the same numbers have in common."""
    return blake2b(backend_of(array).to_numpy(array).tobytes()).digest()


def array_kind(array: Array) -> ArrayKind:
    return array.dtype, tuple(array.shape)
