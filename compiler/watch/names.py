"""The names in the code that ran: which attributes count."""

import os
from collections.abc import Iterable
from types import CodeType

from tapegrad.compiler.watch.asking import ALSO_ASKING, ASKING, GETTERS, READING_ALL, asked_by_text
from tapegrad.compiler.watch.code import PRINTING, SHOWING, Part, part_of
from tapegrad.compiler.watch.listen import ENTERING, Listener
from tapegrad.compiler.watch.operators import asked_by_functions

OF_CLASSES = frozenset({"__name__", "__qualname__", "__module__", "__doc__"})
OF_FUNCTIONS = OF_CLASSES | {"__defaults__", "__kwdefaults__", "__annotations__", "__code__"}
# Functions of libraries that compute names of attributes, and ask for none but those that the user's code names.
TAKING_NAMED = frozenset({
    ("functools.py", "cached_property.__get__"), ("enum.py", "property.__get__"), ("dataclasses.py", "fields"),
})  # fmt: skip
# Those that are given the name, as a text, by another function of their file.
GIVEN_NAMES = frozenset(
    ("fromnumeric.py", name) for name in ("_wrapfunc", "_wrapit", "_wrapreduction", "_wrapreduction_any_all")
)
OF_CONTAINERS = frozenset(name for kind in (dict, list, set, tuple, str) for name in dir(kind))
# Functions of libraries that read an attribute of what they are given without its name in the user's code.
READING = {
    ("dataclasses.py", "fields"): "__dataclass_fields__",
    **{
        ("dataclasses.py", name): "__dataclass_fields__"
        for name in ("is_dataclass", "asdict", "astuple", "replace")
    },
    ("typing.py", "get_type_hints"): "__annotations__",
}


class Names:
    """What the code that ran names.

    user           the names in the user's code, and its texts that may be names; `texts`, these texts alone
    handed         of them, those that a method may be called by which is not heard: by code in C, or by a `with`
    used           of them, those that stand in the code as names
    operators      the special methods that its operators, and functions such as `abs` and `operator.mul`, ask for
    of_modules     the names that count in Modules: with those in the code of our layers and models that ran
    of_files       file -> the names in code of ours in it that ran: they count in the objects whose classes it defines
    of_libraries   the names in code of libraries that ran
    of_asked       the attributes that such code asks for which ran for the user's
    asking         whether the user's code, or a library for it, may ask for an attribute that is not there
    all            whether it may read attributes by names it computes: all count then
    computing      names of our classes whose code does that
    tells_apart    whether it may tell objects apart that are equal and never change; by_address: by their numbers
    writes_arrays  whether it may write into a NumPy array
    whole          whether it may read all that is in an object without naming it
    shows          whether it may tell where an object lies
    """

    def __init__(self, heard: Listener, more: Iterable[str]) -> None:
        """more   names that were found otherwise, in an attrgetter, say"""
        parts, own = [heard.part(code) for code in heard.codes("user")], heard.codes("own")
        self.used: set[str] = set().union(*(p.names for p in parts))
        self.user: set[str] = set(more).union(*(p.words for p in parts))
        self.operators = asked_by_functions(self.used).union(*(p.operators for p in parts))
        self.texts: set[str] = set().union(*(p.texts for p in parts))
        self.handed = self.texts.union(more, self.used & ENTERING)
        self.handed.update(a for p in parts for _, _, a, called in p.attributes if not called)
        self.by_text(heard, parts, set(more))
        self.of_modules: set[str] = self.user.union(*(c.co_names for c in own if of_layers(c)))
        self.of_files: dict[str, set[str]] = {}
        for code in own:
            self.of_files.setdefault(code.co_filename, set()).update(code.co_names)
        self.of_libraries: set[str] = set().union(*(c.co_names for c in heard.codes("library")))
        self.tells_apart = any(p.tells_apart for p in parts)
        self.writes_arrays = any(p.writes_arrays for p in parts)
        found = self.used | set(more)
        self.by_address = bool(found & {"id", "hash", "__hash__"})
        called = self.texts if "methodcaller" in found else set()
        found_otherwise = called.union(more)
        self.whole = any(p.prints for p in parts) or not PRINTING.isdisjoint(found_otherwise)
        self.shows = any(p.shows for p in parts) or not SHOWING.isdisjoint(found_otherwise)
        self.by_abc = any(p.asks_abc for p in parts)
        self.computing = {
            c.co_qualname.partition(".")[0] for c in own if not {"getattr", "hasattr"}.isdisjoint(c.co_names)
        }
        # Whether a Module was searched for what is in it.
        self.walked_modules = any(c.co_name == "walk" and of_layers(c) for c in own)

    def by_text(self, heard: Listener, parts: list[Part], more: set[str]) -> None:
        """Attributes that are asked for by a text, by a name that is computed, or in vain."""
        by_libraries = self.asked_by_libraries(heard)
        by_user = [asked_by_text(p) for p in parts]
        inspects = any(c.co_filename.endswith("inspect.py") for c in heard.asked)
        caught = "AttributeError" in self.used or any(p.catches for p in parts)
        reads_all = not READING_ALL.isdisjoint(self.user)
        self.user.update(by_libraries, *filter(None, by_user))
        self.all = (
            None in by_user
            or self.computing_libraries
            or reads_all
            or not ALSO_ASKING.isdisjoint(more)
            or any(p.matches_by_place for p in parts)
            or not self.texts.isdisjoint(GETTERS)
            or inspects
        )
        in_vain = caught or any(p.matches for p in parts) or not ALSO_ASKING.isdisjoint(self.used)
        self.asking = self.all or in_vain or bool(by_libraries)
        # Those that may have been looked for in vain.
        self.asked = frozenset(self.texts | by_libraries | (self.used if caught else set()))
        if inspects:
            self.user |= OF_FUNCTIONS
        for code in heard.asked:
            attribute = READING.get((os.path.basename(code.co_filename), code.co_name))
            if attribute is not None and code.co_name in self.used:
                self.user.add(attribute)

    def asked_by_libraries(self, heard: Listener) -> set[str]:
        """The names that code of libraries asks for which ran for the user's."""
        ran = {c: key_of(c) for c in heard.asked if not c.co_filename.startswith("<frozen importlib")}
        files = {file for file, name in GIVEN_NAMES.intersection(ran.values())}
        found: set[str] = set()
        self.computing_libraries = False
        self.of_asked: set[str] = set()
        for code, key in ran.items():
            part = part_of(code)
            self.of_asked |= asked_of_others(part)
            if key[0] in files:
                found |= part.texts
            if key in TAKING_NAMED | GIVEN_NAMES:
                continue
            names = asked_by_text(part, ASKING)
            for_all = key[0] != "copy.py" and not READING_ALL.isdisjoint(part.words)
            self.computing_libraries |= names is None or for_all
            found |= names or set()
            if "AttributeError" in code.co_names:
                found |= {attribute for _, _, attribute, _ in part.attributes}
        return found


def asked_of_others(part: Part) -> set[str]:
    """The attributes that code of a library asks for of what may be the user's: no global of its own, no object of its
    class, and no container."""
    loaded = {
        a for load, owner, a, _ in part.attributes if load != "LOAD_GLOBAL" and owner not in ("self", "cls")
    }
    return loaded - OF_CONTAINERS


def key_of(code: CodeType) -> tuple[str, str]:
    return os.path.basename(code.co_filename), code.co_qualname


def of_layers(code: CodeType) -> bool:
    return any(f"{os.sep}{room}{os.sep}" in code.co_filename for room in ("nn", "models"))
