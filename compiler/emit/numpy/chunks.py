"""Runs of elementwise operations on large arrays, for NumPy: part by part, so that what one call makes is still in the
cache for the next, and what only the run needs takes the memory of one part."""

from collections.abc import Collection, Sequence
from math import prod
from typing import Protocol

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
    full: set[str]
    run_count: int

    def place(self, v: Var | object) -> str: ...
    def home(self, v: Var) -> str | None: ...
    def operands(self, op: Op, args: list[str], shape: tuple[int, ...] | None = None) -> list[str]: ...
    def into(self, op: Op, args: list[str], out: str) -> str: ...
    def add(self, text: str, op: Op, others: Sequence[Op] = ()) -> None: ...


def emit_run(block: Block, emitter: Emitter) -> None:
    """One loop over parts: a list of tuples of views, made once, and the calls on them."""
    emitter.run_count += 1
    Run(block, emitter, emitter.run_count).emit()


class Run:
    """A block that is emitted part by part.

    views   name in the loop -> how it is cut
    names   what stands for a Var in the loop
    free    (dtype, name) of the parts of caches that nobody needs any more
    """

    def __init__(self, block: Block, emitter: Emitter, number: int) -> None:
        self.block, self.emitter, self.number = block, emitter, number
        self.shape = block.shape or ()
        self.rows = self.shape[0]
        self.step = max(1, PART // prod(self.shape[1:]))
        self.part = (min(self.step, self.rows), *self.shape[1:])  # the shape of the longest
        self.views: dict[str, str] = {}
        self.names: dict[Var, str] = {}
        self.free: list[tuple[str, str]] = []
        self.caches = 0

    def name(self, v: Var | object) -> str:
        """The expression for an input in the loop."""
        if not isinstance(v, Var) or not is_cut(v, self.shape):
            return self.emitter.place(v)
        if v not in self.names and (v in self.emitter.at_build or v.kind == "captured"):
            self.names[v] = self.cut(self.emitter.place(v))
        elif v not in self.names:  # it is at another place at each call
            self.views["rows"] = f"slice(i, i + {self.step})"
            self.names[v] = f"{self.emitter.place(v)}[rows]"
        return self.names[v]

    def cut(self, text: str) -> str:
        self.views[f"{text}_part"] = f"{text}[i : i + {self.step}]"
        return f"{text}_part"

    def cache(self, dtype: str) -> str:
        """The part of an array for a result that only the loop needs."""
        for kind, name in self.free:
            if kind == dtype:
                self.free.remove((kind, name))
                return name
        self.caches += 1
        whole = f"cache_{self.number}_{self.caches}"
        self.emitter.module.define(whole, f"empty({self.part}, {dtype!r})")
        return self.as_long(whole)

    def as_long(self, whole: str) -> str:
        """An array of the shape of a part, as long as the part is that is to be made."""
        self.views[f"{whole}_part"] = f"{whole}[: {self.rows} - i]"
        return f"{whole}_part"

    def operands(self, op: Op) -> list[str]:
        args = self.emitter.operands(op, [self.name(i) for i in op.inputs], self.part)
        return [self.as_long(a) if a in self.emitter.full else a for a in args]

    def emit(self) -> None:
        block, emitter = self.block, self.emitter
        last = {v: n for n, op in enumerate(block.ops) for v in op.vars}
        body: list[tuple[str, Op]] = []
        for n, op in enumerate(block.ops):
            args = self.operands(op)
            ended = [v for v in dict.fromkeys(op.vars) if v in block.inner and last[v] == n]
            done = [(str(v.dtype), self.names[v]) for v in ended]
            in_place = op.operation.in_place
            self.free += done if in_place else []
            inner = op.out in block.inner
            out = self.cache(str(op.out.dtype)) if inner else self.cut(str(emitter.home(op.out)))
            self.names[op.out] = out
            self.free += [] if in_place else done
            body.append((emitter.into(op, args, out), op))
        parts = f"parts_{self.number}"
        views = f"({', '.join(self.views.values())})"
        emitter.module.define(parts, f"[{views} for i in range(0, {self.rows}, {self.step})]")
        emitter.add(f"for {', '.join(self.views)} in {parts}:", block.ops[0], block.ops)
        for text, op in body:
            emitter.add(f"    {text}", op)
