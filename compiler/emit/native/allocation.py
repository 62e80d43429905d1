"""The memory of the arrays that stay: expressions that make it, and one block for all of it."""

from collections.abc import Callable
from math import prod

import numpy as np

from tapegrad.backends.aliases import Array
from tapegrad.compiler.emit.native.forms import named
from tapegrad.compiler.emit.native.machine import scratch_of
from tapegrad.compiler.emit.native.product_tiles import whole_lines
from tapegrad.compiler.ir.program import Program, Shape, Var
from tapegrad.compiler.plan.buffers import Plan

EMPTY = "np.empty"  # followed by (shape, dtype)


def allocated(v: Var, unused: Callable[[str], str]) -> dict[str, str]:
    """The expressions of an unwritten array and, where its axes lie in another order, of its memory."""
    kind = repr(named(v.dtype))
    if v.laid_out is None:
        return {v.name: f"{EMPTY}({v.shape}, {kind})"}
    memory, shape = unused(f"{v.name}_memory"), tuple(v.shape[axis] for axis in v.laid_out)
    back = tuple(map(v.laid_out.index, range(v.ndim)))
    return {memory: f"{EMPTY}({shape}, {kind})", v.name: f"{memory}.transpose({back})"}


def in_one_block(definitions: dict[str, str], apart: set[str]) -> dict[str, Array]:
    """The unwritten arrays among definitions, each from a cache line on, but for those that are to lie apart.

    NumPy asks the system for large pages for a block of 4 MB and more, and the processor finds these in less time than
    those of 4 KB.
    """
    wanted: dict[str, tuple[Shape, str]] = {
        name: eval(text.removeprefix(EMPTY))
        for name, text in definitions.items()
        if text.startswith(EMPTY) and name not in apart
    }
    sizes = [prod(shape) * np.dtype(dtype).itemsize for shape, dtype in wanted.values()]
    block, start, arrays = scratch_of(sum(map(whole_lines, sizes))), 0, {}
    for (name, (shape, dtype)), size in zip(wanted.items(), sizes):
        arrays[name] = block[start : start + size].view(dtype).reshape(shape)
        start += whole_lines(size)
    return arrays


def given_away(program: Program, base: dict[Var, Var], plan: Plan) -> set[str]:
    """The names of the buffers that gradients are in: the user may keep these when the program is gone."""
    made = (base.get(g, g) for g in program.gradients)
    joined = (plan.parts[v][0] if v in plan.parts else v for v in made)
    return {plan.home.get(v, v).name for v in joined}
