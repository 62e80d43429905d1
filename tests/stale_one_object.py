"""Two places that hold two equal objects in some calls and one object in others, and code that sees the difference: by
its identity, or since it changes one, reads the other, and puts the first one back."""

import copy
import functools
import heapq
import operator
import reprlib
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import Case, Table, each_call

CASES = Table()
compiled = CASES.compiled
X = np.array([1.0, -2.0], "f4")


@dataclass
class Point:
    k: int = 1


def counted(step: int) -> Callable[[int], int]:
    number = 1

    def count(by: int) -> int:
        nonlocal number
        number += by * step
        return number

    return count


def scaled(x, by=1.0):
    return x * by


def with_attribute(kind: Any) -> Any:
    made = kind()
    made.k = 1
    return made


# What makes one -> (change it, read the other, change it back).
CHANGED: dict[str, tuple[Callable[[], Any], Any, Any, Any]] = {
    "a list": (lambda: [1], lambda a: a.append(5), len, lambda a: a.pop()),
    "a dict": (lambda: {"k": 1}, lambda a: a.update(k=5), lambda b: b["k"], lambda a: a.update(k=1)),
    "a set": (lambda: {1}, lambda a: a.add(5), len, lambda a: a.discard(5)),
    "a deque": (lambda: deque([1]), lambda a: a.append(5), len, lambda a: a.pop()),
    "a Counter": (lambda: Counter("a"), lambda a: a.update("b"), len, lambda a: a.pop("b")),
    "a defaultdict": (
        lambda: defaultdict(int, k=1), lambda a: a.update(k=5), lambda b: b["k"], lambda a: a.update(k=1),
    ),
    "an OrderedDict": (
        lambda: OrderedDict(k=1), lambda a: a.update(k=5), lambda b: b["k"], lambda a: a.update(k=1),
    ),
    "a namespace": (
        lambda: SimpleNamespace(k=1), lambda a: setattr(a, "k", 5), lambda b: b.k, lambda a: setattr(a, "k", 1),
    ),
    "a dataclass": (Point, lambda a: setattr(a, "k", 5), lambda b: b.k, lambda a: setattr(a, "k", 1)),
    "an array": (
        lambda: np.ones(2), lambda a: a.__setitem__(0, 5.0), lambda b: b[0], lambda a: a.__setitem__(0, 1.0),
    ),
    "an array, filled": (lambda: np.ones(2), lambda a: a.fill(5), lambda b: b.sum(), lambda a: a.fill(1)),
    "an array, as out=": (
        lambda: np.ones(2), lambda a: np.multiply(a, 5, out=a), lambda b: b.sum(),
        lambda a: np.divide(a, 5, out=a),
    ),
    "an array, copied to": (
        lambda: np.ones(2), lambda a: np.copyto(a, 5), lambda b: b.sum(), lambda a: np.copyto(a, 1),
    ),
    "an array, by an operator": (
        lambda: np.ones(2), lambda a: operator.imul(a, 5), lambda b: b.sum(), lambda a: operator.itruediv(a, 5),
    ),
    "a list, by a function": (
        lambda: [1], lambda a: operator.setitem(a, 0, 5), lambda b: b[0], lambda a: operator.setitem(a, 0, 1),
    ),
    "a heap": (lambda: [1], lambda a: heapq.heappush(a, 5), len, lambda a: a.remove(5)),
    "a deque, turned": (
        lambda: deque([1, 2]), lambda a: a.rotate(1), lambda b: b[0], lambda a: a.rotate(1),
    ),
    "an array of a class": (
        lambda: np.ma.array([1.0, 1.0]), lambda a: a.__setitem__(0, 5.0), lambda b: b[0],
        lambda a: a.__setitem__(0, 1.0),
    ),
    "a module": (
        lambda: tg.nn.Dropout(0.5), lambda a: setattr(a, "rate", 0.0), lambda b: b.rate + 1,
        lambda a: setattr(a, "rate", 0.5),
    ),
    "a variable of a function": (lambda: counted(1), lambda a: a(4), lambda b: b(0), lambda a: a(-4)),
    "a jitted function": (
        lambda: with_attribute(lambda: tg.jit(scaled)), lambda a: setattr(a, "k", 5), lambda b: b.k,
        lambda a: setattr(a, "k", 1),
    ),
}  # fmt: skip
OF_EQUAL_VALUE: dict[str, Callable[[], Any]] = {
    "an array": lambda: np.ones(2),
    "a set": lambda: {1},
    "a frozenset": lambda: frozenset(map(int, "12")),
    "a tuple": lambda: tuple(map(int, "12")),
    "a text": lambda: "".join(("a", "b c")),
    "a number": lambda: float("1.5"),
    "a large number": lambda: int("123456789"),
    "bytes": lambda: bytes(bytearray(b"ab")),
    "a fraction": lambda: Fraction(1, 3),
    "a range": lambda: range(3),
    "an optimizer": lambda: tg.optim.SGD(lr=0.1),
    "a jitted function": lambda: tg.jit(scaled),
    "a bound method": lambda: [].append,
    "a view of a dict": lambda: MappingProxyType({"a": 1}),
}


def meet(f: Any, make: Any, o: Any, at_first: bool) -> Iterator[Any]:
    """The places o.a and o.b hold one object at first, or two; later it is the other way round."""
    for i in range(9):
        if i in (0, 4):
            o.a = make()
            o.b = o.a if at_first is (i < 4) else make()
        yield f(tg.tensor(X))


def changing(make: Any, change: Any, read: Any, back: Any, at_first: bool) -> Any:
    def run(J: Any) -> Iterator[Any]:
        o = SimpleNamespace()

        def f(x):
            change(o.a)
            r = read(o.b)
            back(o.a)
            return x * float(r)

        yield from meet(J(f), make, o, at_first)

    return run


def identity(make: Any, at_first: bool) -> Any:
    def run(J: Any) -> Iterator[Any]:
        o = SimpleNamespace()
        yield from meet(J(lambda x: x * (2 if o.a is o.b else 3)), make, o, at_first)

    return run


for first, also in ((True, "one at first"), (False, "two at first")):
    for what, given in CHANGED.items():
        CASES[f"{what} is put back, {also}"] = Case(changing(*given, first), "either")
    for what, made in OF_EQUAL_VALUE.items():
        CASES[f"identity of {what}, {also}"] = Case(identity(made, first), "compiled")


@CASES.either("shares memory with a tensor")
def an_array_that_becomes_a_tensors_memory(J: Any) -> Iterator[Any]:
    t, o = tg.nn.Buffer(X), SimpleNamespace(a=X.copy())

    def f(x):
        before = t * 1
        t.assign(t * 5)
        r = float(o.a[0])
        t.assign(before)
        return x * r

    step = J(f)
    for i in range(8):
        if i == 4:
            o.a = t.data
        yield step(tg.tensor(X))


@CASES.eager("shares memory with a tensor")
def an_array_that_is_a_tensors_memory(J: Any) -> Iterator[Any]:
    array = X.copy()
    t = tg.asarray(array)

    def f(x):
        array[0] = 5
        r = t.sum()
        array[0] = 1
        return x * r

    yield from each_call(J, f)


@CASES.either("shares memory with a tensor")
def an_argument_that_is_an_arrays_memory(J: Any) -> Iterator[Any]:
    array = X.copy()

    def f(p):
        array.fill(5)
        r = p * 2
        array[:] = X
        return r

    step = J(f)
    for i in range(9):
        yield step(tg.asarray(array if 3 < i < 6 else X.copy()))


@compiled
def rows_of_an_array_whose_length_is_asked_for(J: Any) -> Iterator[Any]:
    data = np.arange(12, dtype="f4").reshape(6, 2)

    def f(rows):
        total, count = 0.0, 0
        for row in rows:
            total += row.sum()
            count += 1
        return total / (count * len(data))

    step = J(f)
    for i in range(6):
        yield step(tg.asarray(data[i % 3 : i % 3 + 2]))


@compiled
def two_arrays_that_come_to_overlap(J: Any) -> Iterator[Any]:
    buffer = np.ones(6)
    o = SimpleNamespace(a=buffer[:3], b=buffer[3:])

    def f(x):
        o.a.fill(5)
        r = o.b.sum()
        o.a.fill(1)
        return x * r

    step = J(f)
    for i in range(8):
        if i == 4:
            o.b = buffer[1:4]
        yield step(tg.tensor(X))


@compiled
def arrays_that_are_made_anew_with_equal_contents(J: Any) -> Iterator[Any]:
    o = SimpleNamespace(history=[])

    def f(x):
        return x * float(o.a.sum() + o.b.sum()) * len(o.history)

    step = J(f)
    for _ in range(6):
        o.a, o.b, o.history = np.ones(2), np.full(2, 3.0), [1]
        yield step(tg.tensor(X))


@compiled
def a_mask_made_anew_for_a_training_step(J: Any) -> Iterator[Any]:
    w = tg.nn.Parameter(X)
    opt = tg.optim.SGD([w], lr=0.1)

    def f(batch):
        kept = []
        opt.zero_grad()
        loss = (w * batch.x * batch.mask).sum()
        kept.append(loss)
        loss.backward()
        opt.step()
        return kept[0].detach()

    step = J(f)
    for _ in range(6):
        yield step(SimpleNamespace(x=tg.tensor(X), mask=np.ones(2, "f4")))


@compiled
def a_partial_of_a_bound_method(J: Any) -> Iterator[Any]:
    class K:
        def m(self, v: float = 1.0) -> float:
            return v

    o = SimpleNamespace(p=functools.partial(K().m, 1.0))
    f = J(lambda x: x * (2 if copy.copy([o.p])[0] is o.p else 3))
    for i in range(7):
        if i == 4:
            o.p = functools.partial(K().m, 1.0)
        yield f(tg.tensor(X))


@compiled
def memory_of_two_arrays(J: Any) -> Iterator[Any]:
    o = SimpleNamespace(a=np.ones(2), b=np.ones(2))
    f = J(lambda x: x * (2 if np.shares_memory(o.a, o.b) else 3))
    for i in range(8):
        if i == 4:
            o.b = o.a[:]
        yield f(tg.tensor(X))


@compiled
def modules_without_tensors_that_become_one(J: Any) -> Iterator[Any]:
    class Net(tg.nn.Module):
        def __init__(self):
            self.a, self.b = tg.nn.Dropout(0.5), tg.nn.Dropout(0.5)

        def forward(self, x):
            return x * len(list(self.named_modules()))

    m = Net()
    f = J(lambda x: m(x))
    for i in range(8):
        if i == 4:
            m.b = m.a
        yield f(tg.tensor(X))


@compiled
def what_a_mask_hides(J: Any) -> Iterator[Any]:
    a = np.ma.array([1.0, 2.0], mask=[1, 0])
    f = J(lambda x: x * float(a.data[0]))
    for i in range(8):
        if i == 4:
            a.data[0] = 7.0
        yield f(tg.tensor(X))


@compiled
def the_type_of_a_text_key(J: Any) -> Iterator[Any]:
    class Text(str):
        pass

    o = SimpleNamespace(d={"a": 1})
    f = J(lambda x: x * (2 if type(next(iter(o.d))) is str else 3))
    for i in range(8):
        if i == 4:
            o.d = {Text("a"): 1}
        yield f(tg.tensor(X))


@compiled
def a_setting_in_an_object_of_a_library(J: Any) -> Iterator[Any]:
    f, usual = J(lambda x: x * len(reprlib.repr(list(range(50))))), reprlib.aRepr.maxlist
    try:
        for i in range(8):
            if i == 4:
                reprlib.aRepr.maxlist = 10
            yield f(tg.tensor(X))
    finally:
        reprlib.aRepr.maxlist = usual


@compiled
def an_argument_called_self(J: Any) -> Iterator[Any]:
    def f(self, x):
        return self * x

    step = J(f)
    for i in range(6):
        yield step(self=tg.tensor(X), x=tg.tensor(X * i))
