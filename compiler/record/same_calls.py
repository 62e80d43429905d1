"""Which calls of a recording did what the calls of a tape did: the same primitives with the same options, numbers and
tensors, where an argument of the compiled function may be any tensor."""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, TypeAlias

from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Array
from tapegrad.compiler.record.calls import (
    ArrayKind,
    CallKind,
    Leaf,
    RecordedCalls,
    Result,
    array_kind,
    fingerprint,
)
from tapegrad.compiler.record.taped_calls import Input, Made, TapedCall

Found: TypeAlias = dict[TapedCall, int]  # call of a tape -> number of the call that did the same
Leaves: TypeAlias = dict[int, Array]  # key of a Leaf -> the array that a tape has for it


class NotMade(Exception):
    """The run has no call that did what one of a tape did."""

    def __init__(self, call: TapedCall) -> None:
        self.call = call


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
        if a.contents is not None:
            return LeafClass(a.kind, None, a.contents)
        return LeafClass(a.kind, a.key if a.key in self.recorded.owners else None, None)

    def numbers_of(self, calls: Sequence[TapedCall], ends: Sequence[TapedCall]) -> Found:
        """The numbers of the calls that did what these did. Raises NotMade for the first that none did.

        calls   in the order in which they ran; ends: those that lead to no other
        """
        choice: dict[TapedCall, set[int]] = {}
        for call in calls:
            choice[call] = self.candidates(call, choice)
            if not choice[call]:
                raise NotMade(call)
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

    def candidates(self, call: TapedCall, choice: dict[TapedCall, set[int]]) -> set[int]:
        """The classes of calls that may have done what this one did."""
        inputs = call.inputs
        made = next((t for t in inputs if isinstance(t, Made)), None)
        firsts: list[Result | None] = [None]
        if any(t is None for t in inputs):
            firsts = [first for kind, first in self.known if kind == call.kind]
        elif made is not None:
            firsts = [Result(number, output) for number in choice[made.call] for output in made.outputs]
        return {
            number
            for first in firsts
            for given, number in self.known.get((call.kind, first), {}).items()
            if len(given) == len(inputs) and all(self.may_be(a, t, choice) for a, t in zip(given, inputs))
        }

    def may_be(self, a: Result | LeafClass | str, t: Input, choice: dict[TapedCall, set[int]]) -> bool:
        """Whether an argument of a call of the tape may be that of a recorded call."""
        if t is None:
            return True
        if isinstance(t, str):
            return a == t
        if isinstance(t, Made):
            return isinstance(a, Result) and a.output in t.outputs and a.call in choice[t.call]
        if not isinstance(a, LeafClass) or a.kind != array_kind(t.data):
            return False
        if a.contents is not None:
            if id(t.data) not in self.contents:
                self.contents[id(t.data)] = fingerprint(t.data)
            return a.contents == self.contents[id(t.data)]
        owner = t if a.key is None else self.recorded.owners[a.key]
        return owner is t or owner.data is t.data

    def traced_back(
        self, end: TapedCall, number: int, choice: dict[TapedCall, set[int]], found: Found, leaves: Leaves
    ) -> tuple[Found, Leaves]:
        """What the calls and leaves behind a call of the tape are in the run, where that call is the one of a number.
        Raises NotMade for one that does not fit: a call is one call in all places, and so is a leaf.

        found, leaves   what is known of them before
        """
        found, leaves = dict(found), dict(leaves)
        stack = [(end, number)]
        while stack:
            call, number = stack.pop()
            if call in found and found[call] == number:
                continue
            if call in found or self.classes[number] not in choice[call]:
                raise NotMade(call)
            found[call] = number
            for a, t in zip(self.recorded.arguments[number], call.inputs, strict=True):
                if isinstance(a, Result) and isinstance(t, Made):
                    stack.append((t.call, a.call))
                elif (
                    isinstance(a, Leaf)
                    and isinstance(t, Tensor)
                    and leaves.setdefault(a.key, t.data) is not t.data
                ):
                    raise NotMade(call)
        return found, leaves
