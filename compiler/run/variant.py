"""The program that `tg.jit` made for one kind of input."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tapegrad.autograd import random, writes
from tapegrad.autograd.flags import changed_flags, current
from tapegrad.autograd.structure import flatten
from tapegrad.autograd.tensor import Tensor, tick
from tapegrad.compiler.emit.choose import emit
from tapegrad.compiler.emit.load import load
from tapegrad.compiler.ir.memory import share, span
from tapegrad.compiler.ir.program import before_last_check
from tapegrad.compiler.record.standins import StandIns, kinds_of
from tapegrad.compiler.record.trace import Trace

if TYPE_CHECKING:
    from tapegrad.compiler.run.jit import Compiled


def owner_of(array: Any) -> int:
    """The id of the array whose memory this one looks into, or its own."""
    return id(array if array.base is None else array.base)


class Variant:
    """The program for one kind of input, bound to the arrays it captured.

    first    what the function returned while it was recorded
    eager    why it is not compiled, or None
    moved    whether arrays were put elsewhere while it was recorded
    """

    def __init__(self, owner: "Compiled", trace: Trace, given: StandIns, tensors: list[Tensor]) -> None:
        assert owner.around is not None
        self.f = owner.f
        self.grad = current.get().grad
        had_gradient = {t for t in owner.around.leaves if t._grad is not None}
        arrays = [t.data for t in tensors]
        kinds = None if given.kwargs else kinds_of(given.args, owner.around.closed)
        trace.added_to = {t._grad: t for t in owner.around.leaves if t._grad is not None}
        modes = {m: m.training for m in owner.around.modules}
        with changed_flags(recorder=trace):
            self.first = owner.f(*given.args, **given.kwargs)
        modes = trace.modules | modes
        self.modes = list(modes.items())
        returned, self.rebuild = flatten(self.first)
        given.hand_back()
        self.called = trace.modules
        self.moved = any(t.data is not a for t, a in zip(trace.captured, trace.arrays))
        self.kinds = None if self.moved else kinds
        self.returned = [None if isinstance(r, Tensor) else (r,) for r in returned]
        results = [r for r in returned if isinstance(r, Tensor)]

        self.leaves = [leaf for leaf, g in trace.gradients.items() if g is not None]
        self.dropped = [leaf for leaf, g in trace.gradients.items() if g is None]
        program = trace.program
        program.results = [trace.var_of(r) for r in results]
        program.gradients = [trace.var_of(g) for g in trace.gradients.values() if g is not None]
        self.watched = [(t, t.requires_grad) for t in trace.captured]
        device = next((t.device for t in (*tensors, *trace.captured)), "cpu")
        self.title = f"{owner.__name__}, as recorded by tapegrad"
        emitter = emit(owner.emitter, program, self.title, device)
        self.emitter, self.note = emitter.name, emitter.note
        self.source, self.plan = emitter.text, emitter.plan
        self.program, self.history = emitter.program, emitter.history

        live = {v.name for v in self.program.captured}
        kept = [(v, t) for v, t in zip(program.captured, trace.captured) if v.name in live]
        self.captured = [t for _, t in kept]
        written = [op.inputs[0] for op in self.program.ops if op.name == "write"]
        self.written = [t for v, t in kept if any(v.overlaps(w) for w in written)]
        self.in_place = {i for i, (v, _) in enumerate(kept) if any(v.overlaps(w) for w in written)}

        # A gradient that was there before, and to which this step adds, is whatever .grad is at the call.
        self.added_to = {i: trace.added_to[t] for i, t in enumerate(self.captured) if t in trace.added_to}
        self.without = [t for t in trace.not_zeroed if t not in had_gradient.union(trace.added_to.values())]
        self.together = {
            i
            for i, (v, _) in enumerate(kept)
            if any(v is not w and v.name != w.name and v.overlaps(w) for w, _ in kept)
        }  # that share memory with another one
        # What is done though the call may turn out to be another case than the recorded one.
        early = before_last_check(self.program)
        risked = [op.inputs[0] for op in early if op.name == "write"]
        self.risked = [t for v, t in kept if any(v.overlaps(w) for w in risked)]
        self.risks_gradients = any(op.out in self.program.gradients for op in early)
        self.eager = trace.eager or self._why_eager(results, tensors, written)
        if trace.gradients and any(t.node is not None for t in tensors):
            self.eager = "it takes gradients through an argument that was computed outside"
        if any(t.data is not a for t, a in zip(tensors, arrays)) or any(
            t in trace.gradients for t in tensors
        ):
            self.eager = "it sets the contents or the gradient of an argument: let the function close over it"
        if any(m.training is not mode for m, mode in modes.items()):
            self.eager = "it switches a model's training mode: call train() and eval() outside"
        if self.eager is None:  # as at later calls: arrays of the caller's own
            own = [
                Tensor(r.backend.asarray(r.data, copy=True)) if isinstance(r, Tensor) else r for r in returned
            ]
            self.first = self.rebuild(own)
        elif any(given.original(r) is not r for r in returned):
            self.first = self.rebuild([given.original(r) for r in returned])
        self.build = load(self.source, owner.__name__, on_disk=self.emitter == "numba")
        # Leaves whose values are part of an array that is written to, as those of an optimizer's parameters are.
        taken = set(self.captured)
        self.updated = [(leaf, leaf.data) for leaf in trace.leaves if leaf not in taken]
        # A gradient that the run itself dropped is bound as it was: the program is not for a call without it.
        before = dict(zip(trace.captured, trace.arrays))
        now = self.current_arrays()
        self.bind([before[t] if array is None else array for t, array in zip(self.captured, now)])

    def _why_eager(self, results: list[Tensor], tensors: list[Tensor], written: list[Any]) -> str | None:
        if any(r.requires_grad and (r.node is None or r.node.out is not None) for r in results):
            return "its result can be differentiated: call it under tg.no_grad(), or take the gradient inside"
        spans = [(w.span[0], w.span[1]) for w in written]
        for t in tensors:
            start, end = span(t.data)
            if any(start < b and a < end for a, b in spans):
                return (
                    "an argument shares memory with what the step writes to: let the function close over it"
                )
        return None

    def arrays_of(self, args: tuple[Any, ...], grad: bool, closed: frozenset[int]) -> Iterable[Any] | None:
        """The arrays of the arguments, if the program may run on them: the quick answer for most calls. None: make a
        `Key` and look closer. In plain loops, which are the fastest: this runs before every step."""
        if grad is not self.grad or self.kinds is None or len(args) != len(self.kinds):
            return None
        arrays = {}
        for a, kind in zip(args, self.kinds):
            if kind is None:
                if a is not None:
                    return None
                continue
            if type(a) is not Tensor or id(a) in closed:
                return None
            array = a.data
            shape, dtype, of, requires_grad, strides = kind
            if (
                array.shape != shape
                or array.strides != strides
                or array.dtype is not dtype
                or type(array) is not of
                or a.requires_grad is not requires_grad
                or id(array) in arrays
            ):
                return None
            arrays[id(array)] = array
        return arrays.values() if self.fits() else None

    def watch(self, modules: list[Any]) -> None:
        """Modules that this program did not call are part of the key, too: the function may ask for their mode."""
        known = {m for m, _ in self.modes}
        self.modes += [(m, m.training) for m in modules if m not in known]

    def fits(self) -> bool:
        """Whether nothing that the program was recorded on has changed."""
        for m, training in self.modes:
            if m.training is not training:
                return False
        if self.eager is not None:
            return True
        for t, array in self.unchanged:
            if t.data is not array:
                return False
        for i, leaf in self.added_to.items():
            if leaf._grad is None or leaf._grad.data is not self.bound[i]:
                return False
        for t, requires_grad in self.watched:
            if t.requires_grad is not requires_grad:
                return False
        return not self.without or all(leaf._grad is None for leaf in self.without)

    def current_arrays(self) -> list[Any]:
        arrays = [t.data for t in self.captured]
        for i, leaf in self.added_to.items():
            arrays[i] = leaf._grad.data if leaf._grad is not None else None
        return arrays

    def outdated(self) -> str | None:
        """Why the program does not fit what it captured any more, if it does not."""
        for i, (array, bound) in enumerate(zip(self.current_arrays(), self.bound)):
            if array is bound:
                continue
            if i in self.in_place:
                return "an array that the step writes to was replaced"
            if array is None:
                return "a gradient that was added to is gone"
            if (array.shape, array.dtype, type(array), array.strides) != (
                bound.shape, bound.dtype, type(bound), bound.strides
            ):  # fmt: skip
                return "a captured tensor has another shape, dtype or place"
            if i in self.together or any(share(array, self.bound[j]) for j in self.in_place):
                return "an array that shares memory with another one was replaced"
        if any(t.requires_grad is not r for t, r in self.watched):
            return "a tensor began or ceased to require grad"
        if any(leaf.data is not array for leaf, array in self.updated):
            return "an array that the step writes to was replaced"
        if any(m.training is not training for m, training in self.modes):
            return "a module was switched between training and evaluation"
        if any(leaf._grad is not None for leaf in self.without):
            return "there is a gradient to add to, or to drop"
        return None

    def bind(self, arrays: list[Any]) -> None:
        """Make the step that runs on these captured arrays."""
        self.bound = arrays
        self.unchanged = [
            (t, a) for i, (t, a) in enumerate(zip(self.captured, self.bound)) if i not in self.added_to
        ] + self.updated
        self.step, gradients = self.build(*self.bound)
        self.gradients = [(leaf, Tensor(g)) for leaf, g in zip(self.leaves, gradients)]
        self.owners = {owner_of(self.bound[i]) for i in self.in_place}
        self.written_memory = [writes.place(self.bound[i]) for i in self.in_place]

    def looks_into_written(self, array: Any) -> bool:
        """Whether an argument of this call shares memory with what the step writes to."""
        return any(share(array, self.bound[i]) for i in self.in_place)

    def run(self, arrays: Iterable[Any], args: Any, kwargs: Any) -> Any:
        """Call the program with the arrays of all tensors among the arguments."""
        if self.eager is not None:
            return self.f(*args, **kwargs)
        for array in arrays:
            if owner_of(array) in self.owners and self.looks_into_written(array):
                return self.f(*args, **kwargs)
        risked = [*self.risked, *(g for _, g in self.gradients if self.risks_gradients)]
        before = [t.data.copy() for t in risked]
        draws = random.draws()
        try:
            results = iter(self.step(*arrays))
        except ValueError as error:
            if not str(error).startswith("guard: "):
                raise
            for t, array in zip(risked, before):
                t.data[...] = array
            random.rewind(draws)
            return self.f(*args, **kwargs)  # which says what is wrong, or takes the other way
        for leaf, g in self.gradients:
            leaf._grad = g
        for leaf in self.dropped:
            leaf._grad = None
        now = tick()
        for t in self.written:
            t.changed = now
        for at in self.written_memory:
            writes.mark(at, now)
        return self.rebuild([Tensor(next(results)) if r is None else r[0] for r in self.returned])

    def told(self) -> str:
        """How it runs: the emitter's name, and what is to be known beside it; or why it is not compiled."""
        notes = "; ".join(filter(None, (self.note, getattr(self.step, "why_not", str)())))
        return self.eager or (f"{self.emitter}: {notes}" if notes else self.emitter)

    def explain(self) -> str:
        lines = [f"{'after the pass':26} {'operations':>10} {'bytes made':>12}"]
        for name, program in self.history:
            count, size = program.cost()
            lines.append(f"{name:26} {count:10d} {size:12,d}")
        fused = f"fused, in {len(self.plan.buffers)} buffers"
        lines.append(f"{fused:26} {self.plan.pieces:10d} {self.plan.nbytes:12,d}")
        return "\n".join(lines)
