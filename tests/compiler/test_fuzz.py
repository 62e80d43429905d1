"""Random programs: what a recorded program gives is what the function gives, at each call, also where it writes."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from compiler_emitters import EMITTERS, emitting, flat, same_bits

hypothesis = pytest.importorskip("hypothesis")
from random_programs import RandomProgram, programs  # noqa: E402

CALLS = 3
# Where even the NumPy emitter's numbers differ in the last bit: Adam's beta**step (see test_tables), and sums over
# results that eager keeps in the order of a transposed input, while a buffer is in C's order.
ROUNDED_OTHERWISE = ["Adam", ".T", "permute_dims", "[::-1]", "broadcast_to"]


def outcomes(program: RandomProgram, wrap: Any) -> tuple[list[list[np.ndarray]], Any]:
    """For each call: what it returned, and what it left in the leaves, buffers, gradients and the optimizer."""
    around = program.surroundings()
    wrapped, seen = wrap(program.function(around)), []
    held = [around[n] for n in program.shapes if n[0] != "x"]
    with tg.no_grad() if program.mode == "inference" else tg.enable_grad(), np.errstate(all="ignore"):
        for call in range(1, CALLS + 1):
            result = wrapped(*[tg.tensor(program.array(n, call)) for n in program.arguments])
            after = [
                *held,
                *(t.grad for t in held if t.grad is not None),
                *state(around),
            ]
            seen.append(flat(result) + flat(after))
    return seen, wrapped


def state(around: dict[str, Any]) -> list[Any]:
    return list(around["opt"].state_dict().values()) if "opt" in around else []


def alike(got: list[np.ndarray], want: list[np.ndarray], tolerance: float) -> bool:
    """Equal but for rounding, relative to the largest element."""
    for a, b in zip(got, want, strict=True):
        scale = (
            max(1.0, float(np.max(np.abs(b), initial=0.0, where=np.isfinite(b))))
            if b.dtype.kind == "f"
            else 0.0
        )
        if (a.dtype, a.shape) != (b.dtype, b.shape) or not np.allclose(
            a, b, 0, tolerance * scale, equal_nan=True
        ):
            return False
    return True


def check(program: RandomProgram, emitters: tuple[str, ...]) -> None:
    try:
        want, _ = outcomes(program, lambda f: f)
    except RuntimeError as error:  # backward through something that was written to
        hypothesis.assume("changed" not in str(error))
        raise
    for emitter in emitters:
        with emitting(emitter) as jit:
            got, compiled = outcomes(program, jit)
        exact = emitter == "numpy" and not any(part in repr(program) for part in ROUNDED_OTHERWISE)
        tolerance = 0.0 if exact else 1e-10 if program.dtype == "float64" else 1e-4
        for a, b in zip(got, want, strict=True):
            equal = same_bits(a, b) if exact else alike(a, b, tolerance)
            assert equal, f"{emitter}\n{program}\n{compiled.source()}\n{a}\n{b}"
        stats = compiled.stats()
        assert stats["recordings"] <= 3, stats


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@hypothesis.given(program=programs())
def test_random_programs(program: RandomProgram) -> None:
    check(program, EMITTERS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@hypothesis.settings(max_examples=2)
@hypothesis.given(program=programs())
def test_random_programs_compiled(program: RandomProgram, tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAPEGRAD_CACHE", str(tmp_path_factory.mktemp("cache")))
        check(program, ("numba",))
