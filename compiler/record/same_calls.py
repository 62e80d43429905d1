"""Which calls of a recording did what the calls of a tape did: the same primitives with the same options, numbers and
tensors, where an argument of the compiled function may be any tensor."""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, TypeAlias

from tapegrad.autograd.aliases import Value
from tapegrad.autograd.tensor import Node, Tensor
from tapegrad.backends.aliases import Array
from tapegrad.compiler.record.calls import (
    ArrayKind,
    CallKind,
    Leaf,
    RecordedCalls,
    Result,
    array_kind,
    kind_of,
)

Found: TypeAlias = dict[Node, int]  # call of a tape -> number of the call that did the same
Leaves: TypeAlias = dict[int, Array]  # key of a Leaf -> the array that a tape has for it


class NotMade(Exception):
    """The run has no call that did what one of a tape did."""

    def __init__(self, node: Node) -> None:
        self.node = node


class LeafClass(NamedTuple):
    """What a tape may have for a leaf: a certain tensor, certain numbers, or where both are None any of that kind."""

    kind: ArrayKind
    key: int | None
    contents: bytes | None


# What two calls of one class have in common: their kind, and for each argument a LeafClass, a number as text, or the
# class of the call that made it, with the number of the output.
Given: TypeAlias = tuple["Result | LeafClass | str", ...]


class SameCalls:
    """The calls of a recording, to be looked up.

    classes   number of a call -> that of its class: calls of one class are of one kind, and so are their arguments
    known     (kind, the first argument that a call made) -> {arguments: class}
    """

    def __init__(self, recorded: RecordedCalls) -> None:
        self.recorded = recorded
        self.classes: list[int] = []
        self.known: dict[tuple[CallKind, Result | None], dict[Given, int]] = {}
        self.contents: dict[int, bytes] = {}  # id of an array of the tape -> what it holds
        for kind, arguments in zip(recorded.kinds, recorded.arguments, strict=True):
            given = tuple([self.class_of(a) for a in arguments])
            made = next((a for a in given if isinstance(a, Result)), None)
            alike = self.known.setdefault((kind, made), {})
            self.classes.append(alike.setdefault(given, len(self.classes)))

    def class_of(self, a: Result | Leaf | str) -> Result | LeafClass | str:
        if isinstance(a, Result):
            return Result(self.classes[a.call], a.output)
        if not isinstance(a, Leaf):
            return a
        if a.var is not None and a.var.kind == "constant":
            return LeafClass(a.kind, None, a.var.value.tobytes())
        return LeafClass(a.kind, a.key if a.key in self.recorded.owners else None, None)

    def numbers_of(self, nodes: Sequence[Node], ends: Sequence[Node]) -> Found:
        """The numbers of the calls that did what these did. Raises NotMade for the first that none did.

        nodes   in the order in which they ran; ends: those that lead to no other
        """
        choice: dict[Node, set[int]] = {}
        for node in nodes:
            choice[node] = self.candidates(node, choice)
            if not choice[node]:
                raise NotMade(node)
        found: Found = {}
        leaves: Leaves = {}
        for end in ends:
            *others, last = [n for n, kind in enumerate(self.classes) if kind in choice[end]]
            for number in others:
                with suppress(NotMade):
                    found, leaves = self.traced_back(end, number, choice, found, leaves)
                    break
            else:
                found, leaves = self.traced_back(end, last, choice, found, leaves)
        return found

    def candidates(self, node: Node, choice: dict[Node, set[int]]) -> set[int]:
        """The classes of calls that may have done what this one did."""
        kind, inputs = kind_of(node), node.recorded_inputs()
        made = next((t for t in inputs if isinstance(t, Tensor) and t.node is not None), None)
        firsts: list[Result | None] = [None]
        if made is not None:
            firsts = [Result(number, made.output_index) for number in choice[made.node]]  # type: ignore[index]
        return {
            number
            for first in firsts
            for given, number in self.known.get((kind, first), {}).items()
            if len(given) == len(inputs) and all(self.may_be(a, t, choice) for a, t in zip(given, inputs))
        }

    def may_be(self, a: Result | LeafClass | str, t: Value, choice: dict[Node, set[int]]) -> bool:
        """Whether an argument of a call of the tape may be that of a recorded call."""
        if not isinstance(t, Tensor):
            return a == repr(t)
        if t.node is not None:
            return isinstance(a, Result) and a.output == t.output_index and a.call in choice[t.node]
        if not isinstance(a, LeafClass) or a.kind != array_kind(t.data):
            return False
        if a.contents is not None:
            if id(t.data) not in self.contents:
                self.contents[id(t.data)] = t.numpy().tobytes()
            return a.contents == self.contents[id(t.data)]
        owner = t if a.key is None else self.recorded.owners[a.key]
        return owner is t or owner.data is t.data

    def traced_back(
        self, end: Node, number: int, choice: dict[Node, set[int]], found: Found, leaves: Leaves
    ) -> tuple[Found, Leaves]:
        """What the calls and leaves behind a call of the tape are in the run, where that call is the one of a number.
        Raises NotMade for one that does not fit: a call is one call in all places, and so is a leaf.

        found, leaves   what is known of them before
        """
        found, leaves = dict(found), dict(leaves)
        stack = [(end, number)]
        while stack:
            node, number = stack.pop()
            if node in found and found[node] == number:
                continue
            if node in found or self.classes[number] not in choice[node]:
                raise NotMade(node)
            found[node] = number
            for a, t in zip(self.recorded.arguments[number], node.recorded_inputs(), strict=True):
                if isinstance(a, Result) and isinstance(t, Tensor) and t.node is not None:
                    stack.append((t.node, a.call))
                elif (
                    isinstance(a, Leaf)
                    and isinstance(t, Tensor)
                    and leaves.setdefault(a.key, t.data) is not t.data
                ):
                    raise NotMade(node)
        return found, leaves
