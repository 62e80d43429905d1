"""Cases of classes that name another module than the one that made them, and of modules with a class of the user's."""

import abc
import argparse
import dataclasses
import importlib.util
import io
import logging
import sys
import types
from typing import Any

import tapegrad as tg
from surroundings import Table, change

CASES = Table()
compiled = CASES.compiled


def strangers() -> dict[str, tuple[type, type]]:
    """Name -> a class and the base of it that has `k` and `m`."""
    inside: dict[str, Any] = {}
    exec(
        "class A:\n    k = 2.0\n    def m(self): return 2.0\nclass B(A): pass\nclass C(A): __slots__ = ()",
        inside,
    )

    class Numpy:
        __module__ = "numpy"
        k = 2.0

        def m(self) -> float:
            return 2.0

    class Below(Numpy):
        pass

    def body(namespace: dict[str, Any]) -> None:
        namespace.update(k=2.0, m=lambda self: 2.0)

    module = sys.modules["made_without_a_file"] = types.ModuleType("made_without_a_file")
    exec("class A:\n    k = 2.0\n    def m(self): return 2.0", vars(module))
    made = dataclasses.make_dataclass("Made", [("k", float, 2.0)], namespace={"m": lambda self: 2.0})
    new = types.new_class("New", (), {}, body)
    abstract = abc.ABCMeta("Abstract", (), {"k": 2.0, "m": lambda self: 2.0})
    plain = type("Plain", (), {"k": 2.0, "__module__": "re", "m": lambda self: 2.0})
    return {
        "make_dataclass": (made, made),
        "new_class": (new, new),
        "ABCMeta": (abstract, abstract),
        "exec": (inside["A"], inside["A"]),
        "a class below one of exec": (inside["B"], inside["A"]),
        "one with slots": (inside["C"], inside["A"]),
        "named numpy": (Numpy, Numpy),
        "below one named numpy": (Below, Numpy),
        "named re": (plain, plain),
        "of a module without a file": (module.A, module.A),
    }


@compiled
def an_attribute_of_a_class_that_names_another_module(J: Any) -> Any:
    def one(kind: Any, base: type) -> Any:
        return change(J, lambda x: x * kind.k, lambda: setattr(base, "k", 5.0))

    for pair in strangers().values():
        yield from one(*pair)


@compiled
def a_method_of_a_class_that_names_another_module(J: Any) -> Any:
    def one(kind: Any, base: type) -> Any:
        held = kind()
        return change(J, lambda x: x * held.m(), lambda: setattr(base, "m", lambda self: 5.0))

    for pair in strangers().values():
        yield from one(*pair)


class Config(types.ModuleType):
    k = 2.0

    def m(self) -> float:
        return 2.0

    @property
    def p(self) -> float:
        return self.k


def module() -> Any:
    return type("Again", (Config,), {**vars(Config)})("config")


@compiled
def the_class_of_a_module(J: Any) -> Any:
    def one(f: Any, change_class: Any) -> Any:
        config = module()
        return change(J, lambda x: x * f(config), lambda: change_class(type(config)))

    yield from one(lambda c: c.k, lambda kind: setattr(kind, "k", 5.0))
    yield from one(lambda c: c.m(), lambda kind: setattr(kind, "m", lambda self: 5.0))
    yield from one(lambda c: c.p, lambda kind: setattr(kind, "k", 5.0))
    yield from one(lambda c: c.p, lambda kind: setattr(kind, "p", 5.0))


@compiled
def an_attribute_of_a_class_that_is_reached_through_its_module(J: Any) -> Any:
    """One of Python's, and one of ours."""

    def one(f: Any, owner: Any) -> Any:
        owner.named_here = 2.0
        try:
            yield from change(J, f, lambda: setattr(owner, "named_here", 5.0))
        finally:
            del owner.named_here

    yield from one(lambda x: x * argparse.Namespace.named_here, argparse.Namespace)
    yield from one(lambda x: x * tg.nn.Flatten.named_here, tg.nn.Flatten)


@compiled
def a_logger_that_is_asked_for_by_name(J: Any) -> Any:
    logger = logging.getLogger("tapegrad.tests.stale")
    logger.setLevel(logging.WARNING)
    f = lambda x: x * (2.0 if logging.getLogger("tapegrad.tests.stale").isEnabledFor(logging.DEBUG) else 3.0)
    try:
        yield from change(J, f, lambda: logger.setLevel(logging.DEBUG))
    finally:
        logger.setLevel(logging.NOTSET)


@CASES.eager("find_spec")
def a_package_that_may_appear(J: Any) -> Any:
    f = J(lambda x: x * (2.0 if importlib.util.find_spec("tapegrad_no_such_package") is None else 3.0))
    for _ in range(4):
        yield f(tg.tensor([1.0, 2.0]))


@CASES.eager("a log")
def a_message_below_the_level_of_the_root(J: Any) -> Any:
    """It is written once the level changes."""

    def step(x: Any) -> Any:
        logging.info("tapegrad_test_message")
        return x * 2.0

    f, root, text = J(step), logging.getLogger(), io.StringIO()
    level, handler = root.level, logging.StreamHandler(text)
    root.addHandler(handler)
    try:
        for n in range(12):
            root.setLevel(logging.WARNING if n < 6 else logging.INFO)
            yield f(tg.tensor([1.0, 2.0])), text.getvalue().count("tapegrad_test_message")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
