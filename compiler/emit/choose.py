"""The emitters by name, and which one takes a program."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from tapegrad.backends import get_backend
from tapegrad.compiler.emit.cupy.emitter import CupyEmitter
from tapegrad.compiler.emit.cupy.graph import GraphEmitter, NotAGraph
from tapegrad.compiler.emit.numba.calls import Unsupported
from tapegrad.compiler.emit.numba.emitter import NumbaEmitter
from tapegrad.compiler.emit.numba.threads import cores
from tapegrad.compiler.emit.numpy.emitter import NumpyEmitter
from tapegrad.compiler.ir.program import Program
from tapegrad.compiler.plan.buffers import Plan


@dataclass
class Emitted:
    """The source of a program. note: why it was not left to the emitter that was asked for first."""

    name: str
    text: str
    plan: Plan
    note: str = ""


def emit(wanted: str, program: Program, title: str, device: str) -> Emitted:
    """Source by the wanted emitter; by "auto" for a GPU that of CuPy; else of numba, if it is installed and knows every
    operation, else of NumPy."""
    note = ""
    if device.startswith("cuda"):
        found = on_device(program, title)
        found.text += ON_DEVICE % device.partition(":")[2] if get_backend("cupy").several_devices else ""
        return found
    if wanted == "numba" or (wanted == "auto" and find_spec("numba") is not None):
        try:
            fast = NumbaEmitter(program, title, cores())
            return Emitted("numba", fast.source(), fast.plan)
        except Unsupported as reason:
            note = str(reason)
    plain = NumpyEmitter(program, title)
    return Emitted("numpy", plain.source(), plain.plan, note)


def on_device(program: Program, title: str) -> Emitted:
    """As one CUDA graph, if nvmath is installed and the program can be one."""
    note = ""
    if find_spec("nvmath") is not None:
        try:
            graph = GraphEmitter(program, title)
            return Emitted("cupy", graph.source(), graph.plan, graph.note())
        except NotAGraph as reason:
            note = f"no graph: {reason}"
    plain = CupyEmitter(program, title)
    return Emitted("cupy", plain.source(), plain.plan, "; ".join(n for n in (note, plain.note()) if n))


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
EMITTERS = ("auto", "numpy", "numba", "cupy")


def checked(emitter: str) -> str:
    """The name of an emitter, if it can be used here."""
    if emitter not in EMITTERS:
        raise ValueError(f"tg.jit: emitter must be one of {', '.join(map(repr, EMITTERS))}, got {emitter!r}")
    if emitter == "numba" and find_spec("numba") is None:
        raise ValueError("tg.jit: the emitter 'numba' needs numba: pip install \"tapegrad[jit]\"")
    if emitter == "cupy":
        get_backend("cupy")  # or the remedy, if it cannot be used
    return emitter


def left_alone(emitter: str, tensors: list[Any]) -> str | None:
    """Why a function on these tensors is not compiled, if it is not."""
    places = sorted({t.device for t in tensors})
    kinds = {t.backend.name for t in tensors}
    if emitter == "cupy" and kinds - {"cupy"}:
        raise ValueError(
            f"tg.jit: the emitter 'cupy' is for tensors on a GPU, and one is on {places[0]}: move the model and the "
            f"arguments there with .to('cupy'), or choose emitter='auto'"
        )
    if kinds <= {"numpy"}:
        return None
    if len(places) > 1:
        return f"not compiled: its arrays are on {' and '.join(places)}"
    if kinds == {"cupy"} and emitter in ("auto", "cupy"):
        return None
    what = "knows these arrays" if emitter == "auto" else f"called {emitter!r} writes for a GPU"
    return f"not compiled: its arrays are on {places[0]}, and no emitter {what}"
