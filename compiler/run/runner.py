"""A program bound to the arrays it captured: run, and taken back where a call turns out to be another case."""

import traceback
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from tapegrad.autograd import random, writes
from tapegrad.autograd.tensor import Tensor, next_serial
from tapegrad.autograd.whole import arithmetic_may_raise, uninterrupted
from tapegrad.backends.aliases import Array
from tapegrad.compiler.aliases import Args, Kwargs
from tapegrad.compiler.emit.choose import Emitted, emit
from tapegrad.compiler.emit.load import load
from tapegrad.compiler.emit.summary import by_line
from tapegrad.compiler.errors import JitWarning
from tapegrad.compiler.ir.memory import Spans, memory_of, share, written
from tapegrad.compiler.ir.program import Op, before_last_check
from tapegrad.compiler.record.host import Acts, worked_out
from tapegrad.compiler.record.recording import Recording
from tapegrad.compiler.run.case import OtherCase
from tapegrad.compiler.run.messages import frames_inside, told_after
from tapegrad.compiler.watch.listen import by_user

SLOW = 2.0  # seconds
TOLD = 20  # calls that are taken back for overflow and the like, until that is told
TAKEN_BACK = (
    "tg.jit: %s: at %d calls by now the numbers were such as NumPy is to warn of, and each of them was taken back and "
    "ran as Python, which names the line. If they are as they should be, put `with np.errstate(all='ignore'):` "
    "around the calls; emitter='numpy' warns by itself"
)
COMPILING = "%s: compiling takes longer than %g s, once for this kind of call"


class Runner:
    """A program, and the arrays that it reads and writes.

    captured   the tensors whose arrays it is bound to, and `bound`, those arrays
    written    those of them that it writes in place
    """

    def __init__(self, recording: Recording, name: str, emitter: str) -> None:
        self.recording, self.name = recording, name
        self.taken_back = 0  # calls of machine code, for the numbers that it met
        self.title = f"{name}, as recorded by tapegrad"
        try:
            with told_after(SLOW, COMPILING, name, SLOW):
                self.make(emit(emitter, recording.program, self.title, recording.device), name)
        except Exception as error:  # what NumPy's program does, must not fail for want of machine code
            if emitter not in ("auto", "native"):
                raise
            self.make(emit("numpy", recording.program, self.title, recording.device), name)
            self.note = f"not native: {type(error).__name__}: {error}"

    def make(self, emitted: Emitted, name: str) -> None:
        self.emitted, self.emitter, self.note = emitted, emitted.name, emitted.note
        self.program, self.history, self.plan = emitted.program, emitted.history, emitted.plan
        self.find_used()
        self.build = emitted.build or load(emitted.text, name)
        self.bind([t.data for t in self.captured])

    def find_used(self) -> None:
        """The captured arrays that the improved program still uses, and what a call does to them."""
        r, program = self.recording, self.program
        live = {v.name for v in program.captured}
        kept = [(v, t) for v, t in zip(r.program.captured, r.captured) if v.name in live]
        self.captured = [t for _, t in kept]
        targets = Spans(written(program))
        names = {v.name for v in targets.arrays}
        self.targets = [i for i, (v, _) in enumerate(kept) if v.name in names]
        self.in_place = [i for i, (v, _) in enumerate(kept) if targets.overlap(v)]
        self.written = [kept[i][1] for i in self.in_place]
        # What runs before the last check, and is taken back where that fails: the call is then another case.
        early = before_last_check(program)
        early_writes = Spans(op.inputs[0] for op in early if op.name == "write")
        self.written_early = [t for v, t in kept if early_writes.overlap(v)]
        gradients = set(program.gradients)
        self.gradients_early = any(op.out in gradients for op in early)
        # Whether a call leaves anything but its results.
        self.changes = bool(targets.arrays or r.leaves or r.dropped)
        self.dropped, self.rebuild = r.dropped, r.rebuild
        self.from_host = [number.into for number in r.host_numbers]
        self.leaves: list[tuple[str, Any]] | None = None  # all new, and in the order in which they are made
        held = len(r.guards.inputs)  # what is returned as it is found comes after these
        if r.results != [("new", n) for n in range(len(program.results))]:
            self.leaves = [("argument", held + v) if kind == "held" else (kind, v) for kind, v in r.results]
        self.takes_arguments = any(kind == "argument" for kind, _ in self.leaves or ())
        sharing = Spans(v for v, _ in kept).sharing()
        self.shared = {i for i, (v, _) in enumerate(kept) if v in sharing}

    # ---- the arrays it is bound to ----
    def bind(self, arrays: list[Array]) -> None:
        """Make the step that runs on these captured arrays."""
        self.bound = arrays
        self.step, gradients = self.build(*arrays)
        self.gradients = [(leaf, Tensor(g)) for leaf, g in zip(self.recording.leaves, gradients)]
        self.all_changed = [*self.written, *(g for _, g in self.gradients), *self.from_host]
        early_gradients = [g for _, g in self.gradients] if self.gradients_early else []
        self.rollback_targets = [*self.written_early, *early_gradients, *self.from_host]
        self.written_memory = {memory_of(arrays[i]) for i in self.in_place}
        self.places = [writes.place(arrays[i]) for i in self.targets]
        self.own_memory = {memory_of(g) for g in gradients}
        self.memories = self.own_memory | self.written_memory

    def why_not_follow(self) -> str | None:
        """Why the program cannot be bound to the arrays that its tensors have now; None: it can."""
        for i, (t, bound) in enumerate(zip(self.captured, self.bound)):
            array = t._data
            if array is bound:
                continue
            if i in self.in_place:
                return "an array that the step writes to was replaced"
            kinds = [(a.shape, a.dtype, type(a), a.strides) for a in (array, bound)]
            if kinds[0] != kinds[1]:
                return "a captured tensor has another shape, dtype or place"
            if i in self.shared or any(share(array, self.bound[j]) for j in self.in_place):
                return "an array that shares memory with another one was replaced"
        return None

    # ---- a call ----
    def run(self, arrays: Iterable[Array], args: Args, kwargs: Kwargs) -> Any:
        """Run on the arrays of the inputs; returns what the function would. Whole or not at all: Ctrl-C comes after it,
        and if it raises, everything is as before. Raises OtherCase."""
        if self.memories.isdisjoint([id(a) if a.base is None else memory_of(a) for a in arrays]):
            given = arrays
        else:
            given = [self.copy_if_shared(a) for a in arrays]
        if not self.changes:
            return self.results(self.step_or_rollback(given), args, kwargs)
        numbers = self.host_numbers(args, kwargs) if self.from_host else ()
        with uninterrupted():
            results = self.step_or_rollback(given, given is not arrays, numbers)
            for leaf, g in self.gradients:
                leaf._grad = g
            for leaf in self.dropped:
                leaf._grad = None
            writes.mark_all(self.places, next_serial())
        return self.results(results, args, kwargs)

    def host_numbers(self, args: Any, kwargs: Any) -> list[float]:
        """What Python works out for this call. Raises OtherCase if it looks at what the program writes, or does
        something that the program depends on."""
        found = []
        for number in self.recording.host_numbers:
            try:
                value, looked = worked_out(number)
            except Acts:
                raise OtherCase from None
            if looked.gradient_asked or not self.memories.isdisjoint(map(memory_of, looked.arrays)):
                raise OtherCase
            found.append(value)
        if self.recording.guards.match(args, kwargs) is None:
            raise OtherCase
        return found

    def step_or_rollback(
        self, arrays: Iterable[Array], reads_own: bool = False, numbers: Iterable[float] = ()
    ) -> Any:
        """Call the program; what it had written before it raised is put back. reads_own: f reads gradients of the call
        before, in whose memory this one makes its own. numbers: what the host has worked out for it."""
        targets = self.rollback_targets
        if self.changes and arithmetic_may_raise():
            targets = self.all_changed
        elif reads_own:
            targets = [*targets, *(g for _, g in self.gradients)]
        before = [t.data.copy() for t in targets] if targets else []
        draws = random.draws()
        try:
            for t, value in zip(self.from_host, numbers):
                t.assign(value)
            return self.step(*arrays)
        except BaseException as error:
            for t, array in zip(targets, before):
                t.data[...] = array
            random.rewind(draws)
            if is_failed_check(error):
                raise OtherCase from None
            if self.emitter == "native" and type(error) is FloatingPointError:
                self.taken_back += 1
                if self.taken_back == TOLD:
                    message = TAKEN_BACK % (self.name, TOLD)
                    warnings.warn(message, JitWarning, stacklevel=frames_inside())
            if isinstance(error, Exception) and not isinstance(error, MemoryError) and not by_user(error):
                warns = type(error) is FloatingPointError
                # The function itself raises it with its own line.
                raise OtherCase(line_of(error), "" if warns else f"{type(error).__name__}: {error}") from None
            raise

    def copy_if_shared(self, array: Array) -> Array:
        """Raises OtherCase for an array that the step writes to as a captured one."""
        memory = memory_of(array)
        if memory in self.written_memory and any(share(array, self.bound[i]) for i in self.in_place):
            raise OtherCase
        return array.copy() if memory in self.own_memory else array

    def results(self, arrays: Sequence[Array], args: Args, kwargs: Kwargs) -> Any:
        """What the function returns, of the arrays that the program made."""
        new = list(map(Tensor, arrays))
        if self.leaves is None:
            return self.rebuild(new)
        given = self.recording.guards.arguments_of(args, kwargs) if self.takes_arguments else ()
        return self.rebuild(
            [new[v] if k == "new" else v if k == "value" else given[v] for k, v in self.leaves]
        )

    # ---- to be read ----
    @property
    def source(self) -> str:
        return self.emitted.text

    @property
    def lines(self) -> list[tuple[int, list[Op]]]:
        """(number of a line of the source, the operations that it carries out); of a graph, none."""
        return self.emitted.lines

    def status_line(self) -> str:
        """The emitter's name, and what is to be known of how it runs."""
        notes = "; ".join(filter(None, (self.note, getattr(self.step, "why_not", str)())))
        return f"{self.emitter}: {notes}" if notes else self.emitter

    def explain(self, timed: bool = False) -> str:
        if timed and self.emitter != "native":
            raise ValueError(
                f"explain: timed=True needs a native program, this one is run by {self.emitter}\n"
                'Write tg.jit(f, emitter="native"), with llvmlite installed'
            )
        lines = [f"{'after the pass':26} {'operations':>10} {'bytes made':>12}"]
        before = ""
        for name, program in self.history:
            count, size = program.cost()
            if (text := str(program)) != before:
                lines.append(f"{name:26} {count:10d} {size:12,d}")
            before = text
        fused = f"fused, in {len(self.plan.buffers)} buffers"
        lines.append(f"{fused:26} {self.plan.pieces:10d} {self.plan.nbytes:12,d}")
        if self.emitter == "native":
            draws = random.draws()
            lines += ["", *self.build.explain(timed)]  # type: ignore[attr-defined]
            random.rewind(draws)
        return "\n".join([*lines, "", *by_line(self.program)])


def line_of(error: Exception) -> str:
    """The line of the program that raised it, which machine code has noted."""
    if notes := getattr(error, "__notes__", None):
        return str(notes[-1])
    lines = [f.line for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith("<tg.jit")]
    return f"in the program: {lines[-1]}" if lines and lines[-1] else ""


def is_failed_check(error: BaseException) -> bool:
    """Whether a program raised it since this call is another case: LookupError itself, which nothing else raises. Its
    subclasses, IndexError and KeyError, say something else. A class of our own would not do: a saved file raises it
    without tapegrad, and machine code from the disk raises only classes that each process finds by their name."""
    return type(error) is LookupError
