"""What a native program gives, as machine code and as the source that it prints, run by Python; compared to the bit."""

from typing import Any

import numpy as np

import tapegrad as tg


def native(f: Any) -> Any:
    return tg.jit(f, emitter="native")


def interpreted(runner: Any, arrays: list[np.ndarray]) -> list[Any]:
    """What the printed source gives when Python runs it."""
    scope: dict[str, Any] = {}
    with np.errstate(all="ignore"):
        exec(runner.source, scope)
        step, _ = scope["build"](*runner.bound)
        return [bits(a) for a in step(*arrays)]


def machine_code(runner: Any, arrays: list[np.ndarray]) -> list[Any]:
    with np.errstate(all="ignore"):
        return [bits(a) for a in runner.step(*arrays)]


def bits(a: Any) -> Any:
    """dtype, shape and bytes; a NaN is as good as another."""
    a = np.asarray(a)
    if a.dtype.kind == "f":
        a = np.where(a != a, a.dtype.type(np.nan), a)
    return a.dtype.str, a.shape, a.tobytes()


def left_to_numpy(compiled: Any) -> list[str]:
    """What `stats()` says of the programs of a compiled function, behind the emitter's name."""
    return [text.removeprefix("native").removeprefix(": ") for text in compiled.stats()["programs"]]
