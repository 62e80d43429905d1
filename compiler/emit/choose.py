"""The emitters by name, and which one takes a program."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from tapegrad.backends import get_backend
from tapegrad.compiler.emit.cupy.emitter import CupyEmitter
from tapegrad.compiler.emit.cupy.graph import GraphEmitter, NotAGraph
from tapegrad.compiler.emit.numpy.emitter import NumpyEmitter
from tapegrad.compiler.ir.program import Op, Program
from tapegrad.compiler.passes import History, improve
from tapegrad.compiler.plan.buffers import Plan

# From how many operations on, or bytes that they make, machine code repays what a call of it costs beside NumPy's.
OPERATIONS, NBYTES = 4, 1 << 20


@dataclass
class Emitted:
    """The source of a program, the program as it was emitted, and the list after each pass.

    note    what is left to the library, or why it is not in the form that is asked for first
    build   what binds it to captured arrays, where it is not the `build` of the source
    lines   (number of a line of the source, the operations that it carries out); of a graph, none
    """

    name: str
    text: str
    plan: Plan
    program: Program
    history: History
    note: str = ""
    lines: list[tuple[int, list[Op]]] = field(default_factory=list)
    build: Callable[..., Any] | None = None


# Machine code takes about 0.4 s to make, as long as NumPy takes for so many operations, or so many times as many bytes.
# Whoever waits for that many spends at most twice the time of the better choice, whenever it ends.
REPAID_OPERATIONS, BYTES_OF_ONE = 400_000, 5_000


def emit(wanted: str, recorded: Program, title: str, device: str) -> Emitted:
    """The recorded program, improved for a target, as its source: by the wanted emitter; by "auto" for a GPU that of
    CuPy; else as machine code where that is at hand and pays, which is a matter of the program alone; else of NumPy."""
    if device.startswith("cuda"):
        there = on_device(recorded, title)
        there.text += ON_DEVICE % device.partition(":")[2] if get_backend("cupy").several_devices else ""
        return there
    if wanted == "native" or (wanted == "auto" and native_at_hand() and pays(recorded)):
        return for_this_machine(recorded, title)
    program, history = improve(recorded, "numpy")
    plain = NumpyEmitter(program, title)
    text = plain.source()
    return Emitted("numpy", text, plain.plan, program, history, lines=plain.operations_by_line)


def native_at_hand() -> bool:
    return find_spec("llvmlite") is not None


def pays(recorded: Program) -> bool:
    """Whether machine code is faster than NumPy, at the latest from some hundred calls on."""
    operations, nbytes = recorded.cost()
    return operations >= OPERATIONS or nbytes >= NBYTES


def calls_to_repay(recorded: Program) -> int | None:
    """After how many calls by NumPy machine code repays being made, whoever does not know how many calls will come;
    None: never. A matter of the program alone, too."""
    if not (native_at_hand() and pays(recorded)):
        return None
    operations, nbytes = recorded.cost()
    return round(REPAID_OPERATIONS / (operations + nbytes / BYTES_OF_ONE)) or 1


def for_this_machine(recorded: Program, title: str) -> Emitted:
    """As loops and products of machine code."""
    from tapegrad.compiler.emit.native.build import Builder  # slow to import, and only for who asks for it
    from tapegrad.compiler.emit.native.emitter import NativeEmitter

    program, history = improve(recorded, "native")
    machine = NativeEmitter(program, title)
    text, note = machine.source(), machine.note()
    lines, build = machine.operations_by_line, Builder(machine)
    return Emitted("native", text, machine.plan, program, history, note, lines, build)


def on_device(recorded: Program, title: str) -> Emitted:
    """As one CUDA graph, if nvmath is installed and the program can be one."""
    program, history = improve(recorded, "cupy")
    note = ""
    if find_spec("nvmath") is not None:
        try:
            graph = GraphEmitter(program, title)
            return Emitted("cupy", graph.source(), graph.plan, program, history, graph.note())
        except NotAGraph as reason:
            note = f"no graph: {reason}"
    plain = CupyEmitter(program, title)
    text = plain.source()
    note = "; ".join(n for n in (note, plain.note()) if n)
    return Emitted("cupy", text, plain.plan, program, history, note, plain.operations_by_line)


ON_DEVICE = """

build_there, there = build, cupy.cuda.Device(%s)


def build(*captured):
    with there:
        step, gradients = build_there(*captured)

    def step_there(*arguments):
        with there:
            return step(*arguments)

    step_there.why_not = getattr(step, "why_not", str)
    return step_there, gradients
"""
