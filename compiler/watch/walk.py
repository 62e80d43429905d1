"""What all parts of the walk share."""

import weakref
from collections.abc import Iterable
from types import CodeType
from typing import Any, NamedTuple

from tapegrad.autograd.tensor import Tensor
from tapegrad.backends.aliases import Function
from tapegrad.compiler.watch.code import Part
from tapegrad.compiler.watch.guards import Guards
from tapegrad.compiler.watch.kinds import NEVER_CHANGE, is_a, shows_address
from tapegrad.compiler.watch.listen import Listener
from tapegrad.compiler.watch.names import Names


class Reached(NamedTuple):
    """A tensor that the walk came to: what the check and what the user calls it."""

    local: str
    name: str
    tensor: Tensor


class Kept(NamedTuple):
    """What a cached property of an argument keeps since the call, and did not before."""

    owner: Any
    attribute: str
    value: Any


class Walk:
    """The state of a walk from f and its arguments to all that the code that ran names.

    What it does at a value stands in the classes built on this one, each on the one before: Functions, Classes,
    Tensors, Containers, Atoms, Libraries, and Reach, which chooses among them.

    guards     the check, as far as it is built
    tensors    id of a Tensor -> where it was found
    owners     id of an array -> the Tensor whose contents it is
    inputs     the tensors of guards.inputs, as they are now
    modules    id of a Module -> its name; roots: names of those that are in no other
    kept_values   what cached properties of arguments keep since the call
    more       names of attributes that were found on the way, in an attrgetter, say
    """

    def __init__(
        self, f: Function, heard: Listener, made_inputs: Iterable[str], more: Iterable[str] = (),
        kept_values: Iterable[Kept] = (),
    ) -> None:  # fmt: skip
        """made_inputs   names of places whose tensors are read at each call, since they were seen to be replaced"""
        self.f, self.heard, self.made_inputs, self.more = f, heard, set(made_inputs), set(more)
        self.names = Names(heard, self.more)
        self.kept_values = list(kept_values)
        self.without = {(id(k.owner), k.attribute) for k in self.kept_values}
        self.keys_before: dict[
            str, tuple[list[str], str]
        ] = {}  # what a check calls a dict -> its keys, a name
        self.user_code = set(heard.codes("user"))
        self.ran = set(heard.kinds)
        self.guards = Guards()
        self.tensors: dict[int, Reached] = {}
        self.owners: dict[int, Tensor] = {}
        self.inputs: list[Tensor] = []
        self.modules: dict[int, str] = {}
        self.roots: set[str] = set()
        self.seen: dict[int, str] = {}  # id of what was walked into -> its local
        self.kept: list[Any] = []  # alive until the walk is over, so that no id is used twice
        # Code objects that were visited, and (id of scope, name) of visited globals.
        self.functions: set[Any] = set()
        self.classes: set[int] = set()  # ids of those that were walked into
        self.objects: dict[str, Any] = {}  # local -> what the code could compare by identity
        self.arrays: list[tuple[str, Any, str]] = []  # (local, NumPy array, name)
        # Whether there are NumPy's numbers, on whose errors NumPy's settings decide.
        self.host_arithmetic = False
        self.decimals = False  # whether there are any, whose operations depend on a context

    def attributes(self, local: str, value: object, name: str, argument: bool) -> None:
        """Check the attributes of an object that count."""
        raise NotImplementedError

    def klass(self, kind: type) -> None:
        """Check what the code that ran finds in a class."""
        raise NotImplementedError

    def part(self, code: CodeType) -> Part:
        """What of a piece of code ran; all of what did not run under the listener, such as code behind a cache."""
        return self.heard.part(code)

    def visit(self, place: str, value: object, name: str, argument: bool = False) -> None:
        """Check one place (an expression), and what the value in it holds.

        argument   whether the value is part of an argument of the call: tensors in it are inputs
        """
        raise NotImplementedError

    def plain(self, place: str, value: object, name: str) -> None:
        """Check a place with a number, a text or the like."""
        raise NotImplementedError

    def refuse(self, reason: str) -> None:
        """Nothing that a check could ask makes a program of it."""
        self.guards.refusals.append(reason)

    def identical(self, local: str, value: object, name: str, place: bool = False) -> str:
        """It must be the same object; returns what the check calls it from here on."""
        known = self.seen[id(value)] = self.guards.value(value)
        self.guards.need(f"{local} is {known}", name, place)
        return known

    def one(self, local: str, value: object, name: str) -> None:
        """An object that another could be compared with by identity."""
        self.objects[local] = value
        if not is_a(value, NEVER_CHANGE):
            self.guards.objects[local] = name
        if self.names.by_address or (self.names.shows and shows_address(type(value))):
            self.guards.need(self.still(local, value), f"{name}: whether it is the same object")

    def still(self, local: str, value: object) -> str:
        """That it is this object. One that is no longer used may go, where it can be referred to weakly."""
        try:
            reference = self.guards.fresh_value(weakref.ref(value))
        except TypeError:
            return f"{local} is {self.guards.value(value)}"
        return f"{local} is not None and {local} is {reference}()"
