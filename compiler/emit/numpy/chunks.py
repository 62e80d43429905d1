"""Runs of elementwise operations on large arrays, for NumPy: part by part, so that what one call makes is still in the
cache for the next, and what only the run needs takes the memory of one part."""

from collections.abc import Collection, Sequence
from math import prod
from typing import Any, Protocol

from tapegrad.compiler.emit.module import SourceModule
from tapegrad.compiler.ir.program import Op, Program, Var
from tapegrad.compiler.plan.blocks import Block, blocks

LARGE = 1 << 17  # elements: 512 KB of float32, about what a core's cache holds
PART = 1 << 15  # the call of NumPy's function is then a twentieth of its work


def runs(program: Program, fresh: Collection[str]) -> list[Block]:
    """The program in blocks: each operation by itself, but for the runs that go through large arrays in parts.

    fresh   operations whose results are made anew at each call: they have no array to be put into part by part
    """
    if all(prod(op.out.shape) < LARGE for op in program.ops):
        return [Block([op]) for op in program.ops]
    found: list[Block] = []
    for block in blocks(program, reductions=False):
        shape = block.shape or ()
        large = len(block.ops) > 1 and shape[:1] > (1,) and prod(shape) >= LARGE
        if large and not any(op.name in fresh for op in block.ops):
            found.append(block)
        else:
            found += [Block([op]) for op in block.ops]
    if all(len(block.ops) == 1 for block in found):
        return [Block([op]) for op in program.ops]  # with each view where it was recorded
    return found


def is_cut(v: Var, shape: tuple[int, ...]) -> bool:
    """Whether a part of the loop needs a part of v, and not the whole, which is broadcast."""
    return v.ndim == len(shape) and v.ndim > 0 and v.shape[0] == shape[0]


class Emitter(Protocol):
    """What is needed of the NumPy emitter."""

    module: SourceModule
    at_build: set[Var]
    run_count: int

    def place(self, v: Any) -> str: ...
    def home(self, v: Var) -> str | None: ...
    def operands(self, op: Op, args: list[str]) -> list[str]: ...
    def into(self, op: Op, args: list[str], out: str) -> str: ...
    def add(self, text: str, op: Op, others: Sequence[Op] = ()) -> None: ...


def emit_run(block: Block, emitter: Emitter) -> None:
    """One loop over parts: a list of tuples of views, made once, and the calls on them."""
    shape = block.shape or ()
    rows, row = shape[0], prod(shape[1:])
    step = max(1, PART // row)
    emitter.run_count += 1
    parts = f"parts_{emitter.run_count}"
    views: dict[str, str] = {}  # name in the loop -> how it is cut
    names: dict[Var, str] = {}
    last = {v: n for n, op in enumerate(block.ops) for v in op.vars}
    free: list[tuple[str, str]] = []  # (dtype, name) of the parts that nobody needs any more
    count = 0

    def named(v: Any) -> str:
        if not isinstance(v, Var) or not is_cut(v, shape):
            return emitter.place(v)
        if v not in names and (v in emitter.at_build or v.kind == "captured"):
            names[v] = cut(emitter.place(v))
        elif v not in names:  # it is at another place at each call
            views["rows"] = f"slice(i, i + {step})"
            names[v] = f"{emitter.place(v)}[rows]"
        return names[v]

    def cut(text: str) -> str:
        views[f"{text}_part"] = f"{text}[i : i + {step}]"
        return f"{text}_part"

    def cache(dtype: str) -> str:
        nonlocal count
        for kind, name in free:
            if kind == dtype:
                free.remove((kind, name))
                return name
        count += 1
        whole = f"cache_{emitter.run_count}_{count}"
        emitter.module.define(whole, f"empty({(min(step, rows), *shape[1:])}, {dtype!r})")
        views[f"{whole}_part"] = f"{whole}[: {rows} - i]"
        return f"{whole}_part"

    body: list[tuple[str, Op]] = []
    for n, op in enumerate(block.ops):
        args = emitter.operands(op, [named(i) for i in op.inputs])
        done = [(str(v.dtype), names[v]) for v in dict.fromkeys(op.vars) if v in block.inner and last[v] == n]
        in_place = op.operation.in_place
        free += done if in_place else []
        names[op.out] = cache(str(op.out.dtype)) if op.out in block.inner else cut(str(emitter.home(op.out)))
        free += [] if in_place else done
        body.append((emitter.into(op, args, names[op.out]), op))
    views_of_part = f"({', '.join(views.values())})"
    emitter.module.define(parts, f"[{views_of_part} for i in range(0, {rows}, {step})]")
    emitter.add(f"for {', '.join(views)} in {parts}:", block.ops[0], block.ops)
    for text, op in body:
        emitter.add(f"    {text}", op)
