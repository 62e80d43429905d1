"""The walk through functions: what they close over, their defaults, their modules' globals."""

import builtins
import gc
import operator
import re
import sys
import types
from functools import partial
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from tapegrad.backends.aliases import Function
from tapegrad.compiler.watch.asking import ASKING, ELSEWHERE, READING_ALL
from tapegrad.compiler.watch.code import part_of
from tapegrad.compiler.watch.kinds import PLAIN, file_of, holds, is_a, is_plain_value, is_python
from tapegrad.compiler.watch.listen import IMPURE_BUILTINS, IMPURE_OWNERS, impure
from tapegrad.compiler.watch.names import OF_FUNCTIONS
from tapegrad.compiler.watch.rooms import room_of
from tapegrad.compiler.watch.walk import Walk


class Functions(Walk):
    """The part of the walk that knows where Python looks up the names in a function."""

    def scope(self, code: CodeType, scope: dict[str, object]) -> None:
        """The globals that a piece of code names, and the builtins that it uses as they are."""
        loaded, part = self.guards.value(sys.modules), self.part(code)
        for module in part.imports:
            if module in sys.modules:
                self.visit(f"{loaded}[{module!r}]", sys.modules[module], module)
            else:
                self.guards.need(f"{module!r} not in {loaded}", f"whether there is a module {module}")
        for name in HANDED_ON & part.values - scope.keys():
            self.refuse(f"it hands {name} on, and what that does cannot be seen: call it directly, outside")
        place = self.guards.value(scope)
        for name in part.globals:
            if (id(scope), name) in self.functions or name in OF_PYTHON:
                continue
            self.functions.add((id(scope), name))
            if name in scope:
                self.visit(f"{place}[{name!r}]", scope[name], name)
                continue
            self.guards.need(f"{name!r} not in {place}", name)
            self.builtin(name, scope.get("__builtins__", builtins))

    def builtin(self, name: str, found_in: object) -> None:
        """A name that is no global: one of Python's builtins, or of those that a module has of its own, or none."""
        known = found_in if type(found_in) is dict else vars(found_in)
        place = self.guards.value(known)
        if name not in known:
            self.guards.need(f"{name!r} not in {place}", name)
        elif known is not vars(builtins):
            self.visit(f"{place}[{name!r}]", known[name], name)
        else:
            self.guards.need(f"{place}[{name!r}] is {self.guards.value(known[name])}", name)

    def unmet_functions(self) -> None:
        """Functions whose code ran, though the walk did not come to them: what they close over counts, too."""
        inner = {k for c in self.user_code for k in c.co_consts if isinstance(k, types.CodeType)}
        left = [c for c in self.user_code if c not in self.functions and c not in inner]
        left = [c for c in left if c.co_freevars or c.co_argcount or c.co_kwonlyargcount]
        for function in gc.get_referrers(*left) if left else ():
            if isinstance(function, types.FunctionType):
                self.function(self.guards.value(function), function, function.__qualname__, constant=True)

    def callable(self, local: str, value: Any, name: str) -> None:
        """Functions and methods of all kinds."""
        known = self.guards.value(value)
        if is_a(value, types.FunctionType):
            self.function(local, value, name, constant=local == known)
        elif is_a(value, types.MethodType):
            self.guards.need(f"type({local}) is {self.guards.value(types.MethodType)}", name)
            self.visit(f"{local}.__func__", value.__func__, name)
            owner = "self" if value is self.f else f"{name}.__self__"
            self.visit(f"{local}.__self__", value.__self__, owner)
        elif is_a(value, partial):
            self.attributes(local, value, name, False)
            for part in ("func", "args", "keywords"):
                self.visit(f"{local}.{part}", getattr(value, part), f"{name}.{part}")
        elif is_a(value, types.ModuleType):
            self.identical(local, value, name)
            self.klass(type(value))
            self.module(known, value, name)
        elif is_a(value, (types.BuiltinFunctionType, types.MethodWrapperType)):
            if value is not print and (what := impure(value, "user")) is not None:
                self.refuse(f"{name} is {what}: what it does cannot be part of a program. Call it outside")
            if value in ASKS:
                self.more |= {*ASKING, ELSEWHERE}
            of, told = value.__self__, value.__name__ in READING_ALL
            if told or value in TELLING or type(of).__module__ in IMPURE_OWNERS:
                self.more.add(value.__name__)
            if is_a(of, str) and value.__name__ in ("format", "format_map"):  # it reads what the text names
                self.more |= {"format", *re.findall(r"\w+", of)}
            if of is None or isinstance(of, (types.ModuleType, type)):
                self.identical(local, value, name)
            else:
                self.guards.need(f"{local}.__name__ == {value.__name__!r}", name)
                self.visit(f"{local}.__self__", of, f"{name}.__self__")
        else:
            self.identical(local, value, name)
            if (wrapped := getattr(value, "__wrapped__", None)) is not None:  # of functools.lru_cache
                self.kept_results(value, name)
                self.function_attributes(local, value, name, "library")
                room = room_of(wrapped.__code__.co_filename) if is_a(wrapped, FunctionType) else "library"
                self.double_underscored(known, value, name, OF_WRAPPER & vars(value).keys(), room)
                if is_a(wrapped, types.FunctionType):
                    self.ran.add(wrapped.__code__)
                    self.names.user |= part_of(wrapped.__code__).words
                self.visit(self.guards.value(wrapped), wrapped, name)

    def function(self, local: str, f: FunctionType, name: str, constant: bool = False) -> None:
        """What a function closes over, its defaults and globals. A function made again with the same is as good.

        constant   whether the local is this very function, whatever was replaced
        """
        code = f.__code__
        room = room_of(code.co_filename)
        self.double_underscored(local, f, name, OF_FUNCTIONS, room)
        self.function_attributes(local, f, name, room)
        closes = f.__closure__ and not is_ours_by_name(f)
        looked_into = "__closure__" in self.names.user or (code in self.ran and (room == "user" or closes))
        if not looked_into and not (room == "own" and closes):
            if not constant:
                self.identical(local, f, name)
            return
        self.functions.add(code)
        self.guards.need(f"{local}.__code__ is {self.guards.value(code)}", f"the code of {name}")
        if room == "user" and not constant:
            self.guards.need(
                f"{local}.__globals__ is {self.guards.value(f.__globals__)}", f"the module of {name}"
            )
        self.variables(local, f, constant)
        if f.__defaults__:
            self.visit(f"{local}.__defaults__", f.__defaults__, f"the defaults of {name}")
        if f.__kwdefaults__:
            self.visit(f"{local}.__kwdefaults__", f.__kwdefaults__, f"the defaults of {name}")
        if room == "user":
            self.scope(code, f.__globals__)

    def function_attributes(self, local: str, f: Function, name: str, room: str) -> None:
        """Those that somebody gave to a function."""
        own, names = vars(f), self.names
        if room == "own":
            return
        # One of a library's, as of functools.singledispatch, may have what all of its code asks for.
        named = names.user | (names.of_libraries if room == "library" else names.of_asked)
        if self.names.asking or (own and room == "user"):
            keys = self.guards.fresh_value(list(own))
            self.guards.need(f"[*{local}.__dict__] == {keys}", f"the attributes of {name}")
        for attribute, value in own.items():
            computed = self.names.all and (room == "user" or is_plain_value(value))
            if computed or attribute in named:
                self.visit(f"{local}.__dict__[{attribute!r}]", value, f"{name}.{attribute}")

    def variables(self, local: str, f: Function, constant: bool) -> None:
        """What a function closes over, as far as the part of its code that ran names it."""
        code = f.__code__
        all_of_them = code not in self.ran or "__closure__" in self.names.user
        used = code.co_freevars if all_of_them else self.part(code).free
        for n, (variable, cell) in enumerate(zip(code.co_freevars, f.__closure__ or ())):
            if variable not in used:
                continue
            place = self.guards.value(cell) if constant else f"{local}.__closure__[{n}]"
            self.shared(place, cell, variable)
            if is_empty(cell):
                self.guards.need(f"{self.guards.value(is_empty)}({place})", variable)
            else:
                self.visit(f"{place}.cell_contents", cell.cell_contents, variable)

    def shared(self, place: str, cell: Any, variable: str) -> None:
        """A variable that several functions have in common, or each one for itself."""
        self.kept.append(cell)
        if (known := self.seen.setdefault(id(cell), place)) != place:
            self.guards.need(f"{place} is {known}", variable)
        else:
            self.objects[place] = cell

    def kept_results(self, cached: Any, name: str) -> None:
        """What functools.lru_cache keeps must be what nobody can change; the code that made it is looked at as well."""
        # The referents of a bounded cache are its keys and results, then the table.
        parts = gc.get_referents(cached)
        at = max(n for n, part in enumerate(parts) if part is cached.__wrapped__)
        table = parts[at - 1] if type(parts[at - 1]) is dict else {}
        kept = [*parts[: at - 1], *table.values()] if table else []
        keys = set(map(id, table))
        kept = [v for v in kept if id(v) not in keys and type(v).__name__ != "_lru_list_elem"]
        if not all(map(settled, kept)):
            self.refuse(
                f"{name} is under functools.lru_cache, and keeps what may change: call it outside, and pass in what it "
                "gives"
            )
            return
        f = cached.__wrapped__
        if what := does_more(f):
            self.refuse(
                f"{name} is under functools.lru_cache, and {what}, at some calls and not at others: call it outside"
            )
        # Its kept results may be older than what it reads.
        elif is_a(f, types.FunctionType) and reads_outside(f):
            hits, misses, *_ = cached.cache_info()
            info = self.guards.let(f"{self.guards.value(cached)}.cache_info()")
            self.guards.need(f"{info}[1] == {misses} and {info}[0] >= {hits}", f"what {name} keeps")

    def double_underscored(
        self, local: str, value: object, name: str, attributes: frozenset[str], room: str
    ) -> None:
        """What functions and classes have besides their own attributes, where code names it, may compute its name, or
        makes a text of it."""
        asked = attributes & self.names.user
        if room == "user" and self.names.all:
            asked = attributes
        elif room == "user" and self.names.shows:
            asked |= attributes & {"__module__", "__qualname__"}
        for attribute in sorted(asked):
            try:
                held = getattr(value, attribute)
            except NameError:  # annotations of a name to come, from Python 3.14 on: nobody has read them
                continue
            if attribute == "__annotations__" and attribute not in self.names.user:  # as types compare
                known = self.guards.fresh_value(dict(held))
                self.guards.need(f"{local}.{attribute} == {known}", f"{name}.{attribute}")
            else:
                self.visit(f"{local}.{attribute}", held, f"{name}.{attribute}")

    def module(self, local: str, module: types.ModuleType, name: str) -> None:
        """What the user's code names in a Python module, and that what it could ask for is still not there."""
        path = file_of(module) or ""
        made_by_hand = vars(module).get("__spec__") is None
        room = room_of(path) if path else "user" if made_by_hand else "library"
        if room == "user":
            self.guards.need(f"type({local}) is {self.guards.value(type(module))}", f"the class of {name}")
        if room != "own":
            self.absent(local, module, name, room)
        if module is sys and "modules" in self.names.user:
            self.refuse("it reads sys.modules")
        if room == "user" and "__getattr__" in vars(module):
            self.visit(f"{local}.__dict__['__getattr__']", vars(module)["__getattr__"], f"{name}.__getattr__")
        computed = {
            a for a, v in vars(module).items() if is_a(v, (*PLAIN, list, tuple, dict)) and a[:2] != "__"
        }
        for attribute in sorted(
            self.names.user & set(vars(module)) | (computed if self.names.all and room == "user" else set())
        ):
            value = vars(module)[attribute]
            place, told = f"{local}.__dict__[{attribute!r}]", f"{name}.{attribute}"
            hidden = attribute in OF_PYTHON
            if hidden or value is module or (module is sys and attribute == "modules"):
                continue
            known = is_a(value, (*PLAIN, types.ModuleType)) and type(value).__module__ in (
                "builtins",
                "numpy",
            )
            held = room == "library" and not callable(value) and not attribute.startswith("__")
            a_class = is_a(value, type) and is_python(value)  # which may be given attributes
            of_object = is_a(value, types.MethodType) and value.__func__.__code__ in self.ran
            if room == "user" or known or held or a_class or of_object:
                self.visit(place, value, told)
            else:
                self.function_of_module(place, value, told, module)

    def function_of_module(self, place: str, value: Any, told: str, module: types.ModuleType) -> None:
        """It must be the one that it was, and its effects must be heard."""
        name, _, attribute = told.rpartition(".")
        in_c = is_a(value, (types.BuiltinFunctionType, types.MethodWrapperType))  # others are heard
        draws = module.__name__ == "numpy.random" and not is_a(value, type) and attribute != "default_rng"
        if draws and self.uses(module, name, attribute):
            reason = f"it uses {told}, which changes the random numbers of the host: do so outside"
            # The first call may draw; a stream that is set is the same at the end of each call.
            self.refuse(reason) if attribute in OF_STREAMS else self.guards.doubts.append(reason)
        if in_c and impure(value, "user") and False in self.uses(module, name, attribute):
            self.refuse(f"it hands {told} on, and what that does cannot be seen: call it directly, outside")
        self.guards.need(f"{place} is {self.guards.value(value)}", told)

    def uses(self, module: types.ModuleType, known_as: str, name: str) -> set[bool]:
        """How code that ran takes an attribute of a module: whether it calls it at once."""
        called_so, found = {module.__name__.rpartition(".")[2], known_as.rpartition(".")[2]}, set()
        for code, scope in self.heard.scopes.items():
            part = self.part(code)
            for load, owner, attribute, called in part.attributes:
                if attribute != name:
                    continue
                of_globals = load in ("LOAD_GLOBAL", "LOAD_NAME")
                if scope.get(owner) is module if of_globals else owner in called_so | part.fetched:
                    found.add(called)
        return found

    def absent(self, local: str, module: types.ModuleType, name: str, room: str) -> None:
        """Names that could be looked for in a module, and are not there."""
        if self.names.all and room == "user":
            self.guards.need(f"len({local}.__dict__) == {len(vars(module))}", f"the names in {name}")
        wanted = self.names.user if room == "user" else self.names.texts
        if missing := frozenset(w for w in wanted if w not in vars(module)):
            if room == "user":
                missing |= {"__getattr__"} - set(vars(module))
            known = self.guards.fresh_value(missing)
            self.guards.need(f"{local}.__dict__.keys().isdisjoint({known})", f"the names in {name}")


OF_WRAPPER = frozenset({"__annotations__"})  # that one of functools has a copy of, besides texts
# What Python puts into each module, and does not change by itself.
OF_PYTHON = frozenset({"__builtins__", "__loader__", "__spec__", "__path__", "__all__"})
# Functions of np.random that read or set a stream.
OF_STREAMS = frozenset({"seed", "get_state", "set_state", "get_bit_generator", "set_bit_generator"})
# Builtins whose effects are not heard where C code calls them; what `print` writes is.
HANDED_ON = IMPURE_BUILTINS - {"print"}
TELLING = (repr, format, ascii, print, operator.mod, id, hash)  # what is in an object, or which one it is
ASKS = (getattr, hasattr, setattr, vars, dir)


def is_ours_by_name(f: types.FunctionType) -> bool:
    """Whether a module of tapegrad has it under its name: what such a function closes over is not changed."""
    module = f.__module__
    return type(module) is str and module.startswith("tapegrad.") and holds(sys.modules.get(module), f)


def does_more(f: Any, given: bool = False, seen: frozenset[Any] = frozenset()) -> str:
    """What a function, or one that it calls by name, does besides returning a value, as far as code shows; or "".

    given   whether it may change nothing that it is given or makes either: another name may hold that, too
    """
    if not is_a(f, types.FunctionType) or f.__code__ in seen or room_of(f.__code__.co_filename) != "user":
        return ""
    part = part_of(f.__code__)
    if part.changes:
        return f"changes {part.changes}"
    if given and part.mutates:
        return "changes a container or an attribute"
    if impure_names := IMPURE_BUILTINS & set(part.globals) - f.__globals__.keys():
        return f"calls {min(impure_names)}"
    cells = dict(zip(f.__code__.co_freevars, f.__closure__ or ()))
    named = [f.__globals__.get(name) for name in part.globals]
    named += [cells[name].cell_contents for name in part.free if not is_empty(cells[name])]
    return next(filter(None, (does_more(g, given, seen | {f.__code__}) for g in named)), "")


def reads_outside(f: types.FunctionType) -> bool:
    """Whether it names anything but its arguments, other functions and modules."""
    part = part_of(f.__code__)
    found = [f.__globals__.get(name) for name in part.globals if name in f.__globals__]
    return bool(part.free) or not all(callable(v) or is_a(v, types.ModuleType) for v in found)


def settled(value: object) -> bool:
    """Whether nothing in a value can change."""
    if type(value) is tuple:
        return all(map(settled, value))
    kinds = (*PLAIN, types.FunctionType, types.BuiltinFunctionType, type)
    return type(value) is object or (is_a(value, kinds) and not is_a(value, np.void))


def is_empty(cell: types.CellType) -> bool:
    """Whether a variable that a function closes over has no value yet."""
    try:
        _ = cell.cell_contents
    except ValueError:
        return True
    return False
