"""The compiler: record, improve, emit. `tg.jit` is its door."""

from tapegrad.compiler.jit import Compiled, jit
from tapegrad.compiler.trace import TraceError
