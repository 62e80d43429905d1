"""Cases of what libraries tell about classes, functions and arrays: fields, annotations, closures, memory."""

import dataclasses
import inspect
import typing
from typing import Any

import numpy as np

from surroundings import Table, change

CASES = Table()
compiled, eager = CASES.compiled, CASES.eager


def settings() -> Any:
    @dataclasses.dataclass
    class Settings:
        k: float = 2.0
        m: float = dataclasses.field(default=1.0, metadata={"scale": [2.0]})

    return Settings


@compiled
def the_default_of_a_field(J: Any) -> Any:
    kind = settings()
    field = kind.__dataclass_fields__["k"]
    return change(
        J, lambda x: x * dataclasses.fields(kind)[0].default, lambda: setattr(field, "default", 5.0)
    )


@compiled
def the_metadata_of_a_field(J: Any) -> Any:
    kind = settings()
    held = kind.__dataclass_fields__["m"].metadata["scale"]

    def f(x: Any) -> Any:
        return x * dataclasses.fields(kind)[1].metadata["scale"][0]

    return change(J, f, lambda: held.append(held.pop() + 3.0))


@compiled
def the_hints_of_a_class(J: Any) -> Any:
    class Options:
        a: int

    hints = Options.__annotations__
    return change(J, lambda x: x * len(typing.get_type_hints(Options)), lambda: hints.update(b=int))


@compiled
def the_hints_of_a_function(J: Any) -> Any:
    def g(a: float) -> None: ...

    hints = g.__annotations__
    return change(J, lambda x: x * len(typing.get_type_hints(g)), lambda: hints.update(b=int))


@eager("getclosurevars")
def the_closure_of_a_function(J: Any) -> Any:
    held = 2.0

    def g() -> float:
        return held

    def other() -> None:
        nonlocal held
        held = 5.0

    return change(J, lambda x: x * inspect.getclosurevars(g).nonlocals["held"], other)


@compiled
def whether_an_array_owns_its_memory(J: Any) -> Any:
    arrays = [np.ones(2)]
    view = arrays[0][:]
    return change(J, lambda x: x * (2.0 if arrays[0].base is None else 3.0), lambda: arrays.insert(0, view))
