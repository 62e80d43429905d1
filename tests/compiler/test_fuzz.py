"""Random programs: what a recorded program gives is what the function gives, at each call, also where it writes."""

import pytest

from compiler_emitters import EMITTERS, emitting, same_bits

hypothesis = pytest.importorskip("hypothesis")
from random_programs import RandomProgram, programs  # noqa: E402

from random_outcomes import alike, outcomes, without_jit  # noqa: E402


def check(program: RandomProgram, emitters: tuple[str, ...]) -> None:
    """Each call of a program is also checked from inside, by `check=1`."""
    want = without_jit(program)
    for emitter in emitters:
        jit = emitting(emitter)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TAPEGRAD_JIT_CHECK", "1")
            got, compiled = outcomes(program, jit)
        exact = emitter == "numpy"
        tolerance = 0.0 if exact else 1e-10 if program.dtype == "float64" else 1e-4
        for a, b in zip(got, want, strict=True):
            equal = same_bits(a, b) if exact else alike(a, b, tolerance)
            assert equal, f"{emitter}\n{program}\n{compiled.source()}\n{a}\n{b}"
        stats = compiled.stats()
        assert stats["recordings"] <= 3, stats


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::tapegrad.JitWarning")
@hypothesis.given(program=programs())
def test_random_programs(program: RandomProgram) -> None:
    check(program, EMITTERS)
