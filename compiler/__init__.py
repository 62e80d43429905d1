"""The compiler: record, improve, emit. `tg.jit` is its door."""

from tapegrad.compiler.jit import Compiled as Compiled
from tapegrad.compiler.jit import jit as jit
from tapegrad.compiler.trace import TraceError as TraceError
