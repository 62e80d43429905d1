"""What a function does to its arguments, and to places that others rebind, is done by a compiled one as well."""

import re
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

Made, Effect = Callable[[], Any], Callable[[Any, tg.Tensor], object]


@dataclass
class Held:
    h: Any = None


def number(value: float) -> tg.Tensor:
    return tg.tensor(float(value))


def put(place: str) -> Effect:
    return lambda s, x: setattr(s, place, x * 2)


ROWS: dict[str, tuple[Made, Effect]] = {
    "attribute that was None": (Held, put("h")),
    "attribute": (lambda: Held(number(0)), put("h")),
    "namespace": (lambda: SimpleNamespace(h=number(0)), put("h")),
    "__dict__": (lambda: Held(number(0)), lambda s, x: s.__dict__.update(h=x * 2)),
    "new key": (dict, lambda s, x: s.update(h=x * 2)),
    "key": (lambda: {"h": number(0)}, lambda s, x: s.update(h=x * 2)),
    "key of a key": (lambda: {"a": {"h": number(1)}}, lambda s, x: s["a"].update(h=x * 2)),
    "item": (lambda: [number(0)], lambda s, x: s.__setitem__(0, x * 2)),
    "slice": (lambda: [number(0)], lambda s, x: s.__setitem__(slice(None), [x * 2])),
    "clear and append": (lambda: [number(0)], lambda s, x: (s.clear(), s.append(x * 2))),
    "append and pop": (lambda: [number(0)], lambda s, x: (s.append(x * 2), s.pop(0))),
    "append": (list, lambda s, x: s.append(x)),
    "reverse": (lambda: [number(0), number(1)], lambda s, x: s.reverse()),
    "swap": (lambda: {"a": number(0), "b": number(1)}, lambda s, x: s.update(a=s["b"], b=s["a"])),
    "deque": (lambda: deque([number(0)], maxlen=1), lambda s, x: s.append(x * 2)),
    "detached": (lambda: [number(3)], lambda s, x: s.__setitem__(0, s[0].detach())),
    "beside an array: a list": (lambda: {"a": np.ones(2), "log": []}, lambda s, x: s["log"].append(1)),
    "beside an array: a count": (lambda: {"a": np.ones(2), "c": 0}, lambda s, x: s.update(c=s["c"] + 1)),
    "beside an array: a tensor": (lambda: {"a": np.ones(2)}, lambda s, x: s.update(n=x * 2)),
    "beside an array: an item": (lambda: [np.ones(2)], lambda s, x: s.append(x)),
    "beside an array: deleted": (lambda: {"a": np.ones(2), "b": 1}, lambda s, x: s.pop("b", None)),
    "in place of an array": (lambda: {"a": np.ones(2)}, lambda s, x: s.update(a=x * 2)),
    "inside, beside an array": (lambda: [{"a": np.ones(2)}], lambda s, x: s[0].update(n=x * 2)),
}  # fmt: skip


def shown(value: Any) -> Any:
    """What a container holds, and of which types."""
    if isinstance(value, (Held, SimpleNamespace)):
        value = vars(value)
    if isinstance(value, dict):
        return {key: shown(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, deque)):
        return [shown(part) for part in value]
    return (type(value).__name__, value.tolist()) if hasattr(value, "tolist") else value


def log_of(how: str | None, made: Made, effect: Effect, fresh: bool) -> list[Any]:
    def f(s: Any, x: tg.Tensor) -> tg.Tensor:
        effect(s, x)
        return x + 1

    call: Any = f if how is None else tg.jit(f, emitter=how)
    s, log = made(), []
    for i in range(6):
        s = made() if fresh else s
        log.append((call(s, number(i)).item(), shown(s)))
    return log


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
@pytest.mark.parametrize("fresh", [False, True], ids=["one object", "a new one each time"])
@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("emitter", ["numpy", "native"])
def test_effects_on_arguments_stay(emitter: str, name: str, fresh: bool) -> None:
    if emitter == "native":
        pytest.importorskip("llvmlite", reason="llvmlite is not installed")
    assert log_of(emitter, *ROWS[name], fresh) == log_of(None, *ROWS[name], fresh)


NAMED = {
    "attribute that was None": "s.h", "__dict__": "s.h", "new key": "s['h']", "key": "s['h']",
    "key of a key": "s['a']['h']", "item": "s[0]", "clear and append": "s[0]", "append": "s", "reverse": "s[0], s[1]",
    "swap": "s['a'], s['b']", "deque": "s[0]", "beside an array: a list": "s['log']",
    "beside an array: a count": "s['c']", "beside an array: an item": "s", "beside an array: deleted": "s['b']",
    "inside, beside an array": "s[0]['n']", "taken out": "s['x']", "an empty slot": "s.h", "an order": "s",
    "a set": "s", "a key of its own class": "s", "an attribute of a list": "s.h", "an attribute of an item": "s[1].h",
}  # fmt: skip


class List(list[Any]):
    h: Any = None


class Slotted:
    __slots__ = ("h",)


OTHERS: dict[str, tuple[Made, Effect]] = {
    "taken out": (lambda: {"x": number(1), "y": 1}, lambda s, x: s.pop("x") * x),
    "an empty slot": (Slotted, put("h")),
    "an order": (lambda: OrderedDict(a=1, b=2), lambda s, x: s.move_to_end("a")),
    "a set": (lambda: {1, 2}, lambda s, x: s.add(3)),
    "a key of its own class": (lambda: {Held: 1}, lambda s, x: s.update({Held: 2})),
    "an attribute of a list": (List, put("h")),
    "an attribute of an item": (lambda: [1, Held()], lambda s, x: setattr(s[1], "h", x * 2)),
}


# An attribute that was not there, or None: of new objects told later, for they may be some that come in turn.
FILLED = ("attribute that was None", "an empty slot", "an attribute of a list", "an attribute of an item")
# What they do again does nothing, or raises.
DONE_ONCE = ("beside an array: deleted", "taken out", "an order", "a set", "a key of its own class")


@pytest.mark.parametrize(
    ("name", "fresh"),
    [(n, f) for n in NAMED for f in (True, False) if n not in (FILLED if f else DONE_ONCE)],
)
def test_what_it_changes_is_told_at_the_third_call(name: str, fresh: bool) -> None:
    """Also where each call is given a new one, which is as the one before was."""
    made, effect = {**ROWS, **OTHERS}[name]
    step = tg.jit(lambda s, x: (effect(s, x), x + 1)[1], strict=True)
    held, told = made(), re.escape(NAMED[name])
    step(held, number(0))
    step(made() if fresh else held, number(1))
    with pytest.raises(
        tg.TraceError, match=rf"it changes {told} at \S+:\d+, .*Return it, or change it outside"
    ):
        step(made() if fresh else held, number(2))


@pytest.mark.parametrize("name", FILLED)
def test_what_new_objects_are_filled_with_is_there(name: str) -> None:
    """And is told after twelve recordings at most."""
    made, effect = {**ROWS, **OTHERS}[name]
    step, plain = tg.jit(lambda s, x: (effect(s, x), x + 1)[1]), made()
    effect(plain, number(2))
    with pytest.warns(tg.JitWarning, match="s"):
        for _ in range(14):
            held = made()
            assert step(held, number(2)).item() == 3
            assert contents(held) == contents(plain)
    assert step.stats()["compiled"] == 0


def contents(value: Any) -> Any:
    """What is in a container or an object, as numbers."""
    if isinstance(value, tg.Tensor):
        return value.tolist()
    slots = [getattr(value, name) for name in getattr(type(value), "__slots__", ())]
    parts = [*slots, *getattr(value, "__dict__", {}).values(), *(value if isinstance(value, list) else [])]
    return list(map(contents, parts)) if parts else value


def test_objects_that_fill_a_cache_in_turn_are_compiled() -> None:
    class Batch:
        def __init__(self, x: tg.Tensor) -> None:
            self.x, self.half = x, None

        @cached_property
        def double(self) -> tg.Tensor:
            return self.x * 2

        def halved(self) -> Any:
            self.half = self.x / 2 if self.half is None else self.half
            return self.half

    batches = [Batch(number(n)) for n in range(10)]
    step = tg.jit(lambda b: b.halved() + b.double, strict=True)
    for _ in range(4):
        for n, batch in enumerate(batches):
            assert step(batch).item() == 2.5 * n
    assert step.stats()["compiled"] >= 20


def test_what_is_built_at_a_first_call_is_compiled() -> None:
    """Each of two objects builds what it keeps, one after the other."""

    def f(s: Held, x: tg.Tensor) -> tg.Tensor:
        if s.h is None:
            s.h = 3.0
        return x * s.h

    step = tg.jit(f, strict=True)
    for s in [Held(), Held()]:
        for i in range(4):
            assert step(s, number(i)).item() == 3 * i
    assert step.stats()["compiled"] >= 4


def test_the_place_is_named() -> None:
    class Filter:
        out: Any = None

        @tg.jit
        def step(self, x: tg.Tensor) -> tg.Tensor:
            self.out = x * 2
            return x + 1

    f = Filter()
    with pytest.warns(
        tg.JitWarning, match=r"it changes self\.out at .*, which a program would leave as it was"
    ):
        for i in range(5):
            f.step(number(i))
            assert f.out.item() == 2 * i

    strict = tg.jit(lambda s, x: s.update(h=x * 2), strict=True)
    s = {"h": number(0)}
    with pytest.raises(tg.TraceError, match=r"it changes s\['h'\]"):
        for i in range(4):
            strict(s, number(i))


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
def test_a_place_that_others_rebind_too() -> None:
    s = Held()

    def f(x: tg.Tensor) -> tg.Tensor:
        s.h = x * 2
        return x * 1

    compiled = tg.jit(f)
    for i in range(8):
        s.h = number(100 * i)
        compiled(number(i))
        assert s.h.item() == 2 * i


def test_an_argument_that_is_returned_is_the_callers() -> None:
    d, parts = {"a": np.ones(2), "b": [1]}, [np.ones(1), {"x": 2}]
    both = tg.jit(lambda d, parts: (d, {"parts": parts, "inner": d["b"]}))
    for _ in range(5):
        first, second = both(d, parts)
        assert first is d and second["parts"] is parts and second["inner"] is d["b"]
    assert type(d["a"]) is np.ndarray and type(parts[0]) is np.ndarray


def test_what_contains_itself_is_taken() -> None:
    d: dict[str, Any] = {"a": np.ones(2)}
    d["self"] = d
    twice = tg.jit(lambda d: d["a"] * 2)
    for _ in range(4):
        assert twice(d).numpy().tolist() == [2.0, 2.0]


def test_effects_before_an_error_stay() -> None:
    def f(d: dict[str, Any]) -> None:
        d["n"] = 1
        raise KeyError("no")

    d: dict[str, Any] = {"a": np.ones(2)}
    with pytest.raises(KeyError, match="no"):
        tg.jit(f)(d)
    assert d["n"] == 1 and type(d["a"]) is np.ndarray


def test_a_write_into_a_gradient_is_named() -> None:
    """Each call has another tensor there."""
    w = tg.Parameter(tg.tensor([1.0, 2.0]))
    (w * w).sum().backward()

    def f(x: tg.Tensor) -> None:
        w.grad.assign(tg.zeros(2))  # type: ignore[union-attr]
        (w * x).sum().backward()

    compiled = tg.jit(f)
    with pytest.warns(tg.JitWarning, match=r"it writes into gradient of w, .* p.grad \* 0.5 or = None"):
        for i in range(5):
            compiled(number(i) + tg.zeros(2))
            assert w.grad is not None and w.grad.numpy().tolist() == [i, i]
    strict = tg.jit(f, strict=True)
    strict(tg.ones(2))
    with pytest.raises(tg.TraceError, match="it writes into gradient of w"):
        strict(tg.zeros(2))
    assert w.grad is not None and w.grad.numpy().tolist() == [1.0, 1.0]


@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")
def test_effects_of_prepare_stay() -> None:
    """They happen twice, as a print does."""

    def f(d: dict[str, Any]) -> tg.Tensor:
        d["n"] = d.get("n", 0) + 1
        return d["a"] * 2

    d: dict[str, Any] = {"a": np.ones(2)}
    tg.jit(f).prepare(d)
    assert d["n"] >= 2 and type(d["a"]) is np.ndarray
