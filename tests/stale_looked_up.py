"""Cases of what code in C, or of a library, reads of the user's objects without a name in the user's code: the whole
state of one, attributes of its class, the classes in an alias."""

import collections
import collections.abc
import contextlib
import dataclasses
import enum
import fractions
import json
import numbers
import operator
import re
import string
import textwrap
import types
from collections.abc import Callable
from typing import Any

from surroundings import Table, change, x2

CASES = Table()
compiled, eager = CASES.compiled, CASES.eager


def total(values: Any) -> float:
    return float(sum(values))


def text(written: str) -> float:
    """A number for a text."""
    return float(sum(map(ord, written)) % 97 + 1)


# ---- all that is in an object ----
class Config:
    def __init__(self) -> None:
        self.scale, self.shift = 1.0, 2.0


@dataclasses.dataclass(slots=True)
class Slotted:
    scale: float = 1.0
    shift: float = 2.0


class Ordered(dict[str, float]):
    def __init__(self) -> None:
        self.scale = 1.0


STATE: Any = object.__getstate__  # type: ignore[attr-defined]


class Inherited(Config):
    state = object.__getstate__  # type: ignore[attr-defined]

    def __eq__(self, other: object) -> bool:
        return bool(self.__getstate__() == other.__getstate__())  # type: ignore[attr-defined]


STATES: dict[str, tuple[Callable[[], Any], Callable[[Any], float]]] = {
    "__getstate__": (Config, lambda c: total(c.__getstate__().values())),
    "__reduce_ex__": (Config, lambda c: total(c.__reduce_ex__(2)[2].values())),
    "__reduce__": (Config, lambda c: total(c.__reduce__()[2].values())),
    "of object": (Config, lambda c: total(object.__getstate__(c).values())),  # type: ignore[attr-defined]
    "by a text": (
        Config,
        lambda c: total(operator.methodcaller("__getstate__")(c).values()),
    ),
    "by getattr": (Config, lambda c: total(getattr(c, "__getstate__")().values())),  # noqa: B009
    "under another name": (Inherited, lambda c: total(c.state().values())),
    "by ==": (Inherited, lambda c: 2.0 if c == Inherited() else 3.0),
    "for json": (Config, lambda c: text(json.dumps(c, default=object.__getstate__))),  # type: ignore[attr-defined]
    "of slots": (Slotted, lambda c: total(c.__getstate__()[1].values())),  # type: ignore[attr-defined]
    "of a dict": (Ordered, lambda c: total(c.__getstate__().values())),
    "held": (Config, lambda c: total(STATE(c).values())),
    "of a namespace": (
        lambda: types.SimpleNamespace(scale=1.0, shift=2.0),
        lambda c: total(c.__reduce__()[2].values()),
    ),
}


@compiled
def the_whole_state_of_an_object(J: Any) -> Any:
    def one(make: Callable[[], Any], read: Callable[[Any], float]) -> Any:
        held = make()
        yield from change(J, lambda x: x * read(held), lambda: setattr(held, "scale", 5.0), calls=6)
        bound = held.__reduce_ex__
        f = lambda x: x * text(repr(bound(2)[2]))
        yield from change(J, f, lambda: setattr(held, "scale", 7.0), calls=6)

    for make, read in STATES.values():
        yield from one(make, read)


@eager("__sizeof__")
def the_size_of_a_dict(J: Any) -> Any:
    """A dict that was larger once has the room of that."""
    held: dict[int, int] = {}

    def act() -> None:
        held.update(zip(range(50), range(50)))
        for key in range(50):
            del held[key]

    return change(J, lambda x: x * float(held.__sizeof__()), act)


# ---- what a library looks up in a class of the user's ----
class Encoder(json.JSONEncoder):
    key_separator = ":"


class Percent(string.Template):
    delimiter = "%"


class Wrapper(textwrap.TextWrapper):
    sentence_end_re = re.compile("zz")


VALUES = {"a": 1, "b": 2}
LOOKED_UP: dict[str, tuple[type, str, Any, Callable[[], float]]] = {
    "an encoder": (Encoder, "key_separator", "=>", lambda: text(Encoder().encode(VALUES))),
    "an encoder that is made for us": (
        Encoder,
        "key_separator",
        "=>",
        lambda: text(json.dumps(VALUES, cls=Encoder)),
    ),
    "a template": (Percent, "delimiter", "#", lambda: text(Percent("%a $b %%").substitute(VALUES))),
    "a wrapper": (
        Wrapper,
        "sentence_end_re",
        re.compile("[a-z]\\Z"),
        lambda: text(Wrapper(width=9, fix_sentence_endings=True).fill("a zz. b. C d")),
    ),
}


@compiled
def an_attribute_of_a_class_that_only_a_library_reads(J: Any) -> Any:
    def one(kind: type, attribute: str, value: Any, read: Callable[[], float]) -> Any:
        before = getattr(kind, attribute)
        act, back = (lambda: setattr(kind, attribute, value)), (lambda: setattr(kind, attribute, before))
        yield from change(J, lambda x: x * read(), act, back=back)

    for row in LOOKED_UP.values():
        yield from one(*row)


class Ratio:
    numerator, denominator = 3, 4


numbers.Rational.register(Ratio)


@compiled
def an_attribute_of_any_object_that_only_a_library_reads(J: Any) -> Any:
    ratio = Ratio()
    act, back = (lambda: setattr(ratio, "numerator", 5)), (lambda: delattr(ratio, "numerator"))
    yield from change(J, lambda x: x * float(fractions.Fraction(ratio)), act, back=back)  # type: ignore[arg-type]
    act, back = (lambda: setattr(Ratio, "numerator", 5)), (lambda: setattr(Ratio, "numerator", 3))
    yield from change(J, lambda x: x * float(fractions.Fraction(ratio)), act, back=back)  # type: ignore[arg-type]


class Batch:
    pass


class Mode(enum.Enum):
    TRAIN = 2.0


@CASES.compiled(programs=1)
def what_libraries_ask_of_their_own(J: Any) -> Any:
    """Attributes of the same names, which the step does not read, differ at each call."""

    def step(batch: Any) -> Any:
        with contextlib.suppress(KeyError):
            order = collections.Counter("aab").most_common()
        return batch.x * Mode.TRAIN.value * len(order)

    f = J(step)
    for n in range(16):
        batch: Any = Batch()
        batch.x, batch.name, batch.values, batch.default, batch.lock = x2(), f"batch {n}", [n], n, n
        yield f(batch)


@eager("closed")
def a_method_that_only_a_library_calls(J: Any) -> Any:
    """One that does nothing, then one that does."""
    closed: list[int] = []

    def one(thing: Any) -> Any:
        def step(x: Any) -> Any:
            with contextlib.closing(thing):
                return x * 2.0

        thing.close = lambda: None
        act = lambda: setattr(thing, "close", lambda: closed.append(1))
        for result in change(J, step, act):
            yield result, len(closed)

    yield from one(types.SimpleNamespace())
    yield from one(lambda: None)


# ---- the classes in an alias ----
class Box:
    k = 2.0
    __class_getitem__ = classmethod(types.GenericAlias)


class Layer:
    k = 2.0


@dataclasses.dataclass
class Stack:
    layers: list[Layer] = dataclasses.field(default_factory=list)


BOX: Any = Box[int]  # type: ignore[misc]
NESTED: Any = dict[str, list[Layer]]
OPTIONAL: Any = Layer | None
CALLS: Any = collections.abc.Callable[[Layer], int]
ALIASES: dict[str, tuple[type, Callable[[], Any]]] = {
    "called": (Box, lambda: BOX()),
    "a part of it": (Layer, lambda: NESTED.__args__[1].__args__[0]),
    "of a union": (Layer, lambda: OPTIONAL.__args__[0]()),
    "of a function's": (Layer, lambda: CALLS.__args__[0]()),
    "of a field": (Layer, lambda: dataclasses.fields(Stack)[0].type.__args__[0]),  # type: ignore[union-attr]
}


@compiled
def a_class_in_an_alias(J: Any) -> Any:
    def one(kind: Any, find: Callable[[], Any]) -> Any:
        act, back = (lambda: setattr(kind, "k", 5.0)), (lambda: setattr(kind, "k", 2.0))
        yield from change(J, lambda x: x * find().k, act, back=back)

    for kind, find in ALIASES.values():
        yield from one(kind, find)
