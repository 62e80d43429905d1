"""`scan`: a loop over the first axis that is one recorded call, whatever its length.

The data flow. `scan` takes init and xs apart into tensors, and runs f once, on the first slice, to learn the shapes of
its results and which tensors it uses that are no arguments (`_probe`). Then one primitive with the inputs (init, xs,
those tensors) runs the steps, with nothing of their insides recorded, and gives (the last carry, the ys, the carries
before each step). Its gradient rule is a scan in the other direction, whose step runs f again on the kept carry and
slice, and carries their cotangents through it: the cotangent of the carry goes from step to step, the cotangents of the
other tensors are added up, those of the slices are stacked. As it is a scan, it can be differentiated in turn.

Under `tg.jit` a step is recorded once, as a program of its own, which the compiled program calls as often as there are
steps, and so is a step of the gradient. Where that cannot be, on a GPU or with results of several dtypes, the steps are
recorded one after another, as those of a loop in Python.
"""

from collections.abc import Callable
from typing import Any

from tapegrad.autograd import ops, random, writes
from tapegrad.autograd.aliases import Value
from tapegrad.autograd.arguments import integer, truth
from tapegrad.autograd.creation import tensor
from tapegrad.autograd.custom import (
    as_given,
    label,
    refuse_rewritten,
    same_numbers,
    to_tensors,
    used_from_outside,
)
from tapegrad.autograd.diagnostics import describe, user_line
from tapegrad.autograd.dtypes import is_floating, name_of
from tapegrad.autograd.filled import zeros
from tapegrad.autograd.flags import changed_flags, current
from tapegrad.autograd.primitive import Primitive
from tapegrad.autograd.recorder import Recorder
from tapegrad.autograd.structure import as_leaf, flatten, leaves_like, need_function
from tapegrad.autograd.tensor import Tensor
from tapegrad.autograd.transforms import cotangents_at, fresh, noted_leaves
from tapegrad.autograd.writes import next_serial

Tensors = list[Tensor]
Step = Callable[[Tensors, Tensors], tuple[Tensors, Tensors]]  # (carry, slices) -> (carry, y)


def scan(
    f: Callable[..., Any], init: Any, xs: Any = None, length: int | None = None, reverse: bool = False
) -> tuple[Any, Any]:
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
    built: list[Any] = []  # of y: what builds its structure, and that structure

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


def _leaf(value: Any, place: str | None, name: str = "scan") -> Tensor:
    return tensor(value, device=place) if isinstance(value, (bool, int, float)) else as_leaf(name, value)


def _tensors(name: str, tree: Any, place: str | None) -> tuple[Tensors, Callable[[list[Any]], Any]]:
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


def _check_alike(f: Any, after: Tensors, before: Tensors) -> None:
    """Raise where a carry has become another kind of array."""
    for i, (new, old) in enumerate(zip(after, before, strict=True)):
        if new.shape != old.shape or new.dtype != old.dtype:
            kind: type[Exception] = ValueError if new.shape != old.shape else TypeError
            remedy = f": write .astype({str(old.dtype)!r})" if new.shape == old.shape else ""
            raise kind(
                f"scan: the carry must keep its shape and dtype: leaf {i} is {describe(old)} in init, and "
                f"{label(f)} returned {describe(new)}{remedy}\n{user_line()}"
            )


# ---- the loop ----
def _scan(
    f: Any, step: Step, init: Tensors, xs: Tensors, length: int, reverse: bool, watched: bool = True
) -> tuple[Tensors, Tensors]:
    """The loop on flat lists, as one recorded call if something is recorded."""
    flags = current.get()
    recorder = flags.recorder
    if not length:
        ys = _probe(f, step, init, xs, length, reverse, watched).ys
        return [_copy(t) for t in init], [zeros((0, *y.shape), dtype=y.dtype, device=y.device) for y in ys]
    if not (flags.grad or watched or recorder):  # the gradient of a loop, which is not differentiated itself
        return _run(step, init, xs, length, reverse, keep=False)[:2]
    found = _probe(f, step, init, xs, length, reverse, watched)
    inputs = [*init, *xs, *found.outside]
    keep = flags.grad and any(t.requires_grad for t in inputs)
    loop = None
    if recorder is not None:
        if watched:
            _refuse_another(f, step, init, xs, reverse, found)
        loop = recorder.loop(step, init, xs, length, reverse, keep)
        if loop is None:
            return _run(step, init, xs, length, reverse, keep=False)[:2]
    n, end = len(init), len(init) + len(xs)
    count = n + found.count + n * keep

    def forward(xp: Any, *raw: Any) -> Any:
        with changed_flags(raw=False, grad=False, recorder=None):
            given = to_tensors(raw)
            if loop is not None:
                results = to_tensors(loop.results(list(raw[:end])))
            else:
                looked_at = _compared(f, step, found) if watched else step
                carry, ys, before = _run(looked_at, given[:n], given[n:end], length, reverse, keep)
                results = [*carry, *ys, *before]
        # The last carry may be what was given, or a part of it.
        arrays = [t.backend.asarray(t.data, copy=True) if i < n else t.data for i, t in enumerate(results)]
        return arrays[0] if count == 1 else tuple(arrays)

    def rule(needed: list[bool], g: Value, y: Value, *given: Value) -> tuple[Any, ...]:
        refuse_rewritten(f, found.constants, found.ended)
        if watched and current.get().recorder is None:
            held = to_tensors(given)
            _refuse_another(f, step, held[:n], held[n:end], reverse, found)
        cotangents, results = (to_tensors(v if isinstance(v, tuple) else (v,)) for v in (g, y))
        with changed_flags(raw=False):
            back = _Backward(f, step, needed, to_tensors(given), n, end, found)
            return as_given(g, back.cotangents(cotangents, results[n + found.count :], length, reverse))

    if not count:
        return [], []
    call = Primitive(f"scan({label(f)})", forward, vjp=rule, outputs=count, register=False)
    call.loop = loop
    out = call(*inputs) if inputs else _without_inputs(forward)
    outputs = [o if is_floating(o.dtype) else o.detach() for o in ([out] if count == 1 else out)]
    return outputs[:n], outputs[n : n + found.count]


def _without_inputs(forward: Any) -> Any:
    out = forward(zeros(()).backend.xp)
    return tuple(map(Tensor, out)) if isinstance(out, tuple) else Tensor(out)


def _copy(t: Tensor) -> Tensor:
    """A tensor of its own, whose gradient is t's."""
    return ops.logical_not(ops.logical_not(t)) if name_of(t.dtype) == "bool" else ops.positive(t)


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


# ---- what f does, seen once ----
class _Found:
    """What one step told.

    first      its results; ys: those of them that are its y
    outside    the tensors that require grad and are no arguments
    constants  the memory of the others; ended: when that was
    """

    def __init__(
        self, carry: Tensors, ys: Tensors, outside: Tensors, constants: list[Any], ended: int
    ) -> None:
        self.first, self.ys, self.outside = [*carry, *ys], ys, outside
        self.constants, self.ended = constants, ended
        self.count = len(ys)


class _Watch(Recorder):
    """Refuses a write to memory that was there before: a step is not run as often as there are steps."""

    def __init__(self, f: Any) -> None:
        self.f = f
        self.own: dict[int, Any] = {}  # id of the array that owns memory -> that array

    def primitive(self, primitive: Any, args: tuple[Any, ...], params: dict[str, Any], result: Any) -> None:
        given = {id(writes.owner(a.data)) for a in args if isinstance(a, Tensor)}
        for r in result if isinstance(result, tuple) else (result,):
            home = writes.owner(r.data)
            if id(home) not in given:
                self.own[id(home)] = home

    def made(self, tensor: Any, shared: bool) -> None:
        if not shared:
            home = writes.owner(tensor.data)
            self.own[id(home)] = home

    def becomes(self, tensor: Any) -> None:
        self.write(tensor, None)

    def write(self, tensor: Any, value: Any) -> None:
        if id(writes.owner(tensor.data)) not in self.own:
            raise RuntimeError(
                f"scan: {label(self.f)} writes to {describe(tensor)}, which it did not make, and runs another "
                "number of times than there are steps: return it in the carry, and write c = c + x for c += x\n"
                + user_line()
            )


def _probe(
    f: Any, step: Step, init: Tensors, xs: Tensors, length: int, reverse: bool, watched: bool
) -> _Found:
    """Run one step for what it returns and uses: the first one, or one on zeros where there is none."""
    flags = current.get()
    begun = next_serial()
    with changed_flags(raw=False, recorder=None):
        slices = [
            x[-reverse] if length else ops.zeros_like_p(ops.sum(x.detach(), axis=0).astype(x.dtype))
            for x in xs
        ]
        leaves = [Tensor(t.data, requires_grad=flags.grad and is_floating(t.dtype)) for t in (*init, *slices)]
        with (
            changed_flags(leaves=(*flags.leaves, *leaves), recorder=_Watch(f) if watched else None),
            random.noted_draws() as drawn,
            noted_leaves() as made,
        ):
            carry, ys = step(leaves[: len(init)], leaves[len(init) :])
    if drawn:
        raise RuntimeError(
            f"scan: {label(f)} draws random numbers, which its second run would draw again: draw them before, for "
            f"all steps, and give them as part of xs\n{user_line()}"
        )
    outside, constants = used_from_outside([*carry, *ys], leaves, begun, made)
    carry, ys = ([t.detach() for t in part] for part in (carry, ys))
    return _Found(carry, ys, outside, constants, next_serial())


def _refuse_another(f: Any, step: Step, init: Tensors, xs: Tensors, reverse: bool, found: _Found) -> None:
    """Raise RuntimeError if the first step gives other results than it did when it was looked at."""
    with changed_flags(raw=False, grad=False, recorder=None):
        carry, ys = step([Tensor(t.data) for t in init], [x[-reverse] for x in xs])
    _compare(f, [*carry, *ys], found)


def _compared(f: Any, step: Step, found: _Found) -> Step:
    """The step, whose first run is compared with the one that was looked at."""
    left = [found]

    def compared(carry: Tensors, x: Tensors) -> tuple[Tensors, Tensors]:
        after, ys = step(carry, x)
        if left:
            _compare(f, [*after, *ys], left.pop())
        return after, ys

    return compared


def _compare(f: Any, again: Tensors, found: _Found) -> None:
    if not all(map(same_numbers, [t.data for t in again], [t.data for t in found.first])):
        raise RuntimeError(
            f"scan: {label(f)} gave other results when it ran again on the same arguments: what counts, draws or comes "
            "from an iterator belongs into the carry or xs, and what it uses besides must stay as it is until the "
            f"backward pass\n{user_line()}"
        )


# ---- the gradient ----
class _Backward:
    """The cotangents of a scan's inputs, as a scan in the other direction."""

    def __init__(
        self, f: Any, step: Step, needed: list[bool], given: Tensors, n: int, end: int, found: _Found
    ) -> None:
        self.f, self.step, self.given, self.n, self.end = f, step, given, n, end
        self.known = found.outside
        self.needed = needed
        self.carries = [i for i in range(n) if is_floating(given[i].dtype)]
        self.slices = [i for i in range(n, end) if needed[i]]
        self.outside = [i for i in range(end, len(given)) if needed[i]]
        self.ys = [i for i, y in enumerate(found.ys) if is_floating(y.dtype)]

    def cotangents(self, g: Tensors, before: Tensors, length: int, reverse: bool) -> list[Any]:
        n, count = self.n, len(g) - self.n - len(before)
        g_ys, g_before = g[n : n + count], g[n + count :]
        init = [*(g[i] for i in self.carries), *(ops.zeros_like_p(self.given[i]) for i in self.outside)]
        xs = [
            *self.given[n : self.end], *before, *(g_ys[i] for i in self.ys), *(g_before[i] for i in self.carries),
        ]  # fmt: skip
        last, slices = _scan(self.f, self.back, init, xs, length, not reverse, watched=False)
        found: list[Any] = [None] * len(self.given)
        for i, t in zip([*self.carries, *self.outside], last, strict=True):
            found[i] = t
        for i, t in zip(self.slices, slices, strict=True):
            found[i] = t
        return found

    def back(self, carried: Tensors, slices: Tensors) -> tuple[Tensors, Tensors]:
        """One step: of the cotangents of the carry and the sums so far, those before it, and those of the slices."""
        n, m, recorded = self.n, self.end - self.n, current.get().grad
        x, before, rest = slices[:m], slices[m : m + n], slices[m + n :]
        g_ys, g_before = rest[: len(self.ys)], rest[len(self.ys) :]
        g_carry, added = carried[: len(self.carries)], carried[len(self.carries) :]
        with changed_flags(raw=False, grad=True):
            begun = next_serial()
            leaves = [fresh("scan", t) if is_floating(t.dtype) else t for t in (*before, *x)]
            with changed_flags(leaves=tuple(leaves)), noted_leaves() as made:
                carry, y = self.step(leaves[:n], leaves[n:])
        outputs = [*(carry[i] for i in self.carries), *(y[i] for i in self.ys)]
        known = dict.fromkeys(self.known)
        if any(t not in known for t in used_from_outside(outputs, leaves, begun, made)[0]):
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
