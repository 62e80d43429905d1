"""What computes each matrix product of a native program, the kernel compiled for its shape or BLAS, and what the calls
of a program cost: the compiler's table, and `explain(timed=True)` of some steps, with the size of their text."""

import re
from collections.abc import Iterator

from benchmarks.networks import tapegrad_training
from benchmarks.steps import JOBS

SHOWN = ("step_small", "step_medium", "rnn_50", "dense_100", "gpt")
LONGEST = 24  # lines of a table


def choices() -> Iterator[str]:
    """The table after which a kernel or BLAS is taken."""
    from tapegrad.compiler.emit.native.product_table import LEAST, RATIOS, best

    yield f"Our speed as a part of BLAS's on one core; below {LEAST} BLAS is taken."
    yield ""
    yield "| vectors, dtype | products of up to so many operations: our speed / BLAS's, and who computes them |"
    yield "| --- | --- |"
    for (bits, dtype), row in RATIOS.items():
        cells = (f"{most:.0e}: {ratio:.2f} {best(int(most), dtype, bits)}" for most, ratio in row)
        yield f"| {bits} bits, {dtype} | {', '.join(cells)} |"


def calls(job: str) -> Iterator[str]:
    """The calls of a job's step, those that take longest first."""
    step, x, y = tapegrad_training(JOBS[job].task, "native")
    for _ in range(3):
        step(x, y)
    ir, source = step.ir(), step.source()
    functions = len(re.findall(r"^define ", ir, re.M))
    yield f"## {job}"
    yield ""
    yield JOBS[job].doc
    yield f"Its source has {source.count(chr(10)):,} lines, its LLVM IR {functions} functions and {len(ir):,} bytes."
    yield ""
    yield "```text"
    tables = step.explain(timed=True).split("\n\n")
    table = next(t for t in tables if "products (m x k x n" in t).strip("\n").split("\n")
    yield from table[:LONGEST]
    if len(table) > LONGEST:
        yield f"… and {len(table) - LONGEST} kinds of call more"
    yield "```"
    yield ""


def lines() -> Iterator[str]:
    yield from choices()
    yield ""
    for job in SHOWN:
        yield from calls(job)
