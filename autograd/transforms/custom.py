"""`custom_gradient`: a function with a backward pass of its own."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from tapegrad.autograd import random
from tapegrad.autograd.aliases import Array, Tree, Value
from tapegrad.autograd.diagnostics import describe, user_line
from tapegrad.autograd.dtypes import is_floating
from tapegrad.autograd.flags import changed_flags, current
from tapegrad.autograd.ops import reshape_p
from tapegrad.autograd.structure import Rebuild, as_leaf, flatten, is_module, leaves_like, need_function
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.transforms.calls import (
    Call,
    as_given,
    as_tensors,
    call_once,
    is_numbers,
    label,
    same_numbers,
    used_from_outside,
)
from tapegrad.autograd.transforms.derivatives import noted_leaves
from tapegrad.autograd.transforms.second_runs import noted_writes, refuse_other_results
from tapegrad.autograd.writes import next_serial
from tapegrad.backends.aliases import Function

P = ParamSpec("P")  # the parameters of a user's function
R = TypeVar("R")  # and what it returns


def custom_gradient(f: Callable[P, tuple[R, Function]]) -> Callable[P, R]:
    """Decorator: f(*args, **kwargs) returns (result, pullback), and pullback(cotangent) returns the cotangent of each
    argument (one, or a tuple; None for no gradient). With several results, pullback gets a cotangent for each.

        @tg.custom_gradient
        def clipped(x, limit=1.0):
            return x, lambda g: tg.clip(g, -limit, limit)

    Positional arguments that are tensors, arrays or numbers, or nested tuples, lists and dicts of them, have a
    cotangent each, of their structure and shapes. Keywords and all other arguments (a str, None, a function, a Module)
    are handed on, and have none: a pullback leaves them out. The dtype of a cotangent becomes that of its argument.

    Where the backward pass is itself recorded, f runs again with recording on, so that what the pullback uses of its
    results is differentiated too: in `tg.jvp`, `tg.hvp`, `tg.hessian`, a gradient of a gradient, and
    `backward(create_graph=True)`. It must compute the same again. Random draws of tapegrad's are repeated, and what f
    writes to a tensor is written once.

    Args:
        f: A function (*args, **kwargs) -> (result, pullback).

    Raises:
        RuntimeError: If the result depends on a tensor that requires grad and is no positional argument, whose gradient
            would be lost; or if the second run gives other results, or a pullback that keeps other numbers.
        TypeError: Cotangents of another number, shape or kind.
    """
    need_function("custom_gradient", f)
    name = label(f)

    @wraps(f)
    def function(*args: P.args, **kwargs: P.kwargs) -> R:
        call = Call(f, args, kwargs, numbers=True)
        inputs, begun = call.inputs, next_serial()
        # Recorded, if anything is, to see what it depends on besides these.
        with (
            changed_flags(raw=False),
            noted_leaves() as made,
            random.noted_draws() as drawn,
            noted_writes() as written,
        ):
            returned = call([t.detach() for t in inputs])
        results, rebuild_results, pullback = _with_pullback(name, returned)
        _refuse_lost(call, results, begun, made)
        arrays = [r.data for r in results]
        del returned, results
        written.end()
        # The arguments that have a cotangent, with the number of its input in the place of each leaf.
        like = [a for a in call.arguments([_Place(i) for i in range(len(inputs))]) if _holds_place(a)]
        call.inputs = []  # their graph is the recorded call's to keep

        def rule(needed: list[bool], g: Value, y: Value, *given: Value) -> tuple[Value, ...]:
            cotangents = as_tensors(g)
            recorded = current.get().grad
            with changed_flags(raw=False, in_rule=False, grad=recorded):
                pull = pullback
                if recorded:
                    with random.repeated_draws(drawn), written.once():
                        again, _, pull = _with_pullback(name, call(given))
                        _refuse_another(name, again, arrays, pullback, pull)
                found = _cotangents_of(name, pull(*cotangents), like, as_tensors(given))
            return as_given(g, found)

        def anew(tensors: Sequence[Tensor]) -> list[Tensor]:
            with random.repeated_draws(drawn):
                return flatten(function(*call.arguments(tensors), **kwargs))[0]

        user = (f, call.others, kwargs)
        return call_once(name, rule, inputs, arrays, rebuild_results, anew, user, begun)

    return function


class _Place(int):
    """Stands for an input in the structure of the arguments."""


def _holds_place(part: Tree) -> bool:
    return any(isinstance(leaf, _Place) for leaf in flatten(part, modules=False)[0])


def _with_pullback(name: str, returned: object) -> tuple[list[Tensor], Rebuild, Function]:
    """What a function with a gradient of its own returned: its results, flat, how to build them, and the pullback."""
    if not isinstance(returned, tuple) or len(returned) != 2 or not callable(returned[1]):
        given = (
            f"a tuple of {len(returned)}" if isinstance(returned, tuple) else f"a {type(returned).__name__}"
        )
        raise TypeError(
            f"{name}: custom_gradient needs a function that returns (result, pullback), got {given}"
        )
    results, rebuild = flatten(returned[0])
    for r in results:
        if not isinstance(r, Tensor):
            raise TypeError(f"{name}: its result must be a tensor, or tensors, got a {type(r).__name__}")
    if not results:
        raise TypeError(f"{name}: its result must be a tensor, or tensors, got {returned[0]!r}")
    return results, rebuild, returned[1]


def _refuse_another(
    name: str, again: list[Tensor], arrays: list[Array], first: Function, second: Function
) -> None:
    """Raise RuntimeError where the second run gave other results, or a pullback that keeps other numbers."""
    who = f"{name} under custom_gradient"
    remedy = (
        "jvp, second derivatives and backward(create_graph=True) need a function that computes the same each time: "
        "draw random numbers with tg.random, or pass what changes, such as a mask or a counter, as an argument"
    )
    refuse_other_results(who, again, arrays, remedy)
    kept = zip(_numbers_kept(first), _numbers_kept(second), strict=False)
    recorder = current.get().recorder
    if (recorder is None or recorder.compares) and not all(
        a is b or (a.shape == b.shape and same_numbers(a, b)) for a, b in kept
    ):
        raise RuntimeError(
            f"{who} gave a pullback that keeps other numbers when the backward pass ran it again: {remedy}"
        )


def _numbers_kept(pullback: Function) -> list[Array]:
    """The arrays and floats that a pullback has from the run of the function that made it."""
    values: list[Tree] = [*(getattr(pullback, "__defaults__", None) or ())]
    for cell in getattr(pullback, "__closure__", None) or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # not set yet
            continue
    leaves = [leaf for leaf in flatten(values, modules=False)[0] if is_numbers(leaf)]
    return [as_leaf("custom_gradient", leaf).data for leaf in leaves if not isinstance(leaf, int)]


def _cotangents_of(name: str, found: Tree, like: list[Tree], inputs: list[Tensor]) -> list[Tensor | None]:
    """What a pullback returned, as a checked cotangent (or None) for each input."""
    several = isinstance(found, (tuple, list))
    if (len(like) == 1 and not (several and len(found) == 1 and not _is_one_of_one(like[0]))) or not several:
        found = [found]
    if len(found) != len(like):
        raise ValueError(
            f"{name}: its pullback returned {len(found)} cotangent(s) for {len(like)} argument(s)"
        )
    cotangents: list[Tensor | None] = [None] * len(inputs)
    for number, (part, place) in enumerate(zip(found, like, strict=True)):
        where = f"{name}: the pullback's cotangent of argument {number}"
        places = flatten(place, modules=False)[0]
        parts = [None] * len(places) if part is None else leaves_like(where, part, place)
        for i, g in zip(places, parts, strict=True):
            if g is not None and isinstance(i, _Place):
                cotangents[i] = _checked(where, g, inputs[i])
    return cotangents


def _is_one_of_one(like: Tree) -> bool:
    return isinstance(like, (tuple, list)) and len(like) == 1


def _checked(where: str, g: Value, x: Tensor) -> Tensor | None:
    """A cotangent of x in its shape, device and dtype; of what has no gradient, none."""
    if not is_floating(x.dtype):
        return None
    if not is_numbers(g):
        raise TypeError(f"{where} must be a tensor or None, got a {type(g).__name__}")
    g = as_leaf(where, g)
    if g.shape != x.shape:
        more = ": sum it over the axes that were broadcast" if g.ndim > x.ndim else ""
        raise ValueError(f"{where} has shape {g.shape}, the argument {x.shape}{more}")
    if g.device != x.device:
        raise ValueError(f"{where} is on {g.device}, the argument on {x.device}: move it with .to(…)")
    if not is_floating(g.dtype):
        raise TypeError(f"{where} is {g.dtype}, the argument {x.dtype}: convert it with .astype(…)")
    # A view: the user may have returned a tensor of theirs, and who keeps a cotangent copies what is a view.
    return reshape_p(g, shape=g.shape) if g.dtype == x.dtype else g.astype(x.dtype)


def _refuse_lost(call: Call, results: list[Tensor], begun: int, made: list[Tensor]) -> None:
    """Raise RuntimeError if results depend on tensors that require grad and are no arguments."""
    lost, _ = used_from_outside(results, [], begun, made)
    if not lost:
        return
    who = _name_in(call, lost[0])
    raise RuntimeError(
        f"{label(call.f)}: its result depends on {who}, {describe(lost[0])}, which requires grad and is no positional "
        f"argument, so its gradient would be lost: make it one, or use {who.partition(',')[0]}.detach()\n{user_line()}"
    )


def _name_in(call: Call, t: Tensor) -> str:
    """What a function's code calls a tensor that it uses, as far as that is known."""
    f = call.f
    code, cells = getattr(f, "__code__", None), getattr(f, "__closure__", None) or ()
    named: dict[str, Any] = dict(call.kwargs)
    if code is not None:
        module = getattr(f, "__globals__", {})
        named |= {name: module[name] for name in code.co_names if name in module}
        for name, cell in zip(code.co_freevars, cells, strict=True):
            try:
                named[name] = cell.cell_contents
            except ValueError:  # not set yet
                continue
    for name, value in named.items():
        if value is t:
            return name
        if is_module(value):
            for path, p in value.named_parameters():
                if p is t:
                    return f"{name}.{path}"
    return "a tensor"
