"""Cases of values that are equal and yet others, containers that are one and the same, and what cannot be looked at."""

import datetime
import decimal
import enum
import sys
import types
from collections import OrderedDict
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import Table, change, x2

CASES = Table()
compiled, either, eager = CASES.compiled, CASES.either, CASES.eager
NS: Any = types.SimpleNamespace


class Text(str):
    pass


class Mode(enum.StrEnum):
    A = "a"


@compiled
def a_text_of_another_class(J: Any) -> Any:
    held: Any = {"mode": "a"}

    def f(x: Any) -> Any:
        return x * (3.0 if isinstance(held["mode"], Mode) else 5.0 if isinstance(held["mode"], Text) else 2.0)

    g = J(f)
    for mode in ("a", Mode.A, Text("a")):
        held["mode"] = mode
        for _ in range(4):
            yield g(x2())


def equal_and_others() -> dict[str, tuple[Any, Any, Any]]:
    """Pairs that are equal, and what tells one from the other."""
    zone, time = datetime.timezone, datetime.datetime
    later = zone(datetime.timedelta(hours=1))
    number = decimal.Decimal
    return {
        "digits of a decimal": (number("1.0"), number("1.000"), lambda k: len(str(k))),
        "a decimal in a tuple": ((number("1.0"),), (number("1.000"),), lambda k: len(str(k[0]))),
        "the end of a range": (range(0, 3, 2), range(0, 4, 2), lambda k: k.stop),
        "an empty range": (range(1, 1), range(5, 5), lambda k: k.start),
        "the sign of 0 in a slice": (slice(0.0, 1), slice(-0.0, 1), lambda k: np.copysign(1, k.start)),
        "1 and True in a slice": (slice(1), slice(True), lambda k: 2.0 if k.stop is True else 3.0),
        "the zone of a time": (time(2020, 1, 1, tzinfo=zone.utc), time(2020, 1, 1, 1, tzinfo=later), lambda k: k.hour),
        "the fold of a time": (time(2020, 1, 1), time(2020, 1, 1, fold=1), lambda k: k.fold),
        "the unit of a time": (np.datetime64("2020-01-01"), np.datetime64("2020-01-01T00"), lambda k: len(str(k))),
        "the unit of a span": (np.timedelta64(1, "D"), np.timedelta64(24, "h"), lambda k: k.astype(int)),
        "notes of a dtype": (np.dtype("i4"), np.dtype("i4", metadata={"q": 1}), lambda k: len(k.metadata or ())),
        "a dtype that is aligned": (
            np.dtype([("a", "f4")]), np.dtype([("a", "f4")], align=True), lambda k: k.isalignedstruct
        ),
    }  # fmt: skip


@compiled
def values_that_are_equal_and_others(J: Any) -> Any:
    def one(first: Any, second: Any, tell: Any) -> Any:
        held = {"k": first}
        return change(J, lambda x: x * (1.0 + float(tell(held["k"]))), lambda: held.update(k=second))

    for pair in equal_and_others().values():
        yield from one(*pair)


@compiled
def two_names_that_become_one_list(J: Any) -> Any:
    held = {"a": [9], "b": [9]}

    def f(x: Any) -> Any:
        held["a"].append(1)
        n = len(held["b"])
        held["a"].pop()
        return x * n

    return change(J, f, lambda: held.update(b=held["a"]))


@compiled
def what_a_held_format_reads(J: Any) -> Any:
    item = NS(note="zz")
    show = "{item.note}".format
    return change(J, lambda x: x * len(show(item=item)), lambda: setattr(item, "note", "zzzzzz"))


@compiled
def the_most_digits_of_a_text(J: Any) -> Any:
    before = sys.get_int_max_str_digits()

    def f(x: Any) -> Any:
        try:
            return x * len(str(10**3000))
        except ValueError:
            return x * 2.0

    try:
        yield from change(J, f, lambda: sys.set_int_max_str_digits(1000))
    finally:
        sys.set_int_max_str_digits(before)


@either("looked at")
def a_key_whose_hash_changes(J: Any) -> Any:
    state = [1]

    class Key:
        def __hash__(self) -> int:
            return state[0]

    key = Key()
    table = {key: 1}
    return change(J, lambda x: x * 2.0 if key in table else x * 3.0, lambda: state.__setitem__(0, 0))


@compiled
def values_of_keys_that_are_exchanged_with_their_places(J: Any) -> Any:
    """The order in which an OrderedDict gives its keys is the same, that of the dict below is not."""

    class Key:
        def __hash__(self) -> int:
            return 5

        def __eq__(self, other: object) -> bool:
            return self is other

    a, b = Key(), Key()
    table: Any = OrderedDict({a: 2.0, b: 3.0})

    def exchange() -> None:
        del table[a]
        table[b], table[a] = 2.0, 3.0
        table.move_to_end(a, last=False)

    return change(J, lambda x: x * table[a], exchange)


@compiled
def a_hidden_state_that_is_set_back(J: Any) -> Any:
    cell = NS(h=tg.zeros(2))

    def f(x: Any) -> Any:
        h = tg.tanh(cell.h + x)
        cell.h.assign(h)
        return h

    return change(J, f, lambda: setattr(cell, "h", tg.zeros(2)), calls=14, at=6)


@compiled
def a_function_that_raises_at_first(J: Any) -> Any:
    ready = [False]

    def f(x: Any) -> Any:
        if not ready[0]:
            raise ValueError("not ready")
        return x * 2.0

    g = J(f)
    for i in range(20):
        ready[0] = i >= 14
        try:
            yield g(x2())
        except ValueError as error:
            yield str(error)


@either("a list that it makes")
def containers_that_contain_themselves(J: Any) -> Any:
    of_list, of_dict = J(lambda x, held: x * len(held)), J(lambda x, held: x * len(held))
    links: list[Any] = [1]
    links.append(links)
    table: dict[str, Any] = {}
    table["itself"] = table
    deep: Any = None
    for _ in range(1500):
        deep = [deep]
    for _ in range(4):
        yield of_list(x2(), links), of_dict(x2(), table), of_list(x2(), deep)


@eager("a list that it makes")
def a_result_that_contains_itself(J: Any) -> Any:
    def f(x: Any) -> Any:
        made = [x * 2.0]
        made.append(made)
        return made

    g = J(f)
    for _ in range(4):
        yield g(x2())[0]


def setting(J: Any, option: str, value: Any) -> Any:
    w = tg.Parameter(tg.ones(2))
    opt = tg.optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=0.01)

    def f(x: Any) -> Any:
        opt.zero_grad()
        (w * x).sum().backward()
        setattr(opt, option, value)
        opt.step()
        return w.detach()

    g = J(f)
    for i in range(6):
        if i == 4:
            opt.lr = 0.2
        yield g(x2())


@either("weight_decay")
def decay_that_is_switched_off_inside(J: Any) -> Any:
    return setting(J, "weight_decay", 0.0)


@either("nesterov")
def a_flag_that_is_set_inside(J: Any) -> Any:
    return setting(J, "nesterov", True)


@compiled
def momentum_that_is_set_inside(J: Any) -> Any:
    return setting(J, "momentum", 0.5)
