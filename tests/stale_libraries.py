"""What libraries look up as they run for the step: their functions, tables and classes, and what is registered."""

import base64
import calendar
import codecs
import contextlib
import copy
import difflib
import fractions
import html
import json
import re
import statistics
import textwrap
import threading
import types
import urllib.parse
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np

import tapegrad as tg
from surroundings import Table, change, x2

CASES = Table()
compiled, eager = CASES.compiled, CASES.eager
MISSING: Any = object()


class Thing:
    def __init__(self, k: float) -> None:
        self.k = k


NS: Any = types.SimpleNamespace
polynomials: Any = np.polyval._implementation.__globals__  # type: ignore[attr-defined]
thing, ratio, number = Thing(2.0), fractions.Fraction(1, 2), uuid.UUID(int=3)


def fixed(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


# name -> (what holds something, its key or attribute there, what it is changed to, what the step reads)
LOOKED_UP: dict[str, tuple[Any, Any, Any, Callable[[], float]]] = {
    "how a copy is made": (copy._deepcopy_dispatch, Thing, lambda o, memo: Thing(9.0), lambda: copy.deepcopy(thing).k),
    "how a shallow copy is made": (copy._copy_dispatch, Thing, lambda o: Thing(9.0), lambda: copy.copy(thing).k),
    "a function below": (copy, "_reconstruct", fixed(Thing(7.0)), lambda: copy.deepcopy(thing).k),
    "an object": (json, "_default_encoder", json.JSONEncoder(indent=4), lambda: len(json.dumps([1, 2]))),
    "what an object has": (json._default_encoder, "item_separator", ",   ", lambda: len(json.dumps([1, 2]))),
    "a method": (json.JSONEncoder, "iterencode", fixed(["zzzz"]), lambda: len(json.JSONEncoder(indent=1).encode([1]))),
    "an attribute of a class": (
        json.JSONEncoder, "item_separator", ",  ", lambda: len(json.JSONEncoder().encode([1, 2]))),
    "a list": (urllib.parse.uses_relative, 0, "zz", lambda: len(urllib.parse.urljoin("zz://a/b", "c"))),
    "a large table": (html.entities.html5, "zz1;", "abcdef", lambda: len(html.unescape("&zz1;"))),
    "an operator": (fractions.Fraction, "__add__", fixed(7.0), lambda: float(ratio + fractions.Fraction(1, 3))),
    "a function of two": (
        difflib, "_calculate_ratio", fixed(9.0), lambda: difflib.SequenceMatcher(None, "ab", "ac").ratio()),
    "a pattern": (
        textwrap, "_whitespace_only_re", re.compile("a", re.M), lambda: textwrap.dedent("  a").count("a")),
    "the day that is first": (calendar.c, "_firstweekday", 3, lambda: calendar.firstweekday()),
    "a module": (base64, "binascii", NS(b2a_base64=fixed(b"12345678")), lambda: len(base64.b64encode(b"a"))),
    "a module of NumPy's": (
        polynomials, "NX", NS(asarray=list, asanyarray=float, zeros_like=fixed(77.0)),
        lambda: float(np.polyval([1.0, 2.0], 2.0))),
    "a private number": (ratio, "_numerator", 5, lambda: float(ratio)),
}  # fmt: skip


def set_to(holder: Any, key: Any, value: Any) -> Any:
    """Change it, and give what was there."""
    if isinstance(holder, dict):
        before = holder.pop(key, MISSING)
        holder |= {key: value} if value is not MISSING else {}
    elif isinstance(holder, list):
        before, holder[key] = holder[key], value
    else:
        before = getattr(holder, key)
        setattr(holder, key, value)
    return before


@compiled
def what_a_library_looks_up(J: Any) -> Any:
    def one(holder: Any, key: Any, value: Any, read: Callable[[], float]) -> Any:
        before: list[Any] = []
        act = lambda: before.append(set_to(holder, key, value))
        return change(J, lambda x: x * read(), act, back=lambda: set_to(holder, key, before[0]))

    for row in LOOKED_UP.values():
        yield from one(*row)


@compiled
def a_number_that_only_object_can_set(J: Any) -> Any:
    set_int = lambda value: object.__setattr__(number, "int", value)
    return change(J, lambda x: x * float(number.int), lambda: set_int(5), back=lambda: set_int(3))


# ---- what is registered ----
ENCODES: dict[str, Callable[[], Any]] = {
    "by place": lambda: "é1".encode("ascii", "tapegrad-test"),
    "by name": lambda: "é1".encode("ascii", errors="tapegrad-test"),
    "of bytes": lambda: b"\xff1".decode("ascii", "tapegrad-test"),
    "as a text": lambda: str(b"\xff1", "ascii", "tapegrad-test"),
}
name = "tapegrad-test"
BY_VARIABLE: dict[str, Callable[[], Any]] = {
    "a global": lambda: "é1".encode("ascii", name),
    "computed": lambda: "é1".encode("ascii", "tapegrad" + name[8:]),
    "of bytes": lambda: bytearray("é1", "ascii", name),
}


def with_handlers(J: Any, of: dict[str, Callable[[], Any]]) -> Any:
    handler = lambda text: codecs.register_error("tapegrad-test", lambda e: (text, e.end))

    def one(encode: Callable[[], Any]) -> Any:
        handler("??")
        return change(J, lambda x: x * float(len(encode())), lambda: handler("????"))

    for encode in of.values():
        yield from one(encode)


@compiled
def a_handler_of_errors(J: Any) -> Any:
    return with_handlers(J, ENCODES)


@eager("names an encoding")
def a_handler_of_errors_by_a_variable(J: Any) -> Any:
    return with_handlers(J, BY_VARIABLE)


@compiled
def a_codec(J: Any) -> Any:
    def search(length: int) -> Any:
        info = codecs.CodecInfo(
            lambda s, e="strict": (b"x" * length, len(s)), lambda s, e="strict": ("", len(s))
        )  # type: ignore[arg-type]
        return lambda asked: info if asked == "tapegrad_codec" else None

    before, after = search(2), search(5)
    codecs.register(before)

    def act() -> None:
        codecs.unregister(before)
        codecs.register(after)

    try:
        yield from change(J, lambda x: x * float(len("abc".encode("tapegrad_codec"))), act)
    finally:
        codecs.unregister(after)


@compiled
def a_method_that_is_called_encode(J: Any) -> Any:
    class Coder(tg.nn.Module):
        def __init__(self) -> None:
            self.k = 2.0

        def encode(self, x: Any) -> Any:
            return x * self.k

    coder = Coder()
    return change(J, lambda x: coder.encode(x), lambda: setattr(coder, "k", 5.0))


@compiled
def what_a_module_gives_for_what_it_has_not(J: Any) -> Any:
    module: Any = types.ModuleType("made_by_hand")
    module.__getattr__ = fixed(2.0)
    return change(J, lambda x: x * module.zz, lambda: setattr(module, "__getattr__", fixed(5.0)))


# ---- what is entered and handed on ----
@eager("lock")
def a_lock_that_a_stack_enters_and_hands_on(J: Any) -> Any:
    lock, outside = threading.RLock(), contextlib.ExitStack()

    def inside(x: Any) -> Any:
        with contextlib.ExitStack() as stack:
            stack.enter_context(lock)
            stack.pop_all()
        return x * 2.0

    def into_another(x: Any) -> Any:
        outside.enter_context(lock)
        return x * 2.0

    for step in (inside, into_another):
        f = J(step)
        for _ in range(6):
            yield f(x2()), repr(lock).partition("count=")[2].partition(" ")[0]


@compiled
def a_lock_that_a_stack_enters_and_leaves(J: Any) -> Any:
    lock, thing = threading.RLock(), Thing(2.0)

    def step(x: Any) -> Any:
        with contextlib.ExitStack() as stack:
            stack.enter_context(lock)
            return x * thing.k

    return change(J, step, lambda: setattr(thing, "k", 5.0))


@eager("__array_interface__")
def memory_that_is_named_by_its_address(J: Any) -> Any:
    array = np.ones(2, "f")
    thing: Any = Thing(2.0)
    thing.__array_interface__ = array.__array_interface__
    return change(J, lambda x: x * tg.tensor(np.asarray(thing)), lambda: array.__setitem__(0, 5.0))


@compiled
def a_mean_below(J: Any) -> Any:
    before = statistics._sum
    act = lambda: setattr(statistics, "_sum", fixed((int, fractions.Fraction(9), 2)))
    return change(
        J, lambda x: x * statistics.mean([1, 2]), act, back=lambda: setattr(statistics, "_sum", before)
    )
