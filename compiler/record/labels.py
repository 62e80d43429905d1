"""Readable unique names for the arrays of a program, and the user's lines."""

import builtins
import keyword
import linecache
import re
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from tapegrad.autograd.diagnostics import is_own, user_frame
from tapegrad.compiler.ir.operations import OPERATIONS
from tapegrad.compiler.ir.program import Origin, Program
from tapegrad.compiler.watch.rooms import room_of


class On:
    """`with On(stack, item):` the item is on top of the stack inside."""

    __slots__ = ("item", "stack")

    def __init__(self, stack: list[Any], item: Any) -> None:
        self.stack, self.item = stack, item

    def __enter__(self) -> None:
        self.stack.append(self.item)

    def __exit__(self, *error: object) -> None:
        self.stack.pop()


class Labels:
    """Gives each array of one program a name of its own, which no emitter uses."""

    def __init__(self) -> None:
        self.used: dict[str, int] = dict.fromkeys(
            (*dir(np), *dir(builtins), *keyword.kwlist, *OURS, *helpers()), 0
        )
        self.taken = set(self.used)

    def unique(self, name: str) -> str:
        base, join = readable(name)
        number = self.used.get(base, -1) + 1
        while (unique := f"{base}{join}{number}" if number else base) in self.taken:
            number += 1
        self.used[base] = number
        self.taken.add(unique)
        return unique


@lru_cache(1000)
def readable(name: str) -> tuple[str, str]:
    """An identifier like the name, and what comes between it and a number."""
    base = name if name.isidentifier() else "".join(c if c.isalnum() else "_" for c in name).strip("_") or "v"
    base += "_" * bool(RESERVED.fullmatch(base))
    # A second "c" is no c_1, which is a constant.
    return base, "__" if RESERVED.fullmatch(f"{base}_1") else "_"


@lru_cache(1)
def helpers() -> tuple[str, ...]:
    """The functions that an emitted module defines itself for operations."""
    return tuple(n for row in OPERATIONS.values() for n in re.findall(r"\bdef (\w+)", row.helper))


# What the emitted source calls its own helpers and modules.
OURS = (
    *("np", "erf", "s_", "index_add", "step", "build", "draw", "program"),
    *("LANES", "lanes", "folded", "put", "product_power", "inf", "nan"),
    *("cupy", "ElementwiseKernel", "ReductionKernel", "get_backend", "index_get", "index_set"),
    *(
        "products",
        "replay",
        "check",
        "check_bounds",
        "build_checks",
        "added",
        "Captured",
        "Products",
    ),
)
# Names that the emitters give to buffers, constants and loop variables.
RESERVED = re.compile(
    r"(buffer|constant|gradient|given|drawn|out|work|loop|at|parts|cache)(_.*)?|(c|n|i|j|k)_?\d.*"
    r"|c_(minus|inf|nan).*|i_.|.+_(here|flat|total|value|low|bits|part|taken|row|source)(_\d+)?"
)
COMMANDS = str(Path(__file__).parent.parent.parent / "cli")  # no lines of the user's


def identifier(name: str) -> str:
    """A user's name with its path as an identifier: `layers[0].kernel` is layers_0_kernel."""
    plain = name.replace("'", "").replace("].", ".").replace("][", "[").rstrip("]")
    return "".join(c if c.isalnum() else "_" for c in plain).strip("_")


def without_root(name: str, roots: set[str]) -> str:
    """A name without the one Module that everything is in."""
    first = name.replace("[", ".").partition(".")[0]
    return name[len(first) :].lstrip(".[") if roots == {first} and name != first else name


def module_path(name: str, roots: set[str]) -> str:
    """`m.layers[0]` as layers.0, where m is the one Module that everything is in."""
    path = without_root(name, roots)
    return "" if {path} == roots else path.replace("[", ".").replace("]", "").replace("'", "")


def give_names(program: Program, arrays: dict[str, str], modules: dict[str, str]) -> None:
    """Put the user's names in all places of a program: of arrays by the names that they had while it was recorded, of
    modules by theirs."""
    in_ops = [v for op in program.ops for v in (*op.vars, op.out)]
    for v in dict.fromkeys((*program.captured, *program.arguments, *program.kept(), *in_ops)):
        v.name = arrays.get(v.name, v.name)
    named: dict[Origin, Origin] = {}
    for op in program.ops:
        if op.origin.module and op.origin not in named:
            named[op.origin] = replace(op.origin, module=modules.get(op.origin.module, ""))
        op.origin = named.get(op.origin, op.origin)


def frame_of_the_user() -> FrameType | None:
    """The innermost frame of code that the user wrote: not a library's that it called, nor a dataclass's repr."""
    innermost = frame = user_frame()
    while frame is not None and not written_by_the_user(frame):
        frame = frame.f_back
    return innermost if frame is None else frame


def written_by_the_user(frame: FrameType) -> bool:
    path = frame.f_code.co_filename
    return room_of(path) == "user" and not (path == "<string>" and "__file__" in frame.f_globals)


def line_of_the_user() -> str:
    """file:line: code of the innermost frame that is the user's; "" if there is none."""
    frame = frame_of_the_user()
    if frame is None or frame.f_code.co_filename.startswith(COMMANDS):
        return ""
    path, number = frame.f_code.co_filename, frame.f_lineno
    return f"{path.rpartition('/')[2]}:{number}: {linecache.getline(path, number).strip()}"


def rate_asked() -> str:
    """The user's code for what it asks an optimizer for, as in `opt.lr`, where that needs the number; else ""."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and is_own(frame.f_code.co_filename):
        if frame.f_code.co_qualname == "Optimizer.steps":
            return "opt.steps"
        if frame.f_code.co_qualname == "FlatGroup.read_option":
            return f"opt.{frame.f_locals['name']}"
        frame = frame.f_back
    return ""
