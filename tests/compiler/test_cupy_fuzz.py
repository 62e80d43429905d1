"""Random programs by the CuPy emitter, against the same without tg.jit on the same device."""

from typing import Any

import pytest

hypothesis = pytest.importorskip(
    "hypothesis", reason="random programs need hypothesis: pip install hypothesis"
)
from random_programs import RandomProgram, programs  # noqa: E402
from test_fuzz import alike, outcomes  # noqa: E402

import tapegrad as tg  # noqa: E402
from compiler_gpu import on_gpu  # noqa: E402


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@hypothesis.settings(max_examples=60)
@hypothesis.given(program=programs())
def test_random_programs(program: RandomProgram, gpu: Any) -> None:
    with on_gpu():
        try:
            want, _ = outcomes(program, lambda f: f)
        except RuntimeError as error:  # backward through something that was written to
            hypothesis.assume("changed" not in str(error))
            raise
        got, compiled = outcomes(program, lambda f: tg.jit(f, emitter="cupy"))
    tolerance = 1e-10 if program.dtype == "float64" else 1e-4
    for a, b in zip(got, want, strict=True):
        assert alike(a, b, tolerance), f"{program}\n{compiled.source()}\n{a}\n{b}"
    assert compiled.stats()["recordings"] <= 3
