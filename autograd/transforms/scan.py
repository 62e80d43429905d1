"""`scan`: a loop over the first axis that is one recorded call, whatever its length.

The data flow. `scan` takes init and xs apart into tensors, and runs f once, on the first slice, to learn the shapes of
its results and which tensors it uses that are no arguments (`probe`). Then one primitive with the inputs (init, xs,
those tensors) runs the steps, with nothing of their insides recorded, and gives (the last carry, the ys, the carries
before each step). Its gradient rule is a scan in the other direction, whose step runs f again on the kept carry and
slice, and carries their cotangents through it: the cotangent of the carry goes from step to step, the cotangents of the
other tensors are added up, those of the slices are stacked. As it is a scan, it can be differentiated in turn.

Under `tg.jit` a step is recorded once, as a program of its own, which the compiled program calls as often as there are
steps, and so is a step of the gradient. Where that cannot be, on a GPU or with results of several dtypes, the steps are
recorded one after another, as those of a loop in Python.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tapegrad.autograd import ops, writes
from tapegrad.autograd.aliases import Array, ArrayModule, TensorLike, Tree, Value
from tapegrad.autograd.arguments import integer, truth
from tapegrad.autograd.copies import recorded_copy
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.diagnostics import describe, user_line
from tapegrad.autograd.dtypes import float32, is_floating
from tapegrad.autograd.filled import zeros
from tapegrad.autograd.flags import changed_flags, current
from tapegrad.autograd.ops.forwards import is_half
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.recorder import Steps
from tapegrad.autograd.structure import Rebuild, as_leaf, flatten, leaves_like, need_function
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.transforms.calls import (
    as_given,
    as_tensors,
    label,
    refuse_rewritten,
    used_from_outside,
)
from tapegrad.autograd.transforms.derivatives import cotangents_at, fresh, noted_leaves
from tapegrad.autograd.transforms.scan_probe import Found, Step, Tensors, compared, probe, refuse_another
from tapegrad.autograd.transforms.second_runs import requiring_grad
from tapegrad.autograd.writes import next_serial
from tapegrad.backends.aliases import Function


def scan(
    f: Function, init: Tree, xs: Tree = None, length: int | None = None, reverse: bool = False
) -> tuple[Tree, Tree]:
    """(carry, ys) of the loop `carry, ys[t] = f(carry, xs[t])` for t = 0, 1, …, which starts with carry = init

    One call of the tape, whatever the length. It keeps the carries of all steps and nothing of f's inside: the backward
    pass runs f again, step by step. f may use tensors that are no arguments, such as a Module's parameters, which get
    their gradients. Under `tg.jit` one step is recorded and compiled, whatever the length, where all results have one
    dtype, on a CPU; elsewhere all steps are. Definition: JAX's `jax.lax.scan`.

    Args:
        f: A function (carry, x) -> (carry, y) that computes the same whenever it is called with the same arguments. It
            is called more often than there are steps, and again in the backward pass.
        init: The first carry: a tensor or number, or nested tuples, lists and dicts of them. Each carry has its
            structure, shapes and dtypes.
        xs: A tensor, or a nested structure of tensors, whose first axes have the length of the loop; x has their
            slices. None: x is None, and length says how many steps there are.
        length: The number of steps, where xs does not say it.
        reverse: Whether the last slice comes first; ys[t] belongs to xs[t] all the same.

    Returns:
        The last carry, and the structure of y with a first axis of the length; None where y is None.

    Raises:
        TypeError: f returns no pair, or a carry of another dtype than init.
        ValueError: A carry of another structure or shape, slices of different lengths, or no length.
        RuntimeError: f writes to a tensor that it did not make, draws random numbers, or gives other results or uses
            other tensors when it runs again.
    """
    need_function("scan", f)
    leaves = [*flatten(init)[0], *flatten(xs)[0]]
    place = next((leaf.device for leaf in leaves if isinstance(leaf, Tensor)), None)
    first, build_carry = _tensors("scan: init", init, place)
    sequences, build_x = _tensors("scan: xs", xs, place)
    steps = _length(sequences, length)
    like = build_carry([t.dtype for t in first])
    built: list[Tree] = []  # of y: what builds its structure, and that structure

    def step(carry: Tensors, x: Tensors) -> tuple[Tensors, Tensors]:
        returned = f(build_carry(list(carry)), build_x(list(x)))
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise TypeError(f"scan: {label(f)} must return a pair (carry, y), it returned {returned!r}")
        after = [_leaf(c, place) for c in leaves_like("scan: the carry that f returned", returned[0], like)]
        _check_alike(f, after, carry)
        if not built:
            found, build = _tensors("scan: the y that f returned", returned[1], place)
            built.extend((build, build([t.dtype for t in found])))
            return after, found
        return after, [
            _leaf(t, place) for t in leaves_like("scan: the y that f returned", returned[1], built[1])
        ]

    carry, ys = _scan(f, step, first, sequences, steps, truth("scan: reverse", reverse))
    return build_carry(carry), built[0](ys)


def _leaf(value: TensorLike, place: str | None, name: str = "scan") -> Tensor:
    return tensor(value, device=place) if isinstance(value, (bool, int, float)) else as_leaf(name, value)


def _tensors(name: str, tree: Tree, place: str | None) -> tuple[Tensors, Rebuild]:
    leaves, build = flatten(tree)
    return [_leaf(v, place, name) for v in leaves], build


def _length(xs: Tensors, length: int | None) -> int:
    """How many steps there are."""
    if any(not x.ndim for x in xs):
        raise ValueError(
            "scan: each tensor in xs needs a first axis, that of the steps: one has the shape ()"
        )
    lengths = list(dict.fromkeys(x.shape[0] for x in xs))
    if len(lengths) > 1:
        raise ValueError(f"scan: the first axes of the tensors in xs must have one length, got {lengths}")
    if length is None:
        if not xs:
            raise ValueError("scan: without xs, say how many steps there are: tg.scan(f, init, length=10)")
        return lengths[0]
    length = integer("scan: length", length, 0)
    if lengths and lengths != [length]:
        raise ValueError(f"scan: length={length}, but xs has {lengths[0]} slices")
    return length


def _check_alike(f: Function, after: Tensors, before: Tensors) -> None:
    """Raise where a carry has become another kind of array."""
    for i, (new, old) in enumerate(zip(after, before, strict=True)):
        if new.shape != old.shape or new.dtype != old.dtype:
            kind: type[Exception] = ValueError if new.shape != old.shape else TypeError
            remedy = f": write .astype({str(old.dtype)!r})" if new.shape == old.shape else ""
            raise kind(
                f"scan: the carry must keep its shape and dtype: leaf {i} is {describe(old)} in init, and "
                f"{label(f)} returned {describe(new)}{remedy}\n{user_line()}"
            )


def _name(f: Function) -> str:
    return f"scan({label(f)})"


# ---- the loop ----
def _scan(
    f: Function, step: Step, init: Tensors, xs: Tensors, length: int, reverse: bool, watched: bool = True
) -> tuple[Tensors, Tensors]:
    """The loop on flat lists, as one recorded call if something is recorded."""
    flags = current.get()
    recorder = flags.recorder
    if not length:
        ys = probe(f, step, init, xs, length, reverse, watched).ys
        return [recorded_copy(t) for t in init], [
            zeros((0, *y.shape), dtype=y.dtype, device=y.device) for y in ys
        ]
    if not (flags.grad or watched or recorder):  # the gradient of a loop, which is not differentiated itself
        return _run(step, init, xs, length, reverse, keep=False)[:2]
    found = probe(f, step, init, xs, length, reverse, watched)
    inputs = [*init, *xs, *found.outside]
    keep = flags.grad and any(t.requires_grad for t in inputs)
    recorded = None
    if recorder is not None:
        if watched:
            refuse_another(f, step, init, xs, reverse, found)
        recorded = recorder.loop(step, init, xs, length, reverse, keep)
        if recorded is None:
            kept = [(t.dtype, (length, *t.shape)) for t in init] if keep else []
            steps = Steps(_name(f), inputs, next_serial(), kept)
            with recorder.steps(steps):
                carry, ys, _ = _run(step, init, xs, length, reverse, keep=False)
                # As one call would, the steps give a carry memory of its own.
                carry = [t if own else recorded_copy(t) for t, own in zip(carry, found.own, strict=True)]
            steps.end([*carry, *ys])
            return carry, ys
    return _Loop(f, step, len(init), len(xs), length, reverse, watched, keep, found, recorded)(inputs)


@dataclass(slots=True)
class _Loop:
    """A loop as one recorded call.

    Its inputs are the first carry, xs, and the tensors from outside. Its results are the last carry, the ys, and with
    `keep` the carries before each step.
    """

    f: Function
    step: Step
    n_carry: int
    n_xs: int
    length: int
    reverse: bool
    watched: bool  # whether f is a user's, whose runs are compared, and no step of a gradient
    keep: bool
    found: Found
    recorded: Any  # what a recorder made of the loop, or None

    def __call__(self, inputs: Tensors) -> tuple[Tensors, Tensors]:
        n, m = self.n_carry, self.n_carry + self.found.count
        count = m + n * self.keep
        if not count:
            return [], []
        call = Primitive(_name(self.f), self.forward, vjp=self.rule, outputs=count, register=False)
        call.loop = self.recorded
        out = call(*inputs) if inputs else _without_inputs(self.forward)
        outputs = [o if is_floating(o.dtype) else o.detach() for o in ([out] if count == 1 else out)]
        return outputs[:n], outputs[n:m]

    def apart(self, inputs: Sequence[Value]) -> tuple[Sequence[Value], Sequence[Value]]:
        """The first carry and xs."""
        n = self.n_carry
        return inputs[:n], inputs[n : n + self.n_xs]

    def forward(self, xp: ArrayModule, *raw: Array) -> Array | tuple[Array, ...]:
        with changed_flags(raw=False, grad=False, recorder=None):
            carry, xs = map(as_tensors, self.apart(raw))
            if self.recorded is not None:
                results = as_tensors(self.recorded.results([*raw[: self.n_carry + self.n_xs]]))
            else:
                step = compared(self.f, self.step, self.found) if self.watched else self.step
                parts = _run(step, carry, xs, self.length, self.reverse, self.keep)
                results = [t for part in parts for t in part]
        # The last carry may be what was given, or a part of it.
        arrays = [
            t.backend.asarray(t.data, copy=True) if i < self.n_carry else t.data
            for i, t in enumerate(results)
        ]
        return arrays[0] if len(arrays) == 1 else tuple(arrays)

    def rule(self, needed: list[bool], g: Value, y: Value, *given: Value) -> tuple[Value, ...]:
        refuse_rewritten(self.f, self.found.constants, self.found.ended)
        recorder = current.get().recorder
        if self.watched and (recorder is None or recorder.compares):
            carry, xs = map(as_tensors, self.apart(given))
            refuse_another(self.f, self.step, carry, xs, self.reverse, self.found)
        cotangents, results = as_tensors(g), as_tensors(y)
        before = results[self.n_carry + self.found.count :]
        with changed_flags(raw=False, in_rule=False):
            end = self.n_carry + self.n_xs
            back = _Backward(self.f, self.step, needed, as_tensors(given), self.n_carry, end, self.found)
            return as_given(g, back.cotangents(cotangents, before, self.length, self.reverse))


def _without_inputs(forward: Function) -> Any:
    out = forward(zeros(()).backend.xp)
    return tuple(map(Tensor, out)) if isinstance(out, tuple) else Tensor(out)


def _run(
    step: Step, carry: Tensors, xs: Tensors, length: int, reverse: bool, keep: bool
) -> tuple[Tensors, Tensors, Tensors]:
    """The last carry, the ys, and with keep the carries before each step."""
    ys: list[Tensors] = []
    before: list[Tensors] = []
    for t in reversed(range(length)) if reverse else range(length):
        if keep:
            before.append(carry)
        carry, y = step(carry, [x[t] for x in xs])
        ys.append(y)
    stacked = lambda rows: [
        ops.stack(list(row)) for row in zip(*(reversed(rows) if reverse else rows), strict=True)
    ]
    return carry, stacked(ys), stacked(before)


# ---- the gradient ----
def _no_sum_yet(t: Tensor) -> Tensor:
    """Zeros to add cotangents of a tensor to: those of float16 in float32, as a sum of float16 soon stops growing."""
    zeros = ops.zeros_like_p(t)
    return ops.astype_p(zeros, dtype=t.backend.dtype(float32)) if is_half(t) else zeros


class _Backward:
    """The cotangents of a scan's inputs, as a scan in the other direction."""

    def __init__(
        self, f: Function, step: Step, needed: list[bool], given: Tensors, n: int, end: int, found: Found
    ) -> None:
        self.f, self.step, self.given, self.n, self.end = f, step, given, n, end
        self.known, self.constants = found.outside, found.constants
        self.carries = [i for i in range(n) if is_floating(given[i].dtype)]
        self.slices = [i for i in range(n, end) if needed[i]]
        self.outside = [i for i in range(end, len(given)) if needed[i]]
        self.ys = [i for i, y in enumerate(found.ys) if is_floating(y.dtype)]

    def cotangents(self, g: Tensors, before: Tensors, length: int, reverse: bool) -> list[Tensor | None]:
        n, count = self.n, len(g) - self.n - len(before)
        g_ys, g_before = g[n : n + count], g[n + count :]
        init = [*(g[i] for i in self.carries), *(_no_sum_yet(self.given[i]) for i in self.outside)]
        xs = [
            *self.given[n : self.end], *before, *(g_ys[i] for i in self.ys), *(g_before[i] for i in self.carries),
        ]  # fmt: skip
        last, slices = _scan(self.f, self.back, init, xs, length, not reverse, watched=False)
        found: list[Tensor | None] = [None] * len(self.given)
        for i, t in zip([*self.carries, *self.outside], last, strict=True):
            found[i] = t.astype(self.given[i].dtype, copy=False)
        for i, t in zip(self.slices, slices, strict=True):
            found[i] = t
        return found

    def back(self, carried: Tensors, slices: Tensors) -> tuple[Tensors, Tensors]:
        """One step: of the cotangents of the carry and the sums so far, those before it, and those of the slices."""
        n, m, recorded = self.n, self.end - self.n, current.get().grad
        x, before, rest = slices[:m], slices[m : m + n], slices[m + n :]
        g_ys, g_before = rest[: len(self.ys)], rest[len(self.ys) :]
        g_carry, added = carried[: len(self.carries)], carried[len(self.carries) :]
        with changed_flags(raw=False, grad=True, again=True):
            begun = next_serial()
            leaves = [fresh("scan", t) if is_floating(t.dtype) else t for t in (*before, *x)]
            with changed_flags(leaves=tuple(leaves)), noted_leaves() as made, requiring_grad(self.known):
                carry, y = self.step(leaves[:n], leaves[n:])
        outputs = [*(carry[i] for i in self.carries), *(y[i] for i in self.ys)]
        known = dict.fromkeys(self.known)
        others = [t for t in used_from_outside(outputs, leaves, begun, made)[0] if t not in known]
        # One that did not require grad in the first run has no gradient, though it may require grad now.
        if any(not writes.among(t.data, self.constants) for t in others):
            raise RuntimeError(
                f"scan: {label(self.f)} used other tensors when the backward pass ran it again: it must use the same "
                "ones at each step"
            )
        targets = [
            *(leaves[i] for i in self.carries), *(leaves[i] for i in self.slices),
            *(self.known[i - self.end] for i in self.outside),
        ]  # fmt: skip
        with changed_flags(raw=False, grad=recorded):
            found = cotangents_at(outputs, [*g_carry, *g_ys], targets, record=recorded)
            c, s = len(self.carries), len(self.slices)
            new = [a + b for a, b in zip(found[:c], g_before, strict=True)]
            new += [a + b for a, b in zip(added, found[c + s :], strict=True)]
        return new, found[c : c + s]
