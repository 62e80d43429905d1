"""Random programs by the CuPy emitter, against the same without tg.jit on the same device."""

import sys
from typing import Any

import pytest

hypothesis = pytest.importorskip(
    "hypothesis", reason="random programs need hypothesis: pip install hypothesis"
)
from random_programs import RandomProgram, programs  # noqa: E402

import gpu_nvmath  # noqa: E402
import tapegrad as tg  # noqa: E402
from compiler_gpu import on_gpu  # noqa: E402
from random_outcomes import alike, outcomes, without_jit  # noqa: E402


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("graph", [False, True], ids=["kernels", "graph"])
@hypothesis.settings(max_examples=30)
@pytest.mark.filterwarnings("ignore::tapegrad.JitWarning")  # a mask may choose another number each time
@hypothesis.given(program=programs())
def test_random_programs(program: RandomProgram, graph: bool, gpu: Any) -> None:
    with on_gpu(), pytest.MonkeyPatch.context() as patch:
        for name, module in gpu_nvmath.MODULES.items() if graph and gpu is not None else ():
            patch.setitem(sys.modules, name, module)
        want = without_jit(program)
        got, compiled = outcomes(program, lambda f: tg.jit(f, emitter="cupy"))
    tolerance = 1e-10 if program.dtype == "float64" else 1e-4
    for a, b in zip(got, want, strict=True):
        assert alike(a, b, tolerance), f"{program}\n{compiled.source()}\n{a}\n{b}"
    assert compiled.stats()["recordings"] <= 3
