"""What a user's function may keep from one call to the next: in lists and dicts, attributes, variables around it."""

import sysconfig
from collections import deque
from collections.abc import Callable, Iterator
from functools import cache, partial
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from tapegrad.autograd.attributes import is_ours
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import BY_TYPE

LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platlib", "purelib")})
PLAIN = (bool, int, float, complex, str, bytes, type(None))
NOTHING = object()  # in the place of a variable that is not set

Contents = list[Any]  # of an object, one after the other


class Kept:
    """The contents of all that a function can reach, and that a call of it may change.

    Tensors and arrays are not looked into: who runs a function again hears what it writes to.
    """

    def __init__(self, *roots: object) -> None:
        # id of an object -> its contents, and what puts them back; the object is kept with that.
        self.found: dict[int, tuple[Contents, Callable[[], Contents], Callable[[], None]]] = {}
        self.seen: dict[int, object] = {}
        waiting = list(roots)
        while waiting:
            value = waiting.pop()
            if isinstance(value, (*PLAIN, Tensor, ModuleType, type)) or type(value) in BY_TYPE:
                continue
            if id(value) not in self.seen:
                self.seen[id(value)] = value
                waiting += self.look_into(value)

    def look_into(self, value: Any) -> Contents:
        """Note the contents of an object, if it is one that may change; returns what is inside."""
        if isinstance(value, FunctionType):
            return self.around(value)
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
        attributes = getattr(value, "__dict__", None)
        return [*inside, attributes] if isinstance(attributes, dict) else inside

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
    return [part for item in value.items() for part in item] if isinstance(value, dict) else list(value)


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


@cache
def global_names(code: CodeType) -> tuple[str, ...]:
    """The names that a function's code, and the code of functions in it, may look up outside of it."""
    return tuple(dict.fromkeys(_names(code)))


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
