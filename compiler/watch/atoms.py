"""The walk through what is known by its identity, or stands for another object, and the little that can hide in it."""

import types
from enum import Enum
from functools import WRAPPER_ASSIGNMENTS
from typing import Any

import numpy as np

from tapegrad.autograd.primitive import Primitive
from tapegrad.compiler.watch.asking import ASKING, READING_ALL
from tapegrad.compiler.watch.containers import Containers
from tapegrad.compiler.watch.kinds import (
    ATOMS,
    GETTERS,
    VIEWS,
    given_to_getter,
    in_c,
    is_a,
    is_plain_value,
    opaque,
)
from tapegrad.compiler.watch.listen import IMPURE_OWNERS

# What a function under `tg.jit` has besides its counts, and anybody may set.
OF_COMPILED = frozenset({*WRAPPER_ASSIGNMENTS, "__wrapped__", "__signature__", "emitter", "strict", "check"})
OF_TRACEBACKS = frozenset({"tb_frame", "tb_lasti", "tb_lineno", "tb_next"})


class Atoms(Containers):
    """The part of the walk that comes to such values."""

    def view(self, local: str, value: Any, name: str) -> None:
        """Of a dict, or what stands for another object."""
        if is_a(value, VIEWS):
            self.identical(local, value, name)
            self.visit(f"{local}.mapping", value.mapping, name)
        else:
            self.refuse(f"{name} is a weakref.proxy: hold a weakref.ref, or the object")

    def own_attributes(self, local: str, compiled: Any, name: str) -> None:
        """Those of a function under `tg.jit`: what the user gives it, and what it has of the function."""
        own, d = vars(compiled), self.guards.let(f"{local}.__dict__")
        others = self.names.user | (own.keys() if self.names.all else set())
        for attribute in sorted(others - (compiled.parts - OF_COMPILED)):
            if attribute in own:
                self.visit(f"{d}[{attribute!r}]", own[attribute], f"{name}.{attribute}")
            elif not hasattr(type(compiled), attribute):
                self.guards.need(f"{attribute!r} not in {d}", f"{name}.{attribute}")
        if self.names.all:
            self.guards.need(f"len({d}) == {len(own)}", f"the attributes of {name}")

    def atom(self, local: str, value: Any, name: str) -> None:
        """What is known by its identity, and the little that can change in it or hide behind it."""
        self.identical(local, value, name)
        if is_a(value, np.ufunc) and value.__name__.endswith("(vectorized)"):
            self.refuse(
                f"{name} is made by np.frompyfunc, and what it calls cannot be seen: call that itself"
            )
        elif is_a(value, Primitive):
            for part in ("forward", "vjp"):
                known = self.guards.value(getattr(value, part))
                self.guards.need(f"{local}.{part} is {known}", f"{name}.{part}")
        elif is_a(value, Enum):
            self.names.user |= {"_value_", "_name_"} if self.names.user & {"value", "name"} else set()
            self.attributes(local, value, name, False)
        elif is_a(value, GETTERS):
            given = given_to_getter(value)
            self.more |= {part for word in given if type(word) is str for part in word.split(".")}
            for part in given:
                if not is_plain_value(part):
                    self.visit(self.guards.value(part), part, f"an argument of {name}")
        elif is_a(value, (types.GenericAlias, types.UnionType)):
            self.alias(value, name)
        elif is_a(value, (types.MemberDescriptorType, types.GetSetDescriptorType)):
            self.more.add(value.__name__)
        elif is_a(value, (types.MethodDescriptorType, types.WrapperDescriptorType)):
            of_lock = value.__objclass__.__module__ in IMPURE_OWNERS
            self.more |= {value.__name__} if of_lock else {value.__name__} & (ASKING | READING_ALL)

    def alias(self, value: Any, name: str) -> None:
        """Of a `list[Layer]` or `int | Layer`: the classes in it, which may be called or asked for what they have."""
        for part in (getattr(value, "__origin__", None), *value.__args__):
            if is_a(part, (type, *ATOMS)) or not (is_plain_value(part) or opaque(type(part))):
                self.visit(self.guards.value(part), part, f"a class in {name}")

    def lock(self, local: str, value: Any, name: str, argument: bool) -> None:
        """One written in C holds what no attribute shows. A `with` leaves it as it was; what the user's code calls is
        heard, but not what code in C calls."""
        self.attributes(local, value, name, argument)
        if not in_c(type(value)):
            return
        if named := self.names.handed & (vars(type(value)).keys() - vars(object).keys()):
            self.refuse(f"it uses {name}.{min(named)}, which no program can do: write `with {name}:`")
        # A stack may enter it and hand itself on: then it is another one after the call.
        if self.names.shows or any(code.co_name == "enter_context" for code in self.heard.asked):
            self.guards.need(f"repr({local}) == {self.guards.fresh_value(repr(value))}", f"{name}: its state")

    def traceback(self, local: str, name: str) -> None:
        """It holds the frames of calls that are over, and may be given others."""
        self.guards.need(f"type({local}) is {self.guards.value(types.TracebackType)}", f"the class of {name}")
        if named := self.names.user & OF_TRACEBACKS:
            self.refuse(f"it uses {name}.{min(named)}, which cannot be followed: read it outside")
