"""What the code that ran can reach by name: each value is compared, walked into, or refused."""

import _locale
import copyreg
import os
import sys
import types
import weakref
from abc import get_cache_token
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from inspect import getattr_static
from itertools import combinations
from typing import Any

import numpy as np

from tapegrad.autograd.structure import is_module_class
from tapegrad.autograd.tensor import Parameter, Tensor
from tapegrad.backends.aliases import Function
from tapegrad.compiler.aliases import Args, Kwargs
from tapegrad.compiler.watch.asking import ELSEWHERE
from tapegrad.compiler.watch.kinds import (
    ABC_CHECKS,
    ATOMS,
    CALLABLE,
    GETTERS,
    LOCKS,
    NEVER_CHANGE,
    SETTINGS,
    VALUES,
    VIEWS,
    as_it_is,
    cannot_follow,
    decimal_context,
    decimal_contexts,
    ends_of,
    is_a,
    is_average,
    is_function_in_c,
    is_optimizer,
    is_plain_value,
    loggers,
    opaque,
    room_of_class,
)
from tapegrad.compiler.watch.libraries import Libraries
from tapegrad.compiler.watch.listen import Listener
from tapegrad.compiler.watch.parameters import parameter_names
from tapegrad.compiler.watch.sameness import UNWRAP, found_in_c
from tapegrad.compiler.watch.walk import Kept

UNSEEN = frozenset({
    "__globals__", "getclosurevars", "__subclasses__", "f_globals", "f_locals", "f_builtins", "gi_frame", "_version",
    "__sizeof__",
})  # fmt: skip
# Functions of `logging` that ask for a logger by its name, or for the root.
OF_LOGGING = frozenset(
    {"getLogger", "debug", "info", "warning", "error", "exception", "critical", "log", "getLevelName"}
)
# What Fraction, and UUID and IPv4Address by `object.__setattr__`, hold.
NUMBERS = frozenset({"_numerator", "_denominator", "int", "_ip"})
DEEPEST = 20_000  # calls inside one another while the walk lasts


class Reach(Libraries):
    """The whole walk."""

    def walk(self, args: Args, kwargs: Kwargs) -> None:
        """Go to all that the code that ran can reach in a call with these arguments."""
        f = self.f
        for setting in sorted(self.names.used & SETTINGS):
            self.refuse(f"it uses np.{setting}: do so around the call")
        for name in sorted(self.names.user & UNSEEN):
            self.refuse(f"it uses {name}, which reaches what cannot be followed: do so outside")
        try:
            self.arguments(f, args, kwargs)
            self.visit(self.guards.value(f), f, getattr(f, "__name__", type(f).__name__))
            self.code()
        except RecursionError:
            self.refuse("it reaches objects that are linked too deeply: pass what it needs as arguments")
            return
        self.distinct()
        self.settings()

    def code(self) -> None:
        """Go to what the code that ran names, besides f and its arguments."""
        for code, scope in self.heard.scopes.items():
            self.scope(code, scope)
        if any(code.co_qualname == "_Environ.__getitem__" for code in self.ran):
            self.visit(self.guards.value(os.environ), os.environ, "os.environ")
        if any(code.co_qualname in OF_LOGGING and is_of_logging(code) for code in self.ran):
            g = self.guards
            g.need(f"{g.value(loggers)}() == {g.fresh_value(loggers())}", "the loggers")
        self.libraries()
        self.unmet_functions()

    # ---- roots ----
    def arguments(self, f: Function, args: Args, kwargs: Kwargs) -> None:
        self.guards.need(
            f"len(args) == {len(args)} and {f'len(kwargs) == {len(kwargs)}' if kwargs else 'not kwargs'}",
            "another number of arguments",
        )
        if kwargs:
            self.guards.need(
                f"[*kwargs] == {self.guards.fresh_value(list(kwargs))}", "other names of arguments"
            )
        for n, (value, name) in enumerate(zip(args, parameter_names(f, len(args)))):
            self.visit(f"args[{n}]", value, name, argument=True)
        for key, value in kwargs.items():
            self.visit(f"kwargs[{key!r}]", value, key, argument=True)

    def distinct(self) -> None:
        """Objects of which one was another than the other stay so: code may ask, or change one and put it back. Of what
        never changes, where code tells equal ones apart."""
        alike: dict[type, list[str]] = {}
        moving: set[type] = set()  # those of which some need not be the same object at each call
        held = {local: self.own_parameters(o) for local, o in self.objects.items()}
        holders = Counter(part for parts in held.values() for part in parts)
        for local, o in self.objects.items():
            # Of a Module with a Parameter of its own, that one is the same at each call.
            known = any(holders[part] == 1 for part in held[local])
            if not known and (self.names.tells_apart or not is_a(o, NEVER_CHANGE)):
                alike.setdefault(type(o), []).append(f"id({local})")
                moving |= {type(o)} if self.seen.get(id(o)) not in self.guards.values else set()
        ids = [i for kind, same in alike.items() if len(same) > 1 and kind in moving for i in same]
        if ids:
            self.guards.need(f"len({{{', '.join(ids)}}}) == {len(ids)}", "which objects are one and the same")

    def own_parameters(self, o: object) -> list[int]:
        """The ids of those that a Module has as attributes, and that no other can take the place of."""
        parts = vars(o).values() if is_module_class(type(o)) else ()
        return [id(p) for p in parts if is_a(p, Parameter) and id(p) in self.tensors]

    def distinct_tensors(self) -> None:
        """So do tensors of which one is read at each call: from each other, and from those that stay."""
        read = set(map(id, self.inputs))
        stay = {i: r.tensor for i, r in self.tensors.items() if i not in read}
        # A tensor's hash is its address, unless a class of the user's has another one.
        by_hash = all(map(found_in_c, stay.values()))
        known = self.guards.fresh_value(frozenset(stay.values() if by_hash else stay))
        first = {id(t): i for t, i in reversed([*zip(self.inputs, self.guards.inputs)])}
        given = sorted(first.values(), key=lambda i: i.entry)
        for i in given if stay else ():
            self.guards.need(
                f"{i.local if by_hash else f'id({i.local})'} not in {known}",
                f"{i.name}: a tensor that is in another place as well",
                entry=i.entry,
            )
        for asked in ([i for i in given if not i.entry], given):
            apart = f"len({{{', '.join(f'id({i.local})' for i in asked)}}}) == {len(asked)}"
            if len(asked) in (2, 3):
                apart = " and ".join(f"{a.local} is not {b.local}" for a, b in combinations(asked, 2))
            if len(asked) > 1:
                self.guards.need(apart, "a tensor that is given twice", entry=asked[-1].entry)

    def settings(self) -> None:
        """tapegrad's own settings, where the code that ran asked for them."""
        from tapegrad.autograd import dtypes
        from tapegrad.backends import default_place

        g = self.guards
        at = f"{g.value(vars(dtypes))}['_default_float']"
        g.need(f"{at} is {g.value(dtypes.get_default_dtype())}", "tg.get_default_dtype()")
        if default_place.__code__ in self.ran:
            g.need(f"{g.value(default_place)}() == {g.fresh_value(default_place())}", "tg.default_place()")
        shown = self.names.whole and self.host_arithmetic
        if shown or any(code.co_filename.endswith("arrayprint.py") for code in self.ran):
            known = g.fresh_value(np.get_printoptions())
            g.need(f"{g.value(np.get_printoptions)}() == {known}", "np.get_printoptions()")
        asked_for = "get_cache_token" in self.names.user | self.names.of_libraries
        if asked_for or self.names.by_abc or any(code.co_qualname in ABC_CHECKS for code in self.ran):
            token = g.fresh_value(get_cache_token())
            g.need(f"{g.value(get_cache_token)}() == {token}", "the classes that are registered with an ABC")
        if any(code.co_filename.endswith("copy.py") for code in self.ran):
            place = f"{g.value(copyreg)}.dispatch_table"
            g.need(f"{place} == {g.fresh_value(dict(copyreg.dispatch_table))}", "copyreg.dispatch_table")
        self.missing(f"{g.value(Tensor)}.__dict__", vars(Tensor), "the attributes of Tensor")
        if self.names.whole or self.names.used & {"strftime", "strptime"}:
            told = g.value(_locale.setlocale), _locale.LC_ALL
            g.need(f"{told[0]}({told[1]}, None) == {_locale.setlocale(told[1], None)!r}", "the locale")
        if self.names.whole or self.names.used & {"int", "str", "repr", "format"}:
            digits = sys.get_int_max_str_digits
            g.need(f"{g.value(digits)}() == {digits()}", "sys.get_int_max_str_digits()")
        self.methods_of_tensors()
        if self.host_arithmetic or "np" in self.names.used or "numpy" in self.names.used:
            g.need(f"{g.value(np.geterr)}() == {g.fresh_value(np.geterr())}", "np.geterr()")
        if "decimal" in sys.modules and (self.decimals or self.names.user & {"Decimal", "decimal"}):
            known = g.fresh_value(decimal_context())
            g.need(f"{g.value(decimal_context)}() == {known}", "the context of decimal")

    # ---- one value ----
    def visit(self, place: str, value: Any, name: str, argument: bool = False) -> None:
        if is_plain_value(value):
            self.plain(place, value, name)
            return
        known = self.seen.get(id(value))
        if known is not None and (type(value) is not tuple or self.names.tells_apart):
            if place != known:
                self.guards.need(f"{place} is {known}", name, is_a(value, Tensor))
            return
        self.kept.append(value)
        local = self.guards.let(place)
        self.seen[id(value)] = local
        if known is None and not is_a(value, (Tensor, type, types.ModuleType)):
            self.one(local, value, name)
        if is_a(value, Tensor):
            self.tensor(local, value, name, argument)
        elif is_a(value, type):
            self.identical(local, value, name)
            self.decimals |= value.__module__ == "decimal"
            if value in GETTERS:  # not where it is, in `operator`: the code need not name it
                self.more.add(ELSEWHERE)
            if value is str:
                self.more.add("str")
            self.klass(value)
        elif is_a(value, (list, tuple, deque)):
            self.sequence(local, value, name, argument)
        elif is_a(value, dict):
            self.mapping(local, value, name, argument)
        elif is_a(value, CALLABLE):
            self.callable(local, value, name)
        else:
            self.other(local, value, name, argument)

    def plain(self, place: str, value: object, name: str) -> None:
        told = f"{name}: {{repr({place})}} instead of {value!r}" if len(repr(value)) < 60 else name
        if value is None or value is True or value is False or value is Ellipsis:
            self.guards.need(f"{place} is {value}", told)
            return
        self.host_arithmetic |= is_a(value, np.generic)
        known = self.guards.fresh_value(as_it_is(value))
        local = self.guards.let(place)
        alike = f"{local} is {known} or same({local}, {known})"
        if self.names.by_address and is_a(value, (str, bytes)):
            alike = f"{local} is {known}"
        self.guards.need(alike, told.replace(f"repr({place})", f"repr({local})"))
        if self.names.tells_apart:
            self.kept.append(value)
            if (first := self.seen.setdefault(id(value), local)) != local:
                self.guards.need(f"{local} is {first}", name)
            else:
                self.objects[local] = value

    def other(self, local: str, value: Any, name: str, argument: bool) -> None:
        """Containers that are not indexed, and values that never change; else an object."""
        of_library = room_of_class(type(value)) == "library"
        room = type(value).__module__.partition(".")[0] if of_library else ""
        if is_a(value, (set, frozenset)):
            self.elements(local, value, name, argument)
        elif is_a(value, np.ndarray):
            self.array(local, value, name)
        elif is_a(value, types.MappingProxyType):
            self.kept.append(shown := dict(value))
            # It shows a dict, or one of a class of its own, whose copy is one, too.
            for at, one in ((local, value), (f"{local}.copy()", value.copy())):
                self.guards.need(f"type({at}) is {self.guards.value(type(one))}", f"{name}: its type")
            self.mapping(self.guards.let(f"{self.guards.value(dict)}({local})"), shown, name, argument)
        elif is_a(value, (Enum, *ATOMS, *GETTERS)):
            self.atom(local, value, name)
        elif is_a(value, slice) and not all(map(is_plain_value, ends_of(value))):
            for n, part in enumerate(ends_of(value)):
                self.visit(f"{self.guards.value(ends_of)}({local})[{n}]", part, f"{name}[{n}]", argument)
        elif (room in VALUES and not is_a(value, decimal_contexts())) or is_a(value, (slice, range)):
            self.decimals |= room == "decimal"
            known = self.guards.value(value)
            told = f"{name}: {{repr({local})}} instead of {value!r}"
            self.guards.need(f"{local} is {known} or same({local}, {known})", told)
            self.klass(type(value))
            for part in NUMBERS.intersection(dir(type(value))):  # which the private name can set
                self.guards.need(f"{local}.{part} == {getattr(value, part)!r}", told)
            zone = getattr(value, "tzinfo", None) if room == "datetime" else None
            if zone is not None and room_of_class(type(zone)) != "library":
                self.visit(f"{local}.tzinfo", zone, f"{name}.tzinfo")
        elif (is_a(value, types.GeneratorType) and value.gi_code not in self.ran) or only_written(value):
            self.identical(local, value, name)
        elif is_a(value, (*VIEWS, weakref.ProxyType, weakref.CallableProxyType)):
            self.view(local, value, name)
        elif is_a(value, types.TracebackType):
            self.traceback(local, name)
        else:
            self.object(local, value, name, argument)

    def object(self, local: str, value: Any, name: str, argument: bool) -> None:
        """Of the user's, of ours, or one that cannot be looked into."""
        kind = type(value)
        if reason := cannot_follow(value, name):
            self.refuse(reason)
        elif is_a(getattr_static(value, "__array_interface__", None), dict):
            self.refuse(
                f"{name} names memory in __array_interface__: make it a tensor outside, with tg.tensor"
            )
        elif kind.__name__ in LOCKS and room_of_class(kind) == "library":
            self.lock(local, value, name, argument)
        elif base := next((b for b in UNWRAP if is_a(value, b)), None):
            known = self.guards.fresh_value(UNWRAP[base](value))
            self.guards.need(f"same({self.guards.value(UNWRAP[base])}({local}), {known})", name)
            self.attributes(local, value, name, argument)
        elif is_optimizer(kind):
            self.optimizer(local, value, name)
        elif is_average(kind):
            for attribute, part in vars(value).items():
                self.visit(f"{local}.__dict__[{attribute!r}]", part, f"{name}.{attribute}")
        elif kind.__module__ == "tapegrad.compiler.run.jit":
            self.visit(f"{local}.f", value.f, name)
            self.own_attributes(local, value, name)
        elif is_function_in_c(kind):
            self.identical(local, value, name)
        elif opaque(kind):
            self.refuse(
                f"{name} is a {kind.__module__}.{kind.__qualname__}, which cannot be looked into: read what is needed "
                "of it outside, and pass that in"
            )
        else:
            self.attributes(local, value, name, argument)


def only_written(stream: Any) -> bool:
    """Whether it is the terminal's, or another stream that gives nothing: what is written to it is heard."""
    if any(stream is s for s in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)):
        return True
    in_c = type(stream).__module__ == "_io" and hasattr(type(stream), "writelines")
    return in_c and not stream.closed and not stream.readable()


def reached(
    f: Function, args: Args, kwargs: Kwargs, heard: Listener, inputs: Iterable[str], kept: Iterable[Kept]
) -> Reach:
    """The walk, and once more where it came to names that nobody knew before."""
    with deep_recursion():
        reach = Reach(f, heard, inputs, (), kept)
        reach.walk(args, kwargs)
        if not reach.more <= reach.names.user:
            reach = Reach(f, heard, inputs, reach.more, kept)
            reach.walk(args, kwargs)
    return reach


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Python's own calls may be nested deeply inside: a list of linked objects is gone through one in another."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def is_of_logging(code: types.CodeType) -> bool:
    logging = sys.modules.get("logging")
    return logging is not None and code.co_filename == logging.__file__
