"""What a user's function may keep from one call to the next: in lists and dicts, attributes of objects and classes,
variables around it, arrays, open files."""

import sys
import sysconfig
from collections import deque
from collections.abc import Callable, Iterator
from functools import cache, partial
from io import IOBase
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from tapegrad.autograd.attributes import is_ours
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import BY_TYPE

LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platlib", "purelib")})
PLAIN = (bool, int, float, complex, str, bytes, type(None))
NOTHING = object()  # in the place of a variable that is not set

Contents = list[Any]  # of an object, one after the other


class Kept:
    """The contents of all that a function can reach, and that a call of it may change.

    Tensors are not looked into: who runs a function again hears what it writes to.
    """

    def __init__(self, *roots: object) -> None:
        # id of an object -> its contents, and what puts them back; the object is kept with that.
        self.found: dict[int, tuple[Contents, Callable[[], Contents], Callable[[], None]]] = {}
        self.seen: dict[int, object] = {}
        waiting = list(roots)
        while waiting:
            value = waiting.pop()
            if isinstance(value, (*PLAIN, Tensor, ModuleType)) or is_device_array(value):
                continue
            if id(value) not in self.seen:
                self.seen[id(value)] = value
                waiting += self.look_into(value)

    def look_into(self, value: Any) -> Contents:
        """Note the contents of an object, if it is one that may change; returns what is inside."""
        if isinstance(value, FunctionType):
            return self.around(value)
        if isinstance(value, type):
            return self.of_class(value) if is_users(value) else []
        if isinstance(value, np.ndarray):
            if value.flags.writeable:
                self.keep(value, partial(array_contents, value), partial(set_array, value))
            return []
        if isinstance(value, IOBase):
            self.keep(value, partial(place_in_file, value), partial(set_place, value))
            return []
        if isinstance(value, MethodType):
            return [value.__self__, value.__func__]
        if isinstance(value, partial):
            return [value.func, *value.args, value.keywords]
        if isinstance(value, CellType):
            return self.keep(value, partial(cell_contents, value), partial(set_cell, value))
        if isinstance(value, (dict, list, set, deque)):
            copy = value.copy()
            self.keep(value, partial(items_of, value), partial(refill, value, copy))
            return items_of(value)
        if type(value).__module__.startswith("tapegrad.compiler."):
            return [getattr(value, "__wrapped__", None)]  # what it counts and keeps is not the user's
        inside = list(value) if isinstance(value, (tuple, frozenset)) else []
        for name in slots_of(type(value)):
            slot = KeptValue(value, name)
            inside += self.keep(slot, slot.contents, slot.put)
        attributes = getattr(value, "__dict__", None)
        return [*inside, type(value), attributes] if isinstance(attributes, dict) else [*inside, type(value)]

    def of_class(self, cls: type) -> Contents:
        """The attributes of a class, which its methods may set, and what these use."""
        variables = vars(cls)
        self.keep(cls, partial(items_of, variables), partial(set_attributes, cls))
        functions = [getattr(f, "__func__", f) for f in variables.values()]
        functions += [f for p in variables.values() if isinstance(p, property) for f in (p.fget, p.fset)]
        return [*functions, *cls.__bases__]

    def around(self, f: FunctionType) -> Contents:
        """The variables around a function, and its defaults."""
        inside: Contents = [getattr(f, "__wrapped__", None), f.__defaults__, f.__kwdefaults__, f.__dict__]
        if is_ours(f.__module__ or ""):
            return inside[:1]
        inside += f.__closure__ or ()
        if not f.__code__.co_filename.startswith(LIBRARIES):
            for name in global_names(f.__code__):
                variable = Variable(f.__globals__, name)
                inside += self.keep(variable, variable.contents, variable.put)
        return inside

    def keep(self, value: object, contents: Callable[[], Contents], put: Callable[..., None]) -> Contents:
        before = contents()
        # Dicts and lists are refilled from a copy; a variable gets back what it held.
        back = put if isinstance(value, (dict, list, set, deque)) else partial(put, *before)
        self.found[id(value)] = before, contents, back
        self.seen[id(value)] = value
        return before

    def put_back(self) -> bool:
        """Put back what has changed; returns whether anything had."""
        changed = False
        for before, contents, back in self.found.values():
            now = contents()
            if len(now) != len(before) or not all(map(is_same, before, now)):
                back()
                changed = True
        return changed


class KeptValue:
    """An attribute of an object without a __dict__."""

    def __init__(self, owner: object, name: str) -> None:
        self.owner, self.name = owner, name

    def contents(self) -> Contents:
        return [getattr(self.owner, self.name, NOTHING)]

    def put(self, value: object) -> None:
        if value is NOTHING:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, value)


class Variable:
    """A global variable of a module."""

    def __init__(self, variables: dict[str, Any], name: str) -> None:
        self.variables, self.name = variables, name

    def contents(self) -> Contents:
        return [self.variables.get(self.name, NOTHING)]

    def put(self, value: object) -> None:
        if value is NOTHING:
            self.variables.pop(self.name, None)
        else:
            self.variables[self.name] = value


def is_same(a: object, b: object) -> bool:
    return a is b or (type(a) is type(b) and type(a) in PLAIN and a == b)


def items_of(value: Any) -> Contents:
    return [part for item in value.items() for part in item] if hasattr(value, "items") else list(value)


def refill(value: Any, copy: Any) -> None:
    value.clear()
    if isinstance(value, (dict, set)):
        value.update(copy)
    else:
        value.extend(copy)


def cell_contents(cell: CellType) -> Contents:
    try:
        return [cell.cell_contents]
    except ValueError:  # not set yet
        return [NOTHING]


def set_cell(cell: CellType, value: object) -> None:
    if value is NOTHING:
        del cell.cell_contents
    else:
        cell.cell_contents = value


def is_users(cls: type) -> bool:
    """Whether a class is neither ours nor of a library."""
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None) or ""
    known = is_ours(cls.__module__) or file.startswith(LIBRARIES) or cls.__module__ == "builtins"
    return not known and (bool(file) or cls.__module__ == "__main__")


def slots_of(cls: type) -> list[str]:
    """The attributes that the classes of a user name in `__slots__`."""
    found = []
    for base in cls.__mro__:
        given = vars(base).get("__slots__", ()) if is_users(base) else ()
        for name in (given,) if isinstance(given, str) else given:
            private = name.startswith("__") and not name.endswith("__")
            found.append(f"_{base.__name__.lstrip('_')}{name}" if private else name)
    return [name for name in found if name not in ("__dict__", "__weakref__")]


def set_attributes(cls: type, *items: Any) -> None:
    """Let a class have these attributes and no other: a name, its value, the next name, …"""
    before = dict(zip(items[::2], items[1::2], strict=True))
    for name in vars(cls).keys() - before.keys():
        delattr(cls, name)
    for name, value in before.items():
        if vars(cls).get(name, NOTHING) is not value:
            setattr(cls, name, value)


def is_device_array(value: object) -> bool:
    return type(value) in BY_TYPE and not isinstance(value, np.ndarray)


def array_contents(array: np.ndarray) -> Contents:
    return array.ravel().tolist() if array.dtype.hasobject else [array.tobytes()]


def set_array(array: np.ndarray, *contents: Any) -> None:
    if array.dtype.hasobject:
        array[...] = np.fromiter(contents, array.dtype, array.size).reshape(array.shape)
    else:
        array[...] = np.frombuffer(contents[0], array.dtype).reshape(array.shape)


def place_in_file(file: Any) -> Contents:
    """Where an open file is read or written next, and its size."""
    try:
        place = file.tell()
        size = file.seek(0, 2)
        file.seek(place)
    except (OSError, ValueError):  # it is closed, or a pipe
        return [NOTHING, NOTHING]
    return [place, size]


def set_place(file: Any, place: Any, size: Any) -> None:
    if place is not NOTHING and not file.closed:
        if file.writable():
            file.truncate(size)
        file.seek(place)


@cache
def global_names(code: CodeType) -> tuple[str, ...]:
    """The names that a function's code, and the code of functions in it, may look up outside of it."""
    return tuple(dict.fromkeys(_names(code)))


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
