"""The walk through objects and their classes: attributes, slots, methods, descriptors."""

import sys
import types
from functools import cache
from typing import Any

from tapegrad.autograd.foreign import answering
from tapegrad.autograd.structure import is_module_class
from tapegrad.autograd.tensor import Tensor
from tapegrad.compiler.watch.functions import Functions
from tapegrad.compiler.watch.guards import Guards
from tapegrad.compiler.watch.kinds import OPEN, PLAIN, in_c, is_a, is_python, room_of_class
from tapegrad.compiler.watch.names import OF_CLASSES

DESCRIPTORS = (classmethod, staticmethod, property)
ANSWERING = answering(lambda: None).__code__
# What a class has under names with two underscores, and does not matter if its code did not run.
OF_ANY_CLASS = frozenset({
    "__module__", "__doc__", "__dict__", "__weakref__", "__qualname__", "__annotations__", "__slots__",
    "__dataclass_fields__", "__dataclass_params__", "__match_args__", "__orig_bases__", "__parameters__",
    "__abstractmethods__", "__firstlineno__", "__static_attributes__", "__hash__", "__type_params__",
    "__annotate_func__", "__annotations_cache__", "__classdictcell__", "__conditional_annotations__",
})  # fmt: skip
FROM_CLASSES = frozenset({"builds"})  # what Module's code reads from the class, so that no instance hides it
COMPUTED = ("__annotations__", "__match_args__")  # what counts where code computes names
NAMED_AS = {"__annotations_cache__": "__annotations__"}  # from Python 3.14 on, once they were asked for
ORDINARY = (
    types.FunctionType, types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType,
    *DESCRIPTORS,
)  # fmt: skip


class Classes(Functions):
    """The part of the walk that knows how Python finds an attribute."""

    def names_for(self, kind: type) -> set[str]:
        """The attributes that count in instances of a class."""
        if is_module_class(kind):
            return self.names.of_modules | self.names.of_asked
        room = room_of_class(kind)
        if room == "own":
            files = {getattr(sys.modules.get(c.__module__), "__file__", "") for c in kind.__mro__}
            return self.names.of_modules.union(*(self.names.of_files.get(f or "", ()) for f in files))
        return self.names.user | self.named_by_libraries(kind)

    def named_by_libraries(self, kind: type) -> set[str]:
        """The attributes of a class of the user's that code of libraries may ask for."""
        of_library = any(room_of_class(c) == "library" for c in kind.__mro__[:-1])
        return self.names.of_libraries if of_library else self.names.of_asked

    def computes_names(self, kind: type) -> bool:
        """Whether code of a class of ours ran that reads attributes by names it computes: all of them count."""
        return any(room_of_class(c) == "own" and c.__name__ in self.names.computing for c in kind.__mro__)

    def attributes(self, local: str, value: object, name: str, argument: bool) -> None:
        kind, g = type(value), self.guards
        g.need(f"type({local}) is {g.value(kind)}", f"the class of {name}")
        self.klass(kind)
        names, module = self.names_for(kind), is_module_class(kind)
        if module:
            self.modules[id(value)] = name
            self.roots |= {name} if name.isidentifier() else set()
        if (own := instance_dict(value)) is not None:
            d = g.let(dict_of(kind, local, g))
            if any((id(value), attribute) in self.without for attribute in own):
                own = {k: v for k, v in own.items() if (id(value), k) not in self.without}
                self.keys_before[d] = list(own), name
            room = room_of_class(kind)
            self.present(d, own, kind, name)
            everything = self.names.all or (self.names.whole and (kind.__module__, kind.__name__) in OPEN)
            computed = self.computes_names(kind)
            for attribute, part in list(own.items()):
                inside = (
                    module
                    and self.names.walked_modules
                    and is_a(part, (Tensor, list, tuple, dict, *modules()))
                )
                users = module or room == "user" or in_c(kind)
                if (everything and users) or computed or attribute in names or inside:
                    self.visit(f"{d}[{attribute!r}]", part, f"{name}.{attribute}", argument and not module)
        for slot, member in slots(kind).items():
            if self.names.all or slot in names:
                fetch = g.value(member)
                try:
                    part = member.__get__(value, kind)
                except AttributeError:
                    g.need(f"{g.value(absent)}({fetch}, {local})", f"{name}.{slot}")
                else:
                    place, told = f"{fetch}.__get__({local})", f"{name}.{slot}"
                    if member.__get__(value, kind) is part:
                        self.visit(place, part, told, argument and not module)
                    else:  # made of C's number when it is asked for
                        g.need(f"{place} == {g.fresh_value(part)}", told)

    def present(self, d: str, own: dict[str, object], kind: type, name: str) -> None:
        """Which attributes an object has of its own: one that appears hides that of the class."""
        g = self.guards
        if d in self.keys_before:  # asked at the end, of the moment before the call
            return
        if room_of_class(kind) == "user" and len(own) <= 100:
            g.need(f"[*{d}] == {g.fresh_value(list(own))}", f"the attributes of {name}")
            return
        by_name = kind.__module__.startswith("tapegrad.nn.") and not self.computes_names(kind)
        if self.names.walked_modules or self.names.all or not by_name:
            g.need(f"len({d}) == {len(own)}", f"the attributes of {name}")
        for shadow in sorted((self.names_for(kind) - FROM_CLASSES | self.names.user) - set(own)):
            hides = resolves(kind, shadow)
            used = hides is not None and getattr(hides, "__code__", None) in (None, *self.ran)
            if used and not shadow.startswith("__"):
                g.need(f"{shadow!r} not in {d}", f"{name}.{shadow}")
        self.missing(d, own, f"the attributes of {name}")

    def guard_kept(self) -> None:
        """Objects whose cached properties were used for the first time have kept nothing before the call."""
        for d, (keys, name) in self.keys_before.items():
            known = self.guards.fresh_value(keys)
            self.guards.need(f"[*{d}] == {known}", f"the attributes of {name}", entry=True)

    def missing(self, d: str, own: Any, name: str) -> None:
        """Names that may have been asked for and are not there, as in getattr(model, "scale", 1.0)."""
        if self.names.asking and (names := self.names.asked - own.keys()):
            self.guards.need(f"{d}.keys().isdisjoint({self.guards.fresh_value(names)})", name)

    def klass(self, kind: type) -> None:
        """What the code that ran finds in a class of the user's, or of ours."""
        if id(kind) in self.classes:
            return
        self.classes.add(id(kind))
        meta: Any = type(kind).__mro__ if type(kind) is not type else ()
        plain, names = not meta, self.names.user | self.named_by_libraries(kind)
        for of in (*kind.__mro__, *meta):
            if (room := room_of_class(of)) == "library":
                self.class_of_library(of)
                continue
            at = self.guards.value(of)
            if type(of) is not type:  # that of any other may be replaced
                told = f"the class of {of.__name__}"
                self.guards.need(f"type({at}) is {self.guards.value(type(of))}", told)
            if room == "own":
                self.missing(f"{at}.__dict__", vars(of), f"the attributes of {of.__name__}")
            if room == "user":
                settable = room if is_python(of) else "library"
                self.double_underscored(at, of, of.__name__, OF_CLASSES, settable)
                keys = self.guards.fresh_value(list(vars(of)))
                self.guards.need(f"[*{at}.__dict__] == {keys}", f"the attributes of {of.__name__}")
                self.guards.need(
                    f"{at}.__mro__ is {self.guards.value(of.__mro__)}", f"the bases of {of.__name__}"
                )
                if "__abstractmethods__" in vars(of):
                    told = f"{of.__name__}.__abstractmethods__"
                    self.visit(f"{at}.__abstractmethods__", of.__abstractmethods__, told)
            for attribute, value in list(vars(of).items()):
                if self.counts(attribute, value, room, names):
                    self.class_attribute(kind if plain else of, of, attribute, value, plain)

    def class_of_library(self, of: type) -> None:
        """What the user's code and its operators ask for in a class that can be given something else."""
        asked = (self.names.user | self.names.operators) & vars(of).keys() if is_python(of) else set()
        for attribute in sorted(asked - {"__dict__", "__weakref__", "__doc__", "__module__", "__class__"}):
            value, name = vars(of)[attribute], f"{of.__name__}.{attribute}"
            self.guards.need(
                f"{self.guards.value(of)}.__dict__[{attribute!r}] is {self.guards.value(value)}", name
            )
            if is_a(value, types.FunctionType):
                self.function(self.guards.value(value), value, name, constant=True)

    def counts(self, attribute: str, value: Any, room: str, names: set[str]) -> bool:
        """Whether an attribute of a class is to be looked at. names: those that code asks for."""
        held = value.__func__ if is_a(value, (classmethod, staticmethod)) else value
        function = getattr(held, "fget", held)
        code = getattr(function, "__code__", None)
        if code is ANSWERING:  # the one wrapper of many functions: of this one, if that ran
            code = getattr(function.__wrapped__, "__code__", code)
        if code is not None and code in self.ran:
            return True
        if is_a(value, types.GetSetDescriptorType):
            return False
        if attribute.startswith("__"):
            return (
                NAMED_AS.get(attribute, attribute) in self.names.user
                or (self.names.all and NAMED_AS.get(attribute, attribute) in COMPUTED)
                or (attribute not in OF_ANY_CLASS and not is_a(held, ORDINARY))
            )
        if room == "own":
            return attribute in self.names.user and is_a(value, PLAIN)
        return self.names.all or attribute in names or attribute in self.names.of_modules

    def class_attribute(self, asked: type, of: type, attribute: str, value: Any, plain: bool) -> None:
        name, g = f"{of.__name__}.{attribute}", self.guards
        raw = f"{g.value(of)}.__dict__[{attribute!r}]"
        if is_a(value, types.FunctionType):
            inherited = (
                plain
                and attribute.isidentifier()
                and asked.__dict__.get(attribute, value) is value
                and resolves(asked, attribute) is value
            )
            known = g.value(value)
            g.need(f"{g.value(asked)}.{attribute} is {known}" if inherited else f"{raw} is {known}", name)
            self.function(known, value, name, constant=True)
        elif is_a(value, DESCRIPTORS):
            g.need(f"{raw} is {g.value(value)}", name)
            for part in ("fget", "fset") if is_a(value, property) else ("__func__",):
                f = getattr(value, part)
                # Who calls a property's __init__ again gives it other functions.
                if room_of_class(of) == "user":
                    g.need(f"{g.value(value)}.{part} is {g.value(f)}", name)
                if isinstance(f, types.FunctionType):
                    self.function(g.value(f), f, name, constant=True)
                elif f is not None:
                    self.visit(g.value(f), f, name)
        else:
            self.visit(raw, value, name)


def resolves(kind: type, attribute: str) -> Any:
    """What a class finds under a name, without any descriptor being asked."""
    return next((vars(c)[attribute] for c in kind.__mro__ if attribute in vars(c)), None)


def absent(member: Any, value: Any) -> bool:
    """Whether a slot of an object is empty."""
    try:
        member.__get__(value)
    except AttributeError:
        return True
    return False


def instance_dict(value: object) -> dict[str, Any] | None:
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return found if isinstance(found, dict) else None


def dict_of(kind: type, local: str, g: Guards) -> str:
    """The expression for an object's own attributes, which runs no code of the user's."""
    usual: Any = object.__getattribute__
    if kind.__getattribute__ is usual:
        return f"{local}.__dict__"
    return f"{g.value(usual)}({local}, '__dict__')"


def slots(kind: type) -> dict[str, Any]:
    return {
        name: member
        for c in reversed(kind.__mro__)
        for name, member in vars(c).items()
        if isinstance(member, types.MemberDescriptorType)
    }


@cache
def modules() -> tuple[type, ...]:
    from tapegrad.nn.module import Module

    return (Module,)
