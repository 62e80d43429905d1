"""The walk through lists, dicts and sets. A class of the user's that is built on one of them may say how long it is and
what is in it: the check asks the list, dict or set that it is, and runs no code of the user's."""

import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from operator import is_
from typing import Any

from tapegrad.compiler.watch.kinds import LONGEST, PLAIN, is_a, is_plain_value
from tapegrad.compiler.watch.sameness import found_in_c
from tapegrad.compiler.watch.tensors import Tensors

OF_TYPES = frozenset({"type", "isinstance", "__class__"})  # names of what asks for a type


class Containers(Tensors):
    """The part of the walk that goes through what holds other values."""

    def sequence(self, local: str, value: Any, name: str, argument: bool) -> None:
        base = next(b for b in (list, tuple, deque) if is_a(value, b))
        elements = list(base.__iter__(value))
        if len(elements) > LONGEST:
            self.refuse(f"{name} has {len(elements):,} elements: pass the one that is needed as an argument")
            return
        exact, g = type(value) is base, self.guards
        called = lambda method: f"{g.value(getattr(base, method))}({local}"
        length = f"len({local})" if exact else f"{called('__len__')})"
        g.need(
            f"type({local}) is {g.value(type(value))} and {length} == {len(elements)}",
            f"{name}: its length or type",
        )
        if self.are_simple(elements):
            self.simple(local if exact else f"{called('__iter__')})", elements, f"an element of {name}")
        else:
            fields = getattr(value, "_fields", None)
            for n, part in enumerate(elements):
                told = f"{name}.{fields[n]}" if fields else f"{name}[{n}]"
                place = f"{local}[{n}]" if exact else f"{called('__getitem__')}, {n})"
                self.visit(place, part, told, argument)
        if base is deque:
            g.need(f"{local}.maxlen == {deque.maxlen.__get__(value)}", f"{name}.maxlen")
        if not exact:
            self.attributes(local, value, name, argument)

    def are_simple(self, values: list[Any]) -> bool:
        """Whether they are many numbers and texts, which are compared in one line."""
        return len(values) > 16 and all(type(v) in (bool, int, float, str) for v in values)

    def simple(self, given: str, values: list[Any], name: str) -> None:
        """These, one after the other: the same objects, which is soon seen, or such as are the same."""
        g = self.guards
        known = g.fresh_value(values)
        g.need(f"all(map({g.value(is_)}, {given}, {known})) or all(map(same, {given}, {known}))", name)

    def mapping(self, local: str, value: dict[Any, Any], name: str, argument: bool) -> None:
        if dict.__len__(value) > LONGEST:
            self.refuse(
                f"{name} has {dict.__len__(value):,} entries: pass the one that is needed as an argument"
            )
            return
        g, ours = self.guards, type(value) in (dict, OrderedDict, Counter, defaultdict)
        each = OrderedDict.__iter__ if is_a(value, OrderedDict) else dict.__iter__
        keys = list(each(value))
        g.need(f"type({local}) is {g.value(type(value))}", f"{name}: its type")
        held = f"[*{local}]" if ours else f"[*{g.value(each)}({local})]"
        known = g.fresh_value(keys)
        texts = all(type(k) is str for k in keys) and self.names.used.isdisjoint(OF_TYPES)
        asked = f"{held} == {known}" if texts else f"in_order({held}, {known})"
        g.need(asked, f"the keys of {name}")
        values = list(value.values()) if ours else []
        if self.are_simple(values) and all(is_a(key, PLAIN) for key in keys):
            self.simple(f"{local}.values()", values, f"an entry of {name}")
            keys = []
        places = self.entries(local, value, name)
        for n, key in enumerate(keys):
            for part in parts_of(key):
                self.key(part, f"key {n} of {name}")
            if type(key) is not str or key != "__builtins__":
                part, place = places[id(key)]
                # The text of an object may change, and is code of the user's.
                told = f"[{key!r}]" if is_a(key, PLAIN) else f"[key {n}]"
                self.visit(place, part, name + told, argument)
        if type(value) is defaultdict:
            self.visit(f"{local}.default_factory", value.default_factory, f"{name}.default_factory")
        if not ours:
            self.attributes(local, value, name, argument)

    def entries(self, local: str, value: dict[Any, Any], name: str) -> dict[int, tuple[Any, str]]:
        """id of a key -> (its value, the place of that). Where a key's class says what is equal, it is not asked: the
        values are taken in their order."""
        g, items = self.guards, list(dict.items(value))
        if not all(map(found_in_c, (key for key, _ in items))):
            if is_a(value, OrderedDict):  # whose own order is another one
                order = g.fresh_value([key for key, _ in items])
                g.need(f"in_order([*{g.value(dict.__iter__)}({local})], {order})", f"the keys of {name}")
            values = g.let(f"[*{g.value(dict.values)}({local})]")
            return {id(key): (part, f"{values}[{n}]") for n, (key, part) in enumerate(items)}
        simple = (str, int, bool, type(None))
        names = [repr(key) if type(key) in simple else g.value(key) for key, _ in items]
        exact = type(value) in (dict, OrderedDict, Counter)
        get = "" if exact else f"{g.value(dict.get)}({local}, "  # which has no missing one made
        places = [f"{local}[{at}]" if exact else f"{get}{at})" for at in names]
        return {id(key): (part, place) for (key, part), place in zip(items, places)}

    def key(self, part: object, name: str) -> None:
        """What a key is, or is made of: this object, and no other. A weak reference is as good as what it refers to."""
        place = self.guards.value(part)
        if is_a(part, weakref.ref):
            referent = part()  # type: ignore[operator]
            if referent is None:
                return
            part, place = referent, f"{place}()"
        self.visit(place, part, name)

    def elements(self, local: str, value: Any, name: str, argument: bool) -> None:
        """Of a set, in the order in which it gives them."""
        g, each = self.guards, set.__iter__ if is_a(value, set) else frozenset.__iter__
        g.need(f"type({local}) is {g.value(type(value))}", f"{name}: its type")
        elements, exact = list(each(value)), type(value) in (set, frozenset)
        held = local if exact else f"[*{g.value(each)}({local})]"
        g.need(f"in_order({held}, {g.fresh_value(elements)})", name)
        for part in (part for element in elements for part in parts_of(element)):
            self.key(part, f"an element of {name}")
        if not exact:
            self.attributes(local, value, name, argument)


def parts_of(key: object) -> Iterator[object]:
    """What a key is made of: of tuples and frozensets what is in them. Which objects these are, makes it the key."""
    if is_a(key, (tuple, frozenset)):
        base: Any = tuple if is_a(key, tuple) else frozenset
        for part in base.__iter__(key):
            yield from parts_of(part)
        if type(key) is not base:
            yield key
    elif not is_plain_value(key):
        yield key
