"""`tg.jit(f, check=n)`: a program beside the function itself, on the same state, and what differs."""

import os
from _thread import get_ident
from typing import Any

import numpy as np

from tapegrad.autograd import random
from tapegrad.autograd.arguments import index_of
from tapegrad.autograd.tensor import Tensor, next_serial
from tapegrad.backends.aliases import Array, Function
from tapegrad.compiler.record.tree import take_apart
from tapegrad.compiler.run.case import Case

# Of the largest element, where the program may add up in another order; for gradients, of the largest of all of them,
# since one may be a sum that all but cancels.
CLOSE = 1e-5

OF_GRADIENT = "the gradient of "
# Threads that run a function for comparison: compiled functions inside run as Python there.
CHECKING: set[int] = set()


def every(check: Any) -> int:
    """The n of check=n, or of TAPEGRAD_JIT_CHECK where that is None; 0: never."""
    given = os.environ.get("TAPEGRAD_JIT_CHECK") or 0 if check is None else check
    n = int(given) if isinstance(given, str) and given.isdecimal() and check is None else index_of(given)
    if n is None or n < 0:
        what = "TAPEGRAD_JIT_CHECK" if check is None else "check"
        raise ValueError(f"tg.jit: {what} must be a number of calls, or 0 for never, got {given!r}")
    return n


class State:
    """What a program writes to, as it is now: contents, gradients, and where the random draws stand."""

    def __init__(self, case: Case) -> None:
        self.written = [(t, t.data, t.data.copy()) for t in case.runner.written]
        leaves = (*case.recording.leaves, *case.recording.dropped)
        self.gradients = [
            (leaf, leaf._grad, None if leaf._grad is None else leaf._grad.data.copy()) for leaf in leaves
        ]
        self.draws = random.draws()

    def put_back(self) -> None:
        now = next_serial()
        for t, home, array in self.written:
            home[...] = array
            t._data, t._version = home, now
        for leaf, gradient, array in self.gradients:
            leaf._grad = gradient
            if gradient is not None:
                gradient.data[...] = array
        random.rewind(self.draws)

    def named(self, case: Case) -> dict[str, Any]:
        """Its arrays by the user's names."""
        names = {id(t): v.name for v, t in zip(case.runner.program.captured, case.runner.captured)}
        found = {f"{names[id(t)]} afterwards": array for t, _, array in self.written}
        found |= {
            f"{OF_GRADIENT}{names.get(id(leaf), f'leaf {n}')}": array
            for n, (leaf, _, array) in enumerate(self.gradients)
        }
        return found | {"the number of random draws": np.asarray(self.draws)}


def run_checked(case: Case, f: Function, arrays: Any, args: Any, kwargs: Any, name: str) -> Any:
    """The program's result, after f itself came to the same from the same state; RuntimeError with the first difference
    if it did not."""
    before = State(case)
    result = case.runner.run(arrays, args, kwargs)
    after = State(case)
    before.put_back()
    CHECKING.add(thread := get_ident())
    try:
        expected = f(*args, **kwargs)
    except BaseException:
        before.put_back()
        raise
    finally:
        CHECKING.discard(thread)
    eager = State(case)
    after.put_back()
    exact = case.runner.emitter == "numpy"
    got = {**arrays_of(result), **after.named(case)}
    want = {**arrays_of(expected), **eager.named(case)}
    gradients = max((largest(a) for what, a in want.items() if what.startswith(OF_GRADIENT)), default=0.0)
    for what in {**got, **want}:
        least = gradients if what.startswith(OF_GRADIENT) else 0.0
        if why := differs(got.get(what), want.get(what), exact, least):
            raise RuntimeError(
                f"tg.jit(check=…): {name}: {what} of the program is not what the function gives: {why}. Something that "
                f"it depends on changed and was not seen; what is looked at before each call:\n  {watched(case)}"
            )
    return result


def arrays_of(result: object) -> dict[str, Any]:
    tensors = [leaf for leaf in take_apart(result)[0] if isinstance(leaf, Tensor)]
    return {f"result {n}": t.data for n, t in enumerate(tensors, 1)}


def watched(case: Case) -> str:
    """The user's names of what the guards look at, line by line."""
    return "\n  ".join(dict.fromkeys(line.subject for line in case.guards.lines if line.name))


def largest(array: Array) -> float:
    """The largest finite element of an array of floats, without its sign; 0 for None."""
    if array is None or (array := Tensor(array).numpy()).dtype.kind != "f":
        return 0.0
    return float(np.max(np.abs(array), initial=0.0, where=np.isfinite(array)))


def differs(a: object, b: object, exact: bool, least: float = 0.0) -> str:
    """How two arrays differ, or "". least: what counts as their largest element, if that is not larger."""
    if a is None or b is None:
        return "" if a is b else "one is None"
    a, b = (Tensor(x).numpy() for x in (a, b))
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return f"{a.dtype}{list(a.shape)} instead of {b.dtype}{list(b.shape)}"
    if a.dtype.kind != "f":
        return "" if np.array_equal(a, b) else f"{a.ravel()[:3]} … instead of {b.ravel()[:3]} …"
    tolerance = 0.0 if exact else CLOSE * max(largest(b), least)
    with np.errstate(invalid="ignore"):
        apart = ~((a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= tolerance))
    return f"{a[apart][0]!r} instead of {b[apart][0]!r}" if apart.any() else ""
