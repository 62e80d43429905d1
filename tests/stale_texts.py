"""Attributes that are asked for by a text: a name that stands in the code counts like one behind a dot, and no other
attribute does; a name that is computed may be any."""

import contextlib
import copy
import enum
import functools
import operator
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import Case, Table

CASES = Table()
eager = CASES.eager
X = tg.tensor([1.0, 2.0])
NAMES = {"first": "number", "k": "k"}
ASK, PATTERN = getattr, "{0.number}"
GETTER = operator.attrgetter


class Batch:
    def __init__(self, number: int, k: float | None) -> None:
        self.x, self.number, self.length = X + number, number, 2
        if k is not None:
            self.k = k

    def twice(self, by: float) -> Any:
        return self.k * 2.0 * by


class Slots:
    __slots__ = ("k", "number", "x")

    def __init__(self, number: int, k: float | None) -> None:
        self.x, self.number = X + number, number
        if k is not None:
            self.k = k


class Color(enum.Enum):
    RED = 2.0


@contextlib.contextmanager
def scope(name: str) -> Iterator[str]:
    yield name


def in_a_scope(b: Any) -> Any:
    with scope("a"):
        return b.x * (b.k if hasattr(b, "k") else 1.0)


def in_two_scopes(b: Any) -> Any:
    with contextlib.ExitStack() as stack:
        stack.enter_context(scope("a"))
        return b.x * getattr(b, "k", 1.0)


def caught(b: Any) -> Any:
    try:
        return b.x * b.k
    except AttributeError:
        return b.x


def matched(b: Any) -> Any:
    match b:
        case Batch(k=k):
            return b.x * k
    return b.x


def matched_as_a_number(b: Any) -> Any:
    match b.length:
        case int():
            return b.x * getattr(b, "k", 1.0)


# Of each, the id that the step does not ask for differs at each call; k is there, is another one, and is not there.
NAMED: dict[str, Callable[[Any], Any]] = {
    "getattr": lambda b: b.x * getattr(b, "k", 1.0),
    "getattr in a default": lambda b: b.x * getattr(b, "absent", getattr(b, "k", 1.0)),
    "getattr of what a call gives": lambda b: b.x * getattr(max([b], key=lambda c: 0), "k", 1.0),
    "hasattr": lambda b: b.x * (b.k if hasattr(b, "k") and not hasattr(b, "q") else 1.0),
    "a key of vars": lambda b: b.x * (vars(b)["k"] + 1.0 if "k" in vars(b) else 1.0),
    "get of vars": lambda b: b.x * vars(b).get("k", 1.0),
    "a key of __dict__": lambda b: b.x * (b.__dict__["k"] if hasattr(b, "k") else 1.0),
    "get of __dict__": lambda b: b.x * b.__dict__.get("k", 1.0),
    "attrgetter": lambda b: b.x * (operator.attrgetter("k")(b) if hasattr(b, "k") else 1.0),
    "attrgetter of several": lambda b: (
        b.x * (operator.attrgetter("k", "length")(b)[0] if hasattr(b, "k") else 1.0)
    ),
    "methodcaller": lambda b: b.x * (operator.methodcaller("twice", 1.0)(b) if hasattr(b, "k") else 1.0),
    "setattr of another": lambda b: setattr(types.SimpleNamespace(), "q", 1.0) or b.x * getattr(b, "k", 1.0),
    "a context manager": in_a_scope,
    "a stack of them": in_two_scopes,
    "AttributeError": caught,
    "a pattern of a class": matched,
    "a pattern of a number": matched_as_a_number,
    "NumPy beside it": lambda b: b.x * (float(np.sum([1.0]) + np.clip(1, 0, 2)) * getattr(b, "k", 1.0)),
    "an Enum beside it": lambda b: b.x * (Color.RED.value * getattr(b, "k", 1.0)),
}
COMPUTED: dict[str, Callable[[Any], Any]] = {
    "getattr": lambda b: b.x * getattr(b, NAMES["first"]),
    "a name of two parts": lambda b: b.x * getattr(b, "num" + "".join(["ber"])),
    "one of two names": lambda b: b.x * getattr(b, NAMES["first"] if b.length else "k"),
    "getattr by another name": lambda b: b.x * ASK(b, NAMES["first"]),
    "getattr handed on": lambda b: b.x * functools.partial(getattr, b)(NAMES["first"]),
    "vars": lambda b: b.x * vars(b)[NAMES["first"]],
    "all of vars": lambda b: b.x * sum(v for v in vars(b).values() if type(v) is int),
    "get of __dict__": lambda b: b.x * b.__dict__.get(NAMES["first"], 1.0),
    "__dict__ by another name": lambda b: (lambda d: b.x * d[NAMES["first"]])(b.__dict__),
    "__getattribute__": lambda b: b.x * object.__getattribute__(b, NAMES["first"]),
    "attrgetter": lambda b: b.x * operator.attrgetter(NAMES["first"])(b),
    "attrgetter, the second of two": lambda b: b.x * operator.attrgetter("x", NAMES["first"])(b)[1],
    "attrgetter by another name": lambda b: (
        b.x * GETTER(NAMES["first"])(b) * operator.attrgetter("length")(b)
    ),
    "attrgetter of a text": lambda b: b.x * getattr(operator, "attrgetter")(NAMES["first"])(b),  # noqa: B009
    "attrgetter of a closure": (lambda attrgetter: lambda b: b.x * attrgetter(NAMES["first"])(b))(GETTER),
    "attrgetter handed on": lambda b: b.x * next(map(operator.attrgetter, [NAMES["first"]]))(b),
    "methodcaller": lambda b: b.x * operator.methodcaller("__getattribute__", NAMES["first"])(b),
    "a text": lambda b: b.x * float("{0.number}".format(b)),  # noqa: UP030, UP032 (a format is what is tested)
    "a text from elsewhere": lambda b: b.x * float(PATTERN.format(b)),
}


def named(step: Callable[[Any], Any], kind: Any) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        f = J(step)
        for number in range(18):
            k = (2.0, 3.0, None)[number // 6]
            yield f(kind(number, k))

    return case


def computed(step: Callable[[Any], Any]) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        f = J(step)
        for number in range(16):
            yield f(Batch(number, 2.0))

    return case


for name, step in NAMED.items():
    CASES[f"named by {name}"] = Case(named(step, Batch), "compiled", programs=3)
for name in ("getattr", "hasattr"):
    CASES[f"a slot named by {name}"] = Case(named(NAMED[name], Slots), "compiled", programs=3)
for name, step in COMPUTED.items():
    CASES[f"computed by {name}"] = Case(computed(step), "eager", ("b.number", "the same object"))


# ---- whose text it is: of an object without a text of its own, that says where the object lies ----
def in_a_loop(b: Any) -> Any:
    loss, text = (b.x * 2.0).sum(), ""
    for i in range(3):
        text += f"{loss.shape} {i} {len(b.x)} {b.length:>3} {str(i)} {b.x.dtype!r}"  # noqa: RUF010
    return b.x * len(text)


class Sum:
    total = 0.0

    def add(self, value: float) -> float:
        return self.total + value


SUM = Sum()
# Of each, nothing asks where b lies, and b is another object at each call.
OF_OTHERS: dict[str, Callable[[Any], Any]] = {
    "a shape": lambda b: b.x * len(f"{b.x.shape}"),
    "several, in a loop": in_a_loop,
    "a number, by str and format": lambda b: b.x * len(str(b.length) + format(2.0, ".2f")),
    "a number, by a sign": lambda b: b.x * len("%d" % b.length),  # noqa: UP031
    "a number, by a text's format": lambda b: b.x * len("{:.2f} {}".format(2.0, b.length)),  # noqa: UP032
    "no text, but a remainder": lambda b: b.x * (b.length % 2 + 1),
    "no text, but tg.add": lambda b: tg.add(b.x, b.x),
    "no text, but operator.add": lambda b: b.x * functools.reduce(operator.add, [1, 2]),
    "no text, but add of the user's": lambda b: b.x * SUM.add(2.0),
    "no text, but a copy": lambda b: b.x * (copy.copy([1, 2])[1] + copy.deepcopy({"a": 1})["a"]),
}


class Plain:
    def __init__(self) -> None:
        self.x, self.length = X, 2

    @property
    def me(self) -> Any:
        return self


def in_place(b: Any) -> Any:
    text = "%s"
    text %= b
    return text == TEXTS[0]


def one_of_several(b: Any) -> Any:
    return [f"{value}" for value in (1, b)][1] == TEXTS[0]


def by_another_name(b: Any) -> Any:
    held = [b]
    return f"{held[0]}" == TEXTS[0]


TEXTS = [""]
OF_ITSELF: dict[str, Callable[[Any], Any]] = {
    "an f-string": lambda b: f"{b}" == TEXTS[0],
    "an f-string with a width": lambda b: f"{b!r:>9}" == TEXTS[0],
    "an f-string with a width of its own": lambda b: f"{b:{''}}" == TEXTS[0],
    "an f-string of one of two": lambda b: f"{b if b.length else 1}" == TEXTS[0],
    "an f-string of a list": lambda b: f"{[b]}" == f"[{TEXTS[0]}]",
    "an f-string of what a property gives": lambda b: f"{b.me}" == TEXTS[0],
    "an f-string of what a call gives": lambda b: f"{max([b], key=len_of)}" == TEXTS[0],
    "an f-string of one after a number": one_of_several,
    "an f-string of another name": by_another_name,
    "a sign": lambda b: "%s" % b == TEXTS[0],  # noqa: UP031 (what is tested)
    "a sign in place": in_place,
    "str": lambda b: str(b) == TEXTS[0],
    "a text's format": lambda b: "{}".format(b) == TEXTS[0],  # noqa: UP032
    "str in str": lambda b: str(str(b)) == TEXTS[0],
}


def len_of(b: Any) -> int:
    return 0


def whose(step: Callable[[Any], Any]) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        objects = [Plain(), Plain()]
        TEXTS[0] = str(objects[0])
        f = J(lambda b: b.x * (2.0 if step(b) else 1.0))
        for call in range(12):
            yield f(objects[call // 4 % 2])

    return case


for name, step in OF_OTHERS.items():
    CASES[f"a text of {name}"] = Case(computed(step), "compiled", programs=1)
for name, step in OF_ITSELF.items():
    CASES[f"a text of it by {name}"] = Case(whose(step), "compiled")


# ---- what appears on other things than objects of the user's ----
def helper(x: Any) -> Any:
    return x


@functools.cache
def cached(x: Any) -> Any:
    return x


@functools.singledispatch
def dispatched(x: Any) -> Any:
    return x


PARTIAL = functools.partial(helper)
DENSE, MODULE = tg.nn.Dense(2, in_features=2), types.ModuleType("made_by_hand")
OWNERS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "a function": (helper, lambda x: x * getattr(helper, "k", 1.0)),
    "a function, asked by hasattr": (helper, lambda x: x * 2.0 if hasattr(helper, "k") else x),
    "a function, caught": (helper, lambda x: attribute_caught(helper, x)),
    "a layer": (DENSE, lambda x: x * getattr(DENSE, "k", 1.0)),
    "a layer, caught": (DENSE, lambda x: attribute_caught(DENSE, x)),
    "a function, caught by any": (helper, lambda x: x * any_caught(helper)),
    "a layer, caught by any": (DENSE, lambda x: x * any_caught(DENSE)),
    "a function under a cache": (cached, lambda x: x * getattr(cached, "k", 1.0)),
    "a function under a cache, computed": (cached, lambda x: x * getattr(cached, NAMES["k"], 1.0)),
    "a dispatched function": (dispatched, lambda x: x * getattr(dispatched, "k", 1.0)),
    "a dispatched function, computed": (dispatched, lambda x: x * getattr(dispatched, NAMES["k"], 1.0)),
    "a partial": (PARTIAL, lambda x: x * getattr(PARTIAL, "k", 1.0)),
    "a partial, computed": (PARTIAL, lambda x: x * getattr(PARTIAL, NAMES["k"], 1.0)),
    "the class of a layer": (tg.nn.Dense, lambda x: x * getattr(DENSE, "k", 1.0)),
    "a module": (MODULE, lambda x: x * getattr(MODULE, "k", 1.0)),
    "a class": (Batch, lambda x: x * getattr(Batch, "k", 1.0)),
    "Tensor": (tg.Tensor, lambda x: x * getattr(x, "k", 1.0)),
}


def attribute_caught(owner: Any, x: Any) -> Any:
    try:
        return x * owner.k
    except AttributeError:
        return x


def any_caught(owner: Any) -> float:
    try:
        return float(read(owner))
    except Exception:
        return 1.0


def read(owner: Any) -> Any:
    return owner.k


def appearing(owner: Any, step: Callable[[Any], Any]) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        f = J(step)
        try:
            for call in range(12):
                if call == 4:
                    owner.k = 3.0
                if call == 8:
                    owner.k = 5.0
                yield f(X)
        finally:
            del owner.k

    return case


for name, (owner, step) in OWNERS.items():
    CASES[f"k appears on {name}"] = Case(appearing(owner, step), "compiled")


# ---- what functions and classes have besides their own attributes ----
SPECIAL: dict[str, Any] = {
    "__name__": "another", "__qualname__": "one.more", "__module__": "elsewhere.too", "__doc__": "Text.",
    "__annotations__": {"x": int}, "__defaults__": (1, 2), "__kwdefaults__": {"y": 3},
    "__code__": (lambda *several, _more=(): _more).__code__,
}  # fmt: skip


def size_of(value: Any) -> int:
    return len(str(getattr(value, "co_varnames", value)))


def special(
    name: str, of_class: bool, shown: bool, wrapped: Callable[[Any], Any] = lambda f: f
) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        def function(x: Any = None) -> Any:
            return x

        class Class:
            pass

        owner: Any = wrapped(Class if of_class else function)
        NAMES["special"] = name
        text = lambda x: x * len(str(owner).split(" at ")[0])
        f = J(text if shown else lambda x: x * size_of(getattr(owner, NAMES["special"])))
        for call in range(8):
            if call == 4:
                setattr(owner, name, SPECIAL[name])
            yield f(X)

    return case


for name in SPECIAL:
    CASES[f"computed {name} of a function"] = Case(special(name, False, False), "compiled")
    if name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        CASES[f"computed {name} of a class"] = Case(special(name, True, False), "compiled")
for name in ("__name__", "__doc__", "__annotations__"):
    of_cached = special(name, False, False, functools.cache)
    CASES[f"computed {name} of a function under a cache"] = Case(of_cached, "compiled")
CASES["the text of a function"] = Case(special("__qualname__", False, True), "compiled")
CASES["the text of a class"] = Case(special("__module__", True, True), "compiled")
