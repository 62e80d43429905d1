"""Functions with a backward pass of their own: `custom_gradient`, and `checkpoint`, which runs forward twice to save
memory."""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from tapegrad.autograd import random, writes
from tapegrad.autograd.aliases import Array, Tree, Value
from tapegrad.autograd.diagnostics import describe, user_line
from tapegrad.autograd.dtypes import finfo, is_floating
from tapegrad.autograd.flags import changed_flags, current
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.structure import Rebuild, as_leaf, flatten, is_module, leaves_like, need_function
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.transforms import cotangents_at, fresh, noted_leaves
from tapegrad.autograd.writes import next_serial
from tapegrad.backends import BY_TYPE, backend_of
from tapegrad.backends.aliases import Function

P = ParamSpec("P")  # the parameters of a user's function
R = TypeVar("R")  # and what it returns


def to_tensors(values: Iterable[Any]) -> list[Tensor]:
    """The cotangents or inputs that a rule was given, as Tensors whichever way it was called."""
    return [v if isinstance(v, Tensor) else Tensor(v) for v in values]


def as_given(given: Value, found: Sequence[Any]) -> tuple[Any, ...]:
    """Cotangents in the form in which the rule got its own: Tensors, or raw arrays."""
    raw = not isinstance(given[0] if isinstance(given, tuple) else given, Tensor)
    return tuple(f.data if raw and isinstance(f, Tensor) else f for f in found)


def label(f: Function) -> str:
    return getattr(f, "__name__", type(f).__name__)


def _is_numbers(leaf: object) -> bool:
    return isinstance(leaf, (Tensor, bool, int, float)) or type(leaf) in BY_TYPE


class _Call:
    """A function with its arguments, the tensors among which are given when it is called."""

    def __init__(self, f: Function, args: Sequence[Tree], kwargs: dict[str, object], numbers: bool) -> None:
        leaves, self.rebuild = flatten(list(args), modules=False)
        self.at = [
            i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor) or (numbers and _is_numbers(leaf))
        ]
        self.inputs = [as_leaf(label(f), leaves[i]) for i in self.at]
        for i in self.at:  # not kept: their graph would be, with this
            leaves[i] = None
        self.f, self.others, self.kwargs = f, leaves, kwargs

    def arguments(self, tensors: Sequence[Value]) -> list[Tree]:
        leaves = list(self.others)
        for i, t in zip(self.at, tensors, strict=True):
            leaves[i] = t
        return self.rebuild(leaves)

    def __call__(self, tensors: Sequence[Tensor]) -> Tree:
        return self.f(*self.arguments(tensors), **self.kwargs)


def custom_gradient(f: Callable[P, tuple[R, Function]]) -> Callable[P, R]:
    """Decorator: f(*args, **kwargs) returns (result, pullback), and pullback(cotangent) returns the cotangent of each
    argument (one, or a tuple; None for no gradient). With several results, pullback gets a cotangent for each.

        @tg.custom_gradient
        def clipped(x, limit=1.0):
            return x, lambda g: tg.clip(g, -limit, limit)

    Positional arguments that are tensors, arrays or numbers, or nested tuples, lists and dicts of them, have a
    cotangent each, of their structure and shapes. Keywords and all other arguments (a str, None, a function, a Module)
    are handed on, and have none: a pullback leaves them out. The dtype of a cotangent becomes that of its argument.

    Where second derivatives are asked for, f runs again with recording on, so that what the pullback uses of its
    results is differentiated too.

    Args:
        f: A function (*args, **kwargs) -> (result, pullback).

    Raises:
        RuntimeError: If the result depends on a tensor that requires grad and is no positional argument, whose gradient
            would be lost.
        TypeError: Cotangents of another number, shape or kind.
    """
    need_function("custom_gradient", f)
    name = label(f)

    @wraps(f)
    def function(*args: P.args, **kwargs: P.kwargs) -> R:
        call = _Call(f, args, kwargs, numbers=True)
        inputs, begun = call.inputs, next_serial()
        # Recorded, if anything is, to see what it depends on besides these.
        with changed_flags(raw=False), noted_leaves() as made, random.noted_draws() as drawn:
            returned = call([t.detach() for t in inputs])
        results, rebuild_results, pullback = _with_pullback(name, returned)
        _refuse_lost(call, results, begun, made)
        arrays = [r.data for r in results]
        del returned, results
        # The arguments that have a cotangent, with the number of its input in the place of each leaf.
        like = [a for a in call.arguments([_Place(i) for i in range(len(inputs))]) if _holds_place(a)]
        call.inputs = []  # their graph is the recorded call's to keep

        def rule(needed: list[bool], g: Value, y: Value, *given: Value) -> tuple[Value, ...]:
            cotangents = to_tensors(g if isinstance(g, tuple) else (g,))
            recorded = current.get().grad
            with changed_flags(raw=False, grad=recorded):
                pull = pullback
                if recorded:
                    with random.repeated_draws(drawn):
                        pull = _with_pullback(name, call(given))[2]
                found = _cotangents_of(name, pull(*cotangents), like, to_tensors(given))
            return as_given(g, found)

        def again(tensors: Sequence[Tensor]) -> list[Tensor]:
            with random.repeated_draws(drawn):
                return flatten(function(*call.arguments(tensors), **kwargs))[0]

        return _call_once(name, rule, inputs, arrays, rebuild_results, again)

    return function


class _Place(int):
    """Stands for an input in the structure of the arguments."""


def _holds_place(part: Tree) -> bool:
    return any(isinstance(leaf, _Place) for leaf in flatten(part, modules=False)[0])


def _call_once(
    name: str,
    rule: Function,
    inputs: Sequence[Tensor],
    arrays: list[Array],
    rebuild: Rebuild,
    again: Function,
) -> Tree:
    """The results as one recorded call with this rule; integers among them are in no graph."""
    call = Primitive(
        name, lambda xp, *raw: arrays[0] if len(arrays) == 1 else tuple(arrays),
        vjp=rule, outputs=len(arrays), register=False,
    )  # fmt: skip
    call.again = again
    out = call(*inputs)
    outputs = [out] if len(arrays) == 1 else list(out)
    return rebuild([o if is_floating(o.dtype) else o.detach() for o in outputs])


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
    if not _is_numbers(g):
        raise TypeError(f"{where} must be a tensor or None, got a {type(g).__name__}")
    g = as_leaf(where, g)
    if g.shape != x.shape:
        more = ": sum it over the axes that were broadcast" if g.ndim > x.ndim else ""
        raise ValueError(f"{where} has shape {g.shape}, the argument {x.shape}{more}")
    if g.device != x.device:
        raise ValueError(f"{where} is on {g.device}, the argument on {x.device}: move it with .to(…)")
    if not is_floating(g.dtype):
        raise TypeError(f"{where} is {g.dtype}, the argument {x.dtype}: convert it with .astype(…)")
    return g if g.dtype == x.dtype else g.astype(x.dtype)


def _refuse_lost(call: _Call, results: list[Tensor], begun: int, made: list[Tensor]) -> None:
    """Raise RuntimeError if results depend on tensors that require grad and are no arguments."""
    lost, _ = used_from_outside(results, [], begun, made)
    if not lost:
        return
    who = _name_in(call, lost[0])
    raise RuntimeError(
        f"{label(call.f)}: its result depends on {who}, {describe(lost[0])}, which requires grad and is no positional "
        f"argument, so its gradient would be lost: make it one, or use {who.partition(',')[0]}.detach()\n{user_line()}"
    )


def _name_in(call: _Call, t: Tensor) -> str:
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


def checkpoint(f: Callable[P, R]) -> Callable[P, R]:
    """f, with nothing kept of its inside for the backward pass, which runs f again: less memory for more time.

    Takes and returns nested structures of tensors, and any other values. What f uses without getting it as an argument,
    such as a Module's parameters, gets its gradient as well. Random draws are the same in both runs. A result that does
    not require grad without checkpoint does not require it with checkpoint.

    Args:
        f: A function that computes the same whenever it is called with the same arguments.

    Returns:
        A function with the signature of f.

    Raises:
        RuntimeError: The second run gives other results, or a tensor that f uses was written to in between.
    """
    need_function("checkpoint", f)

    @wraps(f)
    def function(*args: P.args, **kwargs: P.kwargs) -> R:
        flags = current.get()
        if not flags.grad or flags.raw:
            return f(*args, **kwargs)
        call = _Call(f, args, kwargs, numbers=False)
        begun = next_serial()
        inputs = [Tensor(t.data, requires_grad=t.requires_grad) for t in call.inputs]
        with (
            changed_flags(leaves=(*flags.leaves, *inputs)),
            random.noted_draws() as drawn,
            noted_leaves() as made,
        ):
            results, rebuild_results = flatten(call(inputs), modules=False)
        tracked = [i for i, r in enumerate(results) if isinstance(r, Tensor) and r.requires_grad]
        if not tracked:
            return rebuild_results(results)
        arrays, count = [results[i].data for i in tracked], len(inputs)
        outside, constants, ended = (
            *used_from_outside([results[i] for i in tracked], inputs, begun, made),
            next_serial(),
        )

        def rule(needed: list[bool], g: Value, y: Value, *given: Value) -> tuple[Value, ...]:
            cotangents = to_tensors(g if isinstance(g, tuple) else (g,))
            recorded = current.get().grad
            refuse_rewritten(f, constants, ended)
            with changed_flags(raw=False, grad=True), random.repeated_draws(drawn):
                again_inputs = [
                    fresh("checkpoint", t) if need else t
                    for t, need in zip(to_tensors(given[:count]), needed, strict=False)
                ]
                with changed_flags(leaves=tuple(again_inputs)):
                    again = flatten(call(again_inputs), modules=False)[0]
            targets = [t for t, need in zip([*again_inputs, *outside], needed, strict=True) if need]
            outputs = _same_results(f, again, tracked, arrays)
            with changed_flags(raw=False, grad=recorded):
                found = iter(cotangents_at(outputs, cotangents, targets, record=recorded))
            return as_given(g, [next(found) if need else None for need in needed])

        def rebuild(outputs: list[Tree]) -> Tree:
            whole = list(others)
            for i, output in zip(tracked, outputs, strict=True):
                whole[i] = output
            return rebuild_results(whole)

        def again(tensors: Sequence[Tensor]) -> list[Tensor]:
            if any(new.data is not old.data for new, old in zip(tensors[count:], outside, strict=True)):
                raise RuntimeError(
                    f"what_if: the change reaches what {label(f)} under checkpoint uses without getting it "
                    "as an argument: make it one"
                )
            with random.repeated_draws(drawn):
                made = flatten(function(*call.arguments(tensors[:count]), **kwargs), modules=False)[0]
            return [made[i] for i in tracked]

        others = [None if i in tracked else r for i, r in enumerate(results)]
        del results
        given, call.inputs = [*call.inputs, *outside], []
        return _call_once(f"checkpoint({label(f)})", rule, given, arrays, rebuild, again)

    return function


def refuse_rewritten(f: Function, constants: Sequence[writes.Place], ended: int) -> None:
    if any(writes.written_at(place, ended) for place in constants):
        raise RuntimeError(
            f"a tensor that {label(f)} under checkpoint uses was written to after its forward pass, so running it "
            "again would give another result: pass it as an argument, or write after the backward pass"
        )


def _same_results(f: Function, again: list[Tree], tracked: list[int], arrays: list[Array]) -> list[Tensor]:
    """The results of the second run that the first one had, too; RuntimeError if it gave others."""
    found = [again[i] for i in tracked if i < len(again)]
    shapes = [getattr(r, "shape", None) for r in found]
    if shapes != [a.shape for a in arrays]:
        raise RuntimeError(
            f"{label(f)} under checkpoint gave results of shapes {[a.shape for a in arrays]}, and {shapes} when the "
            "backward pass ran it again: it must compute the same both times"
        )
    if current.get().recorder is None and not all(map(same_numbers, [r.data for r in found], arrays)):
        raise RuntimeError(
            f"{label(f)} under checkpoint gave other numbers when the backward pass ran it again: something that it "
            "uses, a number, an array or the mode of a layer, has changed since. Change it after the backward pass, "
            "or pass it as an argument"
        )
    return found


def same_numbers(a: Array, b: Array) -> bool:
    """Whether two arrays hold the same numbers, but for rounding: threads may add up in another order."""
    xp = backend_of(a).xp
    with np.errstate(all="ignore"):
        same = (a == b) | ((a != a) & (b != b))
        if bool(xp.all(same)):
            return True
        if not is_floating(a.dtype):
            return False
        largest = float(xp.max(xp.where(xp.isfinite(b), xp.abs(b), xp.zeros_like(b))))
        return bool(xp.all(same | (xp.abs(a - b) <= 1000 * finfo(a.dtype).eps * largest)))


def used_from_outside(
    results: list[Any], stand_ins: list[Tensor], begun: int, made: Sequence[Tensor]
) -> tuple[list[Tensor], list[writes.Place]]:
    """What went into the results without being an argument: the tensors that require grad, and the memory of others.

    made    the leaves that transforms inside made of what does not require grad
    """
    inside, constant = dict.fromkeys(stand_ins), dict.fromkeys(made)
    found: dict[Tensor, None] = {}
    constants: dict[int, writes.Place] = {}
    seen = set()
    stack = [r for r in results if isinstance(r, Tensor) and r.requires_grad]
    while stack:
        t = stack.pop()
        if t in inside:
            continue
        if not t.requires_grad or t in constant:
            constants[id(t.data)] = writes.place(t.data)
        elif t.node is None or t.node.serial < begun:
            found[t] = None
        elif t.node not in seen:
            seen.add(t.node)
            stack += [i for i in t.node.recorded_inputs() if isinstance(i, Tensor)]
    return list(found), list(constants.values())
