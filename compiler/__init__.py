"""The compiler: record, improve, emit. `tg.jit` is its door."""

from tapegrad.compiler.record.trace import TraceError as TraceError
from tapegrad.compiler.run.jit import Compiled as Compiled
from tapegrad.compiler.run.jit import jit as jit
