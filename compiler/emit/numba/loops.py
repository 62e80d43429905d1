"""A block of elementwise operations, and the reductions that end it, as one nest of loops."""

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from tapegrad.compiler.emit.numba.scalars import expression, number
from tapegrad.compiler.ir.operations import Kind
from tapegrad.compiler.ir.program import Op, Var
from tapegrad.compiler.plan.blocks import Block

START = {"sum": "0", "mean": "0", "any": "False", "all": "True", "prod": "1", "max": "-inf", "min": "inf"}
# From so many elements on, a loop is shared among the cores: 64 µs or more, against some 10 µs for handing it out.
PARALLEL = 1 << 17


def nest(lengths: list[tuple[str, int]], body: list[str]) -> list[str]:
    """Lines inside a loop for each (index, length)."""
    lines = [f"{'    ' * k}for {i} in range({n}):" for k, (i, n) in enumerate(lengths)]
    return lines + ["    " * len(lines) + line for line in body]


def indices_of(shape: tuple[int, ...]) -> list[str]:
    """The index of each axis: i0, i1, …; an axis of length 1 needs none."""
    return [f"i{k}" if n != 1 else "0" for k, n in enumerate(shape)]


def lengths_of(shape: tuple[int, ...]) -> list[tuple[str, int]]:
    return [(f"i{k}", n) for k, n in enumerate(shape) if n != 1]


def subscript(shape: tuple[int, ...], indices: list[str]) -> str:
    """The place of the element of a broadcast array for the indices of the result: it has its last axes alone, and
    one of length 1 stays at 0."""
    own = indices[len(indices) - len(shape) :] if shape else []
    return ", ".join("0" if n == 1 else i for n, i in zip(shape, own)) or "()"


@dataclass
class Loop:
    """The source of one block.

    name       what a Var's array is called
    place      declares where a result is made, and gives its name
    numbers    0-d results that are plain variables
    strided    arrays whose elements do not lie one after another
    """

    block: Block
    name: Callable[[Var], str]
    place: Callable[[Var], str]
    numbers: dict[Var, str]
    strided: set[Var]
    local: dict[Var, str] = field(default_factory=dict)  # made in this loop
    hoisted: dict[str, str] = field(default_factory=dict)  # what is read once per turn of an outer loop
    part: str = ""  # the primitive or gradient rule that the last line is of
    in_memory: bool = False  # whether a reduction adds to an array, element by element

    def __post_init__(self) -> None:
        assert self.block.shape is not None
        ops = self.block.ops
        self.stored = {op.out: self.place(op.out) for op in ops if op.out not in self.block.inner}
        self.flat = self.is_flat()
        self.shape = (prod(self.block.shape),) if self.flat else self.block.shape
        self.indices, self.lengths = indices_of(self.shape), lengths_of(self.shape)
        depth = len(self.lengths)
        self.before: list[list[str]] = [[] for _ in range(depth + 1)]  # at the start of a turn at that depth
        self.after: list[list[str]] = [[] for _ in range(depth + 1)]
        self.body: list[str] = []
        for op in ops:
            self.elementwise(op) if op.kind is Kind.ELEMENTWISE else self.reduction(op)

    def is_flat(self) -> bool:
        """Whether all arrays are alike, so that one index is enough."""
        shape = self.block.shape
        alike = all(
            (v.shape == shape and v not in self.strided) or v.ndim == 0 or v in self.block.inner
            for op in self.block.ops if op.kind is Kind.ELEMENTWISE for v in (*op.vars, op.out)
        )  # fmt: skip
        whole = all(
            op.params.get("axis") is None and op.vars[0] not in self.strided
            for op in self.block.ops if op.kind is not Kind.ELEMENTWISE
        )  # fmt: skip
        return sum(n != 1 for n in shape or ()) > 1 and alike and whole

    # ---- elements ----
    def element(self, v: Any, dtype: np.dtype) -> str:
        if not isinstance(v, Var):
            return number(v, dtype)
        if v in self.local:
            return self.local[v]
        if v in self.numbers:
            return self.numbers[v]
        name = self.name(v)
        if self.flat and v.ndim:
            return f"{self.row(name)}[i0]"
        text = f"{name}[{subscript(v.shape, self.indices)}]"
        deepest = max((k for k, (i, _) in enumerate(self.lengths) if i in subscript(v.shape, self.indices).split(", ")),
                      default=-1)  # fmt: skip
        return self.once(text, f"{name}_value", deepest + 1) if deepest + 1 < len(self.lengths) else text

    def once(self, text: str, name: str, depth: int) -> str:
        """The name of what is the same through the loops inside that depth."""
        if text not in self.hoisted:
            same = sum(n.startswith(name) for n in self.hoisted.values())
            self.hoisted[text] = f"{name}_{same + 1}" if same else name
            self.before[depth].append(f"{self.hoisted[text]} = {text}")
        return self.hoisted[text]

    def row(self, name: str) -> str:
        """The array as one row."""
        text = f"{name}.reshape(-1)"
        if text not in self.hoisted:
            self.hoisted[text] = f"{name}_flat"
            self.before[0].append(f"{name}_flat = {text}")
        return self.hoisted[text]

    def elementwise(self, op: Op) -> None:
        used = {*self.stored.values(), *self.numbers.values()}
        local = op.out.name if op.out.name not in used else f"{op.out.name}_value"
        comment = f"  # [{op.origin.part}]" if op.origin.part != self.part else ""
        self.part = op.origin.part
        self.body.append(f"{local} = {expression(op, self.element)}{comment}")
        self.local[op.out] = local
        if not self.lengths and op.out in self.block.inner:
            self.numbers[op.out] = local
        if op.out in self.stored:
            home = self.stored[op.out]
            target = (
                f"{self.row(home)}[i0]" if self.flat else f"{home}[{subscript(op.out.shape, self.indices)}]"
            )
            self.body.append(f"{target} = {local}")

    # ---- reductions ----
    def reduction(self, op: Op) -> None:
        x, out, keep = op.vars[0], op.out, bool(op.params.get("keepdims"))
        axis = op.params.get("axis")
        axes = (
            range(x.ndim)
            if axis is None
            else [a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))]
        )
        value = self.element(x, x.dtype)
        depths = range(len(self.lengths))
        over = depths if self.flat else [k for k, (i, _) in enumerate(self.lengths) if int(i[1:]) in axes]
        first = min(over, default=len(self.lengths))
        own = list(over) == list(depths[first:])  # the inner loops alone: the total is a variable
        number_of = x.size // max(out.size, 1)
        if self.flat:
            place = "()"
        else:
            kept = [("0" if a in axes else i) for a, i in enumerate(self.indices) if keep or a not in axes]
            place = ", ".join(kept) or "()"
        exact = out.dtype.kind == "f" and op.name in ("sum", "mean")
        wide = np.dtype("float64") if own and exact else out.dtype
        start = START[op.name] if op.name in ("any", "all") else self.start(op.name, wide)
        if own:
            total = f"{out.name}_total"
            self.before[first].append(f"{total} = {start}")
        else:
            self.in_memory = True
            total = f"{self.stored[out]}[{place}]"
            self.before[0].append(f"{self.stored[out]}[...] = {start}")
        self.body.append(step_of(op, total, value))
        mean = f" / {number(number_of, wide)}" if op.name == "mean" else ""
        if own:
            result = f"{total}{mean}" if wide.kind == "b" else f"np.{out.dtype}({total}{mean})"
            if out in self.block.inner:
                self.after[first].append(f"{out.name} = {result}")
                self.numbers[out] = out.name
            else:
                self.after[first].append(f"{self.stored[out]}[{place}] = {result}")
        elif mean:
            self.after[0].append(f"{self.stored[out]}[...] = {self.stored[out]}{mean}")

    def start(self, name: str, dtype: np.dtype) -> str:
        if dtype.kind != "f" and name in ("max", "min"):
            bounds = (False, True) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
            return number(bounds[name == "min"], dtype)
        return number(float(START[name]) if dtype.kind == "f" else int(START[name]), dtype)

    # ---- the whole ----
    @property
    def parallel(self) -> bool:
        """Whether the turns of the outermost loop can be shared among the cores, and are worth it."""
        alone = not self.in_memory and not any("_total" in line for line in self.before[0])
        return bool(self.lengths) and prod(self.shape) >= PARALLEL and alone

    def lines(self, depth: int = 0) -> list[str]:
        if depth == len(self.lengths):
            return [*self.before[depth], *self.body, *self.after[depth]]
        i, n = self.lengths[depth]
        inside = ["    " + line for line in self.lines(depth + 1)]
        return [*self.before[depth], f"for {i} in range({n}):", *inside, *self.after[depth]]

    def apart(self, function: str) -> tuple[list[str], list[str]]:
        """(the loop as a function of its own, whose turns the cores share; the lines that call it)."""
        head = len(self.before[0])
        lines = self.lines()
        loop = lines[head:]
        loop[0] = loop[0].replace("range(", "prange(")
        given = ", ".join(free_names(loop))
        return [f"def {function}({given}):", *("    " + line for line in loop)], [
            *lines[:head],
            f"{function}({given})",
        ]


def step_of(op: Op, total: str, value: str) -> str:
    """How a reduction takes in one more element."""
    if op.name in ("any", "all"):
        term = value if op.vars[0].dtype.kind == "b" else f"({value} != 0)"
        return f"{total} = {total} {'|' if op.name == 'any' else '&'} {term}"
    if op.name in ("max", "min"):  # a NaN stays
        sign = ">" if op.name == "max" else "<"
        return f"{total} = {value} if {value} {sign} {total} or {value} != {value} else {total}"
    return f"{total} {'*' if op.name == 'prod' else '+'}= {value}"


def free_names(lines: list[str]) -> list[str]:
    """The names that lines of code use and do not set."""
    names = [n for n in ast.walk(ast.parse("\n".join(lines))) if isinstance(n, ast.Name)]
    made = {n.id for n in names if isinstance(n.ctx, ast.Store)}
    return sorted({n.id for n in names} - made - {"np", "math", "prange", "range"})
