"""The passes that improve a program, each one function from a Program to a Program that computes the same, in a file of
its own; and which of them each target gets, in which order."""

from collections.abc import Callable

from tapegrad.compiler.ir.program import Program
from tapegrad.compiler.passes.algebra import simplify
from tapegrad.compiler.passes.bounds import skip_bounds
from tapegrad.compiler.passes.common import merge_common
from tapegrad.compiler.passes.constants import fold_constants
from tapegrad.compiler.passes.dead_code import remove_dead_code
from tapegrad.compiler.passes.gradients import materialize_gradients
from tapegrad.compiler.passes.layouts import lay_out
from tapegrad.compiler.passes.lifetimes import shorten_lifetimes
from tapegrad.compiler.passes.outer_products import spread_outer_products
from tapegrad.compiler.passes.scalars import compute_scalars
from tapegrad.compiler.passes.slices import add_into_slices
from tapegrad.compiler.passes.windows import read_windows
from tapegrad.compiler.passes.zero_masks import mask_by_bits

Pass = Callable[[Program], Program]
History = list[tuple[str, Program]]

SHARED: list[Pass] = [remove_dead_code, fold_constants, simplify, merge_common, simplify, remove_dead_code]
PIPELINES: dict[str, list[Pass]] = {
    "numpy": [
        *SHARED,
        skip_bounds,
        remove_dead_code,
        add_into_slices,
        materialize_gradients("numpy"),
        mask_by_bits,
        shorten_lifetimes,
        compute_scalars,
    ],
    "native": [
        *SHARED,
        read_windows,
        add_into_slices,
        materialize_gradients("native"),
        spread_outer_products,
        shorten_lifetimes,
        lay_out,
    ],
    "cupy": [*SHARED, materialize_gradients("cupy")],
}


def improve(program: Program, target: str) -> tuple[Program, History]:
    """(the program that is emitted for a target, the list after each step: "recorded", then the name of each pass's
    file, with a number from the second time on)."""
    history: History = [("recorded", program)]
    for function in PIPELINES[target]:
        program = function(program)
        history.append((step_name(function, history), program))
    return program, history


def step_name(function: Pass, history: History) -> str:
    name = function.__module__.rpartition(".")[2]
    times = 1 + sum(step.partition(" ")[0] == name for step, _ in history)
    return f"{name} {times}" if times > 1 else name
