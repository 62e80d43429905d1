"""Which emitter writes a program, and what it gives back: an `Emitted`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

from tapegrad.backends import get_backend
from tapegrad.backends.aliases import Function
from tapegrad.compiler.emit.available import native_at_hand
from tapegrad.compiler.emit.numpy.emitter import NumpyEmitter
from tapegrad.compiler.ir.program import Op, Program
from tapegrad.compiler.passes import History, improve
from tapegrad.compiler.plan.buffers import Plan

# From how many operations on, or bytes that they make, machine code repays what a call of it costs beside NumPy's.
OPERATIONS, NBYTES = 4, 1 << 20


Lines = list[tuple[int, list[Op]]]


@dataclass
class Emitted:
    """The source of a program, the program as it was emitted, and the list after each pass.

    write   writes the source, which machine code does not need: its text, and (number of a line, the operations that
            it carries out) of those that do
    note    what is left to the library, or why it is not in the form that is asked for first
    build   what binds it to captured arrays, where it is not the `build` of the source
    """

    name: str
    write: Callable[[], tuple[str, Lines]]
    plan: Plan
    program: Program
    history: History
    note: str = ""
    build: Function | None = None

    @cached_property
    def written(self) -> tuple[str, Lines]:
        return self.write()

    @property
    def text(self) -> str:
        return self.written[0]

    @property
    def lines(self) -> Lines:
        return self.written[1]


# Machine code takes about 0.4 s to make, as long as NumPy takes for so many operations, or so many times as many bytes.
# Whoever waits for that many spends at most twice the time of the better choice, whenever it ends.
REPAID_OPERATIONS, BYTES_OF_ONE = 400_000, 5_000


def emit(wanted: str, recorded: Program, title: str, device: str) -> Emitted:
    """The recorded program, improved for a target, as its source: by the wanted emitter; by "auto" for a GPU that of
    CuPy; else as machine code where that is at hand and pays, which is a matter of the program alone; else of NumPy."""
    if device.startswith("cuda"):
        there = on_device(recorded, title)
        if get_backend("cupy").several_devices:
            there.written = (there.text + ON_DEVICE % device.partition(":")[2], there.lines)
        return there
    if wanted == "native" or (wanted == "auto" and native_at_hand() and pays(recorded)):
        return for_this_machine(recorded, title)
    program, history = improve(recorded, "numpy")
    plain = NumpyEmitter(program, title)
    return Emitted("numpy", written_by(plain), plain.plan, program, history)


def written_by(emitter: Any) -> Callable[[], tuple[str, Lines]]:
    return lambda: (emitter.source(), emitter.operations_by_line)


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
    return Emitted(
        "native", written_by(machine), machine.plan, program, history, machine.note(), Builder(machine)
    )


def on_device(recorded: Program, title: str) -> Emitted:
    """As one CUDA graph, if nvmath is installed and the program can be one."""
    from tapegrad.compiler.emit.cupy.emitter import CupyEmitter  # slow to import, and only for a GPU
    from tapegrad.compiler.emit.cupy.graph import GraphEmitter, NotAGraph

    program, history = improve(recorded, "cupy")
    note = ""
    if find_spec("nvmath") is not None:
        try:
            graph = GraphEmitter(program, title)
            drawn = graph.source()
            return Emitted("cupy", lambda: (drawn, []), graph.plan, program, history, graph.note())
        except NotAGraph as reason:
            note = f"no graph: {reason}"
    plain = CupyEmitter(program, title)
    text = plain.source()
    note = "; ".join(n for n in (note, plain.note()) if n)
    return Emitted("cupy", lambda: (text, plain.operations_by_line), plain.plan, program, history, note)


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
