"""The walk through what libraries look up as they run for the user's code: their functions, their tables, what their
classes have, and what is registered with `codecs`. Each may be replaced by another one."""

import codecs
import encodings
from collections.abc import Iterator, Mapping, Sequence
from dis import Instruction
from functools import cache
from operator import is_
from types import CodeType
from typing import Any

from tapegrad.compiler.watch.asking import ends_of_arguments
from tapegrad.compiler.watch.atoms import Atoms
from tapegrad.compiler.watch.code import CONSTANT, NAMED, part_of
from tapegrad.compiler.watch.kinds import CALLABLE, LONGEST, is_a, is_plain_value, is_python
from tapegrad.compiler.watch.listen import CODING, IMPORTING, IMPURE_FUNCTIONS, PURE_MODULES
from tapegrad.compiler.watch.sameness import found_in_c

# What makes a text of bytes or bytes of a text -> from which of its arguments on they say how.
HOW = {"encode": 1, "decode": 1, "str": 2, "bytes": 2, "bytearray": 2}


class Libraries(Atoms):
    """The part of the walk that goes to what code of libraries names."""

    def libraries(self) -> None:
        """What code of libraries that ran for the user's code finds by name."""
        for code, scope in self.heard.asked.items():
            module = str(scope.get("__name__"))
            known = module in PURE_MODULES or module.startswith("numpy.")
            if known and module not in IMPORTING and (module, code.co_name) not in IMPURE_FUNCTIONS:
                for name in part_of(code).globals:
                    if name in scope:
                        self.of_library(scope, f"{self.guards.value(scope)}[{name!r}]", name, module)
                self.found_again(code, scope, module)
        self.codecs()

    def found_again(self, code: CodeType, scope: dict[str, Any], module: str) -> None:
        """A method of a class there must still be found in it, and what it names of the class."""
        first: Any = scope.get(code.co_qualname.partition(".")[0])
        # What is made by another function there, such as an operator of Fraction, may be in any of its classes.
        kinds = [first] if is_a(first, type) else [v for v in scope.values() if is_a(v, type)]
        for kind in kinds if "." in code.co_qualname else ():
            own, place = vars(kind), f"{self.guards.value(kind)}.__dict__"
            methods = [name for name, part in own.items() if code in map(code_of, parts_of(part))]
            for name in dict.fromkeys([*methods, *(code.co_names if methods else ())]):
                if name in own and is_python(kind):
                    self.of_library(own, f"{place}[{name!r}]", name, f"{module}.{kind.__qualname__}")

    def of_library(self, scope: Mapping[str, Any], place: str, name: str, owner: str) -> None:
        """A global, or what a class has: the same object, and the same in a table and in an object that is no class."""
        g, value, told = self.guards, scope[name], f"{owner}.{name}"
        if place in self.functions or "cache" in name.lower():
            return
        self.functions.add(place)
        if is_plain_value(value):
            self.plain(place, value, told)
            return
        g.need(f"{place} is {g.value(value)}", told)
        held: Any = value if type(value) in (dict, list, set) else getattr(value, "__dict__", None)
        if is_a(value, (*CALLABLE, type)) or type(held) not in (dict, list, set):
            return
        if len(held) > LONGEST:
            self.refuse(f"it uses {told}, which has {len(held):,} entries")
        elif type(held) is dict and all(map(found_in_c, held)):
            d, known = g.value(held), g.fresh_value(dict(held))
            g.need(f"[*{d}] == [*{known}]", told)
            g.need(f"all(map({g.value(is_)}, {d}.values(), {known}.values()))", told)
        elif type(held) is not dict:
            d, known = g.value(held), g.fresh_value(list(held))
            g.need(f"len({d}) == {len(held)} and all(map({g.value(is_)}, {d}, {known}))", told)

    def codecs(self) -> None:
        """Codecs, and handlers of errors, that somebody registered: C looks them up by a text."""
        if self.names.used.isdisjoint(HOW):
            return
        parts = [self.heard.part(code) for code in self.heard.scopes]
        found: list[tuple[Any, str]] = [
            (codecs.lookup_error, text)
            for part in parts
            for text in constants_of(part.code)
            if text not in STANDARD
        ]
        for part in parts:
            for name, texts in codings(part.ran):
                if name in CODING and part.code not in self.heard.coding:  # a method of the user's
                    continue
                if texts is None:
                    self.refuse(
                        f"it names an encoding or its errors for {name}() by a variable: write a text"
                    )
                else:
                    found += [(codecs.lookup, t) for t in texts if t not in STANDARD and not is_standard(t)]
        for look_up, text in dict.fromkeys(found):
            if (known := registered(look_up, text)) is not None:
                place = self.guards.let(
                    f"{self.guards.value(registered)}({self.guards.value(look_up)}, {text!r})"
                )
                self.guards.need(f"{place} is {self.guards.value(known)}", f"what is registered as {text!r}")
                for f in known[:2] if is_a(known, tuple) else (known,):
                    self.visit(self.guards.value(f), f, text)


def registered(look_up: Any, text: str) -> Any:
    try:
        return look_up(text)
    except LookupError:
        return None


def is_standard(text: str) -> bool:
    """Whether Python has a codec of that name."""
    try:
        return encodings.search_function(text) is not None
    except (ImportError, ValueError):
        return False


@cache
def constants_of(code: CodeType) -> frozenset[str]:
    """The texts in a piece of code, those for names of arguments and the like among them."""
    inside = [c for k in code.co_consts for c in (k if type(k) is tuple else (k,))]
    return frozenset(c for c in inside if type(c) is str)


def codings(ran: Sequence[Instruction]) -> Iterator[tuple[str, tuple[str, ...] | None]]:
    """Each call that encodes or decodes: its name, and the texts that it is given for that; None: something else."""
    for n, i in enumerate(ran):
        if i.opcode in NAMED and i.argval in HOW:
            ends = ends_of_arguments(ran, n)
            given = [
                ran[end - (ran[end].opname == "KW_NAMES")] for k, end in ends.items() if k >= HOW[i.argval]
            ]
            texts = [g.argval for g in given if g.opcode in CONSTANT and type(g.argval) is str]
            yield str(i.argval), tuple(texts) if len(texts) == len(given) else None


def parts_of(attribute: Any) -> list[Any]:
    """The functions in what a class has under a name."""
    if is_a(attribute, property):
        return [attribute.fget, attribute.fset, attribute.fdel]
    return [getattr(attribute, "__func__", attribute)]


def code_of(f: Any) -> Any:
    return getattr(f, "__code__", None)


# Those of Python's own, which C knows without looking.
STANDARD = frozenset({
    "strict", "ignore", "replace", "xmlcharrefreplace", "backslashreplace", "namereplace", "surrogateescape",
    "surrogatepass",
})  # fmt: skip
