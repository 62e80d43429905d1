"""What a random program returns and leaves behind, call by call, and when two of these are alike."""

from typing import Any

import hypothesis
import numpy as np
from random_programs import RandomProgram

import tapegrad as tg
from compiler_emitters import flat

CALLS = 3


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


def without_jit(program: RandomProgram) -> list[list[np.ndarray]]:
    """What the program gives as it is; one that eager itself refuses is no example."""
    try:
        return outcomes(program, lambda f: f)[0]
    except RuntimeError as error:  # backward through something that was written to
        hypothesis.assume("changed" not in str(error))
        raise


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
