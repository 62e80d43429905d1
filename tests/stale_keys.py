"""Keys and texts that say which object something is: two objects that are alike change places."""

import datetime
import operator
import string
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import tapegrad as tg
from surroundings import Case, Table

CASES = Table()
compiled, either = CASES.compiled, CASES.either
X = np.array([1.0, -2.0], "f4")


# ---- keys and texts that say which object it is ----
class Node:
    pass


class Pair(NamedTuple):
    node: Any
    side: str


KEYS: dict[str, Callable[[Any], Any]] = {
    "in a tuple": lambda node: (node, "in"),
    "in a tuple in a tuple": lambda node: (("in", (node,)), 1),
    "in a named tuple": lambda node: Pair(node, "in"),
    "in a frozenset": lambda node: frozenset({node}),
    "as text": str,
    "in a text": lambda node: f"<{node}>",
    "in a text of a list": lambda node: repr([node]),
    "as a weak reference": weakref.ref,
    "by its hash": lambda node: node.__hash__(),
    "by a function in a variable": repr,
    "by its own method": lambda node: node.__repr__(),
    "by a method of its class": lambda node: object.__repr__(node),
    "by a format of its own": lambda node: node.__format__(""),
    "as plain text": ascii,
    "in a mapping of a text": lambda node: "{z}".format_map({"z": node}),
    "in the rest of a text": lambda node: operator.mod("%s", node),
    "in a template": lambda node: string.Template("$z").substitute(z=node),
    "by a caller of methods": lambda node: operator.methodcaller("__repr__")(node),
    "by its number, from a variable": id,
}


def two_nodes_that_change_places(key: Callable[[Any], Any]) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        a, b = Node(), Node()
        gain = {key(a): 2.0, key(b): 3.0}
        f = J(lambda x: x * gain[key(a)])
        for call in range(8):
            if call == 3:
                a, b = b, a
            yield f(tg.tensor(X))

    return case


def two_nodes_as_arguments(key: Callable[[Any], Any]) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        a, b = Node(), Node()
        gain = {key(a): 2.0, key(b): 3.0}
        f = J(lambda x, node: x * gain[key(node)])
        for call in range(10):
            yield f(tg.tensor(X), a if call < 4 else b)

    return case


for name, key in KEYS.items():
    for program in (two_nodes_that_change_places, two_nodes_as_arguments):
        CASES[f"{program.__name__}_{name.replace(' ', '_')}"] = Case(program(key), "compiled")


@either("same")
def equal_texts_by_their_numbers(J: Any) -> Iterator[Any]:
    a, b = "".join(["wor", "d"]), "".join(["wor", "d"])
    gain = {id(a): 2.0, id(b): 3.0}
    f = J(lambda x: x * gain[id(a)])
    for call in range(8):
        if call == 3:
            a, b = b, a
        yield f(tg.tensor(X))


@compiled
def a_large_table_of_numbers(J: Any) -> Iterator[Any]:
    table = {f"word {n}": n for n in range(100)}
    f = J(lambda x: x * table["word 7"])
    for call in range(12):
        if call == 3:
            table["word 7"] = 8
        if call == 6:
            table["word 7"] = 8.0
        if call == 9:
            del table["word 50"]
            table["word 50"] = 50
        yield f(tg.tensor(X))


@compiled
def a_slice_of_a_list(J: Any) -> Iterator[Any]:
    pair = slice([2.0], None)
    f = J(lambda x: x * pair.start[0])
    for call in range(8):
        pair.start[0] = 2.0 if call < 3 else 8.0
        yield f(tg.tensor(X))


@compiled
def a_set_of_tuples_of_nodes(J: Any) -> Iterator[Any]:
    a, b = Node(), Node()
    chosen = {(a, 1)}
    f = J(lambda x: x * (2.0 if (a, 1) in chosen else 3.0))
    for call in range(8):
        if call == 3:
            a, b = b, a
        yield f(tg.tensor(X))


# ---- keys that are tensors ----
def state_by(key: Callable[[Any], Any]) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        tg.manual_seed(0)
        layer = tg.nn.Dense(2, in_features=2)
        velocity = {key(p): tg.zeros(p.shape) for p in layer.parameters()}

        def step(x):
            loss = (layer(x) ** 2).mean()
            layer.zero_grad()
            loss.backward()
            with tg.no_grad():
                for p in layer.parameters():
                    v = velocity[key(p)]
                    v.assign(v * 0.9 + p.grad)
                    p.assign(p - 0.1 * v)
            return loss.detach()

        f = J(step)
        for _ in range(6):
            yield f(tg.tensor(X)[None])

    return case


for name, key in {
    "a parameter": lambda p: p,
    "a parameter in a tuple": lambda p: (p, "m"),
    "its number": id,
}.items():
    CASES[f"momentum_by_{name.replace(' ', '_')}"] = Case(state_by(key), "compiled")


@compiled
def attributes_of_the_function_itself(J: Any) -> Iterator[Any]:
    def step(x):
        return x * step.k

    step.k = 2.0
    step = J(step)
    for call in range(8):
        if call == 3:
            step.k = 8.0
        yield step(tg.tensor(X))


# ---- keys and arguments that have attributes ----
class Tag(str):
    pass


class Number(int):
    pass


KINDS_OF_KEYS: dict[str, Callable[[], Any]] = {
    "a text": lambda: Tag("a"),
    "a number": lambda: Number(3),
    "a named tuple": lambda: type("Named", (Pair,), {})(1, "in"),
}


def key_with_an_attribute(make: Callable[[], Any]) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        tag = make()
        tag.k = 2.0
        weights = {tag: 3.0}

        def step(x):
            for key, w in weights.items():
                x = x * key.k * w
            return x

        f = J(step)
        for call in range(8):
            tag.k = 2.0 if call < 3 else 8.0
            yield f(tg.tensor(X))

    return case


for name, make in KINDS_OF_KEYS.items():
    CASES[f"an_attribute_of_{name.replace(' ', '_')}_that_is_a_key"] = Case(
        key_with_an_attribute(make), "compiled"
    )


@compiled
def what_a_methodcaller_hands_on(J: Any) -> Iterator[Any]:
    class Holder:
        def scaled(self, by, also=None):
            return by[0] * also[0]

    holder, by, also = Holder(), [2.0], [3.0]
    call_it = operator.methodcaller("scaled", by, also=also)
    f = J(lambda x: x * call_it(holder))
    for call in range(10):
        by[0], also[0] = 2.0 if call < 3 else 8.0, 3.0 if call < 6 else 5.0
        yield f(tg.tensor(X))


@compiled
def what_an_itemgetter_asks_for(J: Any) -> Iterator[Any]:
    class Place:
        at = 0

        def __index__(self):
            return self.at

    place, numbers = Place(), [2.0, 8.0]
    get = operator.itemgetter(place)
    f = J(lambda x: x * get(numbers))
    for call in range(8):
        place.at = int(call >= 3)
        yield f(tg.tensor(X))


# ---- values that show or hold others ----
@compiled
def a_dict_in_the_place_of_a_proxy(J: Any) -> Iterator[Any]:
    table: Any = types.MappingProxyType({"k": 2.0})
    f = J(lambda x: x * (2.0 if isinstance(table, dict) else 3.0))
    for call in range(8):
        table = {"k": 2.0} if call >= 3 else types.MappingProxyType({"k": 2.0})
        yield f(tg.tensor(X))


@compiled
def a_proxy_of_another_class(J: Any) -> Iterator[Any]:
    table: Any = types.MappingProxyType({"k": 2.0})
    f = J(lambda x: x * (2.0 if type(table | {}) is dict else 3.0))
    for call in range(8):
        table = types.MappingProxyType(OrderedDict(k=2.0) if call >= 3 else {"k": 2.0})
        yield f(tg.tensor(X))


@either("datetime", "cannot", "else")
def a_time_in_a_zone_of_the_users(J: Any) -> Iterator[Any]:
    class Zone(datetime.tzinfo):
        hours = 1

        def utcoffset(self, when):
            return datetime.timedelta(hours=self.hours)

    zone = Zone()
    when = datetime.datetime(2020, 1, 1, tzinfo=zone)
    f = J(lambda x: x * when.utcoffset().seconds)
    for call in range(8):
        zone.hours = 1 if call < 3 else 2
        yield f(tg.tensor(X))
