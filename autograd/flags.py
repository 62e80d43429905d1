"""The modes of a computation: one immutable record in one context variable. Each thread has its own, and an exception
restores the previous one."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, overload

from tapegrad.autograd.recorder import Recorder
from tapegrad.backends.scope import Scope

if TYPE_CHECKING:
    from tapegrad.autograd.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Flags:
    grad: bool = True  # record what tensors that require grad go through
    # Primitives take and return raw arrays: inside gradient rules, and updates of optimizers.
    raw: bool = False
    anomaly: bool = False  # look for NaN and Inf after every primitive and every gradient rule
    depth: int = 0  # how many transforms (grad, vjp, …) are running around this code
    recorder: Recorder | None = None  # is told what happens to tensors
    # A backward pass runs a function of the user's again, to differentiate for what it uses.
    again: bool = False
    leaves: "tuple[Tensor, ...]" = ()  # the tensors that these transforms differentiate for
    # A gradient rule of ours runs: under `anomaly` what it gives is looked at, and not what it takes on the way.
    in_rule: bool = False

    def plain(self) -> bool:
        """Whether no recorder, transform, anomaly check or raw mode is active; gradients may be."""
        return self.recorder is None and not (self.raw or self.anomaly or self.depth)


DEFAULT = Flags()
current: ContextVar[Flags] = ContextVar("tapegrad_flags", default=DEFAULT)


class changed_flags(Scope):
    """`with changed_flags(grad=False):`. Can be nested, reused, and used as a decorator, see `Scope`."""

    def __init__(self, **changes: Any) -> None:
        self.changes = changes
        self.before: list[Flags] = []

    def again(self) -> "changed_flags":
        return changed_flags(**self.changes)  # a decorated function may run in two threads at once

    def title(self) -> str:
        if "anomaly" in self.changes:
            return "detect_anomaly"
        return "enable_grad" if self.changes.get("grad") else "no_grad"

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


def outside(what: str) -> None:
    """Tell who listens that a function of ours, of this name, reads or changes what is no tensor."""
    if (recorder := current.get().recorder) is not None:
        recorder.outside(what)


F = TypeVar("F", bound=Callable[..., Any])


def _flags(name: str, f: "F | None", **changes: Any) -> "changed_flags | F":
    """The scope, or with a function the decorated function: `@tg.no_grad` works as `@tg.no_grad()` does."""
    scope = changed_flags(**changes)
    if f is None:
        return scope
    if not callable(f):
        raise TypeError(f"tg.{name}: write `with tg.{name}():` or `@tg.{name}()`, got {f!r}")
    return scope(f)


@overload
def no_grad() -> changed_flags: ...
@overload
def no_grad(f: F, /) -> F: ...
def no_grad(f: "F | None" = None, /) -> "changed_flags | F":
    """`with tg.no_grad():` (or `@tg.no_grad()`, or `@tg.no_grad`): nothing is recorded, results do not require grad.

    A decorated generator function has it in each of its steps, and what runs between them does not. A `with` inside a
    generator holds until its end, also for what runs while the generator waits at a `yield`.

    Args:
        f: The function to decorate; left out, the scope for `with`.
    """
    return _flags("no_grad", f, grad=False)


@overload
def enable_grad() -> changed_flags: ...
@overload
def enable_grad(f: F, /) -> F: ...
def enable_grad(f: "F | None" = None, /) -> "changed_flags | F":
    """`with tg.enable_grad():`: recording is on again inside a `no_grad` block. A decorator as well, as `no_grad`.

    Args:
        f: The function to decorate; left out, the scope for `with`.
    """
    return _flags("enable_grad", f, grad=True)


@overload
def detect_anomaly() -> changed_flags: ...
@overload
def detect_anomaly(f: F, /) -> F: ...
def detect_anomaly(f: "F | None" = None, /) -> "changed_flags | F":
    """`with tg.detect_anomaly():`: the first primitive, forward or backward, whose result has a NaN or Inf raises
    FloatingPointError and names the line of the forward call. Slow; for finding faults. A decorator as well, as
    `no_grad`.

    Args:
        f: The function to decorate; left out, the scope for `with`.
    """
    return _flags("detect_anomaly", f, anomaly=True)
