"""Arguments and results of a call, brought into the form in which programs take and give them."""

import sys
from operator import attrgetter
from typing import Any

import numpy as np

from tapegrad.autograd.creation import asarray
from tapegrad.autograd.dtypes import ALL
from tapegrad.backends import BY_TYPE
from tapegrad.compiler.record.tree import take_apart
from tapegrad.compiler.watch.parameters import signature_of


def as_taken(f: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The arguments as programs take them: Tensors for bare arrays, and by place where that is the same call. The very
    same two objects if they are so already."""
    return in_order(f, *tensors_for_arrays(args, kwargs))


def tensors_for_arrays(args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The arguments with Tensors in place of bare arrays of numbers."""
    leaves, rebuild = take_apart((args, kwargs))
    if not any(map(is_bare_array, leaves)):
        return args, kwargs
    args, kwargs = rebuild([asarray(v) if is_bare_array(v) else v for v in leaves])
    return args, kwargs


def is_bare_array(value: Any) -> bool:
    """Whether it is an array of numbers; text, objects and records stay the arrays they are."""
    return (
        type(value) in BY_TYPE and not isinstance(value, np.generic) and value.dtype.newbyteorder("=") in ALL
    )


def in_order(f: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Arguments by name in the places of their parameters, and the others in one order, where that is the same call."""
    if not kwargs:
        return args, kwargs
    try:
        bound = signature_of(f).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return args, kwargs
    same = len(bound.args) == len(args) and [*bound.kwargs] == [*kwargs]
    return (args, kwargs) if same else (bound.args, bound.kwargs)


def name_to_find(compiled: Any) -> str | None:
    """The name by which pickle finds it in its module, after `@tg.jit`, as it finds every function; None elsewhere."""
    try:
        name: str = compiled.__qualname__
        return name if attrgetter(name)(sys.modules[compiled.__module__]) is compiled else None
    except (AttributeError, KeyError, TypeError):
        return None
