"""`tg.jit(f)`: record f once for each kind of input, improve the list, and run it as a program."""

import threading
from collections.abc import Callable
from operator import attrgetter, is_
from types import MethodType
from typing import Any

from tapegrad.autograd import random
from tapegrad.autograd.flags import changed_flags, current
from tapegrad.autograd.structure import flatten
from tapegrad.autograd.tensor import Tensor, tick
from tapegrad.compiler.emitters import checked, emit, left_alone
from tapegrad.compiler.files import load, save
from tapegrad.compiler.keys import Key, news
from tapegrad.compiler.names import Surroundings
from tapegrad.compiler.passes import improve
from tapegrad.compiler.program import before_last_check, share, span
from tapegrad.compiler.trace import Trace


def owner_of(array: Any) -> int:
    """The id of the array whose memory this one looks into, or its own."""
    return id(array if array.base is None else array.base)


data_of, requires_grad_of, training_of = map(attrgetter, ("data", "requires_grad", "training"))


def jit(f: Any = None, *, emitter: str = "auto") -> Any:
    """Record f when it is first called with inputs of a kind, and run it as one program from then on.

    f may train: change a model and an optimizer (`loss.backward(); opt.step()`), or take and return dicts of
    parameters (`tg.value_and_grad`); or only predict. Parameters, buffers and optimizer state that it uses are read
    where they are and written in place: a learning rate set from outside, the step count, random draws and training
    mode take effect as they do without. Arguments are tensors, numbers and nested tuples, lists and dicts of them.

    One program is recorded for each combination of the arguments' structure, shapes, dtypes and devices, of the values
    of arguments that are no tensors, and of the training flags of the Modules around; `stats()` counts them and says
    why, and so does the logger "tapegrad.jit" (level INFO).
    What a program cannot follow, a number read out of a tensor (`float(t)`, `if t > 0`, `print(t)`), raises TraceError
    with the line and the remedy. Python itself runs only while f is recorded: a number that f closes over or works out,
    and what it does with raw arrays (`t.data`), are part of the program as they were. Give such a number as an
    argument, or hold it in a tensor.

    emitter    "numpy": calls of NumPy, always there; "numba": one compiled function with fused loops, which takes some
               seconds to make (`pip install "tapegrad[jit]"`); "cupy": for tensors on a GPU, fused kernels, and with
               `pip install "tapegrad[cuda-fast]"` the whole step as one CUDA graph; "auto": "cupy" on a GPU, else
               numba where it is installed and knows every operation, else NumPy

    Two things differ from running f as it is. The `.grad` that a compiled step sets is one array, which the next call
    writes to again: copy what is to be kept. And a captured tensor that f returns comes back as a copy.

    A function whose result is itself to be differentiated, or that runs inside `tg.grad`, runs as without `jit`;
    so does one whose arrays no emitter knows, or are on several devices. On a GPU, a check inside f and an index array
    make each call wait for the device, and what cannot be part of a graph is left to kernels: `stats()` says so.
    """
    checked(emitter)
    return (lambda g: Compiled(g, emitter)) if f is None else Compiled(f, emitter)


class Compiled:
    """A function recorded by `tg.jit`. Call it like the function.

    source()    the program of the last call, as Python source
    explain()   what each pass did, in operations and bytes;  program(name) the list after that pass
    stats()     calls, recordings and their reasons
    save(path)  the program as a file that runs with NumPy alone, and its arrays beside it
    """

    def __init__(self, f: Callable[..., Any], emitter: str) -> None:
        self.f, self.emitter = f, emitter
        self.__name__ = getattr(f, "__name__", type(f).__name__)
        self.__doc__ = f.__doc__
        self.lock = threading.RLock()
        self.variants: dict[Any, Variant] = {}
        self.calls = 0
        self.elsewhere: str | None = None
        self.reasons: list[str] = []
        self.last: Variant | None = None
        self.around: Surroundings | None = None
        self.called: list[Any] = []  # Modules that were called while it was recorded, and those inside

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return self if owner is None else MethodType(self, owner)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        flags = current.get()
        # Part of a larger recording, or to be differentiated, or looked into for anomalies.
        if flags.recorder is not None or flags.raw or flags.depth or flags.anomaly:
            return self.f(*args, **kwargs)
        with self.lock:
            if self.around is None:
                self.around = Surroundings(self.f, args)
            key = Key([flags.grad, len(args)], self.around.closed)
            for a in args:
                key.add(a)
            if kwargs:
                key.add(kwargs)
            modules = self.around.modules
            key.parts += map(training_of, modules)
            inside = list(map(training_of, self.called))
            self.calls += 1
            variant = self.variants.get(kind := (*key.parts, *inside))
            if variant is not None and variant.fits():
                self.last = variant
                return variant.run(key.tensors, args, kwargs)
            tensors = key.tensors
            self.elsewhere = left_alone(self.emitter, tensors or self.around.leaves)
            if self.elsewhere is not None:
                return self.f(*args, **kwargs)
            reason = news(kind, self.variants) if variant is None else variant.outdated()
            if reason is not None:
                recorded = self.record(kind, args, kwargs, tensors)
                if recorded is None:
                    return self.f(*args, **kwargs)
                self.reasons.append(reason if self.reasons else "the first call")
                self.last = recorded
                self.log()
                for m, training in self.last.called.items():
                    if m not in modules and m not in self.called:
                        self.called.append(m)
                        inside.append(training)
                kind = (*key.parts, *inside)
                if self.last.moved:  # by an optimizer that took replaced parameters up
                    self.variants.pop(kind, None)
                else:
                    self.variants[kind] = self.last
                return self.last.first
            self.last = variant
            variant.bind()  # type: ignore[union-attr]
            return variant.run(tensors, args, kwargs)  # type: ignore[union-attr]

    def record(self, kind: Any, args: Any, kwargs: Any, tensors: list[Tensor]) -> "Variant | None":
        """The program for this kind of input; None: this call runs as it is. If it raises, it has changed nothing."""
        self.around = Surroundings(self.f, args)
        names = self.around.names
        arguments = [(names.get(id(t), f"x{i + 1}"), t) for i, t in enumerate(tensors)]
        trace = Trace(arguments, names, self.around.owners)
        try:
            return Variant(self, trace, args, kwargs, tensors)
        except BaseException:
            trace.undo()
            raise
        finally:
            trace.alive.clear()  # its weak references know the trace: without them it goes now

    def log(self) -> None:
        """Tell the logger "tapegrad.jit" of a recording."""
        from logging import getLogger  # here, since it is slow to import and few recordings are made

        assert self.last is not None
        getLogger("tapegrad.jit").info(
            "%s: recording %d (%s), run by %s", self.__name__, len(self.reasons), self.reasons[-1],
            f"Python: {self.last.eager}" if self.last.eager else self.last.emitter,
        )  # fmt: skip

    def variant(self) -> "Variant":
        if self.last is None:
            raise RuntimeError(f"tg.jit: call {self.__name__} once: it is recorded at its first call")
        return self.last

    def source(self) -> str:
        """The program of the last call, as source that can be read, and stepped through in a debugger."""
        return self.variant().source

    def explain(self) -> str:
        """A table: the operations that compute, and the bytes of the arrays they make, after each pass; at the end the
        loops and calls that are emitted, and the bytes of the buffers that they work in."""
        return self.variant().explain()

    def program(self, after: str | None = None) -> str:
        """The list of operations after the named pass ("recorded" for none), or after all."""
        history = dict(self.variant().history)
        if after is not None and after not in history:
            raise ValueError(f"program: known passes are {', '.join(history)}, got {after!r}")
        return str(history[after] if after else self.variant().program)

    def stats(self) -> dict[str, Any]:
        """How often it was called and recorded, why each recording was made, and what runs without being compiled."""
        return {
            "calls": self.calls,
            "recordings": len(self.reasons),
            "reasons": list(self.reasons),
            "programs": [v.told() for v in self.variants.values()]
            + ([self.elsewhere] if self.elsewhere else []),
        }

    def save(self, path: str) -> None:
        """Write the program of the last call to `path` (step.py), and the arrays it captured beside it (step.npz).

        The file is what the emitter for NumPy writes, and needs NumPy (and SciPy, if erf is used) and not tapegrad:
        `step = step_py.open_step()`, then `step(*arrays)` with the tensor arguments in order returns a tuple of arrays
        and updates the captured ones, `step.arrays`. Raises ValueError for what runs without being compiled.
        """
        save(path, self.variant())


class Variant:
    """The program for one kind of input, bound to the arrays it captured.

    first    what the function returned while it was recorded
    eager    why it is not compiled, or None
    moved    whether arrays were put elsewhere while it was recorded
    """

    def __init__(self, owner: Compiled, trace: Trace, args: Any, kwargs: Any, tensors: list[Tensor]) -> None:
        assert owner.around is not None
        self.f = owner.f
        had_gradient = {t for t in owner.around.leaves if t.grad is not None}
        given = [t.data for t in tensors]
        trace.added_to = {t.grad: t for t in owner.around.leaves if t.grad is not None}
        modes = {m: m.training for m in owner.around.modules}
        with changed_flags(recorder=trace):
            self.first = owner.f(*args, **kwargs)
        modes = trace.modules | modes
        returned, self.rebuild = flatten(self.first)
        self.called = trace.modules
        self.moved = any(t.data is not a for t, a in zip(trace.captured, trace.arrays))
        self.returned = [None if isinstance(r, Tensor) else (r,) for r in returned]
        results = [r for r in returned if isinstance(r, Tensor)]

        self.leaves = [leaf for leaf, g in trace.gradients.items() if g is not None]
        self.dropped = [leaf for leaf, g in trace.gradients.items() if g is None]
        program = trace.program
        program.results = [trace.var_of(r) for r in results]
        program.gradients = [trace.var_of(g) for g in trace.gradients.values() if g is not None]
        self.watched = trace.captured
        self.required = list(map(requires_grad_of, self.watched))
        self.program, self.history = improve(program)

        needed = {v for op in self.program.ops for v in op.vars} | set(self.program.kept())
        live = {v.name for v in needed if v.kind == "captured"}
        kept = [(v, t) for v, t in zip(program.captured, trace.captured) if v.name in live]
        self.program.captured, self.captured = [v for v, _ in kept], [t for _, t in kept]
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
        if any(t.data is not a for t, a in zip(tensors, given)) or any(t in trace.gradients for t in tensors):
            self.eager = "it sets the contents or the gradient of an argument: let the function close over it"
        if any(m.training is not mode for m, mode in modes.items()):
            self.eager = "it switches a model's training mode: call train() and eval() outside"
        if self.eager is None:  # as at later calls: arrays of the caller's own
            own = [
                Tensor(r.backend.asarray(r.data, copy=True)) if isinstance(r, Tensor) else r for r in returned
            ]
            self.first = self.rebuild(own)
        device = next((t.device for t in (*tensors, *trace.captured)), "cpu")
        self.title = f"{owner.__name__}, as recorded by tapegrad"
        emitter = emit(owner.emitter, self.program, self.title, device)
        self.emitter, self.note = emitter.name, emitter.note
        self.source, self.plan = emitter.text, emitter.plan
        self.build = load(self.source, owner.__name__, on_disk=self.emitter == "numba")
        self.bound: list[Any] = []
        self.bind()

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

    def fits(self) -> bool:
        """Whether nothing that the program was recorded on has changed: the quick answer, for each call."""
        return (
            all(map(is_, self.current_arrays(), self.bound))
            and list(map(requires_grad_of, self.watched)) == self.required
            and all(leaf.grad is None for leaf in self.without)
        )

    def current_arrays(self) -> list[Any]:
        arrays = list(map(data_of, self.captured))
        for i, leaf in self.added_to.items():
            arrays[i] = leaf.grad.data if leaf.grad is not None else None
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
        if list(map(requires_grad_of, self.watched)) != self.required:
            return "a tensor began or ceased to require grad"
        if any(leaf.grad is not None for leaf in self.without):
            return "there is a gradient to add to, or to drop"
        return None

    def bind(self) -> None:
        self.bound = self.current_arrays()
        self.step, gradients = self.build(*self.bound)
        self.gradients = [Tensor(g) for g in gradients]
        self.owners = {owner_of(self.bound[i]) for i in self.in_place}

    def looks_into_written(self, t: Tensor) -> bool:
        """Whether an argument of this call shares memory with what the step writes to."""
        array = t.data
        return owner_of(array) in self.owners and any(share(array, self.bound[i]) for i in self.in_place)

    def run(self, tensors: list[Tensor], args: Any, kwargs: Any) -> Any:
        if self.eager is not None or any(map(self.looks_into_written, tensors)):
            return self.f(*args, **kwargs)
        risked = [*self.risked, *(self.gradients if self.risks_gradients else ())]
        before = [t.data.copy() for t in risked]
        draws = random.draws()
        try:
            results = iter(self.step(*map(data_of, tensors)))
        except ValueError as error:
            if not str(error).startswith("guard: "):
                raise
            for t, array in zip(risked, before):
                t.data[...] = array
            random.rewind(draws)
            return self.f(*args, **kwargs)  # which says what is wrong, or takes the other way
        for leaf, g in zip(self.leaves, self.gradients):
            leaf.grad = g
        for leaf in self.dropped:
            leaf.grad = None
        now = tick()
        for t in self.written:
            t.changed = now
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
