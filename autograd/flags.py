"""The modes a computation runs in: one immutable record in one context variable, so each thread has its own and an
exception restores the old one."""

from contextlib import ContextDecorator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from tapegrad.autograd.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Flags:
    grad: bool = True  # record what tensors that require grad go through
    raw: bool = (
        False  # inside gradient rules or updates run on raw arrays: primitives take and return raw arrays
    )
    anomaly: bool = False  # look for NaN and Inf after every primitive and every gradient rule
    depth: int = 0  # how many transforms (grad, vjp, …) are running around this code
    recorder: Recorder | None = None  # is told what happens to tensors


current: ContextVar[Flags] = ContextVar("tapegrad_flags", default=Flags())  # noqa: B039 (immutable)


class changed_flags(ContextDecorator):
    """`with changed_flags(grad=False):`. Can be nested, reused, and used as a decorator."""

    def __init__(self, **changes: Any) -> None:
        self.changes = changes
        self.before: list[Flags] = []

    def _recreate_cm(self) -> "changed_flags":
        return changed_flags(**self.changes)  # a decorated function may run in two threads at once

    def __enter__(self) -> None:
        before = current.get()
        self.before.append(before)
        try:  # an interrupt may come when the flags are set, and before the block has begun
            current.set(replace(before, **self.changes))
        except BaseException:
            current.set(before)
            raise

    def __exit__(self, *error: object) -> None:
        current.set(self.before[-1])
        del self.before[-1]


def no_grad() -> changed_flags:
    """`with tg.no_grad():` (or `@tg.no_grad()`): nothing is recorded, results do not require grad."""
    return changed_flags(grad=False)


def enable_grad() -> changed_flags:
    """`with tg.enable_grad():`: recording is on again inside a `no_grad` block."""
    return changed_flags(grad=True)


def detect_anomaly() -> changed_flags:
    """`with tg.detect_anomaly():`: the first primitive, forward or backward, whose result has a NaN or Inf raises
    FloatingPointError and names the line of the forward call. Slow; for finding faults."""
    return changed_flags(anomaly=True)
