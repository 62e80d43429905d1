"""Functions with a backward pass of their own: `custom_gradient`, and `checkpoint`, which runs forward twice to save
memory."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from tapegrad.autograd import random, writes
from tapegrad.autograd.flags import changed_flags, current
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.structure import flatten, tensors_of
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.transforms import cotangents_at, fresh
from tapegrad.autograd.writes import tick


def _as_tensors(values: Any) -> list[Tensor]:
    """The cotangents or inputs a rule was given, as Tensors whichever way it was called."""
    return [v if isinstance(v, Tensor) else Tensor(v) for v in values]


def _as_given(given: Any, found: list[Any]) -> tuple[Any, ...]:
    """Cotangents in the form in which the rule got its own: Tensors, or raw arrays."""
    raw = not isinstance(given, Tensor)
    return tuple(f.data if raw and isinstance(f, Tensor) else f for f in found)


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: f(*tensors) returns (result, pullback), and pullback(cotangent) returns the cotangent of each argument
    (one tensor, or a tuple; None for no gradient). With several results, pullback gets a cotangent for each.

        @tg.custom_gradient
        def clipped(x):
            return x, lambda g: tg.clip(g, -1, 1)

    Where second derivatives are asked for, f runs again with recording on, so that what the pullback uses of its
    results is differentiated too.
    """

    @wraps(f)
    def function(*args: Any) -> Any:
        inputs, _ = tensors_of(f.__name__, list(args))
        with changed_flags(grad=False, raw=False):
            result, pullback = f(*inputs)
        results, rebuild = flatten(result)
        arrays = [r.data for r in results]

        def rule(needed: list[bool], g: Any, y: Any, *given: Any) -> tuple[Any, ...]:
            cotangents = _as_tensors(g if isinstance(g, tuple) else (g,))
            recorded = isinstance(cotangents[0], Tensor) and current.get().grad
            with changed_flags(raw=False, grad=recorded):
                pull = f(*given)[1] if recorded else pullback
                found = pull(*cotangents)
            found = list(found) if isinstance(found, (tuple, list)) else [found]
            if len(found) != len(inputs):
                raise ValueError(
                    f"{f.__name__}: its pullback returned {len(found)} cotangent(s) for {len(inputs)} argument(s)"
                )
            return _as_given(g[0] if isinstance(g, tuple) else g, found)

        call = Primitive(
            f.__name__, lambda xp, *raw: arrays[0] if len(arrays) == 1 else tuple(arrays),
            vjp=rule, outputs=len(arrays), register=False,
        )  # fmt: skip
        out = call(*inputs)
        return rebuild([out] if len(arrays) == 1 else list(out))

    return function


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """f, with nothing kept of its inside for the backward pass, which runs it again: memory for time.

    Takes and returns nested structures of tensors; what f uses besides its arguments (a Module's parameters, say) gets
    its gradients, too, and random draws are the same in both runs. f must compute the same both times.
    """

    @wraps(f)
    def function(*args: Any, **kwargs: Any) -> Any:
        flags = current.get()
        leaves, rebuild = flatten(list(args))
        if not flags.grad or flags.raw:
            return f(*args, **kwargs)
        at = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        inputs = [leaves[i] for i in at]

        def run(stand_ins: list[Tensor]) -> tuple[list[Any], Any]:
            new = list(leaves)
            for i, stand_in in zip(at, stand_ins, strict=True):
                new[i] = stand_in
            return flatten(f(*rebuild(new), **kwargs))

        first_draw, begun = random.draws(), tick()
        stand_ins = [Tensor(t.data, requires_grad=t.requires_grad) for t in inputs]
        results, rebuild_results = run(stand_ins)
        arrays = [r.data for r in results]
        outside, constants, ended = *_used_from_outside(results, stand_ins, begun), tick()

        def rule(needed: list[bool], g: Any, y: Any, *given: Any) -> tuple[Any, ...]:
            gs = _as_tensors(g if isinstance(g, tuple) else (g,))
            recorded = current.get().grad
            if any(writes.written_at(place, ended) for place in constants):
                raise RuntimeError(
                    f"a tensor that {getattr(f, '__name__', 'the function')} under checkpoint uses was written to "
                    "after its forward pass, so running it again would give another result: pass it as an argument, "
                    "or write after the backward pass"
                )
            with changed_flags(raw=False, grad=True), random.repeated_draws(first_draw):
                own = [
                    fresh("checkpoint", t) if need else t
                    for t, need in zip(_as_tensors(given[: len(inputs)]), needed, strict=False)
                ]
                again, _ = run(own)
            targets = [t for t, need in zip([*own, *outside], needed, strict=True) if need]
            with changed_flags(raw=False, grad=recorded):
                found = iter(cotangents_at(again, gs, targets, record=recorded))
            return _as_given(
                g[0] if isinstance(g, tuple) else g, [next(found) if need else None for need in needed]
            )

        call = Primitive(
            f"checkpoint({getattr(f, '__name__', type(f).__name__)})",
            lambda xp, *raw: arrays[0] if len(arrays) == 1 else tuple(arrays),
            vjp=rule, outputs=len(arrays), register=False,
        )  # fmt: skip
        out = call(*inputs, *outside)
        return rebuild_results([out] if len(arrays) == 1 else list(out))

    return function


def _used_from_outside(
    results: list[Any], stand_ins: list[Tensor], begun: int
) -> tuple[list[Tensor], list[writes.Place]]:
    """What went into the results without being an argument: the tensors that require grad, and the memory of others."""
    inside = dict.fromkeys(stand_ins)
    found: dict[Tensor, None] = {}
    constants: dict[int, writes.Place] = {}
    seen = set()
    stack = [r for r in results if isinstance(r, Tensor) and r.requires_grad]
    while stack:
        t = stack.pop()
        if t in inside:
            continue
        if not t.requires_grad:
            constants[id(t.data)] = writes.place(t.data)
        elif t.node is None or t.node.serial < begun:
            found[t] = None
        elif t.node not in seen:
            seen.add(t.node)
            stack += [i for i in t.node.recorded_inputs() if isinstance(i, Tensor)]
    return list(found), list(constants.values())
