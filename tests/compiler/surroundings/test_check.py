"""The check before a compiled call: it runs no code of the user's, and has few lines."""

import collections
from collections import Counter, OrderedDict, UserDict, UserList, defaultdict, deque
from typing import Any

import pytest

import tapegrad as tg

ASKED: collections.Counter[str] = Counter()  # method -> how often it was called
METHODS = (
    "__len__",
    "__iter__",
    "__getitem__",
    "__contains__",
    "__hash__",
    "__eq__",
    "__bool__",
    "keys",
    "values",
)


def listening(base: Any) -> Any:
    """A class built on this one whose methods say that they were called."""

    def method(name: str) -> Any:
        def call(self: Any, *args: Any) -> Any:
            ASKED[name] += 1
            return getattr(base, name)(self, *args)

        return call

    return type(f"Own{base.__name__}", (base,), {m: method(m) for m in METHODS if getattr(base, m, None)})


class Key:
    def __hash__(self) -> int:
        ASKED["__hash__"] += 1
        return 5

    def __eq__(self, other: object) -> bool:
        ASKED["__eq__"] += 1
        return self is other


class OwnTensor(tg.nn.Parameter):
    def __hash__(self) -> int:
        ASKED["__hash__"] += 1
        return 5


FIRST, SECOND = Key(), Key()
# An OrderedDict itself asks its keys, to go through them.
HELD = {
    "list": listening(list)([1.0, 2.0]), "long list": listening(list)(range(20)),
    "tuple": listening(tuple)((1.0, 2.0)), "deque": listening(deque)([1.0]),
    "set": listening(set)([1.0]), "frozenset": listening(frozenset)([1.0]),
    "dict": listening(dict)(a=1.0), "OrderedDict": listening(OrderedDict)(a=1.0),
    "defaultdict": listening(defaultdict)(None, a=1.0), "Counter": listening(Counter)("aab"),
    "UserList": listening(UserList)([1.0]), "UserDict": listening(UserDict)(a=1.0),
    "str": listening(str)("a"), "int": listening(int)(3), "float": listening(float)(3.0),
    "keys": {FIRST: 1.0, SECOND: 2.0}, "keys in tuples": {(FIRST, 1): 1.0, (SECOND, 1): 2.0},
    "elements": {FIRST, SECOND}, "a tensor": OwnTensor(tg.ones(2)),
}  # fmt: skip


@pytest.mark.parametrize("name", HELD)
def test_no_code_of_the_users_is_run(name: str):
    held = HELD[name]

    def f(x: Any) -> Any:
        return x * (2.0 if held is not None else 3.0)

    step, x = tg.jit(f, emitter="numpy", strict=True), tg.ones(2)
    for _ in range(3):
        step(x)
    assert step.stats()["compiled"]
    ASKED.clear()
    assert step.cases[0].match((x,), {}) is not None
    assert not ASKED


def test_keys_that_are_not_asked_are_compared():
    table: Any = OrderedDict({FIRST: 1.0, SECOND: 2.0})
    step, x = tg.jit(lambda x: x * [*table.values()][-1], emitter="numpy"), tg.ones(2)
    for _ in range(3):
        assert step(x).tolist() == [2.0, 2.0]
    table.move_to_end(FIRST)
    assert step(x).tolist() == [1.0, 1.0]
    table[FIRST] = 3.0
    assert step(x).tolist() == [3.0, 3.0]


def lines_of_check(layers: int) -> int:
    model = tg.nn.Sequential(*(tg.nn.Dense(8, activation="relu", in_features=8) for _ in range(layers)))
    opt, F = tg.optim.Adam(model.parameters()), tg.nn.functional

    def step(x: Any, y: Any) -> Any:
        loss = F.mse_loss(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    compiled, x = tg.jit(step, emitter="numpy", strict=True), tg.ones((4, 8))
    for _ in range(3):
        compiled(x, x)
    return len(compiled.cases[0].guards.lines)


def test_the_check_has_few_lines():
    """`python -m benchmarks guards` has the time that they take, some 20 ns each."""
    few, many = lines_of_check(2), lines_of_check(6)
    assert (many - few) / 4 <= 12
    assert few <= 73
