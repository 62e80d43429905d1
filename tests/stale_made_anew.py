"""Steps that make an object anew at each call and keep it; parts of classes, arrays, modules and settings that change
in place, so that what holds them is still the same object."""

import abc
import dataclasses
import decimal
import functools
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import Case, Table

CASES = Table()
compiled, eager, either = CASES.compiled, CASES.eager, CASES.either
X = np.array([1.0, -2.0], "f4")


# ---- an object that is new at each call ----
class Kept:
    pass


WEIGHTS = tg.tensor([2.0, 3.0], requires_grad=True)


class Batch:
    """What it works out at a first use it keeps, also when what that came of is another one later."""

    def __init__(self, number: int) -> None:
        self.x, self.count, self.scale = tg.tensor(X) + number, 3, tg.tensor(2.0)

    @functools.cached_property
    def double(self) -> Any:
        return self.x * 2.0

    @functools.cached_property
    def total(self) -> Any:
        return self.double.sum()

    @functools.cached_property
    def half(self) -> float:
        return self.count / 2.0

    @functools.cached_property
    def logits(self) -> Any:
        return self.x * WEIGHTS

    @functools.cached_property
    def given(self) -> Any:
        return self.x

    @functools.cached_property
    def first(self) -> Any:
        return self.x[:1]

    @functools.cached_property
    def several(self) -> list[Any]:
        return [self.x * 2.0]


def trained(b: Any) -> Any:
    (b.logits**2).mean().backward()
    gradient, WEIGHTS.grad = WEIGHTS.grad, None
    return gradient


OF_A_BATCH: dict[str, tuple[Callable[[Any], Any], bool]] = {  # a step, and whether it is one program
    "a tensor": (lambda b: b.double + 1.0, True),
    "one that is returned": (lambda b: (b.double, b.double.sum()), True),
    "one of another, and a number": (lambda b: b.total * b.half, True),
    "one asked for with vars": (lambda b: b.x * (2.0 if "double" in vars(b) else b.double), True),
    "one in a loop": (lambda b: [part.double + 1.0 for part in (b, b)], True),
    "one behind which gradients are taken": (trained, False),
    "a tensor that was there": (lambda b: b.given * 2.0, False),
    "a part of one": (lambda b: b.first * 2.0, False),
    "a list": (lambda b: b.several[0] * 2.0, False),
}


def kept_by_a_property(step: Callable[[Any], Any], batches: int) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        f, held = J(step), [Batch(number) for number in range(batches)]
        for call in range(18):
            b = held[call % batches]
            out, before = f(b), b.x
            b.x = b.x + 1.0  # what it keeps stays
            yield out, [(name, part) for name, part in vars(b).items()]
            b.x = before

    return case


for name, (step, one) in OF_A_BATCH.items():
    ends = Case(kept_by_a_property(step, 18), "compiled", programs=1)
    ends = (
        ends if one else Case(kept_by_a_property(step, 18), "eager", ("attributes of b", "computed outside"))
    )
    CASES[f"a cached property keeps {name}"] = ends
    if step is not trained:
        CASES[f"cached properties in turn keep {name}"] = Case(kept_by_a_property(step, 3), "compiled")


MADE: dict[str, Callable[[], Any]] = {
    "a list": lambda: [1],
    "a dict": lambda: {"k": 1},
    "a set": lambda: {1},
    "a deque": lambda: deque([1]),
    "an object": Kept,
    "an array": lambda: np.zeros(2),
    "a namespace": lambda: types.SimpleNamespace(k=1),
    "a list in a tuple": lambda: ([1],),
}


def kept_in_an_attribute(make: Callable[[], Any]) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        holder = Kept()

        def step(x):
            holder.last = make()
            return x * 2.0

        f, records = J(step), []
        for _ in range(6):
            out = f(tg.tensor(X))
            records.append(holder.last[0] if type(holder.last) is tuple else holder.last)
            yield out, len(set(map(id, records)))

    return case


def kept_in_a_dict(make: Callable[[], Any]) -> Callable[[Any], Iterator[Any]]:
    def case(J: Any) -> Iterator[Any]:
        held: dict[str, Any] = {}

        def step(x):
            held["last"] = make()
            return x * 2.0

        f, records = J(step), []
        for _ in range(6):
            out = f(tg.tensor(X))
            records.append(held["last"])
            yield out, len(set(map(id, records)))

    return case


for name, make in MADE.items():
    for how in (kept_in_an_attribute, kept_in_a_dict):
        CASES[f"{how.__name__}_{name.replace(' ', '_')}"] = Case(how(make), "eager", ("changes",))


@eager("changes")
def a_layer_that_keeps_what_it_saw_in_a_dict(J: Any) -> Iterator[Any]:
    class Watched(tg.nn.Module):
        def forward(self, x):
            self.seen = {"rows": x.shape[0]}
            return x + 1.0

    layer, records = Watched(), []
    f = J(layer)
    for _ in range(6):
        out = f(tg.tensor(X))
        records.append(layer.seen)
        yield out, len(set(map(id, records)))


@compiled
def a_list_that_is_made_outside_at_each_call(J: Any) -> Iterator[Any]:
    """It is another object, and the step leaves it where it is."""
    settings = [2.0]
    f = J(lambda x: x * settings[0])
    for _ in range(6):
        settings = [2.0]
        yield f(tg.tensor(X))


@compiled
def a_list_that_is_made_once(J: Any) -> Iterator[Any]:
    holder = Kept()

    def step(x):
        if not hasattr(holder, "scales"):
            holder.scales = [2.0]
        return x * holder.scales[0]

    f = J(step)
    for _ in range(6):
        yield f(tg.tensor(X)), id(holder.scales) > 0


# ---- parts of classes ----
@compiled
def a_slot_becomes_a_property(J: Any) -> Iterator[Any]:
    @dataclasses.dataclass(slots=True)
    class Config:
        k: float = 2.0

    config = Config()
    f = J(lambda x: x * config.k)
    for call in range(8):
        if call == 3:
            Config.k = property(lambda self: 8.0)
        yield f(tg.tensor(X))


@compiled
def a_slot_becomes_another_slot(J: Any) -> Iterator[Any]:
    class Pair:
        __slots__ = ("a", "b")

    class Derived(Pair):
        __slots__ = ()

    pair = Derived()
    pair.a, pair.b = 2.0, 8.0
    f = J(lambda x: x * pair.a)
    for call in range(8):
        if call == 3:
            Pair.a = Pair.b
        yield f(tg.tensor(X))


@compiled
def a_property_that_is_made_again_in_place(J: Any) -> Iterator[Any]:
    class Config:
        @property
        def k(self):
            return 2.0

    config = Config()
    f = J(lambda x: x * config.k)
    for call in range(8):
        if call == 3:
            vars(Config)["k"].__init__(lambda self: 8.0)
        yield f(tg.tensor(X))


@compiled
def a_static_method_that_is_made_again_in_place(J: Any) -> Iterator[Any]:
    class Config:
        @staticmethod
        def k():
            return 2.0

    config = Config()
    f = J(lambda x: x * config.k())
    for call in range(8):
        if call == 3:
            vars(Config)["k"].__init__(lambda: 8.0)
        yield f(tg.tensor(X))


@either("abstract")
def a_class_that_becomes_abstract(J: Any) -> Iterator[Any]:
    class Plain(abc.ABC):  # noqa: B024
        pass

    def step(x):
        try:
            Plain()
            return x * 2.0
        except TypeError:
            return x * 3.0

    f = J(step)
    for call in range(8):
        if call == 3:
            Plain.__abstractmethods__ = frozenset({"m"})
        yield f(tg.tensor(X))


@compiled
def a_module_that_gets_another_class(J: Any) -> Iterator[Any]:
    module: Any = types.ModuleType("module")
    module.k = 2.0

    class Lazy(types.ModuleType):
        k = property(lambda self: 8.0)

    f = J(lambda x: x * module.k)
    for call in range(8):
        if call == 3:
            module.__class__ = Lazy
        yield f(tg.tensor(X))


# ---- arrays and numbers ----
@compiled
def fields_that_change_their_names(J: Any) -> Iterator[Any]:
    records = np.zeros(1, dtype=[("a", "f8"), ("b", "f8")])
    records["b"] = 2.0
    f = J(lambda x: x * float(records["a"][0]))
    for call in range(8):
        if call == 3:
            records.dtype.names = ("b", "a")
        yield f(tg.tensor(X))


@compiled
def a_dtype_whose_fields_change_their_names(J: Any) -> Iterator[Any]:
    pair = np.dtype([("a", "f8"), ("b", "f8")])
    f = J(lambda x: x * (2.0 if pair.names[0] == "a" else 8.0))
    for call in range(8):
        if call == 3:
            pair.names = ("b", "a")
        yield f(tg.tensor(X))


@compiled
def errors_of_numpy_that_raise_from_some_call_on(J: Any) -> Iterator[Any]:
    large = np.float32(1e38)

    def step(x):
        try:
            return x * float(np.isinf(large * large))
        except FloatingPointError:
            return x * -1.0

    f = J(step)
    for call in range(8):
        with np.errstate(all="ignore" if call < 3 else "raise"):
            yield f(tg.tensor(X))


@eager("context of decimal")
def a_context_of_decimal_that_the_function_names(J: Any) -> Iterator[Any]:
    context = decimal.Context(prec=5)
    f = J(lambda x: x * float(context.divide(1, 3)) + context.prec)
    for call in range(8):
        context.prec = 5 if call < 3 else 2
        yield f(tg.tensor(X))
