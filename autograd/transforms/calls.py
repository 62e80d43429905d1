"""What `custom_gradient`, `checkpoint` and `scan` share: a user's function whose call becomes one recorded call."""

from collections.abc import Sequence

import numpy as np

from tapegrad.autograd import writes
from tapegrad.autograd.aliases import Array, Tree, Value
from tapegrad.autograd.dtypes import finfo, is_floating
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.structure import Rebuild, as_leaf, flatten
from tapegrad.autograd.tensor import Tensor
from tapegrad.backends import BY_TYPE, backend_of
from tapegrad.backends.aliases import Function


def as_tensors(values: Value) -> list[Tensor]:
    """The cotangents or inputs that a rule was given, one or several, as Tensors whichever way it was called."""
    several = values if isinstance(values, (tuple, list)) else (values,)
    return [v if isinstance(v, Tensor) else Tensor(v) for v in several]


def as_given(given: Value, found: Sequence[Value]) -> tuple[Value, ...]:
    """Cotangents in the form in which the rule got its own: Tensors, or raw arrays."""
    raw = not isinstance(given[0] if isinstance(given, tuple) else given, Tensor)
    return tuple(f.data if raw and isinstance(f, Tensor) else f for f in found)


def label(f: Function) -> str:
    return getattr(f, "__name__", type(f).__name__)


def is_numbers(leaf: object) -> bool:
    return isinstance(leaf, (Tensor, bool, int, float)) or type(leaf) in BY_TYPE


class Call:
    """A function with its arguments, the tensors among which are given when it is called."""

    def __init__(self, f: Function, args: Sequence[Tree], kwargs: dict[str, object], numbers: bool) -> None:
        leaves, self.rebuild = flatten(list(args), modules=False)
        self.at = [
            i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor) or (numbers and is_numbers(leaf))
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


def call_once(
    name: str,
    rule: Function,
    inputs: Sequence[Tensor],
    arrays: list[Array],
    rebuild: Rebuild,
    again: Function,
    user: tuple[object, ...],
    begun: int,
) -> Tree:
    """The results as one recorded call with this rule; integers among them are in no graph."""
    call = Primitive(
        name, lambda xp, *raw: arrays[0] if len(arrays) == 1 else tuple(arrays),
        vjp=rule, outputs=len(arrays), register=False,
    )  # fmt: skip
    call.again, call.user, call.begun = again, user, begun
    out = call(*inputs)
    outputs = [out] if len(arrays) == 1 else list(out)
    return rebuild([o if is_floating(o.dtype) else o.detach() for o in outputs])


def used_from_outside(
    results: list[Tree], stand_ins: list[Tensor], begun: int, made: Sequence[Tensor]
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


def refuse_rewritten(f: Function, constants: Sequence[writes.Place], ended: int) -> None:
    if any(writes.written_at(place, ended) for place in constants):
        raise RuntimeError(
            f"a tensor that {label(f)} under checkpoint uses was written to after its forward pass, so running it "
            "again would give another result: pass it as an argument, or write after the backward pass"
        )


def same_numbers(a: Array, b: Array, exactly: bool = False) -> bool:
    """Whether two arrays hold the same numbers, but for rounding: threads may add up in another order."""
    xp = backend_of(a).xp
    with np.errstate(all="ignore"):
        same = (a == b) | ((a != a) & (b != b))
        if bool(xp.all(same)):
            return True
        if exactly or not is_floating(a.dtype):
            return False
        largest = float(xp.max(xp.where(xp.isfinite(b), xp.abs(b), xp.zeros_like(b))))
        return bool(xp.all(same | (xp.abs(a - b) <= 1000 * finfo(a.dtype).eps * largest)))
