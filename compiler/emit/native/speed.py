"""How fast the kernel of a square product is here, on one core."""

import time

import numpy as np

from tapegrad.compiler.emit.native.calls import Calls
from tapegrad.compiler.emit.native.machine import Code, module_text, scratch_of
from tapegrad.compiler.emit.native.parts import Parts

REPEATS = 8


def gflops(size: int, dtype: str = "float32") -> float:
    """Billions of operations a second, the best of a few runs."""
    parts = Parts(threads=1)
    a, b, out = (np.ones((size, size), dtype) for _ in range(3))
    parts.product(a, b, out, {})
    code = Code(module_text(parts.functions(), parts.declarations))
    (stages,) = parts.calls
    calls = Calls(code, stages, scratch_of(parts.scratch), 1)

    def seconds() -> float:
        start = time.perf_counter()
        calls.run()
        return time.perf_counter() - start

    return 2 * size**3 / min(seconds() for _ in range(REPEATS)) / 1e9
