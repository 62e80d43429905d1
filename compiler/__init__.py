"""The compiler: record, improve, emit, guard, run. `tg.jit` is its door."""

from tapegrad.compiler.errors import JitWarning as JitWarning
from tapegrad.compiler.errors import TraceError as TraceError
from tapegrad.compiler.run.jit import Compiled as Compiled
from tapegrad.compiler.run.jit import jit as jit
