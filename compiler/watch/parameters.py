"""What a function calls its arguments."""

from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR, Parameter, Signature
from types import CodeType
from typing import Any

from tapegrad.autograd.signatures import signature
from tapegrad.autograd.structure import is_module
from tapegrad.backends.aliases import Function

LAZY = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR


def signature_of(f: Any) -> Signature:
    """What f takes; of a Module, which is called with anything, what its forward takes. Raises TypeError or ValueError
    where that is not known."""
    return signature(f.forward if calls_forward(f) else f)


def calls_forward(f: Function) -> bool:
    """Whether it is a Module that passes its arguments on to `forward`."""
    return is_module(f) and type(f).__call__.__module__ == "tapegrad.nn.module"


def lazy_code(f: Any) -> CodeType | None:
    """The code of a generator or async function, of which a call runs nothing yet; None for any other."""
    code: CodeType | None = getattr(f, "__code__", None)
    return code if code is not None and code.co_flags & LAZY else None


def parameter_names(f: Function, count: int) -> list[str]:
    """What f calls its positional arguments."""
    try:
        known = signature_of(f).parameters.values()
    except (TypeError, ValueError):
        known = ()  # type: ignore[assignment]
    names = [p.name for p in known if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in known if p.kind is Parameter.VAR_POSITIONAL), "x")
    return [names[n] if n < len(names) else f"{rest}{n + 1 - len(names)}" for n in range(count)]
