"""The emitters by name, and which one takes a program."""

from dataclasses import dataclass
from importlib.util import find_spec

from tapegrad.compiler.buffers import Plan
from tapegrad.compiler.emit_numba import NumbaEmitter, Unsupported
from tapegrad.compiler.emit_numpy import NumpyEmitter
from tapegrad.compiler.program import Program


@dataclass
class Emitted:
    """The source of a program. note: why it was not left to the emitter that was asked for first."""

    name: str
    text: str
    plan: Plan
    note: str = ""


def emit(wanted: str, program: Program, title: str) -> Emitted:
    """Source by the wanted emitter; by "auto" of numba, if it is installed and knows every operation, else of NumPy."""
    note = ""
    if wanted == "numba" or (wanted == "auto" and find_spec("numba") is not None):
        try:
            fast = NumbaEmitter(program, title)
            return Emitted("numba", fast.source(), fast.plan)
        except Unsupported as reason:
            note = str(reason)
    plain = NumpyEmitter(program, title)
    return Emitted("numpy", plain.source(), plain.plan, note)


def checked(emitter: str) -> str:
    """The name of an emitter, if it can be used here."""
    if emitter not in ("auto", "numpy", "numba"):
        raise ValueError(f"tg.jit: emitter must be 'auto', 'numpy' or 'numba', got {emitter!r}")
    if emitter == "numba" and find_spec("numba") is None:
        raise ValueError("tg.jit: the emitter 'numba' needs numba: pip install \"tapegrad[jit]\"")
    return emitter
